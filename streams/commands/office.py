"""The leader's work: the books opened, everything that comes in handled in order, and each batch written as one.

What a control topic holds is handled operators first, then controls, results, requests and decisions: so a revocation or a
freeze counts as early as it can.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import structlog
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, Message, TopicPartition

from schemas.codec import CodecError
from schemas.records import AuditEntry, CommandLedger, JobResult, Record
from schemas.registry import RegistryError
from schemas.signatures import Signer
from streams.commands.desk import Desk
from streams.commands.machine import Meters
from streams.commands.output import STATES
from streams.runtime import metrics
from streams.runtime.authority.chain import Link
from streams.runtime.authority.controls import Controls
from streams.runtime.authority.operators import Operators
from streams.runtime.authority.policy import Policy
from streams.runtime.authority.verify import Around
from streams.runtime.books import Books
from streams.runtime.dead_letters import TOPIC as DEAD_LETTERS
from streams.runtime.dead_letters import letter_of
from streams.runtime.errors import FatalError, TemporaryError
from streams.runtime.kafka import new_consumer, values_of
from streams.runtime.service import Runtime
from streams.runtime.tracing import REPLAY, TRACE, header

COMMANDS, DECISIONS = "hes.commands", "hes.command-decisions"
OPERATORS, CONTROLS = "hes.operators", "hes.controls"
EVENTS = "hes.events.urgent"
_BEHIND_S = 30.0
_ORDER = {OPERATORS: 0, CONTROLS: 1, EVENTS: 2, COMMANDS: 3, DECISIONS: 4}


class Office:
    """Open from its making; whatever fails, it is closed and another is opened."""

    def __init__(
        self, runtime: Runtime, meters: Meters, policy: Policy, roots: tuple[bytes, ...], signer: Signer | None = None
    ) -> None:
        self._runtime = runtime
        self._codec = runtime.codec
        self._log = structlog.get_logger("office")
        environment = runtime.settings.environment
        operators = Operators(runtime.codec, environment, roots)
        controls = Controls(runtime.codec, environment, operators, policy)
        self._books = Books(runtime, STATES, "", runtime.settings.commands.transaction_timeout_s, signer)
        self._inputs: Consumer | None = None
        self._written_at = runtime.clock.monotonic()
        try:
            books = self._books.read()
            known = next((record for record in books if isinstance(record, CommandLedger)), CommandLedger())
            self._positions = dict(known.positions)
            link = self._books.end_of_chain(Link(known.sequence, known.hash) if known.sequence else Link())
            around = Around(runtime.codec, environment, policy, operators, controls)
            self._desk = Desk(around, meters, runtime.settings.commands, runtime.clock, link)
            self._handle: dict[str, Callable[[bytes | None], None]] = {
                OPERATORS: self._desk.operator,
                CONTROLS: self._desk.control,
                COMMANDS: self._desk.request,
                DECISIONS: self._desk.decision,
                EVENTS: self._result,
            }
            self._relearn(OPERATORS, operators.apply)
            self._relearn(CONTROLS, lambda value: controls.apply(value, runtime.clock.now_ms()))
            self._desk.restore(books)
            self._inputs = self._open_inputs()
            if len(self._desk.paper):
                self._write()
        except BaseException:
            self.close()
            raise
        self._log.info("books-opened", commands=len(self._desk), audit_entries=link.sequence)

    def turn(self) -> int:
        """Handle what has come, and what time does; how many records there were. Errors as of `Books.write`."""
        messages = self._take()
        for message in sorted(messages, key=lambda message: _ORDER[message.topic() or ""]):
            self._accept(message)
        self._desk.paper.parent = ""
        self._desk.tick()
        # Alarms and other services' results move nothing: their positions can wait for something that does.
        late = self._runtime.clock.monotonic() - self._written_at > _BEHIND_S
        if len(self._desk.paper) or (messages and late):
            self._write()
        return len(messages)

    @property
    def positions(self) -> list[TopicPartition]:
        """Up to where everything is handled, for whoever watches the lag."""
        return [_part(name, offset) for name, offset in self._positions.items()]

    def close(self) -> None:
        """Let go of everything; what is not written yet never was."""
        if self._inputs is not None:
            self._inputs.close()
        self._books.close()

    def _relearn(self, topic: str, apply: Callable[[bytes | None], object]) -> None:
        """Read a topic that is a book of its own: what was handled before is only learnt, what is new is handled."""
        for message in self._books.all(topic):
            if (message.offset() or 0) < self._positions.get(f"{topic}/0", 0):
                apply(message.value())
            else:
                self._accept(message)

    def _take(self) -> list[Message]:
        own = self._runtime.settings.commands
        first = None if self._inputs is None else self._inputs.poll(own.poll_s)
        if self._inputs is None or first is None:
            return []
        messages, errors = values_of([first, *self._inputs.consume(own.batch_records - 1, 0)])
        for error in errors:
            if error.fatal():
                raise FatalError(f"the consumer can go on no more: {error.str()}")
            self._log.warning("kafka", reason=error.str(), code=error.name())
        return messages

    def _accept(self, message: Message) -> None:
        topic, value = message.topic() or "", message.value()
        paper = self._desk.paper
        paper.parent = header(message.headers(), TRACE)
        if not header(message.headers(), REPLAY):
            try:
                if topic != EVENTS:
                    self._codec.decode(value)
            except CodecError as error:
                self._dead_letter(message, error)
            except RegistryError as error:
                raise TemporaryError(str(error)) from error
            self._handle[topic](value)
        self._positions[f"{topic}/{message.partition()}"] = (message.offset() or 0) + 1
        metrics.RECORDS_IN.labels(topic).inc()

    def _result(self, value: bytes | None) -> None:
        """Alarms pass by undecoded; what cannot be read is the splitter's to complain about."""
        try:
            if self._codec.type_of(value) is not JobResult:
                return
            record = self._codec.decode(value)
        except CodecError:
            return
        except RegistryError as error:
            raise TemporaryError(str(error)) from error
        if isinstance(record, JobResult):
            self._desk.result(record, value or b"")

    def _dead_letter(self, message: Message, error: CodecError) -> None:
        metrics.DEAD_LETTERS.labels(error.code).inc()
        letter = letter_of(self._runtime.service, error.code, str(error), message, self._runtime.clock.now_ms())
        self._desk.paper.put(DEAD_LETTERS, f"{letter.topic}/{letter.offset}", letter)

    def _write(self) -> None:
        began = self._runtime.clock.monotonic()
        self._desk.write_books(dict(self._positions))
        outs = self._desk.paper.take()
        self._books.write(outs)
        for out in outs:
            _count(out.record)
        metrics.COMMANDS_OPEN.set(self._desk.open)
        self._written_at = self._runtime.clock.monotonic()
        metrics.BATCH_RECORDS.observe(len(outs))
        metrics.BATCH_SECONDS.observe(self._runtime.clock.monotonic() - began)

    def _open_inputs(self) -> Consumer:
        # librdkafka wants a group's name also where no group is joined.
        quick: dict[str, Any] = {"fetch.wait.max.ms": 50, "isolation.level": "read_committed"}
        consumer = new_consumer(self._runtime.settings.kafka, f"{self._runtime.group}-inputs", **quick)
        try:
            parts: list[TopicPartition] = []
            for topic in _ORDER:
                found = consumer.list_topics(topic, timeout=30).topics[topic]
                if found.error is not None or not found.partitions:
                    raise FatalError(f"there is no topic {topic}; run `hes topology apply`")
                parts += [
                    TopicPartition(topic, number, self._positions.get(f"{topic}/{number}", OFFSET_BEGINNING))
                    for number in found.partitions
                ]
            consumer.assign(parts)
        except KafkaException as error:
            consumer.close()
            raise TemporaryError(f"Kafka does not answer: {error.args[0].str()}") from error
        return consumer


def _count(record: Record | None) -> None:
    """What is on the chain is what is counted, once it is there."""
    if isinstance(record, AuditEntry):
        if record.action.startswith("command-"):
            metrics.COMMAND_STEPS.labels(record.action.removeprefix("command-")).inc()
        if record.code:
            metrics.COMMANDS_REFUSED.labels(record.code).inc()


def _part(name: str, offset: int) -> TopicPartition:
    topic, _, number = name.rpartition("/")
    return TopicPartition(topic, int(number), offset)
