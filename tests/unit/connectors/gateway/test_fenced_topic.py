"""What is written to a fenced topic and is too large for Kafka: told apart from what trying again can help."""

from __future__ import annotations

from typing import Any, cast

import pytest
from confluent_kafka import KafkaError, KafkaException

from connectors.gateway.fenced_topic import FencedTopic, Writer
from connectors.gateway.reservations import FencedError
from schemas.records import CommandIntent
from streams.runtime.errors import DeliveryError, TooLargeError
from tests.unit.streams.fake_producer import FakeProducer
from tests.unit.streams.fakes import fake_runtime

TOPIC = "hes.intents"
LIMIT = 2_000


def opened(**limits: int) -> tuple[FencedTopic, Writer, FakeProducer]:
    runtime, _, _ = fake_runtime("gateway")
    topic, producer = (
        FencedTopic(runtime, TOPIC, "intents"),
        FakeProducer({f"hes.{name}": of for name, of in limits.items()}),
    )
    writer = topic._writers[3] = Writer(3, cast("Any", producer))
    return topic, writer, producer


def intent(octets: int = 1) -> CommandIntent:
    return CommandIntent(meter_id="m1", before="x" * octets, at=7)


@pytest.mark.parametrize("octets", [2 * LIMIT, 1_100_000], ids=["the-topic-allows-less", "more-than-any-record"])
def test_none_is_written_where_one_is_too_large_and_the_next_is(octets: int) -> None:
    topic, writer, producer = opened(intents=LIMIT)
    with pytest.raises(TooLargeError, match=r"hes\.intents does not take [0-9,]+ octets: .*; raise its max\.message\.bytes"):
        topic.write(writer, [("a", intent()), ("b", intent(octets)), ("c", None)])
    assert (producer.taken, producer.in_transaction) == ([], False)
    topic.write(writer, [("a", intent()), ("c", None)])
    assert [(name, key) for name, key, _ in producer.taken] == [(TOPIC, "a"), (TOPIC, "c")]
    assert producer.partitions == {3}


def test_many_that_are_too_large_together_are_all_written() -> None:
    topic, writer, producer = opened(intents=LIMIT)
    topic.write(writer, [(f"k{number}", intent(400)) for number in range(20)])
    assert [key for _, key, _ in producer.taken] == [f"k{number}" for number in range(20)]


@pytest.mark.parametrize(
    ("code", "raised"),
    [(KafkaError._TIMED_OUT, DeliveryError), (KafkaError.PRODUCER_FENCED, FencedError)],
    ids=["kafka-is-away", "another-has-it"],
)
def test_what_else_goes_wrong_is_told_apart(code: int, raised: type[Exception]) -> None:
    topic, writer, producer = opened()

    def fails(_timeout: float) -> None:
        raise KafkaException(KafkaError(code))

    cast("Any", producer).commit_transaction = fails
    with pytest.raises(raised):
        topic.write(writer, [("a", intent())])
