"""Secrets in messages are asterisks; all else, sizes and structure are as they came."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.protocols.c12 import acse
from connectors.protocols.c12.acse import Apdu, Authentication, Unknown
from connectors.protocols.c12.c1222_masking import masked, masked_service
from connectors.protocols.c12.c1222_security import Seal, open_
from connectors.protocols.c12.c1222_segments import cut
from connectors.protocols.c12.c1222_services import Request, encode_request, encode_response
from connectors.protocols.c12.requests import (
    Authenticate,
    Logon,
    ReadFull,
    ReadOffset,
    Security,
    WriteFull,
    WriteIndex,
    WriteOffset,
)
from connectors.protocols.c12.responses import Authenticated, TableData
from tests.unit.connectors.protocols.c12.messages import (
    AUTHENTICATED,
    CIPHERED,
    HES,
    KEYS,
    METER,
    PASSWORD,
    request,
    response,
)

SECRET = b"TOP-SECRET"


@pytest.mark.parametrize(
    "asked",
    [
        Security(PASSWORD), Security(PASSWORD, 2), Authenticate(SECRET), WriteFull(42, SECRET), WriteFull(45, SECRET),
        WriteFull(0x1000 | 46, SECRET), WriteOffset(42, 16, SECRET), WriteIndex(45, (1, 2), SECRET),
    ],
    ids=["security", "security of a user", "authenticate", "security table", "key table", "pending key table",
         "part of a table", "elements of a table"],
)  # fmt: skip
@pytest.mark.parametrize("secured", [None, AUTHENTICATED], ids=["clear", "authenticated"])
def test_secrets_that_are_sent(asked: Request, secured: Seal | None) -> None:
    octets = request(Logon(2, b"head-end", 60), asked, ReadFull(1), seal_with=secured)
    kept = masked(octets)
    assert (len(kept), SECRET in kept, PASSWORD in kept) == (len(octets), False, False)
    assert acse.decode(kept).called == METER
    services = open_(masked(request(Logon(2, b"head-end", 60), asked, ReadFull(1))), KEYS).services
    assert (services[0], services[2]) == (encode_request(Logon(2, b"head-end", 60)), b"\x30\x00\x01")
    assert services[1][0] == encode_request(asked)[0]
    assert masked(kept) == kept


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (ReadFull(42), TableData(SECRET)),
        (ReadOffset(45, 3, 9), TableData(SECRET)),
        (Authenticate(b"x"), Authenticated(SECRET)),
    ],
    ids=["security table", "part of the key table", "authenticate"],
)
def test_secrets_that_are_answered(asked: Request, said: TableData | Authenticated) -> None:
    octets = response(TableData(b"one"), said)
    kept = masked(octets, (encode_request(ReadFull(1)), encode_request(asked)))
    assert (len(kept), SECRET in kept, b"one" in kept) == (len(octets), False, True)
    assert SECRET in masked(octets)  # what is not known to be asked cannot be told


@pytest.mark.parametrize(
    "octets",
    [
        request(ReadFull(42), WriteFull(64, SECRET), WriteFull(2048 + 42, SECRET)),
        request(Security(PASSWORD), seal_with=CIPHERED),
        response(TableData(SECRET)),
    ],
    ids=["no secret in it", "ciphered", "an answer"],
)
def test_what_is_no_secret_stays(octets: bytes) -> None:
    assert masked(octets) == octets


def test_authentication_values_but_for_key_id_and_iv() -> None:
    for value in (
        Authentication(2, b"\1\2\3\4", others=(Unknown(0x82, SECRET),)),
        Authentication(form="c1221", others=(Unknown(0x81, SECRET),)),
        Authentication(form="octets", others=(Unknown(0x81, SECRET),)),
    ):
        octets = acse.encode(Apdu(METER, HES, 1, authentication=value, information=b"\x80\x01\x20"))
        kept = masked(octets)
        assert SECRET not in kept
        assert (b"\x80\x01\x02\x81\x04\x01\x02\x03\x04" in kept) == (value.form == "c1222")
        assert acse.decode(kept).information == b"\x80\x01\x20"


def test_segments_are_masked_whole() -> None:
    for piece in cut(request(Security(PASSWORD), WriteFull(64, bytes(200))), 120):
        kept = masked(piece)
        assert set(acse.decode(kept).information or b"") == {ord("*")}
        assert acse.decode(kept).offset == acse.decode(piece).offset


@pytest.mark.parametrize(
    "octets",
    [
        b"TOP-SECRET",
        b"\x60\x80TOP-SECRET",
        b"\x60\x0d\xa8\x0bTOP-SECRET",
        acse.encode(Apdu(unknown=(Unknown(0x89, SECRET),), information=b"\x80\x01\x20")),
        acse.encode(Apdu(information=b"\x00" + SECRET)),
        acse.encode(Apdu(information=b"\x80\x51" + SECRET)),
        acse.encode(Apdu(information=b"\x90\x51" + SECRET)),
    ],
    ids=[
        "no message",
        "an indefinite length",
        "cut",
        "an unknown element",
        "no EPSEM",
        "a service cut",
        "a class and a cut",
    ],
)
def test_what_is_not_understood_is_masked(octets: bytes) -> None:
    kept = masked(octets)
    assert (len(kept), SECRET[2:] in kept) == (len(octets), False)


@given(st.binary(max_size=200))
def test_any_octets(octets: bytes) -> None:
    assert len(masked(octets)) == len(octets)


@given(st.binary(max_size=60), st.binary(max_size=12))
def test_any_service(service: bytes, asked: bytes) -> None:
    assert len(masked_service(service, asked)) == len(service)


def test_a_short_write_of_a_secret_table() -> None:
    assert masked_service(encode_request(WriteFull(42, b""))) == b"\x40\x00\x2a***"
    assert masked_service(encode_response(TableData(SECRET)), encode_request(ReadFull(42)))[:3] == b"\x00\x00\x0a"
