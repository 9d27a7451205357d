"""What a schedule expects: of whom, which intervals or reads, and from when on their absence is a gap. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from schemas.records import IntervalReadings, Schedule, Tick
from streams.gaps.grid import DAY_S, Grid
from streams.schedules.cron import local_day
from streams.schedules.jobs import job_id

READ_SLOT_S = 900
"""Where reads are counted and no intervals: a tick is the slot that it falls into."""


@dataclass(slots=True)
class Expectation:
    """One schedule's ticks, as far back as is remembered."""

    schedule: Schedule
    ticks: list[Tick] = field(default_factory=list)

    @property
    def slot_s(self) -> int:
        """Length of what a bit stands for."""
        return self.schedule.period_s or READ_SLOT_S

    def add(self, tick: Tick) -> bool:
        """Take a tick over; false where it is known."""
        if any(known.at == tick.at for known in self.ticks):
            return False
        self.ticks.append(tick)
        self.ticks.sort(key=lambda known: known.at)
        return True

    def forget(self, before: int) -> None:
        """Forget the ticks before a time, but for the last of them: what follows begins where it ends."""
        while len(self.ticks) > 1 and self.ticks[1].at < before:
            del self.ticks[0]

    def ready(self, now: int, grace_s: float) -> list[Tick]:
        """The ticks whose window and grace are over."""
        return [tick for tick in self.ticks if self.ready_at(tick, grace_s) <= now]

    def ready_at(self, tick: Tick, grace_s: float) -> int:
        """When what a tick was to bring, and did not, is a gap."""
        return tick.closes_at + round((tick.schedule.grace_s or grace_s) * 1_000)

    def takes(self, readings: IntervalReadings) -> bool:
        """Whether readings are of the profile that is expected, whoever asked for them: a push fills a gap too."""
        schedule = self.schedule
        if not schedule.period_s or readings.period_s not in (0, schedule.period_s):
            return False
        return not schedule.objects or readings.source in schedule.objects

    def tick_of(self, job: str, meter_id: str) -> Tick | None:
        """The tick by which a job was made; None where it was none of those remembered."""
        for tick in reversed(self.ticks):
            if job_id(self.schedule.id, tick.at, meter_id) == job:
                return tick
        return None

    def slot_of(self, tick: Tick) -> int:
        """The slot of a tick's read."""
        return tick.at // (READ_SLOT_S * 1_000)

    def mask(self, grid: Grid, ticks: list[Tick]) -> NDArray[np.bool_]:
        """What these ticks make expected, in the days that a grid remembers.

        From tick to tick there is no hole, also where one was missed for so long that it reads only a part.
        Where the schedule was not active in between nothing is expected.
        """
        first = grid.oldest * grid.per_day
        wanted = np.zeros(grid.days * grid.per_day, np.bool_)
        before: Tick | None = None
        for tick in ticks:
            if not self.schedule.period_s:
                start, end = self.slot_of(tick), self.slot_of(tick) + 1
            else:
                since = tick.since
                if before is not None and tick.schedule.active_from <= before.at:
                    since = min(since, before.at)
                start, end = since // (grid.period_s * 1_000), tick.at // (grid.period_s * 1_000)
            wanted[max(0, start - first) : max(0, end - first)] = True
            before = tick
        return wanted


def day_bounds(zone: str, day: int, period_s: int) -> tuple[int, int]:
    """The intervals that begin on a local day: the first, and the one behind the last; 92, 96 or 100 quarters of an hour."""
    starts = [datetime.fromordinal(_EPOCH + day) + timedelta(days=more) for more in (0, 1)]
    first, behind = (round(start.replace(tzinfo=ZoneInfo(zone or "UTC")).timestamp()) for start in starts)
    return -(-first // period_s), -(-behind // period_s)


def days_of(zone: str, first_ms: int, last_ms: int) -> range:
    """The local days between two times, both included."""
    return range(local_day(zone, first_ms), local_day(zone, last_ms) + 1)


def utc_day(ms: int) -> int:
    """The UTC day of a time, as days since 1970-01-01."""
    return ms // (DAY_S * 1_000)


_EPOCH = datetime(1970, 1, 1).toordinal()
