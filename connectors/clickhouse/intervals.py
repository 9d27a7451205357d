"""Load profiles to the rows of `intervals`, `intervals_float` and `intervals_text`: columns in, columns out.

A profile is never exploded in Python. Its regular parts (meter, channel, first end, period) are kept once a record or once
a channel, and numpy repeats them; only values pass through one by one, and those at C speed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

from connectors.clickhouse.columns import Column, Runs
from schemas.records import Channel, IntervalReadings

MAX_ROWS = 500_000
"""Rows of one record: intervals by channels."""
MAX_TEXT = 255
"""Characters of a name that stands in every row."""
NO_STATUS, NO_CLOCK_STATUS, NO_DEVIATION = -1, 0xFF, -0x8000
"""What stands where the meter gives none; the last two are COSEM's own (Blue Book, clock)."""

LAST_SECOND = 2**32 - 1
_Ints = npt.NDArray[np.int64]


class RowError(Exception):
    """A record that cannot become rows. `code` is stable and goes on the dead letter."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


def check_intervals(reading: IntervalReadings) -> None:
    """`RowError` unless every row of a record has a place of its own in the tables.

    readings-names: meter, OBIS, unit or source too long, or no meter. readings-columns: columns that do not fit together.
    readings-range: a number that its column cannot hold. readings-time: an end that DateTime cannot hold exactly.
    """
    rows = reading.rows
    check_names(reading.meter_id, reading.source)
    if not 0 <= rows * max(len(reading.channels), 1) <= MAX_ROWS:
        raise RowError("readings-columns", f"{rows} rows by {len(reading.channels)} channels; {MAX_ROWS} rows are allowed")
    for channel in reading.channels:
        _check_channel(channel, rows)
    for name, given, low, high in (
        ("deviations", reading.deviations, -(2**15), 2**15 - 1),
        ("clock_statuses", reading.clock_statuses, 0, 0xFF),
        ("statuses", reading.statuses, -(2**63), 2**63 - 1),
    ):
        if given and len(given) not in (1, rows):
            raise RowError("readings-columns", f"{len(given)} {name} for {rows} rows; none, one, or one a row is allowed")
        if given and not (low <= min(given) and max(given) <= high):
            raise RowError("readings-range", f"{name} from {min(given)} to {max(given)}; {low} to {high} is allowed")
    check_version(reading.read_at)
    if rows:
        _check_times(reading, rows)


def check_names(meter_id: str, *names: str) -> None:
    """`RowError` readings-names unless the meter is named and no name is longer than `MAX_TEXT`."""
    if not meter_id:
        raise RowError("readings-names", "there is no meter id: rows of several meters would replace one another")
    for name in (meter_id, *names):
        if len(name) > MAX_TEXT:
            raise RowError("readings-names", f"a name of {len(name)} characters ({name[:40]}…); {MAX_TEXT} are allowed")


def check_version(read_at: int) -> None:
    """`RowError` readings-range unless the time of reading can be a version."""
    if not 0 <= read_at < 2**63:
        raise RowError("readings-range", f"read_at {read_at} cannot be a version: it must be milliseconds since 1970")


def check_scaler(scaler: int | None) -> None:
    """`RowError` readings-range for a scaler that is no signed octet."""
    if scaler is not None and not -128 <= scaler <= 127:
        raise RowError("readings-range", f"scaler {scaler}; -128 to 127 is allowed")


def channel_name(obis: str, attribute: int) -> str:
    """A.B.C.D.E.F, with /attribute behind it where that is not 2."""
    return obis if attribute == 2 else f"{obis}/{attribute}"


def _check_channel(channel: Channel, rows: int) -> None:
    if not channel.obis or len(channel.obis) > MAX_TEXT or len(channel.unit) > MAX_TEXT:
        raise RowError(
            "readings-names", f"OBIS {channel.obis[:40]!r}, unit {channel.unit[:40]!r}: empty, or over {MAX_TEXT} characters"
        )
    check_scaler(channel.scaler)
    lengths = [
        length
        for column in (channel.longs, channel.nullable_longs, channel.doubles, channel.texts)
        if (length := len(column))
    ]
    if lengths != ([rows] if rows else []):
        raise RowError(
            "readings-columns",
            f"{channel.obis}: value columns of {lengths or 'no'} rows; exactly one of {rows} rows is allowed",
        )


def _check_times(reading: IntervalReadings, rows: int) -> None:
    if reading.ends:
        if len(reading.ends) != rows:
            raise RowError("readings-columns", f"{len(reading.ends)} ends for {rows} rows")
        first, last = min(reading.ends), max(reading.ends)
        odd = next((end for end in reading.ends if end % 1000), 0)
    else:
        if rows > 1 and reading.period_s <= 0:
            raise RowError("readings-columns", f"{rows} rows with neither a period nor ends of their own")
        first, last = reading.first_end, reading.first_end + (rows - 1) * reading.period_s * 1000
        odd = first if first % 1000 else 0
    if not (first >= 0 and last // 1000 <= LAST_SECOND and 0 <= reading.period_s <= LAST_SECOND):
        raise RowError(
            "readings-range", f"ends from {first} to {last} ms, period {reading.period_s} s: 1970 to 2106 is allowed"
        )
    if odd:
        raise RowError("readings-time", f"an interval ends at {odd} ms, which is no whole second: rows could fall together")


class Words:
    """Texts by number, in the order in which they came."""

    __slots__ = ("_numbers",)

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def number(self, word: str) -> int:
        """The number of a text."""
        return self._numbers.setdefault(word, len(self._numbers))

    def runs(self, numbers: _Ints, counts: _Ints) -> Runs:
        """A column of them."""
        return Runs(list(self._numbers), numbers, counts)


@dataclass(slots=True)
class _Piece:
    """One channel of one record, whose values are still Python's."""

    record: int
    channel: int
    unit: int
    scaler: int
    values: Sequence[Any]
    missing: list[int] = field(default_factory=list)


