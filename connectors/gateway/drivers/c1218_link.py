"""A session over C12.18's link, on TCP or a serial port: packets acknowledged, sent again by the link's own clock, and kept
as they may be kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import replace

from connectors.gateway.serial_line import SerialTransport
from connectors.gateway.session import Heard, LinkTerms, MeterLink
from connectors.protocols.c12.errors import C12Error
from connectors.protocols.c12.psem_link import PsemLink
from connectors.protocols.c12.psem_masking import LineMask
from connectors.protocols.c12.psem_timing import TIMING, TIMING_C1221, TIMING_TCP, Timing
from schemas.records import Direction, Frame, Transport

_BITS = 10
"""Of an octet on a line, with start and stop."""


class PsemFraming:
    """What a link says of itself; packets are `PsemMeterLink`'s own, which is why nothing is framed here."""

    transport = Transport.RAW
    errors: tuple[type[Exception], ...] = (C12Error,)

    def pack(self, message: bytes) -> bytes:
        """See `session.Framing`."""
        return message

    def feed(self, data: bytes) -> Sequence[Heard]:  # noqa: ARG002 - a Framing's signature
        """See `session.Framing`."""
        return ()

    def datagram(self, data: bytes) -> Sequence[Heard]:  # noqa: ARG002 - a Framing's signature
        """See `session.Framing`: C12.18 is not carried by datagrams (the driver refuses it)."""
        return ()

    def masked(self, frame: bytes) -> bytes:
        """See `session.Framing`: `LineMask` has done it."""
        return frame


def timing(answer_timeout_s: float, *, modem: bool, rate: int = 0) -> Timing:
    """How patient the link is: on a line of its own as the standard says, over a network as long as an answer may take."""
    if rate:
        return replace(TIMING, line_octets_s=rate / _BITS)
    over = TIMING_C1221 if modem else TIMING_TCP
    return replace(over, traffic_s=answer_timeout_s, answer_s=answer_timeout_s / (over.retries + 1))


class PsemMeterLink(MeterLink):
    """A connection with C12.18 on it."""

    __slots__ = ("_line", "_mask", "_modem", "_rate", "_rates")

    def __init__(self, terms: LinkTerms, *, modem: bool = False, rates: Collection[int] = ()) -> None:
        self._modem, self._rates = modem, rates
        self._line = PsemLink(timing(terms.answer_timeout_s, modem=modem))
        self._mask = LineMask()
        self._rate = 0
        super().__init__(PsemFraming(), terms)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio's: the connection is open."""
        super().connection_made(transport)
        if rate := transport.get_extra_info("rate"):
            self._rate = rate
            self._line = PsemLink(timing(self._answer_timeout_s, modem=self._modem, rate=rate))
        self._line.open(self._clock.monotonic())

    def take_frames(self) -> tuple[Frame, ...]:
        """See `MeterLink`."""
        if self.lost and (rest := self._mask.rest()):
            self._keep(Direction.FROM_METER, rest)
        return super().take_frames()

    def due(self, now: float) -> float:
        """See `MeterLink`: what was lost is to be sent again in time."""
        return now

    def tick(self, now: float) -> None:
        """Send again what was lost, or give the meter up."""
        try:
            self._send(self._line.tick(now))
        except C12Error as error:
            self.fail(error)
            self.abort()

    def data_received(self, data: bytes) -> None:
        """asyncio's: octets came."""
        self.answered = True
        if kept := self._mask.heard(data):
            self._keep(Direction.FROM_METER, kept)
        try:
            received = self._line.receive(data, self._clock.monotonic())
        except C12Error as error:
            self.fail(error)
            return
        self._send(received.replies)
        self._change_rate()
        for service in received.apdus:
            self._advance(service)

    def _say(self, message: bytes) -> None:
        self._send(self._line.send(message, self._clock.monotonic()))

    def _listen(self) -> None:
        self._send(self._line.send(b"", self._clock.monotonic()))

    def _send(self, octets: bytes) -> None:
        if octets and self._transport is not None and not self.lost:
            if kept := self._mask.sent(octets):
                self._keep(Direction.TO_METER, kept)
            self._transport.write(octets)

    def _change_rate(self) -> None:
        """What was negotiated holds once our acknowledgement has left (C12.18, 5.2.2.6)."""
        rate, transport = self._line.agreed.baud, self._transport
        if rate is None or rate == self._rate or rate not in self._rates or not isinstance(transport, SerialTransport):
            return
        transport.set_rate(rate)
        self._rate = rate
