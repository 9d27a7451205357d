"""Connections handed from the worker that a meter reached to the one that has its jobs: two workers on real sockets."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from aiokafka.partitioner import murmur2  # type: ignore[import-untyped]  # no type hints upstream

from connectors.gateway.drivers.dlms_wrapper import WrapperFraming
from connectors.gateway.relay import Member, Relay, address_in, client_id, partition_of
from connectors.gateway.session import LinkTerms, MeterLink
from schemas.records import Meter
from tests.unit.connectors.gateway.builders import meter, reading, wrapped
from tests.unit.connectors.gateway.test_lines import Bench as Listening

SECRET = b"sixteen octets and more"
DIALS = meter("m1", endpoint="dial-in")
NUMBER = partition_of("m1", 12)


@pytest.mark.parametrize("key", ["", "a", "ab", "abc", "abcd", "m1", "meter-00000042", "Zähler-7", "x" * 61])
def test_partitions_are_those_that_others_take(key: str) -> None:
    assert partition_of(key, 12) == (murmur2(key.encode()) & 0x7FFFFFFF) % 12


@pytest.mark.parametrize(
    ("text", "address"),
    [
        pytest.param(client_id("hes-gateway", "10.0.0.7", 7070), ("10.0.0.7", 7070), id="ours"),
        pytest.param(client_id("hes-gateway", "fd00::7", 7070), ("fd00::7", 7070), id="ipv6"),
        pytest.param("hes-gateway", None, id="says-nothing"),
        pytest.param("hes-gateway@host", None, id="no-port"),
        pytest.param("hes-gateway@host@0", None, id="port-0"),
        pytest.param("hes-gateway@host@99999", None, id="port-too-high"),
        pytest.param("hes-gateway@@7070", None, id="no-host"),
    ],
)
def test_addresses_in_client_ids(text: str, address: tuple[str, int] | None) -> None:
    assert address_in(text) == address


@dataclass
class Owning:
    numbers: set[int]
    partitions: int = 12

    def owns(self, number: int) -> bool:
        return number in self.numbers


class Worker:
    """A listener and a relay, on sockets."""

    def __init__(self, *numbers: int) -> None:
        self.side = Listening(DIALS)
        self.owning = Owning(set(numbers))
        self.members: list[Member] = []
        self.relay = Relay(
            self.side.clock, self.owning, lambda: self.members, self.side.listener.connection, self._meter, SECRET
        )
        self.servers: list[asyncio.Server] = []

    async def open(self) -> tuple[int, int]:
        """Ports of meters and of pipes."""
        loop = asyncio.get_running_loop()
        for protocol in (self.side.listener.connection, self.relay.inlet):
            self.servers.append(await loop.create_server(protocol, "127.0.0.1", 0))
        first, second = (server.sockets[0].getsockname()[1] for server in self.servers)
        return first, second

    def close(self) -> None:
        for server in self.servers:
            server.close()
        self.side.listener.close()

    def _meter(self, meter_id: str) -> Meter | None:
        return self.side.listener.pipeline.directory.get(meter_id)

    @property
    def lines(self) -> Any:
        return self.side.listener.lines

    def line(self) -> Any:
        return self.lines.get("m1")


async def until(true: Callable[[], Any], *workers: Worker) -> None:
    """Let sockets do what they have to; delivery reports come at once."""
    async with asyncio.timeout(20):
        while not true():
            for worker in workers:
                worker.side.publisher.deliver()
            await asyncio.to_thread(lambda: None)


async def test_a_meter_at_the_wrong_door_is_read_by_the_worker_that_has_its_jobs() -> None:
    door, owner = Worker(), Worker(NUMBER)
    port, _ = await door.open()
    _, pipes = await owner.open()
    door.members = [Member(client_id("w", "127.0.0.1", pipes), frozenset({NUMBER}))]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(wrapped(reading()))
    await until(door.line, door)
    door.relay.hand_over(door.line(), "m1")
    await until(owner.line, door, owner)
    assert door.line() is None
    line = owner.line()
    assert (line.endpoint.partition(":")[0], line.adopted) == ("127.0.0.1", True)

    link, ended = MeterLink(WrapperFraming(16, 1), LinkTerms(owner.side.clock, 30, lambda *_: None, lambda: None)), []

    def asks() -> Any:
        return (yield b"\xc0\x01\xc1")

    line.lend(link)
    link.run(asks(), lambda result, error: ended.append((result, error)))
    assert await reader.readexactly(11) == wrapped(b"\xc0\x01\xc1", 16, 1)
    writer.write(wrapped(b"\xc4\x01\xc1", 1, 16))
    await until(lambda: ended, door, owner)
    assert ended == [(b"\xc4\x01\xc1", None)]
    link.close()

    before = len(owner.side.publisher.sent)
    writer.write(wrapped(reading(value=5, invoke_id=0x40000005)))
    await until(lambda: len(owner.side.publisher.sent) > before, owner)
    answer = asyncio.ensure_future(reader.readexactly(14))
    await until(answer.done, owner)
    assert answer.result()[8:9] == b"\x10"

    line.close()
    assert await reader.read() == b""
    writer.close()
    door.close()
    owner.close()


async def test_a_meter_that_hangs_up_is_gone_everywhere() -> None:
    door, owner = Worker(), Worker(NUMBER)
    port, _ = await door.open()
    _, pipes = await owner.open()
    door.members = [Member(client_id("w", "127.0.0.1", pipes), frozenset({NUMBER}))]
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(wrapped(reading()))
    await until(door.line, door)
    door.relay.hand_over(door.line(), "m1")
    await until(owner.line, door, owner)
    writer.close()
    await until(lambda: owner.line() is None and not door.side.listener.connections, door, owner)
    door.close()
    owner.close()


async def test_a_worker_that_lost_the_partition_refuses_and_the_meter_stays_where_it_is() -> None:
    door, other = Worker(), Worker()
    port, _ = await door.open()
    _, pipes = await other.open()
    door.members = [Member(client_id("w", "127.0.0.1", pipes), frozenset({NUMBER}))]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(wrapped(reading()))
    await until(door.line, door)
    door.relay.hand_over(door.line(), "m1")
    end = asyncio.ensure_future(reader.read())  # hung up on: it dials in again
    await until(end.done, door)
    assert end.result() == b""
    assert other.line() is None
    writer.close()
    door.close()
    other.close()


async def test_nobody_is_asked_where_nobody_is_known() -> None:
    door = Worker()
    port, _ = await door.open()
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(wrapped(reading()))
    await until(door.line, door)
    door.relay.hand_over(door.line(), "m1")
    await until(lambda: not door.relay._under_way, door)
    assert door.line().free
    writer.close()
    door.close()


async def test_what_was_passed_on_already_is_hung_up_on() -> None:
    worker = Worker()
    _, pipes = await worker.open()
    worker.owning.numbers = {NUMBER}
    connection, _ = worker.side.connect()
    reader, writer = await asyncio.open_connection("127.0.0.1", pipes)
    writer.write(worker.relay.hello("m1", connection))
    await until(worker.line, worker)
    worker.owning.numbers = set()
    worker.relay.hand_over(worker.line(), "m1")
    assert await reader.read() == b""
    writer.close()
    worker.close()


def altered(line: bytes) -> bytes:
    said, _, proof = line.partition(b" ")
    return base64.b64encode(base64.b64decode(said).replace(b"m1", b"m2")) + b" " + proof


@pytest.mark.parametrize(
    ("alter", "seconds", "welcome"),
    [
        pytest.param(lambda line: line, 0, True, id="as-said"),
        pytest.param(altered, 0, False, id="another-meter"),
        pytest.param(lambda line: line[:-5] + b"0000\n", 0, False, id="another-proof"),
        pytest.param(lambda line: line.partition(b" ")[0], 0, False, id="no-proof"),
        pytest.param(lambda line: line, 61, False, id="played-again-later"),
        pytest.param(lambda _: b"\xff\xfe \n", 0, False, id="nonsense"),
        pytest.param(lambda _: b"", 0, False, id="nothing"),
    ],
)
async def test_hellos(alter: Callable[[bytes], bytes], seconds: float, welcome: bool) -> None:
    worker = Worker(NUMBER)
    connection, _ = worker.side.connect()
    line = alter(worker.relay.hello("m1", connection))
    worker.side.clock.advance(seconds)
    assert (worker.relay.welcome(line) is not None) is welcome


async def test_a_pipe_that_says_nothing_or_too_much_is_given_up() -> None:
    worker = Worker(NUMBER)
    _, pipes = await worker.open()
    silent, silent_writer = await asyncio.open_connection("127.0.0.1", pipes)
    loud, loud_writer = await asyncio.open_connection("127.0.0.1", pipes)
    loud_writer.write(b"x" * 5_000)
    with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
        await loud.readexactly(1)
    await until(lambda: len(worker.relay.waiting) == 1)
    worker.side.clock.advance(6)
    worker.relay.sweep()
    with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
        await silent.readexactly(1)
    for writer in (silent_writer, loud_writer):
        writer.close()
    worker.close()
