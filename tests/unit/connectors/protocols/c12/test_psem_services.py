"""PSEM services: octets to values and back, by the standard's layout and by what termineter makes of ours."""

from __future__ import annotations

import importlib
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.protocols.c12.errors import CODES, C12Error, DecodeError
from connectors.protocols.c12.octets import checksum, intact, table_data
from connectors.protocols.c12.requests import (
    BAUDS,
    Authenticate,
    Disconnect,
    Identify,
    Logoff,
    Logon,
    Negotiate,
    ReadDefault,
    ReadFull,
    ReadIndex,
    ReadOffset,
    Request,
    Security,
    Terminate,
    Timings,
    Wait,
    WriteFull,
    WriteIndex,
    WriteOffset,
)
from connectors.protocols.c12.responses import (
    RESPONSES,
    Authenticated,
    Done,
    Feature,
    Identified,
    LoggedOn,
    Negotiated,
    Refused,
    Response,
    TableData,
    name_of,
    refused,
)
from connectors.protocols.c12.services import decode_request, decode_response, encode_request, encode_response

REQUESTS: list[tuple[str, Request]] = [
    ("20", Identify()),
    ("21", Terminate()),
    ("22", Disconnect()),
    ("52", Logoff()),
    ("3E", ReadDefault()),
    ("30 0801", ReadFull(0x0801)),
    ("31 0017 0002 0001", ReadIndex(23, (2,), 1)),
    ("33 0017 0002 0001 0000 0003", ReadIndex(23, (2, 1, 0), 3)),
    ("39 0040" + "0001" * 9 + "0002", ReadIndex(64, (1,) * 9, 2)),
    ("3F 0040 010203 0405", ReadOffset(64, 0x010203, 0x0405)),
    ("40 0007 0003 010203 FA", WriteFull(7, b"\1\2\3", 0xFA)),
    ("40 0007 0000 00", WriteFull(7, b"", 0)),
    ("42 0007 0001 0002 0001 FF 01", WriteIndex(7, (1, 2), b"\xff", 1)),
    ("4F 0007 000102 0001 80 80", WriteOffset(7, 0x0102, b"\x80", 0x80)),
    ("50 1234" + b"helloworld".hex(), Logon(0x1234, b"helloworld")),
    ("50 1234" + b"helloworld".hex() + "0E10", Logon(0x1234, b"helloworld", 3600)),
    ("51" + bytes(20).hex(), Security(bytes(20))),
    ("51" + (b"x" * 20).hex() + "0002", Security(b"x" * 20, 2)),
    ("53 09 01 0102030405060708", Authenticate(bytes.fromhex("010102030405060708"))),
    ("60 0400 02", Negotiate(1024, 2)),
    ("61 0200 02 06", Negotiate(512, 2, (9600,))),
    ("6B 0200 02 0102030405060708090A0B", Negotiate(512, 2, BAUDS[1:12])),
    ("70 3C", Wait(60)),
    ("71 1E 01 04 03", Timings(30, 1, 4, 3)),
]

RESPONSES_TABLE: list[tuple[str, int | None, Response]] = [
    ("00 00 02 00 00", 0x20, Identified(0, 2, 0)),
    ("00 00 01 00", 0x20, Identified(0, 1, 0)),
    (
        "00 02 01 00 02 01 00 08 0102030405060708 00",
        0x20,
        Identified(2, 1, 0, (Feature(2, bytes.fromhex("0100080102030405060708")),)),
    ),
    (
        "00 03 01 00 04 06 02 2A03 05 08 06 80 01 7B 07 02 01 41 00",
        0x20,
        Identified(
            3,
            1,
            0,
            (Feature(4, b"\6\2\x2a\3"), Feature(5, b"\x08"), Feature(6, b"\x80\1\x7b"), Feature(7, b"\2\1A")),
        ),
    ),
    ("00 00 01 00 99 0102", 0x20, Identified(0, 1, 0, (Feature(0x99, b"\1\2"),))),
    ("00 0003 010203 FA", 0x30, TableData(b"\1\2\3", 0xFA)),
    ("00 0003 010203 FB", 0x3F, TableData(b"\1\2\3", 0xFB)),
    ("00 0000 00", 0x39, TableData(b"", 0)),
    ("00", 0x50, LoggedOn()),
    ("00 0E10", 0x50, LoggedOn(3600)),
    ("00", 0x51, Done()),
    ("00 09 010000000000000000", 0x53, Authenticated(b"\1" + bytes(8))),
    ("00 0400 02 06", 0x61, Negotiated(1024, 2, 9600)),
    ("00 0400 02", 0x60, Negotiated(1024, 2)),
    ("00 1E 01 04 03", 0x71, Timings(30, 1, 4, 3)),
    ("04", 0x30, Refused(4)),
    ("10 00000400", 0x30, Refused(0x10, bytes.fromhex("00000400"))),
    ("00 0102", None, Done(b"\1\2")),
]


