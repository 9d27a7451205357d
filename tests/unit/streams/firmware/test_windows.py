"""Windows of local time, on ordinary days and when clocks are changed."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from streams.firmware.windows import Windows
from streams.runtime.authority.terms import terms_of


def windows(zone: str, text: str) -> Windows:
    return Windows(zone, terms_of({"image": "0" * 64, "version": "1", "windows": text}).windows)


def ms(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


CASES = {
    "before it opens": ("Europe/Madrid", "00:00-04:00", "2026-07-01T12:00", "2026-07-01T22:00", "2026-07-02T02:00"),
    "while it is open": ("Europe/Madrid", "00:00-04:00", "2026-07-02T01:00", "2026-07-01T22:00", "2026-07-02T02:00"),
    "as it closes": ("Europe/Madrid", "00:00-04:00", "2026-07-02T02:00", "2026-07-02T22:00", "2026-07-03T02:00"),
    "over midnight": ("America/Chicago", "22:00-04:00", "2026-07-02T05:00", "2026-07-02T03:00", "2026-07-02T09:00"),
    "the second of two": ("UTC", "00:00-04:00,12:00-13:00", "2026-07-02T05:00", "2026-07-02T12:00", "2026-07-02T13:00"),
    "a whole day": ("UTC", "00:00-24:00", "2026-07-02T05:00", "2026-07-02T00:00", "2026-07-03T00:00"),
    "spring: an hour is left out": (
        "Europe/Madrid",
        "00:00-04:00",
        "2026-03-28T23:30",
        "2026-03-28T23:00",
        "2026-03-29T02:00",
    ),
    "autumn: an hour comes twice": (
        "Europe/Madrid",
        "00:00-04:00",
        "2026-10-24T22:30",
        "2026-10-24T22:00",
        "2026-10-25T03:00",
    ),
    "opens in what is left out": (
        "Europe/Madrid",
        "02:30-05:00",
        "2026-03-29T00:30",
        "2026-03-29T01:00",
        "2026-03-29T03:00",
    ),
    "closes in what is left out": (
        "Europe/Madrid",
        "01:00-02:30",
        "2026-03-29T00:30",
        "2026-03-29T00:00",
        "2026-03-29T01:00",
    ),
    "closes in what comes twice": (
        "Europe/Madrid",
        "01:00-02:30",
        "2026-10-24T23:30",
        "2026-10-24T23:00",
        "2026-10-25T00:30",
    ),
    "nothing of it is left": ("Europe/Madrid", "02:00-03:00", "2026-03-29T00:00", "2026-03-30T00:00", "2026-03-30T01:00"),
    "half an hour's change": (
        "Australia/Lord_Howe",
        "01:00-03:00",
        "2026-10-03T14:00",
        "2026-10-03T14:30",
        "2026-10-03T16:00",
    ),
    "no zone": ("", "00:00-04:00", "2026-07-02T05:00", "2026-07-03T00:00", "2026-07-03T04:00"),
    "an unknown zone": ("Mars/Olympus", "00:00-04:00", "2026-07-02T05:00", "2026-07-03T00:00", "2026-07-03T04:00"),
}


@pytest.mark.parametrize(("zone", "text", "now", "opens", "closes"), CASES.values(), ids=CASES)
def test_a_window_opens_and_closes_by_the_clock_on_the_wall(zone: str, text: str, now: str, opens: str, closes: str) -> None:
    span = windows(zone, text).at(ms(now))
    assert (span.start, span.end) == (ms(opens), ms(closes))


@pytest.mark.parametrize("zone", ["Europe/Madrid", "America/Chicago", "Australia/Lord_Howe", "Asia/Kolkata"])
def test_a_year_of_windows_touches_no_two(zone: str) -> None:
    found, at = windows(zone, "00:00-04:00,22:30-23:30"), ms("2026-01-01T00:00")
    for _ in range(700):
        span = found.at(at)
        assert span.end > at
        assert span.start >= at or at == ms("2026-01-01T00:00")
        assert span.end - span.start <= 5 * 3_600_000
        at = span.end
