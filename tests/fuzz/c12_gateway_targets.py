"""Targets of what the gateway makes of C12.22 meters that speak unasked: octets, and services that are rightly sealed."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

from connectors.gateway.drivers.c12_known import Known
from connectors.gateway.drivers.c1222_hearing import C1222Conversation
from connectors.gateway.drivers.c1222_numbers import Numbers, Windows
from connectors.gateway.drivers.c1222_pushes import Pushes, PushTools
from connectors.gateway.keystore import MeterKeys
from connectors.gateway.pipeline import Push
from connectors.protocols.c12.acse import Apdu
from connectors.protocols.c12.c1222_security import Seal, seal
from connectors.protocols.c12.epsem import Body, Mode, Respond
from connectors.templates.c12_template import C12Template, LogonTemplate, MessageTemplate
from schemas.records import Identity, IdentityKind, Meter, MeterState
from streams.runtime.clock import ManualClock
from tests.fuzz.harness import Pieces, Target, expect
from tests.unit.connectors.gateway.builders import NOW, FakeKeys, pipeline
from tests.unit.connectors.gateway.drivers.c12_meter import HEAD_END, KEY, KEY_ID, TITLE, tables

_MOST_SERVICES = 4


@cache
def _tools() -> PushTools:
    meter = Meter("m1", (Identity(IdentityKind.AP_TITLE, TITLE.text),), template="t", key_ref="k", state=MeterState.NORMAL)
    keys = FakeKeys({"k": MeterKeys(eax=bytes((KEY_ID,)) + KEY)})
    known = {number: octets for number, octets in tables().items() if number in (0, 11, 12, 15, 16, 21, 22, 27, 71)}
    template = C12Template("t", logon=LogonTemplate(c1222="NONE"), messages=MessageTemplate(), assumed=known)
    clock = ManualClock(NOW)
    return PushTools(pipeline(meter, keys=keys), keys, {"t": template}, Known(), Numbers(clock), Windows(), 3_600, 0)


def _conversation() -> C1222Conversation:
    """One that has heard nothing yet."""
    return C1222Conversation(Pushes(replace(_tools(), windows=Windows())), "10.0.0.7:1153")


def run_octets(data: bytes) -> None:
    """Octets in any pieces: each ends in an event or a letter, and none in a bug."""
    conversation = _conversation()
    pieces, pushes = Pieces(data), []
    size = pieces.octet() or 1
    octets = pieces.rest()
    for at in range(0, len(octets), size):
        pushes += conversation.feed(octets[at : at + size], NOW)
        expect(conversation.pending <= 1 << 18, "more is kept than may be")
    _sound(pushes + conversation.close(NOW))


def run_services(data: bytes) -> None:
    """Services as they come, rightly sealed: what a meter may say that has its keys."""
    pieces, conversation, number = Pieces(data), _conversation(), 0
    while pieces.left:
        how, number = pieces.octet(), number + 1
        services = tuple(pieces.piece() or b"\x20" for _ in range(1 + how % _MOST_SERVICES))
        mode, respond = Mode(how >> 2 & 3 if how >> 2 & 3 < 3 else 0), Respond(how >> 4 & 3 if how >> 4 & 3 < 3 else 0)
        apdu = Apdu(HEAD_END, TITLE, number, qualifier=how >> 6 or None)
        key = Seal(mode, KEY, KEY_ID, number.to_bytes(4, "big"))
        octets = seal(apdu, Body(services), key, respond=respond)
        pushes = conversation.datagram(octets, NOW)
        _sound(pushes)
        expect(len(pushes) == 1, "a message that comes to nothing, or to several")
        expect(respond is not Respond.NEVER or not pushes[0].reply, "an answer to what wants none")


def _sound(pushes: list[Push]) -> None:
    for push in pushes:
        expect(bool(push.events) or push.letter is not None, "a message that comes to nothing")
        expect(push.letter is None or push.letter.code != "internal", "a bug")


TARGETS = (Target("c1222_heard", run_octets, 1), Target("c1222_told", run_services, 2))
