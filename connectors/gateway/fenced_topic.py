"""A compacted topic with one fenced writer a partition: who opens a partition keeps everybody out who had it before.

The producer's transactional id is the partition's, so Kafka itself refuses a worker that was paused and replaced, however
late it wakes up; and what was there is read only after that. Blocking: for threads.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, KafkaError, KafkaException, Message, Producer, TopicPartition

from connectors.gateway.reservations import FencedError
from schemas.records import Record
from streams.runtime.errors import DeliveryError
from streams.runtime.kafka import client_config, is_fatal, is_fenced, new_consumer
from streams.runtime.service import Runtime
from streams.runtime.transactions import Out, Transactions

_RECORDS, _WAIT_S = 5_000, 1.0
_PATIENCE_S = 30.0


@dataclass(frozen=True, slots=True, eq=False)
class Writer:
    """A partition that was opened; of no use once somebody else has opened it."""

    partition: int
    producer: Producer


class FencedTopic:
    """`topic` as one worker writes it. `name` tells its transactional ids from those of other topics."""

    def __init__(self, runtime: Runtime, topic: str, name: str) -> None:
        self._runtime = runtime
        self._topic = topic
        self._name = name
        self._writers: dict[int, Writer] = {}
        self._locks: dict[int, threading.Lock] = {}

    def open(self, partition: int, note: Callable[[Message], None]) -> Writer:
        """Take a partition over; `note` is given each record that is in it. Raises KafkaException, `DeliveryError`."""
        with self._lock(partition):
            self._writers.pop(partition, None)
            producer = self._producer(partition)
            producer.init_transactions(_PATIENCE_S)
            for message in self._all(partition):
                note(message)
            writer = self._writers[partition] = Writer(partition, producer)
            return writer

    def write(self, writer: Writer, records: Sequence[tuple[str, Record | None]]) -> None:
        """Key and record (None to forget the key) of each: all or none, in Kafka when this returns. `FencedError` where
        somebody else has the partition, `TooLargeError` where one is too large for the topic (none is written then),
        `DeliveryError` where nobody can tell whether Kafka has them.
        """
        with self._lock(writer.partition):
            if self._writers.get(writer.partition) is not writer:
                raise FencedError(f"partition {writer.partition} was let go, or opened again")
            transactions = Transactions(self._runtime, writer.producer, letters=False, partition=writer.partition)
            try:
                transactions.write(Out(self._topic, key, record) for key, record in records)
            except (KafkaException, DeliveryError) as error:
                self._give_up(writer, error)
                raise DeliveryError(f"{self._topic}: {error}") from error

    def close(self, writer: Writer) -> None:
        """Let a partition go."""
        with self._lock(writer.partition):
            if self._writers.get(writer.partition) is writer:
                del self._writers[writer.partition]

    def _give_up(self, writer: Writer, error: Exception) -> None:
        """Abort what can be aborted. Where somebody else has the partition, or nobody can tell: let it go."""
        cause = error.args[0] if isinstance(error, KafkaException) else None
        if isinstance(cause, KafkaError) and (is_fatal(cause) or is_fenced(cause)):
            self._writers.pop(writer.partition, None)
            raise FencedError(f"{self._topic}: {cause.str()}") from error
        try:
            writer.producer.abort_transaction(_PATIENCE_S)
        except KafkaException as failure:
            self._writers.pop(writer.partition, None)
            raise FencedError(f"{self._topic}: {failure}") from failure

    def _producer(self, partition: int) -> Producer:
        kafka = self._runtime.settings.kafka
        config: dict[str, Any] = {
            "client.id": f"hes-gateway-{self._name}-{partition}",
            "transactional.id": f"{self._runtime.group}{kafka.group_suffix}-{self._name}-{partition}",
            "transaction.timeout.ms": 30_000,
            "linger.ms": 0,
        }
        return Producer(client_config(kafka) | config, logger=logging.getLogger("librdkafka"))

    def _all(self, partition: int) -> Iterator[Message]:
        ends: dict[str, Any] = {"enable.partition.eof": True, "isolation.level": "read_committed", "fetch.wait.max.ms": 20}
        consumer = new_consumer(self._runtime.settings.kafka, f"hes-gateway-{self._name}", **ends)
        try:
            consumer.assign([TopicPartition(self._topic, partition, OFFSET_BEGINNING)])
            heard = self._runtime.clock.monotonic()
            while True:
                first = consumer.poll(_WAIT_S)
                messages = [] if first is None else [first, *consumer.consume(_RECORDS, 0)]
                for message in messages:
                    error = message.error()
                    if error is None:
                        yield message
                    elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - the constant's public name
                        return
                    elif is_fatal(error) or error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                        raise KafkaException(error)
                now = self._runtime.clock.monotonic()
                if messages:
                    heard = now
                elif now - heard >= _PATIENCE_S:
                    raise DeliveryError(f"{self._topic} [{partition}] was silent for {_PATIENCE_S:.0f} s")
        finally:
            consumer.close()

    def _lock(self, partition: int) -> threading.Lock:
        return self._locks.setdefault(partition, threading.Lock())
