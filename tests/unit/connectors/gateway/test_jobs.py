from __future__ import annotations

from typing import Any

import pytest

from connectors.gateway.intake import BULK, URGENT, Ticket
from connectors.gateway.jobs import Jobs, Task
from schemas.records import Job, Operation, Priority
from tests.unit.streams.fakes import fake_message


def task(
    name: str, meter_id: str = "m1", *, lane: str = BULK, expires: int = 10_000, partition: int = 0, **more: Any
) -> Task:
    job = Job(**({"id": name, "meter_id": meter_id, "operation": Operation.PING, "priority": Priority.SCHEDULED} | more))
    return Task(Ticket(job, (lane, partition), 0, fake_message(job)), 0, expires)


def jobs(*tasks: Task) -> Jobs:
    known = Jobs()
    for item in tasks:
        known.add(item, 0)
    return known


def names(known: Jobs, now: int = 0, *, bulk: bool = True) -> list[str]:
    """The jobs in the order in which they are taken, each meter visited to its end."""
    taken = []
    while (meter_id := known.next_meter(now, bulk=bulk)) is not None:
        while (item := known.take(meter_id)) is not None:
            taken.append(item.job.id)
        known.rest(meter_id, now)
    return taken


@pytest.mark.parametrize(
    ("tasks", "order"),
    [
        pytest.param([task("a", "m1"), task("b", "m2"), task("c", "m3")], "abc", id="first-come"),
        pytest.param([task("a", "m1"), task("b", "m2", lane=URGENT)], "ba", id="urgent-lane-first"),
        pytest.param(
            [task("a", "m1", priority=Priority.FIRMWARE), task("b", "m2"), task("c", "m3", priority=Priority.ON_DEMAND)],
            "cba",
            id="priority",
        ),
        pytest.param([task("a", "m1"), task("b", "m2"), task("c", "m1")], "acb", id="one-visit-does-all-of-a-meter"),
        pytest.param(
            [task("a", "m1"), task("b", "m2"), task("c", "m2", lane=URGENT)], "cba", id="an-urgent-job-lifts-its-meter"
        ),
        pytest.param([task("a", not_before=5), task("b")], "b", id="not-before"),
    ],
)
def test_order(tasks: list[Task], order: str) -> None:
    for item in tasks:
        item.under_way = item.closed = False
    assert "".join(names(jobs(*tasks))) == order


def test_a_meter_has_one_visit_at_a_time_and_new_jobs_join_it() -> None:
    known = jobs(task("a"))
    assert known.next_meter(0, bulk=True) == "m1"
    known.add(task("b"), 0)
    assert known.next_meter(0, bulk=True) is None
    assert [item.job.id for item in (known.take("m1"), known.take("m1")) if item] == ["a", "b"]
    known.add(task("c"), 0)
    known.rest("m1", 0)
    assert names(known) == ["c"]


def test_bulk_waits_where_only_urgent_is_wanted() -> None:
    known = jobs(task("a", "m1"), task("b", "m2", lane=URGENT))
    assert names(known, bulk=False) == ["b"]
    assert names(known) == ["a"]


def test_a_job_is_not_taken_before_its_time() -> None:
    known = jobs(task("a", not_before=50))
    assert [names(known, now) for now in (0, 49, 50)] == [[], [], ["a"]]


def test_a_meter_rests_after_a_failure() -> None:
    known = jobs(task("a"))
    assert known.next_meter(0, bulk=True) == "m1"
    known.take("m1")
    known.rest("m1", 0, until=100)
    known.add(task("b"), 1)
    assert [names(known, now) for now in (1, 99, 100)] == [[], [], ["b"]]


def test_a_retried_job_comes_again_after_its_pause() -> None:
    known = jobs(task("a"))
    assert known.next_meter(0, bulk=True) == "m1"
    item = known.take("m1")
    assert item is not None
    item.tries = 1
    known.add(item, 0, not_before=30)
    known.rest("m1", 0)
    assert [names(known, now) for now in (0, 30)] == [[], ["a"]]


def test_expired_jobs_are_given_out_once_wherever_they_wait() -> None:
    known = jobs(task("a", "m1", expires=10), task("b", "m2", expires=10, not_before=99), task("c", "m3", expires=50))
    assert known.expired(9) == []
    assert [item.job.id for item in known.expired(10)] == ["a", "b"]
    assert known.expired(11) == []
    assert names(known, 99) == ["c"]


def test_a_job_under_way_is_its_visits_to_expire() -> None:
    known = jobs(task("a", expires=10))
    known.next_meter(0, bulk=True)
    known.take("m1")
    assert known.expired(20) == []


def test_jobs_of_a_lost_partition_are_dropped_and_the_others_stay() -> None:
    known = jobs(task("a", "m1"), task("b", "m2", partition=1), task("c", "m3", not_before=5), task("d", "m1", partition=1))
    known.drop({(BULK, 0)})
    assert sorted(names(known, 10)) == ["b", "d"]
    assert known.expired(20_000) == []


def test_nothing_is_kept_of_meters_that_are_done() -> None:
    known = jobs(*(task(str(n), f"m{n}") for n in range(50)))
    names(known)
    assert not known._queues
    assert not known._ready
