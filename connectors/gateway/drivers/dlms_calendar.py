"""The activity calendar (class 20) as a command sets it: the passive side written whole, then made active, at once or at a
time to come; and the table of special days (class 11).

name      summer26                                       what the calendar is called
seasons   S1 04-01 W1; S2 10-01 W2                       name, month-day on which it begins, week profile
weeks     W1 1 1 1 1 1 2 2; W2 1 1 1 1 1 1 2             name, day profile of each day, Monday first
days      1 00:00=2 06:00=1 22:00=2; 2 00:00=2           number, then time=entry of the script table
script    0.0.10.0.100.255                               the script table; this one where none is given
activate  2026-10-01T00:00                               by the meter's own clock; at once where none is given
special   12-25 2; 2026-04-03 2                          month-day of every year, or a date, then its day profile; or none

All are parameters of the command. Special days hold at once and take the place of all that are there: so they come with a
calendar that is active at once, or alone, for the day profiles that are active.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

from connectors.gateway.drivers.dlms_order import DlmsOrder
from connectors.gateway.drivers.port import Found
from connectors.gateway.errors import JobError
from connectors.protocols.dlms.association import Associated
from connectors.protocols.dlms.client_apdus import Session
from connectors.protocols.dlms.cosem import obis_bytes
from connectors.protocols.dlms.objects.calendar import (
    SPECIAL_DAYS,
    Calendar,
    Calendars,
    Day,
    Season,
    SpecialDay,
    Switch,
    Week,
    activate_passive,
    read_calendars,
    read_special_days,
    schedule_activation,
    write_passive,
    write_special_days,
)
from connectors.protocols.dlms.objects.patterns import DatePattern, DateTimePattern, TimePattern

_PARTS = ("name", "seasons", "weeks", "days")
_KNOWN = frozenset((*_PARTS, "script", "activate", "special"))
_TARIFFS = "0.0.10.0.100.255"
_DAY = re.compile(r"(\d\d?)-(\d\d?)", re.ASCII)
_DATE = re.compile(r"(?:(\d{4})-)?(\d\d?)-(\d\d?)", re.ASCII)
_NONE = "none"
_SWITCH = re.compile(r"(\d\d?):(\d\d)=(\d{1,5})", re.ASCII)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a command asks for."""

    calendar: Calendar | None
    """None where only special days are set."""
    at: datetime | None
    """By the meter's clock; None is at once."""
    special: tuple[SpecialDay, ...] | None
    """None where they are left as they are."""

    @property
    def activation(self) -> DateTimePattern | None:
        """As the meter is told."""
        at = self.at
        if at is None:
            return None
        return DateTimePattern(DatePattern(at.year, at.month, at.day), TimePattern(at.hour, at.minute, 0, 0))


class SetCalendar:
    """See `dlms_commands.Command`."""

    def __init__(self, order: DlmsOrder) -> None:
        self._obis = order.template.pull.calendar
        self._order = order
        self._wanted = wanted_of(order)
        self._found: Calendars | None = None
        self._calendar_is_so = self._special_is_so = False

    def reached(self) -> bool:
        """See `dlms_commands.Command`."""
        return self._calendar_is_so and self._special_is_so

    def look(self, link: Associated) -> Session[str]:
        """See `dlms_commands.Command`."""
        wanted = self._wanted
        found = self._found = yield from read_calendars(link, self._obis)
        self._calendar_is_so = _is_so(wanted, found)
        words = f"active {_words(found.active)}, passive {_words(found.passive)}"
        if wanted.at is not None:
            words += f", to be active {found.activation or 'at no time'}"
        self._special_is_so = wanted.special is None
        if wanted.special is not None:
            days = yield from read_special_days(link, SPECIAL_DAYS)
            self._special_is_so = _dates(days) == _dates(wanted.special)
            words += f", {len(days)} special days"
        return words

    def wait(self, found: Found) -> float:  # noqa: ARG002 - the port's signature
        """See `dlms_commands.Command`: what makes no sense any more, or not here, is not sent."""
        wanted = self._wanted
        if self.reached():
            return 0.0
        now = datetime.fromtimestamp(self._order.now_ms() / 1000, self._order.zone or UTC).replace(tzinfo=None)
        if wanted.at is not None and wanted.at <= now:
            raise _no(f"activate {wanted.at.isoformat()} is over by the meter's clock: leave it out")
        active = None if self._found is None else self._found.active
        if wanted.calendar is None and wanted.special is not None and active is not None:
            _check_days(wanted.special, active)
        return 0.0

    def send(self, link: Associated) -> Session[None]:
        """See `dlms_commands.Command`."""
        wanted = self._wanted
        if wanted.calendar is not None and not self._calendar_is_so:
            yield from write_passive(link, wanted.calendar, self._obis)
            if wanted.activation is None:
                yield from activate_passive(link, self._obis)
            else:
                yield from schedule_activation(link, wanted.activation, self._obis)
        if wanted.special is not None and not self._special_is_so:
            yield from write_special_days(link, wanted.special, SPECIAL_DAYS)

    def say(self) -> str:
        """See `dlms_commands.Command`."""
        wanted, said = self._wanted, []
        if wanted.calendar is not None:
            when = "is active" if wanted.activation is None else f"is to be active {wanted.activation}"
            said.append(f"calendar {_words(wanted.calendar)} {when}")
        if wanted.special is not None:
            said.append(f"{len(wanted.special)} special days hold")
        return ", ".join(said)


