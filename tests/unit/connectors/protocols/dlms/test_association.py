"""Associating: the octets of requests, what is read from answers, and what gurux' server makes of both."""

from __future__ import annotations

import pytest
from gurux_dlms.enums import DataType

from connectors.protocols.dlms.association import PROPOSED, Associated, Association, Conformance, aarq, associate, release
from connectors.protocols.dlms.client_apdus import CLOSED
from connectors.protocols.dlms.errors import CODES, DecodeError, PeerError
from connectors.protocols.dlms.masking import masked
from tests.unit.connectors.protocols.dlms.gurux_meter import GuruxMeter, code_of, data, drive

NAME = "A1 09 06 07 60 85 74 05 08 01 01"
ACCEPTED = "A2 03 02 01 00 A3 05 A1 03 02 01 00"
INITIATE = "BE 10 04 0E 08 00 06 5F 1F 04 00 00 1E 1D 01 F4 00 07"


def aare(*parts: str) -> bytes:
    body = bytes.fromhex(" ".join(parts))
    return bytes((0x61, len(body))) + body


def outcome(result: int, diagnostic: int, source: int = 0xA1) -> str:
    return f"A2 03 02 01 {result:02X} A3 05 {source:02X} 03 02 01 {diagnostic:02X}"


def associated(answer: bytes, config: Association | None = None) -> Associated:
    return drive(associate(config or Association()), lambda _: answer)


@pytest.mark.parametrize(
    ("config", "octets"),
    [
        pytest.param(
            Association(conformance=Conformance(0x007E1F)),
            "60 1D A1 09 06 07 60 85 74 05 08 01 01 BE 10 04 0E 01 00 00 00 06 5F 1F 04 00 00 7E 1F FF FF",
            id="none-as-in-the-green-book",
        ),
        pytest.param(
            Association(password=b"12345678", conformance=Conformance(0x007E1F), max_receive_pdu=0x04B0),
            "60 36 A1 09 06 07 60 85 74 05 08 01 01 8A 02 07 80 8B 07 60 85 74 05 08 02 01 AC 0A 80 08 "
            "31 32 33 34 35 36 37 38 BE 10 04 0E 01 00 00 00 06 5F 1F 04 00 00 7E 1F 04 B0",
            id="low-as-in-the-green-book",
        ),
    ],
)
def test_request(config: Association, octets: str) -> None:
    assert aarq(config) == bytes.fromhex(octets)


def test_password_is_nowhere_to_be_read() -> None:
    config = Association(password=b"Passw0rd")
    assert "Passw0rd" not in repr(config)
    request = aarq(config)
    kept = masked(request)
    assert b"Passw0rd" not in kept
    assert kept == request.replace(b"Passw0rd", b"********")
    assert masked(aarq(Association())) == aarq(Association())
    assert masked(b"\xc0\x01\xc1") == b"\xc0\x01\xc1"


@pytest.mark.parametrize(
    ("answer", "conformance", "max_send_pdu", "negotiated"),
    [
        pytest.param(aare(NAME, ACCEPTED, INITIATE), 0x001E1D, 500, True, id="usual"),
        pytest.param(aare("80 02 07 80", NAME, ACCEPTED, INITIATE), 0x001E1D, 500, True, id="with-protocol-version"),
        pytest.param(
            aare(NAME, ACCEPTED, "BE 11 04 0F 08 01 00 06 5F 1F 04 00 00 1E 1D 01 F4 00 07"), 0x1E1D, 500, True, id="quality"
        ),
        pytest.param(
            aare(NAME, ACCEPTED, "BE 0F 04 0D 08 00 06 5F 04 00 00 1E 1D 01 F4 00 07"), 0x1E1D, 500, True, id="short-tag"
        ),
        pytest.param(
            aare(NAME, ACCEPTED, "A4 0A 04 08 48 45 53 00 00 00 00 01", INITIATE), 0x001E1D, 500, True, id="system-title"
        ),
        pytest.param(aare(NAME, ACCEPTED), int(PROPOSED), 0, False, id="no-user-information"),
    ],
)
def test_accepted(answer: bytes, conformance: int, max_send_pdu: int, negotiated: bool) -> None:
    link = associated(answer)
    assert (int(link.conformance), link.max_send_pdu, link.negotiated) == (conformance, max_send_pdu, negotiated)


