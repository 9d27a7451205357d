from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.protocols.c12.c1222_services import (
    CONNECTION_TYPES,
    NODE_TYPES,
    Deregister,
    Register,
    Registered,
    Request,
    Resolve,
    Resolved,
    Response,
    Trace,
    Traced,
    answered,
    decode_request,
    decode_response,
    encode_request,
    encode_response,
    flags_text,
    traced,
)
from connectors.protocols.c12.errors import DecodeError
from connectors.protocols.c12.responses import NETR, OK, UAT, Done, Refused
from connectors.protocols.c12.titles import ApTitle, title
from tests.unit.connectors.protocols.c12.messages import METER, REFUSALS, REQUESTS, RESPONSES_OK

A, B = title("1.3.6.1.4.1.33507"), title(".123.8437")


@pytest.mark.parametrize(
    ("octets", "request_"),
    [
        ("2720b0 54454d50 06082b06010401828563 80037bc175 06 0a0000010481 015180",
         Register(0x20, 0xB0, b"TEMP", A, B, bytes.fromhex("0a0000010481"), 86_400)),
        ("27a000 54454d50 0d00 0600 00 000000 02 4142",
         Register(0x20, 0, b"TEMP", ApTitle(b"", 0x0D), ApTitle(b""), b"", 0, b"AB")),
        ("24 80037bc175", Deregister(B)),
        ("25 06082b06010401828563", Resolve(A)),
        ("26", Trace(())),
        ("26 06082b06010401828563 80037bc175", Trace((A, B))),
    ],
    ids=["register", "register with a pattern", "deregister", "resolve", "trace", "trace on its way"],
)  # fmt: skip
def test_requests(octets: str, request_: Request) -> None:
    assert encode_request(request_) == bytes.fromhex(octets)
    assert decode_request(bytes.fromhex(octets)) == request_


@pytest.mark.parametrize(
    ("octets", "asked", "response"),
    [
        ("00 80037bc175 001e 015180 31", 0x27, Registered(B, 30, 86_400, 0x31)),
        ("00", 0x24, Done()),
        ("00 04 0a000001", 0x25, Resolved(bytes.fromhex("0a000001"))),
        ("00 06082b06010401828563 80037bc175", 0x26, Traced((A, B))),
        ("0c", 0x25, Refused(UAT)),
        ("0e 80037bc175", 0x26, Refused(NETR, bytes.fromhex("80037bc175"))),
    ],
    ids=["register", "deregister", "resolve", "trace", "resolve refused", "trace refused on its way"],
)
def test_responses(octets: str, asked: int, response: Response) -> None:
    assert encode_response(response) == bytes.fromhex(octets)
    assert decode_response(bytes.fromhex(octets), asked) == response


@pytest.mark.parametrize(
    ("requests", "responses", "expected"),
    [
        ("51 30 3f", "00 00 00", "51 30 3f"),
        ("51 30 3f", "00 00", "30 3f"),
        ("51 30 3f", "00 03", "51 30"),
        ("30 51 3f", "00", "30"),
        ("30 3f", "00", "30"),
        ("30", "00 00", "30"),
        ("", "00", ""),
    ],
    ids=["each", "security left out", "refused", "too few", "too few without security", "too many", "unknown requests"],
)
def test_which_request_a_response_answers(requests: str, responses: str, expected: str) -> None:
    asked, said = ([bytes.fromhex(each) for each in text.split()] for text in (requests, responses))
    assert b" ".join(answered(asked, said)) == b" ".join(bytes.fromhex(each) for each in expected.split())


def test_how_far_a_trace_came() -> None:
    assert traced(Refused(NETR, B.encode() + A.encode())) == (B, A)


@pytest.mark.parametrize("name", REQUESTS)
def test_every_request_round_trips(name: str) -> None:
    octets = encode_request(REQUESTS[name])
    assert encode_request(decode_request(octets)) == octets


@pytest.mark.parametrize("name", RESPONSES_OK)
def test_every_response_round_trips(name: str) -> None:
    asked, response = RESPONSES_OK[name]
    octets = encode_response(response)
    assert octets[0] == OK
    assert encode_response(decode_response(octets, asked.code)) == octets


@pytest.mark.parametrize("name", REFUSALS)
def test_every_refusal_round_trips(name: str) -> None:
    octets = encode_response(REFUSALS[name])
    assert [decode_response(octets, code) for code in (0x20, 0x25, 0x26, 0x27, 0x30, None)] == [REFUSALS[name]] * 6


@pytest.mark.parametrize(
    ("octets", "code"),
    [
        ("", "psem-truncated"),
        ("27", "psem-truncated"),
        ("2720b0", "psem-truncated"),
        ("2720b054454d50", "c1222-truncated"),
        ("2720b054454d50 0600", "c1222-truncated"),
        ("2720b054454d50 0600 0600 05aabb", "psem-truncated"),
        ("2720b054454d50 0600 0600 00 0000", "psem-truncated"),
        ("2720b054454d50 0600 0600 00 000000 00", "psem-malformed"),
        ("27a0b054454d50 0600 0600 00 000000", "psem-truncated"),
        ("24", "c1222-truncated"),
        ("24 8000 00", "psem-malformed"),
        ("25 0281", "c1222-truncated"),
        ("25 040101", "c1222-title"),
        ("26 8000 06", "c1222-truncated"),
        ("26" + "8000" * 65, "psem-malformed"),
        ("2e", "psem-service-unknown"),
    ],
)
def test_requests_that_are_none(octets: str, code: str) -> None:
    with pytest.raises(DecodeError) as caught:
        decode_request(bytes.fromhex(octets))
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("octets", "asked", "code"),
    [
        ("00", 0x27, "c1222-truncated"),
        ("00 8000 001e 0151", 0x27, "psem-truncated"),
        ("00 8000 001e 015180 31 00", 0x27, "psem-malformed"),
        ("00", 0x25, "psem-truncated"),
        ("00 04 0a", 0x25, "psem-truncated"),
        ("00 00 0a", 0x25, "psem-malformed"),
        ("00 80", 0x26, "c1222-truncated"),
    ],
)
def test_responses_that_are_none(octets: str, asked: int, code: str) -> None:
    with pytest.raises(DecodeError) as caught:
        decode_response(bytes.fromhex(octets), asked)
    assert caught.value.code == code


@pytest.mark.parametrize(
    "request_",
    [
        Register(0x20, 0, b"TEM", A, B, b"", 0),
        Register(0x100, 0, b"TEMP", A, B, b"", 0),
        Register(0x20, 0, b"TEMP", A, B, bytes(256), 0),
        Register(0x20, 0, b"TEMP", A, B, b"", 1 << 24),
    ],
    ids=["class", "node type", "address", "period"],
)
def test_fields_that_do_not_fit(request_: Register) -> None:
    with pytest.raises(DecodeError) as caught:
        encode_request(request_)
    assert caught.value.code == "psem-malformed"


def test_flags_in_words() -> None:
    assert flags_text(NODE_TYPES, 0x21) == "relay, end device"
    assert flags_text(CONNECTION_TYPES, 0) == "none"


FLAGS, CLASSES, LONG = st.integers(0, 0x7F), st.binary(min_size=4, max_size=4), st.binary(max_size=255)
TITLES, PERIODS = st.sampled_from([METER, A, B]), st.integers(0, 2**24 - 1)


@given(st.builds(Register, FLAGS, FLAGS, CLASSES, TITLES, TITLES, LONG, PERIODS, st.none() | LONG))
def test_any_registration_round_trips(register: Register) -> None:
    assert decode_request(encode_request(register)) == register