def interval_columns(readings: Sequence[IntervalReadings], table: str) -> dict[str, Column]:
    """The columns of a table for records that passed `check_intervals`; empty where they have no rows for it."""
    channels, units = Words(), Words()
    pick = {"intervals": _longs, "intervals_float": _doubles, "intervals_text": _texts}[table]
    pieces = [
        _Piece(
            record,
            channels.number(channel_name(channel.obis, channel.attribute)),
            units.number(channel.unit),
            channel.scaler or 0,
            *picked,
        )
        for record, reading in enumerate(readings)
        for channel in reading.channels
        if (picked := pick(channel)) is not None
    ]
    if not pieces:
        return {}
    rows = _Rows(readings, pieces)
    values = _values(pieces, table, rows.total)
    numbers: dict[str, npt.NDArray[Any]] = {
        "ts": rows.ends(),
        "value": values,
        "scaler": rows.each_piece([piece.scaler for piece in pieces], np.int8),
        "period_s": rows.each_record([0 if reading.ends else reading.period_s for reading in readings], np.uint32),
        "status": rows.given([reading.statuses for reading in readings], NO_STATUS, np.int64),
        "clock_status": rows.given([reading.clock_statuses for reading in readings], NO_CLOCK_STATUS, np.uint8),
        "deviation": rows.given([reading.deviations for reading in readings], NO_DEVIATION, np.int16),
        "version": rows.each_record([reading.read_at for reading in readings], np.uint64),
    }
    counts = rows.counts
    keep = _present(pieces, rows, values)
    if keep is not None:
        numbers = {name: column[keep] for name, column in numbers.items()}
        counts = np.add.reduceat(keep, rows.starts, dtype=np.int64)
    if not counts.any():
        return {}
    columns: dict[str, Column] = {
        "meter_id": rows.words([reading.meter_id for reading in readings], counts),
        "channel": channels.runs(np.array([piece.channel for piece in pieces]), counts),
        "unit": units.runs(np.array([piece.unit for piece in pieces]), counts),
        "source": rows.words([reading.source for reading in readings], counts),
        "cause": rows.words([reading.cause for reading in readings], counts),
    }
    for name, column in numbers.items():
        columns[name] = column.tolist() if column.dtype == object else column
    return columns


