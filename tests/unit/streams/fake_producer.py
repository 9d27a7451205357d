"""librdkafka's producer in memory, with a limit of a record's size for each topic: Kafka's refusals as services see them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from confluent_kafka import KafkaError, KafkaException

from schemas.records import DeadLetter
from streams.runtime.dead_letters import TOPIC
from tests.unit.streams.fakes import CODEC, FakeMessage

SIZE = KafkaError(KafkaError.MSG_SIZE_TOO_LARGE, "Broker: Message size too large")
SKIPPED = KafkaError(KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER, "skipped sequence numbers")
CLIENT_LIMIT = 1_000_000


@dataclass
class FakeProducer:
    """librdkafka's producer: refuses by its own limit at once, and as the broker does a whole batch when that is sent. What
    it sends of a topic after a refusal, in a transaction, is out of order once (seen with a real broker).
    """

    limits: dict[str, int] = field(default_factory=dict)
    single: bool = False
    """One record a batch."""
    queue: list[tuple[str, Any, bytes, Any]] = field(default_factory=list)
    taken: list[tuple[str, Any, bytes]] = field(default_factory=list)
    pending: list[tuple[str, Any, bytes]] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    eager: bool = False
    """Sends what is handed to it at once, and reports on it when the transaction ends."""
    late: list[Callable[[], None]] = field(default_factory=list)
    partitions: set[int] = field(default_factory=set)
    """Those that were named."""
    skips: set[str] = field(default_factory=set)
    failed: KafkaError | None = None
    in_transaction: bool = False
    full: bool = False

    def produce(
        self,
        topic: str,
        value: bytes | None = None,
        key: Any = None,
        partition: int = -1,
        *,
        headers: Any = None,
        on_delivery: Any = None,
    ) -> None:
        assert headers is None or dict(headers)
        self.partitions.add(partition)
        if self.full:
            raise BufferError
        if len(value or b"") > CLIENT_LIMIT:
            raise KafkaException(SIZE)
        if self.in_transaction and self.failed is not None:
            raise KafkaException(KafkaError(KafkaError._STATE))
        record = topic, key, value or b"", on_delivery
        if self.eager and self.in_transaction:
            self._send(topic, [record])
        else:
            self.queue.append(record)

    def poll(self, _timeout: float) -> int:
        return 0

    def __len__(self) -> int:
        return len(self.queue)

    def flush(self, _timeout: float = 0) -> int:
        while self.queue:
            topic = self.queue[0][0]
            mine = [index for index, (name, *_) in enumerate(self.queue) if name == topic]
            batch = [self.queue.pop(index) for index in reversed(mine[:1] if self.single else mine)][::-1]
            self._send(topic, batch)
        return 0

    def _send(self, topic: str, batch: list[tuple[str, Any, bytes, Any]]) -> None:
        error = None
        if self.in_transaction and topic in self.skips:
            self.skips.discard(topic)
            error = SKIPPED
        elif sum(len(value) for _, _, value, _ in batch) > self.limits.get(topic, 10 * CLIENT_LIMIT):
            self.skips.add(topic)
            error = SIZE
        self.failed = self.failed or (error if self.in_transaction else None)
        for name, key, value, report in batch:
            if error is None:
                (self.pending if self.in_transaction else self.taken).append((name, key, value))
            octets = key.encode() if isinstance(key, str) else key
            told = partial(report, error, FakeMessage(value, source=name, name=octets))
            self.late.append(told) if self.eager else told()

    def begin_transaction(self) -> None:
        assert not self.queue
        self.in_transaction, self.failed, self.pending = True, None, []

    def commit_transaction(self, _timeout: float) -> None:
        self.flush()
        if self.failed is not None:
            self.calls.append(self.failed.name())
            raise KafkaException(self.failed)
        self.calls.append("commit")
        self.late.clear()
        self.taken += self.pending

    def abort_transaction(self, _timeout: float) -> None:
        self.queue.clear()
        self.in_transaction = False
        for told in self.late:
            told()
        self.late.clear()

    @property
    def topics(self) -> list[str]:
        return [topic for topic, _, _ in self.taken]

    def letter(self) -> DeadLetter:
        (value,) = [value for topic, _, value in self.taken if topic == TOPIC]
        record = CODEC.decode(value)
        assert isinstance(record, DeadLetter)
        return record
