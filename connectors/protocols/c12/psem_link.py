"""C12.18's link (ANSI C12.18, 6) at either end: octets and time in, octets and services out.

    closed ──open──▶ idle ──send──▶ sending ──last ACK──▶ waiting ──packet──▶ receiving ──last packet──▶ idle
                      └──packet──▶ receiving               └── no progress ──▶ broken ──open, close──▶

One packet is under way at a time: it is sent again on NAK and on silence, until its ACK comes. A packet that came is
acknowledged at once, refused (NAK) where it is altered, and passed over where it is the one before once more: same toggle,
same CRC. That memory ends when our own service is acknowledged, because from then on nobody has a reason to repeat it;
so peers that never turn the toggle are understood as well. A packet of the other end in place of an ACK is one: it has
heard enough. So each service arrives once and whole, or the link raises.

The end that asks (`asks`, a client) waits for an answer to what it sends; the other waits for whatever comes. What negotiate
and timing setup settle between two services, the asking end takes from them as they pass; the other is told (`agree`).
"""

from __future__ import annotations

from collections import deque
from enum import Enum
from typing import NamedTuple

from connectors.protocols.c12.errors import C12Error, FramingError, PeerError
from connectors.protocols.c12.psem_frames import Bad, Frames, Item, Noise, Packet, Sign, packets_of
from connectors.protocols.c12.psem_timing import DEFAULTS, TIMING, Agreed, Timing, agreed_by


class State(Enum):
    """Where the link is."""

    CLOSED = "closed"
    IDLE = "idle"
    SENDING = "sending"
    WAITING = "waiting"
    RECEIVING = "receiving"
    BROKEN = "broken"


class Event(Enum):
    """What moves it: signs and packets of the other end, calls, and what they lead to."""

    OPEN = "open"
    SEND = "send"
    WAIT = "wait"
    CLOSE = "close"
    ACK = "ACK"
    LAST_ACK = "last ACK"
    NAK = "NAK"
    PART = "part"
    WHOLE = "whole"
    GIVE_UP = "give up"


_E, _S = Event, State

TRANSITIONS: dict[State, dict[Event, State]] = {
    _S.CLOSED: {_E.OPEN: _S.IDLE, _E.CLOSE: _S.CLOSED},
    _S.IDLE: {_E.SEND: _S.SENDING, _E.WAIT: _S.WAITING, _E.PART: _S.RECEIVING, _E.WHOLE: _S.IDLE, _E.GIVE_UP: _S.BROKEN,
              _E.CLOSE: _S.CLOSED},
    _S.SENDING: {_E.ACK: _S.SENDING, _E.NAK: _S.SENDING, _E.LAST_ACK: _S.WAITING, _E.GIVE_UP: _S.BROKEN,
                 _E.PART: _S.RECEIVING, _E.WHOLE: _S.IDLE, _E.CLOSE: _S.CLOSED},
    _S.WAITING: {_E.PART: _S.RECEIVING, _E.WHOLE: _S.IDLE, _E.GIVE_UP: _S.BROKEN, _E.CLOSE: _S.CLOSED},
    _S.RECEIVING: {_E.PART: _S.RECEIVING, _E.WHOLE: _S.IDLE, _E.GIVE_UP: _S.BROKEN, _E.CLOSE: _S.CLOSED},
    _S.BROKEN: {_E.OPEN: _S.IDLE, _E.CLOSE: _S.CLOSED},
}  # fmt: skip
"""The machine. A sign or packet without a row is passed over, a call without one raises "link-state"."""

_Key = tuple[bool, bytes]


class Received(NamedTuple):
    """What octets from the other end amounted to."""

    apdus: tuple[bytes, ...]
    """Whole services."""
    replies: bytes
    """To be written at once."""


