"""The leader's work: the books opened, alarms of all partitions taken as they come, and what they make told together.

Alarms of `gather_s` are grouped and written in one transaction; where life support is concerned, almost at once.
"""

from __future__ import annotations

import gc
from collections.abc import Sequence
from typing import Any

import structlog
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, Message, TopicPartition

from connectors.oms.books import OutageBooks
from connectors.oms.core import STATES, Core, Out
from connectors.oms.grid import Grid
from schemas.codec import CodecError, expect
from schemas.records import Alarm, DeadLetter, OutageEvent, OutageLedger, OutageState
from schemas.registry import RegistryError
from streams.runtime import metrics
from streams.runtime.dead_letters import TOPIC as DEAD_LETTERS
from streams.runtime.dead_letters import letter_of
from streams.runtime.errors import FatalError, TemporaryError
from streams.runtime.kafka import new_consumer, values_of
from streams.runtime.service import Runtime
from streams.runtime.tracing import REPLAY, REPLAY_TO, TRACE, header

CODES = {
    "alarm-names": "an alarm whose id, meter, transformer or feeder is longer than 200 characters: no outage could name it"
}
"""Codes of the dead letters, beside the codec's."""
SOURCE = "hes.alarms"
_LONGEST_NAME = 200
_LEDGER = "ledger"
_NO_CHAIN = ""
_KAFKA_S = 30.0
_POLL_S = 0.02
_IDLE_S = 0.2
_BEHIND_S = 1.0
"""Alarms that are about something else move nothing: their positions can wait so long."""
_GARBAGE = (100_000, 50, 100)
"""A storm makes a million small objects that stay; looking for garbage among them would take a fifth of the time."""


