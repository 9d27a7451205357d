"""Topics read from where the books say, on a consumer in memory."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
import structlog
from confluent_kafka import OFFSET_BEGINNING, KafkaError, KafkaException

from streams.runtime import inputs
from streams.runtime.errors import FatalError, TemporaryError
from streams.runtime.inputs import Inputs, parts_of
from tests.unit.streams.fakes import FakeMessage, fake_runtime

PASSING, FATAL = KafkaError(KafkaError._TRANSPORT, "a broker went away"), KafkaError(KafkaError._FATAL, "fenced")


class Told(FakeMessage):
    def error(self) -> KafkaError | None:
        return None


@dataclass
class Failed:
    found: KafkaError

    def error(self) -> KafkaError:
        return self.found


@dataclass
class FakeConsumer:
    waiting: list[Any] = field(default_factory=list)
    partitions: dict[str, tuple[int, ...]] = field(default_factory=lambda: {"a": (0,), "b": (0, 1)})
    config: dict[str, Any] = field(default_factory=dict)
    assigned: list[tuple[str, int, int]] = field(default_factory=list)
    away: bool = False
    closed: int = 0

    def list_topics(self, topic: str, timeout: float) -> Any:
        assert timeout > 0
        if self.away:
            raise KafkaException(PASSING)
        numbers = self.partitions.get(topic, ())
        error = None if numbers else KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART)
        return SimpleNamespace(topics={topic: SimpleNamespace(error=error, partitions=dict.fromkeys(numbers))})

    def assign(self, parts: list[Any]) -> None:
        self.assigned = [(part.topic, part.partition, part.offset) for part in parts]

    def poll(self, _seconds: float) -> Any:
        return self.waiting.pop(0) if self.waiting else None

    def consume(self, records: int, _seconds: float) -> list[Any]:
        taken, self.waiting = self.waiting[:records], self.waiting[records:]
        return taken

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def consumer(monkeypatch: pytest.MonkeyPatch) -> FakeConsumer:
    made = FakeConsumer()

    def new(_settings: object, group: str, **config: Any) -> FakeConsumer:
        made.config = {"group": group, **config}
        return made

    monkeypatch.setattr(inputs, "new_consumer", new)
    return made


def of(topics: str = "ab", positions: dict[str, int] | None = None) -> Inputs:
    return Inputs(fake_runtime("commands")[0], tuple(topics), positions or {}, wait_ms=20)


def test_reading_begins_where_the_books_say_and_else_at_the_beginning(consumer: FakeConsumer) -> None:
    found = of(positions={"a/0": 7, "b/1": 9, "gone/0": 3})
    found.open()
    assert consumer.assigned == [("a", 0, 7), ("b", 0, OFFSET_BEGINNING), ("b", 1, 9)]
    assert consumer.config == {
        "group": "hes-commands-inputs",
        "fetch.wait.max.ms": 20,
        "isolation.level": "read_committed",
    }


@pytest.mark.parametrize(
    ("topics", "away", "error", "told"),
    [
        ("ac", False, FatalError, "there is no topic c; run `hes topology apply`"),
        ("ab", True, TemporaryError, "Kafka does not answer: a broker went away"),
    ],
    ids=["no-topic", "no-kafka"],
)
def test_what_cannot_be_opened_is_let_go(
    consumer: FakeConsumer, topics: str, away: bool, error: type[Exception], told: str
) -> None:
    consumer.away = away
    found = of(topics)
    with pytest.raises(error, match=told):
        found.open()
    found.close()
    assert (consumer.closed, found.take(10, 0.1)) == (1, [])


def test_what_has_come_is_taken_up_to_a_limit(consumer: FakeConsumer) -> None:
    found = of()
    assert found.take(2, 0.1) == []
    found.open()
    assert found.take(2, 0.1) == []
    consumer.waiting = [Told(b"v", at) for at in range(5)]
    assert [len(found.take(2, 0.1)) for _ in range(4)] == [2, 2, 1, 0]
    found.close()
    assert consumer.closed == 1


@pytest.mark.parametrize("error", [PASSING, FATAL], ids=["passes", "fatal"])
def test_an_error_ends_reading_only_where_the_client_can_go_on_no_more(consumer: FakeConsumer, error: KafkaError) -> None:
    found = of()
    found.open()
    consumer.waiting = [Failed(error), Told(b"v", 1)]
    if error is FATAL:
        with pytest.raises(FatalError, match="go on no more: fenced"):
            found.take(10, 0.1)
        return
    with structlog.testing.capture_logs() as lines:
        assert [message.offset() for message in found.take(10, 0.1)] == [1]
    assert [line["reason"] for line in lines] == ["a broker went away"]


def test_positions_are_the_next_to_be_read(consumer: FakeConsumer) -> None:
    found = of(positions={"a/0": 3, "b/1": 5})
    found.open()
    consumer.waiting = [Told(b"v", 3, source="a"), Told(b"v", 8, source="a"), Told(b"v", 0, source="b")]
    for message in found.take(10, 0.1):
        found.handled(message)
    assert found.positions == {"a/0": 9, "b/1": 5, "b/0": 1}
    assert [(part.topic, part.partition, part.offset) for part in found.parts] == [("a", 0, 9), ("b", 1, 5), ("b", 0, 1)]


def test_a_topic_may_have_any_name() -> None:
    assert [(part.topic, part.partition) for part in parts_of({"a/b.c-d/12": 1})] == [("a/b.c-d", 12)]
