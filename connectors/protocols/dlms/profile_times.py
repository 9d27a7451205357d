"""Columns of COSEM date-times (IEC 62056-6-2, 4.1.6.1) to UTC, all rows at once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from typing import NamedTuple

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


class Times(NamedTuple):
    """One entry a row: UTC in milliseconds, the deviation as the meter sent it (minutes), the clock status."""

    utc_ms: Ints
    deviations: Ints
    statuses: Ints


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
    if not given.all():
        if zone is None:
            raise DecodeError(
                "profile-clock",
                "the meter's times have no deviation and its time zone is not known: give the meter a time zone",
            )
        rows = np.flatnonzero(~given)
        utc[rows] = _in_zone(local[rows], statuses[rows], zone)
    return Times(utc, deviations, statuses)


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