def wanted_of(order: DlmsOrder) -> Wanted:
    """What a job's parameters write down. Raises `JobError` "object-invalid"."""
    given = order.job.parameters
    if unknown := sorted(set(given) - _KNOWN):
        raise _no(f"SET_CALENDAR knows no parameter {unknown[0]!r}; it knows {', '.join(sorted(_KNOWN))}")
    try:
        special = None if "special" not in given else _special(given["special"])
        at = None if "activate" not in given else _time(given["activate"])
    except ValueError as error:
        raise _no(str(error)) from None
    if special is not None and at is not None:
        raise _no(
            "special days hold at once, and the calendar that they come with does not: set them by a command of their own"
        )
    if special is not None and at is None and not set(given) - {"special"}:
        return Wanted(None, None, special)
    calendar = calendar_of(order)
    if special is not None:
        _check_days(special, calendar)
    return Wanted(calendar, at, special)


def calendar_of(order: DlmsOrder) -> Calendar:
    """The calendar that a job's parameters write down. Raises `JobError` "object-invalid"."""
    given = order.job.parameters
    script = given.get("script", _TARIFFS)
    try:
        obis_bytes(script)
        calendar = Calendar(
            _name(given.get("name", "")),
            _each(given.get("seasons", ""), _season),
            _each(given.get("weeks", ""), _week),
            _each(given.get("days", ""), lambda words: _day(words, script)),
        )
    except ValueError as error:
        raise _no(str(error)) from None
    if not (calendar.seasons and calendar.weeks and calendar.days):
        raise _no("a calendar has name, seasons, weeks and days")
    if problems := calendar.problems():
        raise _no("; ".join(problems[:5]))
    return calendar


def _special(text: str) -> tuple[SpecialDay, ...]:
    if text.strip() == _NONE:
        return ()
    found: list[SpecialDay] = []
    for words in (part.split() for part in text.split(";") if part.strip()):
        date = _DATE.fullmatch(words[0])
        if len(words) != 2 or date is None or not (words[1].isascii() and words[1].isdigit() and int(words[1]) <= 255):
            raise ValueError(f"special day {' '.join(words)!r}: a date and a day profile are expected, such as 12-25 2")
        year, month, day = (None if place is None else int(place) for place in date.groups())
        _real(year or 2024, month or 0, day or 0, words[0])  # a leap year, so that 02-29 may be every year's
        pattern = DatePattern(month=month or 0, day=day or 0) if year is None else DatePattern(year, month or 0, day or 0)
        found.append(SpecialDay(len(found) + 1, pattern, int(words[1])))
    if not found:
        raise ValueError(f"special names no day; write {_NONE} to have none")
    if len({(day.date.year, day.date.month, day.date.day) for day in found}) != len(found):
        raise ValueError("special names a date twice")
    return tuple(found)


def _real(year: int, month: int, day: int, text: str) -> None:
    try:
        datetime(year, month, day)
    except ValueError:
        raise ValueError(f"{text} is no date") from None


