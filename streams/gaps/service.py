"""The books as a service: one book a partition, kept by whoever has the partition of the readings.

A batch of readings is marked, the rows it changed are written to hes.gaps, and only then its offsets are committed. A
process that died reads the rows back and the batch again, which changes nothing. One that was paused and replaced may write
a row that lacks what its successor marked since; at worst that is read once more.
"""

from __future__ import annotations

from collections.abc import Sequence
from queue import Empty, SimpleQueue
from typing import Any

import structlog
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition

from schemas.codec import CodecError
from schemas.records import CommandAck, IntervalReadings, MeterGaps, Record, Schedule, Tick
from schemas.registry import RegistryError
from streams.gaps.agenda import Agenda, Output
from streams.runtime import metrics, service
from streams.runtime.errors import TemporaryError
from streams.runtime.follow import Follower, read_records
from streams.runtime.kafka import hear_again, is_fatal, new_consumer, values_of
from streams.runtime.meters import MeterDirectory, MetersFollower
from streams.runtime.service import Runtime
from streams.runtime.settings import Settings
from streams.runtime.tracing import headers_of
from streams.schedules.core import TICKS
from streams.schedules.service import SCHEDULES, rate_of

INPUTS = ("hes.readings.intervals", "hes.command-acks")
GAPS = "hes.gaps"
_RECORDS, _WAIT_S, _PATIENCE_S = 5_000, 0.1, 30.0
_BACKOFF_S = 1.0