@pytest.mark.parametrize(("octets", "request_"), REQUESTS, ids=[octets[:12] for octets, _ in REQUESTS])
def test_requests_both_ways(octets: str, request_: Request) -> None:
    assert encode_request(request_) == bytes.fromhex(octets)
    assert decode_request(bytes.fromhex(octets)) == request_


@pytest.mark.parametrize(
    ("octets", "asked", "response"), RESPONSES_TABLE, ids=[f"{asked}: {octets[:12]}" for octets, asked, _ in RESPONSES_TABLE]
)
def test_responses(octets: str, asked: int | None, response: Response) -> None:
    assert decode_response(bytes.fromhex(octets), asked) == response


ENDLESS = {"00 00 01 00"}  # without an end-of-list: read, and never written


@pytest.mark.parametrize(
    ("octets", "response"), [(o, r) for o, _, r in RESPONSES_TABLE if o not in ENDLESS], ids=lambda v: str(v)[:20]
)
def test_responses_are_written_as_they_are_read(octets: str, response: Response) -> None:
    assert encode_response(response) == bytes.fromhex(octets)


def test_short_fields_are_filled_up() -> None:
    assert encode_request(Logon(1, b"user")) == bytes.fromhex("500001") + b"user      "
    assert encode_request(Security(b"pass")) == b"\x51pass" + bytes(16)


@pytest.mark.parametrize(
    ("octets", "code"),
    [
        ("", "psem-truncated"),
        ("30 00", "psem-truncated"),
        ("30 0001 00", "psem-malformed"),
        ("20 00", "psem-malformed"),
        ("3F 0001 000000", "psem-truncated"),
        ("40 0001 FFFF 00", "psem-truncated"),
        ("40 0001 0001 0000 00", "psem-malformed"),
        ("39 0001 0001", "psem-truncated"),
        ("50 0001 41", "psem-truncated"),
        ("51 41", "psem-truncated"),
        ("53 09 01", "psem-truncated"),
        ("61 0040 01", "psem-truncated"),
        ("61 0040 01 0F", "psem-malformed"),
        ("71 01", "psem-truncated"),
        ("3A 0001", "psem-service-unknown"),
        ("6C 0001", "psem-service-unknown"),
        ("27", "psem-service-unknown"),
        ("00", "psem-service-unknown"),
        ("FF", "psem-service-unknown"),
    ],
)
def test_requests_that_are_none(octets: str, code: str) -> None:
    with pytest.raises(DecodeError) as raised:
        decode_request(bytes.fromhex(octets))
    assert raised.value.code == code


@pytest.mark.parametrize(
    ("octets", "asked", "code"),
    [
        ("", 0x30, "psem-truncated"),
        ("30", 0x30, "psem-service-unknown"),
        ("00", 0x30, "psem-truncated"),
        ("00 FFFF 00", 0x30, "psem-truncated"),
        ("00 0001 00 00 00", 0x30, "psem-malformed"),
        ("00 02", 0x20, "psem-truncated"),
        ("00 02 01 00 02 01 00 FF 00", 0x20, "psem-truncated"),
        ("00 02 01 00 01", 0x20, "psem-truncated"),
        ("00 02 01 00 06 80 FF 00", 0x20, "psem-truncated"),
        ("00 02 01 00 00 00", 0x20, "psem-malformed"),
        ("00 0400 02 63", 0x60, "psem-malformed"),
        ("00 01", 0x50, "psem-truncated"),
    ],
)
def test_responses_that_are_none(octets: str, asked: int, code: str) -> None:
    with pytest.raises(DecodeError) as raised:
        decode_response(bytes.fromhex(octets), asked)
    assert raised.value.code == code


