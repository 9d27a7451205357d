from __future__ import annotations

from typing import Any

import pytest

from connectors.gateway.intake import BULK, URGENT, Ticket
from connectors.gateway.jobs import Grant, Jobs, Task
from connectors.gateway.segments import Segment, Segments
from schemas.records import Job, Meter, Network, Operation, Priority
from streams.runtime.settings import Gateway, Pace
from tests.unit.streams.fakes import fake_message

FREE = Pace(sessions=1_000, starts_per_s=1_000_000)


def task(
    name: str,
    meter_id: str = "m1",
    *,
    lane: str = BULK,
    expires: int = 10_000,
    partition: int = 0,
    tries: int = 0,
    **more: Any,
) -> Task:
    job = Job(**({"id": name, "meter_id": meter_id, "operation": Operation.PING, "priority": Priority.SCHEDULED} | more))
    return Task(Ticket(job, (lane, partition), 0, fake_message(job)), 0, expires, tries)


class Bench:
    """Jobs, and segments by the part of a meter's name before the dash."""

    def __init__(self, *tasks: Task, **paces: Pace) -> None:
        self.segments = Segments(Gateway(segments=paces))
        self.jobs = Jobs()
        self.add(*tasks)

    def segment(self, meter_id: str) -> Segment:
        name = meter_id.partition("-")[0] if "-" in meter_id else ""
        return self.segments.of(Meter(id=meter_id, segment=name, network=Network.ETHERNET))

    def add(self, *tasks: Task, now: int = 0, not_before: int = 0) -> None:
        for item in tasks:
            self.jobs.add(item, now, self.segment(item.job.meter_id), not_before=not_before)

    def granted(self, now: int = 0, **lanes: bool) -> Grant:
        grant = self.jobs.next_grant(now, **lanes)
        assert grant is not None
        return grant

    def opened(self, now: int = 0, **lanes: bool) -> list[str]:
        """The meters that may be visited at this time, all at once."""
        found = []
        while (grant := self.jobs.next_grant(now, **lanes)) is not None:
            found.append(grant.meter_id)
        return found

    def names(self, now: int = 0, **lanes: bool) -> list[str]:
        """The jobs in the order in which they are taken, each meter visited to its end."""
        taken = []
        while (grant := self.jobs.next_grant(now, **lanes)) is not None:
            while (item := self.jobs.take(grant.meter_id)) is not None:
                taken.append(item.job.id)
                self.jobs.done(item)
            self.jobs.rest(grant, now)
        return taken


@pytest.mark.parametrize(
    ("tasks", "order"),
    [
        pytest.param([task("a", "m1"), task("b", "m2"), task("c", "m3")], "abc", id="first-come"),
        pytest.param([task("a", "m1"), task("b", "m2", lane=URGENT)], "ba", id="urgent-lane-first"),
        pytest.param(
            [
                task("a", "m1", priority=Priority.FIRMWARE),
                task("b", "m2"),
                task("c", "m3", priority=Priority.FOLLOW_UP),
                task("d", "m4", priority=Priority.ON_DEMAND),
            ],
            "dcba",
            id="priority",
        ),
        pytest.param([task("a", "m1"), task("b", "m2"), task("c", "m1")], "acb", id="one-visit-does-all-of-a-meter"),
        pytest.param(
            [task("a", "m1"), task("b", "m2"), task("c", "m2", lane=URGENT)], "cba", id="an-urgent-job-lifts-its-meter"
        ),
        pytest.param([task("a", not_before=5), task("b")], "b", id="not-before"),
        pytest.param([task("a", "m1", tries=1), task("b", "m2")], "ba", id="a-retry-falls-behind-its-equals"),
        pytest.param(
            [
                task("a", "m1", lane=URGENT, priority=Priority.ON_DEMAND, tries=1),
                task("b", "m2", lane=URGENT),
                task("c", "m3"),
            ],
            "bac",
            id="an-urgent-retry-is-bulk-but-ahead-of-what-is-scheduled",
        ),
        pytest.param(
            [task("a", "m1", priority=Priority.ON_DEMAND, tries=9), task("b", "m2", priority=Priority.FIRMWARE)],
            "ab",
            id="nothing-falls-below-firmware",
        ),
    ],
)
def test_order(tasks: list[Task], order: str) -> None:
    for item in tasks:
        item.under_way = item.closed = False
    assert "".join(Bench(*tasks).names()) == order


def test_a_meter_has_one_visit_at_a_time_and_new_jobs_join_it() -> None:
    bench = Bench(task("a"))
    grant = bench.granted()
    bench.add(task("b"))
    assert bench.jobs.next_grant(0) is None
    assert [item.job.id for item in (bench.jobs.take("m1"), bench.jobs.take("m1")) if item] == ["a", "b"]
    bench.add(task("c"))
    bench.jobs.rest(grant, 0)
    assert bench.names() == ["c"]