def _time(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is not None or found.second or found.microsecond:
        raise ValueError(f"activate {text[:40]!r}: a time by the meter's own clock is expected, such as 2026-10-01T00:00")
    return found


def _check_days(special: tuple[SpecialDay, ...], calendar: Calendar) -> None:
    if missing := sorted({day.day for day in special} - {day.id for day in calendar.days}):
        raise _no(f"special days name day profile {missing[0]}, which calendar {_words(calendar)} does not have")


def _is_so(wanted: Wanted, found: Calendars) -> bool:
    """Whether the calendar is, or will be, as it is wanted. A meter may add what is open in its activation time."""
    if wanted.calendar is None or _content(found.active) == _content(wanted.calendar):
        return True
    if wanted.at is None or found.activation is None or _content(found.passive) != _content(wanted.calendar):
        return False
    date, time, at = found.activation.date, found.activation.time, wanted.at
    return (date.year, date.month, date.day, time.hour, time.minute) == (at.year, at.month, at.day, at.hour, at.minute)


def _dates(days: tuple[SpecialDay, ...]) -> set[tuple[int, ...]]:
    return {(day.date.year, day.date.month, day.date.day, day.day) for day in days}


def _each(text: str, read: Callable[[list[str]], T]) -> tuple[T, ...]:
    return tuple(read(part.split()) for part in text.split(";") if part.strip())


def _season(words: list[str]) -> Season:
    if len(words) != 3 or (found := _DAY.fullmatch(words[1])) is None:
        raise ValueError(f"season {' '.join(words)!r}: name, month-day and week are expected, such as S1 04-01 W1")
    month, day = map(int, found.groups())
    if not (1 <= month <= 12 and 1 <= day <= 31):
        raise ValueError(f"season {' '.join(words)!r}: {words[1]} is no month-day")
    start = DateTimePattern(DatePattern(month=month, day=day), TimePattern(0, 0, 0, 0))
    return Season(_name(words[0]), start, _name(words[2]))


def _week(words: list[str]) -> Week:
    if len(words) != 8 or not all(word.isascii() and word.isdigit() and int(word) <= 255 for word in words[1:]):
        raise ValueError(f"week {' '.join(words)!r}: a name and seven day profiles are expected")
    return Week(_name(words[0]), tuple(map(int, words[1:])))


def _day(words: list[str], script: str) -> Day:
    switches = [_SWITCH.fullmatch(word) for word in words[1:]]
    if not words[0].isascii() or not words[0].isdigit() or int(words[0]) > 255 or not switches or None in switches:
        raise ValueError(f"day {' '.join(words)!r}: a number and times are expected, such as 1 00:00=2 06:00=1")
    found = []
    for switch in filter(None, switches):
        hour, minute, selector = map(int, switch.groups())
        if hour > 23 or minute > 59 or selector > 0xFFFF:
            raise ValueError(f"day {words[0]}: {switch.group()} is no time=entry")
        found.append(Switch(TimePattern(hour, minute, 0, 0), script, selector))
    return Day(int(words[0]), tuple(found))


def _name(text: str) -> bytes:
    if not text or len(text) > 32 or not text.isascii() or not text.isprintable():
        raise ValueError(f"{text[:40]!r} is no name: 1 to 32 printable ASCII characters are expected")
    return text.encode()


def _content(calendar: Calendar) -> tuple[object, ...]:
    """What must be equal; meters differ in the order, and in which open places they write."""
    days = {
        (day.id, tuple((s.start.hour, s.start.minute, s.script, s.selector) for s in day.switches)) for day in calendar.days
    }
    seasons = {(s.name, s.start.date.month, s.start.date.day, s.week) for s in calendar.seasons}
    return calendar.name, seasons, {(week.name, week.days) for week in calendar.weeks}, days


def _words(calendar: Calendar) -> str:
    name = calendar.name.decode("ascii", "backslashreplace") or "none"
    return f"{name} ({len(calendar.seasons)} seasons, {len(calendar.weeks)} weeks, {len(calendar.days)} days)"


def _no(why: str) -> JobError:
    return JobError("object-invalid", f"{why}; nothing was sent")
