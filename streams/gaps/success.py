"""Read success: how much of what a schedule expected of a segment's meters on a day is there. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from schemas.ids import event_id
from schemas.records import Network, ReadSuccess
from streams.gaps.book import Book
from streams.gaps.expect import Expectation, day_bounds, days_of
from streams.gaps.grid import DAY_S, Grid

Segment = tuple[Network, str]
SegmentsOf = Callable[[list[str]], list[Segment]]
_Figures = tuple[int, int, int, int, int]


class Reports:
    """What was told of one partition: only what has changed since is told again."""

    def __init__(self) -> None:
        self._told: dict[tuple[str, int, Segment], _Figures] = {}

    def due(
        self, book: Book, expectations: dict[str, Expectation], segments_of: SegmentsOf, grace_s: float, now: int
    ) -> list[ReadSuccess]:
        """The figures that changed, for every day that is remembered whole or began since. `told` notes them."""
        found = []
        for name, expectation in expectations.items():
            grid = book.grids.get(name)
            ticks = expectation.ready(now, grace_s)
            if grid is None or not len(grid) or not ticks:
                continue
            zone = expectation.schedule.time_zone
            wanted = expectation.mask(grid, ticks)
            segments = segments_of(grid.ids)
            # A local day that began before the oldest day is not known whole any more.
            first = grid.oldest * DAY_S * 1_000
            for day in days_of(zone, first, now)[1:]:
                for segment, figures in _figures(grid, wanted, day_bounds(zone, day, grid.period_s), segments).items():
                    if self._told.get((name, day, segment)) != figures and figures[2]:
                        found.append(_record(book.partition, expectation, day, segment, figures, now))
        return found

    def told(self, records: list[ReadSuccess]) -> None:
        """These were written."""
        for record in records:
            key = record.schedule_id, record.day, (record.network, record.segment)
            self._told[key] = (record.meters, record.complete, record.expected, record.arrived, record.given_up)
        if records:
            oldest = min(record.day for record in records)
            self._told = {key: value for key, value in self._told.items() if key[1] >= oldest - 1}


def _figures(grid: Grid, wanted: np.ndarray, bounds: tuple[int, int], segments: list[Segment]) -> dict[Segment, _Figures]:
    """Meters, complete meters, expected, arrived and given up intervals, by segment."""
    origin = grid.oldest * grid.per_day
    start, end = max(bounds[0], origin), min(bounds[1], origin + len(wanted))
    if start >= end or not wanted[start - origin : end - origin].any():
        return {}
    first_day, last_day = start // grid.per_day, (end - 1) // grid.per_day
    table = grid.table(first_day, last_day)[:, start - first_day * grid.per_day : end - first_day * grid.per_day]
    numbers = np.arange(start, end)
    due = wanted[start - origin : end - origin] & (numbers[None, :] >= grid.since()[:, None])
    there = due & table
    given = np.stack([grid.given(day) for day in range(first_day, last_day + 1)], axis=1)
    lost = due & ~table & given[:, numbers // grid.per_day - first_day]
    expected, arrived = due.sum(axis=1), there.sum(axis=1)
    index: dict[Segment, int] = {}
    codes = np.fromiter((index.setdefault(segment, len(index)) for segment in segments), np.int64, len(segments))

    def by_segment(values: np.ndarray) -> list[int]:
        return [int(value) for value in np.bincount(codes, values.astype(np.float64), len(index))]

    columns = (expected > 0, (expected > 0) & (arrived == expected), expected, arrived, lost.sum(axis=1))
    rows = zip(*map(by_segment, columns), strict=True)
    return dict(zip(index, rows, strict=True))


def _record(  # one row of what is told
    partition: int, expectation: Expectation, day: int, segment: Segment, figures: _Figures, now: int
) -> ReadSuccess:
    network, name = segment
    meters, complete, expected, arrived, given_up = figures
    record = ReadSuccess(
        day=day,
        schedule_id=expectation.schedule.id,
        segment=name,
        network=network,
        partition=partition,
        period_s=expectation.schedule.period_s,
        meters=meters,
        complete=complete,
        expected=expected,
        arrived=arrived,
        given_up=given_up,
        at=now,
    )
    return replace(record, id=event_id("ReadSuccess", record.schedule_id, day, network.value, name, partition, *figures))
