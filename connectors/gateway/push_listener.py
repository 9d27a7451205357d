"""Connections on which meters push: octets into the pipeline, acknowledgements out once Kafka has everything.

    data ─▶ Conversation ─▶ Push ─▶ Emitter ─▶ Kafka ─▶ reply, in the order in which the telegrams came
                                        └─ not delivered ─▶ the connection is closed: the meter sends again

Callbacks on a transport. A connection at rest holds nothing but itself; timeouts are found by a sweep over all of
them. While too much waits for Kafka no socket is read. A meter that dials in may be lent to a session (`lines`), or handed
over to the worker that has its jobs (`relay`).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial

import structlog

from connectors.gateway.conversation import Conversation as DlmsConversation
from connectors.gateway.deliveries import Deliveries
from connectors.gateway.drivers.port import Conversation, Door, Hear
from connectors.gateway.drivers.table import protocol_of
from connectors.gateway.emit import Emitter
from connectors.gateway.identify import by_endpoint
from connectors.gateway.lines import LentTransport, Lines
from connectors.gateway.pipeline import EVENTS, Pipeline, Push
from connectors.gateway.push_datagrams import PushDatagrams, endpoint_of
from connectors.gateway.push_gathering import PushGathering
from connectors.gateway.session import MeterLink
from schemas.records import Meter, Protocol
from streams.runtime import metrics
from streams.runtime.clock import Clock
from streams.runtime.settings import Gateway

_FORGET_S = 60.0
"""A connection that was silent for so long, with nothing half received, gives its decoder back."""
_TOGETHER = 64
"""Pushes of a connection that are acknowledged at once, at most."""


class PushListener:
    """What all push connections share. Each of `doors` says how meters of its protocol are heard; DLMS always is."""

    def __init__(
        self,
        settings: Gateway,
        clock: Clock,
        pipeline: Pipeline,
        emitter: Emitter,
        deliveries: Deliveries,
        lines: Lines | None = None,
        doors: Sequence[Door] = (),
    ) -> None:
        self.settings = settings
        self.hears: dict[Protocol, Hear] = {Protocol.DLMS: partial(DlmsConversation, pipeline)}
        self.hears |= {door.protocol: door.hear for door in doors}
        self.lines = Lines(lambda _: None) if lines is None else lines
        self.clock = clock
        self.pipeline = pipeline
        self.emitter = emitter
        self.gathering = PushGathering(emitter, deliveries)
        self.deliveries = deliveries
        self.connections: set[PushConnection] = set()
        self.buffered = 0
        """Octets of frames and telegrams that are not whole yet, over all connections."""
        self.draining = False
        """Whether the process is about to end."""
        self._log = structlog.get_logger("push")
        deliveries.watch(self._pressed)

    def connection(self, protocol: Protocol = Protocol.DLMS) -> PushConnection:
        """An asyncio protocol for a new TCP connection of a meter that speaks `protocol`."""
        return PushConnection(self, self.hears[protocol])

    def datagrams(self, protocol: Protocol = Protocol.DLMS) -> PushDatagrams:
        """The asyncio protocol of a UDP socket of such meters."""
        return PushDatagrams(self, self.hears[protocol])

    def sweep(self) -> None:
        """Close what is silent for too long or does not end a frame; call it about once a second."""
        if self.deliveries.full:
            return  # nobody is read, so nobody is late
        now = self.clock.monotonic()
        for connection in tuple(self.connections):
            connection.sweep(now)

    def drain(self) -> None:
        """Read no more; what came is still acknowledged."""
        self.gathering.flush()
        self._pressed(full=True)
        self.draining = True

    def close(self) -> None:
        """Close every connection; what was not acknowledged will be sent again."""
        self.gathering.flush()
        for connection in tuple(self.connections):
            connection.close()

    def undelivered(self, endpoint: str, error: Exception) -> None:
        """Note that Kafka did not take what a meter sent."""
        self._log.warning("push-not-delivered", endpoint=endpoint, reason=str(error))

    def _pressed(self, full: bool) -> None:
        if self.draining:
            return
        now = self.clock.monotonic()
        for connection in self.connections:
            connection.press(now, full=full)


class _Ack:
    """What one telegram is answered with once Kafka has what it comes to."""

    __slots__ = ("_connection", "reply", "settled")

    def __init__(self, connection: PushConnection, reply: bytes, *, settled: bool = False) -> None:
        self._connection = connection
        self.reply = reply
        self.settled = settled

    def settle(self, error: Exception | None) -> None:
        """Kafka has it, or not."""
        self.settled = error is None
        self._connection.settled(error)


class PushConnection(asyncio.Protocol):
    """One meter, or what stands before many of them, on TCP."""

    __slots__ = (
        "_acks",
        "_began",
        "_conversation",
        "_ended",
        "_guest",
        "_hear",
        "_listener",
        "_pending",
        "_pipe",
        "_seen",
        "_transport",
        "adopted",
        "endpoint",
        "proven",
    )

    def __init__(self, listener: PushListener, hear: Hear) -> None:
        self._listener = listener
        self._hear = hear
        self._transport: asyncio.Transport | None = None
        self._conversation: Conversation | None = None
        self._acks: deque[_Ack] | None = None
        self._pending = 0
        self._began = 0.0
        self._seen = 0.0
        self._ended = False
        self._guest: MeterLink | None = None
        self._pipe: tuple[Callable[[bytes], None], Callable[[], None]] | None = None
        self.endpoint = ""
        self.proven = False
        """See `lines.Line`."""
        self.adopted = False
        """Whether the meter connected to another worker, which passes on what it says."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio's: a meter connected."""
        self._open(transport, endpoint_of(transport.get_extra_info("peername")))
        meter = by_endpoint(self.endpoint, self._listener.pipeline.directory)
        if meter is not None and self in self._listener.connections:
            self.proven = True
            self._listener.lines.speaks(self, meter)

    def adopt(self, transport: asyncio.Transport, endpoint: str, meter: Meter | None, *, proven: bool) -> None:
        """Take over a connection that a meter made to another worker, and that worker passes on."""
        self.adopted = True
        if meter is not None:
            self._hear = self._listener.hears.get(protocol_of(meter), self._hear)
        self._open(transport, endpoint)
        self.proven = proven
        if self in self._listener.connections:
            self._listener.lines.speaks(self, meter)

    def _open(self, transport: asyncio.BaseTransport, endpoint: str) -> None:
        listener = self._listener
        self._transport = transport  # type: ignore[assignment]  # a server gives Transports
        if len(listener.connections) >= listener.settings.max_connections:
            metrics.CONNECTIONS_REFUSED.labels("max_connections").inc()
            self._abort()
            return
        self.endpoint = endpoint
        self._seen = listener.clock.monotonic()
        listener.connections.add(self)
        metrics.CONNECTIONS.set(len(listener.connections))
        if listener.deliveries.full or listener.draining:
            self.press(self._seen, full=True)

    def data_received(self, data: bytes) -> None:
        """asyncio's: octets came."""
        listener = self._listener
        if self._ended or self not in listener.connections:
            return
        self._seen = listener.clock.monotonic()
        if self._pipe is not None:
            self._pipe[0](data)
        elif self._guest is None:
            self._take(data)
        else:
            self._guest.data_received(data)

    @property
    def free(self) -> bool:
        """See `lines.Line`."""
        return self._guest is None and self._pipe is None and not self._pending and not self._ended

    @property
    def waits(self) -> bool:
        """Whether the meter is to be answered yet."""
        return bool(self._acks)

    @property
    def piped(self) -> bool:
        """Whether another worker has the connection."""
        return self._pipe is not None

    def pipe(self, pass_on: Callable[[bytes], None], hang_up: Callable[[], None]) -> bool:
        """Pass on whatever comes from now on, and the end of it; false where the connection has ended."""
        if self._ended or self._transport is None or self._transport.is_closing():
            return False
        self._pipe = pass_on, hang_up
        self._conversation = None
        self._listener.lines.lost(self)
        return True

    def write(self, data: bytes) -> None:
        """Send what another worker says to the meter."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def lend(self, link: MeterLink) -> None:
        """See `lines.Line`."""
        if self._transport is None:
            raise RuntimeError("a connection that is not open yet is lent")
        self._guest = link
        link.connection_made(LentTransport(self._transport, self._returned))

    def pushed(self, frame: bytes) -> None:
        """See `lines.Line`."""
        self._take(frame)

    def _returned(self) -> None:
        self._guest = None

    def _take(self, data: bytes) -> None:
        """Octets of what the meter pushes."""
        listener = self._listener
        if self._conversation is None:
            self._conversation = self._hear(self.endpoint)
        pushes = self._conversation.feed(data, listener.clock.now_ms())
        if replies := self._conversation.take_replies():
            self._answer(replies)
        self._emit(pushes)
        self._note(self._conversation.pending, ended=bool(pushes))
        if listener.buffered > listener.settings.max_buffered:
            metrics.CONNECTIONS_REFUSED.labels("max_buffered").inc()
            self.close()

    def eof_received(self) -> bool:
        """asyncio's: the meter sends no more. It still gets its acknowledgements."""
        self._end()
        return bool(self._acks)

    def connection_lost(self, exc: Exception | None) -> None:
        """asyncio's: the connection is gone."""
        self._end()
        self._listener.lines.lost(self)
        guest, self._guest = self._guest, None
        if guest is not None:
            guest.connection_lost(exc)
        if self._pipe is not None:
            self._pipe[1]()
        self._listener.connections.discard(self)
        metrics.CONNECTIONS.set(len(self._listener.connections))
        self._acks = None

    def pause_writing(self) -> None:
        """asyncio's: the meter does not take its acknowledgements, so it is not read either."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        """asyncio's: it takes them again."""
        if not self._listener.deliveries.full and not self._listener.draining:
            self.press(self._listener.clock.monotonic(), full=False)

    def press(self, now: float, *, full: bool) -> None:
        """Stop reading, or go on; the time in between does not count as silence."""
        if self._transport is None or self._transport.is_closing():
            return
        if full:
            self._transport.pause_reading()
        else:
            self._seen = self._began = now
            self._transport.resume_reading()

    def sweep(self, now: float) -> None:
        """Close after silence or in the middle of a frame that does not end; give back what a resting one needs not."""
        settings = self._listener.settings
        silent = now - self._seen
        if (self._pending and now - self._began > settings.frame_timeout_s) or (
            silent > settings.idle_timeout_s and not self._acks and self._guest is None
        ):
            self.close()
        elif silent > _FORGET_S and not self._pending:
            self._conversation = None
            self._acks = self._acks or None

    def close(self, *, ours: bool = False) -> None:
        """Write what is not whole as a dead letter, unless the gateway ends it for a reason of its own (`ours`); close."""
        self._end(ours=ours)
        if self._transport is not None:
            self._transport.close()

    def settled(self, error: Exception | None) -> None:
        """A telegram's records are delivered, or not: answer all that may be answered, in order."""
        acks = self._acks
        if error is not None:
            self._listener.undelivered(self.endpoint, error)
            self._abort()
        while acks and acks[0].settled:
            reply = acks.popleft().reply
            if reply and self._transport is not None and not self._transport.is_closing():
                self._transport.write(reply)
        if self._ended and acks is not None and not acks and self._transport is not None:
            self._transport.close()

    def _answer(self, reply: bytes) -> None:
        """Answer at once what needs no delivery, but not before what came earlier: an HDLC RR acknowledges all before it."""
        if self._acks:
            self._acks.append(_Ack(self, reply, settled=True))
        elif self._transport is not None and not self._transport.is_closing():
            self._transport.write(reply)

    def _emit(self, pushes: list[Push]) -> None:
        """Write what came: pushes with nothing but events together."""
        gathering = self._listener.gathering
        if all(push.plain for push in pushes):
            for first in range(0, len(pushes), _TOGETHER):
                self._emit_together(pushes[first : first + _TOGETHER])
            return
        gathering.flush()
        for push in pushes:
            self._emit_one(push)

    def _emit_together(self, pushes: list[Push]) -> None:
        ack = _Ack(self, b"".join([push.reply for push in pushes]))
        self._waiting().append(ack)
        self._listener.gathering.add(pushes, ack.settle)
        for push in pushes:
            self._speaks(push)

    def _emit_one(self, push: Push) -> None:
        if push.waits:
            self._answer(push.reply)
            return
        ack = _Ack(self, push.reply)
        self._waiting().append(ack)
        self._listener.emitter.push(push, ack.settle)
        if push.outcome == EVENTS:
            self._speaks(push)

    def _waiting(self) -> deque[_Ack]:
        self._acks = deque() if self._acks is None else self._acks
        return self._acks

    def _speaks(self, push: Push) -> None:
        if push.meter_id:
            self.proven = self.proven or push.authenticated
            self._listener.lines.speaks(self, self._listener.pipeline.directory.get(push.meter_id))

    def _end(self, *, ours: bool = False) -> None:
        """No more octets: what is not whole is refused. Where the gateway reads no more, the meter sends it again."""
        self._ended = True
        if self._conversation is not None:
            pushes = self._conversation.close(self._listener.clock.now_ms())
            self._conversation = None
            self._note(0)
            ours = ours or self._listener.draining
            self._emit([push.interrupted() if ours else push for push in pushes])

    def _note(self, pending: int, *, ended: bool = False) -> None:
        if ended or not self._pending:
            self._began = self._seen
        self._listener.buffered += pending - self._pending
        self._pending = pending

    def _abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()
