"""A runtime without Kafka: what is sent is kept in a list, and may be refused."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

from confluent_kafka import Message

from schemas.codec import Codec
from schemas.records import Record
from schemas.registry import MemoryRegistry
from streams.runtime.clock import ManualClock
from streams.runtime.dead_letters import DeadLetters
from streams.runtime.health import HealthServer
from streams.runtime.kafka import Done, Publisher
from streams.runtime.service import Runtime
from streams.runtime.settings import Health, Settings

CODEC = Codec(MemoryRegistry())


@dataclass
class FakePublisher:
    """Keeps what is sent."""

    sent: list[tuple[str, Any, bytes | None, dict[str, Any]]] = field(default_factory=list)
    flushed: int = 0

    def send(self, topic: str, key: Any, value: bytes | None, headers: Any = None, done: Done | None = None) -> None:
        self.sent.append((topic, key, value, dict(headers or ())))
        if done is not None:
            done(None)

    def flush(self) -> None:
        self.flushed += 1

    def records(self, topic: str = "") -> list[Record]:
        return [CODEC.decode(value) for name, _, value, _ in self.sent if topic in ("", name)]


@dataclass
class FakeMessage:
    """A consumed record, as confluent-kafka and Faust give it."""

    data: bytes | None
    at: int = 0
    source: str = "hes.alarms"
    pairs: list[tuple[str, bytes]] = field(default_factory=list)
    name: bytes = b"m1"

    def topic(self) -> str:
        return self.source

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return self.at

    def key(self) -> bytes:
        return self.name

    def value(self) -> bytes | None:
        return self.data

    def headers(self) -> list[tuple[str, bytes]]:
        return self.pairs


def fake_message(record: Record | bytes, at: int = 0, **more: Any) -> Message:
    """A message that holds a record, or the bytes given."""
    data = record if isinstance(record, bytes) else CODEC.encode(record)
    return cast("Message", FakeMessage(data, at, **more))


def fake_runtime(service: str = "test") -> tuple[Runtime, FakePublisher, ManualClock]:
    """A runtime whose publisher and clock the test holds."""
    clock, publisher, settings = ManualClock(1_700_000_000_000), FakePublisher(), Settings()
    runtime = Runtime(
        service=service,
        settings=settings,
        clock=clock,
        codec=CODEC,
        publisher=cast("Publisher", publisher),
        dead_letters=DeadLetters(cast("Publisher", publisher), CODEC, service, clock, settings.dead_letters),
        health=HealthServer(Health(port=-1), clock),
    )
    return runtime, publisher, clock
