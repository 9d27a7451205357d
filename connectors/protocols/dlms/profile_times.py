"""Columns of COSEM date-times (IEC 62056-6-2, 4.1.6.1) to UTC, all rows at once.

Meters of a fleet write the same date-times, so what twelve octets meant is remembered: one by one where they name their
deviation (then they mean the same wherever they stand), and a whole regular day at a time, with the rows around them.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from connectors.protocols.dlms.errors import DecodeError

Octets = NDArray[np.uint8]
Ints = NDArray[np.int64]

NOT_GIVEN = -0x8000
"""A deviation that the meter leaves out."""
_MAX_DEVIATION = 14 * 60
_DAYLIGHT = 0x80
_FIRST_YEAR, _LAST_YEAR = 1970, 2105
_MINUTE = 60_000
_HALF_HOUR = 30 * _MINUTE
_DAY = 86_400_000
_LONG = 400 * _DAY

_MONTHS = (np.arange(f"{_FIRST_YEAR}-01", f"{_LAST_YEAR + 1}-02", dtype="M8[M]").astype("M8[ms]")).astype(np.int64)
"""Milliseconds since the epoch at the start of each month from January 1970."""
_WEIGHTS = np.array([_DAY, 0, 60 * _MINUTE, _MINUTE, 1000, 10], np.int64)
"""Of day, day of week, hour, minute, second, hundredth."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


DATE_TIME = 12
_FEW = 24
"""Date-times not met before that are read one by one; more are read together."""
_MOST_KNOWN = 20_000
_MOST_DAYS = 8
_MOST_OCTETS = 16_384

_known: tuple[dict[bytes, int], dict[bytes, int]] = ({}, {})
"""UTC of date-times with deviation; the second where deviations are reversed."""


class Times(NamedTuple):
    """One entry a row: UTC in milliseconds, the deviation as the meter sent it (minutes), the clock status."""

    utc_ms: Ints
    deviations: Ints
    statuses: Ints
    self_contained: bool
    """Whether each row names its deviation, so that its time hangs neither on a time zone nor on other rows."""


def read_times(octets: Octets, zone: tzinfo | None, *, deviation_reversed: bool = False) -> Times:
    """Twelve octets a row, shape (rows, 12), to UTC.

    A missing second or hundredth counts as zero. `zone` is the meter's, for rows without deviation; without it they are a
    DecodeError "profile-clock". The hour that a clock change repeats is told apart by the daylight saving bit where the
    clock status is given, else by the order of the rows. DecodeError "dlms-time" names a row that is no time.
    """
    fields = octets.astype(np.int64)
    local = _local(octets, fields)
    deviations = (fields[:, 9] << 8) + fields[:, 10]
    deviations -= (deviations & 0x8000) << 1
    statuses = fields[:, 11]
    given = np.abs(deviations) <= _MAX_DEVIATION
    shift = -deviations if deviation_reversed else deviations
    utc = local + shift * _MINUTE
    all_given = bool(given.all())
    if not all_given:
        if zone is None:
            raise DecodeError(
                "profile-clock",
                "the meter's times have no deviation and its time zone is not known: give the meter a time zone",
            )
        rows = np.flatnonzero(~given)
        utc[rows] = _in_zone(local[rows], statuses[rows], zone)
    return Times(utc, deviations, statuses, all_given)


def read_stamps(stamps: Sequence[bytes], zone: tzinfo | None, *, deviation_reversed: bool = False) -> Times:
    """The same as `read_times`, of twelve octets a row; quick where date-times were met before."""
    joined = b"".join(stamps)
    known = _known[deviation_reversed]
    utc = list(map(known.get, stamps))
    if None in utc and not _add(stamps, utc, deviation_reversed=deviation_reversed):
        times = read_times(
            np.frombuffer(joined, np.uint8).reshape(-1, DATE_TIME), zone, deviation_reversed=deviation_reversed
        )
        if len(stamps) < _MOST_KNOWN and times.self_contained:
            _remember(known, dict(zip(stamps, times.utc_ms.tolist(), strict=True)))
        return times
    rows, step = (len(stamps),), (DATE_TIME,)
    deviations: NDArray[np.int16] = np.ndarray(rows, ">i2", joined, 9, step)
    statuses: NDArray[np.uint8] = np.ndarray(rows, np.uint8, joined, 11, step)
    instants = np.frombuffer(array("q", cast("list[int]", utc)), np.int64)
    return Times(instants, deviations.astype(np.int64), statuses.astype(np.int64), self_contained=True)


