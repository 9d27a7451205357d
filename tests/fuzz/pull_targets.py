"""Targets of the side that asks: sessions and their layers, driven by a meter that answers anything."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from connectors.protocols.dlms import client, short_names
from connectors.protocols.dlms.action import Method, invoke, invoke_list
from connectors.protocols.dlms.association import (
    PROPOSED,
    PROPOSED_SHORT_NAMES,
    Associated,
    Association,
    associate,
    read_aare,
)
from connectors.protocols.dlms.ber import tlv
from connectors.protocols.dlms.ciphering import GLO_INITIATE_RESPONSE, cipher, service_tag
from connectors.protocols.dlms.client_apdus import CLOSED, Session
from connectors.protocols.dlms.errors import DlmsError, PeerError
from connectors.protocols.dlms.gbt_session import gbt_session
from connectors.protocols.dlms.get import Attribute, ByEntry, ByRange, Limits, get, get_list
from connectors.protocols.dlms.hls import Hls, Mechanism
from connectors.protocols.dlms.objects.object_list import read_object_list
from connectors.protocols.dlms.profile_shape import Rules
from connectors.protocols.dlms.put import put, put_list
from connectors.protocols.dlms.security import Channel, MemoryCounter, Wrapping, secured
from connectors.protocols.dlms.short_name_session import by_short_names
from tests.fuzz.harness import Answer, Finding, Pieces, Target, associated, drive, enveloped, expect, own, raw
from tests.fuzz.push_targets import CLIENT_TITLE, KEYS, TITLE, ZONES

LIMITS = Limits(octets=4096, blocks=32)
REGISTER, CLOCK = Attribute(3, "1.0.1.8.0.255", 2), Attribute(8, "0.0.1.0.0.255", 2)
PROFILE = Attribute(7, "1.0.99.1.0.255", 2)
RELAY = Method(70, "0.0.96.3.10.255", 1)
_STAMP = bytes.fromhex("07E70401060E302F008000FF")


def run_get(data: bytes) -> None:
    """GET: normal, in blocks, as a list; with selections."""
    pieces = Pieces(data)
    kind = pieces.octet()
    link = associated(max_send=(0, 64)[kind >> 3 & 1])
    sessions: tuple[Callable[[], Session[Any]], ...] = (
        lambda: get(link, REGISTER, limits=LIMITS),
        lambda: get(link, PROFILE, ByRange(_STAMP, _STAMP), limits=LIMITS),
        lambda: get(link, PROFILE, ByEntry(1, 0), limits=LIMITS),
        lambda: get_list(link, [REGISTER] * 3 + [CLOCK], limits=LIMITS),
    )
    found = drive(sessions[kind & 3](), raw(pieces))
    if kind & 3 == 3 and found is not None:
        expect(len(found) == 4, "another number of results than was asked for")
    elif isinstance(found, bytes):
        expect(len(found) <= LIMITS.octets + len(data), "more than the limit")


def run_put(data: bytes) -> None:
    """SET: normal, in blocks, as a list."""
    pieces = Pieces(data)
    kind = pieces.octet()
    link = associated(max_send=(0, 32, 64, 4)[kind >> 2 & 3])
    value = b"\x09\x30" + bytes(48)
    if kind & 1:
        found = drive(put_list(link, [(REGISTER, b"\x05\0\0\0\x01"), (CLOCK, value), (REGISTER, b"\0")]), raw(pieces))
        expect(found is None or len(found) == 3, "another number of results than was asked for")
    else:
        drive(put(link, CLOCK, value), raw(pieces))


def run_action(data: bytes) -> None:
    """ACTION: with and without a parameter, in blocks both ways, as a list."""
    pieces = Pieces(data)
    kind = pieces.octet()
    link = associated(max_send=(0, 32, 64, 4)[kind >> 2 & 3])
    parameter = b"\x09\x30" + bytes(48)
    sessions: tuple[Callable[[], Session[Any]], ...] = (
        lambda: invoke(link, RELAY, limits=LIMITS),
        lambda: invoke(link, RELAY, parameter, limits=LIMITS),
        lambda: invoke_list(link, [(RELAY, None), (RELAY, b"\x0f\0"), (RELAY, parameter)], limits=LIMITS),
    )
    drive(sessions[(kind & 3) % 3](), raw(pieces))


def run_gbt_session(data: bytes) -> None:
    """General block transfer around a GET and a long SET; a piece of one FE is silence on the link."""
    pieces = Pieces(data)
    kind = pieces.octet()
    link = associated()
    inner: Session[Any] = put(link, CLOCK, b"\x09\x7f" + bytes(127)) if kind & 1 else get(link, PROFILE, limits=LIMITS)
    session = gbt_session(inner, (0, 16, 40, 9)[kind >> 1 & 3], window=kind >> 3 & 7 or 63, limits=LIMITS)
    number = 0
    try:
        request = next(session)
        for _ in range(len(data) + 64):
            octets = pieces.piece() if pieces.left else CLOSED
            if octets == b"\xfe":
                request = session.throw(PeerError("link-timeout", "silence", retry=True))
                continue
            if octets[:1] == b"\xb0":  # the next block as it should be: control, then its part
                number += 1
                asked = int.from_bytes(request[2:4], "big") if request[:1] == b"\xe0" else 1
                part = octets[2:129]
                head = bytes((0xE0, octets[1] if len(octets) > 1 else 0)) + number.to_bytes(2, "big")
                octets = head + asked.to_bytes(2, "big") + bytes((len(part),)) + part
            request = session.send(octets)
    except StopIteration:
        return
    except DlmsError as error:
        own(error)
        return
    raise Finding("the session goes on asking a meter that has closed the connection")


@cache
def _names() -> short_names.ShortNames:
    rows = ((0x1000, 3, 0, "1.0.1.8.0.255"), (0x2BC0, 8, 0, "0.0.1.0.0.255"), (0x3000, 7, 1, "1.0.99.1.0.255"),
            (0x4000, 70, 0, "0.0.96.3.10.255"))  # fmt: skip
    return short_names.ShortNames([short_names.SnObject(*row) for row in rows])


def run_short_names(data: bytes) -> None:
    """Short names: the object list, reads and lists of them, writes, methods; in blocks or not."""
    pieces = Pieces(data)
    kind = pieces.octet()
    link = associated(PROPOSED_SHORT_NAMES, (0, 32)[kind >> 7])
    names = _names()
    sessions: tuple[Callable[[], Session[Any]], ...] = (
        lambda: short_names.read_names(link, limits=LIMITS),
        lambda: short_names.sn_get(link, names, REGISTER, limits=LIMITS),
        lambda: short_names.sn_get(link, names, PROFILE, ByRange(_STAMP, _STAMP), limits=LIMITS),
        lambda: short_names.sn_get_list(link, names, [REGISTER, CLOCK, PROFILE], limits=LIMITS),
        lambda: short_names.sn_put(link, names, CLOCK, b"\x09\x30" + bytes(48)),
        lambda: short_names.sn_invoke(link, names, RELAY),
        lambda: short_names.sn_invoke(link, names, RELAY, b"\x0f\0", returns=True),
    )
    answer = enveloped(pieces) if kind & 0x40 else raw(pieces)
    if kind & 8:
        drive(_in_logical_names(link, kind), answer)
    else:
        drive(sessions[(kind & 7) % 7](), answer)


def _in_logical_names(agreed: Associated, kind: int) -> Session[Any]:
    """A session with logical names over short ones; with names that are known, or asked for."""
    link = Associated(PROPOSED | PROPOSED_SHORT_NAMES, 0, short=agreed)
    link.names = _names() if kind & 0x10 else None
    sessions: tuple[Callable[[], Session[Any]], ...] = (
        lambda: get(link, PROFILE, ByRange(_STAMP, _STAMP), limits=LIMITS),
        lambda: get_list(link, [REGISTER, CLOCK, PROFILE], limits=LIMITS),
        lambda: put(link, CLOCK, b"\x09\x30" + bytes(48)),
        lambda: put_list(link, [(REGISTER, b"\x05\0\0\0\x01"), (CLOCK, b"\0")]),
        lambda: invoke_list(link, [(RELAY, None), (RELAY, b"\x0f\0")], limits=LIMITS),
        lambda: read_object_list(link, limits=LIMITS),
    )
    return by_short_names(sessions[(kind & 7) % 6](), link)


def channel(kind: int) -> Channel:
    """A ciphered channel to the meter, as it is when the association is open."""
    wrapping = (Wrapping.SERVICE, Wrapping.GENERAL, Wrapping.CIPHERING)[kind % 3]
    return Channel(title=CLIENT_TITLE, keys=KEYS, counter=MemoryCounter(), peer=TITLE, wrapping=wrapping)


def _sealing(answer: Answer) -> Answer:
    """What a meter with the right keys makes of answers; those that no service carries go as they are."""
    counter = MemoryCounter()

    def sealed(request: bytes) -> bytes:
        plain = answer(b"")
        if not plain or not 0xC0 <= plain[0] <= 0xC7:
            return plain
        return cipher(plain, KEYS, TITLE, counter.next(), 0x30, tag=service_tag(plain))

    return sealed


def run_secured(data: bytes) -> None:
    """A ciphered channel: answers as they come, and answers that were sealed with the right keys."""
    pieces = Pieces(data)
    kind = pieces.octet()
    session = get(associated(), REGISTER, limits=LIMITS)
    answer = raw(pieces)
    got = drive(secured(session, channel(kind >> 2)), _sealing(answer) if kind & 2 else answer)
    if not kind & 2 and got is not None:
        raise Finding("an answer that nobody sealed was taken")


def _associations(kind: int) -> Association:
    ciphered = channel(0)
    ciphered.peer = TITLE if kind & 8 else None
    unciphered = Channel(title=CLIENT_TITLE, keys=KEYS, counter=MemoryCounter(), policy=0)
    return (
        Association,
        lambda: Association(password=b"12345678"),
        lambda: Association(hls=Hls(Mechanism.MD5, b"secret")),
        lambda: Association(hls=Hls(Mechanism.GMAC), channel=ciphered),
        lambda: Association(hls=Hls(Mechanism.GMAC), channel=unciphered),
        lambda: Association(hls=Hls(Mechanism.SHA256, b"secret"), channel=ciphered),
        lambda: Association(channel=ciphered),
        lambda: Association(short_names=True, conformance=PROPOSED_SHORT_NAMES),
    )[kind & 7]()


def run_aare(data: bytes) -> None:
    """The answer to an association request, and the passes after it, for each way to associate.

    With the highest bit the AARE is made of its fields, and its initiateResponse ciphered where that is wanted.
    """
    pieces = Pieces(data)
    kind = pieces.octet()
    config = _associations(kind)
    if kind & 0x80:
        answers = [_aare(pieces, kind, config)]
        drive(associate(config), lambda _: answers.pop() if answers else raw(pieces)(b"\0\0\0"))
    elif kind & 0x40:
        drive(associate(config), raw(pieces))
    else:
        try:
            link = read_aare(pieces.rest(), config)
            expect(0 <= link.max_send_pdu <= 0xFFFF, "a PDU size that is none")
        except DlmsError as error:
            own(error)


def _aare(pieces: Pieces, kind: int, config: Association) -> bytes:
    """An AARE of fields: context, result, diagnostic, title, mechanism, challenge, initiateResponse."""
    context = bytes.fromhex("60857405080100")[:-1] + bytes((pieces.octet(),))
    mechanism = bytes.fromhex("608574050802") + bytes((pieces.octet(),))
    fields = tlv(0xA1, tlv(6, context)) + tlv(0xA2, tlv(2, pieces.piece())) + tlv(0xA3, tlv(0xA1, tlv(2, pieces.piece())))
    fields += tlv(0xA4, tlv(4, TITLE if kind & 0x20 else pieces.piece()[:120]))
    fields += tlv(0x89, mechanism) + tlv(0xAA, tlv(0x80, pieces.piece()[:120]))
    initiate = pieces.piece()[:200]
    if config.ciphered and kind & 0x10:
        initiate = cipher(initiate, KEYS, TITLE, 1, 0x30, tag=GLO_INITIATE_RESPONSE)
    return tlv(0x61, fields + tlv(0xBE, tlv(4, initiate)))


def run_client(data: bytes) -> None:
    """Clock, registers, and a profile that is discovered first, over answers in order."""
    pieces = Pieces(data)
    kind = pieces.octet()
    link = associated(max_send=(0, 48)[kind >> 7])
    span = client.Span(1_680_000_000_000, 1_681_000_000_000)
    sessions: tuple[Callable[[], Session[Any]], ...] = (
        lambda: client.read_clock(link),
        lambda: client.read_registers(link, [REGISTER, CLOCK, Attribute(4, "1.0.1.6.0.255", 2)]),
        lambda: client.discover(link, PROFILE.obis),
        lambda: client.read_profile(link, PROFILE.obis, span, Rules(ZONES[1])),
        lambda: client.entries_in_use(link, PROFILE.obis),
    )
    drive(sessions[(kind & 7) % 5](), enveloped(pieces))


TARGETS = (
    Target("aare", run_aare, 2),
    Target("get", run_get, 3),
    Target("put", run_put, 3),
    Target("action", run_action, 3),
    Target("gbt_session", run_gbt_session, 2),
    Target("short_names", run_short_names, 3),
    Target("secured", run_secured, 2),
    Target("client", run_client, 2),
)
