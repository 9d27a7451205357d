"""Reservations over a ledger that a test can hold back, fence and lose."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import pytest

from connectors.gateway.errors import JobError
from connectors.gateway.reservations import Ask, Counting, Reservations
from schemas.records import Meter
from streams.runtime.clock import ManualClock
from tests.unit.connectors.gateway.ledgers import FakeLedger, Shared

METER = Meter(id="m1", key_ref="k1")
BLOCK = 100


@dataclass
class Bench:
    """One worker."""

    shared: Shared = field(default_factory=Shared)
    owned: set[int] = field(default_factory=lambda: {0})
    alarms: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.clock = ManualClock(1)
        self.ledger = FakeLedger(self.shared)
        self.counters = Reservations(
            self.ledger,
            self.clock,
            lambda number: number in self.owned,
            lambda *said: self.alarms.append(said[1]),
            owner="w",
            block=BLOCK,
            most_raised=1_000,
            pause_s=10,
        )

    async def counting(self, told: int | None = None, meter: Meter = METER, partition: int = 0) -> Counting:
        return await self.counters.counting(partition, meter, 1, None if told is None else says(told))


def says(told: int) -> Ask:
    async def ask() -> int:
        await asyncio.sleep(0)
        return told

    return ask


async def settled(until: Callable[[], bool]) -> None:
    """Let threads and the loop do what they have."""
    async with asyncio.timeout(10):
        while not until():
            await asyncio.to_thread(lambda: None)


async def refused(work: Awaitable[object]) -> str:
    with pytest.raises(JobError) as caught:
        await work
    return caught.value.code
