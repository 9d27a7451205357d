"""The meters of `hes bench storm --at sockets`: last gasps pushed to a gateway's TCP port at the times planned for them,
and, with `--beside-readings`, readings of other meters beside them at a steady rate.

They come by standing connections that many meters share, as behind a modem pool, or (`--each`) each by a connection of its
own, opened for it, closed with its acknowledgement, and no more at once than `--connections`. Readings share some more.

A process of its own: `python -m connectors.cli.bench.storm_fleet --port P` takes orders as JSON lines on its standard input,
`{"begin": seconds, "gasps": [[ms, meter], …], "readings": a second}`, each until the next one, and ends with the input. It
prints JSON lines: of what was sent since the last one its place in the order and its time in seconds, and how many pushes
were sent and acknowledged so far. `{"ready": true}` is the first.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from itertools import count
from typing import Any

import uvloop

from connectors.cli.bench import pushes

READERS = 2_000
"""Meters that push readings beside the storm, by turns: numbers from 0."""
READING_CONNECTIONS = 20
_STEP_S = 0.002
_REPORT_S = 0.1
_PORTS = 20_000
"""Connections that are opened from one address, before another one's ports are taken."""


class _Line(asyncio.Protocol):
    """A connection, whose acknowledgements are counted."""

    def __init__(self, answered: Callable[[int], None], made: Callable[[_Line], None], lost: Callable[[], None]) -> None:
        self._answered, self._made, self._lost = answered, made, lost
        self._buffer = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Tell who waits for it."""
        self._transport = transport  # type: ignore[assignment]  # a client's is a Transport
        self._made(self)

    def data_received(self, data: bytes) -> None:
        """Acknowledgements."""
        answers, self._buffer = pushes.acknowledged(self._buffer + data)
        self._answered(answers)

    def connection_lost(self, _exc: Exception | None) -> None:
        """The end of it, however it comes."""
        self._lost()

    def write(self, octets: bytes) -> None:
        """Send."""
        if self._transport is not None:
            self._transport.write(octets)

    def close(self) -> None:
        """End it."""
        if self._transport is not None:
            self._transport.close()


class _Fleet:
    """All meters. What has to be sent is looked at every `_STEP_S`."""

    def __init__(self, given: argparse.Namespace) -> None:
        self._given = given
        self._lines: list[_Line] = []
        self._readers: list[_Line] = []
        self._gasps: deque[tuple[int, int, int]] = deque()  # place in the order, when (ms), meter
        self._open = 0
        self._opened, self._counters = count(), count(1)
        self._tasks: set[asyncio.Task[None]] = set()
        self._sent: list[tuple[int, float]] = []
        self._told = {"gasps": 0, "acknowledged": 0, "readings": 0, "readings_acknowledged": 0, "lost": 0}
        self._begin, self._due, self._rate = 0.0, 0, 0.0
        self._closing = False

    async def run(self) -> int:
        """Until there are no more orders; the exit code."""
        given, loop = self._given, asyncio.get_running_loop()
        for _ in range(0 if given.each else given.connections):
            self._lines.append(await self._connected("acknowledged"))
        for _ in range(READING_CONNECTIONS if given.readings else 0):
            self._readers.append(await self._connected("readings_acknowledged"))
        _tell({"ready": True})
        orders = asyncio.StreamReader(limit=1 << 30)
        await loop.connect_read_pipe(partial(asyncio.StreamReaderProtocol, orders), sys.stdin)
        listening = loop.create_task(self._listen(orders))
        told = 0.0
        while not listening.done():
            await asyncio.sleep(_STEP_S)
            now = time.time()
            self._push(now)
            if now - told > _REPORT_S:
                told = now
                self._tell()
        self._closing = True
        for line in (*self._lines, *self._readers):
            line.close()
        listening.result()
        return 0

    async def _listen(self, orders: asyncio.StreamReader) -> None:
        while line := await orders.readline():
            order = json.loads(line)
            self._gasps = deque((place, at, meter) for place, (at, meter) in enumerate(order["gasps"]))
            self._begin, self._due, self._rate = order["begin"], 0, order["readings"]

    async def _connected(self, name: str) -> _Line:
        line = partial(_Line, partial(self._count, name), lambda _: None, self._lost)
        _, protocol = await asyncio.get_running_loop().create_connection(line, "127.0.0.1", self._given.port)
        return protocol

    def _push(self, now: float) -> None:
        """Send what is due."""
        gasps, given = self._gasps, self._given
        while gasps and gasps[0][1] <= now * 1_000 and (not given.each or self._open < given.connections):
            place, at, meter = gasps.popleft()
            if given.each:
                self._open += 1
                task = asyncio.get_running_loop().create_task(self._push_alone(place, at, meter))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            else:
                self._gasp(self._lines[meter % len(self._lines)], place, at, meter)
        while self._due < (now - self._begin) * self._rate:
            number = self._due % READERS
            telegram = pushes.reading(number, 1_000 + self._told["readings"], pushes.second_of(round(now * 1_000)))
            self._readers[number % len(self._readers)].write(self._framed(number, telegram))
            self._due += 1
            self._told["readings"] += 1

    def _gasp(self, line: _Line, place: int, at: int, meter: int) -> None:
        frame = self._framed(meter, pushes.last_gasp(meter, pushes.second_of(at)))
        self._sent.append((place, time.time()))
        self._told["gasps"] += 1
        line.write(frame)

    async def _push_alone(self, place: int, at: int, meter: int) -> None:
        """A last gasp by a connection of its own."""
        line: _Line | None = None
        whole = False

        def made(opened: _Line) -> None:
            nonlocal line
            line = opened
            self._gasp(opened, place, at, meter)

        def answered(answers: int) -> None:
            nonlocal whole
            if line is not None and answers:
                whole = True
                self._count("acknowledged", answers)
                line.close()

        def ended() -> None:
            self._open -= 1
            if not whole:
                self._lost()

        address = f"127.0.0.{1 + next(self._opened) // _PORTS % 250}"
        loop = asyncio.get_running_loop()
        try:
            await loop.create_connection(
                lambda: _Line(answered, made, ended), "127.0.0.1", self._given.port, local_addr=(address, 0)
            )
        except OSError as error:
            sys.stderr.write(f"meter {meter} cannot connect: {error}\n")
            ended()

    def _framed(self, number: int, telegram: bytes) -> bytes:
        if self._given.ciphered:
            telegram = pushes.sealed(number, telegram, next(self._counters))
        return pushes.framed(telegram)

    def _count(self, name: str, answers: int) -> None:
        self._told[name] += answers

    def _lost(self) -> None:
        self._told["lost"] += not self._closing

    def _tell(self) -> None:
        sent, self._sent = self._sent, []
        _tell({"sent": sent} | self._told)


def _tell(line: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


async def _run(given: argparse.Namespace) -> int:
    return await _Fleet(given).run()


def main(argv: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m connectors.cli.bench.storm_fleet", description="Meters that go dark.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--connections", type=int, default=1_000)
    parser.add_argument("--each", action="store_true", help="a connection for each last gasp")
    parser.add_argument("--readings", action="store_true", help="hold connections for readings too")
    parser.add_argument("--ciphered", action="store_true")
    return uvloop.run(_run(parser.parse_args(argv)))


if __name__ == "__main__":
    sys.exit(main())
