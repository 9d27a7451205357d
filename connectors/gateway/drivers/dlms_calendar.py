"""The activity calendar (class 20) as a command sets it: the passive side written whole, then made active at once.

name     summer26                                        what the calendar is called
seasons  S1 04-01 W1; S2 10-01 W2                        name, month-day on which it begins, week profile
weeks    W1 1 1 1 1 1 2 2; W2 1 1 1 1 1 1 2              name, day profile of each day, Monday first
days     1 00:00=2 06:00=1 22:00=2; 2 00:00=2            number, then time=entry of the script table
script   0.0.10.0.100.255                                the script table; this one where none is given

All are parameters of the command.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeVar

from connectors.gateway.drivers.dlms_order import DlmsOrder
from connectors.gateway.drivers.port import Found
from connectors.gateway.errors import JobError
from connectors.protocols.dlms.association import Associated
from connectors.protocols.dlms.client_apdus import Session
from connectors.protocols.dlms.cosem import obis_bytes
from connectors.protocols.dlms.objects.calendar import (
    Calendar,
    Day,
    Season,
    Switch,
    Week,
    activate_passive,
    read_calendars,
    write_passive,
)
from connectors.protocols.dlms.objects.patterns import DatePattern, DateTimePattern, TimePattern

_KNOWN = frozenset(("name", "seasons", "weeks", "days", "script"))
_TARIFFS = "0.0.10.0.100.255"
_DAY = re.compile(r"(\d\d?)-(\d\d?)", re.ASCII)
_SWITCH = re.compile(r"(\d\d?):(\d\d)=(\d{1,5})", re.ASCII)
T = TypeVar("T")


class SetCalendar:
    """See `dlms_commands.Command`."""

    def __init__(self, order: DlmsOrder) -> None:
        self._obis = order.template.pull.calendar
        self._wanted = calendar_of(order)
        self._reached = False

    def reached(self) -> bool:
        """See `dlms_commands.Command`."""
        return self._reached

    def look(self, link: Associated) -> Session[str]:
        """See `dlms_commands.Command`."""
        found = yield from read_calendars(link, self._obis)
        self._reached = _content(found.active) == _content(self._wanted)
        active, passive = (_words(side) for side in (found.active, found.passive))
        return f"active {active}, passive {passive}"

    def wait(self, found: Found) -> float:  # noqa: ARG002 - the port's signature
        """See `dlms_commands.Command`."""
        return 0.0

    def send(self, link: Associated) -> Session[None]:
        """See `dlms_commands.Command`."""
        yield from write_passive(link, self._wanted, self._obis)
        yield from activate_passive(link, self._obis)

    def say(self) -> str:
        """See `dlms_commands.Command`."""
        return f"calendar {_words(self._wanted)} is active"


def calendar_of(order: DlmsOrder) -> Calendar:
    """The calendar that a job's parameters write down. Raises `JobError` "object-invalid"."""
    given = order.job.parameters
    if unknown := sorted(set(given) - _KNOWN):
        raise _no(f"SET_CALENDAR knows no parameter {unknown[0]!r}; it knows {', '.join(sorted(_KNOWN))}")
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
