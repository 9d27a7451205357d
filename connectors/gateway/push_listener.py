"""TCP and UDP listeners for what meters push: octets into the pipeline, acknowledgements out once Kafka has everything.

    data ─▶ Conversation ─▶ Push ─▶ Emitter ─▶ Kafka ─▶ reply, in the order in which the telegrams came
                                        └─ not delivered ─▶ the connection is closed: the meter sends again

Callbacks on a transport. A connection at rest holds nothing but itself; timeouts are found by a sweep over all of
them. While too much waits for Kafka no socket is read, and datagrams, which nobody can be told to hold back, are
dropped and counted.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque

import structlog

from connectors.gateway.conversation import Conversation
from connectors.gateway.deliveries import Deliveries
from connectors.gateway.emit import Emitter
from connectors.gateway.pipeline import Pipeline, Push
from streams.runtime import metrics
from streams.runtime.clock import Clock
from streams.runtime.settings import Gateway

_FORGET_S = 60.0
"""A connection that was silent for so long, with nothing half received, gives its decoder back."""
_MAX_SENDERS = 1_000
"""Senders of datagrams with blocks of a telegram still to come."""


class PushListener:
    """What all push connections share."""

    def __init__(
        self, settings: Gateway, clock: Clock, pipeline: Pipeline, emitter: Emitter, deliveries: Deliveries
    ) -> None:
        self.settings = settings
        self.clock = clock
        self.pipeline = pipeline
        self.emitter = emitter
        self.deliveries = deliveries
        self.connections: set[PushConnection] = set()
        self.buffered = 0
        """Octets of frames and telegrams that are not whole yet, over all connections."""
        self.draining = False
        """Whether the process is about to end."""
        self._log = structlog.get_logger("push")
        deliveries.watch(self._pressed)

    def connection(self) -> PushConnection:
        """A protocol for a new TCP connection."""
        return PushConnection(self)

    def datagrams(self) -> PushDatagrams:
        """The protocol of the UDP socket."""
        return PushDatagrams(self)

    def sweep(self) -> None:
        """Close what is silent for too long or does not end a frame; call it about once a second."""
        if self.deliveries.full:
            return  # nobody is read, so nobody is late
        now = self.clock.monotonic()
        for connection in tuple(self.connections):
            connection.sweep(now)

    def drain(self) -> None:
        """Read no more; what came is still acknowledged."""
        self._pressed(full=True)
        self.draining = True

    def close(self) -> None:
        """Close every connection; what was not acknowledged will be sent again."""
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

    __slots__ = ("_acks", "_began", "_conversation", "_ended", "_listener", "_pending", "_seen", "_transport", "endpoint")

    def __init__(self, listener: PushListener) -> None:
        self._listener = listener
        self._transport: asyncio.Transport | None = None
        self._conversation: Conversation | None = None
        self._acks: deque[_Ack] | None = None
        self._pending = 0
        self._began = 0.0
        self._seen = 0.0
        self._ended = False
        self.endpoint = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio's: a meter connected."""
        listener = self._listener
        self._transport = transport  # type: ignore[assignment]  # a server gives Transports
        if len(listener.connections) >= listener.settings.max_connections:
            metrics.CONNECTIONS_REFUSED.labels("max_connections").inc()
            self._abort()
            return
        self.endpoint = endpoint_of(transport.get_extra_info("peername"))
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
        if self._conversation is None:
            self._conversation = Conversation(listener.pipeline, self.endpoint)
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

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the signature is asyncio's
        """asyncio's: the connection is gone."""
        self._end()
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
            silent > settings.idle_timeout_s and not self._acks
        ):
            self.close()
        elif silent > _FORGET_S and not self._pending:
            self._conversation = None
            self._acks = self._acks or None

    def close(self) -> None:
        """Write what is not whole as a dead letter, and close."""
        self._end()
        if self._transport is not None:
            self._transport.close()

    def settled(self, error: Exception | None) -> None:
        """A telegram's records are delivered, or not: answer all that may be answered, in order."""
        acks = self._acks
        if error is not None:
            self._listener.undelivered(self.endpoint, error)
            self._abort()
        if acks is None:
            return
        while acks and acks[0].settled:
            reply = acks.popleft().reply
            if reply and self._transport is not None and not self._transport.is_closing():
                self._transport.write(reply)
        if self._ended and not acks and self._transport is not None:
            self._transport.close()

    def _answer(self, reply: bytes) -> None:
        """Answer at once what needs no delivery, but not before what came earlier: an HDLC RR acknowledges all before it."""
        if self._acks:
            self._acks.append(_Ack(self, reply, settled=True))
        elif self._transport is not None and not self._transport.is_closing():
            self._transport.write(reply)

    def _emit(self, pushes: list[Push]) -> None:
        for push in pushes:
            if push.waits:
                self._answer(push.reply)
                continue
            if self._acks is None:
                self._acks = deque()
            ack = _Ack(self, push.reply)
            self._acks.append(ack)
            self._listener.emitter.push(push, ack.settle)

    def _end(self) -> None:
        """No more octets: what is not whole is refused."""
        self._ended = True
        if self._conversation is not None:
            pushes = self._conversation.close(self._listener.clock.now_ms())
            self._conversation = None
            self._note(0)
            self._emit(pushes)

    def _note(self, pending: int, *, ended: bool = False) -> None:
        if ended or not self._pending:
            self._began = self._seen
        self._listener.buffered += pending - self._pending
        self._pending = pending

    def _abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()


