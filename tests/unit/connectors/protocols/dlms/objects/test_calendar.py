"""Activity calendars and special days, written to and read from gurux' server."""

from __future__ import annotations

from dataclasses import replace

import pytest
from gurux_dlms.objects import GXDLMSSpecialDaysTable

from connectors.protocols.dlms.association import PROPOSED, Associated
from connectors.protocols.dlms.errors import DecodeError
from connectors.protocols.dlms.objects import calendar as calendars
from connectors.protocols.dlms.objects.calendar import (
    Day,
    Season,
    SpecialDay,
    Switch,
    Week,
    activate_passive,
    delete_special_day,
    insert_special_day,
    read_calendars,
    read_special_days,
    schedule_activation,
    write_passive,
    write_special_days,
)
from connectors.protocols.dlms.objects.patterns import DatePattern, DateTimePattern, TimePattern
from tests.unit.connectors.protocols.dlms.gurux_meter import drive
from tests.unit.connectors.protocols.dlms.objects.gurux_objects import Calendar, ObjectMeter

SCRIPT = "0.0.10.0.100.255"
TARIFF = calendars.Calendar(
    b"T2",
    (
        Season(b"W", DateTimePattern(DatePattern(month=10, day=1), TimePattern(0, 0, 0, 0)), b"1"),
        Season(b"S", DateTimePattern(DatePattern(month=4, day=1), TimePattern(0, 0, 0, 0)), b"2"),
    ),
    (Week(b"1", (1, 1, 1, 1, 1, 2, 2)), Week(b"2", (2,) * 7)),
    (
        Day(1, (Switch(TimePattern(6, 0, 0, 0), SCRIPT, 1), Switch(TimePattern(22, 0, 0, 0), SCRIPT, 2))),
        Day(2, (Switch(TimePattern(0, 0, 0, 0), SCRIPT, 2),)),
    ),
)


def same(side: calendars.Calendar) -> object:
    """All but what the port adds of its own to a date-time (deviation, status)."""
    seasons = [(season.name, season.start.date.month, season.start.date.day, season.week) for season in side.seasons]
    return side.name, seasons, side.weeks, side.days


def test_written_read_and_activated() -> None:
    peer = ObjectMeter([Calendar("0.0.13.0.0.255")])
    link = peer.link()
    drive(write_passive(link, TARIFF), peer.exchange)
    assert [request[11] for request in peer.requests if request[0] == 0xC1] == [9, 8, 7, 6]
    found = drive(read_calendars(link), peer.exchange)
    assert same(found.passive) == same(TARIFF)
    assert found.active == calendars.Calendar(b"")
    drive(activate_passive(link), peer.exchange)
    assert same(drive(read_calendars(link), peer.exchange).active) == same(TARIFF)


def test_in_blocks() -> None:
    peer = ObjectMeter([Calendar("0.0.13.0.0.255")])
    drive(write_passive(peer.link(), TARIFF), peer.exchange)
    assert same(drive(read_calendars(peer.link(80)), peer.exchange).passive) == same(TARIFF)


def test_scheduled() -> None:
    asked: list[str] = []

    def exchange(apdu: bytes) -> bytes:
        asked.append(apdu.hex(" ").upper())
        return bytes.fromhex("C5 01 C1 00")

    at = DateTimePattern(DatePattern(2027, 1, 1), TimePattern(0, 0, 0, 0))
    drive(schedule_activation(Associated(PROPOSED, 0), at), exchange)
    assert asked == ["C1 01 C1 00 14 00 00 0D 00 00 FF 0A 00 09 0C 07 EB 01 01 FF 00 00 00 00 80 00 FF"]


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        pytest.param(replace(TARIFF, weeks=TARIFF.weeks[:1]), "season b'S' names week b'2'", id="no-such-week"),
        pytest.param(replace(TARIFF, days=TARIFF.days[:1]), "names day 2", id="no-such-day"),
        pytest.param(replace(TARIFF, weeks=(*TARIFF.weeks, TARIFF.weeks[0])), "is there twice", id="week-twice"),
        pytest.param(replace(TARIFF, weeks=(Week(b"1", (1,)), TARIFF.weeks[1])), "has 1 days", id="short-week"),
        pytest.param(
            replace(TARIFF, days=(Day(1, TARIFF.days[0].switches[::-1]), TARIFF.days[1])), "do not rise", id="times-fall"
        ),
        pytest.param(
            replace(TARIFF, days=(Day(300, ()), *TARIFF.days)), "too large for its type", id="a-day-that-fits-no-octet"
        ),
        pytest.param(
            replace(TARIFF, days=(Day(1, (Switch(TimePattern(), "1.2", 1),)), TARIFF.days[1])), "no OBIS", id="no-script"
        ),
    ],
)
def test_what_is_no_calendar_is_not_sent(wrong: calendars.Calendar, says: str) -> None:
    peer = ObjectMeter([Calendar("0.0.13.0.0.255")])
    link = peer.link()
    with pytest.raises(DecodeError, match=says) as raised:
        drive(write_passive(link, wrong), peer.exchange)
    assert raised.value.code == "object-value"
    assert [request[0] for request in peer.requests] == [0x60]


DAYS = (SpecialDay(1, DatePattern(2027, 5, 17), 2), SpecialDay(2, DatePattern(month=12, day=25), 2))


def test_special_days() -> None:
    peer = ObjectMeter([GXDLMSSpecialDaysTable("0.0.11.0.0.255")])
    link = peer.link()
    drive(write_special_days(link, DAYS), peer.exchange)
    found = drive(read_special_days(link), peer.exchange)
    assert [(day.index, day.date.year, day.date.month, day.date.day, day.day) for day in found] == [
        (1, 2027, 5, 17, 2),
        (2, 0xFFFF, 12, 25, 2),
    ]
    with pytest.raises(DecodeError, match="index 1 is there twice"):
        drive(write_special_days(link, DAYS[:1] * 2), peer.exchange)


def test_single_special_days() -> None:
    asked: list[str] = []

    def exchange(apdu: bytes) -> bytes:
        asked.append(apdu.hex(" ").upper())
        return bytes((0xC7, 1, apdu[2], 0, 0))

    link = Associated(PROPOSED, 0)
    drive(insert_special_day(link, DAYS[1]), exchange)
    drive(delete_special_day(link, 2), exchange)
    assert asked == [
        "C3 01 C1 00 0B 00 00 0B 00 00 FF 01 01 02 03 12 00 02 09 05 FF FF 0C 19 FF 11 02",
        "C3 01 C2 00 0B 00 00 0B 00 00 FF 02 01 12 00 02",
    ]
