"""The service: one worker leads, the others stand by. Who has the only partition of hes.commands leads.

The group only says whose turn it is; that nobody else writes, Kafka's fencing sees to (`ledger`).
"""

from __future__ import annotations

import structlog
from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from schemas.registry import RegistryError
from streams.commands.office import COMMANDS, Office
from streams.runtime import metrics, service
from streams.runtime.authority.operators import roots_of
from streams.runtime.authority.policy_file import PolicyError, load_policy
from streams.runtime.books import FencedError
from streams.runtime.errors import FatalError, TemporaryError
from streams.runtime.kafka import new_consumer
from streams.runtime.meters import MeterDirectory, MetersFollower
from streams.runtime.service import Runtime
from streams.runtime.settings import Settings
from streams.runtime.signing_key import load_signing_key

_PAUSE_S = 1.0
_COMMIT_S = 1.0


class Service:
    """Waits for its turn, works, and gives way."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._log = structlog.get_logger("commands")
        try:
            self._roots = roots_of(runtime.settings.commands.root_key)
            self._policy = load_policy(runtime.settings.commands.policy_file)
        except (ValueError, PolicyError) as error:
            raise FatalError(f"commands.root_key or commands.policy_file is wrong: {error}") from error
        own = runtime.settings.commands
        secret = own.release_key_passphrase.get_secret_value()
        self._signer = load_signing_key(own.release_key_file, secret, "commands.release_key_file")
        if not self._roots:
            self._log.warning("no-root-key", reason="nobody is an operator, so nothing that changes a meter is done")
        self._meters = MeterDirectory()
        self._leads = False
        self._office: Office | None = None
        self._rests_until = 0.0

    def run(self) -> None:
        """Until asked to stop."""
        meters = MetersFollower(self._runtime, self._meters)
        meters.start()
        try:
            while not self._runtime.stopping.is_set() and not meters.wait(0.5):
                self._runtime.health.progress()
            self._serve(meters)
        finally:
            meters.stop()

    def _serve(self, meters: MetersFollower) -> None:
        lead = new_consumer(self._runtime.settings.kafka, self._runtime.group)
        lead.subscribe([COMMANDS], on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._revoked)
        committed_at = 0.0
        try:
            while not self._runtime.stopping.is_set():
                self._runtime.health.progress()
                meters.check()
                busy = self._office is not None
                # Only for the membership: its partition is paused, and read by the office from where the books say.
                self._check(lead.poll(0 if busy else 0.1))
                self._work()
                now = self._runtime.clock.monotonic()
                if self._office is not None and now - committed_at >= _COMMIT_S:
                    committed_at = now
                    self._tell_lag(lead, self._office)
        finally:
            self._runtime.health.not_ready()
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
                self._office = Office(self._runtime, self._meters, self._policy, self._roots, self._signer)
                metrics.COMMANDS_LEADS.set(1)
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
        self._log.warning("books-closed", reason=str(error), again_in_s=pause_s)
        self._close()
        self._rests_until = self._runtime.clock.monotonic() + pause_s

    def _close(self) -> None:
        if self._office is not None:
            office, self._office = self._office, None
            metrics.COMMANDS_LEADS.set(0)
            office.close()

    def _tell_lag(self, lead: Consumer, office: Office) -> None:
        """Where the books stand, as the group's offsets: for whoever watches the lag, and nothing else."""
        try:
            lead.commit(offsets=office.positions, asynchronous=True)
        except KafkaException as error:
            self._log.debug("lag-not-told", reason=str(error))

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        consumer.assign(partitions)
        consumer.pause(partitions)
        self._leads = bool(partitions)
        self._log.info("leads" if self._leads else "stands-by")
        self._runtime.health.ready()

    def _revoked(self, _consumer: Consumer, _partitions: list[TopicPartition]) -> None:
        self._leads = False
        self._log.info("gives-way")
        self._close()


def main(settings: Settings) -> int:
    """Run until SIGTERM; the exit code."""
    return service.run("commands", settings, lambda runtime: Service(runtime).run())
