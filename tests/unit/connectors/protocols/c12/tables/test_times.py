"""Times of tables, and the clock that they are readings of."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from connectors.protocols.c12.errors import DecodeError
from connectors.protocols.c12.tables.clock import Clock, Keeps, MeterZone, YearlyDay, clock_of
from connectors.protocols.c12.tables.times import TimeFormat, TimeKind, read_time, table_time, time_size
from tests.unit.connectors.protocols.c12.tables.meters import Order, ltime, model, table0

L, S, T, D = TimeKind.LTIME, TimeKind.STIME, TimeKind.TIME, TimeKind.DATE
BCD, U8, MINUTES, SECONDS, NONE = (
    TimeFormat.BCD,
    TimeFormat.UINT8,
    TimeFormat.MINUTES,
    TimeFormat.SECONDS,
    TimeFormat.NO_CLOCK,
)

TIMES: list[tuple[TimeKind, TimeFormat, Order, str, str]] = [
    (L, BCD, "little", "241111235958", "2024-11-11 23:59:58"),
    (L, U8, "big", "180b0b173b3a", "2024-11-11 23:59:58"),
    (L, MINUTES, "little", "80e7b9011e", "2025-01-23 13:20:30"),
    (L, SECONDS, "big", "6732997e", "2024-11-11 23:55:42"),
    (S, BCD, "little", "9912312359", "1999-12-31 23:59:00"),
    (S, U8, "little", "590c1f173b", "2089-12-31 23:59:00"),
    (S, MINUTES, "big", "01b9e780", "2025-01-23 13:20:00"),
    (S, SECONDS, "little", "7e993267", "2024-11-11 23:55:42"),
    (T, BCD, "big", "235958", "23:59:58"),
    (T, U8, "big", "173b3a", "23:59:58"),
    (T, MINUTES, "big", "0001517e", "23:59:58"),
    (D, U8, "little", "985d", "2024-11-11"),
    (D, BCD, "big", "5d98", "2024-11-11"),
]


@pytest.mark.parametrize(("kind", "form", "order", "octets", "text"), TIMES)
def test_known_times_both_ways(kind: TimeKind, form: TimeFormat, order: Order, octets: str, text: str) -> None:
    data = bytes.fromhex(octets)
    assert len(data) == time_size(kind, form)
    time = read_time(data, kind, form, order)
    assert str(time) == text
    assert time.seconds is not None
    assert table_time(time.seconds, kind, form, order) == time


@pytest.mark.parametrize(
    ("kind", "form", "octets"),
    [
        (L, BCD, "000000000000"), (L, BCD, "2413112359AA"), (L, U8, "ffffffffffff"), (L, U8, "180d0b000000"),
        (L, U8, "640101000000"),
        (L, MINUTES, "0000000000"), (L, MINUTES, "80e7b9013c"), (S, SECONDS, "00000000"), (S, SECONDS, "ffffffff"),
        (S, MINUTES, "ffffff7f"),
        (T, U8, "180000"), (T, SECONDS, "80510100"), (D, U8, "0000"), (L, NONE, ""), (T, BCD, "999999"),
    ],
)  # fmt: skip
def test_octets_that_are_no_time_are_kept(kind: TimeKind, form: TimeFormat, octets: str) -> None:
    time = read_time(bytes.fromhex(octets), kind, form, "little")
    assert time.seconds is None
    assert time.octets.hex() == octets.lower()
    assert str(time).startswith("none")


@pytest.mark.parametrize(
    ("seconds", "kind", "form"),
    [
        (86_400, T, U8),
        (-1, T, SECONDS),
        (-1, L, SECONDS),
        (1 << 40, S, MINUTES),
        (0, L, U8),
        (4_000_000_000, S, BCD),
        (10**30, D, U8),
    ],
)
def test_times_that_a_format_cannot_hold(seconds: int, kind: TimeKind, form: TimeFormat) -> None:
    with pytest.raises(DecodeError) as error:
        table_time(seconds, kind, form, "little")
    assert error.value.code == "table-value"


NEW_YORK = ZoneInfo("America/New_York")


def seconds(*fields: int) -> int:
    return int(datetime(*fields, tzinfo=UTC).timestamp())  # type: ignore[misc, arg-type]  # the fields of a date and time


@pytest.mark.parametrize(
    ("keeps", "shown", "daylight", "utc"),
    [
        (Keeps.UTC, (2024, 7, 1, 12), None, (2024, 7, 1, 12)),
        (Keeps.LOCAL, (2024, 7, 1, 12), None, (2024, 7, 1, 16)),
        (Keeps.LOCAL, (2024, 1, 1, 12), None, (2024, 1, 1, 17)),
        (Keeps.STANDARD, (2024, 7, 1, 12), None, (2024, 7, 1, 17)),
        (Keeps.LOCAL, (2024, 11, 3, 1, 30), True, (2024, 11, 3, 5, 30)),
        (Keeps.LOCAL, (2024, 11, 3, 1, 30), False, (2024, 11, 3, 6, 30)),
        (Keeps.LOCAL, (2024, 11, 3, 1, 30), None, (2024, 11, 3, 5, 30)),
    ],
)
def test_what_a_clock_shows(keeps: Keeps, shown: tuple[int, ...], daylight: bool | None, utc: tuple[int, ...]) -> None:
    clock = Clock(NEW_YORK, keeps)
    assert clock.to_utc(seconds(*shown), daylight=daylight) == seconds(*utc)
    assert clock.from_utc(seconds(*utc)) == seconds(*shown)


def test_the_meters_own_zone_is_new_yorks() -> None:
    """Second Sunday of March to first Sunday of November at 2:00, as North American meters are set, for three years."""
    zone = MeterZone(timedelta(hours=-5), timedelta(hours=1), 7200, YearlyDay(3, 1, 0, 8), YearlyDay(11, 1, 0, 1))
    at = datetime(2024, 1, 1, tzinfo=UTC)
    while at.year < 2027:
        ours, theirs = at.astimezone(zone), at.astimezone(NEW_YORK)
        assert (ours.replace(tzinfo=None), ours.fold) == (theirs.replace(tzinfo=None), theirs.fold)
        assert ours.astimezone(UTC) == at
        at += timedelta(minutes=30 if at.month in (3, 11) else 1440)


def test_a_zone_south_of_the_equator() -> None:
    zone = MeterZone(timedelta(hours=-3), timedelta(hours=1), 0, YearlyDay(10, 3, 0, 1), YearlyDay(2, 3, 0, 1))
    assert datetime(2025, 1, 1, 12, tzinfo=UTC).astimezone(zone).utcoffset() == timedelta(hours=-2)
    assert datetime(2025, 6, 1, 12, tzinfo=UTC).astimezone(zone).utcoffset() == timedelta(hours=-3)
    assert zone.tzname(datetime(2025, 6, 1)) == "UTC-03:00"


@pytest.mark.parametrize(
    ("day", "date"),
    [
        (YearlyDay(3, 0, 0, 15), "2025-03-15"), (YearlyDay(3, 1, 0, 9), "2025-03-09"),
        (YearlyDay(3, 1, 0, 10), "2025-03-16"),
        (YearlyDay(3, 2, 1, 1), "2025-03-10"), (YearlyDay(10, 5, 0, 1), "2025-10-26"), (YearlyDay(2, 5, 5, 1), "2025-02-28"),
    ],
)  # fmt: skip
def test_days_of_a_year(day: YearlyDay, date: str) -> None:
    assert day.in_year(2025).date().isoformat() == date


GMT, ZONE, DST = 0x10, 0x20, 0x40


def timed(qualifier: int, **tables: bytes):  # type: ignore[no-untyped-def]  # a model
    return model(table0(), t52=ltime(1_731_283_200, 2) + bytes((qualifier,)), **tables)


@pytest.mark.parametrize(
    ("qualifier", "keeps"), [(GMT, Keeps.UTC), (0, Keeps.UTC), (ZONE, Keeps.STANDARD), (ZONE | DST, Keeps.LOCAL)]
)
def test_the_clock_says_what_it_keeps(qualifier: int, keeps: Keeps) -> None:
    assert clock_of(timed(qualifier), NEW_YORK).keeps is keeps


@pytest.mark.parametrize(("tm", "keeps"), [(2, Keeps.LOCAL), (3, Keeps.UTC), (4, Keeps.UTC)])
def test_a_clock_of_which_nothing_was_read(tm: int, keeps: Keeps) -> None:
    assert clock_of(model(table0(tm=tm)), NEW_YORK).keeps is keeps


T51 = bytes((0, 0x10, 0x01, 0, 2, 0, 0, 0, 0))
T53 = bytes((2, 0, 0, 60)) + (-300).to_bytes(2, "little", signed=True)


def rdate(month: int, offset: int, weekday: int, day: int) -> bytes:
    return (month | offset << 4 | weekday << 8 | day << 11).to_bytes(2, "little")


T54 = rdate(3, 1, 0, 8) + b"\x01" + rdate(11, 1, 0, 1) + b"\x02" + bytes((0, 0, 0))


def test_the_meters_tables_make_its_zone() -> None:
    clock = clock_of(timed(ZONE | DST, t51=T51, t53=T53, t54=T54))
    assert clock.to_utc(seconds(2024, 7, 1, 12)) == seconds(2024, 7, 1, 16)
    assert clock.to_utc(seconds(2024, 12, 1, 12)) == seconds(2024, 12, 1, 17)
    standard = clock_of(timed(ZONE, t51=T51, t53=T53))
    assert standard.to_utc(seconds(2024, 7, 1, 12)) == seconds(2024, 7, 1, 17)


@pytest.mark.parametrize(
    "tables",
    [
        {}, {"t51": T51, "t53": T53}, {"t51": bytes(9), "t53": T53[:4]},
        {"t51": T51, "t53": T53, "t54": rdate(3, 1, 0, 8) + b"\x01" + rdate(3, 1, 0, 8) + b"\x01" + bytes(3)},
        {"t51": T51, "t53": T53, "t54": rdate(3, 9, 0, 8) + b"\x01" + rdate(11, 1, 0, 1) + b"\x02" + bytes(3)},
    ],
    ids=["no offset", "no calendar", "no offset in table 53", "two beginnings", "a rule of another kind"],
)  # fmt: skip
def test_a_local_clock_in_a_zone_that_nobody_knows(tables: dict[str, bytes]) -> None:
    with pytest.raises(DecodeError) as error:
        clock_of(timed(ZONE | DST, **tables))
    assert error.value.code == "profile-clock"
