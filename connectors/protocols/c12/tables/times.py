"""Times of a meter's clock (C12.19, LTIME_DATE, STIME_DATE, TIME, DATE and RDATE).

A table time is seconds since 1970 on the meter's own clock; whether that clock keeps UTC or local time is not in it: see
`clock.Clock`. The octets stay with it, since a meter may send zeros or FF for "never".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import IntEnum, StrEnum

from connectors.protocols.c12.errors import DecodeError
from connectors.protocols.c12.tables.numerals import Order

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY_S = 86_400
_END_S = 1 << 32
"""Where 32 bits of seconds end, in 2106; minutes that go further are no time."""
_CENTURY_TURN = 90
"""Years 90 to 99 are of the last century."""


class TimeFormat(IntEnum):
    """GEN_CONFIG_TBL.TM_FORMAT."""

    NO_CLOCK = 0
    BCD = 1
    UINT8 = 2
    MINUTES = 3
    """Minutes since 1970, seconds in an octet of their own."""
    SECONDS = 4
    """Seconds since 1970."""


class TimeKind(StrEnum):
    """What a time is made of."""

    LTIME = "LTIME_DATE"
    STIME = "STIME_DATE"
    TIME = "TIME"
    DATE = "DATE"


_SIZES = {
    TimeKind.LTIME: (0, 6, 6, 5, 4),
    TimeKind.STIME: (0, 5, 5, 4, 4),
    TimeKind.TIME: (0, 3, 3, 4, 4),
    TimeKind.DATE: (2, 2, 2, 2, 2),
}


@dataclass(frozen=True, slots=True)
class TableTime:
    """A time as it stands in a table."""

    kind: TimeKind
    octets: bytes
    seconds: int | None
    """Since 1970 (LTIME, STIME, DATE) or since midnight (TIME), by the meter's clock; None where the octets are no time."""

    def __str__(self) -> str:
        if self.seconds is None:
            return f"none ({self.octets.hex().upper()})" if self.octets else "none"
        if self.kind is TimeKind.TIME:
            return f"{self.seconds // 3600:02}:{self.seconds // 60 % 60:02}:{self.seconds % 60:02}"
        at = datetime_of(self.seconds)
        return at.date().isoformat() if self.kind is TimeKind.DATE else at.isoformat(sep=" ")


def datetime_of(seconds: int) -> datetime:
    """Seconds since 1970 as a date and time without zone."""
    return (_EPOCH + timedelta(seconds=seconds)).replace(tzinfo=None)


def time_size(kind: TimeKind, form: TimeFormat) -> int:
    """Octets of a time in the format of table 0."""
    return _SIZES[kind][form]


def read_time(octets: bytes, kind: TimeKind, form: TimeFormat, order: Order) -> TableTime:
    """A time out of `time_size` octets. Never fails: what is no time has no seconds."""
    return TableTime(kind, octets, _seconds(octets, kind, form, order))


def table_time(seconds: int, kind: TimeKind, form: TimeFormat, order: Order) -> TableTime:
    """A time for a table; what is finer than its format is cut off. Raises DecodeError "table-value" where it cannot be
    written in it.
    """
    octets = _octets(seconds, kind, form, order)
    return TableTime(kind, octets, _seconds(octets, kind, form, order))


def _seconds(octets: bytes, kind: TimeKind, form: TimeFormat, order: Order) -> int | None:
    if kind is TimeKind.DATE:
        raw = int.from_bytes(octets, order)
        return _calendar((raw & 0x7F, raw >> 7 & 0xF, raw >> 11))
    if form is TimeFormat.NO_CLOCK or not octets.strip(b"\xff"):
        return None
    if form in (TimeFormat.BCD, TimeFormat.UINT8):
        fields = [_digits(octet) for octet in octets] if form is TimeFormat.BCD else list(octets)
        return _of_day(fields) if kind is TimeKind.TIME else _calendar(fields)
    return _counted(octets, kind, form, order)


def _counted(octets: bytes, kind: TimeKind, form: TimeFormat, order: Order) -> int | None:
    count = int.from_bytes(octets[:4], order)
    if kind is TimeKind.TIME:
        return count if count < _DAY_S else None
    if form is TimeFormat.SECONDS:
        return count or None
    second = octets[4] if kind is TimeKind.LTIME else 0
    return count * 60 + second if count and second < 60 and count * 60 + second < _END_S else None


def _digits(octet: int) -> int:
    """Two BCD digits; 255, which no field of a time can be, where they are none."""
    return octet - 6 * (octet >> 4) if octet >> 4 <= 9 and octet & 0xF <= 9 else 255


def _of_day(fields: Sequence[int]) -> int | None:
    hour, minute, second = fields
    return hour * 3600 + minute * 60 + second if hour < 24 and minute < 60 and second < 60 else None


def _calendar(fields: Sequence[int]) -> int | None:
    year, month, day, hour, minute, second = (*fields, 0, 0, 0)[:6]
    if year > 99:
        return None
    try:
        at = datetime(year + (1900 if year >= _CENTURY_TURN else 2000), month, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        return None
    return int((at - _EPOCH).total_seconds())


def _octets(seconds: int, kind: TimeKind, form: TimeFormat, order: Order) -> bytes:
    if form is TimeFormat.NO_CLOCK and kind is not TimeKind.DATE:
        return b""
    if kind is TimeKind.TIME:
        if not 0 <= seconds < _DAY_S:
            raise DecodeError("table-value", f"{seconds} s is no time of day: give one below {_DAY_S}")
        if form in (TimeFormat.MINUTES, TimeFormat.SECONDS):
            return seconds.to_bytes(4, order)
        fields: tuple[int, ...] = (seconds // 3600, seconds // 60 % 60, seconds % 60)
    elif kind is not TimeKind.DATE and form in (TimeFormat.MINUTES, TimeFormat.SECONDS):
        if not 0 <= seconds < _END_S:
            raise DecodeError("table-value", f"{seconds} s after 1970 does not fit 32 bits: check the time that is written")
        if form is TimeFormat.SECONDS:
            return seconds.to_bytes(4, order)
        return (seconds // 60).to_bytes(4, order) + (bytes((seconds % 60,)) if kind is TimeKind.LTIME else b"")
    else:
        at = _dated(seconds)
        if kind is TimeKind.DATE:
            return (at.year % 100 | at.month << 7 | at.day << 11).to_bytes(2, order)
        fields = (at.year % 100, at.month, at.day, at.hour, at.minute, at.second)[: _SIZES[kind][form]]
    return bytes(field // 10 << 4 | field % 10 for field in fields) if form is TimeFormat.BCD else bytes(fields)


def _dated(seconds: int) -> datetime:
    try:
        at = _EPOCH + timedelta(seconds=seconds)
    except OverflowError:
        at = _EPOCH
    if not 1990 <= at.year < 2090 or seconds != int((at - _EPOCH).total_seconds()):
        raise DecodeError(
            "table-value", f"{seconds} s after 1970 is not within 1990 to 2089: check the time that is written"
        )
    return at