@pytest.mark.parametrize(
    ("answer", "code", "says", "retry"),
    [
        pytest.param(
            aare(NAME, outcome(1, 13)),
            "peer-association-refused",
            "authentication-failure: check the password",
            False,
            id="password",
        ),
        pytest.param(
            aare(NAME, outcome(1, 2)),
            "peer-association-refused",
            "application-context-name-not-supported",
            False,
            id="context",
        ),
        pytest.param(aare(NAME, outcome(2, 1)), "peer-association-refused", "rejected-transient", True, id="transient"),
        pytest.param(
            aare(NAME, outcome(1, 2, 0xA2)), "peer-association-refused", "no-common-acse-version", False, id="provider"
        ),
        pytest.param(aare(NAME, outcome(0, 14)), "peer-association-refused", "high level security", False, id="wants-hls"),
        pytest.param(
            aare(NAME, outcome(1, 1), "BE 06 04 04 0E 01 06 02"),
            "peer-association-refused",
            "incompatible-conformance",
            False,
            id="initiate",
        ),
        pytest.param(aare(NAME, outcome(1, 200)), "peer-association-refused", "200", False, id="unknown-diagnostic"),
        pytest.param(
            bytes.fromhex("D8 01 01"), "peer-exception", "service-not-allowed, operation-not-possible", False, id="exception"
        ),
        pytest.param(
            bytes.fromhex("0E 01 06 01"), "peer-exception", "initiate, dlms-version-too-low", False, id="service-error"
        ),
        pytest.param(bytes.fromhex("C4 01 C1 00 00"), "peer-unexpected", "C4 01 C1", True, id="something-else"),
        pytest.param(CLOSED, "peer-closed", "client address", True, id="closed"),
    ],
)
def test_refused(answer: bytes, code: str, says: str, retry: bool) -> None:
    with pytest.raises(PeerError) as raised:
        associated(answer)
    assert (raised.value.code, raised.value.retry) == (code, retry)
    assert says in raised.value.detail
    assert code in CODES


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(bytes.fromhex("61"), id="tag-only"),
        pytest.param(bytes.fromhex("61 05 A2 03 02 01"), id="cut-short"),
        pytest.param(bytes.fromhex("61 84 FF FF FF FF"), id="huge-length"),
        pytest.param(bytes.fromhex("61 80"), id="indefinite"),
        pytest.param(aare(NAME), id="no-result"),
        pytest.param(aare(NAME, "A2 02 02 00"), id="integer-of-nothing"),
        pytest.param(aare(NAME, ACCEPTED, "BE 04 04 02 09 00"), id="no-initiate-response"),
        pytest.param(aare(NAME, ACCEPTED, "BE 04 04 02 08 00"), id="initiate-cut-short"),
        pytest.param(aare(NAME, ACCEPTED, "BE 10 04 0E 08 00 05 5F 1F 04 00 00 1E 1D 01 F4 00 07"), id="version-5"),
    ],
)
def test_malformed(answer: bytes) -> None:
    with pytest.raises(DecodeError) as raised:
        associated(answer)
    assert raised.value.code == "dlms-acse"


def test_any_prefix_and_any_flipped_octet_is_our_error_or_an_association() -> None:
    whole = aare(NAME, ACCEPTED, INITIATE)
    for octets in [whole[:n] for n in range(1, len(whole))] + [
        whole[:at] + bytes((value,)) + whole[at + 1 :]
        for at in range(len(whole))
        for value in (0, 1, 0x7F, 0x80, 0x84, 0xFF)
    ]:
        assert code_of(lambda part=octets: associated(part)) in {None, *CODES}  # type: ignore[misc]  # the default binds it


@pytest.mark.parametrize(
    "answer", [bytes.fromhex("63 03 80 01 00"), CLOSED, bytes.fromhex("D8 01 01")], ids=["rlre", "closed", "refusal"]
)
def test_release_takes_any_end(answer: bytes) -> None:
    assert drive(release(), lambda apdu: answer if apdu == bytes.fromhex("62 03 80 01 00") else b"?") is None


def test_invoke_ids_go_round() -> None:
    link = Associated(PROPOSED, 0)
    assert [link.next_invoke_id() for _ in range(17)] == [*range(1, 16), 1, 2]


def meter(password: bytes | None) -> GuruxMeter:
    return GuruxMeter([data("0.0.96.1.0.255", b"1", DataType.OCTET_STRING)], password=password)


@pytest.mark.parametrize("password", [None, b"Passw0rd"], ids=["none", "low"])
def test_gurux_accepts(password: bytes | None) -> None:
    peer = meter(password)
    link = drive(associate(Association(password=password, max_receive_pdu=1024)), peer.exchange)
    assert Conformance.GET | Conformance.SELECTIVE_ACCESS | Conformance.BLOCK_TRANSFER_WITH_GET in link.conformance
    drive(release(), peer.exchange)


@pytest.mark.parametrize(
    ("password", "says"),
    [
        pytest.param(b"wrong", "authentication-failure", id="wrong"),
        pytest.param(None, "authentication-required", id="none-given"),
    ],
)
def test_gurux_refuses(password: bytes | None, says: str) -> None:
    with pytest.raises(PeerError, match=says) as raised:
        drive(associate(Association(password=password)), meter(b"Passw0rd").exchange)
    assert raised.value.code == "peer-association-refused"
