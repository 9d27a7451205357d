"""A fleet that exists to be read fast: many different meters on TCP ports, each with a day's profile written beforehand.

Unlike the fleet of the demo these are no COSEM servers: a meter holds the octets of its answers and ciphers them where it is
asked to, so that a reader's rate is not limited by it. What each meter holds differs, scalers too, and one row in ten is
irregular: out of step after a power failure, without a clock, without a value, or with a wider type. The truth goes into a
file, one line a meter, for readers to compare with:

    port title ek ak scaler… | end,status,value… | …      ends in UTC milliseconds, "-" for what is missing

`python -m connectors.simulator.load --meters 200 --truth FILE` prints one JSON line when it listens and ends with SIGTERM,
with another. SIGUSR1 has every answer held back for `--hold` seconds from then on, SIGUSR2 not any more. Two more ports are
of no meter of the truth: at `silent` nobody ever answers, at `slow` an answer comes an octet a second.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import random
import signal
import struct
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import uvloop

from connectors.simulator.image_transfer import ImageTransfer
from connectors.simulator.load_connection import Floor, LoadConnection, SilentConnection, SlowConnection
from connectors.simulator.load_session import LoadMeter

ROWS, CHANNELS = 96, 4
PERIOD_MS = 900_000
FIRMWARE = "1.0.0.2.0.255"
_RESTART_MS = 1_000
CLOCK, STATUS, PROFILE = "0.0.1.0.0.255", "0.0.96.10.1.255", "1.0.99.1.0.255"
REGISTERS = ("1.0.1.8.0.255", "1.0.2.8.0.255", "1.0.3.8.0.255", "1.0.4.8.0.255")
DAY = datetime(2026, 3, 2, tzinfo=timezone(timedelta(hours=1)))
"""The day that the profiles hold, local time; deviation and status are as clocks of that zone write them."""
PASSWORD = b"Passw0rd"
_UNITS = (30, 30, 32, 32)  # Wh and varh
_POWER_FAILURE = 0x80
_IRREGULAR = 10  # one row in so many


@dataclass(frozen=True, slots=True)
class Row:
    """What a meter captured. `clock` None: it wrote null-data, and the row counts on from the one before."""

    end_ms: int
    status: int
    values: tuple[int | None, ...]
    clock: bytes | None
    wide: int | None = None
    """The channel written as a 64-bit number."""

    def encode(self) -> bytes:
        """A-XDR, a structure."""
        out = bytearray((0x02, 2 + CHANNELS))
        out += b"\x00" if self.clock is None else b"\x09\x0c" + self.clock
        out += bytes((0x11, self.status))
        for channel, value in enumerate(self.values):
            if value is None:
                out += b"\x00"
            else:
                out += struct.pack(">BQ", 0x15, value) if channel == self.wide else struct.pack(">BI", 0x06, value)
        return bytes(out)

    def line(self) -> str:
        """As the truth file has it."""
        return ",".join(map(str, (self.end_ms, self.status, *("-" if value is None else value for value in self.values))))


def rows_of(seed: int, meter: int) -> list[Row]:
    """A meter's day."""
    draw = random.Random(seed * 1_000_003 + meter)  # noqa: S311 - repeatable, not secret
    counters = [draw.randrange(1_000, 100_000_000) for _ in range(CHANNELS)]
    rows: list[Row] = []
    for i in range(ROWS):
        end = DAY + timedelta(milliseconds=(i + 1) * PERIOD_MS)
        counters = [counter + draw.randrange(900) for counter in counters]
        values: list[int | None] = list(counters)
        kind = draw.randrange(4) if i and draw.randrange(_IRREGULAR) == 0 else None
        status, wide = 0, None
        if kind == 0:
            end -= timedelta(seconds=draw.randrange(1, 899))
            status = _POWER_FAILURE
        elif kind == 1:
            rows.append(Row(rows[-1].end_ms + PERIOD_MS, status, tuple(values), None))
            continue
        elif kind == 2:
            values[draw.randrange(CHANNELS)] = None
        elif kind == 3:
            wide = draw.randrange(CHANNELS)
        rows.append(Row(int(end.timestamp() * 1000), status, tuple(values), _date_time(end), wide))
    return rows


