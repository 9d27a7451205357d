"""The meters of `hes bench pipeline --push`: very many of them, each pushing one interval to a gateway's TCP port, over some
connections that many meters share, as behind a concentrator. Each connection has so many pushes under way as `--ahead` says:
the gateway acknowledges a confirmed push once Kafka has it.

A process of its own: `python -m connectors.cli.bench.pipeline_push --port P --meters N` prints JSON lines as `pipeline_day`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import struct
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial

import uvloop
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from schemas.records import Identity, IdentityKind, Meter, MeterState, Protocol, UtilityKind

EK, AK = bytes(range(16)), bytes(range(0xD0, 0xE0))
"""The keys of all meters of the bench: what is measured is deciphering, not keeping keys."""
ROWS = 2
"""Of each push: the name, which is a register too, and the energy."""
_HEADER = 8
_ENERGY = bytes((1, 0, 1, 8, 0, 255))
_NAME = bytes((0, 0, 42, 0, 0, 255))
_REPORT_S = 0.5
_CONFIRMED = 0x40  # of the four octets of a long-invoke-id-and-priority: service class
_SECURED = 0x30  # authenticated and encrypted, suite 0


def meter_id(number: int) -> str:
    """The name of a meter of the bench."""
    return f"push-{number:08d}"


def title_of(number: int) -> bytes:
    """Its system title."""
    return b"BEN" + number.to_bytes(5, "big")


def device_name(number: int) -> str:
    """Its logical device name."""
    return f"BEN{number:013d}"


def meter_of(number: int) -> Meter:
    """A meter as the registry has it."""
    identities = (
        Identity(IdentityKind.SYSTEM_TITLE, title_of(number).hex().upper()),
        Identity(IdentityKind.LOGICAL_DEVICE_NAME, device_name(number)),
    )
    return Meter(
        id=meter_id(number), identities=identities, utility=UtilityKind.ELECTRICITY, protocol=Protocol.DLMS,
        key_ref="bench-all", time_zone="Europe/Berlin", state=MeterState.NORMAL,
    )  # fmt: skip


def telegram(number: int, value: int, at: datetime) -> bytes:
    """A data-notification of the logical device name and one register, its clock beside them."""
    when = struct.pack(">HBBBBBBBhB", at.year, at.month, at.day, at.isoweekday(), at.hour, at.minute, at.second, 0, 0, 0)
    invoke = (_CONFIRMED << 24 | number & 0xFFFFFF).to_bytes(4, "big")
    name = device_name(number).encode()
    body = b"\x02\x02" + b"\x02\x02\x09\x06" + _NAME + b"\x09" + bytes((len(name),)) + name
    body += b"\x02\x03\x09\x06" + _ENERGY + b"\x06" + value.to_bytes(4, "big") + b"\x02\x02\x0f\x00\x16\x1e"
    return b"\x0f" + invoke + b"\x0c" + when + body


def sealed(number: int, plain: bytes, counter: int) -> bytes:
    """The same in general-glo-ciphering, suite 0, authenticated and encrypted."""
    title = title_of(number)
    head = bytes((_SECURED,)) + counter.to_bytes(4, "big")
    text = AESGCM(EK).encrypt(title + counter.to_bytes(4, "big"), plain, bytes((_SECURED,)) + AK)
    content = head + text[:-4]  # a tag of twelve octets
    return b"\xdb\x08" + title + _length(len(content)) + content


def _length(octets: int) -> bytes:
    return bytes((octets,)) if octets < 0x80 else b"\x81" + bytes((octets,))


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
        buffer = self._buffer + data
        at = 0
        while len(buffer) - at >= _HEADER and len(buffer) - at >= (
            size := _HEADER + int.from_bytes(buffer[at + 6 : at + 8])
        ):
            at += size
            self._under_way -= 1
            self._fleet.acknowledged += 1
        self._buffer = buffer[at:]
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
        apdu = telegram(number, 1_000 + number, self._at)
        if given.ciphered:
            apdu = sealed(number, apdu, int(time.time()) & 0xFFFFFFFF)
        if number % given.mark == 0:
            _tell({"mark": meter_id(number), "at": int(time.time() * 1000)})
        return struct.pack(">HHHH", 1, 1, 103, len(apdu)) + apdu

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
    parser.add_argument("--ahead", type=int, default=50, help="pushes of a connection that wait for their acknowledgement")
    parser.add_argument("--mark", type=int, default=100)
    parser.add_argument("--ciphered", action="store_true")
    return uvloop.run(_run(parser.parse_args(argv)))


if __name__ == "__main__":
    sys.exit(main())
