"""Ticks, plans and jobs on an injected clock, with planners that die."""

from __future__ import annotations

import random
from collections import Counter
from itertools import pairwise
from typing import Any

import pytest

from schemas.records import Cause, MeterState, Operation, Priority, Target, Tick
from streams.runtime.settings import Schedules
from streams.schedules.core import Work
from streams.schedules.jobs import job_id
from tests.unit.streams.schedules.world import VIENNA, World, meter, ms, schedule

HOUR = 3_600_000
MIDNIGHT = ms("2026-06-01T00:00")


def world(meters: int = 100, start: int = MIDNIGHT, **more: Any) -> World:
    made = World(start, meters)
    made.set(schedule(active_from=start, **more))
    return made


def test_a_tick_reads_every_meter_once_from_the_tick_before() -> None:
    day = world()
    day.run(MIDNIGHT + 24 * HOUR + HOUR)
    assert [tick.at for tick in day.ticks] == [MIDNIGHT + hour * HOUR for hour in (4, 8, 12, 16, 20, 24)]
    assert len({job.id for job in day.jobs}) == len(day.jobs)
    for tick in day.ticks[:-1]:
        assert len(day.read(at=tick.at)) == 100
    first = [job for job in day.jobs if job.to_time == MIDNIGHT + 4 * HOUR + 1_000]
    assert {job.from_time for job in first} == {MIDNIGHT + 1_000}
    job = first[0]
    assert job.id == job_id("profile", MIDNIGHT + 4 * HOUR, job.meter_id)
    assert (job.operation, job.cause, job.caused_by, job.priority) == (
        Operation.READ_PROFILE,
        Cause.SCHEDULED,
        "profile",
        Priority.SCHEDULED,
    )
    assert job.parameters == {"profile": "load"}


