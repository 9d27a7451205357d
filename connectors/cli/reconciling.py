"""What `hes reconcile` compares: what schedules expected of a day, what arrived on the topics, and what ClickHouse has.
Pure.

An interval is one end of a meter's profile, a point one channel's value at it. Expected and arrived are the words of the
gap finder; received is what the readings topic holds; stored is what ClickHouse holds. What arrived must have been received,
and points must be stored; what is missing is no disagreement.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from math import isnan

import numpy as np
from numpy.typing import NDArray

from schemas.records import Channel, IntervalReadings, ReadSuccess, Schedule

Ints = NDArray[np.int64]
Profile = tuple[str, str]
"""Meter id and source of a profile."""
_CHANNEL_BITS = 20
"""Of a point's 64: the seconds in the others reach the year 280,000."""
MAX_CHANNELS = 1 << _CHANNEL_BITS
"""Channels of all profiles, by name, that one comparison can tell apart."""


class TooManyChannelsError(ValueError):
    """More kinds of channels than `MAX_CHANNELS`."""


@dataclass(frozen=True, slots=True)
class Span:
    """Interval ends after `start` and up to `end`, milliseconds since 1970: a day is the intervals that end in it."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one profile in a span, each end and each point once. The sums tell sets of equal size apart."""

    intervals: int = 0
    points: int = 0
    seconds: int = 0
    """Sum of the points' ends, seconds since 1970."""


@dataclass(slots=True)
class Received:
    """What a topic says of each profile; fed record by record, asked once."""

    _points: dict[Profile, list[Ints]] = field(default_factory=dict)
    _ends: dict[Profile, list[Ints]] = field(default_factory=dict)
    _channels: dict[tuple[str, int], int] = field(default_factory=dict)

    def add(self, reading: IntervalReadings, span: Span) -> None:
        """Note a reading's rows within a span. `TooManyChannelsError` where there are more than can be told apart."""
        if not reading.rows:
            return
        ends = _ends(reading)
        inside = (ends > span.start) & (ends <= span.end)
        if not inside.any():
            return
        profile = reading.meter_id, reading.source
        seconds = ends // 1000
        self._ends.setdefault(profile, []).append(seconds[inside])
        points = self._points.setdefault(profile, [])
        for channel in reading.channels:
            kind = channel.obis, channel.attribute
            number = self._channels.get(kind, len(self._channels))
            if number >= MAX_CHANNELS:
                name = f"{channel.obis[:40]!r} of meter {reading.meter_id[:80]!r}"
                raise TooManyChannelsError(f"more than {MAX_CHANNELS:,} kinds of channels, the last {name}")
            self._channels[kind] = number
            points.append(seconds[inside & _given(channel, reading.rows)] << _CHANNEL_BITS | number)

    def figures(self, spans: Iterable[Span]) -> Iterator[tuple[Profile, Span, Figures]]:
        """Of each profile in each span that has any; what was noted is forgotten."""
        spans = tuple(spans)
        while self._ends:
            profile, parts = self._ends.popitem()
            ends, points = np.unique(np.concatenate(parts)), np.unique(np.concatenate(self._points.pop(profile)))
            at = points >> _CHANNEL_BITS
            for span in spans:
                first, last = span.start // 1000, span.end // 1000
                some = at[(at > first) & (at <= last)]
                intervals = int(((ends > first) & (ends <= last)).sum())
                if intervals:
                    yield profile, span, Figures(intervals, len(some), int(some.sum()))


@dataclass(frozen=True, slots=True)
class Place:
    """Where a meter hangs."""

    segment: str = ""
    network: str = ""


@dataclass(slots=True)
class Line:
    """One schedule in one segment; an empty schedule is for what none expects."""

    schedule: str
    segment: str
    network: str
    meters: int = 0
    complete: int = 0
    expected: int = 0
    arrived: int = 0
    given_up: int = 0
    received: int = 0
    points: int = 0
    stored: int = 0
    differ: int = 0
    """Profiles of which ClickHouse has not exactly the points of the topic."""
    counts_reads: bool = False
    """Whether expected and arrived are reads, of which the topics of intervals say nothing."""

    @property
    def missing(self) -> int:
        """Expected, and not there."""
        return self.expected - self.arrived

    @property
    def agrees(self) -> bool:
        """Whether topic, gap finder and ClickHouse say the same. What arrived beyond what was expected counts nowhere."""
        return not self.differ and (self.counts_reads or not self.schedule or self.received >= self.arrived)


@dataclass(frozen=True, slots=True)
class Difference:
    """A profile on which topic and ClickHouse do not agree."""

    meter: str
    source: str
    segment: str
    received: Figures
    stored: Figures


@dataclass(frozen=True, slots=True)
class Expected:
    """A schedule, the span that its day has, and what the gap finder last said of the day."""

    schedule: Schedule
    span: Span
    success: tuple[ReadSuccess, ...]

    def takes(self, source: str) -> bool:
        """Whether a profile is one that the schedule asks for."""
        return bool(self.schedule.period_s) and (not self.schedule.objects or source in self.schedule.objects)


Given = Mapping[tuple[Profile, Span], Figures]


def compare(
    expected: Iterable[Expected], other: Span, received: Given, stored: Given, place_of: Callable[[str], Place]
) -> tuple[list[Line], list[Difference]]:
    """Lines by schedule and segment, and every profile that differs. `other` is the span where no schedule has another."""
    lines: dict[tuple[str, str, str], Line] = {}

    def line(schedule: str, place: Place) -> Line:
        key = schedule, place.segment, place.network
        return lines.setdefault(key, Line(schedule, place.segment, place.network))

    wanted = tuple(expected)
    for each in wanted:
        for row in each.success:
            found = line(each.schedule.id, Place(row.segment, row.network.value))
            found.counts_reads = not each.schedule.period_s
            for name in ("meters", "complete", "expected", "arrived", "given_up"):
                setattr(found, name, getattr(found, name) + getattr(row, name))
    differences: dict[Profile, Difference] = {}
    for profile in dict.fromkeys(profile for given in (received, stored) for profile, _ in given):
        meter, source = profile
        place = place_of(meter)
        takers = [(each.schedule.id, each.span) for each in wanted if each.takes(source)] or [("", other)]
        for schedule, span in takers:
            have, kept = received.get((profile, span), Figures()), stored.get((profile, span), Figures())
            if not have.intervals and not kept.points:
                continue
            found = line(schedule, place)
            found.received += have.intervals
            found.points += have.points
            found.stored += kept.points
            if (have.points, have.seconds) != (kept.points, kept.seconds):
                found.differ += 1
                differences[profile] = Difference(meter, source, place.segment, have, kept)
    ordered = sorted(lines.values(), key=lambda found: (found.schedule, -found.missing, found.network, found.segment))
    return ordered, sorted(differences.values(), key=lambda found: (found.meter, found.source))


def _ends(reading: IntervalReadings) -> Ints:
    if reading.ends:
        return np.asarray(reading.ends, np.int64)
    return reading.first_end + np.arange(reading.rows, dtype=np.int64) * (reading.period_s * 1000)


def _given(channel: Channel, rows: int) -> NDArray[np.bool_]:
    """The rows in which a channel has a value."""
    if channel.nullable_longs:
        return np.fromiter((value is not None for value in channel.nullable_longs), np.bool_, rows)
    if channel.texts:
        return np.fromiter(map(bool, channel.texts), np.bool_, rows)
    if channel.doubles:
        return np.asarray([not isnan(value) for value in channel.doubles], np.bool_)
    return np.ones(rows, np.bool_)
