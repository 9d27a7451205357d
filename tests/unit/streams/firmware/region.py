"""A fleet that is sent an image on a clock of its own, through the real desk: segments whose links carry what they carry,
blocks that are lost, and a count of every octet by segment and hour.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np

from schemas.records import Job, JobResult, Meter, Network, Operation, Outcome, Target
from streams.firmware.states import Meter as State
from streams.runtime.settings import Band, Bands, Firmware
from tests.unit.streams.firmware.world import HOUR, Room, meter

BLOCK = 200
STEP_S = 10
SETTINGS = Firmware(
    bands=Bands(
        plc_prime=Band(bits_s=20_000, meter_bits_s=4_000, share=0.3, concurrent=4),
        rf_mesh=Band(bits_s=100_000, meter_bits_s=10_000, share=0.2, concurrent=8),
        nb_iot=Band(bits_s=60_000, meter_bits_s=10_000, share=0.1, concurrent=4),
    )
)
BUDGETS = {Network.PLC_PRIME: 20_000 * 0.3 / 8, Network.RF_MESH: 100_000 * 0.2 / 8, Network.NB_IOT: 60_000 * 0.1 / 8}
"""Octets a second, written down once more beside the settings."""
ZONES = {Network.PLC_PRIME: "Europe/Madrid", Network.RF_MESH: "America/Chicago", Network.NB_IOT: "Europe/Helsinki"}
SIZES = {Network.PLC_PRIME: 300, Network.RF_MESH: 2_000, Network.NB_IOT: 500}


def fleet(count: int, sizes: dict[Network, int] = SIZES) -> list[Meter]:
    """A third each on three networks, in segments of the size of each network."""
    found = []
    for number in range(count):
        network = list(sizes)[number % len(sizes)]
        segment = f"{network.lower()}-{number // len(sizes) // sizes[network]:04}"
        found.append(meter(f"m{number:06}", network=network, segment=segment, time_zone=ZONES[network]))
    return found


@dataclass
class Sky:
    """What becomes of each transfer: the links and the meters."""

    loss: float = 0.03
    missed: float = 0.002
    """Share of jobs that do not reach their meter."""
    bricks: float = 0.0
    """Share of meters that do not come back after activation."""
    random: np.random.Generator = field(default_factory=lambda: np.random.default_rng(8))


class Region:
    """A room whose gateways answer."""

    def __init__(self, meters: list[Meter], sky: Sky | None = None, size: int = 500_000, **terms: str) -> None:
        self.sky = sky or Sky()
        self.room = Room(*meters, settings=SETTINGS)
        self.where = {found.id: (found.network, found.segment) for found in meters}
        self.size = size
        self.blocks = -(-size // BLOCK)
        self.results: list[tuple[int, int, JobResult]] = []
        self.octets: defaultdict[tuple[Network, str, int], float] = defaultdict(float)
        """By network, segment and hour since 1970."""
        self.sent: list[int] = []
        """When each transfer was begun."""
        self.latest = 0
        self.most_open: Counter[tuple[Network, str]] = Counter()
        self.open: Counter[tuple[Network, str]] = Counter()
        self.outside: list[str] = []
        self.value = self.room.asks(target=Target(groups=("all",)), loss=f"{self.sky.loss:.0%}", **terms)
        self._zones = {name: ZoneInfo(name) for name in ZONES.values()}

    def approve(self) -> str:
        """Propose it and have it approved; what is told of it beforehand."""
        self.room.desk.request(self.value)
        assert self.room.desk.case("f1") is not None, self.room.codes()
        self.room.desk.decision(self.room.decides(self.value))
        told = self.room.audit()[0].detail
        self.room.written.clear()
        self.room.latest.clear()
        return told

    def run(self, until: int) -> None:
        """Step by step, over the hours in which nothing is due in one leap."""
        room, clock = self.room, self.room.clock
        told_at = 0
        while clock.now_ms() < until and not room.desk.case("f1").over:  # type: ignore[union-attr]  # it is there
            while self.results and self.results[0][0] <= clock.now_ms():
                _, _, result = heapq.heappop(self.results)
                self.open[self.where[result.meter_id]] -= 1
                room.desk.result(result, b"")
            room.desk.tick()
            for out in room.desk.paper.take():
                if isinstance(out.record, Job) and out.record.operation is Operation.FIRMWARE_TRANSFER:
                    self._transfer(out.record)
            if clock.now_ms() - told_at >= HOUR:
                told_at = clock.now_ms()
                room.desk.write_books({})
                room.desk.paper.take()
            self._on()

    def _on(self) -> None:
        """To the next step that something can happen in."""
        now = self.room.clock.now_ms()
        due = [self.results[0][0]] if self.results else []
        due += [at for at in (self.room.desk.next_at(),) if at is not None]
        leap = min([*due, now + 900_000]) - now
        steps = max(1, -(-leap // (STEP_S * 1000)))
        self.room.clock.advance(steps * STEP_S)

    def _transfer(self, job: Job) -> None:
        """Begin at the time that the job says, at the meter's rate; every block that is lost goes once more."""
        place, random = self.where[job.meter_id], self.sky.random
        start, deadline = job.not_before or 0, job.deadline or 0
        assert self.room.clock.now_ms() <= start + STEP_S * 1000
        rate = getattr(SETTINGS.bands, place[0].lower()).meter_bits_s / 8_000
        self.sent.append(start)
        self.open[place] += 1
        self.most_open[place] = max(self.most_open[place], self.open[place])
        blocks = (
            self.blocks + int(random.negative_binomial(self.blocks, 1 - self.sky.loss)) if self.sky.loss else self.blocks
        )
        outcome, code, after = Outcome.DONE, "", "2.0"
        end = start + round(blocks * BLOCK / rate)
        luck = random.random()
        if luck < self.sky.missed:
            blocks, end, outcome, code, after = 0, start + 5_000, Outcome.FAILED, "peer-closed", ""
        elif end > deadline:
            there = int(self.blocks * (deadline - start) / (end - start))
            end, outcome, code, after = deadline, Outcome.FAILED, "firmware-unfinished", f"{there}/{self.blocks}"
        elif self.sky.bricks and random.random() < self.sky.bricks:
            outcome, code, after = Outcome.FAILED, "firmware-silent", ""
        if blocks:
            self._count(place, start, end, rate)
            self._check_hours(place[0], start, end)
        self.latest = max(self.latest, end)
        result = JobResult(
            id=job.id, job_id=job.id, meter_id=job.meter_id, operation=job.operation, caused_by=job.caused_by,
            attempt=job.attempt, outcome=outcome, code=code, after=after, rows=blocks, issued_at=job.issued_at,
            started_at=start, finished_at=end,
        )  # fmt: skip
        heapq.heappush(self.results, (end + 2_000, len(self.sent), result))

    def _count(self, place: tuple[Network, str], start: int, end: int, rate: float) -> None:
        while start < end:
            hour = start // HOUR
            until = min(end, (hour + 1) * HOUR)
            self.octets[*place, hour] += (until - start) * rate
            start = until

    def _check_hours(self, network: Network, start: int, end: int) -> None:
        """Nothing goes but between 00:00 and 04:00 where the meter is."""
        zone = self._zones[ZONES[network]]
        first, last = (datetime.fromtimestamp(at / 1000, zone) for at in (start, end - 1))
        if not (first.hour < 4 and last.hour < 4 and first.date() == last.date()):
            self.outside.append(f"{first} to {last}")

    def worst_hour(self) -> float:
        """The fullest hour of any segment, as a share of its budget; counted by UTC's hours."""
        return max(octets / (BUDGETS[network] * 3_600) for (network, _, _), octets in self.octets.items())

    def touched(self) -> int:
        """Meters that have, or had, the image active."""
        counts = self.room.desk.case("f1").counts()  # type: ignore[union-attr]  # it is there
        return counts[State.DONE] + counts[State.QUIET] + counts[State.SILENT]
