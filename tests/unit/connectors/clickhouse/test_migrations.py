from __future__ import annotations

import re
from pathlib import Path

import pytest

from connectors.clickhouse.errors import TableError
from connectors.clickhouse.events import ack_columns, alarm_columns, register_columns, success_columns
from connectors.clickhouse.intervals import interval_columns
from connectors.clickhouse.migrations import Migration, check, columns_of, migrate, shipped
from schemas.records import Alarm, Channel, CommandAck, IntervalReadings, ReadSuccess, Register, RegisterReadings
from streams.runtime.errors import FatalError
from tests.unit.connectors.clickhouse.fakes import MemoryStore

FIRST = Migration(1, "001_a", "-- a; comment\nCREATE TABLE {database}.a;\n\nCREATE TABLE {database}.b -- {x:String}\n;\n")
SECOND = Migration(2, "002_b", "ALTER TABLE {database}.a\n")


OWN = ("daily_rollup", "touched_days", "rolled_days")
"""Tables that the sink does not fill."""


def test_what_is_missing_is_applied_once_and_in_order() -> None:
    store = MemoryStore()
    assert migrate(store, "hes", [FIRST]) == ["001_a"]
    assert migrate(store, "hes", [FIRST, SECOND]) == ["002_b"]
    assert migrate(store, "hes", [FIRST, SECOND]) == []
    applied = [text for text in store.statements if "schema_migrations" not in text and "DATABASE" not in text]
    assert applied == ["-- a; comment\nCREATE TABLE hes.a", "CREATE TABLE hes.b -- {x:String}", "ALTER TABLE hes.a"]


def test_a_server_that_is_ahead_is_left_alone() -> None:
    store = MemoryStore()
    migrate(store, "hes", [FIRST, SECOND])
    assert migrate(store, "hes", [FIRST]) == []


def test_an_applied_file_that_was_edited_is_refused_by_name() -> None:
    store = MemoryStore()
    migrate(store, "hes", [FIRST])
    with pytest.raises(FatalError, match="001_a was applied to hes as 001_a with other content"):
        migrate(store, "hes", [Migration(1, "001_a", FIRST.text + " "), SECOND])
    assert "ALTER TABLE hes.a" not in store.statements


@pytest.mark.parametrize("name", ["", "1hes", "hes; DROP", "hes.x", "he`s", "hes\n"])
def test_a_database_must_have_a_plain_name(name: str) -> None:
    store = MemoryStore()
    with pytest.raises(FatalError, match=r"clickhouse\.database"):
        migrate(store, name, [])
    assert store.statements == []


def test_two_files_with_one_number_are_refused(tmp_path: Path) -> None:
    for name in ("001_a.sql", "001_b.sql"):
        (tmp_path / name).write_text("SELECT 1")
    with pytest.raises(FatalError, match="one number: 001_a, 001_b"):
        shipped(tmp_path)


def test_every_shipped_statement_can_be_run_twice() -> None:
    for migration in shipped():
        for statement in migration.statements("hes"):
            code = "\n".join(line for line in statement.splitlines() if not line.startswith("--")).strip()
            made = re.match(r"CREATE (TABLE|VIEW|MATERIALIZED VIEW) IF NOT EXISTS hes\.", code)
            assert made or re.match(r"ALTER TABLE hes\.\w+\s+MODIFY COLUMN ", code), code


def test_the_tables_have_the_columns_that_the_sink_fills() -> None:
    profile = IntervalReadings(
        rows=1, channels=(Channel("a", longs=(1,)), Channel("b", doubles=(1.0,)), Channel("c", texts=("x",)))
    )
    made = {name: interval_columns([profile], name) for name in ("intervals", "intervals_float", "intervals_text")} | {
        "registers": register_columns([RegisterReadings(registers=(Register("a"),))]),
        "alarms": alarm_columns([Alarm()]),
        "command_acks": ack_columns([CommandAck()]),
        "schedule_figures": success_columns([ReadSuccess()]),
    }
    assert {table: set(columns) for table, columns in made.items()} == {
        table: set(columns) for table, columns in columns_of(shipped()).items() if table not in OWN
    }


def test_types_are_read_from_the_files() -> None:
    tables = columns_of(shipped())
    assert tables["intervals"]["ts"] == "DateTime('UTC')"
    assert tables["intervals"]["channel"] == "LowCardinality(String)"
    assert tables["registers"]["ts"] == "DateTime64(3, 'UTC')"
    assert tables["registers"]["value_int"] == "Nullable(Int64)"


@pytest.mark.parametrize(
    ("actual", "said"),
    [
        ([("a", "Int64"), ("b", "LowCardinality(String)"), ("mine", "String")], None),
        ([("a", "Int64"), ("b", "String")], None),
        ([("a", "Int64")], r"hes\.t has no column b"),
        ([("a", "String"), ("b", "String")], r"hes\.t: column a is String and must be Int64"),
    ],
    ids=["one more column", "no LowCardinality", "a column gone", "another type"],
)
def test_a_table_altered_by_hand_is_named(actual: list[tuple[str, str]], said: str | None) -> None:
    store = MemoryStore(answers={"DESCRIBE TABLE hes.t": actual})
    expected = {"t": {"a": "Int64", "b": "LowCardinality(String)"}}
    if said is None:
        check(store, "hes", expected)
        return
    with pytest.raises(TableError, match=said):
        check(store, "hes", expected)
