"""What operators and gateways hand in, as a desk takes it: operators first, then controls, results, requests and decisions.

So a revocation or a freeze counts as early as it can. What is handled is written with what it caused, in one transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from confluent_kafka import Message, TopicPartition

from schemas.codec import Codec, CodecError
from schemas.records import JobResult
from schemas.registry import RegistryError
from streams.runtime import metrics
from streams.runtime.authority.paper import Paper
from streams.runtime.books import Books, Out
from streams.runtime.errors import TemporaryError
from streams.runtime.inputs import Inputs
from streams.runtime.service import Runtime
from streams.runtime.tracing import REPLAY, TRACE, header

OPERATORS, CONTROLS = "hes.operators", "hes.controls"
EVENTS = "hes.events.urgent"
COMMANDS, DECISIONS = "hes.commands", "hes.command-decisions"
TOPICS = (OPERATORS, CONTROLS, EVENTS, COMMANDS, DECISIONS)
"""In the order in which what has come is handled."""
_BEHIND_S = 30.0

Unreadable = Callable[[Message, CodecError], None]
"""Told of a record that cannot be decoded, before the desk is given its bytes."""


class Desk(Protocol):
    """Whoever judges what is handed in. Its paper has what is to be written."""

    @property
    def paper(self) -> Paper:
        """What is to be written."""

    def operator(self, value: bytes | None) -> None:
        """A record of hes.operators."""

    def control(self, value: bytes | None) -> None:
        """A record of hes.controls."""

    def request(self, value: bytes | None) -> None:
        """A record of hes.commands."""

    def decision(self, value: bytes | None) -> None:
        """A record of hes.command-decisions."""

    def result(self, result: JobResult, value: bytes) -> None:
        """A job's result, of whatever job."""

    def tick(self) -> None:
        """What time does."""

    def write_books(self, positions: dict[str, int]) -> None:
        """Put what changed, and the ledger with these positions, on paper."""


class Inbox:
    """Brings a desk what has come since `positions`. Each topic is readable from `open` on."""

    def __init__(
        self, runtime: Runtime, desk: Desk, positions: Mapping[str, int], unreadable: Unreadable | None = None
    ) -> None:
        self._runtime = runtime
        self._desk = desk
        self._unreadable = unreadable
        self._inputs = Inputs(runtime, TOPICS, positions)
        self._handle: dict[str, Callable[[bytes | None], None]] = {
            OPERATORS: desk.operator,
            CONTROLS: desk.control,
            EVENTS: self._result,
            COMMANDS: desk.request,
            DECISIONS: desk.decision,
        }
        self._written_at = runtime.clock.monotonic()

    @property
    def positions(self) -> list[TopicPartition]:
        """Up to where everything is handled."""
        return self._inputs.parts

    @property
    def late(self) -> bool:
        """Whether nothing was written for long: positions that moved nothing should be."""
        return self._runtime.clock.monotonic() - self._written_at > _BEHIND_S

    def relearn(self, books: Books, topic: str, apply: Callable[[bytes | None], object]) -> None:
        """Read a topic that is a book of its own: what was handled before is only learnt, what is new is handled."""
        handled = self._inputs.positions.get(f"{topic}/0", 0)
        for message in books.all(topic):
            if (message.offset() or 0) < handled:
                apply(message.value())
            else:
                self.accept(message)

    def open(self) -> None:
        """Begin to read; as `Inputs.open`."""
        self._inputs.open()

    def work(self, records: int, wait_s: float) -> int:
        """Handle what has come, and what time does; how many records there were. `TemporaryError`, `FatalError`."""
        messages = self._inputs.take(records, wait_s)
        for message in sorted(messages, key=lambda message: TOPICS.index(message.topic() or "")):
            self.accept(message)
        self._desk.paper.parent = ""
        self._desk.tick()
        return len(messages)

    def accept(self, message: Message) -> None:
        """Handle one record. `TemporaryError` where the registry is away."""
        topic, value = message.topic() or "", message.value()
        self._desk.paper.parent = header(message.headers(), TRACE)
        if not header(message.headers(), REPLAY):
            try:
                if self._unreadable is not None and topic != EVENTS:
                    self._check(message, self._unreadable)
                self._handle[topic](value)
            except RegistryError as error:
                raise TemporaryError(str(error)) from error
        self._inputs.handled(message)
        metrics.RECORDS_IN.labels(topic).inc()

    def write(self, books: Books) -> list[Out]:
        """Write all that is on paper, with the books and how far everything is handled; what that was. As `Books.write`."""
        clock = self._runtime.clock
        began = clock.monotonic()
        self._desk.write_books(dict(self._inputs.positions))
        outs = self._desk.paper.take()
        books.write(outs)
        self._written_at = clock.monotonic()
        metrics.BATCH_RECORDS.observe(len(outs))
        metrics.BATCH_SECONDS.observe(self._written_at - began)
        return outs

    def close(self) -> None:
        """Stop reading."""
        self._inputs.close()

    def _check(self, message: Message, unreadable: Unreadable) -> None:
        try:
            self._runtime.codec.decode(message.value())
        except CodecError as error:
            unreadable(message, error)

    def _result(self, value: bytes | None) -> None:
        found = result_in(self._runtime.codec, value)
        if found is not None:
            self._desk.result(found, value or b"")


def result_in(codec: Codec, value: bytes | None) -> JobResult | None:
    """The job's result that a record of hes.events.urgent is, if it is one. Alarms pass by undecoded; what cannot be read is
    the splitter's to complain about.
    """
    try:
        record = codec.decode(value) if codec.type_of(value) is JobResult else None
    except CodecError:
        return None
    return record if isinstance(record, JobResult) else None
