"""hes.counters as the ledger of reserved invocation counters, a transactional producer for each partition.

A reservation lies in the partition of the meter's jobs, whatever its key, so that who owns the jobs owns the counters. The
producer's transactional id is the partition's: who opens it fences every producer that had it before, in Kafka itself, and
only then reads what is there. So a worker that was paused and replaced cannot write, however late it wakes up.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, KafkaError, KafkaException, Message, Producer, TopicPartition

from connectors.gateway.bad_records import BadRecords
from connectors.gateway.reservations import FencedError, Key, Opened
from schemas.codec import CodecError
from schemas.records import CounterReservation, CountersSeen
from streams.runtime.errors import DeliveryError
from streams.runtime.kafka import client_config, new_consumer
from streams.runtime.service import Runtime
from streams.runtime.tracing import headers_of

TOPIC = "hes.counters"
_RECORDS, _WAIT_S = 5_000, 1.0
_PATIENCE_S = 30.0
_FENCED = (
    KafkaError._FENCED,  # noqa: SLF001 - the constant's public name
    KafkaError.PRODUCER_FENCED,
    KafkaError.INVALID_PRODUCER_EPOCH,
)


class CounterLedger:
    """See `reservations.Ledger`."""

    def __init__(self, runtime: Runtime, bad: BadRecords) -> None:
        self._runtime = runtime
        self._bad = bad
        self._producers: dict[int, Producer] = {}
        self._locks: dict[int, threading.Lock] = {}

    def open(self, partition: int) -> Opened:
        """See `reservations.Ledger`."""
        with self._lock(partition):
            self._producers.pop(partition, None)
            producer = self._producer(partition)
            producer.init_transactions(_PATIENCE_S)
            reserved, seen = self._read(partition)
            self._producers[partition] = producer
            return Opened(partition, reserved, producer, seen)

    def reserve(self, opened: Opened, records: Sequence[CounterReservation]) -> None:
        """See `reservations.Ledger`."""
        partition = opened.partition
        with self._lock(partition):
            producer = self._producers.get(partition)
            if producer is None or producer is not opened.writer:
                raise FencedError(f"partition {partition} was let go, or opened again")
            try:
                self._write(producer, partition, records)
            except (KafkaException, DeliveryError) as error:
                self._give_up(producer, partition, error)
                raise DeliveryError(f"{TOPIC}: {error}") from error

    def close(self, opened: Opened) -> None:
        """See `reservations.Ledger`."""
        with self._lock(opened.partition):
            if self._producers.get(opened.partition) is opened.writer:
                del self._producers[opened.partition]

    def _write(self, producer: Producer, partition: int, records: Sequence[CounterReservation]) -> None:
        failed: list[KafkaError] = []

        def delivered(error: KafkaError | None, _message: Message) -> None:
            if error is not None:
                failed.append(error)

        producer.begin_transaction()
        for record in records:
            producer.produce(
                TOPIC,
                key="|".join((record.meter_id, str(record.client), record.key_ref)).encode(),
                value=self._runtime.codec.encode(record),
                partition=partition,
                headers=headers_of(record, source="gateway", at_ms=record.at),
                on_delivery=delivered,
            )
        producer.commit_transaction(_PATIENCE_S)
        if failed:
            raise DeliveryError(f"{TOPIC}: {failed[0].str()}")

    def _give_up(self, producer: Producer, partition: int, error: Exception) -> None:
        """Abort what can be aborted. Where somebody else has the partition, or nobody can tell: let it go."""
        cause = error.args[0] if isinstance(error, KafkaException) else None
        if isinstance(cause, KafkaError) and (cause.fatal() or cause.code() in _FENCED):
            self._producers.pop(partition, None)
            raise FencedError(f"{TOPIC}: {cause.str()}") from error
        try:
            producer.abort_transaction(_PATIENCE_S)
        except KafkaException as failure:
            self._producers.pop(partition, None)
            raise FencedError(f"{TOPIC}: {failure}") from failure

    def _producer(self, partition: int) -> Producer:
        kafka = self._runtime.settings.kafka
        config: dict[str, Any] = {
            "client.id": f"hes-gateway-counters-{partition}",
            "transactional.id": f"{self._runtime.group}{kafka.group_suffix}-counters-{partition}",
            "transaction.timeout.ms": 30_000,
            "linger.ms": 0,
        }
        return Producer(client_config(kafka) | config, logger=logging.getLogger("librdkafka"))

    def _read(self, partition: int) -> tuple[dict[Key, int], dict[Key, CountersSeen]]:
        """The highest reservation of each key, and how far its counters had come."""
        ends: dict[str, Any] = {"enable.partition.eof": True, "isolation.level": "read_committed"}
        consumer = new_consumer(self._runtime.settings.kafka, "hes-gateway-counters", **ends)
        reserved: dict[Key, int] = {}
        seen: dict[Key, CountersSeen] = {}
        try:
            consumer.assign([TopicPartition(TOPIC, partition, OFFSET_BEGINNING)])
            until = self._runtime.clock.monotonic() + _PATIENCE_S
            while True:
                messages = consumer.consume(_RECORDS, _WAIT_S)
                for message in messages:
                    error = message.error()
                    if error is None:
                        self._note(message, reserved, seen)
                    elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - the constant's public name
                        return reserved, seen
                    elif error.fatal() or error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                        raise KafkaException(error)
                now = self._runtime.clock.monotonic()
                if messages:
                    until = now + _PATIENCE_S
                elif now >= until:
                    raise DeliveryError(f"{TOPIC} [{partition}] was silent for {_PATIENCE_S:.0f} s")
        finally:
            consumer.close()

    def _note(self, message: Message, reserved: dict[Key, int], seen: dict[Key, CountersSeen]) -> None:
        value = message.value()
        if value is None:
            return
        try:
            record = self._runtime.codec.decode(value)
        except CodecError as error:
            self._bad.put(error.code, str(error), message)
            return
        if not isinstance(record, CounterReservation):
            self._bad.put("record-unexpected", f"a {type(record).__name__} on {TOPIC}", message)
            return
        key = record.meter_id, record.key_ref
        reserved[key] = max(reserved.get(key, 0), record.reserved)
        if record.seen.mark:
            seen[key] = later(seen.get(key, record.seen), record.seen)

    def _lock(self, partition: int) -> threading.Lock:
        return self._locks.setdefault(partition, threading.Lock())


def later(before: CountersSeen, after: CountersSeen) -> CountersSeen:
    """What two records of one key, in the order in which they were written, say together: a key has one for each client."""
    if before.mark != after.mark:
        return after
    return CountersSeen(after.mark, max(before.meter, after.meter), max(before.ours, after.ours))
