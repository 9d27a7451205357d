"""Batches of Kafka records into ClickHouse: effects once, whatever is delivered twice.

Each insert carries a token made from the exact records in it, so a batch that is taken again is dropped by the server; where
batches are cut anew after a restart, the same row with the same version replaces itself. Offsets are committed by the
loop after `handle` returns, so after ClickHouse has everything.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

import structlog
from confluent_kafka import Message

from connectors.clickhouse.columns import Columns, rows_of
from connectors.clickhouse.errors import RefusedError
from connectors.clickhouse.events import (
    ack_columns,
    alarm_columns,
    check_ack,
    check_alarm,
    check_registers,
    check_success,
    register_columns,
    success_columns,
)
from connectors.clickhouse.intervals import RowError, check_intervals, interval_columns
from connectors.clickhouse.store import Store
from schemas.codec import Codec, CodecError
from schemas.records import Alarm, CommandAck, IntervalReadings, ReadSuccess, Record, RegisterReadings
from schemas.registry import RegistryError
from streams.runtime import metrics
from streams.runtime.errors import TemporaryError

_ROWS_VERSION = b"1"
"""Raised with every change of what rows a record becomes, so that an old token never drops new rows."""

_REFUSED = "clickhouse-refused"
_BATCH_ROWS = 200_000
"""An insert is sent when it has so many rows; with the largest record on top it is still one block for ClickHouse."""


class Letters(Protocol):
    """What the sink needs of `DeadLetters`."""

    def put_message(self, code: str, detail: str, message: Message) -> str:
        """Write a record that cannot be used."""

    def passed(self, count: int) -> None:
        """Tell how many went well."""


@dataclass(frozen=True, slots=True)
class _Table:
    name: str
    record: type[Record]
    columns: Callable[[Sequence[Any]], Columns]
    """Columns of records that were checked; empty where they have no rows."""


_TABLES = (
    *(
        _Table(name, IntervalReadings, partial(interval_columns, table=name))
        for name in ("intervals", "intervals_float", "intervals_text")
    ),
    _Table("registers", RegisterReadings, register_columns),
    _Table("alarms", Alarm, alarm_columns),
    _Table("command_acks", CommandAck, ack_columns),
    _Table("schedule_figures", ReadSuccess, success_columns),
)

_CHECKS: dict[type[Record], Callable[[Any], None]] = {
    IntervalReadings: check_intervals,
    RegisterReadings: check_registers,
    Alarm: check_alarm,
    CommandAck: check_ack,
    ReadSuccess: check_success,
}


@dataclass(frozen=True, slots=True)
class _Item:
    number: int
    """Which of the batch's messages it is."""
    message: Message
    record: Any


_Refuse = Callable[[int, str, str], None]
"""Takes the number of a message that becomes a dead letter, a code and a detail."""


@dataclass(slots=True)
class _Batch:
    """What is inserted together: fewer than 1,048,576 rows a table, so that a token covers one block."""

    items: list[_Item] = field(default_factory=list)
    rows: int = 0

    def add(self, item: _Item) -> None:
        record = item.record
        self.items.append(item)
        if isinstance(record, IntervalReadings):
            self.rows += record.rows * len(record.channels)
        else:
            self.rows += len(record.registers) if isinstance(record, RegisterReadings) else 1


class Sink:
    """Takes batches for the tables of one database."""

    def __init__(self, store: Store, codec: Codec, letters: Letters, database: str) -> None:
        self._store = store
        self._codec = codec
        self._letters = letters
        self._database = database
        self._log = structlog.get_logger("sink")

    def handle(self, messages: Sequence[Message]) -> None:
        """Store a batch; what cannot be stored becomes dead letters, once all else is stored.

        `TemporaryError` where ClickHouse or the registry is away, `TableError` where a table was altered.
        """
        poison: dict[int, tuple[str, str]] = {}
        batch = _Batch()

        def refuse(number: int, code: str, detail: str) -> None:
            poison.setdefault(number, (code, detail))

        for number, message in enumerate(messages):
            try:
                record = self._codec.decode(message.value())
                _CHECKS.get(type(record), _no_table)(record)
            except (CodecError, RowError) as error:
                refuse(number, error.code, str(error))
            except RegistryError as error:
                raise TemporaryError(str(error)) from error
            else:
                batch.add(_Item(number, message, record))
                if batch.rows >= _BATCH_ROWS:
                    self._store_batch(batch, refuse)
                    batch = _Batch()
        self._store_batch(batch, refuse)
        for number, (code, detail) in poison.items():
            self._letters.put_message(code, detail, messages[number])
        self._letters.passed(len(messages) - len(poison))

    def _store_batch(self, batch: _Batch, refuse: _Refuse) -> None:
        for table in _TABLES:
            items = [item for item in batch.items if type(item.record) is table.record]
            if items:
                self._insert(table, items, refuse)

    def _insert(self, table: _Table, items: Sequence[_Item], refuse: _Refuse) -> None:
        """Insert the rows of some records; where ClickHouse refuses them, find out which, by halves."""
        try:
            columns = table.columns([item.record for item in items])
            if not columns:
                return
            self._store.insert(f"{self._database}.{table.name}", columns, token(table.name, columns, items))
        except (RefusedError, OverflowError, UnicodeEncodeError) as error:
            if len(items) == 1:
                refuse(items[0].number, _REFUSED, f"{table.name}: {error}")
                return
            self._log.warning("rows-refused", table=table.name, records=len(items), reason=str(error))
            half = len(items) // 2
            self._insert(table, items[:half], refuse)
            self._insert(table, items[half:], refuse)
        else:
            metrics.ROWS_STORED.labels(table.name).inc(rows_of(columns))


def _no_table(record: Record) -> None:
    raise RowError("record-unexpected", f"the sink has no table for {type(record).__name__}")


def token(table: str, columns: Columns, items: Sequence[_Item]) -> str:
    """A name for exactly these rows: the records by place and by content, and what is made of them.

    The content, because offsets begin again where a topic was made anew, and the server drops what it believes to know.
    """
    digest = hashlib.blake2b(digest_size=16, person=b"hes-sink-token")
    digest.update(b"\0".join((_ROWS_VERSION, table.encode(), *(name.encode() for name in columns))))
    for item in items:
        message = item.message
        value = message.value() or b""
        digest.update(f"\n{message.topic()}/{message.partition()}/{message.offset()}/{len(value)}:".encode())
        digest.update(value)
    return digest.hexdigest()
