"""A serial port of this machine as an asyncio transport: an optical head or a cable, 8 data bits, no parity, 1 stop bit.

    transport, link = await open_serial("/dev/ttyUSB0", 9600, make_link)

Made of termios and the event loop's file watching, so for Unix. A terminal server on the network needs none of it: TCP.
"""

from __future__ import annotations

import asyncio
import os
import termios
import tty
from collections.abc import Callable
from typing import Any, TypeVar

from connectors.gateway.errors import JobError

P = TypeVar("P", bound=asyncio.Protocol)

RATES: dict[int, int] = {
    rate: getattr(termios, f"B{rate}")
    for rate in (300, 600, 1200, 2400, 4800, 9600, 19200, 38400, 57600, 115200)
    if hasattr(termios, f"B{rate}")
}
"""Rates that termios knows. C12.18's 14,400, 28,800, 128,000 and 256,000 are not among them."""

_CHUNK = 4_096


class SerialTransport(asyncio.Transport):
    """A port that is open. What is written is buffered without bound: its users wait for answers."""

    def __init__(self, descriptor: int, path: str, protocol: asyncio.Protocol, rate: int = 0) -> None:
        super().__init__({"peername": path, "rate": rate})
        self._fd, self._path, self._protocol = descriptor, path, protocol
        self._loop = asyncio.get_running_loop()
        self._unsent = bytearray()
        self._closing = False
        protocol.connection_made(self)
        self._loop.add_reader(descriptor, self._readable)

    def set_rate(self, rate: int) -> None:
        """Change the rate once everything written has left: after a negotiate. Raises `JobError`."""
        _configure(self._fd, self._path, rate)

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        """See `asyncio.Transport`."""
        if self._closing:
            return
        idle = not self._unsent
        self._unsent += data
        if idle:
            self._writable()

    def is_closing(self) -> bool:
        """See `asyncio.Transport`."""
        return self._closing

    def close(self) -> None:
        """See `asyncio.Transport`. What is written is still sent."""
        if not self._closing:
            self._closing = True
            self._loop.remove_reader(self._fd)
            if not self._unsent:
                self._loop.call_soon(self._lost, None)

    def abort(self) -> None:
        """See `asyncio.Transport`."""
        self._unsent.clear()
        self._loop.remove_writer(self._fd)
        self.close()

    def _readable(self) -> None:
        try:
            data = os.read(self._fd, _CHUNK)
        except BlockingIOError:
            return
        except OSError as error:
            self._fail(error)
            return
        if data:
            self._protocol.data_received(data)
        else:
            self._fail(None)  # the port was unplugged

    def _writable(self) -> None:
        try:
            del self._unsent[: os.write(self._fd, self._unsent)]
        except BlockingIOError:
            pass
        except OSError as error:
            self._fail(error)
            return
        if self._unsent:
            self._loop.add_writer(self._fd, self._writable)
            return
        self._loop.remove_writer(self._fd)
        if self._closing:
            self._loop.call_soon(self._lost, None)

    def _fail(self, error: OSError | None) -> None:
        """The port is gone: what is not sent never will be."""
        self._unsent.clear()
        self._loop.remove_writer(self._fd)
        self._loop.remove_reader(self._fd)
        if self._closing:
            return
        self._closing = True
        self._loop.call_soon(self._lost, error)

    def _lost(self, error: OSError | None) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
            self._protocol.connection_lost(error)


async def open_serial(path: str, rate: int, make: Callable[[], P]) -> tuple[SerialTransport, P]:
    """Open a port and connect a protocol to it. Raises `JobError` "endpoint-unsupported", "connect-refused"."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    except OSError as error:
        detail = f"{path}: {error.strerror}; see that the head is plugged in and that this user may use the port"
        raise JobError("connect-refused", detail, retry=True) from error
    try:
        _configure(descriptor, path, rate)
    except JobError:
        os.close(descriptor)
        raise
    protocol = make()
    return SerialTransport(descriptor, path, protocol, rate), protocol


def _configure(descriptor: int, path: str, rate: int) -> None:
    if rate not in RATES:
        detail = f"{path}: {rate} baud is no rate of this machine's serial ports: {', '.join(map(str, RATES))}"
        raise JobError("endpoint-unsupported", detail)
    try:
        tty.setraw(descriptor, termios.TCSADRAIN)
        mode = termios.tcgetattr(descriptor)
        mode[2] = mode[2] & ~(termios.PARENB | termios.CSTOPB | termios.CRTSCTS) | termios.CLOCAL | termios.CREAD
        mode[4] = mode[5] = RATES[rate]
        termios.tcsetattr(descriptor, termios.TCSADRAIN, mode)
    except termios.error as error:
        raise JobError("endpoint-unsupported", f"{path}: {error.args[-1]}; it is no serial port") from error