def _add(stamps: Sequence[bytes], utc: list[int | None], *, deviation_reversed: bool) -> bool:
    """Read the few that are missing in `utc` one by one. False where that is not the way."""
    if utc.count(None) > _FEW:
        return False
    found: dict[bytes, int] = {}
    for i, known in enumerate(utc):
        if known is None:
            instant = _instant(stamps[i], deviation_reversed=deviation_reversed)
            if instant is None:
                return False
            utc[i] = found[stamps[i]] = instant
    _remember(_known[deviation_reversed], found)
    return True


def _remember(known: dict[bytes, int], found: dict[bytes, int]) -> None:
    if len(known) + len(found) > _MOST_KNOWN:
        known.clear()
    known.update(found)


def instant_of(stamp: bytes, *, deviation_reversed: bool = False) -> int | None:
    """UTC of twelve octets, remembered; None where they are not whole or have no deviation."""
    known = _known[deviation_reversed].get(stamp)
    if known is None and (known := _instant(stamp, deviation_reversed=deviation_reversed)) is not None:
        _remember(_known[deviation_reversed], {stamp: known})
    return known


def _instant(stamp: bytes, *, deviation_reversed: bool) -> int | None:
    """UTC of one date-time that is whole and has a deviation; None for any other, which `read_times` knows how to read."""
    deviation = int.from_bytes(stamp[9:11], "big", signed=True)
    if not -_MAX_DEVIATION <= deviation <= _MAX_DEVIATION or stamp[8] > 99:
        return None
    year = stamp[0] << 8 | stamp[1]
    if not _FIRST_YEAR <= year <= _LAST_YEAR:
        return None
    try:
        local = datetime(year, stamp[2], stamp[3], stamp[5], stamp[6], stamp[7], stamp[8] * 10_000, UTC)
    except ValueError:
        return None
    minutes = -deviation if deviation_reversed else deviation
    return (local - _EPOCH) // _MILLISECOND + minutes * _MINUTE


@dataclass(frozen=True, slots=True, eq=False)
class Day:
    """A buffer's regular rows as they were once: wherever `mask` is set, another one with `want` has the same times."""

    mask: Octets
    want: bytes
    at: int
    """Where the rows begin."""
    count: int
    times: Times
    step_ms: int
    zone: tzinfo | None
    deviation_reversed: bool


class Remembered:
    """The days met in one layout of rows."""

    __slots__ = ("_days",)

    def __init__(self) -> None:
        self._days: dict[bytes, Day] = {}

    def recall(self, data: bytes, zone: tzinfo | None, *, deviation_reversed: bool) -> Day | None:
        """The day whose heads, tags, lengths and date-times `data` has, every octet of them."""
        day = self._days.get(data[:_HEAD])
        if (
            day is not None
            and len(data) == len(day.want)
            and day.zone is zone
            and day.deviation_reversed is deviation_reversed
            and (np.frombuffer(data, np.uint8) & day.mask).tobytes() == day.want
        ):
            return day
        return None

    def keep(
        self, data: bytes, at: int, fixed: bytes, clock: int, times: Times, zone: tzinfo | None, *, deviation_reversed: bool
    ) -> None:
        """Remember `data`, if it is regular: rows from `at` on, with `fixed` octets and their date-time at `clock`."""
        count = len(times.utc_ms)
        if count < 2 or len(data) > _MOST_OCTETS:
            return
        steps = np.diff(times.utc_ms)
        step = int(steps[0])
        if step <= 0 or (steps != step).any():
            return
        row = fixed[:clock] + b"\xff" * DATE_TIME + fixed[clock + DATE_TIME :]
        mask = np.frombuffer(b"\xff" * at + row * count, np.uint8)
        want = (np.frombuffer(data, np.uint8) & mask).tobytes()
        for column in times[:3]:
            column.setflags(write=False)  # every profile of the day shares them
        while len(self._days) >= _MOST_DAYS:
            del self._days[next(iter(self._days))]
        self._days[data[:_HEAD]] = Day(mask, want, at, count, times, step, zone, deviation_reversed)


