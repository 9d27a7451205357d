"""Meters that said nothing when they were last visited: they wait for their equals, and have a share all the same."""

from __future__ import annotations

import pytest

from connectors.gateway.intake import URGENT
from connectors.gateway.segments import DOUBTED_EVERY
from schemas.records import Priority
from streams.runtime.settings import Pace
from tests.unit.connectors.gateway.test_jobs import FREE, Bench, task


def doubting(*names: str, pace: Pace = FREE) -> Bench:
    """A segment where these meters were visited and said nothing, and one other that was reached."""
    bench = Bench(cell=pace)
    segment = bench.segment("cell-0")
    for name in (*names, "cell-0"):
        segment.told(0, name, probe=False, reached=name == "cell-0")
    return bench


def visited(bench: Bench, *, reached: bool = True) -> list[str]:
    """All meters that are due, one visit after another."""
    found = []
    while (grant := bench.jobs.next_grant(0)) is not None:
        while (item := bench.jobs.take(grant.meter_id)) is not None:
            bench.jobs.done(item)
        grant.segment.told(0, grant.meter_id, probe=grant.probe, reached=reached)
        bench.jobs.rest(grant, 0)
        found.append(grant.meter_id)
    return found


DEAD = tuple(f"cell-dead-{n}" for n in range(7))


def test_one_start_in_twenty_is_for_the_doubted() -> None:
    bench = doubting(*DEAD)
    bench.add(*(task(name, name) for name in DEAD), *(task(f"{n}", f"cell-{n}") for n in range(3 * DOUBTED_EVERY)))
    order = visited(bench)
    tried = [at for at, name in enumerate(order) if name in DEAD]
    assert tried[:3] == [DOUBTED_EVERY - 1, 2 * DOUBTED_EVERY - 1, 3 * DOUBTED_EVERY - 1]
    assert len(order) == 3 * DOUBTED_EVERY + len(DEAD)
    assert tried[-4:] == [*range(len(order) - 4, len(order))]  # nobody else waits


def test_the_doubted_have_a_twentieth_of_the_places_while_others_wait() -> None:
    bench = doubting(*DEAD, pace=Pace(sessions=40, starts_per_s=1_000_000))
    bench.add(*(task(name, name) for name in DEAD))
    others = iter(range(1_000))
    tried = []
    for _ in range(10 * DOUBTED_EVERY):
        number = next(others)
        bench.add(task(f"{number}", f"cell-{number}"))
        grant = bench.granted()
        if grant.meter_id in DEAD:
            tried.append(grant)  # and stays open
        else:
            bench.jobs.rest(grant, 0)
    assert len(tried) == 2
    bench.jobs.rest(tried[0], 0)
    assert bench.granted().meter_id in DEAD


def test_where_nobody_else_waits_the_doubted_have_all_places() -> None:
    bench = doubting(*DEAD, pace=Pace(sessions=5, starts_per_s=1_000_000))
    bench.add(*(task(name, name) for name in DEAD))
    assert bench.opened() == list(DEAD[:5])


@pytest.mark.parametrize(
    ("dead", "other", "first"),
    [
        pytest.param(Priority.SCHEDULED, Priority.SCHEDULED, "cell-5", id="equals"),
        pytest.param(Priority.SCHEDULED, Priority.FIRMWARE, DEAD[0], id="what-matters-more"),
        pytest.param(Priority.FIRMWARE, Priority.SCHEDULED, "cell-5", id="what-matters-less"),
    ],
)
def test_doubt_decides_among_equals(dead: Priority, other: Priority, first: str) -> None:
    bench = doubting(DEAD[0])
    bench.add(task("a", DEAD[0], priority=dead), task("b", "cell-5", priority=other))
    assert bench.granted().meter_id == first


def test_while_nobody_else_waits_the_doubted_leave_most_of_the_saved_starts() -> None:
    bench = doubting(*DEAD, pace=Pace(sessions=40, starts_per_s=10))
    bench.add(*(task(name, name, expires=10**9) for name in DEAD))
    assert [len(bench.opened(now)) for now in (0, 100, 200)] == [2, 1, 1]  # as many as time brings
    bench.add(*(task(f"{n}", f"cell-{n}", expires=10**9) for n in range(20)))
    assert [len(bench.opened(now)) for now in (300, 400)] == [9, 1]


def test_what_is_urgent_does_not_wait() -> None:
    bench = doubting(DEAD[0])
    bench.add(task("a", DEAD[0], lane=URGENT), task("b", "cell-5", lane=URGENT))
    assert bench.opened() == [DEAD[0], "cell-5"]


def test_a_meter_that_answers_is_doubted_no_more() -> None:
    bench = doubting(DEAD[0])
    bench.segment(DEAD[0]).told(0, DEAD[0], probe=False, reached=True)
    bench.add(task("a", DEAD[0]), task("b", "cell-5"))
    assert bench.opened() == [DEAD[0], "cell-5"]


def test_a_session_that_ends_in_silence_leaves_doubt_whatever_octets_came() -> None:
    bench = Bench(task("a", DEAD[0]), cell=Pace(sessions=9, starts_per_s=1_000_000, silent_s=3))
    grant = bench.granted()
    bench.jobs.take(DEAD[0])
    bench.jobs.hears(grant, 3.0)
    grant.segment.told(0, DEAD[0], probe=False, reached=True)  # an octet now and then
    bench.jobs.rest(grant, 0)
    bench.add(task("b", DEAD[0]), task("c", "cell-5"))
    assert bench.opened() == ["cell-5", DEAD[0]]


def test_where_the_segment_was_away_nobody_is_doubted() -> None:
    bench = Bench(cell=FREE)
    segment = bench.segment("cell-0")
    for name in (*DEAD, "cell-8"):
        segment.told(0, name, probe=False, reached=False)
    assert segment.told(1, "cell-9", probe=False, reached=True)  # the breaker, which was open, closes
    bench.add(task("a", DEAD[0]), task("b", "cell-5"))
    assert bench.opened() == [DEAD[0], "cell-5"]


def test_doubted_meters_that_wait_when_the_segment_comes_back_are_visited_at_once() -> None:
    bench = doubting(*DEAD)
    bench.add(*(task(name, name) for name in DEAD), *(task(f"{n}", f"cell-{n}") for n in range(2 * DOUBTED_EVERY)))
    segment = bench.segment("cell-0")
    for n in range(50, 58):
        segment.told(0, f"cell-{n}", probe=False, reached=False)
    assert segment.told(1, "cell-9", probe=False, reached=True)  # as above
    assert set(visited(bench)) == {*DEAD, *(f"cell-{n}" for n in range(2 * DOUBTED_EVERY))}
