"""C12.22 meters that exist to be read fast: many different ones on TCP ports, each with a day's profile made beforehand.

As the load fleet of DLMS (`connectors.simulator.load`): a meter holds the octets of its tables, and only seals its answers
where it is asked to. The truth goes into a file, one line a meter:

    port title key password | end,value,value | …      ends in UTC milliseconds, values as the intervals have them

`python -m connectors.simulator.c12.load --meters 200 --mode CIPHERED --truth FILE` prints one JSON line when it listens and
ends with SIGTERM.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import random
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import uvloop

from connectors.protocols.c12.epsem import Mode
from connectors.protocols.c12.titles import title
from connectors.simulator.c12.kinds import C12Kind
from connectors.simulator.c12.layout import CHANNELS, INTERVALS, block_size, fixed_tables
from connectors.simulator.c12.message_lines import MessageConnection
from connectors.simulator.c12.message_server import Identity, MessageServer, Numbers
from connectors.simulator.c12.packing import ltime, number, stime
from connectors.simulator.c12.psem_tables import OctetTables
from connectors.simulator.fleet import system_ms

DAY = datetime(2026, 3, 2, tzinfo=UTC)
"""The day that the newest block holds."""
PASSWORD = "Passw0rd"  # noqa: S105 - of meters that exist for a bench
_BLOCKS, _NEWEST = 4, 2
_PERIOD_S = 900
_BACKLOG = 4096
_STATUS_EVERY = 10  # one row in so many has a status


@dataclass(frozen=True, slots=True)
class Row:
    """One interval."""

    end_ms: int
    values: tuple[int, ...]
    status: int


def rows_of(seed: int, meter: int) -> list[Row]:
    """A meter's day."""
    draw = random.Random(seed * 1_000_003 + meter)  # noqa: S311 - repeatable, not secret
    start = int(DAY.timestamp())
    return [
        Row(
            1000 * (start + (at + 1) * _PERIOD_S),
            tuple(draw.randrange(900) for _ in range(CHANNELS)),
            draw.randrange(1, 3) if draw.randrange(_STATUS_EVERY) == 0 else 0,
        )
        for at in range(INTERVALS)
    ]


def kind_of(mode: Mode) -> C12Kind:
    """The sort of meter."""
    return C12Kind("LOAD", "BENCH", b"LOAD", mode, session=True)


def meter_of(seed: int, index: int, mode: Mode) -> tuple[MessageServer, list[Row]]:
    """A meter and its day."""
    kind, rows = kind_of(mode), rows_of(seed, index)
    secret = hashlib.sha256(f"load fleet {seed} {index}".encode()).digest()
    end_s = rows[-1].end_ms // 1000
    block = stime(end_s, kind) + b"".join(number(index + channel, kind.number) for channel in range(CHANNELS))
    for row in rows:
        block += bytes((row.status << 4, 0)) + b"".join(number(value, kind.interval) for value in row.values)
    older = bytes(block_size(kind))
    tables = dict(fixed_tables(kind, _BLOCKS)) | {
        52: ltime(end_s, kind) + b"\x11",
        63: bytes((1 << 2 | 1 << 5,)) + number(_BLOCKS, 2) + number(_NEWEST, 2) + number(9, 4) + number(1, 2)
        + number(INTERVALS, 2),
        64: b"".join(block if at == _NEWEST else older for at in range(_BLOCKS)),
    }  # fmt: skip
    identity = Identity(title(f".7.{index + 1}"), kind, secret[:16], PASSWORD.encode())
    return MessageServer(identity, OctetTables(tables), Numbers(system_ms, 1)), rows


async def _run(arguments: argparse.Namespace) -> int:
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    for code in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(code, ended.set)
    connections: set[MessageConnection] = set()
    servers, lines = [], []
    for index in range(arguments.meters):
        meter, rows = meter_of(arguments.seed, index, Mode[arguments.mode])
        listener = await loop.create_server(
            lambda meter=meter: MessageConnection(meter, connections),  # type: ignore[misc]  # the default binds each turn's
            "127.0.0.1",
            0,
            backlog=_BACKLOG,
        )
        servers.append(listener)
        own = meter.identity
        head = f"{listener.sockets[0].getsockname()[1]} {own.title} {own.key.hex()} {PASSWORD}"
        lines.append(" | ".join((head, *(",".join(map(str, (row.end_ms, *row.values))) for row in rows))))
    arguments.truth.write_text("\n".join(lines) + "\n")
    _print({"ready": True, "meters": len(servers)})
    await ended.wait()
    for server in servers:
        server.close()
    return 0


def _print(line: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def main(argv: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m connectors.simulator.c12.load", description="Many meters, very fast.")
    parser.add_argument("--meters", type=int, default=200)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--mode", choices=[mode.name for mode in Mode], default=Mode.CLEAR.name)
    parser.add_argument("--truth", type=Path, required=True, help="where the truth file goes")
    return uvloop.run(_run(parser.parse_args(argv)))


if __name__ == "__main__":
    sys.exit(main())
