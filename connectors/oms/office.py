"""The leader's work: the books opened, alarms of all partitions taken as they come, and what they make told.

    hes.alarms ─▶ Inputs ─▶ AlarmReader ─▶ Core ─▶ Writer (a thread) ─▶ one transaction: oms.outages, hes.outage-states

While one transaction is under way alarms are taken in, and the next is made when it is there: where Kafka is slow,
transactions get larger and outages have fewer revisions.
"""

from __future__ import annotations

import gc
from collections import Counter

import structlog
from confluent_kafka import Message, TopicPartition

from connectors.oms.alarms import AlarmReader
from connectors.oms.books import OutageBooks
from connectors.oms.core import Core, Out
from connectors.oms.grid import Grid
from connectors.oms.states import TOPIC as STATES
from connectors.oms.writer import Batch, Writer, Written
from schemas.codec import CodecError
from schemas.records import DeadLetter, OutageEvent, OutageLedger
from schemas.registry import RegistryError
from streams.runtime import metrics
from streams.runtime.dead_letters import TOPIC as DEAD_LETTERS
from streams.runtime.dead_letters import letter_of
from streams.runtime.errors import TemporaryError
from streams.runtime.inputs import Inputs, parts_of
from streams.runtime.service import Runtime
from streams.runtime.tracing import REPLAY, REPLAY_TO, TRACE, header

SOURCE = "hes.alarms"
_LEDGER = "ledger"
_NO_CHAIN = ""
_FETCH_MS = 500
"""Kafka answers a fetch as soon as there is anything. Asked fifty times a second it takes a tenth of a core to say no."""
_TOGETHER_S = 0.01
"""While alarms come, those of so long are taken together: one by one they cost twice as much."""
_IDLE_S = 0.2
_BEHIND_S = 1.0
"""Alarms that are about something else move nothing: their positions can wait so long."""
_MOST_UNWRITTEN = 20_000
"""Alarms in hand while Kafka does not take what is written: then no more are taken."""
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
        self._alarms = AlarmReader(runtime.codec)
        self._letters: list[Out] = []
        self._inputs: Inputs | None = None
        self._writer: Writer | None = None
        self._books = OutageBooks(runtime, STATES, _NO_CHAIN, self._own.transaction_timeout_s)
        try:
            records = self._books.read()
            ledger = next((record for record in records if isinstance(record, OutageLedger)), OutageLedger())
            wrong = self._core.restore(records)
            if wrong:
                self._log.warning("states-unread", keys=wrong[:10], states=len(wrong), reason="columns of different lengths")
            inputs = self._inputs = Inputs(runtime, [SOURCE], ledger.positions, wait_ms=_FETCH_MS)
            inputs.open()
            self._submitted = self._told = dict(inputs.positions)
            self._submitted_at = runtime.clock.monotonic()
            self._flows = False
            gc.freeze()
            gc.set_threshold(*_GARBAGE)
            self._writer = Writer(self._books.write_all, runtime.clock)
            self._tick(inputs, self._writer)
        except BaseException:
            self.close()
            raise
        self._log.info("books-opened", transformers=len(self._core), positions=len(self._told))

    def turn(self) -> int:
        """Handle what has come, and what time does; how many records there were. Errors as of `Books.write`."""
        inputs, writer = self._inputs, self._writer
        if inputs is None or writer is None:
            return 0
        clock = self._runtime.clock
        messages = self._take(inputs, writer)
        now = clock.now_ms()
        for message in messages:
            self._accept(message, inputs, now)
        self._core.moved(self._grid.take_moved())
        for written in writer.written():
            self._count(written)
        if writer.free:
            late = inputs.positions != self._submitted and clock.monotonic() - self._submitted_at > _BEHIND_S
            if late or self._letters or self._core.wait_ms(clock.now_ms()) == 0:
                self._tick(inputs, writer)
        return len(messages)

    @property
    def positions(self) -> list[TopicPartition]:
        """Up to where everything is written, for whoever watches the lag."""
        return parts_of(self._told)

    def close(self) -> None:
        """Let go of everything; what is not written yet never was."""
        if self._writer is not None:
            self._writer.close()
        if self._inputs is not None:
            self._inputs.close()
        self._books.close()

    def _take(self, inputs: Inputs, writer: Writer) -> list[Message]:
        """What has come, not sooner than a moment after the last if there was any."""
        waits = self._core.wait_ms(self._runtime.clock.now_ms())
        wait_s = _IDLE_S if waits is None else min(_IDLE_S, waits / 1_000)
        if not writer.free:
            wait_s = max(wait_s, _TOGETHER_S)
        if self._flows:
            self._runtime.stopping.wait(min(_TOGETHER_S, wait_s))
            wait_s = 0.0
        if not writer.free and self._core.unwritten >= _MOST_UNWRITTEN:
            return []
        messages = inputs.take(self._own.batch_records, wait_s)
        self._flows = bool(messages)
        metrics.RECORDS_IN.labels(SOURCE).inc(len(messages))
        return messages

    def _accept(self, message: Message, inputs: Inputs, now: int) -> None:
        headers = dict(message.headers() or ())
        replayed = bool(headers.get(REPLAY))
        if not replayed or self._runtime.service in header(headers, REPLAY_TO).split(","):
            try:
                alarm = self._alarms.read(message.value())
            except CodecError as error:
                self._letters.append(self._letter(message, error))
            except RegistryError as error:
                raise TemporaryError(str(error)) from error
            else:
                trace = headers.get(TRACE) or b""
                trace = trace if isinstance(trace, str) else trace.decode("utf-8", "replace")
                self._core.take(alarm, now, trace=trace, replayed=replayed)
        inputs.handled(message)

    def _tick(self, inputs: Inputs, writer: Writer) -> None:
        clock = self._runtime.clock
        began, now = clock.monotonic(), clock.now_ms()
        outs = self._core.tick(now) + self._letters
        self._letters = []
        self._submitted_at = began
        if outs or inputs.positions != self._submitted:
            self._submitted = dict(inputs.positions)
            outs.append(Out(STATES, _LEDGER, OutageLedger(positions=self._submitted, at=now)))
            writer.submit(Batch(outs, self._submitted, self._core.take_arrivals(), began))

    def _count(self, written: Written) -> None:
        batch = written.batch
        self._told = dict(batch.positions)
        metrics.BATCH_RECORDS.observe(len(batch.outs))
        metrics.BATCH_SECONDS.observe(written.took_s)
        records = [out.record for out in batch.outs]
        events = Counter((record.scope, record.reason) for record in records if isinstance(record, OutageEvent))
        for (scope, reason), many in events.items():
            metrics.OUTAGES_TOLD.labels(scope, reason).inc(many)
        for record in records:
            if isinstance(record, DeadLetter):
                metrics.DEAD_LETTERS.labels(record.code).inc()
        for arrived in batch.arrivals:
            metrics.OUTAGE_SECONDS.observe(max(0.0, (written.at_ms - arrived) / 1_000))
        for status, many in self._core.statuses.items():
            metrics.OUTAGES_OPEN.labels(status).set(many)

    def _letter(self, message: Message, error: CodecError) -> Out:
        letter = letter_of(self._runtime.service, error.code, str(error), message, self._runtime.clock.now_ms())
        return Out(DEAD_LETTERS, (message.key() or b"").decode("utf-8", "replace"), letter)
