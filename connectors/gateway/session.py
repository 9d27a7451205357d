"""One connection to one meter: what a sans-I/O session yields is wrapped and sent, what comes back is sent into it.

    connected ──run(session)──▶ busy ──session ends──▶ connected ──run …──▶ … ──close──▶ closed
                                 └──answer-timeout, connection-lost, broken frames──▶ closed, the session failed

Callbacks on a transport, no task and no timer of its own: `tick` is called from outside. Every frame is kept, secrets
masked, until `take_frames`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from connectors.gateway.errors import JobError
from connectors.gateway.masking import masked
from connectors.protocols.dlms.client_apdus import CLOSED, Session
from connectors.protocols.dlms.errors import DlmsError
from connectors.protocols.dlms.framing.wrapper import Deframer, pack
from schemas.records import Direction, Frame
from streams.runtime.clock import Clock

Then = Callable[[Any, Exception | None], None]
"""Called with a session's result, or with None and what went wrong: `DlmsError`, `JobError`, or a bug."""

_UNSOLICITED = (0x0F, 0xC2)
_PUSHED = (0xDB, 0xDC, 0xDD, 0xDF, 0xE0)
"""What may be a push where it is for another client than the one that asks."""
_SPILL = 262_144


class MeterLink(asyncio.Protocol):
    """A connection through the wrapper (IEC 62056-47). `unsolicited` is given what a meter pushes between answers: its
    source and destination, and the APDU.
    """

    __slots__ = (
        "_answer_by",
        "_answer_timeout_s",
        "_clock",
        "_deframer",
        "_frames",
        "_kept",
        "_server",
        "_session",
        "_spill",
        "_then",
        "_transport",
        "_unsolicited",
        "answered",
        "client",
        "lost",
    )

    def __init__(
        self,
        clock: Clock,
        client: int,
        server: int,
        answer_timeout_s: float,
        unsolicited: Callable[[int, int, bytes], None],
        spill: Callable[[], None],
    ) -> None:
        self._clock = clock
        self.client = client
        """Who asks; to be changed between sessions only."""
        self._server = server
        self._answer_timeout_s = answer_timeout_s
        self._unsolicited = unsolicited
        self._spill = spill
        self._transport: asyncio.Transport | None = None
        self._deframer = Deframer()
        self._session: Session[Any] | None = None
        self._then: Then | None = None
        self._answer_by = 0.0
        self._frames: list[Frame] = []
        self._kept = 0
        self.lost = False
        """Whether the connection has ended."""
        self.answered = False
        """Whether the meter ever said something."""

    def run(self, session: Session[Any], then: Then) -> None:
        """Drive a session to its end. One at a time."""
        if self._session is not None:
            raise RuntimeError("a session is under way on this connection")
        self._session, self._then = session, then
        self._advance(None)

    def reply(self, apdu: bytes) -> None:
        """Send an APDU that belongs to no session: the confirmation of a notification."""
        self._write(apdu)

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

    def tick(self, now: float) -> None:
        """Give up an answer that is overdue."""
        if self._session is not None and now >= self._answer_by:
            detail = f"no answer within {self._answer_timeout_s:.0f} s; the meter is busy or gone, or knows no such client"
            self.fail(JobError("answer-timeout", detail, retry=True))
            self.abort()

    def take_frames(self) -> tuple[Frame, ...]:
        """The frames since the last call."""
        frames, self._frames, self._kept = tuple(self._frames), [], 0
        return frames

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio's: the connection is open."""
        self._transport = transport  # type: ignore[assignment]  # create_connection gives a Transport

    def data_received(self, data: bytes) -> None:
        """asyncio's: octets came."""
        self.answered = True
        try:
            frames = self._deframer.feed(data)
        except DlmsError as error:
            self._keep(Direction.FROM_METER, data)
            self.fail(error)
            return
        for source, destination, apdu in frames:
            self._received(source, destination, apdu)

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
        except DlmsError:
            pass
        except Exception as error:  # noqa: BLE001 - a bug in one session must not take the others along
            self._end(None, error)
            return
        detail = "the meter closed the connection" if exc is None else f"the connection broke: {exc}"
        if self._session is not None:
            self._session.close()
        self._end(None, JobError("connection-lost", f"{detail}; it may serve one client at a time", retry=True))

    def _received(self, source: int, destination: int, apdu: bytes) -> None:
        self._keep(Direction.FROM_METER, pack(source, destination, masked(apdu)))
        if apdu[0] in _UNSOLICITED or (apdu[0] in _PUSHED and destination != self.client):
            self._unsolicited(source, destination, apdu)
        elif destination == self.client and self._session is not None:  # else it is late, or for a client before us
            self._advance(apdu)

    def _advance(self, apdu: bytes | None) -> None:
        session = self._session
        if session is None:
            return
        try:
            out = session.send(apdu)  # type: ignore[arg-type]  # a generator is started with None
        except StopIteration as stop:
            self._end(stop.value, None)
        except Exception as error:  # noqa: BLE001 - what it is decides who is told, not what becomes of the connection
            self._end(None, error)
        else:
            self._answer_by = self._clock.monotonic() + self._answer_timeout_s
            if out:
                self._write(out)

    def _write(self, apdu: bytes) -> None:
        if self._transport is None or self.lost:
            return
        self._keep(Direction.TO_METER, pack(self.client, self._server, masked(apdu)))
        self._put(pack(self.client, self._server, apdu))

    def _put(self, frame: bytes) -> None:
        if self._transport is not None:
            self._transport.write(frame)

    def _end(self, result: Any, error: Exception | None) -> None:
        then, self._session, self._then = self._then, None, None
        if then is not None:
            then(result, error)

    def _keep(self, direction: Direction, data: bytes) -> None:
        self._frames.append(Frame(direction, self._clock.now_ms(), data))
        self._kept += len(data)
        if self._kept >= _SPILL:
            self._spill()
