"""A profile buffer (IEC 62056-6-2, Profile generic, attribute 2) as columns of numbers with a UTC time a row.

What a meter may do, and what is made of it:

- null-data in the clock column: the row before plus the capture period (minus, where the profile keeps the newest first).
- null-data in another column: no value; or, where `Rules.null_repeats`, the value of the row before. The standard lets a
  meter compress repeated values so, most use it for what was not captured: the template says which.
- a clock without deviation: the time zone in the rules; deviations reversed: a switch in the rules.
- rows out of step (power failure, clock set, daylight saving): they keep their own times, `Profile.regular` is False.
- newest first: turned round. Other orders stay as they came.
- a channel whose type changes from row to row: the one type that holds all rows (int, float, text).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import tzinfo
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from connectors.protocols.dlms import axdr
from connectors.protocols.dlms.errors import DecodeError
from connectors.protocols.dlms.profile_rows import Group, other_columns, read_groups
from connectors.protocols.dlms.profile_times import Times, read_times

MAX_ROWS = 100_000
MAX_COLUMNS = 127
_INT64_MAX = (1 << 63) - 1
_LIFO = 2

Ints: TypeAlias = NDArray[np.int64]
Floats: TypeAlias = NDArray[np.float64]
Values: TypeAlias = "Ints | Floats | tuple[int | None, ...] | tuple[str | None, ...]"
"""Integers, a tuple with None where some rows lack one; floats with NaN; text with None, octets as upper-case hex."""


@dataclass(frozen=True, slots=True)
class Column:
    """A capture object, with the scaler and unit of the register it captures where that has them."""

    class_id: int
    obis: str
    attribute: int
    data_index: int = 0
    scaler: int | None = None
    unit: str = ""


@dataclass(frozen=True, slots=True)
class ProfileShape:
    """What is the same for every meter of a type, so that a caller may keep it: which columns, how often, in which order."""

    obis: str
    columns: tuple[Column, ...]
    period_s: int
    sort_method: int = 1
    """1 first in first out, 2 last in first out, 3 to 6 by value."""

    @property
    def source(self) -> str:
        """The buffer as class/OBIS/attribute."""
        return f"7/{self.obis}/2"

    @property
    def clock(self) -> int | None:
        """The index of the column that times the rows: the clock's time, wherever it stands."""
        times = [i for i, column in enumerate(self.columns) if column.class_id == 8 and column.attribute == 2]
        return times[0] if times else None

    @property
    def status(self) -> int | None:
        """The index of the column with the profile status (AMR status, 0.b.96.10.e)."""
        for i, column in enumerate(self.columns):
            groups = column.obis.split(".")
            if groups[0] == "0" and groups[2:4] == ["96", "10"]:
                return i
        return None


@dataclass(frozen=True, slots=True)
class Rules:
    """How one type of meter is to be understood; the template says."""

    zone: tzinfo | None = None
    deviation_reversed: bool = False
    null_repeats: bool = False


RULES = Rules()


@dataclass(frozen=True, slots=True, eq=False)
class Channel:
    """One column of values, raw: the quantity is value · 10^scaler unit."""

    class_id: int
    obis: str
    attribute: int
    scaler: int | None
    unit: str
    values: Values


@dataclass(frozen=True, slots=True, eq=False)
class Profile:
    """Rows as columns. All arrays have one entry a row."""

    ends: Ints
    """UTC, milliseconds; the end of each interval as captured."""
    period_s: int
    regular: bool
    """Whether each row ends one period after the one before it."""
    channels: tuple[Channel, ...]
    deviations: Ints
    """Minutes, local to UTC, as the meter sent them; -32768 where it gave none."""
    clock_statuses: Ints
    """255 where not given."""
    statuses: Ints | None
    """The profile status column; None where there is none or a row lacks it (then it is a channel)."""

    @property
    def rows(self) -> int:
        """How many."""
        return len(self.ends)

    def between(self, start_ms: int, end_ms: int) -> Profile:
        """Only the rows from `start_ms` to `end_ms`, both included."""
        keep = np.flatnonzero((self.ends >= start_ms) & (self.ends <= end_ms))
        return self if len(keep) == self.rows else _take(self, keep)


