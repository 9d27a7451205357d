"""The planner as a service: one process plans, others stand by with the meters in memory.

Which one is told by the group's one partition of hes.ticks; that it is the only one is Kafka's fencing (`ledger`).
"""

from __future__ import annotations

from collections.abc import Sequence
from queue import Empty, SimpleQueue

import structlog
from confluent_kafka import Consumer, Message, TopicPartition

from schemas.records import Network, Schedule
from streams.runtime import metrics, service
from streams.runtime.errors import TemporaryError
from streams.runtime.follow import Follower, read_records
from streams.runtime.kafka import new_consumer, values_of
from streams.runtime.meters import MeterDirectory, MetersFollower
from streams.runtime.service import Runtime
from streams.runtime.settings import Gateway, Settings
from streams.schedules.core import TICKS, Core
from streams.schedules.ledger import Ledger
from streams.schedules.plan import Rate
from streams.schedules.rules import problems

SCHEDULES = "hes.schedules"
_AT_ONCE = 100
_BACKOFF_S = 1.0


class Planner:
    """Plans while it has the partition."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._directory = MeterDirectory(note_changes=True)
        self._meters = MetersFollower(runtime, self._directory)
        self._schedules = Follower(runtime, SCHEDULES, self._told)
        self._changes: SimpleQueue[tuple[str, Schedule | None]] = SimpleQueue()
        self._known: dict[str, Schedule] = {}
        self._ledger = Ledger(runtime)
        self._core: Core | None = None
        self._ours = False
        self._consumer: Consumer = new_consumer(runtime.settings.kafka, runtime.group)
        self._log = structlog.get_logger("schedules")

    def run(self) -> None:
        """Until asked to stop."""
        followers: tuple[Follower, ...] = (self._meters, self._schedules)
        for follower in followers:
            follower.start()
        try:
            for follower in followers:
                while not follower.wait(1.0) and not self._runtime.stopping.is_set():
                    self._runtime.health.progress()
            self._log.info("caught-up", meters=len(self._directory))
            self._consumer.subscribe([TICKS], on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._revoked)
            self._runtime.health.ready()
            while not self._runtime.stopping.is_set():
                self._turn(followers)
        finally:
            self._runtime.health.not_ready()
            self._consumer.close()
            for follower in followers:
                follower.stop()

    def _turn(self, followers: Sequence[Follower]) -> None:
        self._runtime.health.progress()
        _, errors = values_of(self._consumer.consume(1, self._runtime.settings.schedules.poll_s))
        for error in errors:
            self._log.warning("kafka", reason=error.str(), code=error.name())
        for follower in followers:
            follower.check()
        self._take_changes()
        if not self._ours:
            return
        try:
            self._plan()
        except TemporaryError as error:
            metrics.RETRIES.labels(type(error).__name__).inc()
            self._log.warning("planning-retried", again_in_s=_BACKOFF_S, reason=str(error))
            self._runtime.stopping.wait(_BACKOFF_S)

    def _plan(self) -> None:
        if self._core is None:
            core = Core(self._directory, rate_of(self._runtime.settings.gateway), self._runtime.settings.schedules)
            for name, schedule in self._known.items():
                core.follow(name, schedule)
            self._ledger.open(core)
            self._core = core
            metrics.PLANNING.set(1)
            self._log.info("planning", schedules=len(self._known), pending=len(core.sending))
        core = self._core
        for _ in range(_AT_ONCE):
            work = core.step(self._runtime.clock.now_ms())
            if work is None or self._runtime.stopping.is_set():
                break
            self._ledger.write(work.records())
            work.done()
            self._runtime.health.progress()
            self._log.info(work.what, **work.note)
        core.observe(self._runtime.clock.now_ms())

    def _take_changes(self) -> None:
        while True:
            try:
                name, schedule = self._changes.get_nowait()
            except Empty:
                return
            if schedule is None:
                self._known.pop(name, None)
            else:
                self._known[name] = schedule
            if self._core is not None:
                self._core.follow(name, schedule)

    def _told(self, messages: Sequence[Message]) -> None:
        """On the follower's thread. What cannot be followed is a dead letter, and what was followed before goes on."""
        for key, record, message in read_records(self._runtime, messages):
            if record is None:
                self._changes.put((key, None))
                continue
            wrong = problems(record) if isinstance(record, Schedule) else [f"a {type(record).__name__} on {SCHEDULES}"]
            if isinstance(record, Schedule) and record.id != key:
                wrong.append(f"the key {key!r} is not the schedule's id {record.id!r}")
            if wrong or not isinstance(record, Schedule):
                self._log.warning("schedule-invalid", schedule=key, reason="; ".join(wrong))
                self._runtime.dead_letters.put_message("schedule-invalid", "; ".join(wrong), message)
                self._runtime.publisher.flush()
            else:
                self._changes.put((key, record))

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        if partitions:
            # Nothing is read here: the partition is only who plans.
            consumer.assign(partitions)
            consumer.pause(partitions)
            self._ours = True

    def _revoked(self, _consumer: Consumer, _partitions: list[TopicPartition]) -> None:
        if self._ours:
            self._log.info("standing-by")
        self._ours = False
        self._core = None
        self._ledger.close()
        metrics.PLANNING.set(0)


def rate_of(settings: Gateway) -> Rate:
    """Sessions begun a second in a segment, as the gateway is set to pace it."""

    def rate(network: Network, segment: str) -> float:
        pace = settings.segments.get(segment) or getattr(settings.pace, network.value.lower())
        return float(pace.starts_per_s)

    return rate


def main(settings: Settings) -> int:
    """Run until SIGTERM; the exit code."""
    return service.run("schedules", settings, lambda runtime: Planner(runtime).run())