def test_jobs_are_spread_over_the_window_and_sent_little_ahead() -> None:
    day = world(1_000)
    day.run(MIDNIGHT + 8 * HOUR - 60_000)
    opens = MIDNIGHT + 4 * HOUR + 60_000
    starts = sorted(job.not_before or 0 for job in day.jobs)
    assert opens <= starts[0]
    assert starts[-1] < opens + 3 * HOUR
    quarters = Counter((at - opens) // 900_000 for at in starts)
    assert all(83 <= count <= 84 for count in quarters.values())
    ahead = [(job.not_before or 0) - at for job, at in zip(day.jobs, day.sent_at, strict=True)]
    assert max(ahead) <= 30_000 + 60_000  # ahead_s, and a slice
    assert min(ahead) >= -60_000  # the step of this test
    assert all((job.deadline or 0) > (job.not_before or 0) for job in day.jobs)


def test_a_meter_is_read_at_much_the_same_time_of_every_window() -> None:
    day = world(1_000)
    day.run(MIDNIGHT + 12 * HOUR - 60_000)
    first, second = (
        {job.meter_id: (job.not_before or 0) - at for job in day.jobs if job.to_time == at + 1_000}
        for at in (MIDNIGHT + 4 * HOUR, MIDNIGHT + 8 * HOUR)
    )
    assert first == second


@pytest.mark.parametrize("how", ["before", "after"])
def test_killed_at_every_step_it_reads_everything_once(how: str) -> None:
    """Each step is one transaction: it was written, or it was not. Both times the next process goes on right."""
    day = world()
    died: set[str] = set()

    def once(work: Work) -> str:
        key = f"{work.what}{work.note}{len(day.ticks)}"
        again = key in died
        died.add(key)
        return "" if again else how

    day.kill = once
    day.run(MIDNIGHT + 24 * HOUR + 4 * HOUR - 60_000)
    assert day.kills > 500
    assert len(day.jobs) == len({job.id for job in day.jobs}) == 600
    assert [tick.at for tick in day.ticks] == [MIDNIGHT + hour * HOUR for hour in (4, 8, 12, 16, 20, 24)]


def test_two_planners_that_both_believe_they_plan_make_the_same_jobs() -> None:
    """Kafka fences the older one; if it did not, the jobs of both would be one in effect."""
    one, other = world(), world()
    one.run(MIDNIGHT + 8 * HOUR - 60_000)
    other.now += 1_000
    other.run(MIDNIGHT + 8 * HOUR - 60_000, step_s=7)
    assert {job.id for job in one.jobs} == {job.id for job in other.jobs}


@pytest.mark.parametrize(
    ("back_at", "ticks", "missed"),
    [
        pytest.param(5.0, [4, 8], [0, 0], id="back within the window: what is left of it"),
        pytest.param(7.9, [4, 8], [0, 0], id="back behind the window: a quarter of one"),
        pytest.param(13.0, [12, 16], [2, 0], id="three missed: one read of all"),
        pytest.param(47.0, [44, 48], [10, 0], id="nearly two days: one read of all"),
        pytest.param(72.5, [72, 76], [11, 0], id="beyond the bound: two days"),
    ],
)
def test_what_was_missed_is_made_up_for_within_a_bound(back_at: float, ticks: list[int], missed: list[int]) -> None:
    day = world()
    day.run(MIDNIGHT + 2 * HOUR)
    day.ticks.append(_tick_at(MIDNIGHT))
    day.now = MIDNIGHT + round(back_at * HOUR)
    day.restart()
    day.run(MIDNIGHT + (ticks[-1] + 4) * HOUR - 60_000)
    assert [(tick.at - MIDNIGHT) // HOUR for tick in day.ticks[1:]] == ticks
    assert [tick.missed for tick in day.ticks[1:]] == missed
    first = day.ticks[1]
    assert first.since == max(MIDNIGHT, first.at - 48 * HOUR)
    assert len(day.jobs) == len({job.id for job in day.jobs}) == 200
    assert first.closes_at - first.opens_at >= 2_700_000


def _tick_at(at: int) -> Tick:
    """What the planner itself makes."""
    probe = World(at - 60_000, 1)
    probe.set(schedule(active_from=at - HOUR))
    probe.run(at)
    return probe.ticks[0]


def test_a_plan_that_is_behind_goes_on_a_fifth_faster_and_not_at_once() -> None:
    day = world(1_000)
    day.run(MIDNIGHT + 4 * HOUR + 30 * 60_000)
    before = len(day.jobs)
    day.now += 40 * 60_000
    day.restart()
    day.run(MIDNIGHT + 8 * HOUR - 60_000)
    assert len(day.jobs) == len({job.id for job in day.jobs}) == 1_000
    behind = [job.not_before or 0 for job in day.jobs[before:]]
    share = 1_000 / 10_800_000
    for minutes in range(0, 180, 10):
        start = MIDNIGHT + 4 * HOUR + minutes * 60_000
        assert sum(start <= at < start + 600_000 for at in behind) <= share * 600_000 * 1.2 + 2
    assert day.core.sending.lag_ms(day.now) == 0


@pytest.mark.parametrize(
    ("operation", "hours", "dropped"),
    [
        pytest.param(Operation.READ_REGISTERS, 3, False, id="registers, soon"),
        pytest.param(Operation.READ_REGISTERS, 30, True, id="registers, of yesterday: nobody has them any more"),
        pytest.param(Operation.READ_PROFILE, 30, False, id="a profile, of yesterday: still there"),
        pytest.param(Operation.READ_PROFILE, 60, True, id="a profile, beyond the bound"),
    ],
)
def test_what_is_left_of_a_plan_after_a_long_stop(operation: Operation, hours: int, dropped: bool) -> None:
    day = world(operation=operation, period_s=0)
    day.run(MIDNIGHT + 5 * HOUR)
    sent, first = len(day.jobs), day.ticks[0]
    day.now = MIDNIGHT + (5 + hours) * HOUR
    day.restart()
    day.run(day.now + 3 * HOUR)
    gone = [work.note for work in day.told if work.what == "plan-dropped"]
    assert [(note["reason"], note["jobs"]) for note in gone] == [("too-late", 100 - sent)] * dropped
    of_first = [job for job in day.jobs if job.id in {job_id("profile", first.at, f"m{n:05d}") for n in range(100)}]
    assert len(of_first) == (sent if dropped else 100)
    assert len(day.jobs) == len({job.id for job in day.jobs})


def test_a_schedule_that_changes_in_its_window_changes_with_the_next_tick() -> None:
    day = world()
    day.run(MIDNIGHT + 5 * HOUR)
    day.set(schedule(active_from=MIDNIGHT, target=Target(segments=("dc-1",)), parameters={"profile": "daily"}))
    day.run(MIDNIGHT + 12 * HOUR - 60_000)
    assert len(day.read(at=MIDNIGHT + 4 * HOUR)) == 100
    assert len(day.read(at=MIDNIGHT + 8 * HOUR)) == 10
    assert {job.parameters["profile"] for job in day.jobs if job.to_time == MIDNIGHT + 4 * HOUR + 1_000} == {"load"}


@pytest.mark.parametrize("how", ["disabled", "removed"])
def test_a_schedule_that_is_ended_in_its_window_sends_nothing_more(how: str) -> None:
    day = world()
    day.run(MIDNIGHT + 5 * HOUR)
    sent = len(day.jobs)
    if how == "removed":
        day.remove("profile")
    else:
        day.set(schedule(active_from=MIDNIGHT, enabled=False))
    day.run(MIDNIGHT + 12 * HOUR)
    assert len(day.jobs) == sent
    assert not day.plans
    assert [work.note["reason"] for work in day.told if work.what == "plan-dropped"] == ["schedule-ended"]


def test_a_schedule_that_is_enabled_again_does_not_make_up_for_its_rest() -> None:
    day = world()
    day.run(MIDNIGHT + 8 * HOUR)
    day.set(schedule(active_from=MIDNIGHT, enabled=False))
    day.run(MIDNIGHT + 25 * HOUR)
    day.set(schedule(active_from=day.now))
    day.run(MIDNIGHT + 29 * HOUR)
    assert (day.ticks[-1].at - MIDNIGHT) // HOUR == 28
    assert (day.ticks[-1].since - MIDNIGHT) // HOUR == 24
    assert day.ticks[-1].missed == 0


def test_a_new_schedule_is_not_due_for_what_was_before_it() -> None:
    day = World(MIDNIGHT + 5 * HOUR, 10)
    day.set(schedule(active_from=MIDNIGHT + 5 * HOUR))
    day.run(MIDNIGHT + 9 * HOUR)
    assert [(tick.at - MIDNIGHT, tick.since - MIDNIGHT) for tick in day.ticks] == [(8 * HOUR, 4 * HOUR)]


def test_a_meter_that_comes_in_late_is_read_in_what_is_left_of_the_window() -> None:
    day = world()
    day.run(MIDNIGHT + 5 * HOUR)
    day.install(meter(500))
    day.run(MIDNIGHT + 6 * HOUR)
    day.install(meter(501))
    day.run(MIDNIGHT + 8 * HOUR - 60_000)
    assert [day.read(at=MIDNIGHT + 4 * HOUR).count(name) for name in ("m00500", "m00501")] == [1, 1]
    day.install(meter(502))  # the window has closed
    day.run(MIDNIGHT + 12 * HOUR - 60_000)
    assert day.read(at=MIDNIGHT + 4 * HOUR).count("m00502") == 0
    assert Counter(day.read(at=MIDNIGHT + 8 * HOUR)).most_common(1)[0][1] == 1
    assert len(day.read(at=MIDNIGHT + 8 * HOUR)) == 103


def test_a_meter_that_moves_in_a_window_is_not_read_twice() -> None:
    day = world()
    day.run(MIDNIGHT + 5 * HOUR)
    for number in range(100):
        day.install(meter(number, transformer="T9"))
    day.run(MIDNIGHT + 8 * HOUR - 60_000)
    assert len(day.jobs) == 100


def test_a_meter_that_is_retired_in_its_window_is_not_read_any_more() -> None:
    day = world()
    day.run(MIDNIGHT + 4 * HOUR)
    day.install(meter(7, state=MeterState.RETIRED))
    day.directory.apply("m00008", None)
    day.run(MIDNIGHT + 8 * HOUR - 60_000)
    assert len(day.jobs) == 98
    assert not {"m00007", "m00008"} & {job.meter_id for job in day.jobs}


def test_registers_are_read_without_a_range() -> None:
    day = World(MIDNIGHT, 10)
    day.set(
        schedule(
            "registers", operation=Operation.READ_REGISTERS, cron="0 6 * * *", window_s=600, period_s=0, active_from=MIDNIGHT
        )
    )
    day.run(MIDNIGHT + 7 * HOUR)
    assert {(job.operation, job.from_time, job.to_time) for job in day.jobs} == {(Operation.READ_REGISTERS, None, None)}


def test_lookback_reads_further_than_the_tick_before() -> None:
    day = world(10, lookback_s=86_400)
    day.run(MIDNIGHT + 9 * HOUR)
    assert {(job.to_time or 0) - (job.from_time or 0) for job in day.jobs} == {24 * HOUR}


def test_a_segment_that_is_too_slow_for_the_window_goes_on_behind_it_and_nobody_starves() -> None:
    """15 meters of a segment fit in four hours at a start in 1,000 s, times the share."""
    day = World(MIDNIGHT, 300, settings=Schedules(pace_share=1.0), rate=0.001)
    day.set(schedule(active_from=MIDNIGHT, target=Target(segments=("dc-3",))))
    day.run(MIDNIGHT + 48 * HOUR, step_s=30)
    assert day.ticks[0].unplaced > 0
    assert day.ticks[0].meters - day.ticks[0].unplaced in (14, 15)
    times = sorted(job.not_before or 0 for job in day.jobs if job.to_time == day.ticks[0].at + 1_000)
    assert min(b - a for a, b in pairwise(times)) >= 999_000
    assert times[-1] > day.ticks[0].closes_at
    assert len({job.meter_id for job in day.jobs}) == 30


def test_a_clock_that_goes_backwards_ticks_nothing_twice() -> None:
    day = world()
    day.run(MIDNIGHT + 4 * HOUR + 60_000)
    day.now -= 2 * HOUR
    day.run(MIDNIGHT + 8 * HOUR - 60_000)
    assert [(tick.at - MIDNIGHT) // HOUR for tick in day.ticks] == [4]
    assert len(day.jobs) == len({job.id for job in day.jobs}) == 100


@pytest.mark.parametrize("day", ["2026-03-29", "2026-10-25"])
def test_ranges_touch_across_a_change_of_the_clock(day: str) -> None:
    start = ms(f"{day}T00:00") - 8 * HOUR
    around = World(start, 5)
    around.set(schedule(active_from=start))
    around.run(start + 48 * HOUR)
    for before, after in pairwise(around.ticks):
        assert after.since == before.at
    assert {(tick.at - tick.since) // HOUR for tick in around.ticks} == ({3, 4} if day == "2026-03-29" else {4, 5})


def test_many_schedules_and_random_deaths() -> None:
    dice = random.Random(7)  # noqa: S311 - a test that runs the same every time
    week = World(MIDNIGHT, 60)
    week.set(schedule(active_from=MIDNIGHT))
    week.set(schedule("daily", cron="10 0 * * *", period_s=0, window_s=7_200, active_from=MIDNIGHT, time_zone=VIENNA))
    week.set(schedule("events", cron="0 3 * * *", operation=Operation.READ_EVENT_LOG, period_s=0, active_from=MIDNIGHT))
    week.kill = lambda _: dice.choice(["", "", "", "before", "after"])
    week.run(MIDNIGHT + 7 * 24 * HOUR + 6 * HOUR, step_s=120)
    jobs = Counter((job.caused_by, job.to_time) for job in week.jobs)
    assert set(jobs.values()) == {60, jobs["profile", MIDNIGHT + 7 * 24 * HOUR + 4 * HOUR + 1_000]}
    assert len(week.jobs) == len({job.id for job in week.jobs})
    assert Counter(name for name, _ in jobs) == {"profile": 43, "daily": 8, "events": 8}