def parse_profile(data: bytes, shape: ProfileShape, rules: Rules = RULES) -> Profile:
    """The A-XDR octets of a buffer as a `Profile`.

    DecodeError "profile-shape" where rows and shape differ or rows are too many, "profile-clock" where rows cannot be placed
    in time, "dlms-…" where the encoding is broken.
    """
    clock = shape.clock
    if clock is None:
        raise DecodeError(
            "profile-clock",
            f"{shape.source}: no clock among its capture objects, so its rows cannot be placed in time: "
            "have the meter capture 8/0.0.1.0.0.255/2, or take the profile out of the template",
        )
    if len(shape.columns) > MAX_COLUMNS:
        raise DecodeError("profile-shape", f"{shape.source}: {len(shape.columns)} columns, the limit is {MAX_COLUMNS}")
    try:
        table, count = _read_table(data, shape)
        times = _place(table[clock], count, shape, rules) if count else Times(*(np.empty(0, np.int64) for _ in range(3)))
    except DecodeError as error:
        raise DecodeError(error.code, f"{shape.source}: {error.detail}") from None
    return _assemble(table, times, shape, rules)


# What one layout's rows, or the plain decoder, say of one column: numbers or Python values, for the rows named.
_Part: TypeAlias = "tuple[Ints | None, NDArray[Any] | list[Any]]"


def _read_table(data: bytes, shape: ProfileShape) -> tuple[list[list[_Part]], int]:
    """The parts of each column, and how many rows there are."""
    columns = len(shape.columns)
    if not data or data[0] == axdr.NULL:  # some meters answer null-data for an empty buffer
        return [[] for _ in range(columns)], 0
    if data[0] == axdr.ARRAY:
        count, at = axdr.read_length(data, 1)
        if count > MAX_ROWS:
            raise DecodeError("profile-shape", f"{count} rows, the limit is {MAX_ROWS}: ask for a shorter range")
        if count * (2 + columns) > len(data) - at:
            raise DecodeError(
                "dlms-truncated", f"{count} rows announced in {len(data) - at} octets: the telegram is cut short"
            )
        found = read_groups(data, at, count, columns) if count else ([], at)
        if found is not None:
            groups, at = found
            _ends(data, at)
            return [[_part(group, i) for group in groups] for i in range(columns)], count
        rows: list[axdr.Value] = []
        for _ in range(count):
            row, at = axdr.decode(data, at)
            rows.append(row)
        _ends(data, at)
        return _plain(rows, columns), count
    if data[0] != axdr.COMPACT_ARRAY:
        detail = f"the buffer is of type {data[0]:#04x}, an array was expected: check the template's profile object"
        raise DecodeError("profile-shape", detail)
    unfolded, at = axdr.decode(data)
    _ends(data, at)
    table: Any = unfolded
    return _plain(table, columns), len(table)


def _ends(data: bytes, at: int) -> None:
    if at != len(data):
        raise DecodeError("dlms-axdr", f"{len(data) - at} octets after the last row: ask again")


def _plain(rows: Sequence[Any], columns: int) -> list[list[_Part]]:
    if len(rows) > MAX_ROWS:
        raise DecodeError("profile-shape", f"{len(rows)} rows, the limit is {MAX_ROWS}: ask for a shorter range")
    for row in rows:
        if not isinstance(row, axdr.Structure):
            raise DecodeError("profile-shape", "a row is no structure: check the template's profile object")
        if len(row) != columns:
            raise other_columns(len(row), columns)
    return [[(None, [_scalar(row[i]) for row in rows])] for i in range(columns)]


