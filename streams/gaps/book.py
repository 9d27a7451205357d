"""The book of one partition's meters: what is expected of each, what arrived, what is asked for again. Pure.

A day of a meter, as far as one schedule goes, is

    OPEN ─ASK─▶ ASKED ─ASK─▶ … ─ASK─▶ ASKED ─GIVE_UP─▶ GIVEN_UP
      ▲           │
      └──FILL─────┘ everything that was missing has arrived

A meter that is away is not asked over and over: the next ask waits until it is heard (a scheduled read went well, a push
came), or a day. Behind the last ask, one of them made when the day was over, and where the day is about to be forgotten,
what is missing is given up, with an alarm. `look` says what is to be done and changes nothing; `settle` notes that it was
done.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from schemas.records import CommandAck, CommandState, IntervalReadings, MeterGaps
from streams.gaps.expect import Expectation, utc_day
from streams.gaps.grid import Grid
from streams.gaps.ranges import Range, ranges_of
from streams.runtime.settings import Gaps

_A_DAY = 86_400_000


class State(StrEnum):
    """Where a day of a meter stands that lacks something."""

    OPEN = "OPEN"
    ASKED = "ASKED"
    GIVEN_UP = "GIVEN_UP"


class Event(StrEnum):
    """What may be done about it."""

    ASK = "ASK"
    FILL = "FILL"
    GIVE_UP = "GIVE_UP"


TABLE: dict[tuple[State, Event], State] = {
    (State.OPEN, Event.ASK): State.ASKED,
    (State.OPEN, Event.GIVE_UP): State.GIVEN_UP,  # too old by the time it was seen
    (State.ASKED, Event.ASK): State.ASKED,
    (State.ASKED, Event.FILL): State.OPEN,
    (State.ASKED, Event.GIVE_UP): State.GIVEN_UP,
}
"""Whatever is not here changes nothing."""


@dataclass(frozen=True, slots=True)
class Ask:
    """Ranges of a meter that are to be read again, and the days that count it."""

    schedule_id: str
    meter_id: str
    ranges: tuple[Range, ...]
    days: tuple[int, ...]
    attempt: int


@dataclass(frozen=True, slots=True)
class GivenUp:
    """A day of a meter that is asked for no more."""

    schedule_id: str
    meter_id: str
    day: int
    missing: int
    asked: int


@dataclass(slots=True)
class Findings:
    """What is to be done now."""

    asks: list[Ask] = field(default_factory=list)
    given_up: list[GivenUp] = field(default_factory=list)
    filled: list[tuple[str, str]] = field(default_factory=list)
    """Schedule and meter, of whom days were asked for and nothing is missing any more."""
    missing: dict[str, int] = field(default_factory=dict)
    """By schedule, how many intervals are expected and not there."""
    again_at: int | None = None
    """When something else will be due, where nothing happens before."""

    def wake(self, at: int, now: int) -> None:
        """Something is due at a time."""
        if at > now:
            self.again_at = at if self.again_at is None else min(self.again_at, at)


class Book:
    """Not for several threads at once."""

    def __init__(self, partition: int, expectations: dict[str, Expectation], settings: Gaps) -> None:
        self.partition = partition
        self.grids: dict[str, Grid] = {}
        self.dirty: set[str] = set()
        """Meters whose rows are not written down yet."""
        self.wake_at = 0
        """When to look next, where nothing happens before."""
        self._expectations = expectations
        self._settings = settings
        self._heard: set[str] = set()
        """Meters that answered since a day of theirs was asked for."""

    def grid(self, schedule_id: str, now: int) -> Grid:
        """The rows of a schedule; begun anew where its intervals have another length than before."""
        slot_s = self._expectations[schedule_id].slot_s
        grid = self.grids.get(schedule_id)
        if grid is None or grid.period_s != slot_s:
            grid = self.grids[schedule_id] = Grid(slot_s, self._settings.days, utc_day(now))
        return grid

    def members(self, schedule_id: str, meters: Iterable[str], since: int, now: int) -> None:
        """Exactly these meters are the schedule's; of new ones nothing is expected that ended at `since` or before."""
        grid = self.grid(schedule_id, now)
        wanted = set(meters)
        first = since // (grid.period_s * 1_000)
        for meter_id in wanted - grid.rows.keys():
            grid.add(meter_id, first)
            self.dirty.add(meter_id)
        for meter_id in grid.rows.keys() - wanted:
            grid.remove(meter_id)
            self.dirty.add(meter_id)
        self.wake_at = 0

    def join(self, schedule_id: str, meter_id: str, now: int) -> None:
        """A meter has come in: what ends from now on is expected of it."""
        grid = self.grid(schedule_id, now)
        if meter_id not in grid.rows:
            grid.add(meter_id, now // (grid.period_s * 1_000))
            self.dirty.add(meter_id)

    def forget(self, schedule_id: str) -> None:
        """A schedule is gone."""
        grid = self.grids.pop(schedule_id, None)
        if grid is not None:
            self.dirty.update(grid.ids)

    def arrived(self, readings: IntervalReadings) -> int:
        """Take readings over; how many intervals were expected and not there before."""
        fresh = 0
        for name, expectation in self._expectations.items():
            grid = self.grids.get(name)
            if grid is not None and expectation.takes(readings):
                fresh += self._mark(grid, readings.meter_id, map(grid.number, _ends(readings, self._settings.days)))
        return fresh

    def acknowledged(self, ack: CommandAck) -> int:
        """Take over that a scheduled read was done, where reads are counted; 1 where it was not known before."""
        expectation, grid = self._expectations.get(ack.command_id), self.grids.get(ack.command_id)
        if expectation is None or grid is None or expectation.schedule.period_s or ack.state is not CommandState.DONE:
            return 0
        tick = expectation.tick_of(ack.job_id, ack.meter_id)
        return 0 if tick is None else self._mark(grid, ack.meter_id, [expectation.slot_of(tick)])

    def look(self, now: int) -> Findings:
        """What is to be asked for and given up now."""
        found = Findings()
        for name, expectation in self._expectations.items():
            grid = self.grids.get(name)
            if grid is not None:
                self._look_at(name, expectation, grid, now, found)
                for tick in expectation.ticks:
                    found.wake(expectation.ready_at(tick, self._settings.grace_s), now)
        return found

    def settle(self, findings: Findings, now: int) -> None:
        """What `look` found was done; asks that were not made are left out of it, and found again."""
        for ask in findings.asks:
            grid, row = self.grids[ask.schedule_id], self.grids[ask.schedule_id].rows[ask.meter_id]
            self._heard.discard(ask.meter_id)
            for day in ask.days:
                if _may(grid, row, day, Event.ASK):
                    grid.ask(row, day, now)
            self.dirty.add(ask.meter_id)
        for name, meter_id in findings.filled:
            self.grids[name].fill(self.grids[name].rows[meter_id])
            self._heard.discard(meter_id)
            self.dirty.add(meter_id)
        for given in findings.given_up:
            grid, row = self.grids[given.schedule_id], self.grids[given.schedule_id].rows[given.meter_id]
            if _may(grid, row, given.day, Event.GIVE_UP):
                grid.give_up(row, given.day)
            self.dirty.add(given.meter_id)
        self.wake_at = findings.again_at or now + _A_DAY

    def advance(self, now: int) -> None:
        """Begin a new day, where there is one. To be called after a `look` whose findings were settled."""
        for grid in self.grids.values():
            grid.advance(utc_day(now))

    def save(self, meter_id: str, now: int) -> MeterGaps | None:
        """A meter's rows as they are written down; None where it has none."""
        watches = tuple(grid.save(name, meter_id) for name, grid in self.grids.items() if meter_id in grid.rows)
        return MeterGaps(meter_id, watches, now) if watches else None

    def load(self, meter_id: str, gaps: MeterGaps | None, now: int) -> None:
        """A meter's rows as they were written down; of schedules that are not known any more nothing is taken."""
        for grid in self.grids.values():
            grid.remove(meter_id)
        for watch in () if gaps is None else gaps.watches:
            if watch.schedule_id in self._expectations:
                self.grid(watch.schedule_id, now).load(meter_id, watch)

    def _mark(self, grid: Grid, meter_id: str, numbers: Iterable[int]) -> int:
        fresh = grid.mark(meter_id, numbers)
        if fresh:
            self.dirty.add(meter_id)
            if grid.waits(meter_id):
                self._heard.add(meter_id)
                self.wake_at = 0
        return fresh

    def _look_at(self, name: str, expectation: Expectation, grid: Grid, now: int, found: Findings) -> None:
        wanted = expectation.mask(grid, expectation.ready(now, self._settings.grace_s))
        missing, asked = 0, set(grid.asked_rows().tolist())
        for row in grid.missing_rows(wanted).tolist():
            numbers = grid.missing(row, wanted)
            missing += len(numbers)
            if len(numbers):
                asked.discard(row)
            if expectation.schedule.period_s and len(numbers):
                self._decide(name, grid, row, numbers, now, found)
        found.missing[name] = missing
        found.filled += [(name, grid.ids[row]) for row in sorted(asked)]

    def _decide(self, name: str, grid: Grid, row: int, numbers: NDArray[np.int64], now: int, found: Findings) -> None:
        """Which days of a meter are asked for now, and which are given up."""
        meter_id = grid.ids[row]
        days = numbers // grid.per_day
        asking: list[int] = []
        attempt = 0
        for day in np.unique(days).tolist():
            asked, asked_at, given = grid.asked(row, day)
            state = state_of(asked, given=given)
            heard = meter_id in self._heard
            event, at = self._next(day, asked, asked_at, heard=heard, last=day <= utc_day(now) - grid.days)
            if (state, event) not in TABLE:
                continue
            if at > now:
                found.wake(at, now)
            elif event is Event.ASK:
                asking.append(day)
                attempt = max(attempt, asked + 1)
            else:
                found.given_up.append(GivenUp(name, meter_id, day, int((days == day).sum()), asked))
        if asking:
            chosen = numbers[np.isin(days, asking)].tolist()
            join = round(self._settings.join_s / grid.period_s)
            ranges = ranges_of(chosen, join=join, most=self._settings.ranges)
            found.asks.append(Ask(name, meter_id, tuple(ranges), tuple(asking), attempt))

    def _next(self, day: int, asked: int, asked_at: int, *, heard: bool, last: bool) -> tuple[Event, int]:
        """What is to be done next about a day that lacks something, and when. `last`: it is about to be forgotten."""
        settings = self._settings
        if last:
            return Event.GIVE_UP, 0
        if asked == 0:
            return Event.ASK, 0
        silent = asked_at + round(settings.silent_s * 1_000)
        due = asked_at + round(settings.pause_s * 1_000) if heard else silent
        if asked < settings.asks:
            return Event.ASK, due
        over = (day + 1) * _A_DAY
        return (Event.ASK, max(due, over)) if asked_at < over else (Event.GIVE_UP, silent)


def state_of(asked: int, *, given: bool) -> State:
    """Where a day stands."""
    return State.GIVEN_UP if given else State.ASKED if asked else State.OPEN


def _may(grid: Grid, row: int, day: int, event: Event) -> bool:
    asked, _, given = grid.asked(row, day)
    return (state_of(asked, given=given), event) in TABLE


def _ends(readings: IntervalReadings, days: int) -> Iterable[int]:
    """When each row ended; no more of them than could be remembered by the minute."""
    most = min(readings.rows, days * 1_440)
    if readings.ends:
        return readings.ends[-most:] if most else ()
    step = readings.period_s * 1_000
    first = readings.rows - most
    return (readings.first_end + at * step for at in range(first, readings.rows))
