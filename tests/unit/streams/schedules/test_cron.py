from __future__ import annotations

from datetime import UTC, datetime
from itertools import islice, pairwise, takewhile
from zoneinfo import ZoneInfo

import pytest

from streams.schedules.cron import cron_problem, due_after, due_before, local_day

VIENNA = "Europe/Vienna"


def ms(text: str, zone: str = "UTC", fold: int = 0) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold).timestamp()) * 1_000


def texts(times: list[int]) -> list[str]:
    return [datetime.fromtimestamp(at / 1_000, UTC).strftime("%d %H:%M") for at in times]


@pytest.mark.parametrize(
    ("expression", "zone", "after", "expected"),
    [
        pytest.param("0 */4 * * *", "UTC", "2026-11-22T23:00", ["23 00:00", "23 04:00", "23 08:00"], id="every four hours"),
        pytest.param("0 0 * * *", VIENNA, "2026-07-01T00:00", ["01 22:00", "02 22:00"], id="local midnight"),
        pytest.param("0 0 1 * *", "Asia/Kolkata", "2026-11-02T00:00", ["30 18:30", "31 18:30"], id="half an hour off"),
        # 2026-03-29: 02:00 becomes 03:00 in Vienna, at 01:00 UTC.
        pytest.param(
            "30 2 * * *", VIENNA, "2026-03-28T12:00", ["29 01:00", "30 00:30"], id="its time is skipped: right after"
        ),
        pytest.param("0 2,3 * * *", VIENNA, "2026-03-28T12:00", ["29 01:00", "30 00:00"], id="skipped onto the next: once"),
        pytest.param(
            "*/30 * * * *", VIENNA, "2026-03-29T00:15", ["29 00:30", "29 01:00", "29 01:30"], id="no pause, spring"
        ),
        pytest.param("0 */4 * * *", VIENNA, "2026-03-28T20:00", ["28 23:00", "29 02:00", "29 06:00"], id="a window of 3 h"),
        # 2026-10-25: 03:00 becomes 02:00, at 01:00 UTC.
        pytest.param(
            "30 2 * * *", VIENNA, "2026-10-24T12:00", ["25 00:30", "26 01:30"], id="its time comes twice: the first"
        ),
        pytest.param("30 2 * * *", VIENNA, "2026-10-25T00:40", ["26 01:30"], id="asked between the two: not again"),
        pytest.param(
            "*/30 * * * *", VIENNA, "2026-10-25T00:15", ["25 00:30", "25 01:00", "25 01:30"], id="no pause, autumn"
        ),
        pytest.param("0 */4 * * *", VIENNA, "2026-10-24T21:00", ["24 22:00", "25 03:00", "25 07:00"], id="a window of 5 h"),
        # Lord Howe moves by half an hour.
        pytest.param(
            "15 2 * * *", "Australia/Lord_Howe", "2026-10-03T00:00", ["03 15:30", "04 15:15"], id="half an hour skipped"
        ),
    ],
)
def test_when_it_is_due(expression: str, zone: str, after: str, expected: list[str]) -> None:
    assert texts(list(islice(due_after(expression, zone, ms(after)), len(expected)))) == expected


@pytest.mark.parametrize(
    ("zone", "around"),
    [
        (VIENNA, "2026-03-29"),
        (VIENNA, "2026-10-25"),
        ("America/New_York", "2026-11-01"),
        ("Australia/Lord_Howe", "2026-04-05"),
        ("Australia/Lord_Howe", "2026-10-04"),
    ],
)
@pytest.mark.parametrize("expression", ["*/15 * * * *", "0 */4 * * *", "30 2 * * *", "5 1,2,3 * * *"])
def test_times_rise_and_a_start_at_any_of_them_goes_on_behind_it(expression: str, zone: str, around: str) -> None:
    """However often a service is started around a change of the clock, it sees the same times."""
    start, end = ms(around) - 2 * 86_400_000, ms(around) + 2 * 86_400_000
    times = list(takewhile(lambda at: at < end, due_after(expression, zone, start)))
    assert times == sorted(set(times))
    for at, following in pairwise(times):
        if abs(at - ms(around)) < 86_400_000:
            assert next(due_after(expression, zone, at)) == following
            assert next(due_after(expression, zone, following - 1)) == following
    assert due_before(expression, zone, times[-1]) == times[-2]


@pytest.mark.parametrize(
    ("zone", "day", "quarters"),
    [
        pytest.param(VIENNA, "2026-03-29", 92, id="23 hours"),
        pytest.param(VIENNA, "2026-10-25", 100, id="25 hours"),
        pytest.param(VIENNA, "2026-06-01", 96, id="24 hours"),
        pytest.param("Australia/Lord_Howe", "2026-04-05", 98, id="24.5 hours"),
    ],
)
def test_a_day_has_as_many_quarters_as_it_has(zone: str, day: str, quarters: int) -> None:
    midnight = ms(day, zone) - 1
    ends = [
        at
        for at in islice(due_after("*/15 * * * *", zone, midnight), 120)
        if local_day(zone, at) == local_day(zone, midnight + 1)
    ]
    assert len(ends) == quarters


@pytest.mark.parametrize(
    ("expression", "zone", "told"),
    [
        ("0 4 * * *", VIENNA, ""),
        ("0 4 * * *", "", ""),
        ("0 4 * * *", "Mars/Olympus", "no IANA time zone"),
        ("0 4 * * *", "../etc/passwd", "no IANA time zone"),
        ("0 4 * *", "UTC", "minute, hour"),
        ("0 0 4 * * *", "UTC", "minute, hour"),
        ("61 4 * * *", "UTC", "bad minute"),
        ("0 4 31 2 *", "UTC", "bad day-of-month"),
        ("0 4 * * MON#9", "UTC", "bad day-of-week"),
        ("," * 500 + " 4 * * *", "UTC", "no cron expression"),
    ],
)
def test_what_is_no_expression(expression: str, zone: str, told: str) -> None:
    problem = cron_problem(expression, zone)
    assert told in problem
    assert bool(told) == bool(problem)


def test_never_before() -> None:
    assert due_before("0 0 29 2 *", "UTC", ms("2026-01-01")) == ms("2024-02-29")
