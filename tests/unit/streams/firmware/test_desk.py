"""Campaigns from proposal to end, at a desk: what is refused and why, what is sent when, what halts and pauses them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from schemas.records import (
    CampaignState,
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
from schemas.signatures import digest
from streams.firmware.output import state_of
from streams.runtime.authority.jobs import verify_job
from streams.runtime.authority.refusals import Proven, Refusal
from streams.runtime.settings import Band, Bands, Firmware
from tests.unit.streams.firmware.world import DAY, HOUR, IMAGE, START, Images, Room, manifest, meter
from tests.unit.streams.runtime.authority.builders import CODEC, again, asks, control, decides, operator

S = CampaignState
SMALL: dict[str, str] = {"canary": "1", "waves": "100%", "soak": "1h"}


def room(count: int = 3, **fields: Any) -> Room:
    return Room(*(meter(f"m{number}", **fields) for number in range(count)))


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


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "a term that nobody knows": ({"windoes": "00:00-04:00"}, "argument-invalid"),
    "an image that is not there": ({"image": "cd" * 32}, "image-missing"),
    "another version than the image brings": ({"version": "3.0"}, "image-version"),
    "another manifest than was looked at": ({"manifest": "cd" * 32}, "image-invalid"),
    "signed by nobody who may": ({"by": "desk"}, "role-missing"),
    "a meter that nobody knows": ({"meters": ("m0", "m9")}, "target-unknown"),
    "nobody": ({"target": Target(groups=("none",))}, "target-empty"),
    "no hours": ({"windows": "04:00-04:00"}, "argument-invalid"),
}


@pytest.mark.parametrize(("asked", "code"), WRONG.values(), ids=WRONG)
def test_a_request_is_refused_for_its_reason_and_on_the_chain(asked: dict[str, Any], code: str) -> None:
    world = room()
    fields = dict(asked)
    value = world.asks(*fields.pop("meters", ()), **fields)
    world.desk.request(value)
    assert world.state() is S.UNKNOWN
    (entry,) = world.audit()
    assert (entry.action, entry.code, entry.digest, entry.chain) == ("request-refused", code, digest(value), "firmware")
    assert world.night() == []


MANIFESTS: dict[str, tuple[Any, dict[str, Any], str]] = {
    "forged": (Refusal("signature-invalid", "not the signature of this key"), {}, "signature-invalid"),
    "revoked": (Refusal("operator-revoked", "revoked"), {}, "operator-revoked"),
    "of another model": (manifest(model="M9"), {}, "meter-model"),
    "of another vendor": (manifest(vendor="Other"), {}, "meter-model"),
    "of other templates": (manifest(templates=("idis",)), {}, "meter-template"),
    "from other versions": (manifest(from_versions=("0.9",)), {}, "meter-version"),
    "a lower version": (manifest(to_version="0.9"), {"version": "0.9"}, "meter-downgrade"),
    "the version that is there": (manifest(to_version="1.0"), {"version": "1.0"}, "meter-current"),
}


@pytest.mark.parametrize(("found", "terms", "code"), MANIFESTS.values(), ids=MANIFESTS)
def test_an_image_that_is_not_for_these_meters_is_refused(found: Any, terms: dict[str, Any], code: str) -> None:
    world = room()
    world.images.found[IMAGE] = found
    world.desk.request(world.asks(**terms))
    assert [(entry.action, entry.code) for entry in world.audit()] == [("request-refused", code)]


def test_octets_that_are_not_those_of_the_image_are_refused() -> None:
    world = room()
    world.images.forged.add(IMAGE)
    world.desk.request(world.asks())
    assert [entry.code for entry in world.audit()] == ["image-invalid"]


def test_the_way_back_needs_permission_and_is_a_campaign_like_any() -> None:
    world = room(2, firmware="3.0")
    world.desk.request(world.asks(name="no"))
    assert world.codes() == ["meter-downgrade"]
    world.begin(downgrade="yes")
    assert world.state() is S.APPROVED
    assert len(world.night()) == 1


def test_meters_that_the_image_is_not_for_are_left_out_and_told() -> None:
    meters = [
        meter("fits"),
        meter("model", model="M9"),
        meter("there", firmware="2.0"),
        meter("later", firmware="2.1"),
        meter("skipped", groups=("all", "hospital")),
        meter("unread", firmware=""),
    ]
    world = Room(*meters)
    world.begin(skip_groups="hospital", **SMALL)
    assert world.counts() == {"waiting": 2, "refused": 2, "skipped": 2}
    detail = world.audit()[0].detail
    assert "2 of 6 meters take part" in detail
    assert "1 meter-downgrade" in detail
    sent = {job.meter_id for job in world.night()}
    assert sent < {"fits", "unread"}


def test_one_that_would_not_end_in_time_is_refused_beforehand() -> None:
    slow = Band(bits_s=300, meter_bits_s=100, share=0.1, concurrent=1, reading=0)
    world = Room(*(meter(f"m{n}", network=Network.LORAWAN) for n in range(50)), settings=Firmware(bands=Bands(lorawan=slow)))
    world.desk.request(world.asks())
    (entry,) = world.audit()
    assert entry.code == "campaign-too-long"
    assert "LORAWAN cell1 alone needs" in entry.detail


DECISIONS: dict[str, tuple[dict[str, Any], str]] = {
    "by who asked": ({"by": "alice"}, "role-missing"),
    "by who may not": ({"by": "bob"}, "role-missing"),
    "over other meters": ({"meters": ("m0",)}, "decision-other-target"),
    "over other bytes": ({"request_digest": bytes(32)}, "decision-other-request"),
    "made too late": ({"decided_at": START + 2 * DAY}, "decision-late"),
}


@pytest.mark.parametrize(("fields", "code"), DECISIONS.values(), ids=DECISIONS)
def test_a_decision_that_does_not_count_approves_nothing(fields: dict[str, Any], code: str) -> None:
    world = room()
    value = world.asks()
    world.desk.request(value)
    approval = world.decides(value)
    sent = world.decides(value, **fields) if "by" in fields else again(approval, "carol", **fields)
    world.desk.decision(sent)
    assert world.state() is S.DRAFT
    assert world.codes() == [code]
    assert world.night() == []


def test_nobody_decides_and_it_lapses() -> None:
    world = room()
    world.desk.request(world.asks())
    world.tick(25 * 3_600)
    assert world.state() is S.REJECTED
    assert world.codes() == ["decision-missing"]


@pytest.mark.parametrize("verdict", [Verdict.REJECT, Verdict.CANCEL])
def test_a_draft_is_turned_down(verdict: Verdict) -> None:
    world = room()
    value = world.asks()
    world.desk.request(value)
    world.desk.decision(world.decides(value, verdict=verdict))
    assert world.state() is S.REJECTED
    world.desk.decision(world.decides(value))
    assert world.codes()[-1] == "decision-too-late"
    assert world.night() == []


def test_what_was_proposed_before_changes_nothing() -> None:
    world = room()
    value = world.begin(**SMALL)
    world.desk.request(value)
    world.clock.advance(1)
    world.desk.request(world.asks(target=None, **SMALL))
    assert world.codes() == ["command-replayed", "command-id-taken"]
    assert world.state() is S.APPROVED


def test_what_is_not_about_firmware_passes_by() -> None:
    world = room()
    value = asks("m1")
    for octets in (value, b"junk", None):
        world.desk.request(octets)
        world.desk.decision(octets)
    world.desk.decision(decides(value, "m1"))
    assert len(world.desk.paper) == 0


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


def test_images_are_asked_for_by_name_only() -> None:
    assert isinstance(Images().judge("x" * 64), Refusal)
    assert CODEC.decode(CODEC.encode(manifest())) == manifest()
