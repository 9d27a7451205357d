"""Jobs from both lanes of hes.jobs, and the offsets of those that are done, on one consumer thread.

One consumer for both topics, so that the `range` assignor gives one worker all partitions of a meter. A lane with too many
jobs in hand has its partitions paused. Offsets are committed here only, and only up to the first job that is not finished:
after a kill everything else is read again, and leaves the same ids.

The consumer hands on what it has in the order in which it came, whatever the lane. So it fetches little ahead: a job that is
urgent stands behind some hundred others, and not behind all that a schedule has just written for the next minutes.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import Any

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from connectors.gateway.bad_records import BadRecords
from schemas.codec import Codec, CodecError
from schemas.records import Job, Operation
from schemas.registry import RegistryError
from schemas.values import value_class
from streams.runtime import metrics
from streams.runtime.errors import FatalError
from streams.runtime.kafka import hear_again, new_consumer, values_of
from streams.runtime.offsets import Partition, Watermarks
from streams.runtime.service import Runtime
from streams.runtime.tracing import REPLAY, TRACE, header

URGENT, BULK = "hes.jobs.urgent", "hes.jobs.bulk"
_RECORDS, _WAIT_S = 100, 0.1
_AHEAD: dict[str, Any] = {
    "fetch.message.max.bytes": 16_384,
    "queued.min.messages": 1_000,
    "fetch.queue.backoff.ms": 10,  # else a consumer that has enough looks again after a second
}
"""Octets of a partition that are fetched at once, and from how many of its records on no more are."""
_REGISTRY_PATIENCE_S = 60
_GATHER_S = 0.005
"""What comes within this time behind a bulk job is taken with it; for what is urgent somebody may be waiting."""
_COMMIT_EVERY_S, _COMMIT_AGAIN_S = 0.1, 1.0


@value_class
class Ticket:
    """A job in hand and where it stands."""

    job: Job
    partition: Partition
    offset: int
    message: Message
    trace: str = ""
    replay_id: str = ""

    @property
    def urgent(self) -> bool:
        """Which lane it came on."""
        return self.partition[0] == URGENT


class Intake:
    """A thread that hands jobs to `deliver`, takes back what is finished, and commits.

    `deliver` and `revoked` are called on the thread, and `shared` with how much of all partitions is this worker's;
    `failed` once, with what ended it, unless it was asked to stop.
    """

    def __init__(
        self,
        runtime: Runtime,
        bad: BadRecords,
        deliver: Callable[[list[Ticket]], None],
        revoked: Callable[[set[Partition]], None],
        failed: Callable[[Exception], None],
        shared: Callable[[float], None] = lambda _: None,
    ) -> None:
        self._runtime = runtime
        self._bad = bad
        self._deliver = deliver
        self._revoked = revoked
        self._shared = shared
        self._failed = failed
        self._limit = runtime.settings.gateway.max_queued_jobs
        self._marks = Watermarks()
        self._in_hand: Counter[Partition] = Counter()
        self._owned: frozenset[Partition] = frozenset()
        self._all = 0
        self._to_commit: dict[Partition, int] = {}
        self._committing: dict[Partition, int] = {}
        """Asked of the broker, and not answered yet."""
        self._finished: deque[tuple[Partition, int]] = deque()
        self._refused: deque[tuple[str, str, Ticket]] = deque()
        self._paused: set[str] = set()
        self._commit_at = self._refused_until = 0.0
        self.client_id = ""
        """What the group is told of this worker; to be set before `start`."""
        self._quiet = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="jobs", daemon=True)
        self._log = structlog.get_logger("jobs")
        self.moved_at = runtime.clock.monotonic()
        """When the thread last showed that it lives."""

    @property
    def running(self) -> bool:
        """Whether the thread was started and has not ended."""
        return self._thread.is_alive()

    def owns(self, number: int) -> bool:
        """Whether the jobs of a partition are this worker's, as far as it can know: a thread that did not move for a session
        timeout may have lost what it had. From any thread.
        """
        still = self._runtime.clock.monotonic() - self.moved_at
        owned = self._owned
        return (
            (BULK, number) in owned or (URGENT, number) in owned
        ) and still < self._runtime.settings.kafka.session_timeout_s

    @property
    def partitions(self) -> int:
        """How many partitions a lane has; 0 while nobody knows."""
        return self._all // 2

    def start(self) -> None:
        """Begin to take jobs."""
        self._thread.start()

    def finish(self, ticket: Ticket) -> None:
        """Note that Kafka has everything that a job caused; from any thread."""
        self._finished.append((ticket.partition, ticket.offset))

    def refuse(self, code: str, detail: str, ticket: Ticket) -> None:
        """Have a job's record written as a dead letter, and its offset finished after that; from any thread."""
        self._refused.append((code, detail, ticket))

    def quiet(self) -> None:
        """Take no more jobs; what is finished is still committed."""
        self._quiet.set()

    def stop(self) -> None:
        """Commit what is finished, leave the group and end."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        try:
            more = _AHEAD | {"on_commit": self._committed}
            consumer = new_consumer(self._runtime.settings.kafka, self._runtime.group, client_id=self.client_id, **more)
            consumer.subscribe([URGENT, BULK], on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost)
            try:
                while not self._stop.is_set():
                    self.moved_at = self._runtime.clock.monotonic()
                    self._turn(consumer)
                self._settle(consumer)
            finally:
                consumer.close()
        except Exception as error:  # noqa: BLE001 - whatever ends the thread must end the process, by its main thread
            self._failed(error)

    def _turn(self, consumer: Consumer) -> None:
        first = consumer.poll(_WAIT_S)
        messages, errors = values_of([] if first is None else [first, *consumer.consume(_RECORDS - 1, _wait_behind(first))])
        for error in errors:
            self._log.warning("kafka", reason=error.str(), code=error.name())
        if self._owned and not self._all:
            self._count(consumer)
        if messages:
            self._take(messages)
        self._settle(consumer, at_once=False)
        self._press(consumer)

    def _take(self, messages: Sequence[Message]) -> None:
        """What is urgent is decoded and handed on before the rest is looked at."""
        for lane in (URGENT, BULK):
            tickets = [ticket for message in messages if message.topic() == lane for ticket in self._ticket(message)]
            if tickets:
                self._deliver(tickets)

    def _ticket(self, message: Message) -> tuple[Ticket, ...]:
        partition, offset = (message.topic() or "", message.partition() or 0), message.offset() or 0
        self._marks.start(partition, offset)
        self._in_hand[partition] += 1
        metrics.RECORDS_IN.labels(partition[0]).inc()
        ticket = self._read(message, partition, offset)
        if isinstance(ticket, Ticket):
            return (ticket,)
        self._bad.put(*ticket, message)
        self.finish(Ticket(Job(), partition, offset, message))
        return ()

    def _read(self, message: Message, partition: Partition, offset: int) -> Ticket | tuple[str, str]:
        for _ in range(_REGISTRY_PATIENCE_S):
            try:
                return read_job(message, partition, offset, self._runtime.codec)
            except RegistryError as error:
                self._log.warning("registry", reason=str(error))
                self.moved_at = self._runtime.clock.monotonic()
                self._stop.wait(1.0)
        raise FatalError("the registry stays away, and jobs cannot be read without it")

    def _settle(self, consumer: Consumer, *, at_once: bool = True) -> None:
        while self._refused:
            code, detail, ticket = self._refused.popleft()
            self._bad.put(code, detail, ticket.message)
            self.finish(ticket)
        while self._finished:
            partition, offset = self._finished.popleft()
            if self._in_hand[partition] > 0:
                self._in_hand[partition] -= 1
            self._marks.finish(partition, offset)
        self._commit(consumer, at_once=at_once)

    def _commit(self, consumer: Consumer, *, at_once: bool) -> None:
        self._to_commit |= self._marks.take()
        now = self._runtime.clock.monotonic()
        if at_once:
            self._to_commit = self._committing | self._to_commit
        elif self._committing or now < self._commit_at:
            return
        if not self._to_commit or now < self._refused_until:
            return
        self._committing, self._to_commit = self._to_commit, {}
        self._commit_at = now + _COMMIT_EVERY_S
        parts = [TopicPartition(topic, number, offset) for (topic, number), offset in self._committing.items()]
        try:
            if at_once:
                consumer.commit(offsets=parts, asynchronous=False)
                self._committing = {}
            else:  # to wait for the broker's answer would be a time in which no job is taken: it comes with a later turn
                consumer.commit(offsets=parts, asynchronous=True)
        except KafkaException as error:
            self._not_committed(error.args[0])

    def _committed(self, error: KafkaError | None, parts: list[TopicPartition]) -> None:
        """The broker's answer, in a turn of the thread."""
        if (failed := error or next((part.error for part in parts if part.error), None)) is not None:
            self._not_committed(failed)
        self._committing = {}

    def _not_committed(self, error: KafkaError) -> None:
        """Kafka is away: once more, a little later. After a restart the jobs are read again, which changes nothing."""
        self._log.warning("commit-refused", reason=error.str())
        self._to_commit = self._committing | self._to_commit
        self._committing = {}
        self._refused_until = self._runtime.clock.monotonic() + _COMMIT_AGAIN_S

    def _press(self, consumer: Consumer) -> None:
        """Pause a lane that has too much in hand, resume it at half of that."""
        for topic in (URGENT, BULK):
            in_hand = sum(count for (name, _), count in self._in_hand.items() if name == topic)
            too_many = self._quiet.is_set() or in_hand >= self._limit or self._marks.pending() >= 4 * self._limit
            if too_many:
                # Each time, since partitions assigned in between are not paused.
                consumer.pause([part for part in consumer.assignment() if part.topic == topic])
                self._paused.add(topic)
            elif topic in self._paused and in_hand <= self._limit // 2:
                consumer.resume([part for part in consumer.assignment() if part.topic == topic])
                self._paused.discard(topic)

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._log.info("partitions-assigned", partitions=len(partitions))
        hear_again(consumer, partitions)
        self._owned |= {(part.topic, part.partition) for part in partitions}
        self._share()

    def _count(self, consumer: Consumer) -> None:
        """How many partitions there are. Not to be called where partitions are assigned, see `new_consumer`."""
        try:
            self._all = _partitions(consumer)
        except KafkaException as error:
            self._log.warning("partitions-uncounted", reason=str(error))
        self._share()

    def _share(self) -> None:
        self._shared(len(self._owned) / self._all if self._all else 1.0)

    def _on_revoke(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Commit what is done, drop what waits; what is under way ends, and is read again by the new owner: with the
        same ids.
        """
        self._settle(consumer)
        self._on_lost(consumer, partitions)

    def _on_lost(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._log.info("partitions-revoked", partitions=len(partitions))
        gone = {(part.topic, part.partition) for part in partitions}
        self._owned -= gone
        self._share()
        for partition in gone:
            self._marks.forget(partition)
            self._to_commit.pop(partition, None)
            self._committing.pop(partition, None)
            self._in_hand.pop(partition, None)
        self._revoked(gone)


def _wait_behind(first: Message) -> float:
    return 0.0 if first.topic() == URGENT else _GATHER_S


def _partitions(consumer: Consumer) -> int:
    """Partitions of both lanes."""
    return sum(len(consumer.list_topics(topic, timeout=10).topics[topic].partitions) for topic in (URGENT, BULK))


def read_job(message: Message, partition: Partition, offset: int, codec: Codec) -> Ticket | tuple[str, str]:
    """The job in a record, or why there is none: a code and a sentence. `RegistryError` where the registry is away."""
    try:
        job = codec.decode(message.value())
    except CodecError as error:
        return error.code, str(error)
    if not isinstance(job, Job):
        return "job-unsupported", f"a {type(job).__name__} on {partition[0]}; only Job belongs there"
    if not job.id or not job.meter_id:
        return "job-unsupported", "a job without an id or a meter"
    if job.operation is Operation.UNKNOWN:
        return "job-unsupported", f"job {job.id} asks for an operation that this release does not know"
    headers = message.headers()
    return Ticket(job, partition, offset, message, header(headers, TRACE), header(headers, REPLAY))
