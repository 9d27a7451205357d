"""Activity calendar (class 20) and special days (class 11): which tariff or script runs when.

A calendar has an active and a passive side. Only the passive one is written; it becomes active as a whole, at once or at a
time to come.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from connectors.protocols.dlms import axdr
from connectors.protocols.dlms.association import Associated
from connectors.protocols.dlms.client_apdus import Session
from connectors.protocols.dlms.cosem import obis_bytes
from connectors.protocols.dlms.errors import DecodeError
from connectors.protocols.dlms.get import Attribute
from connectors.protocols.dlms.objects.patterns import (
    DatePattern,
    DateTimePattern,
    TimePattern,
    read_date,
    read_datetime,
    read_time,
)
from connectors.protocols.dlms.objects.reading import (
    call,
    integer,
    items,
    obis,
    octets,
    pack,
    pack_all,
    read,
    read_fields,
    structure,
    typed,
    unfit,
    written,
)
from connectors.protocols.dlms.put import put

CALENDAR, SPECIAL_DAYS = "0.0.13.0.0.255", "0.0.11.0.0.255"
_ACTIVE, _PASSIVE, _ACTIVATION = 2, 6, 10
_DAYS_OF_WEEK = 7


@dataclass(frozen=True, slots=True)
class Season:
    """From `start` on, the week profile `week` holds. Names are octets: many meters number them."""

    name: bytes
    start: DateTimePattern
    week: bytes


@dataclass(frozen=True, slots=True)
class Week:
    """The day profile of each day, Monday first."""

    name: bytes
    days: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Switch:
    """At `start` the script runs: entry `selector` of the script table `script`."""

    start: TimePattern
    script: str
    selector: int


@dataclass(frozen=True, slots=True)
class Day:
    """A day profile."""

    id: int
    switches: tuple[Switch, ...]


@dataclass(frozen=True, slots=True)
class Calendar:
    """One side of an activity calendar."""

    name: bytes
    seasons: tuple[Season, ...] = ()
    weeks: tuple[Week, ...] = ()
    days: tuple[Day, ...] = ()

    def problems(self) -> tuple[str, ...]:
        """What makes it no calendar: names and days that nothing defines or two define, weeks that are none, times that do
        not rise. Empty where it is one.
        """
        found = [
            *_twice("season", [season.name for season in self.seasons]),
            *_twice("week profile", [week.name for week in self.weeks]),
            *_twice("day profile", [day.id for day in self.days]),
        ]
        weeks, days = {week.name for week in self.weeks}, {day.id for day in self.days}
        found += [
            f"season {s.name!r} names week {s.week!r}, which is not there" for s in self.seasons if s.week not in weeks
        ]
        for week in self.weeks:
            if len(week.days) != _DAYS_OF_WEEK:
                found.append(f"week profile {week.name!r} has {len(week.days)} days")
            found += [f"week profile {week.name!r} names day {n}, which is not there" for n in set(week.days) - days]
        for day in self.days:
            starts = [(switch.start.hour, switch.start.minute, switch.start.second) for switch in day.switches]
            if starts != sorted(set(starts)):
                found.append(f"the times of day profile {day.id} do not rise")
        return tuple(found)


@dataclass(frozen=True, slots=True)
class Calendars:
    """Both sides, and when the passive one becomes active (open places: never)."""

    active: Calendar
    passive: Calendar
    activation: DateTimePattern | None


@dataclass(frozen=True, slots=True)
class SpecialDay:
    """On `date` the day profile `day` holds, whatever the season says."""

    index: int
    date: DatePattern
    day: int


def read_calendars(link: Associated, calendar: str = CALENDAR) -> Session[Calendars]:
    """Both sides of an activity calendar. A side that the meter does not tell is empty."""
    fields = yield from read_fields(link, 20, calendar, range(2, 11))
    sides = []
    for first in (_ACTIVE, _PASSIVE):
        names = [fields.name(first + n) for n in range(4)]
        sides.append(
            Calendar(
                fields.octets(first) or b"",
                tuple(_season(row, names[1]) for row in fields.items(first + 1)),
                tuple(_week(row, names[2]) for row in fields.items(first + 2)),
                tuple(_day(row, names[3]) for row in fields.items(first + 3)),
            )
        )
    at = fields.octets(_ACTIVATION)
    return Calendars(sides[0], sides[1], read_datetime(at, fields.name(_ACTIVATION)) if at else None)


def write_passive(link: Associated, calendar: Calendar, obis: str = CALENDAR) -> Session[None]:
    """Write the passive side, its name last: a meter with the new name has the whole of it. DecodeError "object-value" where
    it is no calendar, before anything is sent.
    """
    if problems := calendar.problems():
        raise unfit(f"20/{obis}", "; ".join(problems[:5]) + ": nothing was written")
    parts = {
        9: pack_all([_pack_day(day) for day in calendar.days]),
        8: pack_all([_pack_week(week) for week in calendar.weeks]),
        7: pack_all([_pack_season(season) for season in calendar.seasons]),
        6: typed(axdr.OCTET_STRING, calendar.name),
    }
    values = {n: written(value, f"20/{obis}/{n}") for n, value in parts.items()}
    for attribute, value in values.items():
        yield from put(link, Attribute(20, obis, attribute), value)


def schedule_activation(link: Associated, at: DateTimePattern, calendar: str = CALENDAR) -> Session[None]:
    """When the passive side becomes active; `patterns.NEVER` takes a date back."""
    attribute = Attribute(20, calendar, _ACTIVATION)
    yield from put(link, attribute, written(typed(axdr.OCTET_STRING, at.encode()), str(attribute)))


def activate_passive(link: Associated, calendar: str = CALENDAR) -> Session[None]:
    """Make the passive side active now."""
    yield from call(link, 20, calendar, 1)


def read_special_days(link: Associated, table: str = SPECIAL_DAYS) -> Session[tuple[SpecialDay, ...]]:
    """The table as the meter has it."""
    attribute = Attribute(11, table, 2)
    subject = str(attribute)
    found = []
    for row in items((yield from read(link, attribute)), subject):
        index, date, day = structure(row, 3, subject)[:3]
        found.append(SpecialDay(integer(index, subject), read_date(octets(date, subject), subject), integer(day, subject)))
    return tuple(found)


def write_special_days(link: Associated, days: Sequence[SpecialDay], table: str = SPECIAL_DAYS) -> Session[None]:
    """Write the whole table in place of what is there."""
    attribute = Attribute(11, table, 2)
    if problems := list(_twice("index", [day.index for day in days])):
        raise unfit(str(attribute), "; ".join(problems))
    yield from put(link, attribute, written(pack_all([_pack_special(day) for day in days]), str(attribute)))


def insert_special_day(link: Associated, day: SpecialDay, table: str = SPECIAL_DAYS) -> Session[None]:
    """Add one, or replace the one of its index."""
    yield from call(link, 11, table, 1, written(_pack_special(day), f"11/{table}/1"))


def delete_special_day(link: Associated, index: int, table: str = SPECIAL_DAYS) -> Session[None]:
    """Take one out."""
    yield from call(link, 11, table, 2, written(typed(axdr.UINT16, index), f"11/{table}/2"))


def _twice(what: str, names: Iterable[object]) -> Iterable[str]:
    seen: set[object] = set()
    for name in names:
        if name in seen:
            yield f"{what} {name!r} is there twice"
        seen.add(name)


def _season(row: axdr.Value, subject: str) -> Season:
    name, start, week = structure(row, 3, subject)[:3]
    return Season(octets(name, subject), read_datetime(octets(start, subject), subject), octets(week, subject))


def _week(row: axdr.Value, subject: str) -> Week:
    name, *days = structure(row, 1 + _DAYS_OF_WEEK, subject)[: 1 + _DAYS_OF_WEEK]
    return Week(octets(name, subject), tuple(integer(day, subject) for day in days))


def _day(row: axdr.Value, subject: str) -> Day:
    number, switches = structure(row, 2, subject)[:2]
    found = []
    for switch in items(switches, subject):
        start, script, selector = structure(switch, 3, subject)[:3]
        time = read_time(octets(start, subject), subject)
        found.append(Switch(time, obis(script, subject), integer(selector, subject)))
    return Day(integer(number, subject), tuple(found))


def _pack_season(season: Season) -> axdr.Tagged:
    return pack(*(typed(axdr.OCTET_STRING, part) for part in (season.name, season.start.encode(), season.week)))


def _pack_week(week: Week) -> axdr.Tagged:
    return pack(typed(axdr.OCTET_STRING, week.name), *(typed(axdr.UINT8, day) for day in week.days))


def _pack_day(day: Day) -> axdr.Tagged:
    switches = [
        pack(
            typed(axdr.OCTET_STRING, switch.start.encode()),
            typed(axdr.OCTET_STRING, _name(switch.script)),
            typed(axdr.UINT16, switch.selector),
        )
        for switch in day.switches
    ]
    return pack(typed(axdr.UINT8, day.id), pack_all(switches))


def _pack_special(day: SpecialDay) -> axdr.Tagged:
    return pack(typed(axdr.UINT16, day.index), typed(axdr.OCTET_STRING, day.date.encode()), typed(axdr.UINT8, day.day))


def _name(text: str) -> bytes:
    try:
        return obis_bytes(text)
    except ValueError as error:
        raise DecodeError("object-value", f"script table: {error}") from None
