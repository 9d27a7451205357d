"""Everything that our C12.22 encoder makes is read by Wireshark's dissector: nothing malformed, undecoded or unverified.

Three things Wireshark (to 4.4) does not do, and what stands here instead:
- it knows no segments (A3, and an offset in the user information): a segment's only fault is that, and the message that
  segments make is read; that ours are put together by a published stack was tried by hand (`test_c1222_segments`);
- it has no fields for deregister, resolve, trace, register and for reads and writes by index: their octets are compared;
- where BER lengths of the user information differ in size it takes an octet too many, or too few, into the canonical
  header: only at these sizes (`lengths_differ`) it may fail to verify.
"""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from connectors.protocols.c12 import acse, ber
from connectors.protocols.c12.c1222_security import Seal, open_
from connectors.protocols.c12.c1222_segments import Segments, cut
from connectors.protocols.c12.c1222_services import Request, encode_request, encode_response
from connectors.protocols.c12.epsem import Mode, Respond
from connectors.protocols.c12.requests import Identify, Logon, ReadFull, ReadOffset, Security, WriteFull, WriteOffset
from tests.integration.tshark import Packet, complaints, dissect, fields
from tests.unit.connectors.protocols.c12.messages import (
    AUTHENTICATED,
    CIPHERED,
    HES,
    HES_RELATIVE,
    KEY,
    KEY_ID,
    KEYS,
    METER,
    METER_RELATIVE,
    PASSWORD,
    REFUSALS,
    REQUESTS,
    RESPONSES_OK,
    notification,
    request,
    response,
)

PREFERENCES = {
    "c1222.baseoid": "2.16.124.113620.1.22.0",
    "c1222.decrypt": "TRUE",
    "uat:c1222_decryption_table": f'"{KEY_ID:02X}",{KEY.hex()}',
}
SEALS = {"clear": None, "authenticated": AUTHENTICATED, "ciphered": CIPHERED}
WITHOUT_FIELDS = {*range(0x24, 0x28), *range(0x31, 0x3A), *range(0x41, 0x4A)}
TITLES = {"absolute": (METER, HES), "relative": (METER_RELATIVE, HES_RELATIVE), "mixed": (METER_RELATIVE, HES)}


def read(*packets: Packet) -> list[Any]:
    return dissect(packets, "c1222", PREFERENCES)


def services(layer: Any) -> list[bytes]:
    return [bytes.fromhex(value.replace(":", "")) for value in fields(layer, "c1222.epsem.data")]


def sound(layer: Any, secured: Seal | None) -> None:
    assert complaints(layer) == []
    assert list(fields(layer, "c1222.crypto_good")) == ([] if secured is None else ["1"])
    assert set(fields(layer, "c1222.write.chksum.status")) <= {"1"}


@pytest.mark.parametrize("mode", SEALS)
def test_every_service_in_every_mode(mode: str) -> None:
    secured = SEALS[mode]
    sent: list[tuple[bytes, bytes]] = [
        *((request(one, seal_with=secured), encode_request(one)) for one in REQUESTS.values()),
        *((response(said, seal_with=secured), encode_response(said)) for _, said in RESPONSES_OK.values()),
        *((response(said, seal_with=secured), encode_response(said)) for said in REFUSALS.values()),
    ]
    for (_, service), layer in zip(sent, read(*(Packet(octets) for octets, _ in sent)), strict=True):
        sound(layer, secured)
        assert services(layer) == [service]
        name = "c1222.cmd" if service[0] >= 0x20 else "c1222.err"
        assert list(fields(layer, name)) == [f"0x{service[0]:02x}"]
        if service[0] in WITHOUT_FIELDS:
            assert list(fields(layer, "c1222.data")) == [service[1:].hex(":")]


def test_transports() -> None:
    """TCP and UDP, IPv4 and IPv6."""
    sent = [
        (Packet(request(ReadFull(number), seal_with=secured), udp, v6), secured)
        for udp, v6 in product((False, True), repeat=2)
        for number, secured in enumerate(SEALS.values())
    ]
    for (_, secured), layer in zip(sent, read(*(packet for packet, _ in sent)), strict=True):
        sound(layer, secured)


def test_messages_and_tcp_segments_do_not_coincide() -> None:
    one, two, three = (request(WriteFull(64, bytes(size)), seal_with=CIPHERED) for size in (10, 400, 20))
    layers = read(Packet(one + two[:100]), Packet(two[100:300]), Packet(two[300:] + three))
    assert [len(layer) for layer in layers] == [1, 0, 2]
    for layer in layers:
        assert complaints(layer) == []
    assert [len(service) for layer in layers for service in services(layer)] == [16, 406, 26]


