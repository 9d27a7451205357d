"""One worker leads, the others stand by: whoever has partition 0 of a topic has the office, and does the work of all of it.

    member ─▶ partition 0 is ours ─▶ office opened ─▶ turn after turn ─▶ revoked, or asked to stop ─▶ office closed
                      ▲                                     │
                      └── a pause ◀── fenced, or something outside is down: closed, and another is opened

The group only says whose turn it is; that nobody else writes, Kafka's fencing sees to (`books`). Where the topic has several
partitions the office reads all of them: what belongs together lies in several.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import structlog
from confluent_kafka import Consumer, KafkaException, Message, TopicPartition
from prometheus_client import Gauge

from schemas.registry import RegistryError
from streams.runtime import metrics
from streams.runtime.books import FencedError
from streams.runtime.errors import FatalError, TemporaryError
from streams.runtime.kafka import is_fatal, new_consumer
from streams.runtime.service import Runtime

_PAUSE_S = 1.0
_TELL_S = 1.0
_WAIT_S, _IDLE_S = 0.5, 0.1


class Office(Protocol):
    """The leader's work: open from its making until `close`, or until anything fails."""

    def turn(self) -> int:
        """Handle what has come, and what time does; how many records there were. `TemporaryError` (`FencedError` where
        somebody else leads) and `RegistryError` where this office is to be closed and another opened.
        """

    @property
    def positions(self) -> Sequence[TopicPartition]:
        """Up to where everything is handled."""

    def close(self) -> None:
        """Let go of everything; what is not written yet never was."""


class Known(Protocol):
    """What must be known before there is any work: a `Follower`."""

    def start(self) -> None:
        """Begin to read."""

    def wait(self, seconds: float) -> bool:
        """Whether it has caught up; waits for it so long."""

    def check(self) -> None:
        """`FatalError` where it goes on no more."""

    def stop(self) -> None:
        """Stop reading."""


class Leader:
    """Waits for its turn, works, and gives way. `make` opens the office, `leads` is 1 while this process has it."""

    def __init__(self, runtime: Runtime, topic: str, make: Callable[[], Office], leads: Gauge) -> None:
        self._runtime = runtime
        self._topic = topic
        self._make = make
        self._gauge = leads
        self._log = structlog.get_logger(runtime.service)
        self._leads = False
        self._office: Office | None = None
        self._rests_until = 0.0
        self._told_at = 0.0

    def run(self, known: Known) -> None:
        """Until asked to stop; begins once `known` has caught up. `FatalError` where it, or the membership, is over."""
        known.start()
        try:
            while not known.wait(_WAIT_S):
                self._runtime.health.progress()
                if self._runtime.stopping.is_set():
                    return
            self._log.info("caught-up")
            self._serve(known)
        finally:
            known.stop()

    def _serve(self, known: Known) -> None:
        member = new_consumer(self._runtime.settings.kafka, self._runtime.group)
        member.subscribe([self._topic], on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._revoked)
        try:
            while not self._runtime.stopping.is_set():
                self._runtime.health.progress()
                known.check()
                # Only for the membership: its partitions are paused, and read by the office from where the books say.
                _check(member.poll(_IDLE_S if self._office is None else 0))
                self._work()
                if self._runtime.clock.monotonic() - self._told_at >= _TELL_S:
                    self._tell_lag(member)
        finally:
            self._runtime.health.not_ready()
            self._tell_lag(member)
            self._close()
            member.close()

    def _work(self) -> None:
        if not self._leads:
            self._close()
            return
        try:
            if self._office is not None:
                self._office.turn()
            elif self._runtime.clock.monotonic() >= self._rests_until:
                self._office = self._make()
                self._gauge.set(1)
        except FencedError as error:
            # Whoever fenced us leads, or believes so: who is right is known once the group has settled.
            self._give_up(error, self._runtime.settings.kafka.session_timeout_s)
        except (TemporaryError, RegistryError) as error:
            self._give_up(error, _PAUSE_S)

    def _give_up(self, error: Exception, pause_s: float) -> None:
        metrics.RETRIES.labels(type(error).__name__).inc()
        self._log.warning("books-closed", reason=str(error), again_in_s=pause_s)
        self._close()
        self._rests_until = self._runtime.clock.monotonic() + pause_s

    def _close(self) -> None:
        if self._office is not None:
            office, self._office = self._office, None
            self._gauge.set(0)
            office.close()

    def _tell_lag(self, member: Consumer) -> None:
        """Where the books stand, as the group's offsets: for whoever watches the lag, and nothing else."""
        if self._office is None or not self._leads:
            return
        self._told_at = self._runtime.clock.monotonic()
        try:
            if positions := list(self._office.positions):
                member.commit(offsets=positions, asynchronous=True)
        except KafkaException as error:
            self._log.debug("lag-not-told", reason=str(error))

    def _assigned(self, member: Consumer, partitions: list[TopicPartition]) -> None:
        member.assign(partitions)
        member.pause(partitions)
        self._leads = any(part.partition == 0 for part in partitions)
        self._log.info("leads" if self._leads else "stands-by")
        self._runtime.health.ready()

    def _revoked(self, _member: Consumer, _partitions: list[TopicPartition]) -> None:
        self._leads = False
        self._log.info("gives-way")
        self._close()


def _check(message: Message | None) -> None:
    """`FatalError` where the membership is over: another process has our name, and to go on would be to fence it."""
    error = None if message is None else message.error()
    if error is not None and is_fatal(error):
        raise FatalError(f"this worker is no member of the group any more: {error.str()}")
