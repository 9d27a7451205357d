"""Whose a telegram is: meters that nobody knows, identities that disagree, others in a meter's name."""

from __future__ import annotations

import pytest

from connectors.gateway.conversation import octets_pushes
from connectors.gateway.pipeline import Pipeline
from connectors.protocols.dlms.template import PushTemplate, Template
from connectors.templates.loader import load_templates
from schemas.records import Alarm, AlarmKind, Identity, IdentityKind, MeterState
from tests.unit.connectors.gateway.builders import (
    ENDPOINT,
    NOW,
    SERIAL,
    FakeKeys,
    directory,
    meter,
    pipeline,
    reading,
    sealed,
    title,
    wrapped,
)
from tests.unit.connectors.gateway.telegrams import GOOD, KEYS, SEALED, code, one


def test_no_octet_of_an_unknown_meters_telegram_is_lost() -> None:
    push = one(pipeline(), GOOD)
    assert push.letter is not None
    assert push.letter.data == GOOD
    assert push.frames.frames[0].data == GOOD
    assert push.frames.meter_id == ""


def test_an_unknown_meter_is_announced_once_for_a_process() -> None:
    known = pipeline()
    first, second = one(known, GOOD), one(known, GOOD)
    assert first.announced is not None
    assert (first.announced.state, first.announced.identities) == (
        MeterState.DISCOVERED,
        (Identity(IdentityKind.SERIAL, SERIAL),),
    )
    assert second.announced is None
    assert (code(first), code(second)) == ("meter-unknown", "meter-unknown")


def test_who_is_discovered_already_stays_unknown_and_is_not_announced_again() -> None:
    announced = one(pipeline(), GOOD).announced
    assert announced is not None
    push = one(pipeline(announced), GOOD)
    assert (code(push), push.announced) == ("meter-unknown", None)


@pytest.mark.parametrize(("announce", "replay_id"), [(0, ""), (100, "r1")], ids=["switched-off", "replay"])
def test_nobody_is_announced(announce: int, replay_id: str) -> None:
    assert one(pipeline(announce=announce), GOOD, replay_id).announced is None


def test_announcements_are_bounded() -> None:
    known = pipeline(announce=3)
    told = [one(known, wrapped(reading(f"{n:08}"))).announced for n in range(10)]
    assert len([item for item in told if item]) == 3


def conflicting() -> Pipeline:
    return pipeline(meter("m1", title()), meter("m2", Identity(IdentityKind.SERIAL, SERIAL)), keys=KEYS)


def test_identities_that_disagree_are_a_dead_letter_and_an_alarm() -> None:
    push = one(conflicting(), SEALED)
    assert code(push) == "identity-conflict"
    (alarm,) = push.events
    assert isinstance(alarm, Alarm)
    assert (alarm.meter_id, alarm.kind, alarm.code) == ("m1", AlarmKind.SECURITY, "identity-conflict")


def test_in_a_replay_they_alarm_nobody() -> None:
    push = one(conflicting(), SEALED, "r1")
    assert (code(push), push.events) == ("identity-conflict", ())


def protected(*identities: Identity) -> Pipeline:
    """A pipeline with a meter whose template says that it ciphers all it pushes."""
    templates = load_templates() | {"sealed": Template("sealed", push=PushTemplate(name="sealed", protected=True))}
    known = meter("m1", Identity(IdentityKind.SERIAL, SERIAL), *identities, template="sealed")
    return Pipeline(directory(known), FakeKeys(dict(KEYS)), templates)


def test_a_push_in_clear_in_the_name_of_a_meter_that_ciphers_is_a_dead_letter_and_one_alarm_an_hour() -> None:
    shared = protected(title())
    first, second, later = (
        octets_pushes(shared, wrapped(reading(value=n)), ENDPOINT, at)[0]
        for n, at in ((1, NOW), (2, NOW + 1_000), (3, NOW + 3_600_000))
    )
    assert [push.outcome for push in (first, second, later)] == ["push-unprotected"] * 3
    assert [[(e.kind, e.code) for e in push.events if isinstance(e, Alarm)] for push in (first, second, later)] == [
        [(AlarmKind.SECURITY, "push-unprotected")],
        [],
        [(AlarmKind.SECURITY, "push-unprotected")],
    ]
    assert (first.meter_id, first.authenticated) == ("m1", False)
    assert first.letter is not None
    assert first.letter.data == wrapped(reading(value=1))


def test_what_it_ciphers_is_read() -> None:
    shared = protected(title())
    (push,) = octets_pushes(shared, wrapped(sealed(reading())), ENDPOINT, NOW)
    assert (push.outcome, push.authenticated) == ("events", True)


def test_in_a_replay_a_push_in_clear_alarms_nobody() -> None:
    shared = protected()
    (push,) = octets_pushes(shared, wrapped(reading()), ENDPOINT, NOW, "replay")
    assert (push.outcome, push.events) == ("push-unprotected", ())
