"""Rows and registers as records: columns in the one type that fits, and ids that are a function of what is stated.

Pure, and the same for what meters push and what is read from them. When, why and by which job something was read never
enters an id: the same rows read twice are the same statement.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from schemas.ids import event_id
from schemas.longs import Longs
from schemas.records import Cause, Channel, IntervalReadings, Register, RegisterReadings, Scalar
from schemas.values import value_class

MAX_CELLS = 50_000
"""Values of one IntervalReadings record; a longer profile becomes several, split by rows, far below Kafka's limit."""
_LONGEST = (1 << 63) - 1
_WHOLE = {int, bool}
_NUMBERS = {int, bool, float}
_DEVIATION_NOT_GIVEN = -0x8000
_CLOCK_STATUS_NOT_GIVEN = 255


@value_class
class Origin:
    """Whose values they are, of which object, and how the head-end came by them."""

    meter_id: str
    source: str
    """class/OBIS/attribute."""
    read_at: int
    cause: Cause
    job_id: str = ""


@value_class
class Moment:
    """When registers were captured: by the meter's clock where it says, else when they came."""

    at: int
    given: bool
    """Whether `at` is the meter's own time."""
    stated: tuple[str, int]
    """What tells this statement from the next of the same content, such as ("time", 1700000000000) or ("counter", 7)."""
    deviation: int | None = None
    clock_status: int | None = None


@value_class
class Rows:
    """Rows of a profile in columns. The last three are empty or have an entry a row."""

    ends: Sequence[int]
    period_s: int
    channels: tuple[Channel, ...]
    deviations: Sequence[int] = ()
    clock_statuses: Sequence[int] = ()
    statuses: Sequence[int] = ()


def channel(obis: str, attribute: int, unit: str, scaler: int | None, values: Sequence[Scalar]) -> Channel:
    """A column from values of any types: integers if all are, else floats, else texts; None is a row without a value."""
    kinds = set(map(type, values))
    lacking = type(None) in kinds
    kinds.discard(type(None))
    known = [value for value in values if isinstance(value, int)] if kinds & _WHOLE else []
    fits = not known or (min(known) >= -_LONGEST and max(known) <= _LONGEST)
    if kinds <= _WHOLE and fits:
        numbers: tuple[Any, ...] = tuple(values)
        if bool in kinds:
            numbers = tuple(None if value is None else int(value) for value in numbers)
        if kinds and not lacking:
            return Channel(obis, attribute, unit, scaler, longs=numbers)
        return Channel(obis, attribute, unit, scaler, nullable_longs=numbers)
    if kinds <= _NUMBERS and fits:
        doubles = tuple(math.nan if value is None else float(value) for value in values)
        return Channel(obis, attribute, unit, scaler, doubles=doubles)
    texts = tuple("" if value is None else str(value) for value in values)
    return Channel(obis, attribute, unit, scaler, texts=texts)


def register(obis: str, attribute: int, unit: str, scaler: int | None, value: Scalar) -> Register:
    """A register; an integer beyond 64 bits with sign is kept as its digits."""
    if isinstance(value, int) and not -_LONGEST <= value <= _LONGEST:
        value = str(value)
    return Register(obis, attribute, unit, scaler, value)


def register_readings(origin: Origin, moment: Moment, registers: tuple[Register, ...]) -> RegisterReadings:
    """Registers captured at one time."""
    content = tuple((item.obis, item.attribute, item.unit, item.scaler, item.value) for item in registers)
    return RegisterReadings(
        id=event_id("RegisterReadings", origin.meter_id, origin.source, moment.stated, content),
        meter_id=origin.meter_id,
        source=origin.source,
        captured_at=moment.at,
        meter_time_given=moment.given,
        deviation=moment.deviation,
        clock_status=moment.clock_status,
        registers=registers,
        read_at=origin.read_at,
        cause=origin.cause,
        job_id=origin.job_id,
    )


def interval_readings(origin: Origin, rows: Rows) -> tuple[IntervalReadings, ...]:
    """Rows as one record or, where there are very many, several; none where there are no rows."""
    most = max(1, MAX_CELLS // max(1, len(rows.channels)))
    return tuple(_one(origin, _part(rows, at, at + most)) for at in range(0, len(rows.ends), most))


def _one(origin: Origin, rows: Rows) -> IntervalReadings:
    ends = _longs(rows.ends)
    first, count = rows.ends[0], len(ends)
    irregular = ends if ends.packed != _grid(first, rows.period_s, count) else _NONE
    deviations = _uniform(rows.deviations, _DEVIATION_NOT_GIVEN)
    clock_statuses = _uniform(rows.clock_statuses, _CLOCK_STATUS_NOT_GIVEN)
    statuses = _uniform(rows.statuses, None)
    channels = tuple([(item.obis, item.attribute, item.unit, item.scaler, *_content(item)) for item in rows.channels])
    marks = (irregular.packed, deviations.packed, clock_statuses.packed, statuses.packed)
    return IntervalReadings(
        id=event_id("IntervalReadings", origin.meter_id, origin.source, first, rows.period_s, count, channels, marks),
        meter_id=origin.meter_id,
        source=origin.source,
        first_end=first,
        period_s=rows.period_s,
        ends=irregular.column,
        rows=count,
        channels=rows.channels,
        deviations=deviations.column,
        clock_statuses=clock_statuses.column,
        statuses=statuses.column,
        read_at=origin.read_at,
        cause=origin.cause,
        job_id=origin.job_id,
    )


def _part(rows: Rows, start: int, end: int) -> Rows:
    if start == 0 and end >= len(rows.ends):
        return rows
    channels = tuple(
        Channel(
            item.obis, item.attribute, item.unit, item.scaler,
            item.longs[start:end], item.nullable_longs[start:end], item.doubles[start:end], item.texts[start:end],
        )
        for item in rows.channels
    )  # fmt: skip
    marks = (column[start:end] for column in (rows.deviations, rows.clock_statuses, rows.statuses))
    return Rows(rows.ends[start:end], rows.period_s, channels, *marks)


@lru_cache(maxsize=64)
def _grid(first: int, period_s: int, rows: int) -> bytes:
    """Ends a period apart, as octets; the meters of a fleet have the same. Nothing where there is no period."""
    step = period_s * 1000
    return Longs.of(range(first, first + step * rows, step)).packed if step > 0 else b""


def _uniform(values: Sequence[int], absent: int | None) -> Longs:
    """Nothing where no row gives it, one entry where all rows agree, else one a row."""
    column = _longs(values)
    one = column.packed[:_WIDTH]
    if column.packed != one * len(column):
        return column
    return Longs(one) if one and column[0] != absent else _NONE


def _content(item: Channel) -> tuple[str, bytes] | tuple[str, bytes, bytes] | tuple[str, tuple[str, ...]]:
    """The values for an id: as octets where they are numbers, since a long profile has thousands."""
    if item.longs:
        return "longs", _longs(item.longs).packed
    if item.nullable_longs:
        column = _longs(item.nullable_longs)
        return "nullable", column.packed, column.missing
    if item.doubles:
        return "doubles", struct.pack(f"<{len(item.doubles)}d", *item.doubles)
    return "texts", item.texts


def _longs(values: Sequence[int | None]) -> Longs:
    return values if isinstance(values, Longs) else Longs.of(values)


_WIDTH = 8
_NONE = Longs(b"")
