"""The loop of every service that consumes in batches without Faust: sinks and routers.

A batch is handled, what it produced is flushed, and only then its offsets are committed, synchronously. While something
outside is down the batch is taken again, with the partitions paused and the group membership kept. Whatever is not
expected ends the process without a commit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from streams.runtime import metrics
from streams.runtime.errors import TemporaryError
from streams.runtime.kafka import hear_again, new_consumer, values_of
from streams.runtime.service import Runtime
from streams.runtime.tracing import tell_done

Handle = Callable[[Sequence[Message]], None]
"""Takes a batch, in order per partition. May send by the runtime's publisher. Must leave everything as after once when it
is given the same records twice. Raises `TemporaryError` where trying again can help; poison records it dead-letters."""

BACKOFF_S = (0.2, 0.5, 1.0, 2.0, 5.0)


class BatchLoop:
    """Consumes topics in batches until the runtime is asked to stop."""

    def __init__(self, runtime: Runtime, topics: Sequence[str], handle: Handle, *, records: int, wait_s: float) -> None:
        self._runtime = runtime
        self._topics = list(topics)
        self._handle = handle
        self._records = records
        self._wait_s = wait_s
        self._log = structlog.get_logger("consumer")
        self._lost: set[tuple[str, int]] = set()
        self._consumer: Consumer = new_consumer(runtime.settings.kafka, runtime.group)

    def run(self) -> None:
        """Until asked to stop; then the batch in hand is finished and committed."""
        self._consumer.subscribe(self._topics, on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._revoked)
        try:
            while not self._runtime.stopping.is_set():
                self._runtime.health.progress()
                messages, errors = values_of(self._consumer.consume(self._records, self._wait_s))
                for error in errors:
                    self._report(error)
                if messages:
                    self._take(messages)
        finally:
            self._runtime.health.not_ready()
            self._consumer.close()

    def _take(self, messages: list[Message]) -> None:
        began, began_ms = self._runtime.clock.monotonic(), self._runtime.clock.now_ms()
        self._lost.clear()
        for tries in range(1_000_000):
            try:
                self._handle(messages)
                self._runtime.publisher.flush()
            except TemporaryError as error:
                cause = error.__cause__ or error
                metrics.RETRIES.labels(type(cause).__name__).inc()
                pause = BACKOFF_S[min(tries, len(BACKOFF_S) - 1)]
                self._log.warning(
                    "batch-retried", records=len(messages), tries=tries + 1, again_in_s=pause, reason=str(error)
                )
                if not self._wait(pause, messages):
                    return
            else:
                break
        self._commit(messages)
        metrics.BATCH_RECORDS.observe(len(messages))
        metrics.BATCH_SECONDS.observe(self._runtime.clock.monotonic() - began)
        tell_done(messages, began_ms, self._runtime.clock.now_ms())
        for message in messages:
            metrics.RECORDS_IN.labels(message.topic()).inc()

    def _wait(self, seconds: float, messages: list[Message]) -> bool:
        """Wait with the partitions paused; false where the batch is no longer ours to finish."""
        assignment = self._consumer.assignment()
        self._consumer.pause(assignment)
        until = self._runtime.clock.monotonic() + seconds
        while self._runtime.clock.monotonic() < until and not self._runtime.stopping.is_set():
            self._runtime.health.progress()
            # Paused partitions give nothing; polling keeps the membership and lets a rebalance happen.
            early, errors = values_of(self._consumer.consume(1, 0.1))
            for error in errors:
                self._report(error)
            if early:
                self._rewind(early)
        if self._runtime.stopping.is_set():
            return False
        if self._lost:
            self._rewind(messages)
        self._consumer.resume(self._consumer.assignment())
        return not self._lost

    def _rewind(self, messages: Sequence[Message]) -> None:
        """Read again, later, what is given up now, for the partitions that are still ours."""
        ours = {(part.topic, part.partition) for part in self._consumer.assignment()}
        first: dict[tuple[str, int], int] = {}
        for message in messages:
            first.setdefault((message.topic() or "", message.partition() or 0), message.offset() or 0)
        for (topic, partition), offset in first.items():
            if (topic, partition) in ours:
                self._consumer.seek(TopicPartition(topic, partition, offset))

    def _commit(self, messages: Sequence[Message]) -> None:
        ends: dict[tuple[str, int], int] = {}
        for message in messages:
            ends[message.topic() or "", message.partition() or 0] = (message.offset() or 0) + 1
        offsets = [TopicPartition(topic, partition, end) for (topic, partition), end in ends.items()]
        try:
            self._consumer.commit(offsets=offsets, asynchronous=False)
        except KafkaException as error:
            # Another worker owns the partitions now, or Kafka is away: the batch is handled again, which changes nothing.
            self._log.warning("commit-refused", reason=str(error))

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._log.info("partitions-assigned", partitions=len(partitions))
        hear_again(consumer, partitions)
        self._runtime.health.ready()

    def _revoked(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._log.info("partitions-revoked", partitions=len(partitions))
        self._lost.update((part.topic, part.partition) for part in partitions)

    def _report(self, error: KafkaError) -> None:
        self._log.warning("kafka", reason=error.str(), code=error.name())