def _scalar(value: axdr.Value) -> int | float | str | bytes | axdr.BitString | None:
    if isinstance(value, int):
        return int(value) if value <= _INT64_MAX else str(value)
    if isinstance(value, axdr.Structure | axdr.Array):
        return axdr.encode(value)
    return value


def _part(group: Group, column: int) -> _Part:
    """One column of one layout: 64-bit numbers, an array of octets a row, or a list."""
    tag, size = group.layout.columns[column]
    if size == 0:
        empty = None if tag in (axdr.NULL, axdr.DONT_CARE) else "" if tag in _TEXT_TAGS else b""
        return group.rows, [empty] * len(group.records)
    field = group.records[f"c{column}"]
    if field.ndim > 1:
        return group.rows, _octets(field, tag, size)
    if field.dtype.kind == "f":
        return group.rows, field.astype(np.float64)
    if tag == axdr.UINT64 and field.max() > _INT64_MAX:
        return group.rows, [_scalar(n) for n in field.tolist()]
    return group.rows, field.astype(np.int64)


_TEXT_TAGS = (axdr.VISIBLE_STRING, axdr.UTF8_STRING)


def _octets(field: NDArray[np.uint8], tag: int, size: int) -> NDArray[np.uint8] | list[Any]:
    if tag == axdr.BIT_STRING:
        return [axdr.BitString(row.tobytes(), size) for row in field]
    if tag in _TEXT_TAGS:
        return [_decoded(row.tobytes()) for row in field]
    return field


def _decoded(octets: bytes) -> str | bytes:
    try:
        return octets.decode()
    except UnicodeDecodeError:
        return octets


def _place(parts: list[_Part], count: int, shape: ProfileShape, rules: Rules) -> Times:
    """When each row was captured."""
    octets = np.zeros((count, 12), np.uint8)
    present = np.zeros(count, bool)
    for rows, values in parts:
        where = np.arange(count) if rows is None else rows
        if isinstance(values, np.ndarray) and values.ndim == 2 and values.shape[1] == 12:
            if rows is None:
                return read_times(values, rules.zone, deviation_reversed=rules.deviation_reversed)
            octets[rows] = values
            present[rows] = True
            continue
        for row, value in zip(where.tolist(), values, strict=True):
            if value is None:
                continue
            if not isinstance(value, bytes) or len(value) != 12:
                raise DecodeError(
                    "profile-clock", f"row {row} has a clock that is no date-time: check the template's clock object"
                )
            octets[row] = np.frombuffer(value, np.uint8)
            present[row] = True
    if present.all():
        return read_times(octets, rules.zone, deviation_reversed=rules.deviation_reversed)
    return _count_on(
        read_times(octets[present], rules.zone, deviation_reversed=rules.deviation_reversed) if present[0] else None,
        present,
        shape,
    )


def _count_on(known: Times | None, present: NDArray[np.bool_], shape: ProfileShape) -> Times:
    """Rows without a time follow the last one that has it, a period each."""
    if known is None:
        raise DecodeError("profile-clock", "the first row has no time: ask for a range that starts at a row with one")
    if shape.period_s <= 0:
        raise DecodeError("profile-clock", "rows without a time, and the profile has no capture period to count on with")
    step = shape.period_s * (-1000 if shape.sort_method == _LIFO else 1000)
    before = np.cumsum(present) - 1
    rows = np.arange(len(present))
    since = rows - np.flatnonzero(present)[before]
    return Times(known.utc_ms[before] + since * step, known.deviations[before], known.statuses[before])


