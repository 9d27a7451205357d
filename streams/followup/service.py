"""Follow-up as a service: one process leads, since budgets and windows hold for all meters of an area; others stand by.

The leader is the one that the group gives partition 0 of hes.alarms; it reads all partitions of its inputs. Records are
written, and only then offsets are committed, with the time up to which everything due was written. Who leads next reads the
alarms of the policy's horizon again, to remember and not to act. A process that died in between writes jobs of the same ids.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import structlog
from confluent_kafka import Consumer, KafkaException, Message, TopicPartition
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from schemas.codec import CodecError
from schemas.records import Alarm, Cause, CommandAck, CommandRequest, Network, Record, RegisterReadings
from schemas.registry import RegistryError
from schemas.signatures import signed
from streams.followup.clock import Drift, drift_of
from streams.followup.core import Core, Output
from streams.followup.outputs import COMMANDS, EVENTS, drift_alarm, set_clock_request
from streams.followup.policy import Clocks, Policy
from streams.followup.policy_file import PolicyError, load_policy
from streams.followup.signer import signing_key
from streams.runtime import metrics, service
from streams.runtime.errors import FatalError, TemporaryError
from streams.runtime.kafka import new_consumer, values_of
from streams.runtime.meters import Known, MeterDirectory, MetersFollower
from streams.runtime.service import Runtime
from streams.runtime.settings import Deadlines, Settings
from streams.runtime.tracing import REPLAY, header, headers_of

ALARMS, REGISTERS, ACKS = "hes.alarms", "hes.readings.registers", "hes.command-acks"
_CLOCK_MARK = b".1.0.0.255"
"""In whatever states a clock; the rest of the registers need not be decoded."""
_BACKOFF_S = 1.0
_KAFKA_S = 30.0
_REQUEST_MS = 1_800_000
T = TypeVar("T")
Where = tuple[str, int]
"""Topic and partition."""


@dataclass(slots=True)
class Clerk:
    """Turns what was decided about clocks into records. Without a key a wrong clock is an alarm."""

    runtime: Runtime
    key: Ed25519PrivateKey | None
    clocks: Clocks

    def outputs(self, reading: RegisterReadings, place: Known, drift: Drift) -> list[Output]:
        """A request to set the clock, or an alarm."""
        settings = self.runtime.settings
        if drift.sets and self.key is not None:
            metrics.CLOCKS_WRONG.labels("set").inc()
            request = set_clock_request(
                reading,
                drift.window,
                self.clocks,
                operator=settings.followup.operator,
                environment=settings.environment,
                why=drift.why,
                expires_ms=_REQUEST_MS,
            )
            return [(COMMANDS, request.id, request)]
        metrics.CLOCKS_WRONG.labels("alarm").inc()
        why = drift.why
        if drift.sets:
            why += "; follow-up has no key to sign a SET_CLOCK command (followup.key_file): give it one, or have it signed"
        return [(EVENTS, reading.meter_id, drift_alarm(drift.code, reading, place, drift.window, why))]

    def value(self, record: Record) -> bytes:
        """As it stands on its topic; what asks for a change is signed."""
        if isinstance(record, CommandRequest) and self.key is not None:
            return signed(self.runtime.codec, record, self.runtime.settings.environment, self.key)
        return self.runtime.codec.encode(record)


class FollowUp:
    """Works while it leads."""

    def __init__(self, runtime: Runtime, policy: Policy, key: Ed25519PrivateKey | None) -> None:
        self._runtime = runtime
        self._policy = policy
        self._clerk = Clerk(runtime, key, policy.clocks)
        self._directory = MeterDirectory()
        self._follower = MetersFollower(runtime, self._directory)
        self._elected = False
        """Whether to begin to lead, outside of the callback that says so (see `new_consumer`)."""
        self._core: Core | None = None
        self._positions: dict[Where, int] = {}
        self._known_to: dict[Where, int] = {}
        """Alarms before were handled by whoever led before."""
        self._acted = 0
        self._told: list[CommandAck] = []
        """What became of pings, until what was asked before is remembered."""
        self._consumer: Consumer = new_consumer(runtime.settings.kafka, runtime.group)
        self._log = structlog.get_logger("followup")

    def run(self) -> None:
        """Until asked to stop."""
        self._follower.start()
        try:
            while not self._follower.wait(1.0) and not self._runtime.stopping.is_set():
                self._runtime.health.progress()
            self._log.info("caught-up", meters=len(self._directory), rules=len(self._policy.rules))
            self._consumer.subscribe([ALARMS], on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._revoked)
            while not self._runtime.stopping.is_set():
                self._turn()
        finally:
            self._runtime.health.not_ready()
            self._consumer.close()
            self._follower.stop()

    def _turn(self) -> None:
        self._runtime.health.progress()
        own = self._runtime.settings.followup
        messages, errors = values_of(self._consumer.consume(own.batch_records, own.poll_s))
        for error in errors:
            self._log.warning("kafka", reason=error.str(), code=error.name())
        self._follower.check()
        if self._elected:
            self._begin()  # what was read before is read again
            return
        if self._core is None:
            return
        records = self._until_done(lambda: self._decoded(messages))
        if records is None or self._core is None:
            return
        outputs: list[Output] = []
        for record, known in records:
            if isinstance(record, CommandAck):
                self._told.append(record)
            else:
                outputs += self._outputs(self._core, record, known)
        for message in messages:
            where = message.topic() or "", message.partition() or 0
            self._positions[where] = (message.offset() or 0) + 1
            metrics.RECORDS_IN.labels(where[0]).inc()
        remembered = all(self._positions.get(where, 0) >= known for where, known in self._known_to.items())
        if remembered:
            if self._known_to:
                self._known_to.clear()
                self._core.acted(self._acted)
                self._log.info("remembered", waiting=len(self._core))
            for ack in self._told:
                outputs += self._core.told(ack)
            self._told.clear()
            outputs += self._core.due(self._runtime.clock.now_ms())
        if self._until_done(lambda: self._send(outputs)) is not None and remembered and (messages or outputs):
            self._commit()
        self._count(self._core)

    def _outputs(self, core: Core, record: Alarm | RegisterReadings, known: bool) -> list[Output]:
        now = self._runtime.clock.now_ms()
        if isinstance(record, Alarm):
            return core.take(record, now, known=known)
        drift = drift_of(record, self._policy.clocks, self._policy.fresh_ms, now)
        place = None if drift is None else self._directory.get(record.meter_id)
        return [] if drift is None or place is None else self._clerk.outputs(record, place, drift)

    def _decoded(self, messages: Sequence[Message]) -> list[tuple[Alarm | RegisterReadings | CommandAck, bool]]:
        """What is to be looked at, and whether it was handled before. Replayed records cause nothing (rule 12)."""
        found: list[tuple[Alarm | RegisterReadings | CommandAck, bool]] = []
        # Acknowledgements are many; they matter while a ping is on its way, or may have been before we came.
        acks = bool(self._known_to) or (self._core is not None and self._core.waits)
        for message in messages:
            value, topic = message.value() or b"", message.topic() or ""
            if header(message.headers(), REPLAY) or (topic == REGISTERS and _CLOCK_MARK not in value):
                continue
            if topic == ACKS and not acks:
                continue
            known = (message.offset() or 0) < self._known_to.get((topic, message.partition() or 0), 0)
            try:
                record = self._runtime.codec.decode(value)
            except CodecError as error:
                if not known and topic == ALARMS:  # of the other topic the sink tells
                    self._runtime.dead_letters.put_message(error.code, str(error), message)
                continue
            except RegistryError as error:
                raise TemporaryError(str(error)) from error
            if isinstance(record, Alarm | RegisterReadings) or (
                isinstance(record, CommandAck) and record.cause is Cause.FOLLOW_UP
            ):
                found.append((record, known))
        self._runtime.dead_letters.passed(len(found))
        return found

    def _send(self, outputs: Sequence[Output]) -> bool:
        runtime = self._runtime
        for topic, key, record in outputs:
            headers = headers_of(record, source=runtime.service, at_ms=runtime.clock.now_ms())
            runtime.publisher.send(topic, key, self._clerk.value(record), headers)
        runtime.publisher.flush()
        return True

    def _until_done(self, work: Callable[[], T]) -> T | None:
        """What it gives; again while something outside is down. None where we are asked to stop."""
        while True:
            try:
                return work()
            except (TemporaryError, RegistryError) as error:
                metrics.RETRIES.labels(type(error).__name__).inc()
                self._log.warning("retried", again_in_s=_BACKOFF_S, reason=str(error))
                if self._runtime.stopping.wait(_BACKOFF_S):
                    return None
                self._runtime.health.progress()

    def _commit(self) -> None:
        acted = str(self._runtime.clock.now_ms())
        parts = [TopicPartition(topic, part, offset, acted) for (topic, part), offset in self._positions.items()]
        try:
            if parts:
                self._consumer.commit(offsets=parts, asynchronous=False)
        except KafkaException as error:
            # Somebody else leads now, or Kafka is away: at worst jobs of the same ids are written again.
            self._log.warning("commit-refused", reason=str(error))

    def _count(self, core: Core) -> None:
        tally = core.take_tally()
        for rule, many in tally.jobs.items():
            metrics.FOLLOWED_UP.labels(rule).inc(many)
        for (rule, why), many in tally.passed.items():
            metrics.NOT_FOLLOWED.labels(rule, why).inc(many)
        if tally.jobs:
            self._log.info("followed-up", **tally.jobs)
        metrics.FOLLOWUP_WAITING.set(len(core))

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._runtime.health.ready()
        consumer.assign([])  # in the group; who leads says itself what it reads
        self._elected = any(part.partition == 0 for part in partitions)
        if not self._elected:
            self._log.info("standing-by")

    def _begin(self) -> None:
        self._elected = False
        consumer = self._consumer
        try:
            parts = [
                TopicPartition(topic, number)
                for topic in (ALARMS, REGISTERS, ACKS)
                for number in consumer.list_topics(topic, timeout=_KAFKA_S).topics[topic].partitions
            ]
            consumer.assign(self._starts(consumer, parts))
        except KafkaException as error:
            raise FatalError(f"{ALARMS}, {REGISTERS} and {ACKS} cannot be opened: {error}") from error
        deadlines = self._runtime.settings.commands.deadlines
        self._core = Core(self._policy, self._directory, lambda network: _deadline_ms(deadlines, network))
        self._log.info("leading", remembers_ms=self._policy.horizon_ms)

    def _starts(self, consumer: Consumer, parts: list[TopicPartition]) -> list[TopicPartition]:
        """Where to begin: alarms where the horizon begins, clocks where whoever led before stopped."""
        self._positions.clear()
        self._known_to.clear()
        self._told.clear()
        since = self._runtime.clock.now_ms() - self._policy.horizon_ms
        asked = [TopicPartition(part.topic, part.partition, max(0, since)) for part in parts]
        committed, timed = consumer.committed(parts, _KAFKA_S), consumer.offsets_for_times(asked, _KAFKA_S)
        starts = []
        for known, by_time in zip(committed, timed, strict=True):
            where = known.topic, known.partition
            start = by_time.offset if known.offset < 0 else known.offset
            if known.offset >= 0 and known.topic == ALARMS and 0 <= by_time.offset < known.offset:
                start, self._known_to[where] = by_time.offset, known.offset
            if known.offset >= 0 and (known.metadata or "").isdigit():
                self._acted = max(self._acted, int(known.metadata or 0))
            if start < 0:  # nothing so late; what comes from now on must not be missed
                start = consumer.get_watermark_offsets(by_time, _KAFKA_S)[1]
            starts.append(TopicPartition(*where, start))
        return starts

    def _revoked(self, _consumer: Consumer, _partitions: list[TopicPartition]) -> None:
        if self._core is not None:
            self._log.info("standing-by")
        self._core, self._elected = None, False


def _deadline_ms(deadlines: Deadlines, network: Network) -> int:
    seconds: float = getattr(deadlines, network.lower())
    return round(seconds * 1_000)


def main(settings: Settings) -> int:
    """Run until SIGTERM; the exit code."""

    def body(runtime: Runtime) -> None:
        try:
            policy = load_policy(settings.followup.policy_file)
        except PolicyError as error:
            raise FatalError(str(error)) from error
        FollowUp(runtime, policy, signing_key(settings.followup)).run()

    return service.run("followup", settings, body)