class PsemLink:
    """One end of one line. Nothing is held but one service each way."""

    def __init__(self, timing: Timing = TIMING, *, asks: bool = True, identity: int = 0, max_service: int = 0x10010) -> None:
        self._made_with, self._asks, self._identity, self._max_service = timing, asks, identity, max_service
        self.state = State.CLOSED
        self._failure: C12Error | None = None
        self.refused = 0
        """Packets that were altered on the way."""
        self.repeated = 0
        """Packets sent again."""
        self._reset()

    def _reset(self) -> None:
        self.agreed = DEFAULTS
        """What negotiate and timing setup have settled."""
        self._frames = Frames(self._made_with.octet_s)
        self._unsent: deque[Packet] = deque()
        self._toggle = False
        self._last: _Key | None = None
        self._parts: list[bytes] = []
        self._size = self._expected = 0
        self._asked = b""
        self._attempts = 0
        self._progress = 0.0
        self._deadline: float | None = None

    @property
    def _timing(self) -> Timing:
        return self.agreed.timing or self._made_with

    @property
    def opened(self) -> bool:
        """Whether services may be sent."""
        return self.state not in (State.CLOSED, State.BROKEN)

    @property
    def deadline(self) -> float | None:
        """When `tick` has something to do; None where nothing is waited for."""
        if self._failure is not None:
            return float("-inf")
        if not self.opened:
            return None
        return min((at for at in (self._deadline, self._frames.due) if at is not None), default=None)

    def open(self, now: float) -> bytes:
        """Begin. C12.18's link has nothing to say first: the session identifies."""
        self._call(Event.OPEN)
        self._failure = None
        self._reset()
        self._progress = now
        return b""

    def send(self, service: bytes, now: float) -> bytes:
        """Octets that carry `service`; further ones come out of `receive`. b"" waits for one more service.

        Raises FramingError: "psem-packets" where it is longer than was negotiated, "link-state" where one is under way.
        """
        self._raise_failure()
        if not service:
            self._call(Event.WAIT)
            self._wait(now)
            return b""
        if Event.SEND not in TRANSITIONS[self.state]:
            raise _not_now("send", self.state.value)
        size, packets = self.agreed.packet_size, self.agreed.packets
        self._unsent.extend(packets_of(service, size, packets, toggle=self._toggle, identity=self._identity))
        self._toggle ^= bool(len(self._unsent) & 1)
        self._call(Event.SEND)
        self._asked, self._attempts, self._progress = service, 0, now
        return self._put(now)

    def agree(self, agreed: Agreed) -> None:
        """What holds from the next service on. Between services only."""
        self.agreed = agreed
        self._frames.octet_s = self._timing.octet_s

    def receive(self, data: bytes, now: float) -> Received:
        """Octets that came, in whatever pieces. Raises C12Error, after what came whole before was given out."""
        self._raise_failure()
        if not self.opened:
            return Received((), b"")
        services, replies = self._take_all(self._frames.feed(data, now), now)
        if data and self._deadline is not None and self.state is not State.SENDING:
            self._deadline = self._timing.extended(self._deadline, now, self._progress)
        return Received(services, replies)

    def tick(self, now: float) -> bytes:
        """Time has passed: octets to send again, or a NAK for a packet that stopped in the middle.

        Raises PeerError "link-timeout" where the other end is given up.
        """
        self._raise_failure()
        if not self.opened:
            return b""
        replies = b""
        if self._frames.expire(now) is not None:
            self.refused += 1
            replies = Sign.NAK.octets
        if self._deadline is None or now < self._deadline:
            return replies
        if self.state is State.SENDING:
            return replies + self._again(now)
        self._give_up(_SILENT_IN[self.state])
        return b""

    def close(self, now: float) -> bytes:  # noqa: ARG002 - a link's signature
        """End. Nothing is said: the session terminates."""
        self._call(Event.CLOSE)
        self._failure = None
        self._reset()
        return b""

    def _take_all(self, items: list[Item], now: float) -> tuple[tuple[bytes, ...], bytes]:
        services: list[bytes] = []
        replies, altered = b"", False
        for item in items:
            if isinstance(item, Bad):
                self.refused += 1
                altered = True
                continue
            if isinstance(item, Packet):
                altered = False  # what was altered before it has come again already
            try:
                replies += self._take(item, now, services)
            except C12Error as error:
                if not services:
                    raise
                self._failure = error  # what came whole before it is not withheld
                break
        return tuple(services), replies + Sign.NAK.octets * altered

    def _take(self, item: Packet | Sign | Noise, now: float, services: list[bytes]) -> bytes:
        if isinstance(item, Packet):
            return self._packet(item, now, services)
        if isinstance(item, Noise) or self.state is not State.SENDING:
            return b""  # nothing of ours is under way: the ACK of a packet that was sent twice
        if item is Sign.ACK:
            return self._acknowledged(now)
        self._step(Event.NAK)
        return self._again(now)

    def _acknowledged(self, now: float) -> bytes:
        self._unsent.popleft()
        self._attempts, self._progress = 0, now
        if self._unsent:
            self._step(Event.ACK)
            return self._put(now)
        self._step(Event.LAST_ACK)
        self._last = None
        self._wait(now)
        return b""

    def _packet(self, packet: Packet, now: float, services: list[bytes]) -> bytes:
        key = (packet.toggle, packet.octets[-2:])
        nobody_asked = self._asks and self.state is State.IDLE
        if key == self._last or nobody_asked or not packet.data:
            self._last = key
            return Sign.ACK.octets
        if not packet.multi or packet.first:  # where one was under way, its sender has given it up
            self._parts, self._size, self._expected = [], 0, packet.sequence
        self._check(packet)
        self._unsent.clear()
        self._parts.append(packet.data)
        self._size += len(packet.data)
        self._expected -= 1
        self._last, self._attempts, self._progress = key, 0, now
        if self._size > self._max_service:
            self._break(f"more than {self._max_service} octets of packets for one service: ask for less", "frame-oversized")
        if packet.sequence:
            self._step(Event.PART)
            self._wait(now)
            return Sign.ACK.octets
        service = b"".join(self._parts)
        self._parts, self._deadline = [], None
        self._step(Event.WHOLE)
        services.append(service)
        if self._asks:
            self.agree(agreed_by(self.agreed, self._asked, service))
        return Sign.ACK.octets

    def _check(self, packet: Packet) -> None:
        """Whether a packet is the one that is due."""
        if packet.multi and not packet.first and self.state is not State.RECEIVING:
            self._break(f"packet {packet.sequence} of several, and the first of them did not come", "frame-segmentation")
        if packet.sequence != self._expected:
            self._break(f"packet {packet.sequence} of several where {self._expected} was due", "frame-segmentation")
        if packet.sequence and not packet.multi:
            self._break(f"packet {packet.sequence} of several that is marked as a single one", "frame-segmentation")

    def _put(self, now: float) -> bytes:
        octets = self._unsent[0].encode()
        self._deadline = now + self._timing.acknowledgement(len(octets))
        return octets

    def _again(self, now: float) -> bytes:
        self._attempts += 1
        if self._attempts > self._timing.retries:
            self._give_up(f"did not acknowledge a packet, sent {self._attempts} times")
        self.repeated += 1
        return self._put(now)

    def _wait(self, now: float) -> None:
        waits = self._asks or self.state is State.RECEIVING
        self._deadline = now + self._timing.traffic_s if waits else None

    def _give_up(self, what: str) -> None:
        self._step(Event.GIVE_UP)
        self._deadline = None
        detail = f"the meter {what}: check the line, its rate and that the meter has power, or try again later"
        raise PeerError("link-timeout", detail, retry=True)

    def _break(self, what: str, code: str) -> None:
        self._step(Event.GIVE_UP)
        self._deadline = None
        raise FramingError(code, f"{what}; terminate and begin again with identify")

    def _step(self, event: Event) -> None:
        self.state = TRANSITIONS[self.state][event]

    def _call(self, event: Event) -> None:
        if event not in TRANSITIONS[self.state]:
            raise _not_now(event.value, self.state.value)
        self._step(event)

    def _raise_failure(self) -> None:
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure


_SILENT_IN = {
    State.WAITING: "acknowledged the request and did not answer it",
    State.RECEIVING: "stopped in the middle of its answer",
}


def _not_now(what: str, state: str) -> FramingError:
    return FramingError("link-state", f"{what} on a link that is {state}: open it first, and send one service at a time")
