"""A planner on topics that are lists, on a clock that the test moves; it may be killed between any two steps."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from schemas.records import Job, Meter, MeterState, Network, Operation, PlanSlice, Schedule, Target, Tick
from streams.runtime.meters import MeterDirectory
from streams.runtime.settings import Schedules
from streams.schedules.core import JOBS, PLANS, TICKS, Core, Work

VIENNA = "Europe/Vienna"
SETTINGS = Schedules()


def ms(text: str, zone: str = VIENNA, fold: int = 0) -> int:
    """A local time in milliseconds."""
    return round(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold).timestamp()) * 1_000


def schedule(name: str = "profile", **more: Any) -> Schedule:
    """15-minute profiles, read every four hours over three."""
    usual: dict[str, Any] = {
        "id": name,
        "cron": "0 */4 * * *",
        "time_zone": VIENNA,
        "target": Target(groups=("*",)),
        "operation": Operation.READ_PROFILE,
        "parameters": {"profile": "load"},
        "window_s": 10_800,
        "period_s": 900,
        "enabled": True,
    }
    return Schedule(**(usual | more))


def meter(number: int, **more: Any) -> Meter:
    """A meter below one of ten concentrators."""
    usual: dict[str, Any] = {"segment": f"dc-{number % 10}", "network": Network.PLC_G3, "state": MeterState.NORMAL}
    return Meter(**({"id": f"m{number:05d}"} | usual | more))


def partition_of(meter_id: str) -> int:
    """Where a test puts a meter."""
    return int(meter_id[1:]) % 12


class World:
    """Time, meters, topics and the planner of the moment."""

    def __init__(self, start: int, meters: int, *, settings: Schedules = SETTINGS, rate: float = 2.0) -> None:
        self.now = start
        self.settings = settings
        self.rate = rate
        self.directory, self.others = (MeterDirectory(note_changes=True) for _ in range(2))
        self.directories = (self.directory, self.others)
        """The planner's own, and that of whoever else follows hes.meters."""
        for number in range(meters):
            self.install(meter(number))
        for directory in self.directories:
            directory.mark_caught_up()
        self.schedules: dict[str, Schedule] = {}
        self.ticks: list[Tick] = []
        self.plans: dict[str, PlanSlice] = {}
        self.jobs: list[Job] = []
        self.sent_at: list[int] = []
        self.told: list[Work] = []
        self.kill: Callable[[Work], str] = lambda _: ""
        """Whether the planner dies at a step: "before" it is written, "after" it, or not at all."""
        self.kills = 0
        self.core = self.restart()

    def install(self, item: Meter) -> None:
        """A meter as it is now."""
        for directory in self.directories:
            directory.apply(item.id, item, partition_of(item.id))

    def set(self, item: Schedule) -> None:
        """A schedule as it is now."""
        self.schedules[item.id] = item
        self.core.follow(item.id, item)

    def remove(self, name: str) -> None:
        """A schedule is removed."""
        del self.schedules[name]
        self.core.follow(name, None)

    def restart(self) -> Core:
        """Another process, which knows what is on the topics."""
        self.core = Core(self.directory, lambda _network, _segment: self.rate, self.settings)
        for name, item in self.schedules.items():
            self.core.follow(name, item)
        for tick in self.ticks:
            self.core.recover_tick(tick)
        for name, piece in self.plans.items():
            self.core.recover_slice(name, piece)
        return self.core

    def work(self) -> None:
        """All that is to be done now."""
        while (work := self.core.step(self.now)) is not None:
            how = self.kill(work)
            if how != "before":
                self._write(work)
            if how:
                self.kills += 1
                self.restart()
            else:
                work.done()

    def run(self, until: int, step_s: int = 60, each: Callable[[], None] | None = None) -> None:
        """Until a time, in steps."""
        while self.now < until:
            self.now += step_s * 1_000
            self.work()
            if each is not None:
                each()

    def read(self, schedule_id: str = "profile", at: int | None = None) -> list[str]:
        """The meters that jobs were made for, of a tick where one is named."""
        at = None if at is None else at + 1_000
        return sorted(job.meter_id for job in self.jobs if job.caused_by == schedule_id and at in (None, job.to_time))

    def _write(self, work: Work) -> None:
        self.told.append(work)
        for topic, key, record in work.records():
            if isinstance(record, Tick):
                assert (topic, key) == (TICKS, record.schedule.id)
                self.ticks.append(record)
            elif isinstance(record, Job):
                assert (topic, key) == (JOBS, record.meter_id)
                self.jobs.append(record)
                self.sent_at.append(self.now)
            elif topic == PLANS and isinstance(record, PlanSlice):
                self.plans[key] = record
            else:
                assert (topic, record) == (PLANS, None)
                self.plans.pop(key, None)