_HEAD = 18
"""Octets of a buffer that tell days apart: mostly array, structure and the first row's date-time."""
_MILLISECOND = timedelta(milliseconds=1)


def _local(octets: Octets, fields: Ints) -> Ints:
    """Local times as if they were UTC, in milliseconds."""
    high = octets.max(axis=0).tolist()
    if high[7] == 0xFF or high[8] == 0xFF:
        fields[:, 7:9][fields[:, 7:9] == 0xFF] = 0
        high[7:9] = fields[:, 7:9].max(axis=0).tolist()
    month = fields[:, 0] * (256 * 12) + fields[:, 1] * 12 + fields[:, 2] - (_FIRST_YEAR * 12 + 1)
    low = octets.min(axis=0).tolist()
    within = (
        low[2] >= 1
        and high[2] <= 12
        and low[3] >= 1
        and high[3] <= 31
        and high[5] < 24
        and max(high[6:8]) < 60
        and high[8] < 100
    )
    if not within or month.min() < 0 or month.max() >= len(_MONTHS) - 1:
        raise _no_time(octets, fields, month)
    start = _MONTHS[month]
    if high[3] > 28 and (start + fields[:, 3] * _DAY > _MONTHS[month + 1]).any():
        raise _no_time(octets, fields, month)
    local: Ints = start + fields[:, 3:9] @ _WEIGHTS - _DAY
    return local


def _no_time(octets: Octets, fields: Ints, month: Ints) -> DecodeError:
    wrong = (month < 0) | (month >= len(_MONTHS) - 1)
    for at, least, most in ((2, 1, 12), (3, 1, 31), (5, 0, 23), (6, 0, 59), (7, 0, 59), (8, 0, 99)):
        wrong |= (fields[:, at] < least) | (fields[:, at] > most)
    inside = np.clip(month, 0, len(_MONTHS) - 2)
    wrong |= _MONTHS[inside] + fields[:, 3] * _DAY > _MONTHS[inside + 1]
    row = int(np.argmax(wrong))
    return DecodeError(
        "dlms-time", f"row {row} has {octets[row].tobytes().hex().upper()}, which is no date-time: check the meter's clock"
    )


def _in_zone(local: Ints, statuses: Ints, zone: tzinfo) -> Ints:
    """Local times of `zone` to UTC."""
    offset = _one_offset(int(local.min()), int(local.max()), zone)
    if offset is not None:
        return local - offset
    bins = local // _HALF_HOUR
    known = {at: (_offset(at * _HALF_HOUR, 0, zone), _offset(at * _HALF_HOUR, 1, zone)) for at in np.unique(bins).tolist()}
    utc = np.empty_like(local)
    before: int | None = None
    for i, (at, status, bin_) in enumerate(zip(local.tolist(), statuses.tolist(), bins.tolist(), strict=True)):
        first, second = known[bin_]
        fold = False
        if first != second:
            fold = not status & _DAYLIGHT if status != 0xFF else before is not None and at - first <= before
        before = at - (second if fold else first)
        utc[i] = before
    return utc


def _one_offset(low: int, high: int, zone: tzinfo) -> int | None:
    """The offset of all of [low, high], None where it changes in between; looked at daily, as zones change no faster."""
    if high - low > _LONG:
        return None
    offset = _offset(low, 0, zone)
    for at in (*range(low, high, _DAY), high):
        if _offset(at, 0, zone) != offset or _offset(at, 1, zone) != offset:
            return None
    return offset


def _offset(local: int, fold: int, zone: tzinfo) -> int:
    """Local to UTC, milliseconds to subtract."""
    at = (_EPOCH + timedelta(milliseconds=local)).replace(tzinfo=zone, fold=fold)
    return (at.utcoffset() or timedelta()) // timedelta(milliseconds=1)
