"""The service: one worker leads, the others stand by. Who has partition 0 of hes.alarms leads, and reads all of them.

A transformer's meters lie in all partitions, so the partitions cannot be shared out. The group only says whose turn it is;
that nobody else writes, Kafka's fencing sees to (`streams.runtime.books`).
"""

from __future__ import annotations

import structlog
from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from connectors.oms.grid import Grid, GridFollower
from connectors.oms.office import SOURCE, Office
from schemas.registry import RegistryError
from streams.runtime import metrics, service
from streams.runtime.books import FencedError
from streams.runtime.errors import FatalError, TemporaryError
from streams.runtime.kafka import new_consumer
from streams.runtime.service import Runtime
from streams.runtime.settings import Settings

_PAUSE_S = 1.0
_COMMIT_S = 1.0


class Service:
    """Waits for its turn, works, and gives way."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._log = structlog.get_logger("oms")
        self._grid = Grid()
        self._leads = False
        self._office: Office | None = None
        self._rests_until = 0.0

    def run(self) -> None:
        """Until asked to stop."""
        meters = GridFollower(self._runtime, self._grid)
        meters.start()
        try:
            while not self._runtime.stopping.is_set() and not meters.wait(0.5):
                self._runtime.health.progress()
            self._log.info("caught-up", meters=len(self._grid))
            self._serve(meters)
        finally:
            meters.stop()

    def _serve(self, meters: GridFollower) -> None:
        lead = new_consumer(self._runtime.settings.kafka, self._runtime.group)
        lead.subscribe([SOURCE], on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._revoked)
        committed_at = 0.0
        try:
            while not self._runtime.stopping.is_set():
                self._runtime.health.progress()
                meters.check()
                # Only for the membership: its partitions are paused, and read by the office from where the books say.
                self._check(lead.poll(0 if self._office is not None else 0.1))
                self._work()
                now = self._runtime.clock.monotonic()
                if self._office is not None and now - committed_at >= _COMMIT_S:
                    committed_at = now
                    self._tell_lag(lead, self._office)
        finally:
            self._runtime.health.not_ready()
            if self._office is not None and self._leads:
                self._tell_lag(lead, self._office)
            self._close()
            lead.close()

    def _work(self) -> None:
        if not self._leads:
            self._close()
            return
        try:
            if self._office is not None:
                self._office.turn()
            elif self._runtime.clock.monotonic() >= self._rests_until:
                self._office = Office(self._runtime, self._grid)
                metrics.OUTAGES_LEADS.set(1)
        except FencedError as error:
            # Whoever fenced us leads, or believes so: who is right is known once the group has settled.
            self._give_up(error, self._runtime.settings.kafka.session_timeout_s)
        except (TemporaryError, RegistryError) as error:
            self._give_up(error, _PAUSE_S)

    def _check(self, message: Message | None) -> None:
        """`FatalError` where the membership is over: another process has our name, and to go on would be to fence it."""
        error = None if message is None else message.error()
        if error is not None and error.fatal():
            raise FatalError(f"this worker is no member of the group any more: {error.str()}")

    def _give_up(self, error: Exception, pause_s: float) -> None:
        metrics.RETRIES.labels(type(error).__name__).inc()
        self._log.warning("books-closed", reason=str(error), again_in_s=pause_s)
        self._close()
        self._rests_until = self._runtime.clock.monotonic() + pause_s

    def _close(self) -> None:
        if self._office is not None:
            office, self._office = self._office, None
            metrics.OUTAGES_LEADS.set(0)
            office.close()

    def _tell_lag(self, lead: Consumer, office: Office) -> None:
        """Where the books stand, as the group's offsets: for whoever watches the lag, and nothing else."""
        try:
            if office.positions:
                lead.commit(offsets=office.positions, asynchronous=True)
        except KafkaException as error:
            self._log.debug("lag-not-told", reason=str(error))

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        consumer.assign(partitions)
        consumer.pause(partitions)
        self._leads = any(part.partition == 0 for part in partitions)
        self._log.info("leads" if self._leads else "stands-by")
        self._runtime.health.ready()

    def _revoked(self, _consumer: Consumer, _partitions: list[TopicPartition]) -> None:
        self._leads = False
        self._log.info("gives-way")
        self._close()


def main(settings: Settings) -> int:
    """Run until SIGTERM; the exit code."""
    return service.run("oms", settings, lambda runtime: Service(runtime).run())
