from __future__ import annotations

from typing import Any, cast

import pytest
from confluent_kafka import KafkaError

from schemas.records import Alarm, CommandAck, DeadLetter, IntervalReadings, JobResult, Meter, Outcome, Record
from schemas.registry import RegistryError
from streams.runtime.errors import DeliveryError, TemporaryError
from streams.runtime.kafka import Publisher
from streams.runtime.settings import Kafka
from streams.split.forward import Forwarder
from streams.split.service import Splitter
from tests.unit.streams.fakes import CODEC, FakePublisher, fake_message, fake_runtime

HEADERS = [("ce_id", b"1"), ("traceparent", b"00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01"), ("replay-id", b"r1")]


def split(*records: Any) -> FakePublisher:
    runtime, publisher, _ = fake_runtime("split")
    messages = [fake_message(record, at=at, pairs=HEADERS) for at, record in enumerate(records)]
    Splitter(CODEC, cast("Publisher", publisher), runtime.dead_letters).handle(messages)
    return publisher


def test_what_passes_keeps_its_octets_key_and_headers() -> None:
    records: list[Record] = [IntervalReadings(id="e1"), Alarm(id="a1"), IntervalReadings(id="e2")]
    sent = split(*records).sent
    assert [topic for topic, _, _, _ in sent] == ["hes.readings.intervals", "hes.alarms", "hes.readings.intervals"]
    assert [value for _, _, value, _ in sent] == [CODEC.encode(record) for record in records]
    assert {key for _, key, _, _ in sent} == {b"m1"}
    assert all(headers == dict(HEADERS) for _, _, _, headers in sent)


def test_a_result_becomes_an_acknowledgement_of_the_same_trace_and_replay() -> None:
    ((topic, _, value, headers),) = split(JobResult(id="j", outcome=Outcome.DONE)).sent
    assert topic == "hes.command-acks"
    assert isinstance(CODEC.decode(value), CommandAck)
    assert headers["replay-id"] == b"r1"
    assert headers["traceparent"].startswith(b"00-" + b"a" * 32)


def test_poison_is_named_wherever_it_stands() -> None:
    good = IntervalReadings(id="e1")
    publisher = split(b"junk", good, Meter(id="m"), good, b"\0\xff\xff\xff\xff", good, CODEC.encode(JobResult(id="cut"))[:8])
    letters = [
        (letter.code, letter.offset) for letter in publisher.records("hes.dead-letters") if isinstance(letter, DeadLetter)
    ]
    assert letters == [("avro-framing", 0), ("record-unexpected", 2), ("avro-unknown-schema", 4), ("avro-body", 6)]
    assert len(publisher.records("hes.readings.intervals")) == 3


def test_while_the_registry_is_down_a_batch_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def down(_value: bytes | None) -> None:
        raise RegistryError("away", retry=True)

    monkeypatch.setattr(CODEC, "type_of", down)
    with pytest.raises(TemporaryError, match="away"):
        split(Alarm(id="a"))


def forwarder() -> Forwarder:
    """One whose broker is nowhere: what is sent stays in its queue."""
    return Forwarder(Kafka(bootstrap="127.0.0.1:1", delivery_timeout_s=0.2), "test")


def test_a_delivery_that_failed_is_raised_by_the_next_flush_and_only_there() -> None:
    publisher = forwarder()
    failed = KafkaError(KafkaError._MSG_TIMED_OUT)
    publisher._failed_one(failed, fake_message(b"x"))
    publisher._failed_one(failed, fake_message(b"y"))
    with pytest.raises(DeliveryError, match=r"hes\.alarms"):
        publisher.flush()
    publisher.flush()


def test_it_tells_nobody_of_single_records() -> None:
    with pytest.raises(ValueError, match="flush only"):
        forwarder().send("hes.alarms", b"k", b"v", done=lambda _error: None)
