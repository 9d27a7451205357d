"""Schedules: what is read when, and the plan of each time that came."""

from __future__ import annotations

from dataclasses import field

from schemas.records.fields import Millis
from schemas.records.jobs import Operation, Priority
from schemas.records.meters import Target
from schemas.values import value_class


@value_class
class Schedule:
    """What to read and when, on `hes.schedules`."""

    id: str = ""
    cron: str = ""
    time_zone: str = ""
    target: Target = Target()
    operation: Operation = Operation.UNKNOWN
    objects: tuple[str, ...] = ()
    parameters: dict[str, str] = field(default_factory=dict)
    priority: Priority = Priority.UNKNOWN
    window_s: int = 0
    enabled: bool = False
    updated_at: Millis = 0
    description: str = ""
    active_from: Millis = 0  # ticks before it are none of this schedule's
    lookback_s: int = 0  # how far back each read of a range goes; 0 is to the tick before
    period_s: int = 0  # length of the intervals that the range must be full of; 0 where only the read itself is watched
    grace_s: int = 0  # after a window, before what is missing is asked for again; 0 takes the setting


@value_class
class Tick:
    """A schedule's time has come, on `hes.ticks`: what was planned for it, and for how many."""

    id: str = ""
    schedule: Schedule = Schedule()  # as it was then
    at: Millis = 0  # when it was due
    since: Millis = 0  # when the tick before was due: what is read in ranges is read from here
    missed: int = 0  # earlier ticks that this one makes up for, after a stop
    planned_at: Millis = 0
    opens_at: Millis = 0  # the first job's time
    closes_at: Millis = 0  # the window's end
    meters: int = 0
    unplaced: int = 0  # meters for which their segments have no room in the window
    slices: int = 0


@value_class
class PlanSlice:
    """The jobs of a short part of a tick's window, on `hes.plans` until they are sent; a tombstone then."""

    id: str = ""
    tick_id: str = ""
    schedule: Schedule = Schedule()
    at: Millis = 0
    since: Millis = 0
    closes_at: Millis = 0
    number: int = 0
    first_at: Millis = 0
    meters: tuple[str, ...] = ()
    offsets: tuple[int, ...] = ()  # milliseconds after first_at, one a meter, rising