def meter_of(seed: int, number: int, block: int, image_block: int = 0) -> tuple[LoadMeter, list[int], list[Row]]:
    """A meter, the scalers of its registers, and its day. It takes firmware in blocks of `image_block`."""
    secret = hashlib.sha256(f"load fleet {seed} {number}".encode()).digest()
    scalers = [(number + channel) % 4 - 1 for channel in range(CHANNELS)]
    rows = rows_of(seed, number)
    objects = {
        _attribute(7, PROFILE, 2): b"\x01" + bytes((ROWS,)) + b"".join(row.encode() for row in rows),
        _attribute(7, PROFILE, 3): _captured(),
        _attribute(7, PROFILE, 4): struct.pack(">BI", 0x06, PERIOD_MS // 1000),
        _attribute(7, PROFILE, 5): b"\x16\x01",
    }
    for obis, scaler, unit in zip(REGISTERS, scalers, _UNITS, strict=True):
        objects[_attribute(3, obis, 3)] = struct.pack(">BBBbBB", 0x02, 2, 0x0F, scaler, 0x16, unit)
    title = b"SIM" + number.to_bytes(5, "big")
    meter = LoadMeter(title, secret[:16], secret[16:], PASSWORD, objects, block=block)
    if image_block:
        version = _attribute(1, FIRMWARE, 2)
        objects[version] = _text("1.0")
        meter.image = ImageTransfer(
            lambda: time.time_ns() // 1_000_000,
            lambda told: objects.update({version: _text(told)}),
            block_size=image_block,
            verify_ms=0,
            restart_ms=_RESTART_MS,
        )
    return meter, scalers, rows


class LoadFleet:
    """Meters on sockets of one host, numbered from `first`: what a meter holds is a function of seed and number."""

    def __init__(self, meters: int, seed: int = 7, block: int = 0, first: int = 0, image_block: int = 0) -> None:
        self.meters = [meter_of(seed, first + number, block, image_block) for number in range(meters)]
        self.floor = Floor()
        self.ports: list[int] = []
        self.silent = 0
        """The port where nobody answers."""
        self.slow = 0
        """The port where an answer comes an octet a second."""
        self._servers: list[asyncio.Server] = []

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Listen, a port a meter, consecutive from `port` unless that is 0. Raises OSError where one is taken."""
        for number, (meter, _, _) in enumerate(self.meters):
            self.ports.append(await self._listen(LoadConnection, meter, host, port + number if port else 0))
        meter = self.meters[0][0]
        self.silent = await self._listen(SilentConnection, meter, host, 0)
        self.slow = await self._listen(SlowConnection, meter, host, 0)

    async def _listen(self, kind: type[LoadConnection], meter: LoadMeter, host: str, port: int) -> int:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: kind(meter, self.floor), host, port, backlog=4096)
        self._servers.append(server)
        return int(server.sockets[0].getsockname()[1])

    def write_truth(self, path: Path) -> None:
        """What readers compare with."""
        with path.open("w") as out:
            for port, (meter, scalers, rows) in zip(self.ports, self.meters, strict=True):
                head = [str(port), meter.title.hex(), meter.ek.hex(), meter.ak.hex(), *map(str, scalers)]
                out.write(" | ".join((" ".join(head), *(row.line() for row in rows))) + "\n")

    @property
    def sessions(self) -> int:
        """Associations that were released."""
        return sum(meter.released for meter, _, _ in self.meters)

    @property
    def images(self) -> dict[str, int]:
        """How many meters verified which image last, by its SHA-256."""
        return dict(Counter(meter.image.sha256 for meter, _, _ in self.meters if meter.image and meter.image.sha256))

    @property
    def blocks(self) -> int:
        """Blocks of images that came."""
        return sum(meter.image.blocks for meter, _, _ in self.meters if meter.image)

    def stop(self) -> None:
        """Close the listeners; connections end with their clients."""
        for server in self._servers:
            server.close()


def _text(value: str) -> bytes:
    return b"\x09" + bytes((len(value),)) + value.encode()


def _captured() -> bytes:
    objects = [(8, CLOCK), (1, STATUS), *((3, obis) for obis in REGISTERS)]
    columns = (
        b"\x02\x04\x12" + class_id.to_bytes(2, "big") + b"\x09\x06" + _name(obis) + b"\x0f\x02\x12\x00\x00"
        for class_id, obis in objects
    )
    return bytes((1, len(objects))) + b"".join(columns)


def _attribute(class_id: int, obis: str, attribute: int) -> bytes:
    return class_id.to_bytes(2, "big") + _name(obis) + bytes((attribute,))


def _name(obis: str) -> bytes:
    return bytes(map(int, obis.split(".")))


def _date_time(at: datetime) -> bytes:
    deviation = -int((at.utcoffset() or timedelta()).total_seconds() // 60)
    return struct.pack(
        ">HBBBBBBBhB", at.year, at.month, at.day, at.isoweekday(), at.hour, at.minute, at.second, 0, deviation, 0
    )


async def _run(fleet: LoadFleet, port: int, truth: Path, hold_s: float) -> int:
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    loop.add_signal_handler(signal.SIGUSR1, setattr, fleet.floor, "hold_s", hold_s)
    loop.add_signal_handler(signal.SIGUSR2, setattr, fleet.floor, "hold_s", 0.0)
    await fleet.start(port=port)
    fleet.write_truth(truth)
    day = DAY.astimezone(UTC).isoformat()
    _print({"ready": True, "ports": fleet.ports, "silent": fleet.silent, "slow": fleet.slow, "day": day})
    await ended.wait()
    fleet.stop()
    took = {"images": fleet.images, "blocks": fleet.blocks}
    _print({"sessions": fleet.sessions, "most_open": fleet.floor.most_open} | (took if fleet.blocks else {}))
    return 0


def _print(line: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def main(argv: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m connectors.simulator.load", description="Many meters, very fast.")
    parser.add_argument("--meters", type=int, default=200)
    parser.add_argument("--first", type=int, default=0, help="the number of the first meter")
    parser.add_argument("--port", type=int, default=0, help="the first port; 0 picks free ones")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--block", type=int, default=0, help="answer in blocks of so many octets; 0 is at once")
    parser.add_argument("--hold", type=float, default=0.0, help="seconds that answers are held back after SIGUSR1")
    parser.add_argument("--image-block", type=int, default=0, help="take firmware in blocks of so many octets; 0 takes none")
    parser.add_argument("--truth", type=Path, required=True, help="where the truth file goes")
    arguments = parser.parse_args(argv)
    fleet = LoadFleet(arguments.meters, arguments.seed, arguments.block, arguments.first, arguments.image_block)
    return uvloop.run(_run(fleet, arguments.port, arguments.truth, arguments.hold))


if __name__ == "__main__":
    sys.exit(main())