def _assemble(table: list[list[_Part]], times: Times, shape: ProfileShape, rules: Rules) -> Profile:
    count = len(times.utc_ms)
    clock, status = shape.clock, shape.status
    statuses: Ints | None = None
    channels: list[Channel] = []
    for i, (column, parts) in enumerate(zip(shape.columns, table, strict=True)):
        if i == clock:
            continue
        if i == status:
            values = _merge(parts, count, repeats=rules.null_repeats, bits=True)
            if isinstance(values, np.ndarray) and values.dtype == np.int64:
                statuses = values.astype(np.int64, copy=False)
                continue
        values = _merge(parts, count, repeats=rules.null_repeats)
        channels.append(Channel(column.class_id, column.obis, column.attribute, column.scaler, column.unit, values))
    steps = np.diff(times.utc_ms)
    period = shape.period_s
    profile = Profile(times.utc_ms, period, period > 0 and bool((steps == period * 1000).all()), tuple(channels),
                      times.deviations, times.statuses, statuses)  # fmt: skip
    if not profile.regular and count > 1 and (steps < 0).all():
        return _take(profile, np.arange(count)[::-1])
    return profile


def _take(profile: Profile, rows: Ints) -> Profile:
    ends = profile.ends[rows]
    period = profile.period_s
    return replace(
        profile,
        ends=ends,
        regular=period > 0 and bool((np.diff(ends) == period * 1000).all()),
        channels=tuple(replace(channel, values=_pick(channel.values, rows)) for channel in profile.channels),
        deviations=profile.deviations[rows],
        clock_statuses=profile.clock_statuses[rows],
        statuses=None if profile.statuses is None else profile.statuses[rows],
    )


def _pick(values: Values, rows: Ints) -> Values:
    if isinstance(values, np.ndarray):
        some: Values = values[rows]
        return some
    picked: Values = tuple(values[i] for i in rows.tolist())
    return picked


def _merge(parts: list[_Part], count: int, *, repeats: bool, bits: bool = False) -> Values:
    """One column from its parts, in the one type that holds all rows. `bits`: a bit-string is the number its bits make."""
    if not parts:
        return np.empty(0, np.int64)
    if all(isinstance(values, np.ndarray) and values.ndim == 1 for _, values in parts):
        numbers: Values = _numbers(parts, count)
        return numbers
    column: list[Any] = [None] * count
    for rows, values in parts:
        items = _items(values, bits=bits)
        for row, item in zip(range(count) if rows is None else rows.tolist(), items, strict=True):
            column[row] = item
    if repeats:
        for i in range(1, count):
            if column[i] is None:
                column[i] = column[i - 1]
    return _typed(column)


def _numbers(parts: list[_Part], count: int) -> Any:
    """int64 where all parts are, else float64."""
    rows, values = parts[0]
    if rows is None:
        return values
    whole = all(np.asarray(values).dtype == np.int64 for _, values in parts)
    numbers = np.empty(count, np.int64 if whole else np.float64)
    for rows, values in parts:
        numbers[rows] = values
    return numbers


def _items(values: NDArray[Any] | list[Any], *, bits: bool) -> Iterable[Any]:
    if isinstance(values, np.ndarray):
        return values.tolist() if values.ndim == 1 else (row.tobytes() for row in values)
    if bits:
        return (_number(v) if isinstance(v, axdr.BitString) else v for v in values)
    return values


def _number(bits: axdr.BitString) -> int:
    return int.from_bytes(bits.value, "big") >> (-bits.length % 8)


def _typed(column: list[Any]) -> Values:
    kinds = {type(item) if type(item) in (float, type(None)) else int if isinstance(item, int) else str for item in column}
    kinds.discard(type(None))
    if kinds == {int}:
        return tuple(column) if None in column else np.array(column, np.int64)
    if kinds and kinds <= {int, float}:
        return np.array([np.nan if item is None else float(item) for item in column], np.float64)
    if not kinds:
        return tuple(column)
    return tuple(None if item is None else _text(item) for item in column)


def _text(item: int | float | str | bytes | axdr.BitString) -> str:
    if isinstance(item, bytes):
        return item.hex().upper()
    if isinstance(item, axdr.BitString):
        return item.value.hex().upper()
    return str(item)