class GapFinder:
    """Keeps the books of the partitions that it has."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._directory = MeterDirectory(note_changes=True)
        self._told: SimpleQueue[tuple[str, Tick | Schedule | None]] = SimpleQueue()
        self._schedules: set[str] = set()
        self._early: dict[str, list[Tick]] = {}
        """Ticks of schedules that are not known: removed, or not heard of yet."""
        self._followers: tuple[Follower, ...] = (
            MetersFollower(runtime, self._directory),
            Follower(runtime, SCHEDULES, self._tell),
            Follower(runtime, TICKS, self._tell),
        )
        settings = runtime.settings
        self._agenda = Agenda(self._directory, rate_of(settings.gateway), settings.gaps)
        self._look_at = self._report_at = 0
        self._ours: set[int] = set()
        self._at_end: set[tuple[str, int]] = set()
        """Inputs that are read to their present end."""
        ends: dict[str, Any] = {"enable.partition.eof": True}
        self._consumer: Consumer = new_consumer(settings.kafka, runtime.group, **ends)
        self._log = structlog.get_logger("gaps")

    def run(self) -> None:
        """Until asked to stop."""
        for follower in self._followers:
            follower.start()
        try:
            for follower in self._followers:
                while not follower.wait(1.0) and not self._runtime.stopping.is_set():
                    self._runtime.health.progress()
            self._take_told()
            self._log.info("caught-up", meters=len(self._directory))
            self._consumer.subscribe(list(INPUTS), on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._revoked)
            while not self._runtime.stopping.is_set():
                self._turn()
        finally:
            self._runtime.health.not_ready()
            self._consumer.close()
            for follower in self._followers:
                follower.stop()

    def _turn(self) -> None:
        self._runtime.health.progress()
        settings = self._runtime.settings.gaps
        came = self._consumer.consume(settings.batch_records, settings.batch_wait_s)
        messages, errors = values_of(came)
        for message in came:
            where, error = (message.topic() or "", message.partition() or 0), message.error()
            if error is None:
                self._at_end.discard(where)
            elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - the constant's public name
                self._at_end.add(where)  # each time that it is reached
        for failure in errors:
            self._log.warning("kafka", reason=failure.str(), code=failure.name())
        for follower in self._followers:
            follower.check()
        self._take_told()
        self._until_done(messages)

    def _until_done(self, messages: Sequence[Message]) -> None:
        """All that is to be done now; again, with the partitions paused, while something outside is down."""
        while True:
            try:
                self._open_books()
                self._take(messages)
                self._look()
                break
            except TemporaryError as error:
                metrics.RETRIES.labels(type(error).__name__).inc()
                self._log.warning("retried", records=len(messages), again_in_s=_BACKOFF_S, reason=str(error))
                if self._runtime.stopping.is_set():
                    return
                self._consumer.pause(self._consumer.assignment())
                early, failures = values_of(self._consumer.consume(1, _BACKOFF_S))
                for failure in failures:
                    self._log.warning("kafka", reason=failure.str(), code=failure.name())
                for message in early:
                    self._consumer.seek(
                        TopicPartition(message.topic() or "", message.partition() or 0, message.offset() or 0)
                    )
                self._consumer.resume(self._consumer.assignment())
                self._runtime.health.progress()
        self._commit(messages)

    def _take(self, messages: Sequence[Message]) -> None:
        now = self._runtime.clock.now_ms()
        if self._agenda.day_is_over(now):
            self._look_now(now)
        passed = 0
        for message in messages:
            try:
                record = self._runtime.codec.decode(message.value())
            except CodecError as error:
                self._runtime.dead_letters.put_message(error.code, str(error), message)
                continue
            except RegistryError as error:
                raise TemporaryError(str(error)) from error
            if isinstance(record, IntervalReadings | CommandAck):
                self._agenda.arrived(message.partition() or 0, record)
                passed += 1
            else:
                detail = f"a {type(record).__name__} on {message.topic()}"
                self._runtime.dead_letters.put_message("record-unexpected", detail, message)
        self._runtime.dead_letters.passed(passed)
        self._save(now)

    def _look(self) -> None:
        now = self._runtime.clock.now_ms()
        settings = self._runtime.settings.gaps
        if now >= self._look_at:
            self._look_now(now)
            self._look_at = now + round(settings.look_every_s * 1_000)
        if now >= self._report_at:
            records = self._agenda.reports(now)
            self._send(records)
            self._agenda.reported(records)
            self._report_at = now + round(settings.report_every_s * 1_000)

    def _look_now(self, now: int) -> None:
        behind = {part for part in self._ours if any((topic, part) not in self._at_end for topic in INPUTS)}
        for found in self._agenda.look(now, behind):
            self._send(found.outputs)
            self._agenda.settle(found, now)
            if found.outputs:
                self._log.info("gaps", partition=found.partition, asked=len(found.findings.asks), given_up=found.given_up)
        self._save(now)

    def _save(self, now: int) -> None:
        """The rows that changed, to hes.gaps."""
        saved = self._agenda.unsaved(now)
        self._send([(GAPS, meter_id, record) for meter_id, record in saved])
        self._agenda.saved(meter_id for meter_id, _ in saved)

    def _send(self, outputs: Sequence[Output]) -> None:
        if not outputs:
            return
        runtime = self._runtime
        for topic, key, record in outputs:
            value = None if record is None else runtime.codec.encode(record)
            headers = None if record is None else headers_of(record, source=runtime.service, at_ms=runtime.clock.now_ms())
            runtime.publisher.send(topic, key, value, headers)
        runtime.publisher.flush()

    def _commit(self, messages: Sequence[Message]) -> None:
        ends: dict[tuple[str, int], int] = {}
        for message in messages:
            partition = message.partition() or 0
            if partition in self._ours:
                ends[message.topic() or "", partition] = (message.offset() or 0) + 1
            metrics.RECORDS_IN.labels(message.topic()).inc()
        if not ends:
            return
        offsets = [TopicPartition(topic, partition, end) for (topic, partition), end in ends.items()]
        try:
            self._consumer.commit(offsets=offsets, asynchronous=False)
        except KafkaException as error:
            # Somebody else has the partitions now, or Kafka is away: they are read again, which changes nothing.
            self._log.warning("commit-refused", reason=str(error))

    def _open_books(self) -> None:
        missing = sorted(self._ours - self._agenda.books.keys())
        if missing:
            for partition in missing:
                self._agenda.open(partition)
            try:
                rows = self._read(missing)
            except BaseException:
                for partition in missing:
                    self._agenda.close(partition)
                raise
            self._agenda.opened(self._runtime.clock.now_ms())
            self._log.info("books-opened", partitions=missing, rows=rows)
        if self._ours:
            self._runtime.health.ready()

    def _read(self, partitions: Sequence[int]) -> int:
        """The rows of partitions as they were written down, into their books; how many records that were."""
        ends: dict[str, Any] = {"enable.partition.eof": True}
        consumer = new_consumer(self._runtime.settings.kafka, f"{self._runtime.group}-reads", **ends)
        behind, count = set(partitions), 0
        try:
            consumer.assign([TopicPartition(GAPS, partition, OFFSET_BEGINNING) for partition in partitions])
            until = self._runtime.clock.monotonic() + _PATIENCE_S
            while behind:
                messages = consumer.consume(_RECORDS, _WAIT_S)
                self._runtime.health.progress()
                count += self._note(messages, behind)
                now = self._runtime.clock.monotonic()
                if messages:
                    until = now + _PATIENCE_S
                elif now >= until:
                    raise TemporaryError(f"{GAPS} was silent for {_PATIENCE_S:.0f} s")
        except (KafkaException, RegistryError) as error:
            raise TemporaryError(f"{GAPS} cannot be read: {error}") from error
        finally:
            consumer.close()
        return count

    def _note(self, messages: Sequence[Message], behind: set[int]) -> int:
        records = []
        for message in messages:
            error = message.error()
            if error is None:
                records.append(message)
            elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - the constant's public name
                behind.discard(message.partition() or 0)
            elif is_fatal(error) or error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise KafkaException(error)
        now = self._runtime.clock.now_ms()
        for key, record, message in read_records(self._runtime, records):
            if record is None or isinstance(record, MeterGaps):
                self._agenda.load(message.partition() or 0, key, record, now)
        return len(records)

    def _take_told(self) -> None:
        told = []
        while True:
            try:
                told.append(self._told.get_nowait())
            except Empty:
                break
        now = self._runtime.clock.now_ms()
        for name, record in told:
            if isinstance(record, Schedule):
                self._schedules.add(name)
            elif record is None:
                self._schedules.discard(name)
                self._agenda.ended(name)
        ticks = [tick for name in sorted(self._schedules & self._early.keys()) for tick in self._early.pop(name)]
        for tick in ticks + [record for _, record in told if isinstance(record, Tick)]:
            if tick.schedule.id in self._schedules:
                self._agenda.ticked(tick, now)
            else:
                self._early.setdefault(tick.schedule.id, []).append(tick)

    def _tell(self, messages: Sequence[Message]) -> None:
        """On a follower's thread."""
        for key, record, message in read_records(self._runtime, messages):
            known: Record | None = record
            if isinstance(known, Tick | Schedule) or (known is None and message.topic() == SCHEDULES):
                self._told.put((key, known))

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        hear_again(consumer, partitions)
        self._ours |= {each.partition for each in partitions}
        self._log.info("partitions-assigned", partitions=len(self._ours))

    def _revoked(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        for partition in {each.partition for each in partitions}:
            self._ours.discard(partition)
            self._at_end -= {(topic, partition) for topic in INPUTS}
            self._agenda.close(partition)
        self._log.info("partitions-revoked", partitions=len(partitions))


def main(settings: Settings) -> int:
    """Run until SIGTERM; the exit code."""
    return service.run("gaps", settings, lambda runtime: GapFinder(runtime).run())
