"""Datagrams that meters push. While too much waits for Kafka they are dropped and counted: nobody can be told to wait."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import TYPE_CHECKING

from connectors.gateway.drivers.port import Conversation, Hear
from connectors.gateway.pipeline import Push
from streams.runtime import metrics

if TYPE_CHECKING:  # it makes these
    from connectors.gateway.push_listener import PushListener

_MAX_SENDERS = 1_000
"""Senders of datagrams with blocks of a telegram still to come."""


class PushDatagrams(asyncio.DatagramProtocol):
    """Meters on UDP: a datagram holds whole frames, a telegram in blocks may take several."""

    def __init__(self, listener: PushListener, hear: Hear) -> None:
        self._listener = listener
        self._hear = hear
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
        conversation = self._hear(endpoint) if known is None else known[0]
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