@pytest.mark.parametrize("mode", SEALS)
def test_titles_ids_qualifiers_and_control(mode: str) -> None:
    qualifiers = (None, acse.TEST, acse.URGENT | acse.NOTIFICATION)
    flags = list(product(TITLES.values(), qualifiers, Respond, (None, b"TEMP"), (1, 200, 40_000, 2**31)))
    sent = [
        request(ReadFull(1), Identify(), seal_with=SEALS[mode], called=called, calling=calling, invocation=invocation,
                qualifier=qualifier, respond=respond, ed_class=ed_class)
        for (called, calling), qualifier, respond, ed_class, invocation in flags
    ]  # fmt: skip
    for ((called, calling), qualifier, respond, ed_class, invocation), layer in zip(
        flags, read(*map(Packet, sent)), strict=True
    ):
        sound(layer, SEALS[mode])
        assert [shown(layer, "called"), shown(layer, "calling")] == [called.text, calling.text]
        assert next(fields(layer, "c1222.calling_AP_invocation_id")) == str(invocation)
        assert list(fields(layer, "c1222.calling_AE_qualifier")) == ([] if qualifier is None else [str(qualifier)])
        assert next(fields(layer, "c1222.epsem.flags.response_control")) == f"0x{respond:02x}"
        assert list(fields(layer, "c1222.epsem.edclass")) == ([] if ed_class is None else [ed_class.hex(":")])
        assert services(layer) == [b"\x30\x00\x01", b"\x20"]


def shown(layer: Any, which: str) -> str:
    """A title as Wireshark has it, relative ones after a dot, as here."""
    return str(next(value for form in ("abs", "rel") for value in fields(layer, f"c1222.{which}_ap_title_{form}")))


def test_fields_of_services() -> None:
    asked: tuple[Request, ...] = (
        Logon(2, b"head-end", 60),
        Security(PASSWORD, 2),
        ReadOffset(64, 70_000, 1024),
        WriteOffset(2048 + 5, 3, b"\1\2\3"),
        WriteFull(7, bytes.fromhex("0a080701020304")),
    )
    expected = {
        "logon.id": ["2", "2"],
        "logon.user": ["head-end  "],
        "security.password": [PASSWORD.decode()],
        "read.table": ["0x0040"],
        "read.offset": ["0x011170"],
        "read.count": ["1024"],
        "write.table": ["0x0805", "0x0007"],
        "write.offset": ["0x000003"],
        "write.data": ["01:02:03", "01:02:03:04"],
        "procedure.num": ["10"],
        "procedure.mfg": ["1"],
        "procedure.sequence": ["7"],
    }
    (layer,) = read(Packet(request(*asked, seal_with=CIPHERED)))
    sound(layer, CIPHERED)
    assert {name: list(fields(layer, f"c1222.{name}")) for name in expected} == expected


def lengths_differ(octets: bytes) -> bool:
    """Whether the three lengths of the user information are of different sizes."""
    element = acse.split(octets)[-1]
    external = ber.read(element.content, 0)
    piece = ber.read(external.content, 0)
    return len({len(ber.length(len(each.content))) for each in (element, external, piece)}) > 1


@pytest.mark.parametrize("mode", [Mode.AUTHENTICATED, Mode.CIPHERED])
def test_sizes(mode: Mode) -> None:
    seal_with = Seal(mode, KEY, KEY_ID, b"\0\0\0\1")
    sent = [
        request(WriteFull(64, bytes(size)), seal_with=seal_with) for size in [*range(300), 500, 1000, 4000, 16_000, 60_000]
    ]
    layers = read(*map(Packet, sent))
    differ = {len(octets) for octets in sent if lengths_differ(octets)}
    assert len(differ) <= 10
    failed = {len(octets) for octets, layer in zip(sent, layers, strict=True) if complaints(layer)}
    assert failed <= differ


def test_notifications() -> None:
    sent = [notification(WriteFull(table, bytes(30)), seal_with=secured) for table in (71, 76) for secured in SEALS.values()]
    for octets, layer in zip(sent, read(*(Packet(octets, udp=True) for octets in sent)), strict=True):
        assert complaints(layer) == []
        assert services(layer) == list(open_(octets, KEYS).services)
        assert next(fields(layer, "c1222.calling_AE_qualifier")) == str(acse.URGENT | acse.NOTIFICATION)


def test_segments_make_a_message_that_is_read() -> None:
    whole = request(WriteFull(64, bytes(range(250))), seal_with=CIPHERED)
    pieces, segments = cut(whole, 128), Segments()
    (layer,) = read(Packet(next(made for made in (segments.take(piece, 0.0) for piece in pieces) if made)))
    sound(layer, CIPHERED)
    for layer in read(*(Packet(piece, udp=True) for piece in pieces)):
        said = str(complaints(layer))
        assert "found class:CONTEXT(2) tag:3" in said  # A3
        assert shown(layer, "called") == METER.text


def test_a_wrong_key_is_what_tshark_says_it_is() -> None:
    """The checks above can fail: another key, a flipped bit and a cut message are complained of."""
    good = request(WriteFull(64, bytes(30)), seal_with=CIPHERED)
    other = request(WriteFull(64, bytes(30)), seal_with=Seal(Mode.CIPHERED, bytes(16), KEY_ID, b"\0\0\0\1"))
    cut_short = ber.tlv(0x60, acse.encode(acse.Apdu(METER, HES, 1, information=b"\x80\x09\x20"))[2:])
    flipped = good[:-6] + bytes((good[-6] ^ 1,)) + good[-5:]
    assert [bool(complaints(layer)) for layer in read(*map(Packet, (good, other, cut_short, flipped)))] == [
        False,
        True,
        True,
        True,
    ]