class Office:
    """Open from its making; whatever fails, it is closed and another is opened."""

    def __init__(self, runtime: Runtime, grid: Grid) -> None:
        self._runtime = runtime
        self._own = runtime.settings.oms
        self._grid = grid
        self._log = structlog.get_logger("office")
        self._core = Core(self._own, grid)
        self._letters: list[Out] = []
        self._inputs: Consumer | None = None
        self._books = OutageBooks(runtime, STATES, _NO_CHAIN, self._own.transaction_timeout_s)
        try:
            books = self._books.read()
            ledger = next((record for record in books if isinstance(record, OutageLedger)), OutageLedger())
            self._positions = dict(ledger.positions)
            wrong = self._core.restore([record for record in books if isinstance(record, OutageState)])
            if wrong:
                self._log.warning("states-unread", keys=wrong[:10], states=len(wrong), reason="columns of different lengths")
            self._inputs = self._open_inputs()
            self._written = dict(self._positions)
            self._written_at = runtime.clock.monotonic()
            self._began_at = 0.0
            self._due = 0.0
            """When what is in hand is to be told at the latest; 0 while there is nothing."""
            gc.freeze()
            gc.set_threshold(*_GARBAGE)
            self._tick()
        except BaseException:
            self.close()
            raise
        self._log.info("books-opened", transformers=len(self._core), positions=len(self._positions))

    def turn(self) -> int:
        """Handle what has come, and what time does; how many records there were. Errors as of `Books.write`."""
        clock = self._runtime.clock
        wait = _IDLE_S if not self._due else min(_POLL_S, max(0.0, self._due - clock.monotonic()))
        messages = self._take(wait)
        for message in messages:
            self._accept(message)
        self._core.moved(self._grid.take_moved())
        now = clock.monotonic()
        if self._core.touched and not self._due:
            # While the last ones were written these have waited already.
            waited = now - self._began_at
            self._due = now + self._own.gather_s - (waited if waited < 2 * self._own.gather_s else 0.0)
        late = self._positions != self._written and now - self._written_at > _BEHIND_S
        if (self._due and now >= self._due) or self._letters or late or self._core.due(clock.now_ms()):
            self._tick()
        return len(messages)

    @property
    def positions(self) -> list[TopicPartition]:
        """Up to where everything is written, for whoever watches the lag."""
        return [_part(name, offset) for name, offset in self._written.items()]

    def close(self) -> None:
        """Let go of everything; what is not written yet never was."""
        if self._inputs is not None:
            self._inputs.close()
        self._books.close()

    def _take(self, wait_s: float) -> list[Message]:
        if self._inputs is None:
            return []
        first = self._inputs.poll(wait_s)
        if first is None:
            return []
        messages, errors = values_of([first, *self._inputs.consume(self._own.batch_records - 1, 0)])
        for error in errors:
            if error.fatal():
                raise FatalError(f"the consumer can go on no more: {error.str()}")
            self._log.warning("kafka", reason=error.str(), code=error.name())
        metrics.RECORDS_IN.labels(SOURCE).inc(len(messages))
        return messages

    def _accept(self, message: Message) -> None:
        headers = dict(message.headers() or ())
        replayed = bool(headers.get(REPLAY))
        if not replayed or self._runtime.service in header(headers, REPLAY_TO).split(","):
            try:
                record = _short(expect(self._runtime.codec.decode(message.value()), Alarm))
            except CodecError as error:
                self._letters.append(self._letter(message, error))
            except RegistryError as error:
                raise TemporaryError(str(error)) from error
            else:
                self._alarm(record, header(headers, TRACE), replayed=replayed)
        self._positions[f"{message.topic()}/{message.partition()}"] = (message.offset() or 0) + 1

    def _alarm(self, record: Alarm, trace: str, *, replayed: bool) -> None:
        clock = self._runtime.clock
        if self._core.take(record, clock.now_ms(), trace=trace, replayed=replayed):
            soon = clock.monotonic() + self._own.life_support_s
            self._due = min(self._due or soon, soon)

    def _tick(self) -> None:
        clock = self._runtime.clock
        began = self._began_at = clock.monotonic()
        now = clock.now_ms()
        outs = self._core.tick(now) + self._letters
        self._letters = []
        self._due = 0.0
        if outs or self._positions != self._written:
            outs.append(Out(STATES, _LEDGER, OutageLedger(positions=dict(self._positions), at=now)))
            self._books.write_all(outs)
            self._written = dict(self._positions)
            self._count(outs, clock.now_ms())
            metrics.BATCH_RECORDS.observe(len(outs))
            metrics.BATCH_SECONDS.observe(clock.monotonic() - began)
        self._written_at = clock.monotonic()

    def _count(self, outs: Sequence[Out], now: int) -> None:
        for out in outs:
            if isinstance(out.record, OutageEvent):
                metrics.OUTAGES_TOLD.labels(out.record.scope, out.record.reason).inc()
            elif isinstance(out.record, DeadLetter):
                metrics.DEAD_LETTERS.labels(out.record.code).inc()
        for arrived in self._core.take_arrivals():
            metrics.OUTAGE_SECONDS.observe(max(0.0, (now - arrived) / 1_000))
        for status, many in self._core.statuses.items():
            metrics.OUTAGES_OPEN.labels(status).set(many)

    def _letter(self, message: Message, error: CodecError) -> Out:
        letter = letter_of(self._runtime.service, error.code, str(error), message, self._runtime.clock.now_ms())
        return Out(DEAD_LETTERS, (message.key() or b"").decode("utf-8", "replace"), letter)

    def _open_inputs(self) -> Consumer:
        # librdkafka wants a group's name also where no group is joined.
        quick: dict[str, Any] = {"fetch.wait.max.ms": 20, "isolation.level": "read_committed"}
        consumer = new_consumer(self._runtime.settings.kafka, f"{self._runtime.group}-inputs", **quick)
        try:
            found = consumer.list_topics(SOURCE, timeout=_KAFKA_S).topics[SOURCE]
            if found.error is not None or not found.partitions:
                raise FatalError(f"there is no topic {SOURCE}; run `hes topology apply`")
            consumer.assign(
                [
                    TopicPartition(SOURCE, number, self._positions.get(f"{SOURCE}/{number}", OFFSET_BEGINNING))
                    for number in found.partitions
                ]
            )
        except KafkaException as error:
            consumer.close()
            raise TemporaryError(f"Kafka does not answer: {error.args[0].str()}") from error
        return consumer


def _part(name: str, offset: int) -> TopicPartition:
    topic, _, number = name.rpartition("/")
    return TopicPartition(topic, int(number), offset)


def _short(alarm: Alarm) -> Alarm:
    """The alarm, unless a name in it is so long that an outage of many such would fit no record: then `CodecError`."""
    for name in (alarm.id, alarm.meter_id, alarm.transformer, alarm.feeder):
        if len(name) > _LONGEST_NAME:
            raise CodecError("alarm-names", f"a name of {len(name)} characters ({name[:40]}…); {_LONGEST_NAME} are allowed")
    return alarm
