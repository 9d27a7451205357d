"""Every refusal of a command, and what passes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from schemas.records import CommandRequest, ControlKind, Job, Operation, Operator, Target, Verdict
from schemas.signatures import public_key, signed
from streams.runtime.authority.jobs import needs_proof, verify_job, verify_release
from streams.runtime.authority.policy import Hours
from streams.runtime.authority.refusals import CODES, Pending, Proven, Refusal, RefusedError
from streams.runtime.authority.targets import Proofs
from streams.runtime.authority.verify import Around, Scope, check_fresh, examine, verify, vote
from tests.unit.streams.runtime.authority.builders import (
    CODEC,
    DAY,
    HERE,
    HOUR,
    MINUTE,
    NOW,
    POLICY,
    again,
    altered,
    asks,
    authorization,
    control,
    decides,
    key,
    meter,
    operator,
    policy,
    request,
    sign,
    world,
)

ASKED = asks()
FREEZE = control(ControlKind.FREEZE, "desk")
REVOKED = operator("bob", ("meter-operator",), version=2, revoked=True)
EXPIRED = operator("bob", ("meter-operator",), version=2, valid_to=NOW - 1)
SAME_KEY = again(operator("alice2", ("meter-operator",)), "root", public_key=public_key(key("alice")))
CLOSED = policy(
    kinds=dict(POLICY.kinds) | {"disconnect": replace(POLICY.kinds["disconnect"], hours=Hours(frozenset({0}), 0, 1))}
)
TWO = policy(kinds=dict(POLICY.kinds) | {"disconnect": replace(POLICY.kinds["disconnect"], decisions=2)})


CASES: dict[str, tuple[bytes, tuple[bytes, ...], Around, str]] = {
    "junk": (b"junk", (), world(), "request-unreadable"),
    "another record": (operator("alice", ()), (), world(), "request-unreadable"),
    "unsigned": (CODEC.encode(request()), (), world(), "unsigned"),
    "unsigned in a name nobody has": (CODEC.encode(request(by="eve")), (), world(), "unsigned"),
    "unknown key": (asks(by="eve"), (), world(), "operator-unknown"),
    "a key that is not the operator's": (sign(request(), "bob"), (), world(), "signature-invalid"),
    "expired key": (asks(by="bob"), (), world(POLICY, bob=EXPIRED), "operator-expired"),
    "revoked key": (asks(by="bob"), (), world(POLICY, bob=REVOKED), "operator-revoked"),
    "revoked key of who approved": (ASKED, (decides(ASKED),), world(POLICY, bob=REVOKED), "operator-revoked"),
    "altered target": (altered(ASKED, target=Target(meters=("m2",))), (), world(), "signature-invalid"),
    "altered kind": (
        altered(asks(operation=Operation.RECONNECT), operation=Operation.DISCONNECT),
        (),
        world(),
        "signature-invalid",
    ),
    "for another environment": (asks(environment="other"), (), world(), "environment-other"),
    "signed for another environment": (sign(request(), "alice", "other"), (), world(), "signature-invalid"),
    "no role": (asks(by="intern"), (), world(), "role-missing"),
    "a kind that no policy knows": (asks(operation=Operation.UNKNOWN), (), world(), "kind-not-allowed"),
    "no target": (sign(request(target=Target()), "alice"), (), world(), "argument-invalid"),
    "a key in the parameters": (
        asks(operation=Operation.ROTATE_KEY, parameters={"key": "00112233445566778899AABBCCDDEEFF"}),
        (),
        world(),
        "argument-invalid",
    ),
    "a relay's attribute as a parameter": (
        asks(operation=Operation.SET_PARAMETER, objects=("70/0.0.96.3.10.255/4",), by="carol"),
        (),
        world(),
        "role-missing",  # of a disconnection: a supervisor requests none
    ),
    "too late": (asks(requested_at=NOW - 3 * DAY), (), world(), "request-expired"),
    "expired by its own word": (asks(expires=NOW), (), world(), "request-expired"),
    "a meter that the target does not mean": (asks("m2"), (), world(), "target-unknown"),
    "frozen": (ASKED, (decides(ASKED),), world(POLICY, FREEZE), "frozen"),
    "frozen for its feeder": (
        ASKED,
        (decides(ASKED),),
        world(POLICY, control(ControlKind.FREEZE, "bob", target=Target(feeders=("F1",)))),
        "frozen",
    ),
    "on hold": (
        ASKED,
        (),
        world(POLICY, control(ControlKind.HOLD, "bob", target=Target(transformers=("T1",)))),
        "protected",
    ),
    "outside hours": (ASKED, (), world(CLOSED), "outside-hours"),
    "decision: junk": (ASKED, (b"junk",), world(), "decision-unreadable"),
    "decision: unsigned": (ASKED, (altered(decides(ASKED), signature=b""),), world(), "unsigned"),
    "decision: unknown key": (ASKED, (decides(ASKED, by="eve"),), world(), "operator-unknown"),
    "decision: altered": (ASKED, (altered(decides(ASKED), decided_at=NOW - 1),), world(), "signature-invalid"),
    "decision: no role": (ASKED, (decides(ASKED, by="carol"),), world(), "role-missing"),
    "decision: by who asked": (ASKED, (decides(ASKED, by="alice"),), world(), "decision-self"),
    "decision: by who asked, under another name": (
        ASKED,
        (again(decides(ASKED, by="alice2"), "alice"),),
        world(POLICY, alice2=SAME_KEY),
        "decision-self",
    ),
    "decision: late": (ASKED, (decides(ASKED, decided_at=NOW - MINUTE + POLICY.decide_ms + 1),), world(), "decision-late"),
    "decision: before the request": (ASKED, (decides(ASKED, decided_at=NOW - 2 * HOUR),), world(), "decision-late"),
    "decision: in the future": (ASKED, (decides(ASKED, decided_at=NOW + HOUR),), world(), "decision-late"),
    "decision: for another request": (ASKED, (decides(asks(reason="another")),), world(), "decision-other-request"),
    "decision: for another command id": (ASKED, (decides(ASKED, command_id="c2"),), world(), "decision-other-request"),
    "decision: for another target": (ASKED, (decides(ASKED, "m1", "m2"),), world(), "decision-other-target"),
    "decision: for no target": (ASKED, (decides(ASKED, meters=()),), world(), "decision-other-target"),
    "decision: for another environment": (ASKED, (decides(ASKED, environment="other"),), world(), "environment-other"),
    "decision: rejected": (ASKED, (decides(ASKED, verdict=Verdict.REJECT),), world(), "decision-rejected"),
    "decision: neither": (ASKED, (decides(ASKED, verdict=Verdict.UNKNOWN),), world(), "decision-unreadable"),
    "decision: twice by one": (ASKED, (decides(ASKED), decides(ASKED, id="d2")), world(TWO), "decision-repeated"),
    "authorization: not on the book": (ASKED, (authorization(),), world(), "authorization-invalid"),
    "authorization: of another": (ASKED, (authorization(),), world(POLICY, authorization()), "authorization-invalid"),
    "authorization: other meters": (
        asks(by="prepay"),
        (authorization(),),
        world(POLICY, authorization()),
        "authorization-invalid",
    ),
}


@pytest.mark.parametrize(("value", "decisions", "around", "code"), CASES.values(), ids=CASES)
def test_refused(value: bytes, decisions: tuple[bytes, ...], around: Around, code: str) -> None:
    found = verify(around, value, decisions, Scope((meter(),)), NOW)
    assert isinstance(found, Refusal), found
    assert found.code == code
    assert code in CODES
    assert len(found.detail) > 20


def test_life_support_is_never_cut_off_and_may_be_brought_back() -> None:
    place = Scope((meter(life_support=True),))
    cut = verify(world(), ASKED, (decides(ASKED),), place, NOW)
    assert isinstance(cut, Refusal)
    assert cut.code == "protected"
    assert isinstance(verify(world(), asks(operation=Operation.RECONNECT), (), place, NOW), Proven)


def test_approved_by_another_is_proven() -> None:
    found = verify(world(), ASKED, (decides(ASKED),), Scope((meter(),)), NOW)
    assert isinstance(found, Proven)
    assert (found.kind, found.decided_by, found.authorization) == ("disconnect", ("bob",), "")
    assert found.expires == NOW - MINUTE + 48 * HOUR


def test_without_a_decision_it_waits_for_one() -> None:
    assert verify(world(), ASKED, (), Scope((meter(),)), NOW) == Pending(1, ("meter-operator",))


def test_two_of_two() -> None:
    around = world(TWO, dave=operator("dave", ("meter-operator",)))
    one, other = decides(ASKED), decides(ASKED, by="dave")
    assert verify(around, ASKED, (one,), Scope((meter(),)), NOW) == Pending(1, ("meter-operator",))
    found = verify(around, ASKED, (one, other), Scope((meter(),)), NOW)
    assert isinstance(found, Proven)
    assert found.decided_by == ("bob", "dave")


def test_a_read_needs_no_signature_but_a_wrong_one_is_refused() -> None:
    value = CODEC.encode(request(operation=Operation.READ_REGISTERS, by="mdm"))
    assert isinstance(verify(world(POLICY, FREEZE), value, (), Scope((meter(),)), NOW), Proven)
    wrong = verify(world(), altered(value, signature=bytes(64)), (), Scope((meter(),)), NOW)
    assert isinstance(wrong, Refusal)
    assert wrong.code == "operator-unknown"


def test_a_standing_authorization_stands_for_the_decision() -> None:
    value = asks(by="prepay")
    found = verify(world(POLICY, authorization()), value, (authorization(),), Scope((meter(groups=("prepaid",)),)), NOW)
    assert isinstance(found, Proven)
    assert found.authorization == "authorization"
    later = verify(
        world(POLICY, authorization()), value, (authorization(),), Scope((meter(groups=("prepaid",)),)), NOW + DAY
    )
    assert isinstance(later, Refusal)
    assert later.code == "authorization-invalid"


@pytest.mark.parametrize(
    ("at", "fresh"),
    [
        (NOW, True),
        (NOW - POLICY.fresh_ms, True),
        (NOW - POLICY.fresh_ms - 1, False),
        (NOW + MINUTE, True),
        (NOW + MINUTE + 1, False),
    ],
)
def test_fresh(at: int, fresh: bool) -> None:
    around = world()
    asked = examine(around, asks(requested_at=at), NOW)
    if fresh:
        check_fresh(around, asked, NOW)
        return
    with pytest.raises(RefusedError, match="signed") as error:
        check_fresh(around, asked, NOW)
    assert error.value.refusal.code == "request-not-fresh"


def job(value: bytes, decisions: tuple[bytes, ...], **fields: Any) -> Job:
    whole: dict[str, Any] = {
        "id": "j1",
        "meter_id": "m1",
        "operation": Operation.DISCONNECT,
        "request": value,
        "decisions": decisions,
        "caused_by": "c1",
    }
    return Job(**(whole | fields))


GOOD = job(ASKED, (decides(ASKED),))
JOBS: dict[str, tuple[Job, str]] = {
    "no proofs": (job(b"", ()), "job-unproven"),
    "no decision": (job(ASKED, ()), "decision-missing"),
    "another meter": (replace(GOOD, meter_id="m2"), "decision-other-target"),
    "another operation": (replace(GOOD, operation=Operation.LIMIT), "job-other"),
    "other parameters": (replace(GOOD, parameters={"output": "2"}), "job-other"),
    "other objects": (replace(GOOD, objects=("70/0.1.96.3.10.255/1",)), "job-other"),
    "another command": (replace(GOOD, caused_by="c2"), "job-other"),
    "proofs of a reconnection": (
        job(asks(operation=Operation.RECONNECT), (), caused_by="c1"),
        "job-other",
    ),
}


@pytest.mark.parametrize(("given", "code"), JOBS.values(), ids=JOBS)
def test_a_job_at_the_gateway_is_refused(given: Job, code: str) -> None:
    found = verify_job(world(), given, meter(given.meter_id), NOW)
    assert isinstance(found, Refusal)
    assert found.code == code


@pytest.mark.parametrize(
    ("begins_in", "refused"),
    [(-MINUTE, False), (MINUTE, False), (MINUTE + 1, True), (6 * HOUR, True)],
    ids=["begun", "as-clocks-may-differ", "too-early", "hours-too-early"],
)
def test_a_job_before_the_time_of_its_request_is_refused(begins_in: int, refused: bool) -> None:
    value = asks(not_before=NOW + begins_in)
    found = verify_job(world(), job(value, (decides(value),)), meter("m1"), NOW)
    assert isinstance(found, Refusal if refused else Proven)
    assert not isinstance(found, Refusal) or (found.code, "not_before" in found.detail) == ("job-other", True)


RELEASED = sign(GOOD, "service")
RELEASES: dict[str, tuple[bytes, str]] = {
    "as it was written": (RELEASED, ""),
    "not signed": (CODEC.encode(GOOD), "carries no signature"),
    "another deadline": (altered(RELEASED, deadline=NOW), "not of this key"),
    "other decisions": (altered(RELEASED, decisions=()), "not of this key"),
    "for another environment": (sign(GOOD, "service", "elsewhere"), "not of this key"),
    "by somebody who may decide": (sign(GOOD, "bob"), "not of this key"),
    "no job": (ASKED, "is no Job"),
    "no record": (b"", ""),
}


@pytest.mark.parametrize(("value", "why"), RELEASES.values(), ids=RELEASES)
def test_a_job_is_released_by_the_service_of_commands(value: bytes, why: str) -> None:
    around = world()
    assert isinstance(around.operators.apply(operator("service", ("release",))), Operator)
    found = verify_release(around, value, ("service",), NOW)
    if value == RELEASED:
        assert found is None
    else:
        assert isinstance(found, Refusal)
        assert found.code == "job-unreleased"
        assert why in found.detail
    assert verify_release(around, value, (), NOW) is None  # where nobody asks


def test_who_releases_must_have_the_role_and_be_good_now_and_may_be_one_of_two() -> None:
    around = world()
    for name, roles in {"new": ("release",), "service": ("release",), "boss": ("meter-operator",)}.items():
        around.operators.apply(operator(name, roles))
    assert verify_release(around, RELEASED, ("new", "service"), NOW) is None
    assert verify_release(around, sign(GOOD, "boss"), ("boss",), NOW) is not None
    around.operators.apply(operator("service", ("release",), version=2, revoked=True))
    assert verify_release(around, RELEASED, ("new", "service"), NOW) is not None


def test_a_job_at_the_gateway_is_proven() -> None:
    assert needs_proof(GOOD)
    assert isinstance(verify_job(world(), GOOD, meter(), NOW), Proven)


@pytest.mark.parametrize("operation", [Operation.READ_PROFILE, Operation.PING, Operation.READ_CLOCK])
def test_reading_needs_no_proof(operation: Operation) -> None:
    assert not needs_proof(Job(operation=operation))


def test_one_meter_of_a_long_target_is_proven_by_its_way_to_the_root() -> None:
    meters = tuple(f"m{number:04}" for number in range(250))
    value = asks("x", target=Target(feeders=("F1",)))
    approved = decides(value, *meters)
    around = world()
    assert isinstance(verify(around, value, (approved,), Scope([meter(name) for name in meters]), NOW), Proven)
    way = Proofs(meters).of(7)
    one = job(value, (approved,), meter_id="m0007", target_proof=way)
    assert isinstance(verify_job(around, one, meter("m0007"), NOW), Proven)
    for wrong in (replace(one, meter_id="m0008"), replace(one, target_proof=()), replace(one, target_proof=way[:-1])):
        found = verify_job(around, wrong, meter(wrong.meter_id), NOW)
        assert isinstance(found, Refusal)
        assert found.code == "decision-other-target"


@pytest.mark.parametrize("at", range(0, 400, 7))
def test_no_octet_of_a_signed_request_can_be_changed(at: int) -> None:
    value = bytearray(ASKED)
    value[at % len(value)] ^= 1
    assert isinstance(verify(world(), bytes(value), (decides(ASKED),), Scope((meter(),)), NOW), Refusal)


def test_a_signature_does_not_serve_for_another_record() -> None:
    """The same key over the same body of another record is another message: the schema id is signed."""
    value = signed(CODEC, CommandRequest(id="x"), HERE, key("alice"))
    other = CODEC.id_of(Job).to_bytes(4)
    assert isinstance(verify(world(), value[:1] + other + value[5:], (), Scope((meter(),)), NOW), Refusal)


def test_cancelling_is_for_who_asked_and_for_who_could_decide() -> None:
    around = world()
    asked = examine(around, ASKED, NOW)
    for by in ("alice", "bob", "desk"):
        found = vote(around, asked, decides(ASKED, by=by, verdict=Verdict.CANCEL), Scope((meter(),)), NOW)
        assert found.operator.id == by
    with pytest.raises(RefusedError, match="none of"):
        vote(around, asked, decides(ASKED, by="intern", verdict=Verdict.CANCEL), Scope((meter(),)), NOW)
