"""Records that are one effect: one report for all of them, whatever becomes of each."""

from __future__ import annotations

from typing import Any, cast

import pytest
from confluent_kafka import KafkaError, KafkaException

from streams.runtime.errors import DeliveryError, FatalError
from streams.runtime.kafka import Outgoing, Publisher
from streams.runtime.settings import Kafka
from tests.unit.streams.fakes import FakeMessage


class FakeProducer:
    """librdkafka's producer, with its reports in the test's hands."""

    def __init__(self) -> None:
        self.queued: list[tuple[str, Any]] = []
        self.refuses: dict[str, list[Exception]] = {}
        self.polled = 0

    def produce(self, topic: str, value: Any, key: Any, *, headers: Any, on_delivery: Any) -> None:
        if self.refuses.get(topic):
            raise self.refuses[topic].pop(0)
        assert (value, key, headers) == (b"value", b"key", [("ce_id", b"1")])
        self.queued.append((topic, on_delivery))

    def poll(self, _timeout: float) -> int:
        self.polled += 1
        return 0

    def report(self, *errors: KafkaError | None) -> None:
        for error, (topic, report) in zip(errors, self.queued, strict=True):
            report(error, FakeMessage(b"value", source=topic))


@pytest.fixture
def producer() -> FakeProducer:
    return FakeProducer()


@pytest.fixture
def publisher(producer: FakeProducer) -> Publisher:
    made = Publisher(Kafka(bootstrap="127.0.0.1:1", delivery_timeout_s=0.3), "test")
    made._producer = cast("Any", producer)
    return made


def records(*topics: str) -> list[Outgoing]:
    return [Outgoing(topic, b"key", b"value", [("ce_id", b"1")]) for topic in topics]


TIMED_OUT, FATAL = KafkaError(KafkaError._MSG_TIMED_OUT), KafkaError(KafkaError._FATAL, "fenced", fatal=True)


@pytest.mark.parametrize(
    ("errors", "told"),
    [
        pytest.param((None, None, None), type(None), id="all-taken"),
        pytest.param((None, TIMED_OUT, None), DeliveryError, id="one-not"),
        pytest.param((FATAL, TIMED_OUT, None), FatalError, id="the-first-failure-is-told"),
        pytest.param((KafkaError(KafkaError._FATAL), None, None), FatalError, id="fatal-by-its-code-only"),
    ],
)
def test_it_is_told_once_and_last(
    publisher: Publisher, producer: FakeProducer, errors: tuple[KafkaError | None, ...], told: type
) -> None:
    reports: list[Exception | None] = []
    publisher.send_all(records("a", "b", "c"), reports.append)
    assert (reports, producer.polled) == ([], 0)
    producer.report(*errors)
    assert [type(report) for report in reports] == [told]


@pytest.mark.parametrize(
    ("error", "told"),
    [
        pytest.param(KafkaException(TIMED_OUT), DeliveryError, id="refused"),
        pytest.param(TypeError("no such argument"), TypeError, id="a-bug"),
    ],
)
def test_what_cannot_be_queued_has_failed(
    publisher: Publisher, producer: FakeProducer, error: Exception, told: type
) -> None:
    reports: list[Exception | None] = []
    producer.refuses["b"] = [error]
    publisher.send_all(records("a", "b", "c"), reports.append)
    assert reports == []
    producer.report(None, None)
    assert [type(report) for report in reports] == [told]


def test_a_full_queue_is_waited_for(publisher: Publisher, producer: FakeProducer) -> None:
    reports: list[Exception | None] = []
    producer.refuses["a"] = [BufferError(), BufferError()]
    publisher.send_all(records("a"), reports.append)
    producer.report(None)
    assert (reports, producer.polled) == ([None], 2)


def test_a_queue_that_stays_full_is_a_failure(publisher: Publisher, producer: FakeProducer) -> None:
    reports: list[Exception | None] = []
    producer.refuses["a"] = [BufferError()] * 10
    publisher.send_all(records("a"), reports.append)
    assert [type(report) for report in reports] == [DeliveryError]
