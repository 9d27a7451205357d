"""The leader's work: the books opened, everything that comes in handled in order, and each batch written as one.

Operators are handled first, then controls, results, requests and decisions: so a revocation or a freeze counts as early as
it can. What cannot be read is a dead letter of `streams/commands`, which reads the same topics.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

import structlog
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, Message, TopicPartition

from schemas.codec import CodecError
from schemas.records import AuditEntry, CampaignLedger, FirmwareManifest, Job, JobResult, Record
from schemas.registry import RegistryError
from schemas.signatures import Signer
from streams.firmware.desk import Desk
from streams.firmware.fleet import Fleet
from streams.firmware.output import CAMPAIGNS, CHAIN
from streams.firmware.states import Meter
from streams.runtime import metrics
from streams.runtime.authority.chain import Link
from streams.runtime.authority.controls import Controls
from streams.runtime.authority.operators import Operators
from streams.runtime.authority.policy import Policy
from streams.runtime.authority.refusals import Refusal
from streams.runtime.authority.verify import Around
from streams.runtime.books import Books
from streams.runtime.errors import FatalError, TemporaryError
from streams.runtime.images import ImageStore
from streams.runtime.kafka import new_consumer, values_of
from streams.runtime.service import Runtime
from streams.runtime.tracing import REPLAY, TRACE, header

COMMANDS, DECISIONS = "hes.commands", "hes.command-decisions"
OPERATORS, CONTROLS = "hes.operators", "hes.controls"
EVENTS = "hes.events.urgent"
_BEHIND_S = 30.0
_SILENT_S = 60.0
_ORDER = {OPERATORS: 0, CONTROLS: 1, EVENTS: 2, COMMANDS: 3, DECISIONS: 4}


class _Patient:
    """The image store, asked by somebody who must show that he is alive while an image is fetched."""

    def __init__(self, runtime: Runtime, store: ImageStore) -> None:
        self._runtime = runtime
        self._store = store

    def judge(self, image_id: str) -> FirmwareManifest | Refusal:
        return self._store.judge(image_id)

    def value(self, image_id: str) -> bytes | None:
        return self._store.value(image_id)

    def data(self, image_id: str) -> bytes:
        with ThreadPoolExecutor(1, "image") as pool:
            found = pool.submit(self._store.data, image_id)
            while not found.done():
                self._runtime.health.progress()
                wait((found,), 1.0)
        return found.result()


class Office:
    """Open from its making; whatever fails, it is closed and another is opened."""

    def __init__(
        self, runtime: Runtime, fleet: Fleet, policy: Policy, roots: tuple[bytes, ...], signer: Signer | None = None
    ) -> None:
        self._runtime = runtime
        self._codec = runtime.codec
        self._log = structlog.get_logger("office")
        environment, settings = runtime.settings.environment, runtime.settings.firmware
        operators = Operators(runtime.codec, environment, roots)
        controls = Controls(runtime.codec, environment, operators, policy)
        around = Around(runtime.codec, environment, policy, operators, controls)
        self._images = ImageStore(runtime, around)
        self._books = Books(runtime, CAMPAIGNS, CHAIN, settings.transaction_timeout_s, signer)
        self._inputs: Consumer | None = None
        self._written_at = runtime.clock.monotonic()
        try:
            self._images.start()
            records = self._books.read()
            known = next((record for record in records if isinstance(record, CampaignLedger)), CampaignLedger())
            self._positions = dict(known.positions)
            link = self._books.end_of_chain(Link(known.sequence, known.hash) if known.sequence else Link())
            self._desk = Desk(around, fleet, _Patient(runtime, self._images), settings, runtime.clock, link)
            self._handle: dict[str, Callable[[bytes | None], None]] = {
                OPERATORS: self._desk.operator,
                CONTROLS: self._desk.control,
                COMMANDS: self._desk.request,
                DECISIONS: self._desk.decision,
                EVENTS: self._result,
            }
            # Both are books of their own: all of them is learnt at every start.
            for topic in (OPERATORS, CONTROLS):
                for message in self._books.all(topic):
                    self._accept(message)
            self._await_images()
            self._desk.restore(records)
            self._inputs = self._open_inputs()
        except BaseException:
            self.close()
            raise
        self._log.info("books-opened", campaigns=len(self._desk), audit_entries=link.sequence)

    def turn(self) -> int:
        """Handle what has come, and what time does; how many records there were. Errors as of `Books.write`."""
        self._images.check()
        messages = self._take()
        for message in sorted(messages, key=lambda message: _ORDER[message.topic() or ""]):
            self._accept(message)
        self._desk.paper.parent = ""
        self._desk.tick()
        # Results of others' jobs move nothing mostly: their positions can wait for something that does.
        late = self._runtime.clock.monotonic() - self._written_at > _BEHIND_S
        if len(self._desk.paper) or self._desk.stirred or (messages and late):
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
        self._images.stop()
        self._books.close()

    def _await_images(self) -> None:
        until = self._runtime.clock.monotonic() + _SILENT_S
        while not self._images.caught_up:
            self._images.check()
            self._runtime.health.progress()
            if self._runtime.stopping.wait(0.05) or self._runtime.clock.monotonic() > until:
                raise TemporaryError("hes.images could not be read to its end")

    def _take(self) -> list[Message]:
        own = self._runtime.settings.firmware
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
        topic = message.topic() or ""
        self._desk.paper.parent = header(message.headers(), TRACE)
        if not header(message.headers(), REPLAY):
            try:
                self._handle[topic](message.value())
            except RegistryError as error:
                raise TemporaryError(str(error)) from error
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
        if isinstance(record, JobResult):
            self._desk.result(record, value or b"")

    def _write(self) -> None:
        began = self._runtime.clock.monotonic()
        self._desk.write_books(dict(self._positions))
        outs = self._desk.paper.take()
        self._books.write(outs)
        for out in outs:
            _count(out.record)
        self._observe()
        self._written_at = self._runtime.clock.monotonic()
        metrics.BATCH_RECORDS.observe(len(outs))
        metrics.BATCH_SECONDS.observe(self._written_at - began)

    def _observe(self) -> None:
        states, meters = Counter[str](), Counter[Meter]()
        for case in self._desk.going:
            states[case.state.value] += 1
            meters += case.counts()
        metrics.CAMPAIGNS.clear()
        for state, count in states.items():
            metrics.CAMPAIGNS.labels(state).set(count)
        for meter in Meter:
            metrics.CAMPAIGN_METERS.labels(meter.value).set(meters[meter])

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
    """What is in Kafka is what is counted, once it is there."""
    if isinstance(record, AuditEntry) and record.code:
        metrics.CAMPAIGN_REFUSED.labels(record.code).inc()
    elif isinstance(record, Job):
        metrics.CAMPAIGN_JOBS.labels(record.operation.value).inc()


def _part(name: str, offset: int) -> TopicPartition:
    topic, _, number = name.rpartition("/")
    return TopicPartition(topic, int(number), offset)