def test_a_lane_waits_where_only_the_other_is_wanted() -> None:
    bench = Bench(task("a", "m1"), task("b", "m2", lane=URGENT))
    assert bench.names(bulk=False) == ["b"]
    assert bench.names() == ["a"]
    bench = Bench(task("a", "m1"), task("b", "m2", lane=URGENT))
    assert bench.names(urgent=False) == ["a"]
    assert bench.names() == ["b"]


def test_a_job_is_not_taken_before_its_time() -> None:
    bench = Bench(task("a", not_before=50))
    assert [bench.names(now) for now in (0, 49, 50)] == [[], [], ["a"]]


def test_a_meter_rests_after_a_failure() -> None:
    bench = Bench(task("a"))
    grant = bench.granted()
    bench.jobs.take("m1")
    bench.jobs.rest(grant, 0, until=100)
    bench.add(task("b"), now=1)
    assert [bench.names(now) for now in (1, 99, 100)] == [[], [], ["b"]]


def test_a_retried_job_comes_again_after_its_pause() -> None:
    bench = Bench(task("a"))
    grant = bench.granted()
    item = bench.jobs.take("m1")
    assert item is not None
    item.tries = 1
    bench.add(item, not_before=30)
    bench.jobs.rest(grant, 0)
    assert [bench.names(now) for now in (0, 30)] == [[], ["a"]]


def test_expired_jobs_are_given_out_once_wherever_they_wait() -> None:
    bench = Bench(task("a", "m1", expires=10), task("b", "m2", expires=10, not_before=99), task("c", "m3", expires=50))
    assert bench.jobs.expired(9) == []
    assert [item.job.id for item in bench.jobs.expired(10)] == ["a", "b"]
    assert bench.jobs.expired(11) == []
    assert bench.names(99) == ["c"]
    assert not bench.jobs._queues


def test_a_job_under_way_is_its_visits_to_expire() -> None:
    bench = Bench(task("a", expires=10))
    bench.granted()
    bench.jobs.take("m1")
    assert bench.jobs.expired(20) == []


def test_jobs_of_a_lost_partition_are_dropped_and_the_others_stay() -> None:
    bench = Bench(
        task("a", "m1"),
        task("b", "m2", partition=1),
        task("c", "m3", not_before=5),
        task("d", "m1", partition=1),
        task("e", "m2", lane=URGENT),
    )
    bench.jobs.drop({(BULK, 0)})
    assert sorted(bench.names(10)) == ["b", "d", "e"]
    assert bench.jobs.expired(20_000) == []
    assert not bench.jobs._queues


def test_nothing_is_kept_of_jobs_and_meters_that_are_done() -> None:
    bench = Bench(*(task(str(n), f"m{n}") for n in range(5_000)))
    bench.names()
    assert not bench.jobs._queues
    assert len(bench.jobs) == 0
    assert len(bench.jobs._expiring) < 2_500


def test_a_parked_meter_waits_until_it_dials_in() -> None:
    bench = Bench(task("a"), task("b", "m2"))
    bench.jobs.park("m1")
    assert bench.names() == ["b"]
    bench.jobs.unpark("m1", 0)
    assert bench.names() == ["a"]


def test_a_parked_job_expires() -> None:
    bench = Bench(task("a", expires=10))
    bench.jobs.park("m1")
    assert [(item.job.id, item.why) for item in bench.jobs.expired(10)] == [("a", "its meter did not dial in")]
    assert not bench.jobs._queues


def test_a_segment_has_no_more_sessions_than_its_pace_and_the_reserved_one_is_for_what_is_urgent() -> None:
    bench = Bench(*(task(f"{n}", f"cell-{n}") for n in range(5)), cell=Pace(sessions=2, starts_per_s=1_000_000))
    first = [bench.granted(), bench.granted()]
    assert bench.opened() == []
    bench.add(task("now", "cell-7", lane=URGENT))
    assert bench.opened() == ["cell-7"]
    bench.add(task("too", "cell-8", lane=URGENT))
    assert bench.opened() == []
    bench.jobs.rest(first[0], 0)
    assert bench.opened() == ["cell-8"]
    bench.jobs.rest(first[1], 0)
    assert bench.opened() == []


def test_a_silent_session_leaves_its_place_and_takes_it_again_when_its_meter_speaks() -> None:
    bench = Bench(
        *(task(f"{n}", f"cell-{n}") for n in range(9)),
        cell=Pace(sessions=2, starts_per_s=1_000_000, reserved=0, silent_s=3),
    )
    first, second = bench.granted(), bench.granted()
    for grant in (first, second):
        bench.jobs.hears(grant, 2.9)
    assert bench.opened() == []
    bench.jobs.hears(first, 3.0)
    bench.jobs.hears(first, 3.5)  # it leaves once
    (third,) = bench.opened()
    bench.jobs.hears(first, 0.0)  # three sessions in two places
    bench.jobs.hears(first, 0.0)
    bench.jobs.rest(second, 0)
    assert bench.opened() == []
    bench.jobs.rest(first, 0)
    assert len(bench.opened()) == 1
    assert third not in (first.meter_id, second.meter_id)
    assert (first.segment.active, first.segment.silent) == (2, set())


