"""Campaigns from proposal to end, at a desk: waves, pauses, what halts them, activation at a time."""

from __future__ import annotations

from schemas.records import (
    CampaignState,
    CampaignStop,
    Cause,
    CommandState,
    ControlKind,
    Job,
    JobResult,
    Network,
    Operation,
    Outcome,
    Priority,
    Target,
    Verdict,
)
from streams.firmware.output import state_of
from streams.runtime.authority.jobs import verify_job
from streams.runtime.authority.refusals import Proven, Refusal
from tests.unit.streams.firmware.world import DAY, HOUR, IMAGE, SMALL, START, Room, meter, room
from tests.unit.streams.runtime.authority.builders import control, operator

S = CampaignState


def test_a_meter_from_proposal_to_the_version_that_was_wanted() -> None:
    world = room(1)
    value = world.asks(target=None, **SMALL)
    world.desk.request(value)
    assert world.state() is S.DRAFT
    assert world.night() == []
    world.desk.decision(world.decides(value))
    (job,) = world.tick()
    assert job.operation is Operation.FIRMWARE_TRANSFER
    assert (job.priority, job.cause, job.caused_by, job.attempt) == (Priority.FIRMWARE, Cause.FIRMWARE, "f1", 1)
    assert job.parameters == {"image": IMAGE, "version": "2.0"} | SMALL
    place = world.fleet.get("m0")
    assert place is not None
    assert isinstance(verify_job(world.around, job, place, world.clock.now_ms()), Proven)
    world.answer(job)
    assert world.counts() == {"done": 1}
    world.tick()
    world.tick(3_601)
    assert world.state() is S.DONE
    actions = [entry.action for entry in world.audit()]
    assert actions == ["campaign-draft", "campaign-approved", "campaign-canary", "campaign-done"]
    acks = [ack.state for ack in world.acks()]
    assert acks == [CommandState.AWAITING_APPROVAL, CommandState.APPROVED, CommandState.SENT, CommandState.DONE]


def test_paused_it_sends_nothing_and_resumed_it_goes_on_where_it_was() -> None:
    world = room(4)
    value = world.begin(**SMALL)
    (job,) = world.night()
    world.clock.advance(1)
    world.desk.decision(world.decides(value, by="alice", verdict=Verdict.PAUSE))
    assert world.state() is S.PAUSED
    world.answer(job)
    assert world.counts() == {"waiting": 3, "done": 1}
    assert [world.tick(1_800) for _ in range(10)] == [[]] * 10
    world.desk.decision(world.decides(value, by="alice", verdict=Verdict.RESUME))
    assert (world.codes()[-1], world.state()) == ("role-missing", S.PAUSED)
    resume = world.decides(value, verdict=Verdict.RESUME)
    world.desk.decision(resume)
    world.tick()
    assert world.state() is S.WAVES
    (job,) = world.night(2)
    pause = world.decides(value, verdict=Verdict.PAUSE)
    world.desk.decision(pause)
    world.desk.decision(resume)
    assert (world.codes()[-1], world.state()) == ("decision-outdated", S.PAUSED)
    world.answer(job)
    assert world.counts() == {"waiting": 2, "done": 2}


def test_halted_it_sends_nothing_within_one_tick_and_late_results_still_count() -> None:
    world = Room(*(meter(f"m{number}", segment=f"cell{number}") for number in range(6)))
    value = world.begin(canary="1", waves="50%,100%", soak="1h")
    (job,) = world.night()
    world.answer(job)
    world.tick(0)
    jobs = world.tick(3_601)
    assert len(jobs) == 2
    world.desk.decision(world.decides(value, verdict=Verdict.CANCEL))
    assert world.state() is S.HALTED
    assert world.tick() == []
    world.answer(jobs[0])
    world.answer(jobs[1], Outcome.FAILED, code="peer-closed")
    assert world.counts() == {"waiting": 3, "retry": 1, "done": 2}
    assert world.night(2) == world.night(3) == []
    assert world.acks()[-1].state is CommandState.CANCELLED
    world.desk.decision(world.decides(value, verdict=Verdict.RESUME))
    assert world.codes()[-1] == "decision-too-late"


def test_a_freeze_holds_it_and_its_end_lets_it_go_on() -> None:
    world = room()
    world.begin(**SMALL)
    world.desk.control(control(ControlKind.FREEZE, "alice", issued_at=START))
    assert world.night() == []
    world.desk.control(control(ControlKind.FREEZE, "carol", issued_at=START + 1, lifted=True))
    assert len(world.tick(120)) == 1


