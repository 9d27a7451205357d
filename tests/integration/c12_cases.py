"""What can be wrong with C12.22 meters, and what they tell unasked."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from typing import Any

from connectors.protocols.c12 import acse, responses
from connectors.protocols.c12.c1222_segments import cut
from connectors.protocols.c12.epsem import Mode
from connectors.protocols.c12.requests import Identify, WriteFull, WriteOffset
from tests.integration.c12_rig import RUN, own
from tests.unit.connectors.gateway.drivers.c12_meter import EVENTS, START, MessageMeter, Services, event, overlaid, tables

SENT = itertools.count(RUN % 100_000, 1_000)


def spoiled(mode: Mode, spoil: Callable[[bytes], list[bytes]], **more: Any) -> MessageMeter:
    return MessageMeter(mode=mode, spoil=spoil, **more)


def in_clear(message: bytes) -> list[bytes]:
    """The answer of somebody without the key."""
    apdu = acse.decode(message)
    return [acse.encode(acse.Apdu(apdu.called, apdu.calling, 1, apdu.called_invocation, information=b"\x80\x01\0"))]


SMALL = Services(octets=overlaid(tables(), t23=bytes(5)))
LONG = Services(octets=overlaid(tables(), t23=bytes(99)))

WRONG: dict[str, tuple[Callable[[], MessageMeter], dict[str, Any], str]] = {
    "our-key-is-another": (lambda: MessageMeter(mode=Mode.CIPHERED), {"template": "sealed", "key_ref": "other"},
                           "c1222-policy"),
    "mac-altered": (lambda: spoiled(Mode.CIPHERED, lambda m: [m[:-1] + bytes((m[-1] ^ 1,))]),
                    {"template": "sealed", "key_ref": "ring"}, "c1222-authentication"),
    "answer-in-clear": (lambda: spoiled(Mode.CIPHERED, in_clear), {"template": "sealed", "key_ref": "ring"}, "c1222-policy"),
    "vector-again": (lambda: MessageMeter(mode=Mode.CIPHERED, stuck=True), {"template": "sealed", "key_ref": "ring"},
                     "c1222-replay"),
    "no-key": (MessageMeter, {"template": "sealed", "key_ref": "nobody"}, "key-missing"),
    "table-refused": (lambda: MessageMeter(Services(refuse={23: responses.ISC})), {}, "psem-response"),
    "title-not-known-to-the-network": (lambda: MessageMeter(Services(refuse={0: responses.UAT})), {}, "psem-response"),
    "table-too-short": (lambda: MessageMeter(SMALL), {}, "table-size"),
    "table-too-long": (lambda: MessageMeter(LONG), {}, "table-size"),
    "no-title": (MessageMeter, {"identities": ()}, "c1222-title-unknown"),
    "segments-missing": (lambda: spoiled(Mode.CLEAR, lambda m: list(cut(m, 90)[:-1]) if len(m) > 90 else [m]), {},
                         "c1222-segments-incomplete"),
    "garbage": (lambda: spoiled(Mode.CLEAR, lambda m: [b"\x15" * 40 + m]), {}, "c1222-garbage"),
}  # fmt: skip
ALARMING = {"c1222-policy", "c1222-authentication", "c1222-replay"}


def meter_of(number: int, mode: Mode = Mode.CLEAR, **more: Any) -> MessageMeter:
    return MessageMeter(mode=mode, own=own(number), iv=int(time.time()), sent=next(SENT), **more)


def twice(meter: MessageMeter) -> list[bytes]:
    return [meter.notify([WriteOffset(76, 11, event(START + at, 3))]) for at in (700, 800)]


UNASKED: dict[str, tuple[int, Callable[[], list[bytes]], list[str], set[tuple[str, str]]]] = {
    "entry-by-offset": (
        3, lambda: [meter_of(3, Mode.AUTHENTICATED).notify([WriteOffset(76, 11, EVENTS[0])])], [],
        {("OUTAGE", "CRITICAL")},
    ),
    "whole-log-in-clear-of-a-meter-that-is-trusted": (
        1, lambda: [meter_of(1).notify([WriteFull(76, tables()[76])])], ["table-prerequisite"], set(),
    ),
    "in-clear-of-a-meter-that-secures": (
        2, lambda: [meter_of(2).notify([WriteFull(76, tables()[76])])], ["c1222-policy"], {("SECURITY", "CRITICAL")},
    ),
    "mac-altered": (
        2, lambda: [(m := meter_of(2, Mode.CIPHERED).notify([WriteFull(76, EVENTS[0])]))[:-1] + bytes((m[-1] ^ 1,))],
        ["c1222-authentication"], {("SECURITY", "CRITICAL")},
    ),
    "the-same-again": (
        3,
        lambda: [meter_of(3, Mode.AUTHENTICATED).notify([WriteOffset(76, 11, EVENTS[1])])] * 2,
        ["c1222-replay"],
        {("RESTORATION", "INFO")},
    ),
    "vector-again": (3, lambda: twice(meter_of(3, Mode.AUTHENTICATED, stuck=True)), ["c1222-replay"],
                     {("CLOCK", "INFO"), ("SECURITY", "CRITICAL")}),
    "too-short-to-be-proven": (
        4, lambda: [meter_of(4, Mode.CIPHERED).notify([WriteOffset(3, 0, b"")])], ["telegram-empty"], set(),
    ),
    "in-clear-of-a-meter-that-cannot-do-better": (
        4, lambda: [meter_of(4).notify([WriteFull(76, tables()[76])])], [],
        {("OUTAGE", "INFO"), ("RESTORATION", "INFO"), ("UNKNOWN", "INFO")},
    ),
    "nobody-asked": (3, lambda: [meter_of(3, Mode.AUTHENTICATED).notify([Identify()])], ["peer-unexpected"], set()),
    "nothing-in-it": (
        3, lambda: [meter_of(3, Mode.AUTHENTICATED).notify([WriteFull(75, b"\0" * 30)])], ["telegram-empty"], set(),
    ),
    "log-of-another-size": (
        3, lambda: [meter_of(3, Mode.AUTHENTICATED).notify([WriteFull(76, bytes(12))])], ["table-size"], set(),
    ),
}  # fmt: skip

STRANGE: dict[str, tuple[Callable[[], list[bytes]], str]] = {
    "title-unknown": (lambda: [meter_of(77).notify([WriteFull(76, tables()[76])])], "c1222-title-unknown"),
    "garbage": (lambda: [b"\x15" * 30], "c1222-garbage"),
    "cut-short": (lambda: [meter_of(1).notify([WriteFull(76, tables()[76])])[:-9]], "c1222-truncated"),
    "segments-missing": (
        lambda: list(cut(meter_of(1).notify([WriteFull(76, tables()[76])]), 90)[1:]), "c1222-segments-incomplete",
    ),
}  # fmt: skip