def test_a_session_that_ends_in_silence_gives_its_place_back_once() -> None:
    bench = Bench(*(task(f"{n}", f"cell-{n}") for n in range(4)), cell=Pace(sessions=1, starts_per_s=1_000_000, silent_s=3))
    grant = bench.granted()
    bench.jobs.hears(grant, 3.0)
    bench.jobs.rest(grant, 0)
    assert (grant.segment.active, grant.segment.silent) == (0, set())
    assert len(bench.opened()) == 1


def test_silent_sessions_are_begun_at_the_segments_rate_all_the_same() -> None:
    bench = Bench(*(task(f"{n}", f"cell-{n}") for n in range(9)), cell=Pace(sessions=2, starts_per_s=2, silent_s=3))
    opened = []
    for now in range(0, 3_000, 500):
        while (grant := bench.jobs.next_grant(now)) is not None:
            opened.append(now)
            bench.jobs.hears(grant, 3.0)
    assert opened == [0, 0, 500, 1_000, 1_500, 2_000, 2_500]


def test_behind_a_concentrator_a_silent_session_keeps_its_place() -> None:
    bench = Bench(*(task(f"{n}", f"cell-{n}") for n in range(4)), cell=Pace(sessions=1, starts_per_s=1_000_000))
    bench.jobs.hears(bench.granted(), 1_000.0)
    assert bench.opened() == []


def test_sessions_are_begun_at_the_segments_rate() -> None:
    bench = Bench(*(task(f"{n}", f"cell-{n}") for n in range(9)), cell=Pace(sessions=9, starts_per_s=2))
    assert [len(bench.opened(now)) for now in (0, 400, 500, 999, 1_000, 3_000)] == [2, 0, 1, 0, 1, 2]


def test_a_workers_share_is_that_of_its_partitions() -> None:
    bench = Bench(cell=Pace(sessions=8, starts_per_s=8, reserved=0))
    bench.segments.share(0.25)
    bench.add(*(task(f"{n}", f"cell-{n}") for n in range(9)))
    assert [len(bench.opened(now)) for now in (0, 100, 500, 1_000, 2_000)] == [2, 0, 0, 0, 0]


def test_a_segment_with_much_to_do_does_not_hold_up_the_others() -> None:
    crowd = [task(f"{n}", f"big-{n}") for n in range(1_000)]
    few = [task(f"s{n}", f"small{n}-1") for n in range(10)]
    bench = Bench(*crowd, *few, big=FREE)
    opened = [bench.granted().meter_id for _ in range(22)]
    assert {name for name in opened if name.startswith("small")} == {f"small{n}-1" for n in range(10)}


def test_turns_weigh_what_matters_more() -> None:
    bench = Bench(
        *(task(f"s{n}", f"sched-{n}") for n in range(100)),
        *(task(f"f{n}", f"firm-{n}", priority=Priority.FIRMWARE) for n in range(100)),
        sched=FREE,
        firm=FREE,
    )
    opened = [bench.granted().meter_id.partition("-")[0] for _ in range(50)]
    assert (opened.count("sched"), opened.count("firm")) == (40, 10)


def test_who_had_nothing_to_do_has_saved_no_turns_up() -> None:
    bench = Bench(*(task(f"{n}", f"one-{n}") for n in range(100)), one=FREE, two=FREE)
    for _ in range(50):
        bench.granted()
    bench.add(*(task(f"t{n}", f"two-{n}") for n in range(50)))
    opened = [bench.granted().meter_id.partition("-")[0] for _ in range(20)]
    assert opened.count("two") in (10, 11)


@pytest.mark.parametrize(
    ("misses", "allowed"),
    [pytest.param(["x-1"] * 30, True, id="one-meter"), pytest.param([f"x-{n}" for n in range(8)], False, id="eight-meters")],
)
def test_a_shut_segment_is_not_visited(misses: list[str], allowed: bool) -> None:
    bench = Bench(x=FREE)
    segment = bench.segment("x-1")
    for name in misses:
        segment.told(0, name, probe=False, reached=False)
    bench.add(task("a", "x-9"), task("b", "y-1"))
    assert ("x-9" in bench.opened()) is allowed


def test_a_half_open_segment_is_tried_with_one_session_at_a_time() -> None:
    bench = Bench(x=FREE)
    segment = bench.segment("x-1")
    for n in range(8):
        segment.told(0, f"x-{n}", probe=False, reached=False)
    bench.add(task("a", "x-1", expires=10**9), task("b", "x-2", expires=10**9), task("c", "x-3", expires=10**9))
    assert bench.opened(29_999) == []
    probe = bench.granted(30_000)
    assert probe.probe
    assert bench.opened(30_000) == []
    segment.told(30_001, probe.meter_id, probe=True, reached=False)
    bench.jobs.rest(probe, 30_001)
    assert bench.opened(90_000) == []
    again = bench.granted(90_001)
    assert again.probe
    segment.told(90_002, again.meter_id, probe=True, reached=True)
    bench.jobs.rest(again, 90_002)
    assert len(bench.opened(90_003)) == 3
