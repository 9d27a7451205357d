"""What a job's result says of its meter, and what follows: again, pinged, given up, left out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from schemas.records import (
    Cause,
    JobResult,
    Network,
    Operation,
    Outcome,
)
from tests.unit.streams.firmware.world import SMALL, Room, meter, room

ENDS: dict[str, tuple[dict[str, Any], str, str]] = {
    "not reached": ({"code": "peer-closed"}, "retry", "peer-closed"),
    "expired": ({"outcome": Outcome.EXPIRED}, "retry", "job-expired"),
    "the night ended": ({"code": "firmware-unfinished", "after": "300/980", "rows": 300}, "partly", "firmware-unfinished"),
    "nothing went": ({"code": "firmware-unfinished", "after": "0/980"}, "retry", "firmware-unfinished"),
    "it finds the image wrong": ({"code": "firmware-refused"}, "failed", "firmware-refused"),
    "another version": ({"code": "firmware-version"}, "failed", "firmware-version"),
    "not for it": ({"code": "firmware-unfit"}, "refused", "firmware-unfit"),
    "silent": ({"code": "firmware-silent"}, "quiet", "firmware-silent"),
    "frozen at the gateway": ({"code": "frozen"}, "retry", "frozen"),
    "a copy that somebody altered": ({"code": "decision-other-request"}, "sent", ""),
    "no image at the gateway": ({"code": "image-missing"}, "retry", "image-missing"),
    "done": ({"outcome": Outcome.DONE}, "done", ""),
}


@pytest.mark.parametrize(("fields", "state", "code"), ENDS.values(), ids=ENDS)
def test_how_a_job_ends_says_where_its_meter_stands(fields: dict[str, Any], state: str, code: str) -> None:
    world = room(1)
    world.begin(**SMALL)
    (job,) = world.night()
    world.answer(job, **({"outcome": Outcome.FAILED} | fields))
    assert world.counts() == {state: 1}
    case = world.desk.case("f1")
    assert case is not None
    assert (case.code_names[case.codes[0] - 1] if case.codes[0] else "") == code


def test_results_that_are_not_of_its_jobs_change_nothing() -> None:
    world = room(1)
    world.begin(**SMALL)
    (job,) = world.night()
    for fields in ({"job_id": "other"}, {"attempt": 2}, {"meter_id": "m9"}, {"caused_by": "f9"}, {"attempt": 0}):
        world.answer(job, after_s=0, **fields)
    assert world.counts() == {"sent": 1}


def test_a_transfer_goes_on_where_it_ended_and_costs_the_rest_only() -> None:
    world = room(1)
    world.begin(**SMALL)
    (job,) = world.night()
    world.answer(job, Outcome.FAILED, after_s=200, code="firmware-unfinished", after="490/980", rows=500)
    assert world.tick(60) == []
    (again,) = world.tick(1_000)
    assert (again.attempt, again.id != job.id) == (2, True)
    case = world.desk.case("f1")
    assert case is not None
    assert (case.shares[0], case.failures[0]) == (50, 0)
    budget = world.desk._budgets.of(Network.NB_IOT, "cell1")
    assert sum(budget.used.values()) == pytest.approx(200_000 * 10 / 8 + 260_000, rel=0.06)


def test_tried_as_often_as_allowed_it_has_failed() -> None:
    world = room(1)
    world.begin(retries="2", **SMALL)
    for night in (1, 2, 3):
        (job,) = world.night(night)
        assert job.attempt == night
        world.answer(job, Outcome.FAILED, code="peer-closed")
    assert world.counts() == {"failed": 1}
    assert world.night(4) == []


def test_a_gateway_that_does_not_answer_is_not_the_meters_fault() -> None:
    world = room(1)
    world.begin(retries="0", **SMALL)
    (job,) = world.night()
    assert job.deadline is not None
    world.tick((job.deadline - world.clock.now_ms()) / 1000 + 1_801)
    assert world.counts() == {"retry": 1}
    world.answer(job, Outcome.FAILED, code="firmware-silent")
    assert world.counts() == {"quiet": 1}
    heard = JobResult(meter_id="m0", operation=Operation.READ_CLOCK, outcome=Outcome.DONE)
    world.desk.result(replace(heard, started_at=world.clock.now_ms() + 1_000), b"")
    again = [found for found in world.night(2) if found.operation is Operation.FIRMWARE_TRANSFER]
    assert [found.attempt for found in again] == [2]
    world.answer(job)
    assert world.counts() == {"done": 1}


def test_a_silent_meter_is_pinged_and_comes_back_or_is_given_up() -> None:
    world = Room(meter("back"), meter("gone", segment="cell2"), meter("other", segment="cell3"))
    world.begin(canary="3", waves="100%", silent="95%", failures="95%", silent_after="1d")
    jobs = {job.meter_id: job for job in world.night()}
    for name in ("back", "gone"):
        world.answer(jobs[name], Outcome.FAILED, code="firmware-silent")
    world.answer(jobs["other"])
    pings = [job for _ in range(5) for job in world.tick(3_600) if job.operation is Operation.PING]
    assert {job.meter_id for job in pings} == {"back", "gone"}
    assert all(job.cause is Cause.FIRMWARE and not job.request for job in pings)
    world.answer(next(job for job in pings if job.meter_id == "back"), after_s=1)
    assert world.counts() == {"retry": 1, "quiet": 1, "done": 1}
    (again,) = [job for job in world.night(2) if job.meter_id == "back"]
    world.answer(again)
    later = [job for _ in range(30) for job in world.tick(3_600) if job.operation is Operation.PING]
    assert world.counts()["silent"] == 1
    assert len({job.id for job in [*pings, *later]}) == len([*pings, *later])
    # Heard after all, by whomever: the next job reads what it runs.
    heard = JobResult(meter_id="gone", operation=Operation.READ_CLOCK, outcome=Outcome.DONE)
    world.desk.result(heard, b"")
    assert "retry" not in world.counts()
    world.desk.result(replace(heard, started_at=world.clock.now_ms()), b"")
    assert world.counts()["retry"] == 1


def test_a_meter_that_left_or_has_the_version_by_now_is_skipped() -> None:
    world = room(4)
    world.begin(canary="4", waves="100%")
    world.fleet.apply("m0", None)
    world.fleet.apply("m1", meter("m1", firmware="2.0"))
    world.fleet.apply("m2", meter("m2", groups=("elsewhere",)))
    jobs = world.night()
    assert [job.meter_id for job in jobs] == ["m3"]
    for job in jobs:
        world.answer(job)
    world.tick()
    assert world.counts() == {"skipped": 3, "done": 1}
