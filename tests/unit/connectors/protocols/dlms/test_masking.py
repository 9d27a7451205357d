"""Passwords, secrets and keys out of requests before they are kept."""

from __future__ import annotations

import pytest

from connectors.protocols.dlms.association import Association, aarq
from connectors.protocols.dlms.ciphering import Keys
from connectors.protocols.dlms.masking import masked
from connectors.protocols.dlms.security import Channel, MemoryCounter


def octets(text: str) -> bytes:
    return bytes.fromhex(text)


@pytest.mark.parametrize("short_names", [False, True], ids=["logical-names", "short-names"])
@pytest.mark.parametrize("ciphered", [False, True], ids=["clear", "ciphered"])
def test_passwords_are_masked(short_names: bool, ciphered: bool) -> None:
    held = Channel(title=b"HES\0\0\0\0\1", keys=Keys(bytes(16), bytes(16)), counter=MemoryCounter()) if ciphered else None
    request = aarq(Association(password=b"Passw0rd", short_names=short_names, channel=held))
    assert masked(request) == request.replace(b"Passw0rd", b"********")
    assert b"Passw0rd" not in masked(request[:-1])
    long = aarq(Association(password=b"Passw0rd" * 20))
    assert masked(long) == long.replace(b"Passw0rd", b"********")


@pytest.mark.parametrize(
    ("apdu", "kept"),
    [
        pytest.param("C101C1 000F0000280001FF 0700 0908 5061737377307264", "C101C1000F0000280001FF07", id="set-secret"),
        pytest.param(
            "C102C1 000F0000280000FF 0700 00 00000001 03 090850", "C102C1000F0000280000FF07", id="set-secret-in-blocks"
        ),
        pytest.param("C104C1 01 000F0000280000FF 0700 01 0902AABB", "C104C101000F0000280000FF07", id="set-secret-in-a-list"),
        pytest.param("C301C1 000F0000280000FF 02 01 0902AABB", "C301C1000F0000280000FF02", id="change-secret"),
        pytest.param("C301C1 00480001180100FF 07 01 0902AABB", "C301C100480001180100FF07", id="m-bus-key"),
        pytest.param("C301C1 004000002B0000FF 02 01 0902AABB", "C301C1004000002B0000FF02", id="keys-of-the-meter"),
        pytest.param("0601 02FA48 01 0902AABB", "060102FA48", id="write-short-name"),
    ],
)
def test_secrets_in_requests_are_masked(apdu: str, kept: str) -> None:
    whole, head = octets(apdu), octets(kept)
    assert masked(whole) == head + b"*" * (len(whole) - len(head))


@pytest.mark.parametrize(
    "apdu",
    [
        pytest.param("C301C1 000F0000280000FF 01 01 0902AABB", id="proof"),
        pytest.param("C101C1 00080000010000FF 0200 090100", id="set-clock"),
        pytest.param("C001C1 000F0000280000FF 0700", id="get"),
        pytest.param("", id="nothing"),
    ],
)
def test_what_is_no_secret_is_kept(apdu: str) -> None:
    assert masked(octets(apdu)) == octets(apdu)
