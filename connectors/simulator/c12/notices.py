"""What a C12.22 meter says unasked: its registration, entries of its event log, its last gasp, and bytes that are wrong."""

from __future__ import annotations

import random
from dataclasses import dataclass

from connectors.protocols.c12 import acse
from connectors.protocols.c12.acse import Apdu
from connectors.protocols.c12.c1222_messages import notify
from connectors.protocols.c12.c1222_security import Seal
from connectors.protocols.c12.c1222_services import END_DEVICE, Register, Request
from connectors.protocols.c12.epsem import Respond
from connectors.protocols.c12.requests import WriteFull
from connectors.protocols.c12.titles import ApTitle, title
from connectors.simulator.c12.logs import (
    CLOCK_ERROR,
    LOW_POTENTIAL,
    POWER_DOWN,
    POWER_UP,
    REVERSE_ROTATION,
    TAMPER,
    Entry,
    notice,
)
from connectors.simulator.c12.message_server import MessageServer

EVENT_LOG = 76
HEAD_END = title(".1")
"""Whom meters know as theirs; the gateway's own title unless it is set."""
PERIOD_S = 86_400
_CONNECTIONLESS = 0x30  # accepts and opens messages without a connection; replays are refused (bit 2)
_REFUSES_REPLAYS = 0x04

CODES = {
    "outage": (POWER_DOWN,), "restoration": (POWER_UP,), "tamper": (TAMPER, REVERSE_ROTATION),
    "voltage": (LOW_POTENTIAL,), "clock": (CLOCK_ERROR,),
}  # fmt: skip
"""The event codes for each kind of happening."""

NOISE = ("bad-truncated", "bad-key", "bad-replay", "unknown-meter", "garbage")

_SCANS = (b"GET / HTTP/1.1\r\nHost: meter\r\n\r\n", b"SSH-2.0-scan\r\n", b"\xaa" * 48)


def registration(server: MessageServer, serial: str) -> Register:
    """What a meter asks when it comes into its network."""
    own = server.identity
    return Register(
        END_DEVICE, _CONNECTIONLESS | _REFUSES_REPLAYS, own.kind.device_class, own.title, title(f".{serial}"),
        own.native_address, PERIOD_S,
    )  # fmt: skip


def brought(entries: list[tuple[int, Entry]], server: MessageServer) -> WriteFull:
    """Entries of the event log as a meter writes them to whom it notifies."""
    return WriteFull(EVENT_LOG, notice(entries, server.identity.kind))


@dataclass(frozen=True, slots=True)
class Spoken:
    """A message on its way: its octets, and the id that its answer names."""

    octets: bytes
    invocation: int


def spoken(
    server: MessageServer, request: Request, *, urgent: bool = False, one_way: bool = False, mute: Seal | None = None,
    who: ApTitle | None = None,
) -> Spoken:  # fmt: skip
    """A message made now, under an id and a vector of its own. `mute` and `who` are of one who lies."""
    own, invocation = server.identity, server.numbers.invocation()
    qualifier = 0 if isinstance(request, Register) else acse.NOTIFICATION | (acse.URGENT if urgent else 0)
    apdu = Apdu(HEAD_END, who or own.title, invocation, qualifier=qualifier or None)
    seal_with = (server.seal() if who is None else None) if mute is None else mute
    respond = Respond.NEVER if one_way else Respond.ALWAYS
    return Spoken(notify(apdu, [request], seal_with, respond=respond, base=own.base), invocation)


def noise(what: str, server: MessageServer, request: Request, heard: bytes, rng: random.Random) -> bytes | None:
    """The bytes of one kind, made from a good notification; None where there is nothing to play again (`heard`)."""
    if what == "bad-truncated":
        good = spoken(server, request, one_way=True).octets
        return good[: rng.randrange(len(good) // 2, len(good) - 1)]
    if what == "bad-key":
        own = server.seal()
        wrong = None if own is None else Seal(own.mode, rng.randbytes(16), own.key_id, own.iv)
        return None if wrong is None else spoken(server, request, one_way=True, mute=wrong).octets
    if what == "bad-replay":
        return heard or None
    if what == "unknown-meter":
        return spoken(server, request, one_way=True, who=title(f".{rng.randrange(900_000_000, 999_999_999)}")).octets
    return rng.choice(_SCANS)
