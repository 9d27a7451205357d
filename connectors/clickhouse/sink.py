"""Batches of Kafka records into ClickHouse: effects once, whatever is delivered twice.

Each insert carries a token made from the exact records in it, so a batch that is taken again is dropped by the server; where
batches are cut anew after a restart, the same row with the same version replaces itself. Offsets are committed by the
loop after `handle` returns, so after ClickHouse has everything.

Load profiles take the wide way: all bodies of a batch into columns at once (`interval_batch`). Whatever is left over there,
odd or wrong, is read one by one, which is also how it is found out what is wrong with it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np
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
from connectors.clickhouse.interval_batch import TABLES, IntervalBatch
from connectors.clickhouse.intervals import RowError, check_intervals, interval_columns
from connectors.clickhouse.store import Store
from schemas.avro_columns import ColumnReader
from schemas.codec import Codec, CodecError
from schemas.records import Alarm, CommandAck, IntervalReadings, ReadSuccess, Record, RegisterReadings
from schemas.registry import RegistryError, avsc
from streams.runtime import metrics
from streams.runtime.errors import TemporaryError

_ROWS_VERSION = b"2"
"""Raised with every change of what rows a record becomes, so that an old token never drops new rows."""

_REFUSED = "clickhouse-refused"
_FEW = 8
"""So many records are read one by one sooner than in columns."""


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

_ColumnsOf = Callable[[Sequence[int]], Columns]
"""The columns of some messages of the batch, by number."""
_Refuse = Callable[[int, str, str], None]
"""Takes the number of a message that becomes a dead letter, a code and a detail."""


class Sink:
    """Takes batches for the tables of one database. Not for several threads."""

    def __init__(self, store: Store, codec: Codec, letters: Letters, database: str, *, insert_rows: int = 400_000) -> None:
        """`insert_rows`: an insert is sent when it has so many rows. With the largest record on top it must stay below
        1,048,576, which is one block for ClickHouse, so that a token covers it.
        """
        self._store = store
        self._codec = codec
        self._letters = letters
        self._database = database
        self._insert_rows = insert_rows
        self._reader: ColumnReader | None = None
        self._log = structlog.get_logger("sink")

    def handle(self, messages: Sequence[Message]) -> None:
        """Store a batch; what cannot be stored becomes dead letters, once all else is stored.

        `TemporaryError` where ClickHouse or the registry is away, `TableError` where a table was altered.
        """
        poison: dict[int, tuple[str, str]] = {}

        def refuse(number: int, code: str, detail: str) -> None:
            poison.setdefault(number, (code, detail))

        values = [message.value() for message in messages]
        left: Sequence[int] = range(len(values))
        if len(values) >= _FEW:
            profiles = IntervalBatch(self._columns().read(values))
            left = np.flatnonzero(~profiles.good).tolist()
            for numbers in _cut(np.flatnonzero(profiles.good).tolist(), profiles.rows.tolist(), self._insert_rows):
                for table in TABLES:
                    self._insert(table, messages, numbers, partial(profiles.columns, table=table), refuse)
        self._one_by_one(messages, left, refuse)
        for number, (code, detail) in poison.items():
            self._letters.put_message(code, detail, messages[number])
        self._letters.passed(len(messages) - len(poison))

    def _columns(self) -> ColumnReader:
        if self._reader is None:
            self._reader = ColumnReader(self._codec.id_of(IntervalReadings), avsc(IntervalReadings.__name__))
        return self._reader

    def _one_by_one(self, messages: Sequence[Message], numbers: Sequence[int], refuse: _Refuse) -> None:
        records: dict[int, Record] = {}
        rows: dict[int, int] = {}
        for number in numbers:
            try:
                record = self._codec.decode(messages[number].value())
                _CHECKS.get(type(record), _no_table)(record)
            except (CodecError, RowError) as error:
                refuse(number, error.code, str(error))
            except RegistryError as error:
                raise TemporaryError(str(error)) from error
            else:
                records[number], rows[number] = record, _rows(record)
        for table in _TABLES:
            own = [number for number, record in records.items() if type(record) is table.record]
            for some in _cut(own, rows, self._insert_rows):
                self._insert(
                    table.name,
                    messages,
                    some,
                    lambda which, table=table: table.columns([records[number] for number in which]),  # type: ignore[misc]  # bound early
                    refuse,
                )

    def _insert(
        self, table: str, messages: Sequence[Message], numbers: Sequence[int], columns_of: _ColumnsOf, refuse: _Refuse
    ) -> None:
        """Insert the rows of some messages; where ClickHouse refuses them, find out which, by halves."""
        try:
            columns = columns_of(numbers)
            if not columns:
                return
            name = token(table, columns, [messages[number] for number in numbers])
            self._store.insert(f"{self._database}.{table}", columns, name)
        except (RefusedError, OverflowError, UnicodeEncodeError) as error:
            if len(numbers) == 1:
                refuse(numbers[0], _REFUSED, f"{table}: {error}")
                return
            self._log.warning("rows-refused", table=table, records=len(numbers), reason=str(error))
            half = len(numbers) // 2
            self._insert(table, messages, numbers[:half], columns_of, refuse)
            self._insert(table, messages, numbers[half:], columns_of, refuse)
        else:
            metrics.ROWS_STORED.labels(table).inc(rows_of(columns))


def _cut(numbers: Sequence[int], rows: Mapping[int, int] | Sequence[int], most: int) -> Iterator[Sequence[int]]:
    """Messages in pieces that end when they have so many rows."""
    start = total = 0
    for at, number in enumerate(numbers, 1):
        total += rows[number]
        if total >= most:
            yield numbers[start:at]
            start, total = at, 0
    if start < len(numbers):
        yield numbers[start:]


def _rows(record: Record) -> int:
    if isinstance(record, IntervalReadings):
        return record.rows * len(record.channels)
    return len(record.registers) if isinstance(record, RegisterReadings) else 1


def _no_table(record: Record) -> None:
    raise RowError("record-unexpected", f"the sink has no table for {type(record).__name__}")


def token(table: str, columns: Columns, messages: Sequence[Message]) -> str:
    """A name for exactly these rows: the records by place and by content, and what is made of them.

    The content, because offsets begin again where a topic was made anew, and the server drops what it believes to know.
    """
    digest = hashlib.blake2b(digest_size=16, person=b"hes-sink-token")
    digest.update(b"\0".join((_ROWS_VERSION, table.encode(), *(name.encode() for name in columns))))
    for message in messages:
        value = message.value() or b""
        digest.update(f"\n{message.topic()}/{message.partition()}/{message.offset()}/{len(value)}:".encode())
        digest.update(value)
    return digest.hexdigest()
