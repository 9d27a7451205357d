"""One connection to one meter: what a sans-I/O session yields is framed and sent, what comes back is sent into it.

    connected ──run(session)──▶ busy ──session ends──▶ connected ──run …──▶ … ──close──▶ closed
                                 └──answer-timeout, connection-lost, broken frames──▶ closed, the session failed

Callbacks on a transport, no task and no timer of its own: `tick` is called from outside. Every frame is kept until
`take_frames`, which masks secrets. How a protocol frames its messages is a `Framing`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol, TypeAlias, TypeVar

from connectors.gateway.errors import JobError
from schemas.records import Direction, Frame, Transport
from streams.runtime.clock import Clock

T = TypeVar("T")

Session: TypeAlias = Generator[bytes, bytes, T]
"""Yields messages to send (b"" to wait for one more), is sent messages that came, returns T."""

CLOSED = b""
"""Sent into a session in place of a message: the connection has ended."""

Then = Callable[[Any, Exception | None], None]
"""Called with a session's result, or with None and what went wrong: the protocol's error, `JobError`, or a bug."""

SELDOM_S = 0.5
"""How often a visit is looked at that waits for nothing in particular."""
_SPILL = 262_144
_HANGS_UP = (
    "it may serve one client at a time, or break long answers off: try later, or ask for less at once; "
    "what a DLMS meter ended so on a list of is read one by one the next time"
)
_OUT, _IN = Direction.TO_METER, Direction.FROM_METER


@dataclass(frozen=True, slots=True)
class LinkTerms:
    """What every link has of its visit."""

    clock: Clock
    answer_timeout_s: float
    unasked: Callable[[bytes, bytes], None]
    """Given what a meter says between answers: the octets as its line would have heard them, and the message in them."""
    spill: Callable[[], None]
    """Called when many frames are kept: somebody is to take them."""
    repeat_s: float = 5.0
    """Datagrams: before a request is sent again."""


class Kind(Enum):
    """What a message is to the session on the link."""

    ANSWER = "answer"
    UNASKED = "unasked"
    """The meter's own idea: it takes the way of every push."""
    STRAY = "stray"
    """Late, or for somebody else: kept, and passed over."""


Heard = tuple[bytes, bytes, Kind]
"""A frame, the message in it, and what that is."""


class Framing(Protocol):
    """How messages travel on one connection; with a memory of what is not whole yet."""

    transport: Transport
    errors: tuple[type[Exception], ...]
    """What `feed`, and sessions over it, may raise."""

    def pack(self, message: bytes) -> bytes:
        """A message as it is sent."""

    def feed(self, data: bytes) -> Sequence[Heard]:
        """What is whole with these octets of a stream. Raises `errors` where nobody knows where the next message begins."""

    def datagram(self, data: bytes) -> Sequence[Heard]:
        """What a datagram holds; nothing where it is not well formed. Raises nothing."""

    def masked(self, frame: bytes) -> bytes:
        """A frame as it may be kept: without passwords and keys."""


