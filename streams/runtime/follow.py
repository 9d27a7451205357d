"""A small or compacted topic, read whole by every process for itself: no group, no commits, from its beginning and then on.

For what a service must know rather than work through: meters, schedules, operators. The records are handed on in order,
on the follower's thread; that what was there at the start has been handed on is told by `caught_up`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import structlog
from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    IsolationLevel,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, OffsetSpec

from schemas.codec import CodecError
from schemas.records import Record
from schemas.registry import RegistryError
from streams.runtime.errors import FatalError
from streams.runtime.kafka import admin_client, is_fatal, new_consumer
from streams.runtime.service import Runtime

_RECORDS, _WAIT_S = 5_000, 0.2


class Follower:
    """Reads a topic on a thread and hands its records on, in batches.

    `take` is called on the thread with messages that hold a record or a tombstone. Whoever has started it calls `check`
    now and then: what ended the thread is raised there, so that it ends the process.
    """

    def __init__(self, runtime: Runtime, topic: str, take: Callable[[Sequence[Message]], None]) -> None:
        self._runtime = runtime
        self._topic = topic
        self._take = take
        self._stop = threading.Event()
        self._caught_up = threading.Event()
        self._failed: Exception | None = None
        self._admin: AdminClient | None = None
        self._next: dict[int, int] = {}
        """Up to where records were handed on, by partition."""
        self._moved = threading.Condition()
        self._thread = threading.Thread(target=self._run, name=f"follow {topic}", daemon=True)
        self._log = structlog.get_logger("follow")

    @property
    def caught_up(self) -> bool:
        """Whether all that was on the topic when the follower started has been handed on, and it still follows."""
        return self._caught_up.is_set() and self._failed is None

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def check(self) -> None:
        """`FatalError` where the thread has ended without being asked to."""
        if self._failed is not None:
            raise FatalError(f"{self._topic} is followed no more: {self._failed}") from self._failed

    def wait(self, seconds: float) -> bool:
        """Wait until it has caught up, or the time is over; whether it has. Raises as `check`."""
        self._caught_up.wait(seconds)
        self.check()
        return self.caught_up

    def reaches_end(self, seconds: float) -> bool:
        """Whether everything has been handed on that Kafka has at this moment; waits for it, up to `seconds` and as long
        again for Kafka's word. From any thread but the follower's own.
        """
        if not self.caught_up:
            return False
        if self._admin is None:  # the consumer answers no other thread while it is polled
            self._admin = admin_client(self._runtime.settings.kafka)
        latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]  # untyped in its source
        parts = {TopicPartition(self._topic, number): latest for number in self._next}
        asked = self._admin.list_offsets(parts, isolation_level=IsolationLevel.READ_COMMITTED, request_timeout=seconds)
        try:
            ends = {part.partition: found.result(seconds).offset for part, found in asked.items()}
        except (KafkaException, TimeoutError) as error:
            self._log.warning("end-unknown", topic=self._topic, reason=str(error))
            return False
        with self._moved:
            return self._moved.wait_for(lambda: all(self._next[part] >= end for part, end in ends.items()), seconds)

    def stop(self) -> None:
        """Stop reading, and wait for the thread."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        try:
            # librdkafka wants a group's name also where no group is joined.
            group = f"{self._runtime.group}-follows"
            ends: dict[str, Any] = {"enable.partition.eof": True}
            consumer = new_consumer(self._runtime.settings.kafka, group, **ends)
            try:
                behind = self._assign(consumer)
                self._next = dict.fromkeys(behind, 0)
                self._read(consumer, behind)
            finally:
                consumer.close()
        except Exception as error:  # noqa: BLE001 - whatever ends the thread must end the process, by its main thread
            self._failed = error
            self._caught_up.set()

    def _assign(self, consumer: Consumer) -> set[int]:
        topic = consumer.list_topics(self._topic, timeout=30).topics[self._topic]
        if topic.error is not None or not topic.partitions:
            raise FatalError(f"there is no topic {self._topic}; run `hes topology apply`")
        consumer.assign([TopicPartition(self._topic, partition, OFFSET_BEGINNING) for partition in topic.partitions])
        return set(topic.partitions)

    def _read(self, consumer: Consumer, behind: set[int]) -> None:
        while not self._stop.is_set():
            records: list[Message] = []
            reached: dict[int, int] = {}
            # What comes is handed on at once, with what else is there.
            first = consumer.poll(_WAIT_S)
            for message in [] if first is None else [first, *consumer.consume(_RECORDS - 1, 0)]:
                error = message.error()
                if error is None:
                    records.append(message)
                    reached[message.partition() or 0] = (message.offset() or 0) + 1
                elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - the constant's public name
                    behind.discard(message.partition())
                    reached[message.partition() or 0] = message.offset() or 0
                elif is_fatal(error):
                    raise FatalError(f"the consumer of {self._topic} can go on no more: {error.str()}")
                else:
                    self._log.warning("kafka", topic=self._topic, reason=error.str(), code=error.name())
            if records:
                self._hand_on(records)
            with self._moved:
                self._next |= reached
                self._moved.notify_all()
            if not behind and not self._stop.is_set():
                self._caught_up.set()

    def _hand_on(self, records: Sequence[Message]) -> None:
        while not self._stop.is_set():
            try:
                self._take(records)
            except RegistryError as error:
                self._log.warning("registry", topic=self._topic, reason=str(error))
                self._stop.wait(1.0)
            else:
                return


def read_records(runtime: Runtime, messages: Sequence[Message]) -> list[tuple[str, Record | None, Message]]:
    """Key, record (None for a tombstone) and message of each; what cannot be read is logged and passed over.

    It is no dead letter here: of several services that follow a topic each would write one. `RegistryError` passes
    through where the registry is away.
    """
    found: list[tuple[str, Record | None, Message]] = []
    for message in messages:
        key = (message.key() or b"").decode("utf-8", "replace")
        if message.value() is None:
            found.append((key, None, message))
            continue
        try:
            found.append((key, runtime.codec.decode(message.value()), message))
        except CodecError as error:
            where = {"topic": message.topic(), "partition": message.partition(), "offset": message.offset()}
            structlog.get_logger("follow").warning("record-unread", code=error.code, reason=str(error), **where)
    return found
