"""C12.18 meters on lines: a TCP port (a terminal server, a cellular modem) and a pseudo-terminal (an optical head)."""

from __future__ import annotations

import asyncio
import os
import tty
from collections.abc import Callable

from connectors.simulator.c12.psem_server import PsemServer

_CHUNK = 65_536


class PsemConnection(asyncio.Protocol):
    """One connection to one meter."""

    def __init__(self, server: PsemServer) -> None:
        self._server = server
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio's: the connection is open."""
        self._transport = transport  # type: ignore[assignment]  # a server's connections are Transports

    def data_received(self, data: bytes) -> None:
        """asyncio's: octets came."""
        loop = asyncio.get_running_loop()
        self._say(self._server.receive(data, loop.time()))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """asyncio's: the connection ended."""
        self._transport = None
        self._set_timer(None)

    def _say(self, octets: bytes) -> None:
        if self._transport is not None and octets:
            self._transport.write(octets)
        self._set_timer(self._server.deadline)

    def _set_timer(self, deadline: float | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        loop = asyncio.get_running_loop()
        self._timer = loop.call_at(deadline, self._due) if deadline is not None else None

    def _due(self) -> None:
        self._say(self._server.tick(asyncio.get_running_loop().time()))


async def serve_tcp(make: Callable[[], PsemServer], host: str, port: int) -> asyncio.Server:
    """Listen; every connection is a line of its own to the meter that `make` gives."""
    return await asyncio.get_running_loop().create_server(lambda: PsemConnection(make()), host, port)


class PtyLine:
    """A meter on a pseudo-terminal: `path` is what a client opens as its serial port."""

    def __init__(self, server: PsemServer) -> None:
        self._server = server
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._ours, self._theirs = os.openpty()  # theirs stays open, so that a client may come and go
        tty.setraw(self._theirs)
        os.set_blocking(self._ours, False)
        self.path = os.ttyname(self._theirs)
        self._loop.add_reader(self._ours, self._readable)

    def close(self) -> None:
        """Take the line away."""
        self._loop.remove_reader(self._ours)
        if self._timer is not None:
            self._timer.cancel()
        os.close(self._ours)
        os.close(self._theirs)

    def _readable(self) -> None:
        self._say(self._server.receive(os.read(self._ours, _CHUNK), self._loop.time()))

    def _say(self, octets: bytes) -> None:
        while octets:
            try:
                octets = octets[os.write(self._ours, octets) :]
            except BlockingIOError:  # nobody reads: as on a wire, what is not heard is lost
                break
        if self._timer is not None:
            self._timer.cancel()
        deadline = self._server.deadline
        self._timer = self._loop.call_at(deadline, self._due) if deadline is not None else None

    def _due(self) -> None:
        self._say(self._server.tick(self._loop.time()))
