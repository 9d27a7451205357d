"""A session over HDLC on TCP: the link opened before, closed after, and asked again by its own clock in between.

enter(client) ──SNRM──▶ UA ──▶ sessions … ──▶ leave ──DISC──▶ UA
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from connectors.gateway.drivers.dlms_hdlc_framing import HdlcFraming
from connectors.gateway.errors import JobError
from connectors.gateway.session import Kind, LinkTerms, MeterLink
from connectors.protocols.dlms.errors import DlmsError
from connectors.protocols.dlms.hdlc_link import HdlcLink, State
from connectors.protocols.dlms.hdlc_parameters import Parameters, Stations
from connectors.protocols.dlms.link import Timing
from schemas.records import Direction

_RETRIES = 3


def timing(answer_timeout_s: float) -> Timing:
    """How a meter is asked again: as often as fits into the time that an answer has."""
    return Timing(answer_s=answer_timeout_s / (_RETRIES + 1), patience_s=answer_timeout_s, retries=_RETRIES)


class HdlcMeterLink(MeterLink):
    """A TCP connection with HDLC on it. Sessions run between `enter` and `leave`."""

    __slots__ = ("_hdlc", "_make", "_moved", "_opening")

    def __init__(self, stations: Callable[[int], Stations], propose: Parameters, terms: LinkTerms) -> None:
        def make(client: int) -> HdlcFraming:
            who = stations(client)
            return HdlcFraming(HdlcLink(who, propose, timing(terms.answer_timeout_s)), terms.clock, client, who.logical)

        self._make = make
        self._hdlc = make(0)
        self._moved: asyncio.Future[None] | None = None
        super().__init__(self._hdlc, terms)

    async def enter(self, client: int) -> None:
        """Open the link of a client, after closing another's. Raises `JobError` or DlmsError where the meter does not."""
        if self._hdlc.link.opened:
            await self.leave()
        self._framing = self._hdlc = self._make(client)
        self._moved = asyncio.get_running_loop().create_future()
        self._send(self._hdlc.link.open(self._clock.monotonic()))
        await self._moved

    async def leave(self) -> None:
        """Close the link, whatever the meter says to it."""
        if self.lost or self._hdlc.link.state is State.CLOSED:
            return
        self._moved = asyncio.get_running_loop().create_future()
        self._send(self._hdlc.link.close(self._clock.monotonic()))
        with suppress(DlmsError, JobError):
            await self._moved

    def fail(self, error: Exception) -> None:
        """See `MeterLink`."""
        self._move(error)
        super().fail(error)

    def close(self) -> None:
        """See `MeterLink`. A meter whose link is open is told, and not waited for."""
        with suppress(DlmsError):
            if self._hdlc.link.opened:
                self._send(self._hdlc.link.close(self._clock.monotonic()))
        super().close()

    def due(self, now: float) -> float:
        """See `MeterLink`: what was lost is to be sent again in time."""
        return now

    def tick(self, now: float) -> None:
        """Send again what was lost, or give the meter up."""
        try:
            self._send(self._hdlc.link.tick(now))
        except DlmsError as error:
            self.fail(error)
            self.abort()
        else:
            self._look()

    def data_received(self, data: bytes) -> None:
        """asyncio's: octets came."""
        self.answered = True
        if kept := self._hdlc.heard(data):
            self._keep(Direction.FROM_METER, kept)
        try:
            heard = self._hdlc.feed(data)
        except DlmsError as error:
            self.fail(error)
            return
        self._send(self._hdlc.replies)
        for frame, message, kind in heard:
            if kind is Kind.UNASKED:
                self._unasked(frame, message)
            else:
                self._advance(message)
        self._look()

    def connection_lost(self, exc: Exception | None) -> None:
        """asyncio's: the connection ended."""
        super().connection_lost(exc)
        detail = "the meter closed the connection before the HDLC link was open; it may serve one client at a time"
        self._move(JobError("connection-lost", detail, retry=True))

    def _say(self, message: bytes) -> None:
        self._send(self._hdlc.pack(message))

    def _listen(self) -> None:
        self._send(self._hdlc.pack(b""))

    def _send(self, octets: bytes) -> None:
        if octets and self._transport is not None and not self.lost:
            self._keep(Direction.TO_METER, self._hdlc.sent(octets))
            self._transport.write(octets)

    def _look(self) -> None:
        """Whether the link has opened, or closed, as was waited for."""
        if self._moved is not None and self._hdlc.link.state in (State.READY, State.CLOSED):
            self._move(None)

    def _move(self, error: Exception | None) -> None:
        moved, self._moved = self._moved, None
        if moved is None or moved.done():
            return
        if error is None:
            moved.set_result(None)
        else:
            moved.set_exception(error)
