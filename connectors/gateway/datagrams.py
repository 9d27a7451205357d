"""Sessions over UDP: the same as over TCP, but that a datagram may be lost, come twice, or come from nobody we asked."""

from __future__ import annotations

import asyncio
from typing import cast

from connectors.gateway.errors import JobError
from connectors.gateway.session import Framing, LinkTerms, MeterLink

_MOST = 5
"""How often a request is sent again."""


class DatagramLink(MeterLink):
    """A connected UDP socket. A request that stays unanswered is sent again, octet for octet, so that the meter can tell it
    is the same; the pause is doubled each time, within the time that an answer has.
    """

    __slots__ = ("_again_at", "_patience_s", "_previous", "_request", "_times", "repeats")

    def __init__(self, framing: Framing, terms: LinkTerms) -> None:
        super().__init__(framing, terms)
        self._patience_s = terms.repeat_s
        self._request = b""
        self._previous = b""
        self._times = 0
        self._again_at = 0.0
        self.repeats = True
        """Whether what is not answered is sent again."""

    def due(self, now: float) -> float:
        """See `MeterLink`: what was lost is to be sent again in time."""
        return now

    def tick(self, now: float) -> None:
        """Send what stays unanswered again, or give it up."""
        super().tick(now)
        if self._session is not None and self._request and now >= self._again_at and self._times < self._most:
            self._times += 1
            self._again_at = now + self._patience_s * 2**self._times
            self._send(self._request)

    @property
    def _most(self) -> int:
        return _MOST if self.repeats else 0

    def datagram_received(self, data: bytes, _addr: object) -> None:
        """asyncio's: a datagram came. What is no answer, or the last one again, is passed over: anybody can send it."""
        if data == self._previous:
            return  # to a request that was sent again, and whose first answer was only late
        if heard := self._framing.datagram(data):
            self.answered = True
            self._previous = data
            self._take(heard)

    def error_received(self, exc: OSError) -> None:
        """asyncio's: nobody listens there."""
        if self._session is not None:
            why = exc.strerror or type(exc).__name__
            self.fail(JobError("connect-refused", f"the endpoint cannot be reached: {why}", retry=True))

    def _put(self, frame: bytes) -> None:
        self._request, self._times = frame, 0
        self._again_at = self._clock.monotonic() + self._patience_s
        self._send(frame)

    def _send(self, frame: bytes) -> None:
        transport = cast("asyncio.DatagramTransport | None", self._transport)
        if transport is not None:
            transport.sendto(frame)
