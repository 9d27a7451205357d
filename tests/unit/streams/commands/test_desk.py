"""What becomes of requests, decisions, results and time at the desk."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from schemas.records import (
    AuditEntry,
    Cause,
    CommandAck,
    CommandCase,
    CommandState,
    ControlKind,
    Job,
    Network,
    Operation,
    Outcome,
    Priority,
    Target,
    Verdict,
)
from schemas.signatures import digest
from streams.commands.states import TABLE, Event
from streams.runtime.authority.jobs import verify_job
from streams.runtime.authority.refusals import Proven
from streams.runtime.settings import Commands
from tests.unit.streams.commands.builders import Room
from tests.unit.streams.runtime.authority.builders import (
    CODEC,
    DAY,
    MINUTE,
    NOW,
    POLICY,
    again,
    altered,
    asks,
    authorization,
    control,
    decides,
    meter,
    operator,
    policy,
    request,
)

S = CommandState
ASKED = asks()
READ = CODEC.encode(request(operation=Operation.READ_REGISTERS, by="mdm"))


def test_a_disconnection_goes_its_way() -> None:
    room = Room()
    assert room.request(ASKED) == [S.RECEIVED, S.AWAITING_APPROVAL]
    assert room.jobs() == []
    assert room.decision(decides(ASKED)) == [S.APPROVED, S.QUEUED, S.SENT]
    (job,) = room.jobs()
    assert (job.meter_id, job.operation, job.priority, job.cause) == (
        "m1",
        Operation.DISCONNECT,
        Priority.ON_DEMAND,
        Cause.ON_DEMAND,
    )
    assert job.request == ASKED
    assert isinstance(verify_job(room.around, job, meter(), NOW), Proven)
    assert room.result(job, before="connected", after="disconnected") == [S.DONE]
    ack = room.last()
    assert (ack.command_id, ack.meter_id, ack.job_id) == ("c1", "m1", "")
    assert (ack.before, ack.after, ack.code) == ("connected", "disconnected", "")
    assert (ack.command_ms, ack.queue_ms, ack.pipeline_ms) == (MINUTE, 5, 0)
    actions = "received awaiting-approval approved queued sent done"
    assert room.audit() == [f"command-{action}" for action in actions.split()]
    actors = [entry.actor for entry in room.all(AuditEntry)]
    assert actors == ["alice", "hes-commands", "bob", "hes-commands", "hes-commands", "hes-gateway"]
    assert room.all(AuditEntry)[0].digest == digest(ASKED)


def test_a_read_goes_at_once_and_carries_no_proofs() -> None:
    room = Room()
    assert room.request(READ) == [S.RECEIVED, S.APPROVED, S.QUEUED, S.SENT]
    (job,) = room.jobs()
    assert (job.request, job.decisions) == (b"", ())
    assert room.all(AuditEntry)[0].actor == "unsigned:mdm"


REFUSED: dict[str, tuple[bytes, str]] = {
    "unsigned": (CODEC.encode(request()), "unsigned"),
    "unknown key": (asks(by="eve"), "operator-unknown"),
    "stale": (asks(requested_at=NOW - POLICY.fresh_ms - 1), "request-not-fresh"),
    "unknown meter": (asks("m1", "nobody"), "target-unknown"),
    "nobody": (asks(target=Target(groups=("none",))), "target-empty"),
    "life support": (asks("vital"), "protected"),
    "junk": (b"junk", "request-unreadable"),
}


@pytest.mark.parametrize(("value", "code"), REFUSED.values(), ids=REFUSED)
def test_refused_names_its_reason_and_is_on_the_chain(value: bytes, code: str) -> None:
    room = Room()
    room.meter("vital", life_support=True)
    assert room.request(value)[-1] is S.REJECTED
    assert room.last().code == code
    assert room.jobs() == []
    assert room.audit()[-1] in ("request-refused", "command-rejected")
    assert room.all(AuditEntry)[-1].code == code


BAD_DECISIONS: dict[str, tuple[bytes, str]] = {
    "by who asked": (decides(ASKED, by="alice"), "decision-self"),
    "another request": (decides(asks(reason="x")), "decision-other-request"),
    "another target": (decides(ASKED, "m2"), "decision-other-target"),
    "late": (decides(ASKED, decided_at=NOW + DAY), "decision-late"),
    "unknown key": (decides(ASKED, by="eve"), "operator-unknown"),
    "unsigned": (altered(decides(ASKED), signature=b""), "unsigned"),
    "no role": (decides(ASKED, by="desk"), "role-missing"),
}


@pytest.mark.parametrize(("value", "code"), BAD_DECISIONS.values(), ids=BAD_DECISIONS)
def test_a_bad_decision_leaves_the_command_where_it_was(value: bytes, code: str) -> None:
    room = Room()
    room.request(ASKED)
    assert room.decision(value) == [S.AWAITING_APPROVAL]
    assert room.last().code == code
    assert (room.audit()[-1], room.all(AuditEntry)[-1].code) == ("decision-refused", code)
    assert room.jobs() == []
    assert room.decision(decides(ASKED))[-1] is S.SENT


def test_a_decision_on_nothing_is_on_the_chain() -> None:
    room = Room()
    assert room.decision(decides(ASKED)) == []
    assert room.all(AuditEntry)[-1].code == "decision-unknown-command"


def test_a_decision_that_comes_late_is_late_whatever_it_says() -> None:
    room = Room()
    room.request(ASKED)
    room.clock.advance(POLICY.decide_ms / 1000)
    assert room.decision(decides(ASKED)) == [S.AWAITING_APPROVAL]
    assert room.last().code == "decision-late"
    assert room.tick(1) == [S.EXPIRED]


def test_replayed_and_taken_ids_change_nothing() -> None:
    room = Room()
    room.request(ASKED)
    room.decision(decides(ASKED))
    assert room.request(ASKED) == [S.SENT]
    assert room.last().code == "command-replayed"
    assert room.request(asks(reason="another")) == [S.SENT]
    assert room.last().code == "command-id-taken"
    assert room.request(CODEC.encode(request())) == [S.SENT]
    assert room.last().code == "unsigned"
    assert room.decision(decides(ASKED)) == [S.SENT]
    assert room.last().code == "decision-too-late"
    assert len(room.jobs()) == 1


def test_a_made_up_request_takes_no_id_from_the_true_one() -> None:
    room = Room()
    assert room.request(CODEC.encode(request())) == [S.REJECTED]
    assert room.request(ASKED) == [S.RECEIVED, S.AWAITING_APPROVAL]


def test_rejected_and_cancelled() -> None:
    room = Room()
    room.request(ASKED)
    assert room.decision(decides(ASKED, verdict=Verdict.REJECT, reason="paid meanwhile")) == [S.REJECTED]
    assert (room.last().code, room.last().detail) == ("decision-rejected", "bob: paid meanwhile")
    other = asks(id="c2")
    room.request(other)
    assert room.decision(decides(other, by="alice", verdict=Verdict.CANCEL)) == [S.CANCELLED]
    third = asks(id="c3")
    room.request(third)
    room.decision(decides(third))
    assert room.decision(decides(third, by="alice", verdict=Verdict.CANCEL)) == [S.SENT]
    assert room.last().code == "decision-too-late"


@pytest.mark.parametrize("verdict", [Verdict.PAUSE, Verdict.RESUME])
def test_what_is_for_campaigns_takes_no_command_back(verdict: Verdict) -> None:
    room = Room()
    room.request(ASKED)
    assert room.decision(decides(ASKED, verdict=verdict)) == [S.AWAITING_APPROVAL]
    assert room.last().code == "decision-unreadable"
    assert room.decision(decides(ASKED)) == [S.APPROVED, S.QUEUED, S.SENT]


def test_frozen_between_approval_and_its_time() -> None:
    room = Room()
    value = asks(not_before=NOW + 10 * MINUTE)
    room.request(value)
    assert room.decision(decides(value)) == [S.APPROVED, S.QUEUED]
    room.desk.control(control(ControlKind.FREEZE, "desk", issued_at=NOW))
    assert room.tick(11 * 60) == [S.REJECTED]
    assert room.last().code == "frozen"
    assert room.jobs() == []
    assert "freeze-set" in room.audit()


def test_the_daily_limit_counts_meters_of_an_area() -> None:
    room = Room(policy(limits=dict(POLICY.limits) | {"transformer": 2}))
    for number in (1, 2, 3):
        value = asks(f"m{number}", id=f"c{number}")
        room.request(value)
        room.decision(decides(value, f"m{number}"))
    assert (room.last().state, room.last().code) == (S.REJECTED, "over-limit")
    assert len(room.jobs()) == 2
    room = room.restarted()
    value = asks("m4", id="c4")
    room.request(value)
    assert room.decision(decides(value, "m4")) == [S.REJECTED]
    room.clock.advance(86_400)
    value = asks("m5", id="c5", requested_at=room.clock.now_ms())
    room.request(value)
    assert room.decision(decides(value, "m5", decided_at=room.clock.now_ms()))[-1] is S.SENT


def test_prepayment_goes_by_its_standing_authorization_and_no_further() -> None:
    room = Room(POLICY, authorization())
    for number in range(11, 15):
        room.meter(f"m{number}", groups=("prepaid",), transformer=f"T{number}")
        found = room.request(asks(f"m{number}", by="prepay", id=f"c{number}"))
        assert found == ([S.RECEIVED, S.APPROVED, S.QUEUED, S.SENT] if number < 14 else [S.RECEIVED, S.REJECTED])
    assert room.last().code == "over-limit"
    assert all(
        isinstance(verify_job(room.around, job, meter(job.meter_id, groups=("prepaid",)), NOW), Proven)
        for job in room.jobs()
    )
    assert room.request(asks("m1", by="prepay", id="c1")) == [S.RECEIVED, S.AWAITING_APPROVAL]


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


def many(room: Room, count: int, **fields: Any) -> bytes:
    for number in range(count):
        room.meter(f"b{number:03}", feeder="F9")
    return CODEC.encode(request(operation=Operation.PING, target=Target(feeders=("F9",)), **fields))


def test_bulk_goes_by_the_bulk_lane_paced_with_one_summary() -> None:
    room = Room(settings=Commands(jobs_per_s=10, urgent_meters=5))
    assert room.request(many(room, 25)) == [S.RECEIVED, S.APPROVED, S.QUEUED]
    seen = []
    for _ in range(3):
        room.tick(1)
        seen.append(len(room.jobs()))
    assert seen == [10, 20, 25]
    assert {out.topic for out in room.written if isinstance(out.record, Job)} == {"hes.jobs.bulk"}
    assert len({job.id for job in room.jobs()}) == 25
    jobs = room.jobs()
    for job in jobs[:-1]:
        assert room.result(job) == []
    assert room.result(jobs[-1], Outcome.FAILED, code="connect-refused", detail="no") == [S.FAILED]
    assert room.last().detail == "24 done, 1 failed; meter b024: no"
    assert room.last().code == "connect-refused"


def test_bulk_commands_take_turns() -> None:
    room = Room(settings=Commands(jobs_per_s=10, urgent_meters=5))
    value = many(room, 30)
    room.request(value)
    room.request(many(room, 30, id="c2"))
    room.tick(1)
    room.tick(1)
    assert [sum(job.caused_by == name for job in room.jobs()) for name in ("c1", "c2")] == [10, 10]


def test_bulk_cancelled_half_way() -> None:
    room = Room(settings=Commands(jobs_per_s=10, urgent_meters=5))
    value = many(room, 25)
    room.request(value)
    room.tick(1)
    cancel = decides(value, by="carol", verdict=Verdict.CANCEL, reason="enough")
    assert room.decision(cancel) == [S.SENT]
    assert room.tick(5) == []
    assert len(room.jobs()) == 10
    for job in room.jobs()[:9]:
        room.result(job)
    assert room.result(room.jobs()[9]) == [S.CANCELLED]
    assert room.last().detail.startswith("10 done, 15 cancelled")


def test_bulk_survives_a_restart_in_the_middle_and_issues_each_job_once() -> None:
    room = Room(settings=Commands(jobs_per_s=10, urgent_meters=5))
    room.request(many(room, 25))
    room.tick(1)
    room = room.restarted()
    for _ in range(5):
        room.tick(1)
        room = room.restarted()
    assert sorted(job.meter_id for job in room.jobs()) == [f"b{number:03}" for number in range(25)]
    for job in room.jobs():
        room.result(job)
        room = room.restarted()
    assert room.last().state is S.DONE
    room.audit()


@pytest.mark.parametrize("until", ["asked", "approved", "answered"])
def test_restarted_at_every_stage_the_relay_is_asked_once(until: str) -> None:
    room = Room()
    room.request(ASKED)
    room = room.restarted() if until == "asked" else room
    room.decision(decides(ASKED))
    room = room.restarted() if until == "approved" else room
    room.result(room.jobs()[0])
    room = room.restarted() if until == "answered" else room
    assert len(room.jobs()) == 1
    assert room.desk.case("c1") is not None
    assert room.last().state is S.DONE
    room.audit()


def test_ended_commands_are_forgotten_and_a_replay_is_then_stale() -> None:
    room = Room()
    room.request(READ)
    room.result(room.jobs()[0])
    room.tick(3_700)
    tombs = [out.key for out in room.written if out.record is None]
    assert tombs == ["case/c1", "status/c1"]
    assert room.request(READ) == [S.REJECTED]
    assert room.last().code == "request-not-fresh"


def test_a_target_beyond_the_policy_is_refused_whole() -> None:
    room = Room()
    for number in range(60):
        room.meter(f"x{number}", feeder="F8")
    assert room.request(asks(target=Target(feeders=("F8",)))) == [S.RECEIVED, S.REJECTED]
    assert room.last().code == "target-too-large"


def test_a_meter_taken_down_meanwhile_is_left_out_and_said() -> None:
    room = Room(settings=Commands(jobs_per_s=10, urgent_meters=1))
    room.request(many(room, 3))
    room.directory.apply("b001", None)
    room.tick(1)
    for job in room.jobs():
        room.result(job)
    assert (room.last().state, room.last().code) == (S.FAILED, "target-unknown")
    assert [job.meter_id for job in room.jobs()] == ["b000", "b002"]


def test_records_of_operators_are_on_the_chain() -> None:
    room = Room()
    room.desk.operator(operator("dave", ("meter-operator",)))
    room.desk.operator(operator("dave", ("meter-operator",), version=2, revoked=True))
    room.desk.operator(again(operator("eve", ("supervisor",)), "eve"))
    room.desk.control(control(ControlKind.FREEZE, "intern"))
    room.take()
    assert room.audit() == ["operator-accepted", "operator-revoked", "operator-refused", "control-refused"]


def test_events_that_the_table_does_not_have_change_nothing() -> None:
    """Every state with every event that is illegal there, by the desk's own step."""
    for state in CommandState:
        for event in set(Event) - set(TABLE[state]):
            room = sent()
            case = room.desk.case("c1")
            assert case is not None
            case.state = state
            before = case.as_status()
            assert room.desk._step(case, event, None) is False  # type: ignore[arg-type]  # it must not even look at why
            assert (case.as_status(), room.desk.paper.take()) == (before, [])


def test_the_book_holds_exact_bytes() -> None:
    room = sent()
    (case,) = room.all(CommandCase)
    assert (case.request, case.meters) == (ASKED, ("m1",))
    assert {ack.command_id for ack in room.all(CommandAck)} == {"c1"}


def sent() -> Room:
    room = Room()
    room.request(ASKED)
    room.decision(decides(ASKED))
    return room
