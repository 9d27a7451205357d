from __future__ import annotations

import pytest

from connectors.gateway.masking import masked

# An AARQ with low level security and the password 12345678, as IEC 62056-5-3, annex D (example of ACSE APDUs) prints it.
AARQ = bytes.fromhex(
    "6036A1090607608574050801018A0207808B0760857405080201AC0A80083132333435363738BE10040E01000000065F1F0400007E1FFFFF".replace(
        " ", ""
    )
)
PASSWORD = b"12345678"


def test_the_password_is_masked_and_nothing_else() -> None:
    assert masked(AARQ) == AARQ.replace(PASSWORD, b"*" * 8)


@pytest.mark.parametrize("end", range(1, len(AARQ)))
def test_a_cut_aarq_shows_no_octet_of_the_password(end: int) -> None:
    kept = masked(AARQ[:end])
    assert len(kept) == end
    start = AARQ.index(PASSWORD)
    assert not set(kept[start : start + 8]) & set(PASSWORD)


@pytest.mark.parametrize(
    "apdu", [b"", b"\x0f\x00\x00", bytes.fromhex("C001C1000801"), b"\x61" + AARQ[1:]], ids=["empty", "push", "get", "aare"]
)
def test_other_apdus_are_left_alone(apdu: bytes) -> None:
    assert masked(apdu) == apdu


@pytest.mark.parametrize("length", ["80", "84FFFFFFFF", "85"], ids=["indefinite", "huge", "too-long"])
def test_a_length_that_cannot_be_trusted_masks_what_follows(length: str) -> None:
    apdu = b"\x60\x20" + b"\xac" + bytes.fromhex(length) + PASSWORD
    assert PASSWORD not in masked(apdu)
