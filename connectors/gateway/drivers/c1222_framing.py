"""C12.22 messages on a connection of a visit: whole ones out of segments, and which of them answer what was asked."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import cast

from connectors.gateway.datagrams import DatagramLink
from connectors.gateway.errors import JobError
from connectors.gateway.session import Heard, Kind, LinkTerms, MeterLink
from connectors.protocols.c12 import acse
from connectors.protocols.c12.acse import Apdu
from connectors.protocols.c12.c1222_framing import ApduStream, Framed, datagram
from connectors.protocols.c12.c1222_masking import masked
from connectors.protocols.c12.c1222_segments import Segments
from connectors.protocols.c12.c1222_session import messages
from connectors.protocols.c12.errors import C12Error, DecodeError, FramingError
from connectors.protocols.c12.titles import ApTitle
from schemas.records import Transport
from streams.runtime.clock import Clock


class AcseFraming:
    """One connection's messages, each kept as it is once it is whole."""

    transport = Transport.RAW
    errors: tuple[type[Exception], ...] = (C12Error,)

    __slots__ = ("_asked", "_clock", "_segments", "_stream")

    def __init__(self, clock: Clock, base: ApTitle) -> None:
        self._clock = clock
        self._stream = ApduStream()
        self._segments = Segments(base=base)
        self._asked: int | None = None

    def pack(self, message: bytes) -> bytes:
        """See `session.Framing`. Remembers what an answer answers."""
        first = acse.decode(messages(message)[0])
        if first.called_invocation is None:  # else it is an answer of ours
            self._asked = first.calling_invocation
        return message

    def feed(self, data: bytes) -> Sequence[Heard]:
        """See `session.Framing`."""
        found: list[Heard] = []
        for item in self._stream.feed(data):
            if not isinstance(item, Framed):
                raise DecodeError(item.code, item.detail)
            found += self._heard(item.octets)
        return found

    def datagram(self, data: bytes) -> Sequence[Heard]:
        """See `session.Framing`."""
        try:
            return [heard for item in datagram(data) if isinstance(item, Framed) for heard in self._heard(item.octets)]
        except C12Error:
            return ()

    def masked(self, frame: bytes) -> bytes:
        """See `session.Framing`. Of a request in segments nothing is shown: what each holds cannot be told."""
        return masked(frame)

    def given_up(self) -> C12Error | None:
        """What is wrong with segments that nobody waits for any more."""
        for lost in self._segments.close():
            return FramingError(lost.code, lost.detail)
        return None

    def _heard(self, octets: bytes) -> Iterator[Heard]:
        whole = self._segments.take(octets, self._clock.monotonic())
        if whole is not None:
            yield whole, whole, self._kind(acse.decode(whole))

    def _kind(self, apdu: Apdu) -> Kind:
        if apdu.called_invocation is not None:
            return Kind.ANSWER if apdu.called_invocation == self._asked else Kind.STRAY
        # Seen in captures: an answer under the request's own id.
        return Kind.ANSWER if self._asked is not None and apdu.calling_invocation == self._asked else Kind.UNASKED


class MessageLink(MeterLink):
    """C12.22 over TCP."""

    __slots__ = ("_acse",)

    def __init__(self, framing: AcseFraming, terms: LinkTerms) -> None:
        self._acse = framing
        super().__init__(framing, terms)

    def fail(self, error: Exception) -> None:
        """See `MeterLink`."""
        super().fail(_told(self._acse, error))


class MessageDatagramLink(DatagramLink):
    """C12.22 over UDP: each segment of a request is a datagram."""

    __slots__ = ("_acse",)

    def __init__(self, framing: AcseFraming, terms: LinkTerms) -> None:
        self._acse = framing
        super().__init__(framing, terms)

    def fail(self, error: Exception) -> None:
        """See `MeterLink`."""
        super().fail(_told(self._acse, error))

    def _send(self, frame: bytes) -> None:
        transport = cast("asyncio.DatagramTransport | None", self._transport)
        if transport is not None:
            for message in messages(frame):
                transport.sendto(message)


def _told(framing: AcseFraming, error: Exception) -> Exception:
    """Of an answer that did not come: that some of its segments did."""
    if not isinstance(error, JobError) or error.code != "answer-timeout":
        return error
    return framing.given_up() or error
