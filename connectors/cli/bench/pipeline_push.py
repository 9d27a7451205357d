"""The meters of `hes bench pipeline --push`: very many of them, each pushing one interval to a gateway's TCP port, over some
connections that many meters share, as behind a concentrator. Each connection has so many pushes under way as `--ahead` says:
the gateway acknowledges a confirmed push once Kafka has it.

A process of its own: `python -m connectors.cli.bench.pipeline_push --port P --meters N` prints JSON lines as `pipeline_day`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial

import uvloop

from connectors.cli.bench import pushes

_REPORT_S = 0.5


class _Concentrator(asyncio.Protocol):
    """A connection, and the meters behind it."""

    def __init__(self, meters: Sequence[int], ahead: int, fleet: _Fleet) -> None:
        self._left = list(reversed(meters))
        self._ahead = ahead
        self._fleet = fleet
        self._under_way = 0
        self._buffer = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = transport  # type: ignore[assignment]  # a client's is a Transport
        self._push()

    def data_received(self, data: bytes) -> None:
        """Acknowledgements: each lets another meter push."""
        answers, self._buffer = pushes.acknowledged(self._buffer + data)
        self._under_way -= answers
        self._fleet.acknowledged += answers
        self._push()

    def connection_lost(self, _exc: Exception | None) -> None:
        """The end of it, however it comes."""
        self._fleet.ended(whole=not self._left and not self._under_way)

    def _push(self) -> None:
        assert self._transport is not None  # noqa: S101 - connected
        out = []
        while self._left and self._under_way < self._ahead:
            out.append(self._fleet.frame(self._left.pop()))
            self._under_way += 1
        if out:
            self._transport.write(b"".join(out))
        elif not self._left and not self._under_way:
            self._transport.close()


class _Fleet:
    """All of them."""

    def __init__(self, given: argparse.Namespace) -> None:
        self._given = given
        self._open = 0
        self._done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._at = datetime.now(UTC).replace(microsecond=0)
        self.acknowledged = 0

    async def run(self) -> int:
        """Push, and tell how far it is; the exit code."""
        given, loop = self._given, asyncio.get_running_loop()
        told = time.perf_counter()
        for place in range(given.connections):
            meters = range(place, given.meters, given.connections)
            if meters:
                self._open += 1
                await loop.create_connection(partial(_Concentrator, meters, given.ahead, self), "127.0.0.1", given.port)
        while not self._done.done():
            await asyncio.wait([self._done], timeout=0.1)
            if time.perf_counter() - told > _REPORT_S:
                told = time.perf_counter()
                self._tell(done=False)
        whole = self.acknowledged == given.meters
        self._tell(done=whole)
        return 0 if whole else 1

    def _tell(self, *, done: bool) -> None:
        used = time.process_time()
        _tell({"sent": self.acknowledged, "play": used, "cpu": used, "done": done})

    def frame(self, number: int) -> bytes:
        """What a meter sends now."""
        given = self._given
        apdu = pushes.reading(number, 1_000 + number, self._at)
        if given.ciphered:
            apdu = pushes.sealed(number, apdu, int(time.time()) & 0xFFFFFFFF)
        if number % given.mark == 0:
            _tell({"mark": pushes.meter_id(number), "at": int(time.time() * 1000)})
        return pushes.framed(apdu)

    def ended(self, *, whole: bool) -> None:
        """A connection is closed."""
        self._open -= 1
        if (self._open == 0 or not whole) and not self._done.done():
            self._done.set_result(None)


def _tell(line: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


async def _run(given: argparse.Namespace) -> int:
    return await _Fleet(given).run()


def main(argv: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m connectors.cli.bench.pipeline_push", description="Meters that push.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--meters", type=int, required=True)
    parser.add_argument("--connections", type=int, default=50)
    parser.add_argument("--ahead", type=int, default=200, help="pushes of a connection that wait for their acknowledgement")
    parser.add_argument("--mark", type=int, default=100)
    parser.add_argument("--ciphered", action="store_true")
    return uvloop.run(_run(parser.parse_args(argv)))


if __name__ == "__main__":
    sys.exit(main())
