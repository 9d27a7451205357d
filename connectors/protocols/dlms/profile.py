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

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from connectors.protocols.dlms import axdr, profile_rows
from connectors.protocols.dlms import profile_columns as columns_of
from connectors.protocols.dlms.errors import DecodeError
from connectors.protocols.dlms.gaps import Gaps
from connectors.protocols.dlms.profile_columns import Values
from connectors.protocols.dlms.profile_grids import keep_grid, read_on_grid
from connectors.protocols.dlms.profile_rows import Alike, Cell, Mixed
from connectors.protocols.dlms.profile_shape import RULES, ProfileShape, Rules
from connectors.protocols.dlms.profile_times import DATE_TIME, Times, read_stamps

MAX_ROWS = 100_000
MAX_COLUMNS = 127
_LIFO = 2

Ints: TypeAlias = NDArray[np.int64]


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
        if self.regular and self.rows and start_ms <= self.ends[0] and self.ends[-1] <= end_ms:
            return self
        inside = (self.ends >= start_ms) & (self.ends <= end_ms)
        return self if inside.all() else _take(self, np.flatnonzero(inside))


def parse_profile(data: bytes, shape: ProfileShape, rules: Rules = RULES) -> Profile:
    """The A-XDR octets of a buffer as a `Profile`. Profiles may share arrays of times, which are not writeable then.

    DecodeError "profile-shape" where rows and shape differ or rows are too many, "profile-clock" where rows cannot be placed
    in time, "dlms-…" where the encoding is broken.
    """
    plan = shape.plan
    clock, layout = plan.clock, plan.layout
    if clock is None:
        raise DecodeError(
            "profile-clock",
            f"{shape.source}: no clock among its capture objects, so its rows cannot be placed in time: "
            "have the meter capture 8/0.0.1.0.0.255/2, or take the profile out of the template",
        )
    if layout is not None:
        day = layout.remembered.recall(data, rules.zone, deviation_reversed=rules.deviation_reversed)
        if day is not None:
            table = layout.read(data, day.at, day.count, clock)
            return _assemble(table, day.times, shape, rules, regular=day.step_ms == shape.period_s * 1000)
    if len(shape.columns) > MAX_COLUMNS:
        raise DecodeError("profile-shape", f"{shape.source}: {len(shape.columns)} columns, the limit is {MAX_COLUMNS}")
    try:
        table, times = _read(data, shape, clock, rules)
    except DecodeError as error:
        raise DecodeError(error.code, f"{shape.source}: {error.detail}") from None
    ends = times.utc_ms
    regular = _regular(ends, shape.period_s)
    profile = _assemble(table, times, shape, rules, regular=regular)
    if not regular and profile.rows > 1 and ends[0] > ends[-1] and (ends[1:] < ends[:-1]).all():
        return _take(profile, np.arange(profile.rows)[::-1])
    return profile


def _regular(ends: Ints, period_s: int) -> bool:
    return period_s > 0 and bool((ends[1:] - ends[:-1] == period_s * 1000).all())


def _read(data: bytes, shape: ProfileShape, clock: int, rules: Rules) -> tuple[list[columns_of.Column], Times]:
    """The columns, and when each row was captured."""
    columns = len(shape.columns)
    if not data or data[0] == axdr.NULL:  # some meters answer null-data for an empty buffer
        return _nothing(columns)
    if data[0] == axdr.ARRAY:
        count, at = axdr.read_length(data, 1)
        if count > MAX_ROWS:
            raise _too_many(count)
        if count * (2 + columns) > len(data) - at:
            raise DecodeError(
                "dlms-truncated", f"{count} rows announced in {len(data) - at} octets: the telegram is cut short"
            )
        rows = profile_rows.read_rows(data, at, count, columns, shape.plan.layout) if count else None
        if rows is not None:
            _ends(data, rows.end)
            if isinstance(rows, Alike):
                return _alike(data, rows, count, shape, clock, rules)
            shape.plan.layout = rows.usual
            return _mixed(rows, count, shape, clock, rules)
        plain: list[axdr.Value] = []
        for _ in range(count):
            row, at = axdr.decode(data, at)
            plain.append(row)
    elif data[0] == axdr.COMPACT_ARRAY:
        unfolded, at = axdr.decode(data)
        plain = list(unfolded) if isinstance(unfolded, axdr.Array) else []
    else:
        detail = f"the buffer is of type {data[0]:#04x}, an array was expected: check the template's profile object"
        raise DecodeError("profile-shape", detail)
    _ends(data, at)
    return _one_by_one(plain, shape, clock, rules) if plain else _nothing(columns)


