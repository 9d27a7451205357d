"""Where `hes reconcile` has its facts from: topics, read without a group, and ClickHouse."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from typing import TypeGuard, TypeVar

from connectors.cli.failure import CommandError
from connectors.cli.reconciling import Expected, Figures, Place, Profile, Received, Span, TooManyChannelsError
from connectors.cli.topics import Span as TopicSpan
from connectors.cli.topics import decoded, extents, read_topic
from connectors.clickhouse.errors import RefusedError, TableError
from connectors.clickhouse.intervals import RowError, check_intervals
from connectors.clickhouse.store import Store
from schemas.records import IntervalReadings, Meter, ReadSuccess, Schedule
from streams.gaps.expect import day_bounds
from streams.runtime.errors import FatalError
from streams.runtime.settings import Settings

INTERVALS, SUCCESS, SCHEDULES, METERS = "hes.readings.intervals", "hes.read-success", "hes.schedules", "hes.meters"
_EPOCH = date(1970, 1, 1).toordinal()
_READS_PERIOD_S = 900
_FEW = 50_000
_TABLES = ("intervals", "intervals_float", "intervals_text")

R = TypeVar("R", Meter, ReadSuccess, Schedule)
Given = dict[tuple[Profile, Span], Figures]
Step = Callable[[str], None]
"""Told what is being read now."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What one day is judged by."""

    expected: tuple[Expected, ...]
    other: Span
    received: Given
    stored: Given
    unreadable: int
    """Records of the readings topic that are none."""
    since: int | None
    """When the readings topic begins to be whole, where that is within the day; None where it has all of it."""


def day_of(text: str) -> int:
    """A day as ISO 8601 writes it, as days since 1970-01-01. ValueError."""
    return date.fromisoformat(text).toordinal() - _EPOCH


def span_of(zone: str, day: int, period_s: int) -> Span:
    """The intervals that begin on a local day, by their ends."""
    first, behind = day_bounds(zone, day, period_s)
    return Span(first * period_s * 1000, behind * period_s * 1000)


class Expectations:
    """What schedules there are, and what the gap finder said last of each day."""

    def __init__(self, given: Settings) -> None:
        self._schedules: dict[str, Schedule] = {}
        self._success: dict[tuple[str, int], dict[tuple[str, str, int], ReadSuccess]] = {}
        for record in _records(given, SCHEDULES, Schedule):
            self._schedules[record.id] = record
        for row in _records(given, SUCCESS, ReadSuccess):
            days = self._success.setdefault((row.schedule_id, row.day), {})
            days[row.network.value, row.segment, row.partition] = row

    def on(self, day: int, zone: str) -> tuple[Expected, ...]:
        """Every schedule of which anything was expected on a day; one that is gone since is known by what was said of it."""
        found = []
        for (name, when), rows in sorted(self._success.items()):
            if when == day:
                period = next(iter(rows.values())).period_s
                schedule = self._schedules.get(name, Schedule(id=name, time_zone=zone, period_s=period))
                span = span_of(schedule.time_zone, day, schedule.period_s or _READS_PERIOD_S)
                found.append(Expected(schedule, span, tuple(rows.values())))
        return tuple(found)


def facts(given: Settings, store: Store, expected: tuple[Expected, ...], other: Span, step: Step) -> Facts:
    """Read the topic from the first end that matters to its present end, and ask ClickHouse."""
    spans = tuple(dict.fromkeys((other, *(each.span for each in expected))))
    whole = Span(min(span.start for span in spans), max(span.end for span in spans))
    received: Given = {}
    unreadable = 0
    held = extents(given, INTERVALS)
    # A partition at a time, so that what is held in memory is a partition's; all at once where that is quicker.
    few = sum(extent.records for extent in held.values()) < _FEW
    for partitions in [list(held)] if few else [[number] for number in held]:
        step(f"{INTERVALS}, partitions {', '.join(map(str, partitions))}")
        part = Received()
        # A record is written after its intervals ended, whenever that was.
        only = TopicSpan(start_ms=whole.start, partitions=frozenset(partitions))
        unreadable += noted(part, whole, (record for _, record in decoded(given, read_topic(given, INTERVALS, only))))
        received.update({(profile, span): figures for profile, span, figures in part.figures(spans)})
    stored: Given = {}
    for span in spans:
        step("ClickHouse")
        stored.update(_stored(store, given.clickhouse.database, span))
    since = (extent.since for extent in held.values())
    late = max((at for at in since if at is not None and at > whole.start), default=None)
    return Facts(expected, other, received, stored, unreadable, late)


def noted(part: Received, span: Span, records: Iterable[object]) -> int:
    """Note every reading that is one; how many of the records are none. `CommandError` where their channels are too many."""
    unreadable = 0
    try:
        for record in records:
            if sound(record):
                part.add(record, span)
            else:
                unreadable += 1
    except TooManyChannelsError as error:
        raise CommandError(
            f"{INTERVALS} has {error}: no fleet has as many, so something writes names that are none",
            mend=f"look at what it writes (`hes tail {INTERVALS}`), mend its template, and compare the days after",
        ) from error
    return unreadable


def sound(record: object) -> TypeGuard[IntervalReadings]:
    """Whether a record is a reading that the sink takes: of others rows and columns need not fit together."""
    if not isinstance(record, IntervalReadings):
        return False
    try:
        check_intervals(record)
    except RowError:
        return False
    return True


def places(given: Settings) -> dict[str, Place]:
    """Where each meter hangs."""
    return {meter.id: Place(meter.segment, meter.network.value) for meter in _records(given, METERS, Meter)}


def _stored(store: Store, database: str, span: Span) -> Given:
    union = " UNION ALL ".join(
        f"SELECT DISTINCT meter_id, source, channel, ts FROM {database}.{table}"  # noqa: S608 - names are ours
        " WHERE ts > toDateTime(%(start)s) AND ts <= toDateTime(%(end)s)"
        for table in _TABLES
    )
    sql = (
        f"SELECT meter_id, source, count() AS points, sum(toUInt32(ts)) AS seconds FROM ({union}) GROUP BY meter_id, source"  # noqa: S608 - names are ours
    )
    try:
        rows = store.query(sql, {"start": span.start // 1000, "end": span.end // 1000}).rows
    except (RefusedError, FatalError) as error:
        said = error.said if isinstance(error, TableError) else str(error)
        raise CommandError(said, mend="`hes run clickhouse` makes the tables") from error
    return {((meter, source), span): Figures(0, int(points), int(seconds)) for meter, source, points, seconds in rows}


def _records(given: Settings, topic: str, cls: type[R]) -> Iterator[R]:
    for _, record in decoded(given, read_topic(given, topic)):
        if isinstance(record, cls):
            yield record
