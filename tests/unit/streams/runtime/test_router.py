from __future__ import annotations

import pytest
from confluent_kafka import Message

from connectors.fraud.tampers import tamper
from connectors.oms.outages import outage
from schemas.records import Alarm, AlarmKind, DeadLetter, Meter, OutageEvent, OutageKind, Severity, TamperEvent
from streams.runtime.router import Convert, Router
from tests.unit.streams.fakes import FakePublisher, fake_message, fake_runtime

OUTAGE = Alarm(
    id="a1", meter_id="m1", kind=AlarmKind.OUTAGE, occurred_at=5_000, transformer="T1", feeder="F1", life_support=True
)
TAMPER = Alarm(
    id="a2", meter_id="m1", kind=AlarmKind.TAMPER_MAGNET, severity=Severity.CRITICAL, occurred_at=7_000, code="42"
)


def routed(service: str, convert: Convert, *messages: Message) -> FakePublisher:
    runtime, publisher, _ = fake_runtime(service)
    Router(runtime, "hes.alarms", convert).handle(messages)
    return publisher


def test_an_outage_reaches_the_oms_with_an_id_of_its_own_and_the_alarm_it_rests_on() -> None:
    publisher = routed("oms", outage, fake_message(OUTAGE), fake_message(TAMPER, at=1), fake_message(OUTAGE, at=2))
    first, again = publisher.records("oms.outages")
    assert isinstance(first, OutageEvent)
    assert first == again  # taken twice, it states the same
    assert (first.kind, first.meters, first.transformer, first.life_support) == (OutageKind.OUTAGE, ("m1",), "T1", True)
    assert first.alarms == ("a1",)
    assert publisher.sent[0][1] == "T1"


def test_without_a_transformer_the_meter_is_the_key() -> None:
    publisher = routed("oms", outage, fake_message(Alarm(id="a", meter_id="m9", kind=AlarmKind.RESTORATION)))
    assert publisher.sent[0][:2] == ("oms.outages", "m9")


def test_a_tamper_reaches_fraud_detection_and_an_outage_does_not() -> None:
    publisher = routed("fraud", tamper, fake_message(OUTAGE), fake_message(TAMPER))
    (event,) = publisher.records("fraud.tampers")
    assert isinstance(event, TamperEvent)
    assert (event.kind, event.code, event.alarm_id) == (AlarmKind.TAMPER_MAGNET, "42", "a2")


@pytest.mark.parametrize(
    ("headers", "sent"),
    [
        ([("replay-id", b"r1")], 0),
        ([("replay-id", b"r1"), ("replay-to", b"fraud")], 0),
        ([("replay-id", b"r1"), ("replay-to", b"fraud,oms")], 1),
    ],
)
def test_a_replay_reaches_the_oms_only_when_asked_to(headers: list[tuple[str, bytes]], sent: int) -> None:
    assert len(routed("oms", outage, fake_message(OUTAGE, pairs=headers)).sent) == sent


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        (b"junk.", "avro-framing"),
        (b"\0\0\0\xff\xffx", "avro-unknown-schema"),
    ],
)
def test_a_poison_record_is_a_dead_letter_and_the_rest_goes_on(bad: bytes, code: str) -> None:
    publisher = routed("oms", outage, fake_message(bad), fake_message(OUTAGE, at=1))
    (letter,) = publisher.records("hes.dead-letters")
    assert isinstance(letter, DeadLetter)
    assert letter.code == code
    assert len(publisher.records("oms.outages")) == 1


def test_a_record_of_another_kind_is_named() -> None:
    (letter,) = routed("oms", outage, fake_message(Meter(id="m"))).records()
    assert isinstance(letter, DeadLetter)
    assert letter.code == "record-unexpected"