def _nothing(columns: int) -> tuple[list[columns_of.Column], Times]:
    none = np.empty(0, np.int64)
    return [none] * columns, Times(none, none, none, self_contained=True)


def _ends(data: bytes, at: int) -> None:
    if at != len(data):
        raise DecodeError("dlms-axdr", f"{len(data) - at} octets after the last row: ask again")


def _too_many(rows: int) -> DecodeError:
    return DecodeError("profile-shape", f"{rows} rows, the limit is {MAX_ROWS}: ask for a shorter range")


def _alike(
    data: bytes, found: Alike, count: int, shape: ProfileShape, clock: int, rules: Rules
) -> tuple[list[columns_of.Column], Times]:
    """Rows of one layout."""
    layout, at = found.layout, found.at
    shape.plan.layout = layout
    if not (layout.marks.dated & ~layout.marks.empty) >> clock & 1:
        table = layout.read(data, at, count)
        stamps = list(table[clock])
        return table, _place(stamps, _absent(stamps), shape, rules)
    table = layout.read(data, at, count, clock)
    times = _place(layout.octets(data, at, count, clock), [], shape, rules)
    layout.remembered.keep(
        data, at, layout.fixed, layout.offsets[clock], times, rules.zone, deviation_reversed=rules.deviation_reversed
    )
    return table, times


def _mixed(found: Mixed, count: int, shape: ProfileShape, clock: int, rules: Rules) -> tuple[list[columns_of.Column], Times]:
    """Rows of one layout, and the odd ones put in their places among them."""
    layout, odd, marks = found.layout, found.odd, found.marks
    dated = (layout.marks.dated & ~layout.marks.empty & marks.dated) >> clock & 1
    table = layout.read(found.data, 0, count, clock if dated else None)
    rows, cells = list(odd), list(zip(*odd.values(), strict=True))
    for i, column in enumerate(table):
        if i != clock:
            table[i] = columns_of.patched(column, rows, cells[i], whole=marks.whole >> i & 1 == 1 and not rules.null_repeats)
    if dated:
        clocks: dict[int, Any] = dict(zip(rows, cells[clock], strict=True))
        return table, _on_grid(found, clocks, count, shape, clock, rules)
    stamps = list(table[clock])
    for row, stamp in zip(rows, cells[clock], strict=True):
        stamps[row] = stamp
    return table, _place(stamps, _absent(stamps), shape, rules)


def _on_grid(found: Mixed, odd: dict[int, bytes | None], count: int, shape: ProfileShape, clock: int, rules: Rules) -> Times:
    """When rows were captured that mostly have a date-time."""
    absent = [row for row, stamp in odd.items() if stamp is None]
    _check_first(absent)
    upward = shape.period_s > 0 and shape.sort_method != _LIFO
    layout = found.layout
    if upward:
        times = read_on_grid(found.data, layout.offsets[clock], layout.size, count, odd, shape.period_s,
                             deviation_reversed=rules.deviation_reversed)  # fmt: skip
        if times is not None:
            return times
    stamps: list[Any] = layout.octets(found.data, 0, count, clock)
    for row, stamp in odd.items():
        stamps[row] = stamp
    times = _place(stamps, absent, shape, rules)
    if upward:
        keep_grid(times, stamps, shape.period_s, deviation_reversed=rules.deviation_reversed)
    return times


