"""A region of simulated meters behind a planner and a gap finder, on a clock that the test moves.

Meters keep a load profile from when they were installed and answer unless their segment is away, or a row was punched out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count

from schemas.records import (
    Alarm,
    CommandAck,
    CommandState,
    IntervalReadings,
    Job,
    Meter,
    MeterGaps,
    Operation,
    ReadSuccess,
    Schedule,
)
from streams.gaps.agenda import Agenda
from streams.runtime.settings import Gaps
from tests.unit.streams.schedules.world import World, partition_of

STEP = 900_000


@dataclass
class Region:
    """The world of the planner, its meters, and the books."""

    world: World
    settings: Gaps = field(default_factory=Gaps)
    away: Callable[[Meter | str, int], bool] = lambda _meter, _now: False
    """Whether a meter cannot be reached at a time."""
    lost: set[tuple[str, int]] = field(default_factory=set)
    """Rows (meter, end) that a meter has only from the time in `comes` on, or never."""
    comes: dict[tuple[str, int], int] = field(default_factory=dict)
    installed: dict[str, int] = field(default_factory=dict)
    rows: dict[str, MeterGaps] = field(default_factory=dict)
    """hes.gaps"""
    backfill: list[Job] = field(default_factory=list)
    alarms: list[Alarm] = field(default_factory=list)
    success: dict[tuple[str, int, str], dict[int, ReadSuccess]] = field(default_factory=dict)
    arrived: dict[str, set[int]] = field(default_factory=dict)
    done: list[str] = field(default_factory=list)
    """Ids of the jobs that a meter did."""
    _queue: list[tuple[int, int, Job]] = field(default_factory=list)
    _order: count[int] = field(default_factory=count)
    _jobs: int = 0
    _ticks: int = 0
    _look_at: int = 0

    def __post_init__(self) -> None:
        self.agenda = self.restart()

    def restart(self) -> Agenda:
        """Another process, with the rows as they were written down."""
        self.agenda = Agenda(self.world.others, lambda _network, _segment: 2.0, self.settings)
        for tick in self.world.ticks:
            self.agenda.ticked(tick, self.world.now)
        self._ticks = len(self.world.ticks)
        for partition in range(12):
            self.agenda.open(partition)
        for meter_id, row in self.rows.items():
            self.agenda.load(partition_of(meter_id), meter_id, row, self.world.now)
        self.agenda.opened(self.world.now)
        return self.agenda

    def turn(self) -> None:
        """Whatever is due: ticks, jobs, gaps."""
        now = self.world.now
        for tick in self.world.ticks[self._ticks :]:
            self.agenda.ticked(tick, now)
        self._ticks = len(self.world.ticks)
        for job in self.world.jobs[self._jobs :]:
            heappush(self._queue, (job.not_before or now, next(self._order), job))
        self._jobs = len(self.world.jobs)
        if self.agenda.day_is_over(now):
            self._look(now)
        while self._queue and self._queue[0][0] <= now:
            self._visit(heappop(self._queue)[2], now)
        if now >= self._look_at:
            self._look_at = now + round(self.settings.look_every_s * 1_000)
            self._look(now)
        self._save(now)

    def report(self) -> None:
        """Read success as it is now."""
        outputs = self.agenda.reports(self.world.now)
        for _, _, record in outputs:
            assert isinstance(record, ReadSuccess)
            self.success.setdefault((record.schedule_id, record.day, record.segment), {})[record.partition] = record
        self.agenda.reported(outputs)

    def figures(self, schedule: Schedule, day: int) -> tuple[int, int, int]:
        """Expected, arrived and given up intervals of a day, of all segments."""
        records = [
            record
            for (name, of, _), each in self.success.items()
            if (name, of) == (schedule.id, day)
            for record in each.values()
        ]
        return sum(r.expected for r in records), sum(r.arrived for r in records), sum(r.given_up for r in records)

    def _visit(self, job: Job, now: int) -> None:
        """What the gateway would do: read the rows that a meter has, or fail."""
        partition = partition_of(job.meter_id)
        if self.away(job.meter_id, now):
            self._ack(partition, job, CommandState.FAILED)
            return
        if job.operation is Operation.READ_PROFILE and "profile" in job.parameters:
            start = max(job.from_time or 0, self.installed.get(job.meter_id, 0))
            ends = range(-(-start // STEP) * STEP, min(job.to_time or now, now + 1), STEP)
            have = [end for end in ends if not self._lacks(job.meter_id, end, now)]
            if have:
                self.arrived.setdefault(job.meter_id, set()).update(have)
                readings = IntervalReadings(
                    meter_id=job.meter_id, source="7/1.0.99.1.0.255/2", period_s=900, rows=len(have), ends=tuple(have)
                )
                self.agenda.arrived(partition, readings)
        self.done.append(job.id)
        self._ack(partition, job, CommandState.DONE)

    def _lacks(self, meter_id: str, end: int, now: int) -> bool:
        return (meter_id, end) in self.lost and now < self.comes.get((meter_id, end), now + 1)

    def _ack(self, partition: int, job: Job, state: CommandState) -> None:
        ack = CommandAck(command_id=job.caused_by, job_id=job.id, meter_id=job.meter_id, state=state)
        self.agenda.arrived(partition, ack)

    def _look(self, now: int) -> None:
        for found in self.agenda.look(now):
            for _, _, record in found.outputs:
                if isinstance(record, Job):
                    self.backfill.append(record)
                    heappush(self._queue, (record.not_before or now, next(self._order), record))
                elif isinstance(record, Alarm):
                    self.alarms.append(record)
            self.agenda.settle(found, now)

    def _save(self, now: int) -> None:
        saved = self.agenda.unsaved(now)
        for meter_id, row in saved:
            if row is None:
                self.rows.pop(meter_id, None)
            else:
                self.rows[meter_id] = row
        self.agenda.saved(meter_id for meter_id, _ in saved)
