"""A worker that brings images, time in the test's hands: its meter, the way to it, and how time passes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

from connectors.gateway.addresses import Address
from connectors.gateway.drivers.dlms import DlmsDriver
from connectors.gateway.drivers.table import drivers_of
from connectors.gateway.firmware_deed import LAST, deed_of
from connectors.gateway.group_sending import Groups
from connectors.gateway.session import MeterLink
from connectors.gateway.transfers import Transfers
from schemas.records import CommandIntent
from streams.runtime.settings import Firmware
from tests.unit.connectors.gateway.bench import Bench, registered
from tests.unit.connectors.gateway.firmware_meters import (
    FakeImages,
    ImageMeter,
)
from tests.unit.connectors.gateway.meters import Network, Wire
from tests.unit.connectors.gateway.test_deeds import Desk, Shared
from tests.unit.connectors.gateway.test_worker_commands import Proving


class Cut(Network):
    """The way to one meter, which `cut_after` requests breaks, once each; away means that it takes no connection."""

    def __init__(self, there: ImageMeter, cut_after: tuple[int, ...] = ()) -> None:
        super().__init__({})
        self.there, self.cut_after = there, list(cut_after)

    async def connect(self, factory: Callable[[], MeterLink], address: Address) -> None:
        self.connects.append(address.port)
        await asyncio.sleep(0)
        if self.there.away:
            raise ConnectionRefusedError(111, "Connection refused")
        self.wires.append(wired(factory(), self.there, self.cut_after.pop(0) if self.cut_after else 1_000_000))


def wired(link: MeterLink, there: ImageMeter, closes_after: int = 1_000_000) -> Wire:
    """A connection to a meter, which is closed after so many requests."""
    wire = Wire(link, cast("Any", _AsScripted(there, closes_after)))
    link.connection_made(cast("Any", wire))
    return wire


class _AsScripted:
    """What a wire asks of a meter."""

    def __init__(self, there: ImageMeter, closes_after: int) -> None:
        self.there, self.closes_after = there, closes_after
        self.silent_after, self.requests, self.asker, self.unasked = 1_000_000, 0, 0, b""

    def answer(self, apdu: bytes) -> bytes:
        answer = self.there.answer(apdu)
        if self.there.away:
            self.silent_after = 0
        return answer


def a_bench(
    there: ImageMeter, *, cut_after: tuple[int, ...] = (), images: FakeImages | None = None, shared: Shared | None = None,
    known: dict[str, Any] | None = None, firmware: Firmware | None = None, **settings: Any,
) -> tuple[Bench, Desk, Proving]:  # fmt: skip
    meter = registered(**({"vendor": "maker", "model": "m1"} | (known or {})))
    bench = Bench(meter, network=Cut(there, cut_after), **settings)
    return bench, *bringing(bench, images or FakeImages(), shared, firmware or Firmware())


def bringing(
    bench: Bench, images: FakeImages, shared: Shared | None, firmware: Firmware, groups: Groups | None = None
) -> tuple[Desk, Proving]:
    """A worker's bench, for images; what is proven there, and kept."""
    desk, proving = Desk(shared), Proving()
    desk.intents._books._clock = bench.clock
    commands = replace(desk.commands, clock=bench.clock, proofs=proving, make=deed_of, images=images)
    bench.driver = DlmsDriver(replace(bench.driver._tools, images=commands.images, groups=groups))
    bench.worker._commands._commands = commands
    drivers = drivers_of((bench.driver,))
    bench.worker._tools = replace(bench.worker._tools, drivers=drivers, firmware=firmware, groups=groups)
    bench.worker._transfers = Transfers(firmware, bench.worker.settings.transfer_octets_per_s)
    return desk, proving


async def settle(bench: Bench, seconds: float = 30.0, steps: int = 40) -> None:
    """Time passes."""
    for _ in range(steps):
        await bench.run(seconds / steps)


def kept(desk: Desk) -> list[CommandIntent]:
    return [intent for intent in desk.shared.intents.values() if intent.digest == LAST]


async def through(bench: Bench, there: ImageMeter, seconds: float = 30.0) -> None:
    """Until the order to activate, and past the restart."""
    await settle(bench, seconds)
    assert there.away
    there.restarted()
    await settle(bench, 90)
