"""The loop of a service that waits long for what it writes to: it consumes on while earlier batches are under way.

As `consumer`, but handling is on threads: the next batch is read, and with several handles handled, while the one before is
being stored. Offsets are committed in the order in which batches came, each only when it and all before it are done. Where
what is outside is slow, nothing is consumed: a handful of batches is all that is ever in memory.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from streams.runtime import metrics
from streams.runtime.consumer import BACKOFF_S, Handle
from streams.runtime.errors import DeliveryError, TemporaryError
from streams.runtime.kafka import Publisher, hear_again, new_consumer, values_of
from streams.runtime.service import Runtime
from streams.runtime.tracing import tell_done

_CHUNK = 2_000
"""Records asked of librdkafka at once: between two, size and time of the batch are looked at."""
_LONG_S = 1.0
"""Who waits for longer than this pauses its partitions and keeps in touch with the group; for less, it is not worth it."""
_REVOKED_S = 5.0
"""How long a rebalance waits for what is under way, so that nobody does it again."""


@dataclass(frozen=True, slots=True)
class Limits:
    """When a batch is handed on: at so many records or octets of values, or so long after its first record."""

    records: int
    octets: int
    wait_s: float
    fetch_octets: int = 1
    fetch_wait_s: float = 0.5
    """The broker answers a fetch with so many octets, or after this time with what there is: many small answers cost it, and
    us, more than what is in them."""


@dataclass(frozen=True, slots=True)
class _Batch:
    messages: list[Message]
    octets: int
    began: float
    done: Future[bool]
    """False where it was given up because the service stops."""


class OverlappedLoop:
    """Consumes topics until the runtime is asked to stop. Each of `handles` has a thread of its own: with one, batches are
    handled in order, with several, several at once. `Handle` says what one must keep.
    """

    def __init__(
        self,
        runtime: Runtime,
        topics: Sequence[str],
        handles: Sequence[Handle],
        limits: Limits,
        publisher: Publisher | None = None,
        member: str = "",
    ) -> None:
        """`publisher` is flushed after each batch: the runtime's, unless the handles send by another. `member` tells loops
        of one process apart, where it has several in its group.
        """
        self._runtime = runtime
        self._topics = list(topics)
        self._limits = limits
        self._publisher = runtime.publisher if publisher is None else publisher
        self._log = structlog.get_logger("consumer")
        self._handles: SimpleQueue[Handle] = SimpleQueue()
        for handle in handles:
            self._handles.put(handle)
        self._threads = len(handles)
        self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="batch")
        self._under_way: deque[_Batch] = deque()
        self._over = threading.Event()
        self._flushing = threading.Lock()
        self._failures = 0
        self._owned: frozenset[tuple[str, int]] = frozenset()
        fetch: dict[str, Any] = {
            "fetch.min.bytes": limits.fetch_octets,
            "fetch.wait.max.ms": round(1000 * limits.fetch_wait_s),
        }
        kafka = runtime.settings.kafka
        if member and kafka.instance_id:
            fetch["group.instance.id"] = f"{kafka.instance_id}-{runtime.group}-{member}"
        self._consumer: Consumer = new_consumer(kafka, runtime.group, **fetch)

    def run(self) -> None:
        """Until asked to stop; then what is under way is finished and committed."""
        self._consumer.subscribe(self._topics, on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._lost)
        try:
            while not self._runtime.stopping.is_set():
                self._runtime.health.progress()
                self._make_room()
                messages, octets = self._gather()
                if messages:
                    self._submit(messages, octets)
                self._settle()
            wait([batch.done for batch in self._under_way])
            self._settle()
        finally:
            self._over.set()
            self._runtime.health.not_ready()
            self._pool.shutdown(cancel_futures=True)
            self._consumer.close()

    def owns(self, topic: str, partition: int) -> bool:
        """Whether a partition is this process's; from any thread."""
        return (topic, partition) in self._owned

    def _gather(self) -> tuple[list[Message], int]:
        """The next batch and its octets."""
        limits, clock = self._limits, self._runtime.clock
        messages: list[Message] = []
        octets, left, until = 0, limits.wait_s, 0.0
        while left > 0 and len(messages) < limits.records and octets < limits.octets and not self._runtime.stopping.is_set():
            chunk, errors = values_of(self._consumer.consume(min(_CHUNK, limits.records - len(messages)), min(left, 0.5)))
            for error in errors:
                self._report(error)
            if chunk and not messages:
                until = clock.monotonic() + limits.wait_s
            messages += chunk
            octets += sum(len(message) for message in chunk)
            left = until - clock.monotonic() if messages else left - 0.5
        return messages, octets

    def _submit(self, messages: list[Message], octets: int) -> None:
        done = self._pool.submit(self._work, messages)
        self._under_way.append(_Batch(messages, octets, self._runtime.clock.monotonic(), done))

    def _make_room(self) -> None:
        """Wait until a batch may be read: at most one is, beyond those that are handled."""
        paused, until = False, self._runtime.clock.monotonic() + _LONG_S
        while len(self._under_way) > self._threads and not self._runtime.stopping.is_set():
            self._runtime.health.progress()
            wait([self._under_way[0].done], timeout=0.1)
            self._settle()
            if self._runtime.clock.monotonic() > until:
                self._consumer.pause(self._consumer.assignment())
                paused = True
                early, errors = values_of(self._consumer.consume(1, 0))  # lets a rebalance happen
                for error in errors:
                    self._report(error)
                if early:
                    self._read_again(early[0])
        if paused:
            self._consumer.resume(self._consumer.assignment())

    def _read_again(self, message: Message) -> None:
        self._consumer.seek(TopicPartition(message.topic() or "", message.partition() or 0, message.offset() or 0))

    def _work(self, messages: Sequence[Message]) -> bool:
        """On a thread: one batch, until it is done; false where the service stops while it cannot be."""
        handle = self._handles.get()
        try:
            for tries in range(1_000_000):
                try:
                    seen = self._failures
                    handle(messages)
                    self._flush(seen)
                except TemporaryError as error:
                    metrics.RETRIES.labels(type(error.__cause__ or error).__name__).inc()
                    pause = BACKOFF_S[min(tries, len(BACKOFF_S) - 1)]
                    self._log.warning(
                        "batch-retried", records=len(messages), tries=tries + 1, again_in_s=pause, reason=str(error)
                    )
                    if self._runtime.stopping.wait(pause) or self._over.is_set():
                        return False
                else:
                    return True
            return False
        finally:
            self._handles.put(handle)

    def _flush(self, seen: int) -> None:
        """A record that Kafka did not take fails every batch that was being handled: whose it was is not known."""
        with self._flushing:
            try:
                self._publisher.flush()
            except TemporaryError:
                self._failures += 1
                raise
            if self._failures != seen:
                raise DeliveryError("Kafka did not take a record of this batch, or of one beside it")

    def _settle(self) -> None:
        """Commit what is done, in order. Whatever else a batch ended with ends the loop."""
        ends: dict[tuple[str, int], int] = {}
        while self._under_way and self._under_way[0].done.done():
            batch = self._under_way[0]
            if not batch.done.result():
                break
            self._under_way.popleft()
            for message in batch.messages:
                ends[message.topic() or "", message.partition() or 0] = (message.offset() or 0) + 1
            for topic, records in Counter(message.topic() for message in batch.messages).items():
                metrics.RECORDS_IN.labels(topic).inc(records)
            metrics.BATCH_RECORDS.observe(len(batch.messages))
            took = self._runtime.clock.monotonic() - batch.began
            metrics.BATCH_SECONDS.observe(took)
            now = self._runtime.clock.now_ms()
            tell_done(batch.messages, now - round(took * 1000), now)
        ours = {(part.topic, part.partition) for part in self._consumer.assignment()} if ends else set()
        offsets = [TopicPartition(*place, end) for place, end in ends.items() if place in ours]
        if not offsets:
            return
        try:
            self._consumer.commit(offsets=offsets, asynchronous=False)
        except KafkaException as error:
            # Another worker owns the partitions now, or Kafka is away: the batch is handled again, which changes nothing.
            self._log.warning("commit-refused", reason=str(error))

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._log.info("partitions-assigned", partitions=len(partitions))
        hear_again(consumer, partitions)
        self._owned = frozenset((part.topic, part.partition) for part in partitions)
        self._runtime.health.ready()

    def _revoked(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Finish what is nearly done while the partitions are still ours."""
        self._log.info("partitions-revoked", partitions=len(partitions))
        self._owned = frozenset()
        if self._over.is_set():
            return
        wait([batch.done for batch in self._under_way], timeout=_REVOKED_S)
        self._settle()

    def _lost(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._log.warning("partitions-lost", partitions=len(partitions))
        self._owned = frozenset()

    def _report(self, error: KafkaError) -> None:
        self._log.warning("kafka", reason=error.str(), code=error.name())