def test_a_key_that_was_revoked_pauses_it() -> None:
    world = room()
    world.begin(**SMALL)
    world.night()
    world.desk.operator(operator("carol", ("supervisor",), version=9, revoked=True))
    world.tick(61)
    assert (world.state(), world.codes()[-1]) == (S.PAUSED, "operator-revoked")


def test_a_manifest_that_was_replaced_pauses_it() -> None:
    world = room()
    world.begin(**SMALL)
    world.night()
    world.images.found[IMAGE] = Refusal("signature-invalid", "forged")
    world.tick(61)
    assert (world.state(), world.codes()[-1]) == (S.PAUSED, "signature-invalid")


def canary_of(count: int, **terms: str) -> tuple[Room, list[Job]]:
    world = Room(*(meter(f"m{number:03}", segment=f"cell{number}") for number in range(count + 5)))
    world.begin(canary=str(count), waves="100%", soak="1h", **terms)
    return world, world.night()


def test_a_canary_that_goes_silent_halts_it() -> None:
    world, jobs = canary_of(60)
    assert len(jobs) == 60
    for number, job in enumerate(jobs):
        world.answer(
            job, *((Outcome.FAILED,) if number % 12 == 0 else ()), code="firmware-silent" if number % 12 == 0 else ""
        )
    world.tick()
    assert (world.state(), world.codes()[-1]) == (S.HALTED, "share-silent")
    assert world.acks()[-1].state is CommandState.FAILED
    assert "5 of 60 meters silent after activation" in world.audit()[-1].detail
    # Whether they come back is still asked.
    assert {job.operation for job in world.night(2)} == {Operation.PING}


def test_a_canary_that_proves_neither_waits_for_somebody_who_answers_for_it() -> None:
    world, jobs = canary_of(60)
    for number, job in enumerate(jobs):
        world.answer(job, *((Outcome.FAILED,) if number == 0 else ()), code="firmware-refused" if number == 0 else "")
    world.tick()
    world.tick(3_601)
    assert (world.state(), world.codes()[-1]) == (S.PAUSED, "canary-undecided")
    value = world.desk.case("f1").asked.value  # type: ignore[union-attr]  # it is there
    world.desk.decision(world.decides(value, verdict=Verdict.RESUME))
    assert len(world.tick()) == 5
    assert world.state() is S.WAVES


def test_reads_that_fail_after_activation_halt_it() -> None:
    world, jobs = canary_of(40, missing="5%")
    for job in jobs:
        world.answer(job)
    at = world.clock.now_ms()

    def read(name: str, outcome: Outcome, hours: int) -> None:
        world.desk.result(
            JobResult(meter_id=name, operation=Operation.READ_PROFILE, outcome=outcome, started_at=at + hours * HOUR), b""
        )

    for number, job in enumerate(jobs):
        for hours in (1, 2, 3):
            read(job.meter_id, Outcome.FAILED if number < 10 else Outcome.DONE, hours)
    read(jobs[0].meter_id, Outcome.DONE, 4)
    world.tick()
    assert (world.state(), world.codes()[-1]) == (S.HALTED, "share-missing")
    case = world.desk.case("f1")
    assert case is not None
    assert (case.missing, case.heard) == ([9, 0], [31, 0])
    case.recount()
    assert (case.missing, case.heard) == ([9, 0], [31, 0])


def test_activation_at_a_time_of_its_own_goes_by_the_waves_once_more() -> None:
    world = room(4)
    world.begin(canary="1", waves="100%", soak="1h", activate="2026-10-09T00:00:00+02:00")
    for _ in range(4):
        for job in world.night(1) if not world.jobs() else world.tick(3_601):
            world.answer(job, after="verified")
    while world.counts() != {"verified": 4}:
        for job in world.tick(1_800):
            world.answer(job, after="verified")
    assert world.state() is S.WAVES
    assert world.night(3) == []
    (canary,) = world.night(4)
    assert world.state() is S.CANARY
    assert world.counts() == {"verified": 3, "activating": 1}
    world.answer(canary)
    world.tick()
    rest = [job for _ in range(3) for job in world.tick(1_900)]
    assert [job.attempt for job in rest] == [2]
    world.answer(rest[0])
    assert world.counts()["done"] == 2


def test_brought_there_and_not_activated_it_is_done() -> None:
    world = room(1)
    world.begin(activate="verified", **SMALL)
    (job,) = world.night()
    world.answer(job, after="verified")
    assert world.counts() == {"verified": 1}
    for _ in range(2):
        world.tick(3_601)
    assert world.state() is S.DONE
    assert world.codes() == []


