"""The leader's work: the books opened, everything that comes in handled in order, and each batch written as one.

In which order, and why, says `streams.runtime.authority.inbox`.
"""

from __future__ import annotations

from contextlib import ExitStack

import structlog
from confluent_kafka import Message, TopicPartition

from schemas.codec import CodecError
from schemas.records import AuditEntry, CommandLedger, Record
from schemas.signatures import Signer
from streams.commands.desk import Desk
from streams.commands.machine import Meters
from streams.commands.output import STATES
from streams.runtime import metrics
from streams.runtime.authority.chain import Link
from streams.runtime.authority.inbox import CONTROLS, OPERATORS, Inbox
from streams.runtime.authority.pinned import Pinned
from streams.runtime.books import Books
from streams.runtime.dead_letters import TOPIC as DEAD_LETTERS
from streams.runtime.dead_letters import letter_of
from streams.runtime.service import Runtime

_NO_CHAIN = ""
"""The name of the chain that commands write: the first one there was."""


class Office:
    """Open from its making; whatever fails, it is closed and another is opened."""

    def __init__(self, runtime: Runtime, meters: Meters, rules: Pinned, signer: Signer | None = None) -> None:
        self._runtime = runtime
        self._own = runtime.settings.commands
        around = rules.around(runtime.codec, runtime.settings.environment)
        with ExitStack() as opened:
            self._books = Books(runtime, STATES, _NO_CHAIN, self._own.transaction_timeout_s, signer)
            opened.callback(self._books.close)
            books = self._books.read()
            known = next((record for record in books if isinstance(record, CommandLedger)), CommandLedger())
            link = self._books.end_of_chain(Link(known.sequence, known.hash) if known.sequence else Link())
            self._desk = Desk(around, meters, self._own, runtime.clock, link)
            self._inbox = Inbox(runtime, self._desk, known.positions, self._dead_letter)
            opened.callback(self._inbox.close)
            self._inbox.relearn(self._books, OPERATORS, around.operators.apply)
            self._inbox.relearn(self._books, CONTROLS, lambda value: around.controls.apply(value, runtime.clock.now_ms()))
            self._desk.restore(books)
            self._inbox.open()
            if len(self._desk.paper):
                self._write()
            self._opened = opened.pop_all()
        log = structlog.get_logger("office")
        log.info("books-opened", commands=len(self._desk), audit_entries=link.sequence)

    def turn(self) -> int:
        """Handle what has come, and what time does; how many records there were. Errors as of `Books.write`."""
        came = self._inbox.work(self._own.batch_records, self._own.poll_s)
        # Alarms and other services' results move nothing: their positions can wait for something that does.
        if len(self._desk.paper) or (came and self._inbox.late):
            self._write()
        return came

    @property
    def positions(self) -> list[TopicPartition]:
        """Up to where everything is handled, for whoever watches the lag."""
        return self._inbox.positions

    def close(self) -> None:
        """Let go of everything; what is not written yet never was."""
        self._opened.close()

    def _dead_letter(self, message: Message, error: CodecError) -> None:
        metrics.DEAD_LETTERS.labels(error.code).inc()
        letter = letter_of(self._runtime.service, error.code, str(error), message, self._runtime.clock.now_ms())
        self._desk.paper.put(DEAD_LETTERS, f"{letter.topic}/{letter.offset}", letter)

    def _write(self) -> None:
        for out in self._inbox.write(self._books):
            _count(out.record)
        metrics.COMMANDS_OPEN.set(self._desk.open)


def _count(record: Record | None) -> None:
    """What is on the chain is what is counted, once it is there."""
    if isinstance(record, AuditEntry):
        if record.action.startswith("command-"):
            metrics.COMMAND_STEPS.labels(record.action.removeprefix("command-")).inc()
        if record.code:
            metrics.COMMANDS_REFUSED.labels(record.code).inc()
