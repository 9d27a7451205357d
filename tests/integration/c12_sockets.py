"""C12 meters on sockets of the test's own process: messages on TCP and UDP, C12.18 on TCP and a pseudo-terminal."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable
from contextlib import suppress

from connectors.protocols.c12.c1222_framing import ApduStream, Framed
from connectors.simulator.c12.psem_lines import PtyLine, serve_tcp
from connectors.simulator.c12.psem_server import PsemServer
from tests.unit.connectors.gateway.drivers.c12_meter import MessageMeter


class MessagesOnTcp:
    """A C12.22 meter that listens."""

    def __init__(self, meter: MessageMeter, host: str = "127.0.0.1") -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._meter = meter
        self._socket = socket.create_server((host, 0), family=family)
        self.port: int = self._socket.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._socket.close()

    def _accept(self) -> None:
        while True:
            try:
                connection = self._socket.accept()[0]
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        stream = ApduStream()
        with connection, suppress(OSError):
            while data := connection.recv(65_536):
                for item in stream.feed(data):
                    if isinstance(item, Framed):
                        connection.sendall(b"".join(self._meter.exchange(item.octets)))


class MessagesOnUdp:
    """A C12.22 meter that listens for datagrams; `lose` says which of them nobody hears."""

    def __init__(self, meter: MessageMeter, host: str = "127.0.0.1", lose: Callable[[int], bool] = lambda _: False) -> None:
        self._meter, self._lose = meter, lose
        self._socket = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((host, 0))
        self.port: int = self._socket.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._socket.close()

    def _serve(self) -> None:
        heard = 0
        with suppress(OSError):
            while True:
                data, sender = self._socket.recvfrom(65_536)
                heard += 1
                if not self._lose(heard):
                    for answer in self._meter.exchange(data):
                        self._socket.sendto(answer, sender)


class Lines:
    """C12.18 meters, on an event loop of their own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._ends: list[Callable[[], None]] = []

    def tcp(self, make: Callable[[], PsemServer]) -> int:
        """The port of a meter that listens."""
        server = asyncio.run_coroutine_threadsafe(serve_tcp(make, "127.0.0.1", 0), self._loop).result(10)
        self._ends.append(server.close)
        return int(server.sockets[0].getsockname()[1])

    def serial(self, server: PsemServer) -> str:
        """The path of a meter's optical head."""

        async def open_line() -> PtyLine:
            return PtyLine(server)

        line = asyncio.run_coroutine_threadsafe(open_line(), self._loop).result(10)
        self._ends.append(line.close)
        return line.path

    def close(self) -> None:
        async def end() -> None:
            for close in self._ends:
                close()

        asyncio.run_coroutine_threadsafe(end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()