def test_its_time_is_over_and_the_rest_is_not_sent() -> None:
    world = room(3)
    world.begin(**SMALL)
    world.tick(85 * 86_400)
    assert (world.state(), world.codes()[-1]) == (S.HALTED, "request-expired")
    case = world.desk.case("f1")
    assert case is not None
    assert state_of(case) is CommandState.EXPIRED


def test_two_campaigns_share_the_budget_of_a_segment_and_the_first_goes_first() -> None:
    world = Room(*(meter(f"m{number}", groups=("all", f"g{number % 2}")) for number in range(20)))
    for name in ("g0", "g1"):
        value = world.asks(name=name, target=Target(groups=(name,)), canary="10", waves="100%")
        world.desk.request(value)
        world.desk.decision(world.decides(value))
    for job in world.night():
        world.answer(job, after_s=412)
    for _ in range(40):
        for job in world.tick(60):
            world.answer(job, after_s=412)
    sent = [job for job in world.jobs() if (job.not_before or 0) < START - START % DAY + DAY - HOUR]
    assert [job.caused_by for job in sent] == ["g0"] * 6
    assert max(world.desk._budgets.of(Network.NB_IOT, "cell1").used.values()) <= 2_700_000


def test_ended_campaigns_are_forgotten_in_time() -> None:
    world = room(1)
    value = world.asks()
    world.desk.request(value)
    world.desk.decision(world.decides(value, verdict=Verdict.REJECT))
    world.tick(91 * 86_400)
    assert world.desk.case("f1") is None
    gone = [out.key for out in world.written if out.topic == "hes.campaigns" and out.record is None]
    assert sorted(gone) == ["campaign/f1", "meters/f1/0", "progress/f1/0"]


def stops(world: Room) -> list[CampaignStop]:
    world.take()
    return [
        out.record for out in world.written if out.topic == "hes.campaign-stops" and isinstance(out.record, CampaignStop)
    ]


def test_gateways_are_told_of_a_pause_and_take_what_is_sent_after_it_was_resumed() -> None:
    world = room(2)
    value = world.begin(**SMALL)
    (job,) = world.night()
    assert stops(world) == []
    world.desk.decision(world.decides(value, verdict=Verdict.PAUSE))
    (stop,) = stops(world)
    assert (stop.id, stop.at, stop.final, stop.code, stop.environment) == (
        "f1", world.clock.now_ms() + 1, False, "campaign-paused", "test",
    )  # fmt: skip
    assert job.issued_at <= stop.at
    world.answer(
        job, Outcome.CANCELLED, code="campaign-halted", detail="300 of 980 blocks are in the meter; paused", rows=300
    )
    assert world.counts() == {"waiting": 1, "partly": 1}
    assert [world.tick(1_800) for _ in range(3)] == [[]] * 3
    world.clock.advance(0.001)
    world.desk.decision(world.decides(value, verdict=Verdict.RESUME))
    (again,) = world.tick()
    assert (again.meter_id, again.attempt, again.issued_at > stop.at) == (job.meter_id, 2, True)
    case = world.desk.case("f1")
    assert case is not None
    index = case.meters.index(job.meter_id)
    assert (case.shares[index], case.failures[index]) == (30, 0)
    assert len(stops(world)) == 1


def test_a_halt_is_told_for_good_and_what_was_not_begun_is_no_failure() -> None:
    world = room(2)
    value = world.begin(**SMALL)
    (job,) = world.night()
    world.desk.decision(world.decides(value, verdict=Verdict.CANCEL))
    assert [(stop.final, stop.code) for stop in stops(world)] == [(True, "campaign-cancelled")]
    world.answer(job, Outcome.CANCELLED, code="campaign-halted", after_s=0)
    assert world.counts() == {"waiting": 1, "retry": 1}
    assert world.night(2) == []


def test_what_halts_by_itself_is_told_to_gateways_too() -> None:
    world, jobs = canary_of(60)
    for job in jobs[:30]:
        world.answer(job, Outcome.FAILED, code="firmware-silent")
    world.tick()
    assert [(stop.final, stop.code) for stop in stops(world)] == [(True, "share-silent")]


def test_a_clock_that_went_back_voids_no_job_that_is_sent_after_a_pause() -> None:
    world = room(1)
    value = world.begin(**SMALL)
    (job,) = world.night()
    world.clock.advance(0.9)
    world.desk.decision(world.decides(value, verdict=Verdict.PAUSE))
    world.answer(job, Outcome.CANCELLED, code="campaign-halted", after_s=0)
    world.restart()
    resume = world.decides(value, verdict=Verdict.RESUME, decided_at=world.clock.now_ms() + 1)
    world.clock.advance(-0.5)
    world.desk.decision(resume)
    (again,) = world.tick()
    assert again.issued_at > stops(world)[0].at
