"""The meter's clock: what its times mean in UTC.

A table time is a reading of that clock, which may keep UTC, local time, or local standard time all the year. Which one is
in TIME_DATE_QUAL of tables 52 and 55. The zone is the one that the head-end knows of the meter; where it knows none, the
meter's own offset and daylight saving rules (tables 53 and 54) make one, as far as they say it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from enum import StrEnum

from connectors.protocols.c12.errors import DecodeError
from connectors.protocols.c12.tables.decade5 import DST_OFF, DST_ON
from connectors.protocols.c12.tables.model import Model
from connectors.protocols.c12.tables.times import TimeFormat, datetime_of
from connectors.protocols.c12.tables.values import Record

CLOCK, OFFSET, CALENDAR, STATE = 52, 53, 54, 55

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Keeps(StrEnum):
    """What a clock shows."""

    UTC = "UTC"
    LOCAL = "local time"
    STANDARD = "local standard time"


@dataclass(frozen=True, slots=True)
class Clock:
    """How a meter's times are to be read."""

    zone: tzinfo = UTC
    keeps: Keeps = Keeps.LOCAL

    def to_utc(self, seconds: int, *, daylight: bool | None = None) -> int:
        """Seconds since 1970 UTC of a time by this clock. In the hour that a change back from daylight saving repeats,
        `daylight` tells which one is meant; where it is not known the first is taken.
        """
        if self.keeps is Keeps.UTC:
            return seconds
        local = datetime_of(seconds)
        at = local.replace(tzinfo=self.zone, fold=int(daylight is False))
        offset = at.utcoffset() or timedelta()
        if self.keeps is Keeps.STANDARD:
            offset -= at.dst() or timedelta()
        return seconds - int(offset.total_seconds())

    def from_utc(self, seconds: int) -> int:
        """What the clock shows at a time given in seconds since 1970 UTC."""
        if self.keeps is Keeps.UTC:
            return seconds
        at = (_EPOCH + timedelta(seconds=seconds)).astimezone(self.zone)
        offset = at.utcoffset() or timedelta()
        if self.keeps is Keeps.STANDARD:
            offset -= at.dst() or timedelta()
        return seconds + int(offset.total_seconds())

    def daylight(self, seconds: int) -> bool:
        """Whether daylight saving is in force at a time given in seconds since 1970 UTC."""
        return bool((_EPOCH + timedelta(seconds=seconds)).astimezone(self.zone).dst())


def clock_of(model: Model, zone: tzinfo | None = None) -> Clock:
    """The meter's clock, as tables 52 or 55 and, where no zone is given, 53 and 54 say.

    Raises DecodeError "profile-clock" where the clock keeps local time in a zone that nobody knows.
    """
    qualifier = _qualifier(model)
    if qualifier is None:
        counted = model.config.formats.time in (TimeFormat.MINUTES, TimeFormat.SECONDS)
        keeps = Keeps.UTC if counted else Keeps.LOCAL  # counters are from 1970 UTC by the standard
    elif qualifier.flag("GMT_FLAG") or not qualifier.flag("TM_ZN_APPLIED_FLAG"):
        keeps = Keeps.UTC
    else:
        keeps = Keeps.LOCAL if qualifier.flag("DST_APPLIED_FLAG") else Keeps.STANDARD
    if keeps is Keeps.UTC:
        return Clock(UTC, keeps)
    if zone is not None:
        return Clock(zone, keeps)
    return Clock(_own_zone(model, keeps), keeps)


def _qualifier(model: Model) -> Record | None:
    for number in (STATE, CLOCK):
        if model.has(number):
            return model.table(number).record("TIME_DATE_QUAL")
    return None


def _own_zone(model: Model, keeps: Keeps) -> tzinfo:
    offset = model.table(OFFSET).get("TIME_ZONE_OFFSET") if model.has(OFFSET) else None
    if not isinstance(offset, int) or abs(offset) >= 24 * 60:
        raise _unknown("the meter does not tell its offset from UTC")
    standard = timedelta(minutes=offset)
    if keeps is Keeps.STANDARD:
        return timezone(standard)
    saving = timedelta(minutes=model.table(OFFSET).integer("DST_TIME_AMT"))
    if not saving:
        return timezone(standard)
    if not model.has(CALENDAR):
        raise _unknown("its daylight saving rules (table 54) were not read")
    effective = model.table(OFFSET).time("DST_TIME_EFF").seconds or 0
    return MeterZone(standard, saving, effective, _rule(model, DST_ON), _rule(model, DST_OFF))


