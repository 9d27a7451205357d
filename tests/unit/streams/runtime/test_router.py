from __future__ import annotations

import pytest
from confluent_kafka import Message

from connectors.fraud.tampers import tamper
from schemas.records import Alarm, AlarmKind, DeadLetter, Meter, Severity, TamperEvent
from streams.runtime.router import Router
from tests.unit.streams.fakes import FakePublisher, fake_message, fake_runtime

OUTAGE = Alarm(id="a1", meter_id="m1", kind=AlarmKind.OUTAGE, occurred_at=5_000, transformer="T1", feeder="F1")
TAMPER = Alarm(
    id="a2", meter_id="m1", kind=AlarmKind.TAMPER_MAGNET, severity=Severity.CRITICAL, occurred_at=7_000, code="42"
)


def routed(*messages: Message) -> FakePublisher:
    runtime, publisher, _ = fake_runtime("fraud")
    Router(runtime, "hes.alarms", tamper).handle(messages)
    return publisher


def test_a_tamper_reaches_fraud_detection_with_an_id_of_its_own_and_an_outage_does_not() -> None:
    publisher = routed(fake_message(OUTAGE), fake_message(TAMPER), fake_message(TAMPER, at=2))
    event, again = publisher.records("fraud.tampers")
    assert isinstance(event, TamperEvent)
    assert event == again  # taken twice, it states the same
    assert (event.kind, event.code, event.alarm_id) == (AlarmKind.TAMPER_MAGNET, "42", "a2")
    assert publisher.sent[0][:2] == ("fraud.tampers", "m1")


@pytest.mark.parametrize(
    ("headers", "sent"),
    [
        ([("replay-id", b"r1")], 0),
        ([("replay-id", b"r1"), ("replay-to", b"oms")], 0),
        ([("replay-id", b"r1"), ("replay-to", b"oms,fraud")], 1),
    ],
)
def test_a_replay_reaches_a_service_only_when_asked_to(headers: list[tuple[str, bytes]], sent: int) -> None:
    assert len(routed(fake_message(TAMPER, pairs=headers)).sent) == sent


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        (b"junk.", "avro-framing"),
        (b"\0\0\0\xff\xffx", "avro-unknown-schema"),
    ],
)
def test_a_poison_record_is_a_dead_letter_and_the_rest_goes_on(bad: bytes, code: str) -> None:
    publisher = routed(fake_message(bad), fake_message(TAMPER, at=1))
    (letter,) = publisher.records("hes.dead-letters")
    assert isinstance(letter, DeadLetter)
    assert letter.code == code
    assert len(publisher.records("fraud.tampers")) == 1


def test_a_record_of_another_kind_is_named() -> None:
    (letter,) = routed(fake_message(Meter(id="m"))).records()
    assert isinstance(letter, DeadLetter)
    assert letter.code == "record-unexpected"