@pytest.mark.parametrize(
    "request_",
    [
        ReadFull(0x10000),
        ReadFull(-1),
        ReadOffset(1, 1 << 24, 1),
        ReadOffset(1, 0, 1 << 16),
        ReadIndex(1, (), 1),
        ReadIndex(1, (1,) * 10, 1),
        WriteFull(1, bytes(0x10000)),
        Logon(0x10000, b""),
        Logon(1, b"elevenchars"),
        Security(bytes(21)),
        Authenticate(bytes(256)),
        Negotiate(0x10000, 1),
        Negotiate(64, 256),
        Negotiate(64, 1, (1234,)),
        Negotiate(64, 1, (9600,) * 12),
        Wait(256),
    ],
    ids=repr,
)
def test_fields_that_do_not_fit_are_told(request_: Request) -> None:
    with pytest.raises(DecodeError) as raised:
        encode_request(request_)
    assert raised.value.code == "psem-malformed"


def test_a_password_is_in_no_repr() -> None:
    assert "hush" not in repr(Security(b"hush"))


@pytest.mark.parametrize(("data", "right"), [(b"", 0), (b"\1\2\3", 0xFA), (b"\xff" * 3, 3), (b"testdata", 0xA6)])
def test_checksum_is_the_twos_complement_of_the_sum(data: bytes, right: int) -> None:
    assert checksum(data) == right
    assert sum(data) + right & 0xFF == 0
    assert (intact(data, right), intact(data, None), intact(data, right ^ 1)) == (True, True, False)


@pytest.mark.parametrize("code", sorted(set(RESPONSES) - {0}), ids=name_of)
def test_every_response_code_is_an_error_that_says_what_to_do(code: int) -> None:
    error = refused(code, "table 23")
    name, says, mend, retry = RESPONSES[code]
    assert (error.code, error.response, error.retry) == ("psem-response", code, retry)
    assert error.detail == f"table 23: the meter answered {name} ({says}): {mend}"
    assert error.code in CODES
    assert mend


def test_a_response_code_of_no_standard() -> None:
    assert "0x1E (not in the standard)" in refused(0x1E, "logon").detail
    assert decode_response(b"\x1e", 0x50) == Refused(0x1E)


@given(st.binary(max_size=40))
def test_what_can_be_read_is_written_the_same(octets: bytes) -> None:
    with suppress(C12Error):
        assert encode_request(decode_request(octets)) == octets


@given(st.binary(max_size=40), st.integers(0x1F, 0x72))
def test_responses_raise_only_our_own(octets: bytes, asked: int) -> None:
    with suppress(C12Error):
        response = decode_response(octets, asked)
        assert decode_response(encode_response(response), asked) == response


@given(st.binary(max_size=300))
def test_table_data_is_read_as_it_is_written(data: bytes) -> None:
    assert decode_response(b"\0" + table_data(data), 0x30) == TableData(data, checksum(data))


def library(name: str) -> Any:
    """termineter's packages, which have no types."""
    pytest.importorskip(name, reason="termineter (PyPI, BSD) is not installed")
    return importlib.import_module(name)


TERMINETER: dict[Request, dict[str, Any]] = {
    Identify(): {},
    Terminate(): {},
    Logoff(): {},
    ReadFull(23): {"tableid": 23, "offset": None, "octetcount": None},
    ReadOffset(64, 0x010203, 0x0405): {"tableid": 64, "offset": 0x010203, "octetcount": 0x0405},
    Logon(2, b"user"): {"userid": 2, "username": b"user      "},
    Security(b"secret"): {"password": b"secret" + bytes(14)},
    Negotiate(512, 2): {},
    Negotiate(512, 2, (9600,)): {},
    Wait(60): {},
}


@pytest.mark.parametrize("request_", TERMINETER, ids=lambda request_: type(request_).__name__)
def test_termineter_reads_our_requests(request_: Request) -> None:
    data = library("c1218.data")
    octets = encode_request(request_)
    read = data.C1218_REQUEST_IDS[octets[0]].from_bytes(octets)
    assert {name: getattr(read, name) for name in TERMINETER[request_]} == TERMINETER[request_]
    assert read.build() == octets


@pytest.mark.parametrize(("request_", "offset"), [(WriteFull(7, b"\1\2"), None), (WriteOffset(7, 258, b"\x80"), 258)])
def test_termineter_writes_as_we_do(request_: WriteFull | WriteOffset, offset: int | None) -> None:
    # Its reader of writes takes right checksums for wrong ones, so only its writer is asked.
    data = library("c1218.data")
    assert data.C1218WriteRequest(7, request_.data, offset).build() == encode_request(request_)
