"""All books that a process keeps, and what they make it do. Pure: time, ticks, meters and readings are handed in."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from schemas.records import CommandAck, IntervalReadings, MeterGaps, Network, ReadSuccess, Record, Tick
from streams.gaps.book import Book, Findings
from streams.gaps.expect import Expectation, utc_day
from streams.gaps.grid import DAY_S
from streams.gaps.outputs import alarm_of, backfill_jobs
from streams.gaps.success import Reports
from streams.runtime import metrics
from streams.runtime.meters import MeterDirectory
from streams.runtime.settings import Gaps
from streams.runtime.spread import spread
from streams.schedules.plan import Rate, members

JOBS, EVENTS, SUCCESS = "hes.jobs.bulk", "hes.events.urgent", "hes.read-success"
_BACKFILL_SHARE = 0.2
"""Of a segment's pace."""
Output = tuple[str, str, Record | None]
"""Topic, key and record; None is a tombstone."""


@dataclass(frozen=True, slots=True)
class Found:
    """What is to be written for a book, and then noted in it."""

    partition: int
    findings: Findings
    outputs: Sequence[Output]
    given_up: int


class Agenda:
    """Not for several threads at once."""

    def __init__(self, directory: MeterDirectory, rate: Rate, settings: Gaps) -> None:
        self.books: dict[int, Book] = {}
        self.expectations: dict[str, Expectation] = {}
        self._directory = directory
        self._rate = rate
        self._settings = settings
        self._reports: dict[int, Reports] = {}
        self._missing: dict[int, dict[str, int]] = {}

    def open(self, partition: int) -> None:
        """Begin to keep a book; its rows follow by `load`, and then `opened`."""
        self.books[partition] = Book(partition, self.expectations, self._settings)
        self._reports[partition] = Reports()

    def load(self, partition: int, meter_id: str, rows: MeterGaps | None, now: int) -> None:
        """A meter's rows as they were written down, which replace those before."""
        self.books[partition].load(meter_id, rows, now)

    def opened(self, now: int) -> None:
        """All rows are there: see that every meter has one of whom something is expected."""
        for name, expectation in self.expectations.items():
            mine = self._directory.partitioned(members(self._directory, expectation.schedule.target))
            for partition, book in self.books.items():
                book.members(name, mine.get(partition, ()), expectation.ticks[-1].since, now)

    def close(self, partition: int) -> None:
        """Somebody else keeps the book now."""
        self.books.pop(partition, None)
        self._reports.pop(partition, None)
        self._missing.pop(partition, None)

    def ticked(self, tick: Tick, now: int) -> None:
        """A schedule was due: what it asked for is expected."""
        name = tick.schedule.id
        known = self.expectations.get(name)
        if known is None or known.schedule.period_s != tick.schedule.period_s:
            known = self.expectations[name] = Expectation(tick.schedule)
        newest = not known.ticks or tick.at > known.ticks[-1].at
        if not known.add(tick):
            return
        known.forget((utc_day(now) - self._settings.days) * DAY_S * 1_000)
        if newest:
            known.schedule = tick.schedule
            if self.books:
                mine = self._directory.partitioned(members(self._directory, tick.schedule.target))
                for partition, book in self.books.items():
                    book.members(name, mine.get(partition, []), tick.since, now)

    def ended(self, schedule_id: str) -> None:
        """A schedule was removed: nothing is expected any more."""
        if self.expectations.pop(schedule_id, None) is not None:
            for book in self.books.values():
                book.forget(schedule_id)
            metrics.GAPS_MISSING.labels(schedule_id).set(0)

    def arrived(self, partition: int, record: IntervalReadings | CommandAck) -> None:
        """Readings or an acknowledgement of a meter of a partition."""
        book = self.books.get(partition)
        if book is not None:
            fresh = book.arrived(record) if isinstance(record, IntervalReadings) else book.acknowledged(record)
            metrics.INTERVALS_ARRIVED.inc(fresh)

    def day_is_over(self, now: int) -> bool:
        """Whether a new UTC day has begun that the books do not have yet."""
        return any(grid.newest < utc_day(now) for book in self.books.values() for grid in book.grids.values())

    def look(self, now: int, behind: Collection[int] = ()) -> list[Found]:
        """What is to be done for each book; each is to be written, and then settled. Nothing is asked for in partitions that
        are `behind`: what is missing there may only not have been read yet.
        """
        self._take_changes(now)
        found: dict[int, Findings] = {}
        for partition, book in self.books.items():
            over = any(grid.newest < utc_day(now) for grid in book.grids.values())
            if over or (now >= book.wake_at and partition not in behind):
                found[partition] = book.look(now)
                if partition in behind:
                    found[partition].asks.clear()
                    found[partition].wake(now + 1, now)
                self._missing[partition] = found[partition].missing
        for name in self.expectations:
            metrics.GAPS_MISSING.labels(name).set(sum(each.get(name, 0) for each in self._missing.values()))
        places = self._places([ask.meter_id for findings in found.values() for ask in findings.asks], now)
        return [self._outputs(partition, findings, places, now) for partition, findings in found.items()]

    def settle(self, found: Found, now: int) -> None:
        """What was found is written."""
        book = self.books.get(found.partition)
        if book is None:
            return
        book.settle(found.findings, now)
        book.advance(now)
        for ask in found.findings.asks:
            metrics.BACKFILLS.labels(ask.schedule_id).inc(len(ask.ranges))
        for given in found.findings.given_up:
            metrics.GIVEN_UP.labels(given.schedule_id).inc()

    def unsaved(self, now: int) -> list[tuple[str, MeterGaps | None]]:
        """The rows that changed since they were written down, of meters that have none any more a None."""
        return [(meter_id, book.save(meter_id, now)) for book in self.books.values() for meter_id in sorted(book.dirty)]

    def saved(self, meter_ids: Iterable[str]) -> None:
        """These are written down."""
        written = set(meter_ids)
        for book in self.books.values():
            book.dirty -= written

    def reports(self, now: int) -> list[Output]:
        """Read success where it has changed since it was told."""
        outputs: list[Output] = []
        for partition, book in self.books.items():
            records = self._reports[partition].due(
                book, self.expectations, self._directory.segments_of, self._settings.grace_s, now
            )
            outputs += [(SUCCESS, f"{each.schedule_id}/{each.day}/{each.segment}/{partition}", each) for each in records]
        return outputs

    def reported(self, outputs: Iterable[Output]) -> None:
        """These were told."""
        for _, _, record in outputs:
            if isinstance(record, ReadSuccess) and record.partition in self._reports:
                self._reports[record.partition].told([record])

    def _outputs(self, partition: int, findings: Findings, places: dict[str, int], now: int) -> Found:
        """Jobs and alarms. Asks for which there is no room now are left out, and so found again later."""
        asks = [ask for ask in findings.asks if places[ask.meter_id] >= 0]
        if len(asks) < len(findings.asks):
            findings.wake(now + round(self._settings.spread_s * 1_000), now)
        outputs: list[Output] = []
        for ask in asks:
            jobs = backfill_jobs(
                ask,
                self.expectations[ask.schedule_id].schedule,
                not_before=now + places[ask.meter_id],
                deadline_ms=round(self._settings.deadline_s * 1_000),
                now=now,
            )
            outputs += [(JOBS, ask.meter_id, job) for job in jobs]
        for given in findings.given_up:
            outputs.append((EVENTS, given.meter_id, alarm_of(given, self._directory.get(given.meter_id), now)))
        return Found(partition, replace(findings, asks=asks), outputs, len(findings.given_up))

    def _places(self, meters: Iterable[str], now: int) -> dict[str, int]:
        """When each meter may be asked, in milliseconds from now: spread over a while and by segment; -1 for no room."""
        index: dict[tuple[Network, str], int] = {}
        names = sorted(set(meters))
        segments = [index.setdefault(pair, len(index)) for pair in self._directory.segments_of(names)]
        rates = [self._rate(network, name) * _BACKFILL_SHARE if name else 0.0 for network, name in index]
        gaps = np.array([1_000 / each if each else 0.0 for each in rates])
        window = round(self._settings.spread_s * 1_000)
        places = spread(names, np.array(segments, np.int32), gaps, window_ms=window, turn=now // 60_000)
        return dict(zip(names, places.offsets.tolist(), strict=True))

    def _take_changes(self, now: int) -> None:
        """Meters that came in are expected to be read from now on."""
        changed = self._directory.take_changed()
        if not changed:
            return
        for name, expectation in self.expectations.items():
            found = changed.intersection(members(self._directory, expectation.schedule.target))
            for partition, meters in self._directory.partitioned(found).items():
                if partition in self.books:
                    for meter_id in meters:
                        self.books[partition].join(name, meter_id, now)
