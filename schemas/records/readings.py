"""Readings: load profiles in columns, and registers."""

from __future__ import annotations

from schemas.records.fields import Millis, Scalar
from schemas.records.jobs import Cause
from schemas.values import value_class


@value_class
class Channel:
    """One column of a profile. Exactly one of the four value columns is filled, one entry a row."""

    obis: str = ""  # A.B.C.D.E.F
    attribute: int = 2
    unit: str = ""  # symbol of IEC 62056-62 table "unit"; empty where the meter gives none
    scaler: int | None = None  # value = raw * 10**scaler; null where the meter gives none
    longs: tuple[int, ...] = ()
    nullable_longs: tuple[int | None, ...] = ()  # only where a row lacks a value
    doubles: tuple[float, ...] = ()  # NaN where a row lacks a value
    texts: tuple[str, ...] = ()  # octets as upper-case hex; empty where a row lacks a value


@value_class
class IntervalReadings:
    """A load profile as read: rows of intervals by channels, in columns.

    Row i ends at `first_end + i * period_s * 1000`, or at `ends[i]` where `ends` is not empty (irregular rows).
    `deviations`, `clock_statuses` and `statuses` are empty (not given), of one entry (holds for every row), or of one a row.
    """

    id: str = ""
    meter_id: str = ""
    source: str = ""  # class/OBIS/attribute, such as 7/1.0.99.1.0.255/2
    first_end: Millis = 0
    period_s: int = 0
    ends: tuple[Millis, ...] = ()
    rows: int = 0
    channels: tuple[Channel, ...] = ()
    deviations: tuple[int, ...] = ()  # minutes, local to UTC, as the meter sent it
    clock_statuses: tuple[int, ...] = ()  # COSEM clock status; bit 7 is daylight saving
    statuses: tuple[int, ...] = ()  # the profile's own status channel (AMR status)
    read_at: Millis = 0  # when the head-end had the bytes: the version of what is stated
    cause: Cause = Cause.UNKNOWN
    job_id: str = ""


@value_class
class Register:
    """One register's value."""

    obis: str = ""
    attribute: int = 2
    unit: str = ""
    scaler: int | None = None
    value: Scalar = None


@value_class
class RegisterReadings:
    """Registers captured at one time."""

    id: str = ""
    meter_id: str = ""
    source: str = ""
    captured_at: Millis = 0  # the meter's time in UTC; read_at where the meter gave none
    meter_time_given: bool = False
    deviation: int | None = None
    clock_status: int | None = None
    registers: tuple[Register, ...] = ()
    read_at: Millis = 0
    cause: Cause = Cause.UNKNOWN
    job_id: str = ""
