"""A tick to its plan: every meter of the schedule with its place in the window, cut into slices. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from schemas.ids import event_id
from schemas.records import Network, PlanSlice, Schedule, Target, Tick
from streams.runtime.meters import MeterDirectory
from streams.runtime.settings import Schedules
from streams.runtime.spread import Spread, spread
from streams.schedules.due import Due
from streams.schedules.rules import EVERYONE

Rate = Callable[[Network, str], float]
"""Sessions that may be begun in a segment, a second; 0 where nothing limits it."""
_MOST_OCTETS = 500_000
"""Of a slice's meters: with its schedule and their times it is within the million that a record may have."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A tick, and the slices of its window in order."""

    tick: Tick
    slices: tuple[PlanSlice, ...]


def members(directory: MeterDirectory, target: Target) -> tuple[str, ...]:
    """The living meters that a schedule is for."""
    return directory.living() if target == Target(groups=(EVERYONE,)) else directory.resolve(target)


def tick_id(schedule_id: str, at: int) -> str:
    """The id of a tick: a schedule is due once at a time."""
    return event_id("Tick", schedule_id, at)


def plan(
    schedule: Schedule,
    due: Due,
    directory: MeterDirectory,
    rate: Rate,
    settings: Schedules,
    *,
    now: int,
    next_at: int | None,
) -> Plan:
    """The plan of a tick. The window opens `settle_s` after its time, so that meters have closed their interval.

    A tick that is planned late has what is left of its window, a quarter of it at least. Segments that need longer than the
    window go on behind it until the schedule is due again (`next_at`).
    """
    window = schedule.window_s * 1_000
    regular = due.at + round(settings.settle_s * 1_000)
    opens = max(regular, now)
    length = max(regular + window - opens, window // 4)
    limit = length if next_at is None else max(length, next_at - opens)
    meters = members(directory, schedule.target)
    places = _places(meters, directory, rate, settings, length, limit, turn=due.at // 60_000)
    tick = Tick(
        id=tick_id(schedule.id, due.at),
        schedule=schedule,
        at=due.at,
        since=due.since,
        missed=due.missed,
        planned_at=now,
        opens_at=opens,
        closes_at=opens + length,
        meters=len(meters),
        unplaced=places.unplaced,
    )
    slices = tuple(_cut(tick, meters, places, opens, settings, 0))
    return Plan(replace(tick, slices=len(slices)), slices)


def plan_late(
    tick: Tick, meters: Sequence[str], directory: MeterDirectory, rate: Rate, settings: Schedules, *, now: int, number: int
) -> tuple[PlanSlice, ...]:
    """Slices for meters that came in while a tick's window is open: in what is left of it, a minute at least."""
    length = max(tick.closes_at - now, 60_000)
    places = _places(meters, directory, rate, settings, length, length, turn=0)
    return tuple(_cut(tick, meters, places, now, settings, number))


def _places(
    meters: Sequence[str], directory: MeterDirectory, rate: Rate, settings: Schedules, length: int, limit: int, *, turn: int
) -> Spread:
    index: dict[tuple[Network, str], int] = {}
    segments = np.fromiter(
        (index.setdefault(pair, len(index)) for pair in directory.segments_of(meters)), np.int32, len(meters)
    )
    # A meter without a segment shares nothing that could be paced.
    rates = [rate(network, name) * settings.pace_share if name else 0.0 for network, name in index]
    gaps = np.array([1_000 / each if each else 0.0 for each in rates])
    return spread(meters, segments, gaps, window_ms=length, limit_ms=limit, turn=turn)


def _cut(
    tick: Tick, meters: Sequence[str], places: Spread, opens: int, settings: Schedules, number: int
) -> Sequence[PlanSlice]:
    """Slices of `slice_s` and of `slice_meters` at most, none empty, and none that would be too large for a record."""
    # Whom it is for, and why, is in the tick: it may name thousands of meters.
    schedule = replace(tick.schedule, target=Target(), description="")
    order = places.order()
    offsets = places.offsets[order]
    length = round(settings.slice_s * 1_000)
    found = []
    start = 0
    while start < len(order):
        until = (int(offsets[start]) // length + 1) * length
        end = min(int(np.searchsorted(offsets, until)), start + settings.slice_meters)
        first = int(offsets[start])
        names = tuple(meters[row] for row in order[start:end])
        while len(names) > 1 and sum(len(name.encode()) for name in names) > _MOST_OCTETS:
            names = names[: len(names) // 2]
        end = start + len(names)
        found.append(
            PlanSlice(
                id=event_id("PlanSlice", tick.id, number, names[0], len(names)),
                tick_id=tick.id,
                schedule=schedule,
                at=tick.at,
                since=tick.since,
                closes_at=tick.closes_at,
                number=number,
                first_at=opens + first,
                meters=names,
                offsets=tuple((offsets[start:end] - first).tolist()),
            )
        )
        number += 1
        start = end
    return found
