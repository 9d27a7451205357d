"""A client on sockets for tests of C12.22 meters: sessions driven over TCP or UDP, every message kept."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TypeVar, cast

from connectors.protocols.c12.c1222_framing import ApduStream, Framed, datagram
from connectors.protocols.c12.c1222_session import CLOSED, Client, Node, Session, messages
from connectors.protocols.c12.epsem import Mode
from connectors.protocols.c12.errors import FramingError
from connectors.protocols.c12.titles import title
from connectors.simulator.plan import MeterPlan

T = TypeVar("T")
PATIENCE_S = 3.0
HES = title(".1")


@dataclass
class Wire:
    """One connection. `said` are the messages of both sides, in order."""

    port: int
    udp: bool = False
    said: list[bytes] = field(default_factory=list)
    _inbox: asyncio.Queue[bytes] = field(default_factory=asyncio.Queue)
    _transport: asyncio.BaseTransport | None = None

    async def open(self) -> None:
        loop = asyncio.get_running_loop()
        if self.udp:
            self._transport, _ = await loop.create_datagram_endpoint(
                lambda: _Datagrams(self._inbox), remote_addr=("127.0.0.1", self.port)
            )
        else:
            self._transport, _ = await loop.create_connection(lambda: _Stream(self._inbox), "127.0.0.1", self.port)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def send(self, octets: bytes) -> None:
        for message in messages(octets):
            self.said.append(message)
            if self.udp:
                cast("asyncio.DatagramTransport", self._transport).sendto(message)
            else:
                cast("asyncio.Transport", self._transport).write(message)

    async def hear(self) -> bytes:
        octets = await asyncio.wait_for(self._inbox.get(), PATIENCE_S)
        if octets:
            self.said.append(octets)
        return octets

    async def drive(self, session: Session[T]) -> T:
        """Run a session to its end."""
        try:
            out = next(session)
            while True:
                if out:
                    self.send(out)
                try:
                    came = await self.hear()
                except TimeoutError:
                    out = session.throw(FramingError("link-timeout", "nothing came"))
                    continue
                out = session.send(came or CLOSED)
        except StopIteration as ended:
            found: T = ended.value
            return found


class _Stream(asyncio.Protocol):
    def __init__(self, inbox: asyncio.Queue[bytes]) -> None:
        self._inbox, self._stream = inbox, ApduStream()

    def data_received(self, data: bytes) -> None:
        for item in self._stream.feed(data):
            assert isinstance(item, Framed)
            self._inbox.put_nowait(item.octets)

    def connection_lost(self, _exc: Exception | None) -> None:
        self._inbox.put_nowait(b"")


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, inbox: asyncio.Queue[bytes]) -> None:
        self._inbox = inbox

    def datagram_received(self, data: bytes, _addr: tuple[str, int]) -> None:
        for item in datagram(data):
            assert isinstance(item, Framed)
            self._inbox.put_nowait(item.octets)


class Counting:
    """Invocation ids and IVs that rise."""

    def __init__(self, first: int = 1_000) -> None:
        self._last = first

    def invocation(self) -> int:
        self._last += 1
        return self._last

    def iv(self) -> bytes:
        return self._last.to_bytes(4, "big")


def client_of(plan: MeterPlan, numbers: Counting, *, mode: Mode | None = None, key: bytes | None = None) -> Client:
    """A client of a meter, with its key unless another is given."""
    kind = plan.model.c12
    assert kind is not None
    node = Node(title(plan.ap_title), HES, kind.mode if mode is None else mode, key or plan.encryption_key, kind.key_id)
    return Client(node, numbers.invocation, numbers.iv)
