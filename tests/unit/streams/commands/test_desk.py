"""What becomes of requests, decisions and time at the desk."""

from __future__ import annotations

import pytest

from schemas.records import (
    AuditEntry,
    Cause,
    CommandAck,
    CommandCase,
    CommandState,
    ControlKind,
    Operation,
    Priority,
    Target,
    Verdict,
)
from schemas.signatures import digest
from streams.commands.states import TABLE, Event
from streams.runtime.authority.jobs import verify_job
from streams.runtime.authority.refusals import Proven
from streams.runtime.settings import Commands
from tests.unit.streams.commands.builders import ASKED, READ, Room, S, many, sent
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