class PushDatagrams(asyncio.DatagramProtocol):
    """Meters on UDP: a datagram holds whole frames, a telegram in blocks may take several."""

    def __init__(self, listener: PushListener) -> None:
        self._listener = listener
        self._transport: asyncio.DatagramTransport | None = None
        self._senders: OrderedDict[str, tuple[Conversation, float]] = OrderedDict()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio's: the socket is open."""
        self._transport = transport  # type: ignore[assignment]  # create_datagram_endpoint gives a DatagramTransport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """asyncio's: a datagram came."""
        listener = self._listener
        if listener.deliveries.full or listener.draining:
            metrics.DATAGRAMS_DROPPED.inc()
            return
        endpoint = endpoint_of(addr)
        known = self._senders.pop(endpoint, None)
        conversation = Conversation(listener.pipeline, endpoint) if known is None else known[0]
        pushes = conversation.datagram(data, listener.clock.now_ms())
        self._reply(conversation.take_replies(), addr)
        for push in pushes:
            self._emit(push, addr)
        if conversation.blocks:
            self._senders[endpoint] = conversation, listener.clock.monotonic()
            if len(self._senders) > _MAX_SENDERS:
                self._give_up()

    def error_received(self, exc: Exception) -> None:
        """asyncio's: an acknowledgement could not be delivered. The meter will send again."""

    def sweep(self) -> None:
        """Give up telegrams whose blocks stopped coming."""
        before = self._listener.clock.monotonic() - self._listener.settings.frame_timeout_s
        while self._senders and next(iter(self._senders.values()))[1] < before:
            self._give_up()

    def _give_up(self) -> None:
        _, (conversation, _) = self._senders.popitem(last=False)
        for push in conversation.close(self._listener.clock.now_ms()):
            self._emit(push, None)

    def _emit(self, push: Push, addr: tuple[str, int] | None) -> None:
        if push.waits:
            self._reply(push.reply, addr)
            return

        def then(error: Exception | None) -> None:
            if error is None:
                self._reply(push.reply, addr)
            else:
                self._listener.undelivered(push.endpoint, error)

        self._listener.emitter.push(push, then)

    def _reply(self, reply: bytes, addr: tuple[str, int] | None) -> None:
        if reply and addr is not None and self._transport is not None and not self._transport.is_closing():
            self._transport.sendto(reply, addr)


def endpoint_of(peer: tuple[str, int] | None) -> str:
    """An address as `host:port`, with brackets around an IPv6 host."""
    if not peer:
        return "unknown:0"
    host, port = peer[0], peer[1]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
