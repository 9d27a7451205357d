"""Operators and controls as books: who is let in, in which order, and what a replay cannot undo."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.records import Control, ControlKind, Operation, Operator, Target
from schemas.signatures import public_key
from streams.runtime.authority.controls import Controls
from streams.runtime.authority.operators import Operators, roots_of
from streams.runtime.authority.refusals import Refusal, RefusedError
from tests.unit.streams.runtime.authority.builders import (
    CODEC,
    DAY,
    HERE,
    HOUR,
    NOW,
    POLICY,
    ROOT,
    again,
    altered,
    asks,
    authorization,
    control,
    key,
    meter,
    operator,
    operators,
)

ALICE = operator("alice", ("meter-operator",))
REVOKED = operator("alice", ("meter-operator",), version=2, revoked=True)
FREEZE = control(ControlKind.FREEZE, "desk")
LIFT = control(ControlKind.FREEZE, "carol", lifted=True, issued_at=NOW - HOUR + 1)


def book(*values: bytes) -> Operators:
    found = Operators(CODEC, HERE, (public_key(ROOT),))
    for value in values:
        found.apply(value)
    return found


def record(value: bytes) -> Any:
    return CODEC.decode(value)


BAD: dict[str, tuple[bytes, str]] = {
    "junk": (b"junk", "avro-framing"),
    "another record": (FREEZE, "record-unexpected"),
    "unsigned": (altered(ALICE, signature=b""), "unsigned"),
    "signed by himself": (again(ALICE, "alice"), "signature-invalid"),
    "for another environment": (again(ALICE, "root", "other"), "signature-invalid"),
    "no id": (again(ALICE, "root", id=""), "signature-form"),
    "no key": (again(ALICE, "root", public_key=b"x"), "signature-form"),
}


@pytest.mark.parametrize(("value", "code"), BAD.values(), ids=BAD)
def test_who_root_did_not_make_an_operator_is_none(value: bytes, code: str) -> None:
    found = book()
    refusal = found.apply(value)
    assert isinstance(refusal, Refusal)
    assert refusal.code == code
    assert list(found.all()) == []


def test_without_a_root_nobody_is() -> None:
    found = Operators(CODEC, HERE, ())
    refusal = found.apply(ALICE)
    assert isinstance(refusal, Refusal)
    assert refusal.code == "root-missing"
    with pytest.raises(RefusedError) as error:
        found.signer("alice", NOW, ())
    assert error.value.refusal.code == "root-missing"


def test_a_revocation_is_not_undone_by_writing_the_older_record_again() -> None:
    found = book(ALICE, REVOKED)
    refusal = found.apply(ALICE)
    assert isinstance(refusal, Operator)  # it is known, and changes nothing
    with pytest.raises(RefusedError) as error:
        found.signer("alice", NOW, ())
    assert error.value.refusal.code == "operator-revoked"
    other = found.apply(operator("alice", ("supervisor",), version=2))
    assert isinstance(other, Refusal)
    assert other.code == "operator-outdated"


def test_renewed_with_more_rights() -> None:
    found = book(ALICE, REVOKED, operator("alice", ("supervisor",), version=3))
    assert found.signer("alice", NOW, ("supervisor",)).version == 3


def test_two_roots_while_one_replaces_the_other() -> None:
    other = key("new root")
    roots = roots_of(f"{public_key(ROOT).hex()}, {public_key(other).hex()}")
    found = Operators(CODEC, HERE, roots)
    assert isinstance(found.apply(ALICE), Operator)
    assert isinstance(found.apply(again(operator("bob", ()), "new root")), Operator)
    with pytest.raises(ValueError, match="64 hex"):
        roots_of("abcd")


def controls(*values: bytes, who: Operators | None = None, now: int = NOW) -> Controls:
    found = Controls(CODEC, HERE, who or operators(), POLICY)
    for value in values:
        found.apply(value, now)
    return found


BAD_CONTROLS: dict[str, tuple[bytes, str]] = {
    "junk": (b"junk", "control-unreadable"),
    "unsigned": (altered(FREEZE, signature=b""), "unsigned"),
    "nobody": (control(ControlKind.FREEZE, "eve"), "operator-unknown"),
    "no role": (control(ControlKind.FREEZE, "intern"), "role-missing"),
    "lifted by who may only freeze": (control(ControlKind.FREEZE, "desk", lifted=True), "role-missing"),
    "another environment": (control(ControlKind.FREEZE, "desk", environment="other"), "environment-other"),
    "the future": (control(ControlKind.FREEZE, "desk", issued_at=NOW + HOUR), "control-invalid"),
    "no kind": (control(ControlKind.UNKNOWN, "carol"), "control-invalid"),
    "before he was an operator": (control(ControlKind.FREEZE, "desk", issued_at=NOW - 31 * DAY), "operator-expired"),
    "authorization for ever": (authorization(expires=None), "control-invalid"),
    "authorization for too long": (authorization(expires=NOW + 91 * DAY), "control-invalid"),
    "authorization for too many": (authorization(most_per_day=101), "control-invalid"),
    "authorization for everybody": (authorization(target=Target()), "control-invalid"),
    "authorization for oneself": (authorization(holder="carol"), "control-invalid"),
    "authorization by who may not": (authorization("bob"), "role-missing"),
}


@pytest.mark.parametrize(("value", "code"), BAD_CONTROLS.values(), ids=BAD_CONTROLS)
def test_a_control_is_refused(value: bytes, code: str) -> None:
    found = controls()
    refusal = found.apply(value, NOW)
    assert isinstance(refusal, Refusal), refusal
    assert refusal.code == code
    assert list(found.all()) == []


def test_a_freeze_holds_until_it_is_lifted_and_a_replay_lifts_nothing() -> None:
    again = control(ControlKind.FREEZE, "desk", issued_at=NOW - 1)
    found = controls(FREEZE)
    assert found.frozen(None, NOW) is not None
    assert isinstance(found.apply(LIFT, NOW), Control)
    assert found.frozen(meter(), NOW) is None
    found.apply(again, NOW)
    refusal = found.apply(LIFT, NOW)
    assert isinstance(refusal, Refusal)
    assert refusal.code == "control-outdated"
    assert found.frozen(meter(), NOW) is not None


def test_a_freeze_outlives_the_key_of_who_ordered_it_and_a_lift_does_not() -> None:
    gone = operators(
        desk2=operator("desk", ("requester",), version=2, revoked=True),
        carol2=operator("carol", ("supervisor",), version=2, revoked=True),
    )
    found = controls(FREEZE, LIFT, who=gone)
    assert found.frozen(meter(), NOW) is not None


def test_a_withdrawal_outlives_the_key_too() -> None:
    withdrawn = control(ControlKind.AUTHORIZATION, "desk", id="authorization", lifted=True, issued_at=NOW - HOUR + 1)
    gone = operators(desk2=operator("desk", ("requester",), version=2, revoked=True))
    found = controls(authorization(), withdrawn, who=gone)
    value = record(asks("m1", by="prepay"))
    assert found.authorizing(value, [meter(groups=("prepaid",))], NOW) is None


def test_an_authorization_ends_with_the_key_of_who_issued_it() -> None:
    value, places = record(asks("m1", by="prepay")), [meter(groups=("prepaid",))]
    who = operators()
    found = controls(authorization(), who=who)
    assert found.authorizing(value, places, NOW) is not None
    who.apply(operator("carol", ("supervisor",), version=2, revoked=True))
    assert found.authorizing(value, places, NOW) is None
    assert "revoked" in found.uncovered(found.all()[0], value, places, NOW)


def test_narrowing_a_hold_is_weakening_it() -> None:
    hold = control(ControlKind.HOLD, "bob", target=Target(feeders=("F1", "F2")))
    narrower = control(ControlKind.HOLD, "bob", target=Target(feeders=("F2",)), issued_at=NOW)
    found = controls(hold)
    refusal = found.apply(narrower, NOW)
    assert isinstance(refusal, Refusal)
    assert refusal.code == "role-missing"
    assert found.held(meter(), NOW) is not None
    wider = control(ControlKind.HOLD, "bob", issued_at=NOW)
    assert isinstance(found.apply(wider, NOW), Control)
    assert found.held(meter(feeder="F9"), NOW) is not None


def test_holds_expire() -> None:
    found = controls(control(ControlKind.HOLD, "bob", expires=NOW + 1))
    assert found.held(meter(), NOW) is not None
    assert found.held(meter(), NOW + 1) is None


def test_an_authorization_covers_what_it_says() -> None:
    found = controls(authorization())
    place = meter(groups=("prepaid",))
    for operation, covered in {Operation.DISCONNECT: True, Operation.RECONNECT: True, Operation.LIMIT: False}.items():
        value = record(asks("m1", by="prepay", operation=operation))
        assert (found.authorizing(value, [place], NOW) is not None) is covered
