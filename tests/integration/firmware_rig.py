"""Images on a real Kafka, a meter that somebody else wrote, and a bad line to it: for tests of firmware through gateways."""

from __future__ import annotations

import asyncio
import hashlib
import random
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from schemas.records import FirmwareManifest, Job, MeterState, Operation, Priority, Protocol
from schemas.records import Meter as RegisteredMeter
from streams.runtime.image_book import parts_of
from tests.integration.java_peer import java
from tests.integration.relay_meters import MINUTE, Desk, now_ms

VENDOR, MODEL, OLD, NEW = "Gurux", "Images", "1.4", "1.5"
TEMPLATE = "quick"
TEMPLATES = {"quick.yaml": "extends: generic\npull: {restart_s: 2, back_s: 60}\n"}
"""Meters that are back at once."""
_PART = 65_536
_PATIENCE_S = 60.0


def templates_in(home: Path) -> str:
    """A folder with them."""
    folder = home / "templates"
    folder.mkdir(exist_ok=True)
    for name, text in TEMPLATES.items():
        (folder / name).write_text(text)
    return str(folder)


@dataclass
class GuruxImages:
    """The meter (`tests/peers/gurux`, Images.java): what it says, and the port where it does."""

    port: int
    process: subprocess.Popen[str]
    lines: list[str] = field(default_factory=list)

    def read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.strip())

    def said(self, word: str) -> list[list[str]]:
        """What follows a word, line by line."""
        return [line.split()[1:] for line in list(self.lines) if line.split()[:1] == [word]]

    def wait(self, enough: Callable[[], bool], what: str) -> None:
        end = time.monotonic() + _PATIENCE_S
        while not enough():
            assert time.monotonic() < end, f"{what} did not come: {self.lines[-5:]}"
            time.sleep(0.01)


@contextmanager
def gurux_images(
    block: int = 512, lose_every: int = 50, restart_ms: int = 1_000, group: Sequence[object] = ()
) -> Iterator[GuruxImages]:
    """The meter, until the block ends. `group` that it hears: address, port, broadcast key and authentication key (hex)."""
    with java("gurux", "peer.Images", *map(str, (block, lose_every, restart_ms, *group))) as process:
        assert process.stdout is not None
        meter = GuruxImages(int(process.stdout.readline()), process)
        thread = threading.Thread(target=meter.read, daemon=True)
        thread.start()
        try:
            yield meter
        finally:
            assert process.stdin is not None
            process.stdin.close()
            thread.join(10)


class BadLine:
    """A TCP proxy that cuts each connection after a random number of octets, both ways counted, and slows each answer."""

    def __init__(self, port: int, *, seed: int, between: tuple[int, int], delay_s: float) -> None:
        self._to, self._between, self.delay_s = port, between, delay_s
        self._draw = random.Random(seed)  # noqa: S311 - repeatable, not secret
        self.cuts = 0
        self._loop = asyncio.new_event_loop()
        self._server = self._loop.run_until_complete(asyncio.start_server(self._pipe, "127.0.0.1", 0))
        self.port: int = self._server.sockets[0].getsockname()[1]
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._server.close()
        self._loop.run_until_complete(asyncio.sleep(0.01))
        self._loop.close()

    async def _pipe(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        left = [self._draw.randint(*self._between)]
        try:
            to_reader, to_writer = await asyncio.open_connection("127.0.0.1", self._to)
        except OSError:
            writer.close()
            return

        async def copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            with suppress(OSError):
                while octets := await source.read(4_096):
                    left[0] -= len(octets)
                    if left[0] < 0:
                        self.cuts += 1
                        break
                    await asyncio.sleep(self.delay_s)
                    sink.write(octets)
            for side in (writer, to_writer):
                side.transport.abort()

        with suppress(asyncio.CancelledError):
            await asyncio.gather(copy(reader, to_writer), copy(to_reader, writer))


def image_of(size: int) -> bytes:
    """Octets that a block more or less would change the digest of."""
    return random.Random(size).randbytes(size)  # noqa: S311 - likewise


def put_image(desk: Desk, data: bytes, by: str = "alice", **fields: Any) -> str:
    """An image with its signed manifest on hes.images; its id."""
    whole: dict[str, Any] = {
        "id": hashlib.sha256(data).hexdigest(),
        "name": "fw.bin",
        "size": len(data),
        "vendor": VENDOR,
        "model": MODEL,
        "protocol": Protocol.DLMS,
        "to_version": NEW,
        "identifier": f"FW-{NEW}".encode(),
        "parts": -(-len(data) // _PART),
        "part_size": _PART,
        "added_by": by,
        "added_at": now_ms() - MINUTE,
        "environment": desk.environment,
    }
    stated = FirmwareManifest(**(whole | fields))
    for part in parts_of(data, stated.id, _PART):
        desk.cluster.put("hes.images", f"{stated.id}/{part.number}", desk.codec.encode(part))
    desk.cluster.put("hes.images", stated.id, desk.sign(stated, by))
    return stated.id


def takes_images(name: str, port: int, **fields: Any) -> RegisteredMeter:
    """A meter in service, registered."""
    whole: dict[str, Any] = {
        "endpoint": f"tcp://127.0.0.1:{port}", "template": TEMPLATE, "time_zone": "UTC", "vendor": VENDOR, "model": MODEL,
        "state": MeterState.NORMAL,
    }  # fmt: skip
    return RegisteredMeter(id=name, **(whole | fields))


def campaign(desk: Desk, image: str, meters: Sequence[str], **parameters: str) -> list[Job]:
    """A job for each meter, with everything that proves it, as `streams/firmware` makes them."""
    value = desk.asks(
        *meters,
        operation=Operation.FIRMWARE_TRANSFER,
        parameters={"image": image, "version": NEW} | parameters,
        reason="new firmware",
    )
    decision = desk.decides(value, by="carol")
    more: dict[str, Any] = {"priority": Priority.FIRMWARE, "deadline": now_ms() + 60 * MINUTE}
    return [desk.job(value, decision, meter=meter, **more) for meter in meters]
