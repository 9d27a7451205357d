"""Our own client reads the simulated C12.18 meter over TCP, IPv6, a serial port (a pseudo-terminal) and C12.21."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import cast

import pytest

from connectors.gateway.errors import JobError
from connectors.gateway.serial_line import open_serial
from connectors.protocols.c12 import c1221
from connectors.protocols.c12.errors import C12Error
from connectors.protocols.c12.psem_link import PsemLink
from connectors.protocols.c12.psem_session import (
    CLOSED,
    Session,
    T,
    User,
    close_session,
    open_session,
    read_table,
    read_whole,
    write_table,
)
from connectors.protocols.c12.psem_timing import TIMING_TCP
from connectors.protocols.c12.requests import Negotiate
from connectors.simulator.c12.psem_lines import PtyLine, serve_tcp
from connectors.simulator.c12.psem_server import PsemServer, Settings
from connectors.simulator.c12.psem_tables import OctetTables

pytestmark = pytest.mark.integration

PASSWORD, KEY = b"secret", c1221.Key(1, bytes.fromhex("0123456789ABCDEF"))
BIG = bytes(range(256)) * 40
USER = User(2, "user", PASSWORD)


def meter(settings: Settings) -> PsemServer:
    return PsemServer(OctetTables({1: b"ACME", 5: b"METER".ljust(20), 64: BIG}, writable={5}), settings)


class Client(asyncio.Protocol):
    """The least that a driver has to be: octets to the link, answers to the session, time when it is due."""

    def __init__(self) -> None:
        self.link = PsemLink(TIMING_TCP)
        self.transport: asyncio.Transport | None = None
        self.answers: asyncio.Queue[bytes | C12Error] = asyncio.Queue()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.link.open(asyncio.get_running_loop().time())

    def data_received(self, data: bytes) -> None:
        try:
            received = self.link.receive(data, asyncio.get_running_loop().time())
        except C12Error as error:
            self.answers.put_nowait(error)
            return
        self.write(received.replies)
        for answer in received.apdus:
            self.answers.put_nowait(answer)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - its signature
        self.answers.put_nowait(CLOSED)

    def write(self, octets: bytes) -> None:
        if self.transport is not None and octets:
            self.transport.write(octets)

    async def run(self, session: Session[T]) -> T:
        loop, answer = asyncio.get_running_loop(), b""
        try:
            service = next(session)
            while True:
                self.write(self.link.send(service, loop.time()))
                answer = await self.answer()
                service = session.send(answer)
        except StopIteration as end:
            result: T = end.value
            return result

    async def answer(self) -> bytes:
        loop = asyncio.get_running_loop()
        while True:
            due = self.link.deadline
            with suppress(TimeoutError):
                async with asyncio.timeout_at(due):
                    found = await self.answers.get()
                    if isinstance(found, C12Error):
                        raise found
                    return found
            self.write(self.link.tick(loop.time()))


Connect = Callable[[Settings], Awaitable[tuple[Client, Callable[[], None]]]]


async def over(host: str, settings: Settings) -> tuple[Client, Callable[[], None]]:
    try:
        server = await serve_tcp(lambda: meter(settings), host, 0)
    except OSError:
        pytest.skip(f"no {host} on this machine")
    port = server.sockets[0].getsockname()[1]
    _, client = await asyncio.get_running_loop().create_connection(Client, host, port)
    return client, server.close


async def over_tcp(settings: Settings) -> tuple[Client, Callable[[], None]]:
    return await over("127.0.0.1", settings)


async def over_ipv6(settings: Settings) -> tuple[Client, Callable[[], None]]:
    return await over("::1", settings)


async def over_serial(settings: Settings) -> tuple[Client, Callable[[], None]]:
    line = PtyLine(meter(settings))
    _, client = await open_serial(line.path, 9600, Client)
    return client, line.close


@asynccontextmanager
async def connected(connect: Connect, settings: Settings) -> AsyncIterator[Client]:
    client, done = await connect(settings)
    try:
        yield client
    finally:
        assert client.transport is not None
        client.transport.close()
        while await client.answers.get() != CLOSED:
            pass
        done()


EVERY_LINE = pytest.mark.parametrize("connect", [over_tcp, over_ipv6, over_serial])


@EVERY_LINE
async def test_a_session(connect: Connect) -> None:
    async with connected(connect, Settings(password=PASSWORD, packet_size=1024)) as client:
        opened = await client.run(open_session(USER))
        assert await client.run(read_table(1)) == b"ACME"
        assert await client.run(read_whole(64, opened.agreed, len(BIG))) == BIG
        await client.run(write_table(5, b"X", 1))
        assert await client.run(read_table(5)) == b"MXTER".ljust(20)
        await client.run(close_session())


@EVERY_LINE
async def test_a_c1221_session(connect: Connect) -> None:
    async with connected(connect, Settings(standard=2, key=KEY)) as client:
        opened = await client.run(c1221.open_session(User(2, "user"), KEY, Negotiate(512, 32)))
        assert await client.run(read_whole(64, opened.agreed)) == BIG


async def test_a_session_that_was_broken_off_is_begun_again() -> None:
    async with connected(over_serial, Settings(password=PASSWORD)) as client:
        await client.run(open_session(USER))
        client.link.close(0.0)
        client.link.open(0.0)
        await client.run(open_session(USER))
        assert await client.run(read_table(1)) == b"ACME"


async def test_the_rate_of_a_port_is_changed_between_services() -> None:
    line = PtyLine(meter(Settings(password=PASSWORD)))
    transport, client = await open_serial(line.path, 9600, Client)
    opened = await client.run(open_session(USER, Negotiate(256, 4, (57600, 9600))))
    assert opened.agreed.baud == client.link.agreed.baud == 57600
    transport.set_rate(57600)
    assert await client.run(read_table(1)) == b"ACME"
    with pytest.raises(JobError, match="14400 baud is no rate"):
        transport.set_rate(14400)
    transport.abort()
    assert await client.answers.get() == CLOSED
    line.close()


async def test_a_port_that_is_unplugged() -> None:
    line = PtyLine(meter(Settings()))
    transport, client = await open_serial(line.path, 9600, Client)
    line.close()
    assert await client.answers.get() == CLOSED
    assert transport.is_closing()
    transport.write(b"too late")
    transport.close()


@pytest.mark.parametrize(
    ("path", "rate", "code", "says"),
    [
        ("{folder}/nothing", 9600, "connect-refused", "No such file"),
        ("{folder}/file", 9600, "endpoint-unsupported", "is no serial port"),
        ("{folder}/file", 14400, "endpoint-unsupported", "14400 baud is no rate"),
    ],
    ids=["not there", "a file", "a rate that termios does not know"],
)
async def test_ports_that_are_none(tmp_path: os.PathLike[str], path: str, rate: int, code: str, says: str) -> None:
    name = path.format(folder=tmp_path)
    if name.endswith("file"):
        with open(name, "wb"):  # noqa: ASYNC230, PTH123 - an empty file
            pass
    with pytest.raises(JobError, match=says) as raised:
        await open_serial(name, rate, Client)
    assert raised.value.code == code
