"""Sums against a count by hand, and every way in which two sources can differ."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.cli import reconciling
from connectors.cli.failure import CommandError
from connectors.cli.reconcile_sources import noted, sound
from connectors.cli.reconciling import Expected, Figures, Line, Place, Profile, Received, Span, compare
from schemas.records import Channel, IntervalReadings, Network, ReadSuccess, Schedule

DAY = Span(86_400_000, 2 * 86_400_000)
SOURCE = "7/1.0.99.1.0.255/2"
LOAD = Schedule(id="load", period_s=900)
SUCCESS = ReadSuccess(segment="dc-1", network=Network.PLC_G3, period_s=900, meters=1, expected=96, arrived=96, complete=1)
WHOLE = Figures(96, 96, 12_345)

PLAIN = Channel("1.0.1.8.0.255", longs=(1, 2))


def reading(**more: Any) -> IntervalReadings:
    usual: dict[str, Any] = {
        "meter_id": "m1",
        "source": SOURCE,
        "first_end": DAY.start + 900_000,
        "period_s": 900,
        "rows": 2,
    }
    return IntervalReadings(**(usual | {"channels": (PLAIN,)} | more))


@pytest.mark.parametrize(
    ("readings", "expected"),
    [
        pytest.param([reading()], (2, 2), id="plain"),
        pytest.param([reading(), reading()], (2, 2), id="the same twice counts once"),
        pytest.param([reading(first_end=DAY.start)], (1, 1), id="what ends at midnight is of the day before"),
        pytest.param([reading(first_end=DAY.end)], (1, 1), id="and the last of a day ends at the next"),
        pytest.param([reading(channels=(Channel("a", nullable_longs=(None, 5)),))], (2, 1), id="a row without a value"),
        pytest.param([reading(channels=(Channel("a", doubles=(math.nan, 1.0)),))], (2, 1), id="no number"),
        pytest.param([reading(channels=(Channel("a", texts=("", "FF")),))], (2, 1), id="no text"),
        pytest.param([reading(channels=(PLAIN, replace(PLAIN, obis="b")))], (2, 4), id="two channels"),
        pytest.param([reading(channels=(PLAIN, replace(PLAIN, attribute=3)))], (2, 4), id="two attributes"),
        pytest.param([reading(ends=(DAY.start + 1_000, DAY.start + 7_000), period_s=0)], (2, 2), id="irregular rows"),
    ],
)  # fmt: skip
def test_each_end_and_each_point_counts_once(readings: list[IntervalReadings], expected: tuple[int, int]) -> None:
    received = Received()
    for each in readings:
        received.add(each, DAY)
    ((_, _, figures),) = received.figures([DAY])
    assert (figures.intervals, figures.points) == expected


@pytest.mark.parametrize(
    ("record", "wanted"),
    [
        pytest.param(reading(), True, id="a reading"),
        pytest.param(None, False, id="unreadable"),
        pytest.param(Schedule(id="load"), False, id="another record"),
        pytest.param(reading(rows=1 << 40), False, id="more rows than anybody has room for"),
        pytest.param(reading(ends=(1_000,)), False, id="ends that are not one a row"),
        pytest.param(reading(channels=(Channel("a", doubles=(1.0,)),)), False, id="values that are not one a row"),
    ],
)
def test_what_the_sink_refuses_is_told_and_not_counted(record: Any, wanted: bool) -> None:
    assert sound(record) is wanted


def test_a_fleet_of_many_kinds_of_channels_is_compared() -> None:
    many = tuple(replace(PLAIN, obis=str(number)) for number in range(5_000))
    received = Received()
    assert noted(received, DAY, [reading(channels=many), None, reading(channels=many[:9])]) == 1
    ((_, _, figures),) = received.figures([DAY])
    ends = (DAY.start + 900_000) // 1000, (DAY.start + 1_800_000) // 1000
    assert (figures.intervals, figures.points, figures.seconds) == (2, 10_000, 5_000 * sum(ends))


def test_more_kinds_than_can_be_told_apart_end_the_command_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconciling, "MAX_CHANNELS", 2)
    two = (PLAIN, replace(PLAIN, obis="b"))
    received = Received()
    assert noted(received, DAY, [reading(channels=two), reading(channels=two)]) == 0
    with pytest.raises(CommandError, match="more than 2 kinds of channels, the last 'c' of meter 'm1'") as error:
        noted(received, DAY, [reading(channels=(*two, replace(PLAIN, obis="c")))])
    assert "hes tail" in error.value.mend


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(-5, 110), st.integers(1, 4)), max_size=20))
def test_sums_are_those_of_the_points(parts: list[tuple[int, int, int]]) -> None:
    received, points = Received(), set()
    for channel, first, rows in parts:
        start = DAY.start + first * 900_000
        one = Channel(f"1.0.{channel}.8.0.255", longs=tuple(range(1, rows + 1)))
        received.add(reading(first_end=start, rows=rows, channels=(one,)), DAY)
        every = (start + row * 900_000 for row in range(rows))
        points |= {(channel, end // 1000) for end in every if DAY.start < end <= DAY.end}
    found = list(received.figures([DAY]))
    if not points:
        assert not found
        return
    ((profile, _, figures),) = found
    assert profile == ("m1", SOURCE)
    ends = {end for _, end in points}
    assert figures == Figures(len(ends), len(points), sum(end for _, end in points))


def lines(
    received: dict[Profile, Figures], stored: dict[Profile, Figures], success: ReadSuccess = SUCCESS, of: Schedule = LOAD
) -> dict[tuple[str, str], Line]:
    expected = [Expected(of, DAY, (success,))]
    have, kept = ({(profile, DAY): figures for profile, figures in given.items()} for given in (received, stored))
    found, _ = compare(expected, DAY, have, kept, lambda _meter: Place("dc-1", "PLC_G3"))
    return {(line.schedule, line.segment): line for line in found}


@pytest.mark.parametrize(
    ("received", "stored", "agrees"),
    [
        pytest.param(WHOLE, WHOLE, True, id="all of it"),
        pytest.param(WHOLE, replace(WHOLE, points=95), False, id="a point is not stored"),
        pytest.param(WHOLE, replace(WHOLE, seconds=1), False, id="another point is stored"),
        pytest.param(replace(WHOLE, intervals=95), WHOLE, False, id="the gap finder counts what is not on the topic"),
        pytest.param(replace(WHOLE, intervals=97), WHOLE, True, id="more than was expected"),
        pytest.param(Figures(), WHOLE, False, id="stored and not on the topic"),
        pytest.param(WHOLE, Figures(), False, id="on the topic and not stored"),
    ],
)
def test_who_does_not_agree_is_told(received: Figures, stored: Figures, agrees: bool) -> None:
    ((_, line),) = lines({("m1", SOURCE): received}, {("m1", SOURCE): stored}).items()
    assert line.agrees is agrees


def test_missing_is_no_disagreement() -> None:
    have = replace(WHOLE, intervals=90, points=90)
    line = lines({("m1", SOURCE): have}, {("m1", SOURCE): have}, replace(SUCCESS, arrived=90))["load", "dc-1"]
    assert (line.missing, line.agrees) == (6, True)


def test_reads_are_counted_without_the_topics_of_intervals() -> None:
    reads = Schedule(id="billing", period_s=0)
    line = lines({}, {}, replace(SUCCESS, period_s=0, expected=1, arrived=1), reads)["billing", "dc-1"]
    assert line.agrees


def test_a_profile_that_no_schedule_wants_has_a_line_of_its_own() -> None:
    other = replace(LOAD, objects=("7/1.0.99.2.0.255/2",))
    found = lines({("m1", SOURCE): WHOLE}, {("m1", SOURCE): WHOLE}, replace(SUCCESS, expected=0, arrived=0), other)
    assert found["", "dc-1"].points == 96
    assert found["load", "dc-1"].points == 0