def _longs(channel: Channel) -> tuple[Any, ...] | None:
    if channel.longs:
        return (channel.longs,)
    if not channel.nullable_longs:
        return None
    missing = [at for at, value in enumerate(channel.nullable_longs) if value is None]
    return [value or 0 for value in channel.nullable_longs], missing


def _doubles(channel: Channel) -> tuple[Any, ...] | None:
    return (channel.doubles,) if channel.doubles else None


def _texts(channel: Channel) -> tuple[Any, ...] | None:
    return (channel.texts,) if channel.texts else None


def _values(pieces: Sequence[_Piece], table: str, total: int) -> npt.NDArray[Any]:
    kinds: dict[str, Any] = {"intervals": np.int64, "intervals_float": np.float64, "intervals_text": object}
    return np.fromiter(chain.from_iterable(piece.values for piece in pieces), kinds[table], total)


def _present(pieces: Sequence[_Piece], rows: _Rows, values: npt.NDArray[Any]) -> npt.NDArray[np.bool_] | None:
    """Which rows have a value; None for all of them."""
    if values.dtype == object:
        keep = values != ""
    elif values.dtype == np.float64:
        keep = ~np.isnan(values)
    else:
        missing = [start + at for piece, start in zip(pieces, rows.starts.tolist(), strict=True) for at in piece.missing]
        if not missing:
            return None
        keep = np.ones(rows.total, np.bool_)
        keep[missing] = False
    return None if keep.all() else keep


class _Rows:
    """How many rows each piece has, where they start, and which record they are of."""

    def __init__(self, readings: Sequence[IntervalReadings], pieces: Sequence[_Piece]) -> None:
        self._readings = readings
        self.counts: _Ints = np.array([len(piece.values) for piece in pieces], np.int64)
        self.total = int(self.counts.sum())
        self.starts: _Ints = np.cumsum(self.counts) - self.counts
        self._record: _Ints = np.array([piece.record for piece in pieces], np.int64)

    def each_piece(self, values: list[int], dtype: Any) -> npt.NDArray[Any]:
        """One value a piece, for all its rows."""
        return np.repeat(np.array(values, dtype), self.counts)

    def each_record(self, values: list[int], dtype: Any) -> npt.NDArray[Any]:
        """One value a record, for all its rows."""
        return np.repeat(np.array(values, dtype)[self._record], self.counts)

    def words(self, values: list[str], counts: _Ints) -> Runs:
        """One text a record."""
        words = Words()
        return words.runs(np.array([words.number(value) for value in values])[self._record], counts)

    def given(self, values: list[tuple[int, ...]], absent: int, dtype: Any) -> npt.NDArray[Any]:
        """What a record gives not at all, once, or once a row."""
        column = self.each_record([value[0] if value else absent for value in values], dtype)
        self._overlay(column, {record: np.array(value, dtype) for record, value in enumerate(values) if len(value) > 1})
        return column

    def ends(self) -> npt.NDArray[np.uint32]:
        """Interval ends in seconds."""
        readings = self._readings
        first = np.array([0 if reading.ends else reading.first_end // 1000 for reading in readings], np.int64)[self._record]
        period = np.array([0 if reading.ends else reading.period_s for reading in readings], np.int64)[self._record]
        column = np.repeat(first - self.starts * period, self.counts)
        column += np.arange(self.total) * np.repeat(period, self.counts)
        self._overlay(
            column, {record: np.array(reading.ends) // 1000 for record, reading in enumerate(readings) if reading.ends}
        )
        return column.astype(np.uint32)

    def _overlay(self, column: npt.NDArray[Any], own: dict[int, npt.NDArray[Any]]) -> None:
        """Write what records state row by row over their rows."""
        if own:
            for start, count, record in zip(self.starts.tolist(), self.counts.tolist(), self._record.tolist(), strict=True):
                if record in own:
                    column[start : start + count] = own[record]