class MeterLink(asyncio.Protocol):
    """A connection."""

    __slots__ = (
        "_answer_by",
        "_answer_timeout_s",
        "_clock",
        "_frames",
        "_framing",
        "_kept",
        "_session",
        "_spill",
        "_then",
        "_transport",
        "_unasked",
        "answered",
        "lost",
        "skipped",
        "skips",
        "spoken",
    )

    def __init__(self, framing: Framing, terms: LinkTerms) -> None:
        self._framing = framing
        self._clock = terms.clock
        self._answer_timeout_s = terms.answer_timeout_s
        self._unasked = terms.unasked
        self._spill = terms.spill
        self._transport: asyncio.Transport | None = None
        self._session: Session[Any] | None = None
        self._then: Then | None = None
        self._answer_by = 0.0
        self._frames: list[tuple[Direction, int, bytes]] = []
        self._kept = 0
        self.lost = False
        """Whether the connection has ended."""
        self.answered = False
        """Whether the meter ever said something."""
        self.spoken = False
        """Whether that made a message or frame: an octet now and then does not."""
        self.skips = False
        """Whether frames are counted only, and not kept: those of image blocks, see `drivers.dlms_firmware`."""
        self.skipped = 0
        """Octets of frames that were not kept."""

    @property
    def transport(self) -> Transport:
        """What frames are wrapped in."""
        return self._framing.transport

    def run(self, session: Session[Any], then: Then) -> None:
        """Drive a session to its end. One at a time."""
        if self._session is not None:
            raise RuntimeError("a session is under way on this connection")
        if self.lost:
            session.close()
            then(None, JobError("connection-lost", "the meter closed the connection", retry=True))
            return
        self._session, self._then = session, then
        self._advance(None)

    async def drive(self, session: Session[T]) -> T:
        """The result of a session; raises what ended it."""
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()

        def then(result: Any, error: Exception | None) -> None:
            if future.done():
                return
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)

        self.run(session, then)
        return await future

    def reply(self, message: bytes) -> None:
        """Send a message that belongs to no session: the confirmation of a notification."""
        self._say(message)

    def fail(self, error: Exception) -> None:
        """Give the session under way up, and close."""
        if self._session is not None:
            self._session.close()
            self._end(None, error)
        self.close()

    def close(self) -> None:
        """Close the connection; a session under way is told that the meter is gone."""
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Close at once, whatever is still to be sent."""
        if self._transport is not None:
            self._transport.abort()

    def due(self, now: float) -> float:
        """When `tick` is wanted next, if nothing happens before; `now` of a link with a time of its own: soon."""
        return self._answer_by if self._session is not None else now + SELDOM_S

    def tick(self, now: float) -> None:
        """Give up an answer that is overdue."""
        if self._session is not None and now >= self._answer_by:
            detail = f"no answer within {self._answer_timeout_s:.0f} s; the meter is busy or gone, or knows no such client"
            self.fail(JobError("answer-timeout", detail, retry=True))
            self.abort()

    def take_frames(self) -> tuple[Frame, ...]:
        """The frames since the last call, as they may be kept."""
        frames, self._frames, self._kept = self._frames, [], 0
        masked = self._framing.masked
        return tuple([Frame(direction, at, masked(data)) for direction, at, data in frames])

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio's: the connection is open."""
        self._transport = transport  # type: ignore[assignment]  # create_connection gives a Transport

    def data_received(self, data: bytes) -> None:
        """asyncio's: octets came."""
        self.answered = True
        try:
            heard = self._framing.feed(data)
        except self._framing.errors as error:
            self._keep(_IN, data)
            self.fail(error)
            return
        self._take(heard)

    def connection_lost(self, exc: Exception | None) -> None:
        """asyncio's: the connection ended."""
        self.lost = True
        if self._session is None:
            return
        try:
            self._session.send(CLOSED)
        except StopIteration as stop:
            self._end(stop.value, None)
            return
        except self._framing.errors:
            pass
        except Exception as error:  # noqa: BLE001 - a bug in one session must not take the others along
            self._end(None, error)
            return
        detail = "the meter closed the connection" if exc is None else f"the connection broke: {exc}"
        if self._session is not None:
            self._session.close()
        self._end(None, JobError("connection-lost", f"{detail}; {_HANGS_UP}", retry=True))

    def _take(self, heard: Sequence[Heard]) -> None:
        for frame, message, kind in heard:
            self._keep(_IN, frame)
            if kind is Kind.ANSWER:
                self._advance(message)
            elif kind is Kind.UNASKED:
                self._unasked(frame, message)

    def _say(self, message: bytes) -> None:
        if self._transport is not None and not self.lost:
            frame = self._framing.pack(message)
            self._keep(_OUT, frame)
            self._put(frame)

    def _listen(self) -> None:
        """The session wants one more message and has nothing to say: where the meter speaks unasked, it is waited for."""

    def _put(self, frame: bytes) -> None:
        if self._transport is not None:
            self._transport.write(frame)

    def _advance(self, message: bytes | None) -> None:
        session = self._session
        if session is None:
            return
        try:
            out = session.send(message)  # type: ignore[arg-type]  # a generator is started with None
            self._answer_by = self._clock.monotonic() + self._answer_timeout_s
            if out:
                self._say(out)
            else:
                self._listen()
        except StopIteration as stop:
            self._end(stop.value, None)
        except Exception as error:  # noqa: BLE001 - what it is decides who is told, not what becomes of the connection
            self._end(None, error)

    def _end(self, result: Any, error: Exception | None) -> None:
        then, self._session, self._then = self._then, None, None
        if then is not None:
            then(result, error)

    def _keep(self, direction: Direction, data: bytes) -> None:
        if self.skips:
            self.skipped += len(data)
            return
        self._frames.append((direction, self._clock.now_ms(), data))
        self.spoken = self.spoken or direction is _IN
        self._kept += len(data)
        if self._kept >= _SPILL:
            self._spill()
