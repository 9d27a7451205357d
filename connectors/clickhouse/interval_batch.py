"""Load profiles as Avro bodies to the rows of `intervals` and `intervals_float`, without an object a record or a value.

`intervals` does the same for records that were decoded one by one, and says what is wrong with one. Here a record is either
beyond doubt or left to that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from connectors.clickhouse.columns import Column, Runs
from connectors.clickhouse.intervals import (
    LAST_SECOND,
    MAX_ROWS,
    MAX_TEXT,
    NO_CLOCK_STATUS,
    NO_DEVIATION,
    NO_STATUS,
    channel_name,
)
from schemas.columns import (
    Arrays,
    Batch,
    Children,
    Doubles,
    Longs,
    Mask,
    NullableArrays,
    Optional,
    Symbols,
    Texts,
    spans,
)

TABLES = ("intervals", "intervals_float")
"""Tables whose rows are made here; a record with texts is read one by one."""

_FLAGS = (
    ("deviations", -(2**15), 2**15 - 1),
    ("clock_statuses", 0, 0xFF),
    ("statuses", -(2**63), 2**63 - 1),
)


class IntervalBatch:
    """The IntervalReadings among the values of a batch. `good` marks those that are read here and fit.

    `rows` says how many rows each has, over all channels, those without a value included.
    """

    def __init__(self, batch: Batch) -> None:
        self._table = table = batch.table
        self._children = cast("Children", table["channels"])
        self._ends = cast("Arrays", table["ends"])
        intervals = self._long("rows")
        self.good = batch.good & (intervals >= 0) & (intervals <= MAX_ROWS)
        self._intervals = np.where(self.good, intervals, 0)
        self.rows: Longs = self._intervals * self._children.counts
        self.good &= self._intervals * np.maximum(self._children.counts, 1) <= MAX_ROWS
        self.good &= self._fits() & self._in_time()
        self._check_channels()
        self._meters = _Words(cast("Texts", table["meter_id"]).raw())
        self._sources = _Words(cast("Texts", table["source"]).raw())
        columns = self._children.columns
        names = zip(cast("Texts", columns["obis"]).raw(), cast("Longs", columns["attribute"]).tolist(), strict=True)
        self._channels = _Words(list(names), lambda name: channel_name(_word(name[0]), name[1]))
        self._units = _Words(cast("Texts", columns["unit"]).raw())

    def columns(self, records: Sequence[int], table: str) -> dict[str, Column]:
        """The columns of a table for some good records, sorted as the table is; empty where they have no rows for it."""
        wanted = np.zeros(len(self.good), np.bool_)
        wanted[np.asarray(records, np.int64)] = True
        counts_of = self._counts_of(table)
        pieces = np.flatnonzero(wanted[self._children.owners] & (counts_of > 0))
        if not len(pieces):
            return {}
        owners = self._children.owners
        order = np.lexsort(
            (
                self._long("first_end")[owners[pieces]],
                self._channels.ranks()[pieces],
                self._meters.ranks()[owners[pieces]],
            )
        )
        pieces = pieces[order]
        record, counts = owners[pieces], counts_of[pieces]
        values, missing = self._values(pieces, counts, table)
        numbers: dict[str, npt.NDArray[Any]] = {
            "ts": self._ts(record, counts),
            "value": values,
            "scaler": np.repeat(cast("Optional", self._children.columns["scaler"]).values[pieces].astype(np.int8), counts),
            "period_s": np.repeat(
                np.where(self._ends.counts[record] > 0, 0, self._long("period_s")[record]).astype(np.uint32), counts
            ),
            "status": self._given("statuses", record, counts, NO_STATUS, np.int64),
            "clock_status": self._given("clock_statuses", record, counts, NO_CLOCK_STATUS, np.uint8),
            "deviation": self._given("deviations", record, counts, NO_DEVIATION, np.int16),
            "version": np.repeat(self._long("read_at")[record].astype(np.uint64), counts),
        }
        if missing is not None:
            keep = ~missing
            numbers = {name: column[keep] for name, column in numbers.items()}
            counts = np.add.reduceat(keep, np.cumsum(counts) - counts, dtype=np.int64)
            if not counts.any():
                return {}
        causes = cast("Symbols", self._table["cause"])
        return {
            "meter_id": self._meters.runs(record, counts),
            "channel": self._channels.runs(pieces, counts),
            "unit": self._units.runs(pieces, counts),
            "source": self._sources.runs(record, counts),
            "cause": Runs(causes.symbols, causes.indices[record], counts),
            **numbers,
        }

    def _long(self, name: str) -> Longs:
        return cast("Longs", self._table[name])

    def _fits(self) -> Mask:
        """Whether names and what is given once or once a row have their places."""
        intervals, table = self._intervals, self._table
        meter, source = cast("Texts", table["meter_id"]).lengths, cast("Texts", table["source"]).lengths
        fits = (meter > 0) & (meter <= MAX_TEXT) & (source <= MAX_TEXT) & (self._long("read_at") >= 0)
        for name, low, high in _FLAGS:
            given = cast("Arrays", table[name])
            fits &= (given.counts <= 1) | (given.counts == intervals)
            if self._any_of(given):
                least, most = given.least_and_most()
                fits &= (least >= low) & (most <= high)
        return fits

    def _any_of(self, given: Arrays) -> bool:
        """Whether a record that may be good has items; those of others mean nothing."""
        given.counts[~self.good] = 0
        return bool(given.counts.any())

    def _in_time(self) -> Mask:
        """Whether every interval ends on a whole second that DateTime can hold."""
        intervals, first, period = self._intervals, self._long("first_end"), self._long("period_s")
        last_ms = LAST_SECOND * 1000
        fits = (period >= 0) & (period <= LAST_SECOND)
        begins = (first >= 0) & (first <= last_ms) & (first % 1000 == 0)
        span = np.where(fits & begins, period, 0) * (intervals - 1) * 1000
        regular = begins & ((intervals == 1) | (period > 0)) & (np.where(begins, first, 0) + span <= last_ms)
        if not self._any_of(self._ends):
            good: Mask = (intervals == 0) | (fits & regular)
            return good
        own = self._ends.counts
        listed = own == intervals
        some = np.flatnonzero(own)
        ends = self._ends.flat(some)
        odd = (ends < 0) | (ends > last_ms) | (ends % 1000 != 0)
        listed[some] &= ~np.logical_or.reduceat(odd, np.cumsum(own[some]) - own[some])
        good = (intervals == 0) | (fits & np.where(own > 0, listed, regular))
        return good  # noqa: RET504 - the name has the type

    def _check_channels(self) -> None:
        children = self._children
        columns, owners = children.columns, children.owners
        intervals = self._intervals[owners]
        filled = [self._counts_of(table) for table in TABLES]
        longs, nullable = cast("Arrays", columns["longs"]).counts, cast("NullableArrays", columns["nullable_longs"]).counts
        obis, unit = cast("Texts", columns["obis"]).lengths, cast("Texts", columns["unit"]).lengths
        scaler = cast("Optional", columns["scaler"]).values
        fits = (filled[0] + filled[1] == intervals) & ~((longs > 0) & (nullable > 0)) & ((filled[0] == 0) | (filled[1] == 0))
        fits &= (obis > 0) & (obis <= MAX_TEXT) & (unit <= MAX_TEXT) & (scaler >= -128) & (scaler <= 127)
        self.good[owners[~fits]] = False

    def _counts_of(self, table: str) -> Longs:
        """How many rows for a table each channel has."""
        columns = self._children.columns
        if table == "intervals_float":
            return cast("Doubles", columns["doubles"]).counts
        return cast("Arrays", columns["longs"]).counts + cast("NullableArrays", columns["nullable_longs"]).counts

    def _values(self, pieces: Longs, counts: Longs, table: str) -> tuple[npt.NDArray[Any], Mask | None]:
        """The values of these channels, and which are missing; None for none."""
        columns = self._children.columns
        if table == "intervals_float":
            floats = cast("Doubles", columns["doubles"]).flat(pieces)
            nans = np.isnan(floats)
            return floats, nans if nans.any() else None
        longs, nullable = cast("Arrays", columns["longs"]), cast("NullableArrays", columns["nullable_longs"])
        of_unions = nullable.counts[pieces] > 0
        if not of_unions.any():
            return longs.flat(pieces), None
        starts = np.cumsum(counts) - counts
        values = np.empty(int(counts.sum()), np.int64)
        missing = np.zeros(len(values), np.bool_)
        values[spans(starts[~of_unions], counts[~of_unions])] = longs.flat(pieces[~of_unions])
        at = spans(starts[of_unions], counts[of_unions])
        values[at], missing[at] = nullable.flat(pieces[of_unions])
        return values, missing

    def _ts(self, record: Longs, counts: Longs) -> npt.NDArray[np.uint32]:
        """Interval ends in seconds."""
        starts = np.cumsum(counts) - counts
        period = self._long("period_s")[record]
        first = self._long("first_end")[record] // 1000
        column = np.repeat(first - starts * period, counts) + np.arange(int(counts.sum())) * np.repeat(period, counts)
        own = self._ends.counts[record] > 0
        if own.any():
            column[spans(starts[own], counts[own])] = self._ends.flat(record[own]) // 1000
        return column.astype(np.uint32)

    def _given(self, name: str, record: Longs, counts: Longs, absent: int, dtype: Any) -> npt.NDArray[Any]:
        """What a record gives not at all, once, or once a row."""
        given = cast("Arrays", self._table[name])
        how_many = given.counts[record]
        if not how_many.any():
            return np.full(int(counts.sum()), absent, dtype)
        each = np.full(len(record), absent, dtype)
        once = how_many == 1
        each[once] = given.flat(record[once])
        column = np.repeat(each, counts)
        rowwise = how_many > 1
        if rowwise.any():
            starts = np.cumsum(counts) - counts
            column[spans(starts[rowwise], counts[rowwise])] = given.flat(record[rowwise])
        return column


def _word(octets: bytes) -> str:
    """ASCII in every good record; what else stands in others is never used."""
    return octets.decode("ascii", "replace")


class _Words:
    """Texts that come again and again, as numbers."""

    __slots__ = ("_numbers", "_ranks", "words")

    def __init__(self, keys: Sequence[Any], word: Callable[[Any], str] = _word) -> None:
        known: dict[Any, int] = {}
        numbers = np.array([known.setdefault(key, len(known)) for key in keys], np.int64)
        words: dict[str, int] = {}
        alike = np.array([words.setdefault(word(key), len(words)) for key in known], np.int64)
        self._numbers: Longs = alike[numbers] if len(words) < len(known) else numbers
        self.words: list[str] = list(words)
        self._ranks: Longs | None = None

    def ranks(self) -> Longs:
        """Where each stands in the order of the texts."""
        if self._ranks is None:
            order = sorted(range(len(self.words)), key=self.words.__getitem__)
            of_words = np.empty(len(order), np.int64)
            of_words[order] = np.arange(len(order))
            self._ranks = of_words[self._numbers]
        return self._ranks

    def runs(self, which: Longs, counts: Longs) -> Runs:
        """A column: the texts of these, `counts` times each."""
        numbers = self._numbers[which]
        used, codes = np.unique(numbers, return_inverse=True)
        return Runs([self.words[number] for number in used.tolist()], codes.astype(np.int64), counts)
