from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from confluent_kafka import Message

from connectors.clickhouse.errors import RefusedError, TableError
from connectors.clickhouse.sink import Sink
from schemas.codec import Codec
from schemas.records import (
    Alarm,
    AlarmKind,
    Channel,
    CommandAck,
    DeadLetter,
    IntervalReadings,
    Meter,
    Record,
    Register,
    RegisterReadings,
)
from schemas.registry import RegistryError
from streams.runtime.errors import TemporaryError
from tests.unit.connectors.clickhouse.fakes import MemoryStore
from tests.unit.streams.fakes import CODEC, FakePublisher, fake_message, fake_runtime

PROFILE = IntervalReadings(
    id="e1",
    meter_id="m1",
    first_end=900_000,
    period_s=900,
    rows=2,
    channels=(Channel("1.0.1.8.0.255", longs=(5, 6)),),
    read_at=9,
)
REGISTERS = RegisterReadings(id="e2", meter_id="m1", registers=(Register("1.0.1.8.0.255", value=7),))
ALARM = Alarm(id="e3", meter_id="m1", kind=AlarmKind.OUTAGE)
ACK = CommandAck(id="e4", job_id="j")
GOOD: tuple[Record, ...] = (PROFILE, REGISTERS, ALARM, ACK)


def stored(store: MemoryStore, *messages: Message) -> FakePublisher:
    runtime, publisher, _ = fake_runtime("clickhouse")
    Sink(store, CODEC, runtime.dead_letters, "hes").handle(messages)
    return publisher


def letters(publisher: FakePublisher) -> list[tuple[str, int]]:
    return [(letter.code, letter.offset) for letter in publisher.records() if isinstance(letter, DeadLetter)]


def profiles(count: int) -> list[Message]:
    return [fake_message(replace(PROFILE, id=f"e{at}", meter_id=f"m{at}"), at=at) for at in range(count)]


def refuse_meters(*names: str) -> Any:
    """A server that will not have rows of some meters."""

    def fails(table: str, rows: list[dict[str, Any]]) -> None:
        if any(row["meter_id"] in names for row in rows):
            raise RefusedError(f"inserting into {table}: ClickHouse says 469: constraint violated")

    return fails


def test_each_record_goes_to_its_table_in_one_insert_a_table() -> None:
    store = MemoryStore()
    publisher = stored(store, *[fake_message(record, at=at) for at, record in enumerate(GOOD + GOOD)])
    assert [(table, rows) for table, rows, _ in store.inserts] == [
        ("hes.intervals", 4),
        ("hes.registers", 2),
        ("hes.alarms", 2),
        ("hes.command_acks", 2),
    ]
    assert publisher.sent == []


@pytest.mark.parametrize(
    ("poison", "code"),
    [
        (b"", "avro-framing"),
        (b"\0\0\0\x01\x00xx", "avro-unknown-schema"),
        (CODEC.encode(PROFILE)[:-9], "avro-body"),
        (CODEC.encode(Meter(id="m1")), "record-unexpected"),
        (CODEC.encode(replace(PROFILE, rows=3)), "readings-columns"),
        (CODEC.encode(replace(PROFILE, first_end=-900_000)), "readings-range"),
        (CODEC.encode(replace(PROFILE, first_end=900_001)), "readings-time"),
        (CODEC.encode(replace(REGISTERS, meter_id="")), "readings-names"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_poison_is_a_dead_letter_and_the_others_go_on(poison: bytes, code: str) -> None:
    store = MemoryStore()
    publisher = stored(store, fake_message(PROFILE), fake_message(poison, at=1), fake_message(ALARM, at=2))
    assert letters(publisher) == [(code, 1)]
    assert [(table, rows) for table, rows, _ in store.inserts] == [("hes.intervals", 2), ("hes.alarms", 1)]


def test_one_record_that_clickhouse_refuses_blocks_no_other() -> None:
    store = MemoryStore(fails=refuse_meters("m3", "m6"))
    publisher = stored(store, *profiles(8))
    assert letters(publisher) == [("clickhouse-refused", 3), ("clickhouse-refused", 6)]
    assert {row["meter_id"] for row in store.rows["hes.intervals"]} == {"m0", "m1", "m2", "m4", "m5", "m7"}


def test_a_record_refused_by_two_tables_is_one_dead_letter() -> None:
    mixed = replace(PROFILE, channels=(*PROFILE.channels, Channel("1.0.32.7.0.255", doubles=(1.0, 2.0))))
    publisher = stored(MemoryStore(fails=refuse_meters("m1")), fake_message(mixed))
    assert letters(publisher) == [("clickhouse-refused", 0)]


@pytest.mark.parametrize("error", [TemporaryError("away"), TableError("altered")], ids=["temporary", "table"])
def test_what_is_not_the_records_fault_leaves_the_batch_alone(error: Exception) -> None:
    def fails(table: str, rows: list[dict[str, Any]]) -> None:
        raise error

    runtime, publisher, _ = fake_runtime("clickhouse")
    sink = Sink(MemoryStore(fails=fails), CODEC, runtime.dead_letters, "hes")
    with pytest.raises(type(error)):
        sink.handle([fake_message(b"poison"), fake_message(PROFILE, at=1)])
    assert publisher.sent == []  # the batch comes again, and its poison with it


def test_a_registry_that_is_away_is_waited_for() -> None:
    class Away:
        def id_of(self, name: str) -> int:
            raise AssertionError(name)

        def schema_of(self, schema_id: int) -> str:
            raise RegistryError(f"the registry, asked for {schema_id}, is away", retry=True)

    runtime, publisher, _ = fake_runtime("clickhouse")
    with pytest.raises(TemporaryError, match="away"):
        Sink(MemoryStore(), Codec(Away()), runtime.dead_letters, "hes").handle([fake_message(PROFILE)])
    assert publisher.sent == []


def test_the_same_batch_twice_is_stored_once() -> None:
    store = MemoryStore()
    for _ in range(2):
        stored(store, *profiles(3))
    assert len(store.rows["hes.intervals"]) == 6
    assert len({token for _, _, token in store.inserts}) == 1


@pytest.mark.parametrize(
    "others",
    [
        [fake_message(PROFILE, at=1)],
        [fake_message(PROFILE, source="hes.elsewhere")],
        [fake_message(PROFILE), fake_message(PROFILE, at=1)],
        [fake_message(replace(PROFILE, read_at=10))],
    ],
    ids=["another offset", "another topic", "another range", "other content at the same place"],
)
def test_a_token_stands_for_exactly_these_records(others: list[Message]) -> None:
    store = MemoryStore()
    stored(store, fake_message(PROFILE))
    stored(store, *others)
    first, second = [token for _, _, token in store.inserts]
    assert first != second


def test_a_large_batch_is_cut_so_that_each_insert_is_one_block() -> None:
    rows = 60_000
    channels = (Channel("1.0.1.8.0.255", longs=(1,) * rows),)
    wide = [fake_message(replace(PROFILE, rows=rows, channels=channels, meter_id=f"m{at}"), at=at) for at in range(9)]
    store = MemoryStore()
    stored(store, *wide)
    assert [count for _, count, _ in store.inserts] == [7 * rows, 2 * rows]
    assert len({token for _, _, token in store.inserts}) == 2