def _rule(model: Model, action: int) -> YearlyDay:
    rules = []
    for entry in model.table(CALENDAR).records("RECURR_DATES"):
        if entry.record("CALENDAR_ACTION").integer("CALENDAR_CTRL") == action:
            day = entry.record("RECURR_DATE")
            rule = YearlyDay(*(day.integer(name) for name in ("MONTH", "OFFSET", "WEEKDAY", "DAY")))
            if not (1 <= rule.month <= 12 and rule.offset <= 5 and rule.weekday <= 6 and 1 <= rule.day <= 31):
                raise _unknown(f"its daylight saving rule {rule} is not of a kind that is read")
            rules.append(rule)
    if len(rules) != 1:
        raise _unknown(
            f"its calendar has {len(rules)} yearly days on which daylight saving begins or ends, one was expected"
        )
    return rules[0]


def _unknown(why: str) -> DecodeError:
    return DecodeError("profile-clock", f"the clock keeps local time, and {why}: give the meter's time zone")


@dataclass(frozen=True, slots=True)
class YearlyDay:
    """RDATE of a month: a day, or a weekday on or after it."""

    month: int
    offset: int
    """0 the day itself, 1 the first `weekday` on or after it, 2 to 4 the following ones, 5 the last of the month."""
    weekday: int
    """0 is Sunday."""
    day: int

    def in_year(self, year: int) -> datetime:
        """That day's midnight, without zone."""
        first = datetime(year, self.month, 1)
        if self.offset == 5:
            last = (first + timedelta(days=31)).replace(day=1) - timedelta(days=1)
            return last - timedelta(days=(last.isoweekday() - self.weekday) % 7)
        at = first + timedelta(days=self.day - 1)
        if self.offset == 0:
            return at
        return at + timedelta(days=(self.weekday - at.isoweekday()) % 7 + 7 * (self.offset - 1))


class MeterZone(tzinfo):
    """The zone that a meter's own tables describe: a standard offset, and daylight saving between two days of each year,
    from `effective_s` by standard time to `effective_s` by daylight saving time.
    """

    def __init__(self, standard: timedelta, saving: timedelta, effective_s: int, begins: YearlyDay, ends: YearlyDay) -> None:
        self._standard, self._saving = standard, saving
        self._effective = timedelta(seconds=effective_s)
        self._begins, self._ends = begins, ends

    def utcoffset(self, at: datetime | None) -> timedelta:
        """Local to UTC."""
        return self._standard + self.dst(at)

    def dst(self, at: datetime | None) -> timedelta:
        """The saving in force at a local time; `fold` tells the two of a repeated hour apart (PEP 495)."""
        if at is None:
            return timedelta()
        local, (begin, end) = at.replace(tzinfo=None, fold=0), self._changes(at.year)
        return self._saving * self._between(local, begin + self._saving * (1 - at.fold), end - self._saving * at.fold)

    def tzname(self, at: datetime | None) -> str:
        """The offset."""
        return str(timezone(self.utcoffset(at)))

    def fromutc(self, at: datetime) -> datetime:
        """Local time of a UTC time that is given as if it were of this zone."""
        standard = at.replace(tzinfo=None, fold=0) + self._standard
        begin, end = self._changes(standard.year)
        end -= self._saving
        if self._between(standard, begin, end):
            return (standard + self._saving).replace(tzinfo=self)
        return standard.replace(tzinfo=self, fold=int(end <= standard < end + self._saving))

    def _changes(self, year: int) -> tuple[datetime, datetime]:
        return self._begins.in_year(year) + self._effective, self._ends.in_year(year) + self._effective

    @staticmethod
    def _between(at: datetime, begin: datetime, end: datetime) -> bool:
        """Whether `at` is in summer; south of the equator that goes over the turn of the year."""
        return begin <= at < end if begin <= end else at >= begin or at < end
