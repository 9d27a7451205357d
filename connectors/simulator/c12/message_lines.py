"""C12.22 meters on sockets: a TCP port and a UDP port of one number, as port 1153 is."""

from __future__ import annotations

import asyncio
from typing import cast

from connectors.protocols.c12.c1222_framing import ApduStream, Framed, datagram
from connectors.protocols.c12.c1222_segments import Limits, Segments
from connectors.simulator.c12.message_server import MessageServer

_LIMITS = Limits(messages=4, octets=1 << 17, age_s=30.0)
_TRIES = 20


class MessageConnection(asyncio.Protocol):
    """One client's connection to one meter. Octets that are no message end it."""

    def __init__(self, server: MessageServer, connections: set[MessageConnection]) -> None:
        self._server, self._open = server, connections
        self._stream, self._segments = ApduStream(), Segments(_LIMITS, base=server.identity.base)
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember where answers go."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one in all but inheritance
        self._open.add(self)

    def connection_lost(self, _exc: Exception | None) -> None:
        """Nothing more can be answered."""
        self._open.discard(self)
        self._transport = None

    def data_received(self, data: bytes) -> None:
        """Answer every whole message."""
        now = asyncio.get_running_loop().time()
        for item in self._stream.feed(data):
            if self._transport is None:
                return
            if not isinstance(item, Framed):
                self.close()
                return
            if replies := self._server.receive(item.octets, self._segments, now):
                self._transport.write(b"".join(replies))

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.close()


class MessageDatagrams(asyncio.DatagramProtocol):
    """One meter's UDP port."""

    def __init__(self, server: MessageServer) -> None:
        self._server = server
        self._segments = Segments(_LIMITS, base=server.identity.base)
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember where answers go."""
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Answer a message; anything else is not heard."""
        now = asyncio.get_running_loop().time()
        for item in datagram(data):
            for reply in self._server.receive(item.octets, self._segments, now) if isinstance(item, Framed) else ():
                if self._transport is not None:
                    self._transport.sendto(reply, addr)


async def serve(
    server: MessageServer, connections: set[MessageConnection], host: str, port: int = 0, backlog: int = 16
) -> tuple[asyncio.Server, asyncio.DatagramTransport]:
    """Listen on TCP, and on UDP at the same number. Raises OSError where a port is taken."""
    loop = asyncio.get_running_loop()
    for _ in range(_TRIES):
        listener = await loop.create_server(lambda: MessageConnection(server, connections), host, port, backlog=backlog)
        number = int(listener.sockets[0].getsockname()[1])
        try:
            transport, _ = await loop.create_datagram_endpoint(lambda: MessageDatagrams(server), local_addr=(host, number))
        except OSError:
            listener.close()
            if port:
                raise
            continue  # somebody has that number on UDP
        return listener, transport
    raise OSError(f"no port of {host} is free for TCP and UDP alike: try again, or fewer meters")
