"""What becomes of results at the desk: of ours, of others, late ones and refusals."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from schemas.records import AuditEntry, CommandState, Network, Outcome
from tests.unit.streams.commands.builders import READ, Room, S, sent
from tests.unit.streams.runtime.authority.builders import NOW, operator

OUTCOMES = {
    Outcome.DONE: S.DONE,
    Outcome.FAILED: S.FAILED,
    Outcome.EXPIRED: S.EXPIRED,
    Outcome.CANCELLED: S.CANCELLED,
    Outcome.OUTCOME_UNKNOWN: S.OUTCOME_UNKNOWN,
}


@pytest.mark.parametrize(("outcome", "state"), OUTCOMES.items(), ids=OUTCOMES)
def test_a_result_ends_the_command_once(outcome: Outcome, state: CommandState) -> None:
    room = sent()
    (job,) = room.jobs()
    assert room.result(job, outcome, code="x", detail="why") == [state]
    assert room.result(job, outcome, code="x", detail="why") == []


def test_a_late_result_makes_the_unknown_known() -> None:
    room = sent()
    (job,) = room.jobs()
    assert room.tick(60 + 60 + 60 + 1) == [S.OUTCOME_UNKNOWN]
    assert room.last().code == "job-unanswered"
    assert room.result(job) == [S.DONE]
    assert room.last().code == ""


def test_a_result_that_comes_late_and_says_that_its_time_was_over_is_believed_too() -> None:
    room = sent()
    (job,) = room.jobs()
    room.tick(60 + 60 + 60 + 1)
    assert room.result(job, Outcome.EXPIRED, code="job-expired") == [S.EXPIRED]


def revoked(name: str = "bob") -> bytes:
    return operator(name, ("meter-operator",), revoked=True, version=2)


def test_a_copy_that_was_refused_for_a_decision_that_is_not_ours_does_not_end_the_command() -> None:
    """Somebody put the decision of an operator who was revoked into a copy of the job."""
    room = sent()
    (job,) = room.jobs()
    refused: dict[str, Any] = {"code": "operator-revoked", "detail": "the key of operator gone was revoked"}
    assert room.result(job, Outcome.FAILED, **refused) == []
    assert room.audit()[-1] == "job-refused"
    room.tick(1)
    assert room.audit()[-1] == "job-refused"
    assert room.result(job) == [S.DONE]


@pytest.mark.parametrize("known_first", [True, False], ids=["known here first", "known at the gateway first"])
def test_a_job_whose_decision_was_revoked_since_fails_its_command(known_first: bool) -> None:
    room = sent()
    (job,) = room.jobs()
    if known_first:
        room.desk.operator(revoked())
    states = room.result(job, Outcome.FAILED, code="operator-revoked", detail="bob was revoked")
    if not known_first:
        room.desk.operator(revoked())
        states += room.tick(1)
    assert states == [S.FAILED]
    assert room.last().code == "operator-revoked"


def test_a_refusal_does_not_undo_what_may_have_been_done() -> None:
    room = sent()
    (job,) = room.jobs()
    assert room.result(job, Outcome.OUTCOME_UNKNOWN, code="outcome-unknown") == [S.OUTCOME_UNKNOWN]
    room.desk.operator(revoked())
    room.take()
    for code in ("operator-revoked", "job-replayed", "request-expired"):
        assert room.result(job, Outcome.FAILED, code=code) == []
    assert room.result(job) == [S.DONE]


def test_a_read_that_nobody_answers_expires_by_its_network() -> None:
    for network, seconds in ((Network.NB_IOT, 90), (Network.PLC_PRIME, 600)):
        room = Room()
        room.meter("m1", network=network)
        room.request(READ)
        assert room.jobs()[0].deadline == NOW + seconds * 1000
        assert room.tick(seconds + 59) == []
        assert room.tick(2) == [S.EXPIRED]


def test_results_of_others_and_made_up_ones_move_nothing() -> None:
    room = sent()
    (job,) = room.jobs()
    before = len(room.audit())
    for result in (
        dataclasses.replace(job, id="made up"),
        dataclasses.replace(job, meter_id="m2"),
        dataclasses.replace(job, caused_by="schedule"),
    ):
        assert room.result(result) == []
    assert room.result(job, attempt=2) == []
    assert len(room.audit()) == before
    room.result(dataclasses.replace(job, id="forged"), Outcome.FAILED, code="job-unproven", detail="no proofs")
    assert room.audit()[before:] == ["job-refused"]
    assert room.all(AuditEntry)[-1].code == "job-unproven"
