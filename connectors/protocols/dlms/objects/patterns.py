"""Dates and times with places left open, as calendars and clocks keep them (IEC 62056-6-2, "Date and time formats").

Text and octets say the same: "*-*-last sun 02:00:00" is the last Sunday of each month at two. A place left open is `*`.
"""

from __future__ import annotations

from dataclasses import dataclass

from connectors.protocols.dlms.errors import DecodeError
from connectors.protocols.dlms.objects.reading import unfit

OPEN = 0xFF
_ANY_YEAR = 0xFFFF
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_MONTHS = {0xFE: "dst-begin", 0xFD: "dst-end"}
_MONTH_DAYS = {0xFE: "last", 0xFD: "2nd-last"}
_NOT_GIVEN = b"\x80\x00"


@dataclass(frozen=True, slots=True)
class DatePattern:
    """Five octets: year (0xFFFF open), month (0xFE daylight saving begins, 0xFD ends), day of month (0xFE last, 0xFD last
    but one), day of week (1 Monday). 0xFF is open.
    """

    year: int = _ANY_YEAR
    month: int = OPEN
    day: int = OPEN
    weekday: int = OPEN

    def __str__(self) -> str:
        year = "*" if self.year == _ANY_YEAR else f"{self.year:04}"
        text = f"{year}-{_place(self.month, _MONTHS)}-{_place(self.day, _MONTH_DAYS)}"
        return text if self.weekday == OPEN else f"{text} {_DAYS[self.weekday - 1]}"

    def encode(self) -> bytes:
        """As the meter has it. DecodeError "object-value" where a place holds what none may."""
        octets = _octets("date", self.year >> 8, self.year & 0xFF, self.month, self.day, self.weekday)
        read_date(octets, "date")
        return octets


@dataclass(frozen=True, slots=True)
class TimePattern:
    """Four octets: hour, minute, second, hundredth; 0xFF is open."""

    hour: int = OPEN
    minute: int = OPEN
    second: int = OPEN
    hundredth: int = OPEN

    def __str__(self) -> str:
        return ":".join(_place(n, {}) for n in (self.hour, self.minute, self.second))

    def encode(self) -> bytes:
        """As the meter has it. DecodeError "object-value" where a place holds what none may."""
        octets = _octets("time", self.hour, self.minute, self.second, self.hundredth)
        read_time(octets, "time")
        return octets


@dataclass(frozen=True, slots=True)
class DateTimePattern:
    """Twelve octets: date, time, deviation (minutes, local to UTC; None not given) and clock status (0xFF not given)."""

    date: DatePattern = DatePattern()
    time: TimePattern = TimePattern()
    deviation: int | None = None
    status: int = OPEN

    def __str__(self) -> str:
        return f"{self.date} {self.time}"

    def encode(self) -> bytes:
        """As the meter has it. DecodeError "object-value" where a place holds what none may."""
        if self.deviation is not None and not -840 <= self.deviation <= 840:
            raise unfit("date-time", f"a deviation of {self.deviation} minutes: it lies within ±14 hours")
        deviation = _NOT_GIVEN if self.deviation is None else self.deviation.to_bytes(2, "big", signed=True)
        return self.date.encode() + self.time.encode() + deviation + _octets("date-time", self.status)


NEVER = DateTimePattern()
"""Everything open: an activation time that does not come."""


def read_date(octets: bytes, subject: str) -> DatePattern:
    """Five octets; DecodeError "dlms-time" where they are no date."""
    if len(octets) != 5:
        raise _no(subject, "date", octets)
    year = octets[0] << 8 | octets[1]
    month, day, weekday = octets[2:]
    if not (
        (1 <= month <= 12 or month in (0xFD, 0xFE, OPEN))
        and (1 <= day <= 31 or day in (0xFD, 0xFE, OPEN))
        and (1 <= weekday <= 7 or weekday == OPEN)
    ):
        raise _no(subject, "date", octets)
    return DatePattern(year, month, day, weekday)


def read_time(octets: bytes, subject: str) -> TimePattern:
    """Four octets; DecodeError "dlms-time" where they are no time."""
    if len(octets) != 4 or any(n > most and n != OPEN for n, most in zip(octets, (23, 59, 59, 99), strict=True)):
        raise _no(subject, "time", octets)
    return TimePattern(*octets)


def read_datetime(octets: bytes, subject: str) -> DateTimePattern:
    """Twelve octets; DecodeError "dlms-time" where they are no date-time."""
    if len(octets) != 12:
        raise _no(subject, "date-time", octets)
    deviation = None if octets[9:11] == _NOT_GIVEN else int.from_bytes(octets[9:11], "big", signed=True)
    return DateTimePattern(read_date(octets[:5], subject), read_time(octets[5:9], subject), deviation, octets[11])


def _place(value: int, names: dict[int, str]) -> str:
    return "*" if value == OPEN else names.get(value, f"{value:02}")


def _octets(kind: str, *places: int) -> bytes:
    if any(not 0 <= place <= 0xFF for place in places):
        raise unfit(kind, f"{places} holds what none may")
    return bytes(places)


def _no(subject: str, kind: str, octets: bytes) -> DecodeError:
    return DecodeError("dlms-time", f"{subject}: {octets[:16].hex().upper()} is no {kind}: check the meter's setting")
