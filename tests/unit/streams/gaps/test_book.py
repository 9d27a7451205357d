"""What is missing, what is asked for again, and when it is given up."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from schemas.records import CommandAck, CommandState, GapWatch, IntervalReadings, MeterGaps, Operation, Tick
from streams.gaps.book import TABLE, Ask, Book, Event, Findings, GivenUp, State, state_of
from streams.gaps.expect import Expectation
from streams.gaps.ranges import ranges_of
from streams.runtime.settings import Gaps
from streams.schedules.jobs import job_id
from tests.unit.streams.schedules.world import ms, schedule

HOUR, QUARTER, DAY = 3_600_000, 900_000, 86_400_000
MIDNIGHT = ms("2026-06-01T00:00", "UTC")
SETTINGS = Gaps(days=4, asks=2, grace_s=0.0)


def tick(at: int, **more: Any) -> Tick:
    made = schedule("p", time_zone="UTC", active_from=MIDNIGHT, **more)
    return Tick(f"t{at}", made, at, at - 4 * HOUR, opens_at=at, closes_at=at + 3 * HOUR)


def book(*ticks: Tick, meters: tuple[str, ...] = ("m1",), settings: Gaps = SETTINGS, now: int = MIDNIGHT) -> Book:
    expectation = Expectation(ticks[0].schedule)
    for each in ticks:
        expectation.add(each)
    made = Book(3, {"p": expectation}, settings)
    made.members("p", meters, ticks[0].since, now)
    return made


def readings(first: int, rows: int, meter_id: str = "m1", **more: Any) -> IntervalReadings:
    return IntervalReadings(meter_id=meter_id, source="7/1.0.99.1.0.255/2", first_end=first, period_s=900, rows=rows, **more)


FIRST = tick(MIDNIGHT + 4 * HOUR)
READY = FIRST.closes_at


def act(made: Book, now: int) -> Findings:
    found = made.look(now)
    made.settle(found, now)
    made.advance(now)
    return found


def asked(found: Findings) -> list[tuple[str, tuple[tuple[int, int], ...], int]]:
    """Meter, ranges as quarters of the first day, attempt."""
    origin = MIDNIGHT // QUARTER
    return [(ask.meter_id, tuple((a - origin, b - origin) for a, b in ask.ranges), ask.attempt) for ask in found.asks]


def test_nothing_is_a_gap_before_its_time() -> None:
    made = book(FIRST)
    assert made.look(READY - 1) == Findings(missing={"p": 0}, again_at=READY)
    assert asked(made.look(READY)) == [("m1", ((0, 15),), 1)]


@pytest.mark.parametrize(
    ("arrived", "ranges"),
    [
        pytest.param([(0, 16)], None, id="all of it"),
        pytest.param([(0, 4), (8, 8)], ((4, 7),), id="an hour is missing"),
        pytest.param([(0, 16), (0, 16)], None, id="twice is as once"),
        pytest.param([(4, 12)], ((0, 3),), id="the beginning"),
        pytest.param([(0, 15)], ((15, 15),), id="the end"),
        pytest.param([(1, 14)], ((0, 0), (15, 15)), id="both ends, far from each other"),
        pytest.param([(2, 2), (6, 2)], ((0, 15),), id="near ranges become one"),
        pytest.param([(-96, 96), (16, 50)], ((0, 15),), id="what is of other days, or not yet expected"),
    ],
)
def test_what_is_missing_is_asked_for_in_ranges(
    arrived: list[tuple[int, int]], ranges: tuple[tuple[int, int], ...] | None
) -> None:
    made = book(FIRST)
    for start, rows in arrived:
        made.arrived(readings(MIDNIGHT + (start + 1) * QUARTER, rows))
    assert asked(made.look(READY)) == ([] if ranges is None else [("m1", ranges, 1)])


def test_rows_with_times_of_their_own_and_a_clock_some_seconds_off() -> None:
    made = book(FIRST)
    ends = tuple(MIDNIGHT + n * QUARTER + (-1) ** n * 70_000 for n in range(1, 17))
    assert made.arrived(IntervalReadings(meter_id="m1", ends=ends, rows=16, source="x")) == 16
    assert made.arrived(IntervalReadings(meter_id="m1", ends=ends, rows=16, source="x")) == 0
    assert not made.look(READY).asks


@pytest.mark.parametrize(
    ("change", "taken"),
    [
        pytest.param({}, True, id="the profile"),
        pytest.param({"period_s": 3_600}, False, id="another period"),
        pytest.param({"meter_id": "m2"}, False, id="another meter"),
        pytest.param({"rows": 10**12}, False, id="more rows than there can be: the last of them are nobody's yet"),
    ],
)
def test_whose_readings_count(change: dict[str, Any], taken: bool) -> None:
    made = book(FIRST)
    assert (made.arrived(replace(readings(MIDNIGHT + QUARTER, 16), **change)) > 0) is taken


def test_readings_of_another_profile_do_not_count_where_the_schedule_names_its_own() -> None:
    made = book(tick(FIRST.at, objects=("7/1.0.99.1.0.255/2",)))
    assert made.arrived(replace(readings(MIDNIGHT + QUARTER, 16), source="7/1.0.99.2.0.255/2")) == 0
    assert made.arrived(readings(MIDNIGHT + QUARTER, 16)) == 16


def test_what_is_in_vain_is_asked_for_a_few_times_and_then_given_up_loudly() -> None:
    """asks=2: at once, a day later as nothing was heard, once more since the day is over, and no more."""
    made = book(FIRST)
    times = []
    given: list[GivenUp] = []
    for hour in range(7, 24 * 5):
        found = act(made, MIDNIGHT + hour * HOUR)
        times += [hour] * len(found.asks)
        given += found.given_up
    assert times == [7, 31]
    assert given == [GivenUp("p", "m1", MIDNIGHT // DAY, 16, 2)]
    assert made.look(MIDNIGHT + 24 * 5 * HOUR).missing == {"p": 0}  # the day is not remembered any more


def test_a_meter_that_is_heard_is_asked_again_soon() -> None:
    made = book(FIRST, tick(FIRST.at + 4 * HOUR))
    assert len(act(made, READY).asks) == 1
    assert not act(made, READY + 2 * HOUR).asks
    made.arrived(readings(FIRST.at + QUARTER, 16))
    found = act(made, READY + 2 * HOUR + 60_000)
    assert asked(found) == [("m1", ((0, 15),), 2)]
    assert not act(made, READY + 3 * HOUR).asks


def test_what_was_filled_counts_as_never_asked_for() -> None:
    """Otherwise a flaky network would use a day's asks up, and its last gap would never be asked for."""
    ticks = [tick(MIDNIGHT + hour * HOUR) for hour in (4, 8, 12, 16, 20, 24)]
    made = book(*ticks)
    attempts = []
    for each in ticks:
        found = act(made, each.closes_at)
        attempts += [ask.attempt for ask in found.asks]
        made.arrived(readings(each.since + QUARTER, 16))
        assert act(made, each.closes_at + HOUR // 2).filled == [("p", "m1")]
    assert attempts == [1] * 6


def test_a_day_that_is_about_to_be_forgotten_is_given_up() -> None:
    made = book(FIRST, settings=Gaps(days=2, asks=100, pause_s=60, silent_s=80_000, grace_s=0))
    act(made, READY)
    act(made, MIDNIGHT + DAY + HOUR)
    found = act(made, MIDNIGHT + 2 * DAY + 1)
    assert [(each.day, each.missing) for each in found.given_up] == [(MIDNIGHT // DAY, 16)]


def test_a_meter_that_came_in_late_owes_nothing_of_before() -> None:
    made = book(FIRST, meters=())
    made.join("p", "m1", MIDNIGHT + 3 * HOUR)
    made.join("p", "m1", MIDNIGHT + 4 * HOUR)
    assert asked(made.look(READY)) == [("m1", ((12, 15),), 1)]


def test_a_meter_that_left_owes_nothing_any_more() -> None:
    made = book(FIRST, meters=("m1", "m2", "m3"))
    made.arrived(readings(MIDNIGHT + QUARTER, 16, "m3"))
    made.members("p", ["m2", "m3"], FIRST.since, READY)
    assert [ask.meter_id for ask in made.look(READY).asks] == ["m2"]
    assert made.save("m1", READY) is None
    assert "m1" in made.dirty


def test_a_pause_of_the_schedule_is_no_gap_and_a_stop_of_the_planner_is() -> None:
    later = tick(MIDNIGHT + 16 * HOUR)
    stopped = book(FIRST, later)
    paused = book(FIRST, replace(later, schedule=replace(later.schedule, active_from=MIDNIGHT + 11 * HOUR)))
    for made in (stopped, paused):
        made.arrived(readings(MIDNIGHT + QUARTER, 16))
    assert asked(stopped.look(later.closes_at)) == [("m1", ((16, 63),), 1)]
    assert asked(paused.look(later.closes_at)) == [("m1", ((48, 63),), 1)]


def test_a_missed_tick_is_read_in_one_and_expected_so() -> None:
    late = replace(tick(MIDNIGHT + 12 * HOUR), since=MIDNIGHT)
    assert asked(book(late).look(late.closes_at)) == [("m1", ((0, 47),), 1)]


def test_reads_are_counted_where_no_intervals_are_expected_and_never_asked_for_again() -> None:
    read = tick(MIDNIGHT + 4 * HOUR, operation=Operation.READ_REGISTERS, period_s=0)
    made = book(read, meters=("m1", "m2"))
    for meter_id, state in (("m1", CommandState.DONE), ("m1", CommandState.DONE), ("m2", CommandState.FAILED)):
        made.acknowledged(CommandAck(command_id="p", job_id=job_id("p", read.at, meter_id), meter_id=meter_id, state=state))
    found = made.look(READY)
    assert (found.missing, found.asks, found.given_up) == ({"p": 1}, [], [])
    other = CommandAck(command_id="p", job_id=job_id("p", read.at - 1, "m2"), meter_id="m2", state=CommandState.DONE)
    assert made.acknowledged(other) == 0


def test_rows_are_written_down_and_read_back() -> None:
    made = book(FIRST, meters=("m1", "m2"))
    made.arrived(readings(MIDNIGHT + QUARTER, 5))
    act(made, READY)
    saved = {name: made.save(name, READY) for name in sorted(made.dirty)}
    again = book(FIRST, meters=())
    for name, row in saved.items():
        again.load(name, row, READY)
    assert {name: again.save(name, READY) for name in saved} == saved
    assert not again.look(READY).asks  # they were asked for
    assert asked(again.look(READY + DAY))[0][1] == ((5, 15),)
    again.load("m1", None, READY)
    assert again.save("m1", READY) is None


@pytest.mark.parametrize("later", [0, 1, 2, 3, 4, 9])
@pytest.mark.parametrize("days", [3, 4, 8])
def test_rows_are_read_back_days_later(days: int, later: int) -> None:
    """What is still remembered is as it was written down; also where a day's octets do not come out even."""
    settings = Gaps(days=days)
    ticks = [tick(MIDNIGHT + hour * HOUR) for hour in range(4, 72, 4)]
    made = book(*ticks, settings=settings, now=MIDNIGHT + 2 * DAY)
    ends = [MIDNIGHT + n * QUARTER for n in range(1, 270, 7)]
    made.arrived(IntervalReadings(meter_id="m1", rows=len(ends), ends=tuple(ends), source="x"))
    grid = made.grids["p"]
    grid.ask(0, MIDNIGHT // DAY + 1, READY)
    grid.give_up(0, MIDNIGHT // DAY + 2)
    now = MIDNIGHT + (2 + later) * DAY
    again = book(*ticks, meters=(), settings=settings, now=now)
    again.load("m1", made.save("m1", now), now)
    made.advance(now)
    there = again.grids["p"]
    assert (grid.arrived(0) == there.arrived(0)).all()
    for day in range(there.oldest, there.newest + 1):
        assert there.asked(0, day) == grid.asked(0, day)


@pytest.mark.parametrize("period_s", [300, 900, 3_600, 7_200, 86_400])
def test_whatever_the_period(period_s: int) -> None:
    made = book(replace(tick(MIDNIGHT + DAY, period_s=period_s), since=MIDNIGHT))
    count = DAY // (period_s * 1_000)
    assert made.look(MIDNIGHT + 2 * DAY).missing == {"p": count}
    made.arrived(replace(readings(MIDNIGHT + period_s * 1_000, count), period_s=period_s))
    assert made.look(MIDNIGHT + 2 * DAY).missing == {"p": 0}


@pytest.mark.parametrize(
    "watch",
    [
        pytest.param(GapWatch("p", 3_600, MIDNIGHT), id="bits of another length"),
        pytest.param(GapWatch("gone", 900, MIDNIGHT), id="a schedule that is gone"),
    ],
)
def test_rows_of_what_is_not_expected_any_more_are_not_taken(watch: GapWatch) -> None:
    made = book(FIRST, meters=())
    made.load("m1", MeterGaps("m1", (watch,)), READY)
    assert made.save("m1", READY) is None


PATHS: dict[State, tuple[int, bool]] = {State.OPEN: (0, False), State.ASKED: (1, False), State.GIVEN_UP: (2, True)}


@pytest.mark.parametrize("event", Event)
@pytest.mark.parametrize("state", State)
def test_every_transition_and_every_illegal_one(state: State, event: Event) -> None:
    """Whatever somebody settles, a day goes where the table says or stays."""
    made = book(FIRST)
    grid, day = made.grids["p"], MIDNIGHT // DAY
    count, given = PATHS[state]
    for _ in range(count):
        grid.ask(0, day, READY)
    if given:
        grid.give_up(0, day)
    findings = {
        Event.ASK: Findings(asks=[Ask("p", "m1", ((0, 1),), (day,), 1)]),
        Event.FILL: Findings(filled=[("p", "m1")]),
        Event.GIVE_UP: Findings(given_up=[GivenUp("p", "m1", day, 1, 1)]),
    }[event]
    before = grid.asked(0, day)
    made.settle(findings, READY)
    times, _, over = grid.asked(0, day)
    assert state_of(times, given=over) is TABLE.get((state, event), state)
    if (state, event) not in TABLE:
        assert grid.asked(0, day) == before


@pytest.mark.parametrize(
    ("numbers", "join", "most", "expected"),
    [
        ([], 8, 4, []),
        ([5], 8, 4, [(5, 5)]),
        ([1, 2, 3], 8, 4, [(1, 3)]),
        ([1, 9, 18], 8, 4, [(1, 9), (18, 18)]),
        ([0, 10, 30, 45, 80], 1, 2, [(0, 45), (80, 80)]),
        (list(range(0, 500, 20)), 1, 1, [(0, 480)]),
    ],
)
def test_ranges(numbers: list[int], join: int, most: int, expected: list[tuple[int, int]]) -> None:
    assert ranges_of(numbers, join=join, most=most) == expected


def test_rows_grow_and_move_without_a_mix_up() -> None:
    dice = np.random.default_rng(3)
    names = [f"m{number}" for number in range(3_000)]
    made = book(FIRST, meters=tuple(names))
    have = {name: set(dice.choice(16, 6, replace=False).tolist()) for name in names}
    for name, numbers in have.items():
        made.arrived(
            IntervalReadings(meter_id=name, rows=6, ends=tuple(MIDNIGHT + (n + 1) * QUARTER for n in numbers), source="x")
        )
    kept = [name for name in names if dice.random() < 0.5]
    made.members("p", kept, FIRST.since, READY)
    grid = made.grids["p"]
    assert sorted(grid.ids) == sorted(kept)
    for name in kept:
        there = np.flatnonzero(grid.arrived(grid.rows[name])) + (grid.oldest * 96) - MIDNIGHT // QUARTER
        assert set(there.tolist()) == have[name]
