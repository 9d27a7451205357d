"""Topics read by whoever leads, from where the books say: no group, nothing committed. What was handled is written with what
it caused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import structlog
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, Message, TopicPartition

from streams.runtime.errors import FatalError, TemporaryError
from streams.runtime.kafka import new_consumer, values_of
from streams.runtime.service import Runtime

_KAFKA_S = 30.0


class Inputs:
    """Read from its `open` until `close`. `positions` are those of the books: "TOPIC/PARTITION" to the next offset."""

    def __init__(self, runtime: Runtime, topics: Sequence[str], positions: Mapping[str, int], *, wait_ms: int = 50) -> None:
        self._runtime = runtime
        self._topics = tuple(topics)
        self._wait_ms = wait_ms
        self._consumer: Consumer | None = None
        self._log = structlog.get_logger("inputs")
        self.positions = dict(positions)
        """Up to where everything is handled."""

    @property
    def parts(self) -> list[TopicPartition]:
        """The same, as Kafka's clients have it."""
        return parts_of(self.positions)

    def open(self) -> None:
        """Begin to read. `FatalError` where a topic is missing, `TemporaryError` where Kafka does not answer."""
        # librdkafka wants a group's name also where no group is joined.
        quick: dict[str, Any] = {"fetch.wait.max.ms": self._wait_ms, "isolation.level": "read_committed"}
        consumer = new_consumer(self._runtime.settings.kafka, f"{self._runtime.group}-inputs", **quick)
        with ExitStack() as undone:
            undone.callback(consumer.close)
            try:
                consumer.assign([part for topic in self._topics for part in self._parts(consumer, topic)])
            except KafkaException as error:
                raise TemporaryError(f"Kafka does not answer: {error.args[0].str()}") from error
            undone.pop_all()
        self._consumer = consumer

    def take(self, records: int, wait_s: float) -> list[Message]:
        """What has come, at most so many records; waits so long for the first. `FatalError` where reading is over."""
        first = None if self._consumer is None else self._consumer.poll(wait_s)
        if self._consumer is None or first is None:
            return []
        messages, errors = values_of([first, *self._consumer.consume(records - 1, 0)])
        for error in errors:
            self._log.warning("kafka", reason=error.str(), code=error.name())
        return messages

    def handled(self, message: Message) -> None:
        """Note that a record, and all before it, needs not be read again."""
        self.positions[f"{message.topic()}/{message.partition()}"] = (message.offset() or 0) + 1

    def close(self) -> None:
        """Stop reading."""
        if self._consumer is not None:
            self._consumer.close()

    def _parts(self, consumer: Consumer, topic: str) -> list[TopicPartition]:
        found = consumer.list_topics(topic, timeout=_KAFKA_S).topics[topic]
        if found.error is not None or not found.partitions:
            raise FatalError(f"there is no topic {topic}; run `hes topology apply`")
        starts = {number: self.positions.get(f"{topic}/{number}", OFFSET_BEGINNING) for number in found.partitions}
        return [TopicPartition(topic, number, start) for number, start in starts.items()]


def parts_of(positions: Mapping[str, int]) -> list[TopicPartition]:
    """Positions as books have them, as Kafka's clients have them."""
    named = ((*name.rpartition("/")[::2], offset) for name, offset in positions.items())
    return [TopicPartition(topic, int(number), offset) for topic, number, offset in named]