def _one_by_one(
    plain: Sequence[axdr.Value], shape: ProfileShape, clock: int, rules: Rules
) -> tuple[list[columns_of.Column], Times]:
    """Rows that were decoded as they came."""
    if len(plain) > MAX_ROWS:
        raise _too_many(len(plain))
    columns = len(shape.columns)
    rows: list[list[Cell]] = []
    for row in plain:
        if not isinstance(row, axdr.Structure):
            raise DecodeError("profile-shape", "a row is no structure: check the template's profile object")
        if len(row) != columns:
            raise profile_rows.other_columns(len(row), columns)
        rows.append([columns_of.cell(value) for value in row])
    table: list[columns_of.Column] = [list(column) for column in zip(*rows, strict=True)]
    stamps = list(table[clock])
    return table, _place(stamps, _absent(stamps), shape, rules)


def _absent(stamps: Sequence[Any]) -> list[int]:
    """Which rows have no time; DecodeError where one has something else there."""
    absent: list[int] = []
    for row, stamp in enumerate(stamps):
        if stamp is None:
            absent.append(row)
        elif not isinstance(stamp, bytes) or len(stamp) != DATE_TIME:
            raise DecodeError(
                "profile-clock", f"row {row} has a clock that is no date-time: check the template's clock object"
            )
    _check_first(absent)
    return absent


def _check_first(absent: list[int]) -> None:
    if absent and absent[0] == 0:
        raise DecodeError("profile-clock", "the first row has no time: ask for a range that starts at a row with one")


def _place(stamps: list[Any], absent: list[int], shape: ProfileShape, rules: Rules) -> Times:
    """When each row was captured. Those without a time follow the last one that has it, a period each."""
    if not absent:
        return read_stamps(stamps, rules.zone, deviation_reversed=rules.deviation_reversed)
    if shape.period_s <= 0:
        raise DecodeError("profile-clock", "rows without a time, and the profile has no capture period to count on with")
    step = shape.period_s * (-1000 if shape.sort_method == _LIFO else 1000)
    filled = list(stamps)
    for row in absent:
        filled[row] = filled[row - 1]
    times = read_stamps(filled, rules.zone, deviation_reversed=rules.deviation_reversed)
    if rules.zone is None or times.self_contained:
        utc = times.utc_ms
        for row in absent:
            utc[row] = utc[row - 1] + step
        return times
    # A time zone tells repeated hours apart by the order of rows, so it may see only those that the meter timed
    given = [stamp for stamp in stamps if stamp is not None]
    known = read_stamps(given, rules.zone, deviation_reversed=rules.deviation_reversed)
    columns = zip(known[:3], (step, 0, 0), strict=True)
    utc, deviations, statuses = (np.array(_counted(column.tolist(), absent, by)) for column, by in columns)
    return Times(utc, deviations, statuses, self_contained=False)


def _counted(column: list[int], absent: list[int], step: int) -> list[int]:
    for row in absent:
        column.insert(row, column[row - 1] + step)
    return column


def _assemble(
    table: Sequence[columns_of.Column], times: Times, shape: ProfileShape, rules: Rules, *, regular: bool
) -> Profile:
    clock, status = shape.plan.clock, shape.plan.status
    statuses: Ints | None = None
    channels: list[Channel] = []
    for i, column in enumerate(shape.columns):
        if i == clock:
            continue
        found = table[i]
        if i == status and (numbers := columns_of.whole_numbers(found, repeats=rules.null_repeats)) is not None:
            statuses = numbers
            continue
        values = columns_of.settled(found, repeats=rules.null_repeats) if isinstance(found, list) else found
        channels.append(Channel(column.class_id, column.obis, column.attribute, column.scaler, column.unit, values))
    return Profile(times.utc_ms, shape.period_s, regular, tuple(channels), times.deviations, times.statuses, statuses)


def _take(profile: Profile, rows: Ints) -> Profile:
    ends = profile.ends[rows]
    return replace(
        profile,
        ends=ends,
        regular=_regular(ends, profile.period_s),
        channels=tuple(replace(channel, values=_pick(channel.values, rows)) for channel in profile.channels),
        deviations=profile.deviations[rows],
        clock_statuses=profile.clock_statuses[rows],
        statuses=None if profile.statuses is None else profile.statuses[rows],
    )


def _pick(values: Values, rows: Ints) -> Values:
    if isinstance(values, np.ndarray):
        some: Values = values[rows]
        return some
    return values.take(rows) if isinstance(values, Gaps) else tuple(values[i] for i in rows.tolist())
