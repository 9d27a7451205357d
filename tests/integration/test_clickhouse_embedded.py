"""The tables and views as they ship, on the embedded engine (a modern ClickHouse) behind its HTTP server."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from itertools import count

import pytest
from pydantic import SecretStr

from connectors.clickhouse.bench import bench_sink
from connectors.clickhouse.cluster import on_cluster
from connectors.clickhouse.migrations import Migration, columns_of, migrate, shipped
from connectors.clickhouse.retention import keep
from connectors.clickhouse.rollups import Rollups
from connectors.clickhouse.service import prepare
from connectors.clickhouse.store import Store, open_store
from schemas.records import (
    Cause,
    Channel,
    CommandAck,
    CommandState,
    IntervalReadings,
    Network,
    Operation,
    ReadSuccess,
    Register,
    RegisterReadings,
)
from streams.runtime.errors import FatalError, TemporaryError
from streams.runtime.settings import ClickHouse
from tests.integration.clickhouse_cases import FIRST_END, INTERVALS, PROFILE, Loaded, SinkCases
from tests.integration.clickhouse_server import Server, embedded

pytest.importorskip("chdb", reason="chdb is in the extra `local`")
pytestmark = pytest.mark.integration

DATABASES = count()
DAY = 86_400
MIDNIGHT = FIRST_END - 900  # 2026-01-01T00:00:00Z
IMPORT = "1.0.1.8.0.255"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with embedded(tmp_path_factory.mktemp("chdb")) as running:
        yield running


def opened(server: Server) -> Store:
    return open_store(ClickHouse(url=SecretStr(f"http://127.0.0.1:{server.ports[0]}"), timeout_s=30))


@pytest.fixture(scope="module")
def store(server: Server) -> Iterator[Store]:
    connected = opened(server)
    yield connected
    connected.close()


@pytest.fixture
def loaded(store: Store) -> Loaded:
    database = f"hes_{next(DATABASES)}"
    prepare(store, database)
    return Loaded(store, database)


class TestSink(SinkCases):
    pass


def raw_count(loaded: Loaded, table: str = "intervals") -> int:
    """Rows as they were inserted, older statements included."""
    return int(loaded.ask(" ".join(("SELECT count() FROM", f"{{database}}.{table}")))[0][0])


def view(loaded: Loaded, columns: str, name: str, order: str) -> list[tuple[object, ...]]:
    return loaded.ask(" ".join(("SELECT", columns, "FROM", f"{{database}}.{name} ORDER BY", order)))


def test_migrations_are_applied_once_and_an_edited_file_is_refused(store: Store) -> None:
    database = f"hes_{next(DATABASES)}"
    assert migrate(store, database) == [migration.name for migration in shipped()]
    assert migrate(store, database) == []
    *rest, last = shipped()
    with pytest.raises(FatalError, match=f"{last.name} was applied"):
        migrate(store, database, [*rest, Migration(last.number, last.name, last.text + "\n")])


def test_success_of_a_schedule_is_the_newest_of_each_partition_added_up(loaded: Loaded) -> None:
    first = ReadSuccess("a", 20_454, "profile", "dc-1", Network.PLC_G3, 0, 900, 2, 1, 192, 100, 0, FIRST_END * 1000)
    newer = replace(first, id="b", complete=2, arrived=192, at=first.at + 1)
    other = replace(first, id="c", partition=7, meters=1, complete=0, expected=96, arrived=24, given_up=72)
    for records in ((newer, first), (other,), (first, newer, other)):
        assert loaded.sink(*records) == []
    columns = "day, schedule_id, segment, network, meters, complete, expected, arrived, given_up, success"
    assert view(loaded, columns, "schedule_success", "day") == [
        (date(2026, 1, 1), "profile", "dc-1", "PLC_G3", 3, 2, 288, 216, 72, 0.75)
    ]


def test_a_batch_taken_again_is_dropped_by_its_token(loaded: Loaded) -> None:
    loaded.store.execute(f"SYSTEM STOP MERGES {loaded.database}.intervals")
    for _ in range(3):
        loaded.sink(PROFILE)
    assert raw_count(loaded) == len(INTERVALS)
    loaded.sink(replace(PROFILE, read_at=PROFILE.read_at + 1))  # the same place in Kafka, other content: not dropped
    assert raw_count(loaded) == 2 * len(INTERVALS)


def test_a_record_that_breaks_a_constraint_blocks_no_other(loaded: Loaded) -> None:
    loaded.store.execute(f"ALTER TABLE {loaded.database}.intervals ADD CONSTRAINT sane CHECK meter_id != 'm3'")
    records = [replace(PROFILE, id=f"e{at}", meter_id=f"m{at}") for at in range(6)]
    assert loaded.sink(*records) == [("clickhouse-refused", 3)]
    assert loaded.rows("DISTINCT meter_id", "intervals", "meter_id") == [(f"m{at}",) for at in (0, 1, 2, 4, 5)]


def test_a_meter_that_scatters_its_rows_over_the_centuries_blocks_no_other(loaded: Loaded) -> None:
    ends = tuple(month * 2_678_400_000 for month in range(1, 300))
    channel = Channel(IMPORT, longs=(1,) * len(ends))
    hostile = replace(PROFILE, meter_id="hostile", ends=ends, rows=len(ends), channels=(channel,), statuses=())
    assert loaded.sink(PROFILE, hostile, replace(PROFILE, meter_id="m2")) == [("clickhouse-refused", 1)]
    assert loaded.rows("DISTINCT meter_id", "intervals", "meter_id") == [("m2",), ("mø1",)]


def test_a_server_that_is_killed_keeps_what_it_acknowledged(tmp_path_factory: pytest.TempPathFactory) -> None:
    with embedded(tmp_path_factory.mktemp("chdb-killed")) as server:
        loaded = Loaded(opened(server), "hes")
        prepare(loaded.store, "hes")
        loaded.sink(PROFILE)
        server.kill()
        with pytest.raises(TemporaryError, match="did not answer"):
            loaded.sink(PROFILE)
        server.start()
        assert loaded.intervals() == INTERVALS
        loaded.sink(PROFILE)
        assert loaded.intervals() == INTERVALS
        loaded.store.close()


def test_a_server_killed_between_a_token_and_its_rows_takes_them_again(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("chdb-between")
    with embedded(folder) as server:
        loaded = Loaded(opened(server), "hes")
        prepare(loaded.store, "hes")
        loaded.sink(PROFILE)
        server.kill()
        with pytest.raises(TemporaryError, match="did not answer"):
            loaded.sink(PROFILE)
        # What is left of an insert where the kill comes after the token was noted, and before its part has its name.
        parts = [part for part in (folder / "data").rglob("202601_*") if part.is_dir()]
        assert parts
        for part in parts:
            shutil.rmtree(part, ignore_errors=True)  # one stands under two names
        server.start()
        assert loaded.intervals() == []
        loaded.sink(PROFILE)
        assert loaded.intervals() == INTERVALS
        loaded.store.close()


def registers(
    meter: str, at: int, value: int | float | str, scaler: int | None = -1, obis: str = IMPORT
) -> RegisterReadings:
    register = Register(obis, 2, "Wh" if not isinstance(value, str) else "", scaler, value)
    return RegisterReadings(meter_id=meter, captured_at=at * 1000, registers=(register,), read_at=at * 1000)


def test_interval_and_register_values_are_scaled_and_newest(loaded: Loaded) -> None:
    loaded.store.execute(f"SYSTEM STOP MERGES {loaded.database}.intervals")
    older = replace(PROFILE, channels=(replace(PROFILE.channels[0], longs=(9, 9, 9)), PROFILE.channels[2]))
    newer = replace(older, read_at=older.read_at + 1, channels=(replace(PROFILE.channels[0], longs=(11, 12, 13)),))
    loaded.sink(older)
    loaded.sink(newer, first=1)
    loaded.sink(registers("m9", MIDNIGHT, 7, 3), registers("m9", MIDNIGHT, "4B46", None, "0.0.42.0.0.255"))
    assert view(loaded, "channel, value, unit, raw", "interval_values", "channel, ts") == [
        (IMPORT, 1.1, "Wh", 11),
        (IMPORT, 1.2, "Wh", 12),
        (IMPORT, 1.3, "Wh", 13),
        ("1.0.32.7.0.255", 230.1, "V", None),
        ("1.0.32.7.0.255", -0.5, "V", None),
    ]
    assert view(loaded, "channel, value, unit, text", "register_values", "channel") == [
        ("0.0.42.0.0.255", None, "", "4B46"),
        (IMPORT, 7000.0, "Wh", ""),
    ]


def test_the_latest_value_of_a_channel_is_from_intervals_or_registers(loaded: Loaded) -> None:
    loaded.sink(replace(PROFILE, meter_id="m1", channels=(replace(PROFILE.channels[0], longs=(1, 2, 3)),)))
    loaded.sink(
        registers("m1", FIRST_END + 900, 99), registers("m2", MIDNIGHT, 5), registers("m2", MIDNIGHT + 60, 6), first=9
    )
    assert view(loaded, "meter_id, channel, ts, value, unit", "latest_values", "meter_id") == [
        ("m1", IMPORT, datetime(2026, 1, 1, 0, 45, tzinfo=UTC), 0.3, "Wh"),
        ("m2", IMPORT, datetime(2026, 1, 1, 0, 1, tzinfo=UTC), 0.6, "Wh"),
    ]


def hourly(meter: str, first: int, values: tuple[int, ...], obis: str = IMPORT) -> IntervalReadings:
    channel = Channel(obis, 2, "Wh", -1, longs=values)
    return IntervalReadings(
        meter_id=meter, first_end=first * 1000, period_s=3600, rows=len(values), channels=(channel,), read_at=first * 1000
    )


def test_daily_consumption_of_a_cumulative_register(loaded: Loaded) -> None:
    # From 2026-01-01T00:00Z to 2026-01-03T00:00Z, 10 an hour: the value at midnight closes the day before.
    loaded.sink(hourly("m1", MIDNIGHT, tuple(range(1000, 1490, 10))))
    loaded.sink(registers("m1", MIDNIGHT + 5 * DAY, 2000), first=5)  # then nothing for two days
    assert view(loaded, "meter_id, channel, day, value, unit, days", "daily_consumption", "day") == [
        ("m1", IMPORT, date(2026, 1, 1), 24.0, "Wh", 1),
        ("m1", IMPORT, date(2026, 1, 2), 24.0, "Wh", 1),
        ("m1", IMPORT, date(2026, 1, 5), 52.0, "Wh", 3),
    ]
    # In Oslo, an hour east, days end at 23:00Z: nothing is known before the first, one hour is left for the third.
    zoned = view(loaded, "day, value, days", "daily_consumption_in(zone = 'Europe/Oslo')", "day")
    assert zoned == [(date(2026, 1, 2), 24.0, 1), (date(2026, 1, 3), 1.0, 1), (date(2026, 1, 6), 52.0, 3)]


def test_daily_consumption_of_other_channels(loaded: Loaded) -> None:
    energy, power, water = "1.0.1.29.0.255", "1.0.1.7.0.255", "8.0.1.0.0.255"
    loaded.sink(hourly("m1", MIDNIGHT + 3600, (10,) * 24, energy), hourly("m2", MIDNIGHT + 3600, (10,) * 24, power))
    cubic = [
        replace(registers("m3", MIDNIGHT + day * DAY, value, -3, water), id=str(day))
        for day, value in enumerate((5000, 5250))
    ]
    loaded.sink(*[replace(one, registers=(replace(one.registers[0], unit="m³"),)) for one in cubic], first=10)
    assert view(loaded, "meter_id, channel, day, value, unit", "daily_consumption", "meter_id, day") == [
        ("m1", energy, date(2026, 1, 1), 24.0, "Wh"),
        ("m3", water, date(2026, 1, 1), 0.25, "m³"),
    ]


def test_read_success_by_day_and_segment(loaded: Loaded) -> None:
    def ack(
        job: str, state: CommandState, at: int, segment: str = "cell-1", operation: Operation = Operation.READ_PROFILE
    ) -> CommandAck:
        return CommandAck(
            id=f"{job}-{state}",
            job_id=job,
            meter_id="m1",
            segment=segment,
            network=Network.NB_IOT,
            operation=operation,
            cause=Cause.SCHEDULED,
            state=state,
            at=(MIDNIGHT + at) * 1000,
        )

    records = [
        ack("j1", CommandState.QUEUED, 1),
        ack("j1", CommandState.DONE, 2),
        ack("j2", CommandState.DONE, 3),
        ack("j3", CommandState.FAILED, 4),
        ack("j4", CommandState.SENT, 5),  # still under way: not counted
        ack("j5", CommandState.EXPIRED, DAY + 1),
        ack("j6", CommandState.DONE, 6, "cell-2"),
        ack("j7", CommandState.DONE, 7, operation=Operation.DISCONNECT),  # no read
    ]
    loaded.sink(*records)
    loaded.sink(*records, first=100)
    assert view(loaded, "day, segment, reads, done, failed, expired, success", "read_success", "day, segment") == [
        (date(2026, 1, 1), "cell-1", 3, 2, 1, 0, pytest.approx(2 / 3)),
        (date(2026, 1, 1), "cell-2", 1, 1, 0, 0, 1.0),
        (date(2026, 1, 2), "cell-1", 1, 0, 0, 1, 0.0),
    ]


@pytest.mark.parametrize("name", ["interval_values", "register_values", "latest_values", "daily_consumption"])
def test_a_view_asked_for_one_meter_reads_by_the_primary_key(loaded: Loaded, name: str) -> None:
    loaded.sink(PROFILE, registers("m1", MIDNIGHT, 1))
    plan = loaded.ask(" ".join(("EXPLAIN indexes = 1 SELECT * FROM", f"{{database}}.{name}", "WHERE meter_id = 'm1'")))
    text = "\n".join(row[0] for row in plan)
    assert "meter_id in ['m1', 'm1']" in text, text
    assert text.count("PrimaryKey") == text.count("meter_id in ['m1', 'm1']"), text


def test_the_bench_counts_what_is_stored(store: Store) -> None:
    figures = bench_sink(20, 96, 4, store, batch_records=7)
    assert figures["rows"] == 20 * 96 * 4
    assert figures["sink_rows_s"] > 0
    assert store.query("SELECT count() FROM system.databases WHERE name = 'hes_bench'").rows == [(0,)]


def rolled(loaded: Loaded, zone: str = "UTC") -> list[tuple[object, ...]]:
    columns = "meter_id, day, rows, first, last, least, most, toInt64(sum)"
    return loaded.ask(f"SELECT {columns} FROM {{database}}.daily_rollup FINAL WHERE zone = '{zone}' ORDER BY meter_id, day")  # noqa: S608 - the test's own words


def test_a_rollup_counts_neither_a_replay_nor_what_was_corrected(loaded: Loaded) -> None:
    rollups = Rollups(loaded.store, loaded.database, "UTC")
    day = hourly("m1", MIDNIGHT + 3600, tuple(range(10, 250, 10)))  # 24 values, the last at midnight
    loaded.sink(day)
    assert rollups.refresh() == [date(2026, 1, 1)]
    assert rolled(loaded) == [("m1", date(2026, 1, 1), 24, 10, 240, 10, 240, 3000)]
    for first in (0, 50):
        loaded.sink(day, hourly("m2", MIDNIGHT + 3600, (7,)), first=first)  # cut otherwise, so no token drops it
    corrected = replace(hourly("m1", MIDNIGHT + 2 * 3600, (1000,)), read_at=day.read_at + 1)
    loaded.sink(corrected, first=90)
    loaded.sink(day, first=100)
    assert rollups.refresh() == [date(2026, 1, 1)]
    expected = [
        ("m1", date(2026, 1, 1), 24, 10, 240, 10, 1000, 3980),
        ("m2", date(2026, 1, 1), 1, 7, 7, 7, 7, 7),
    ]
    assert rolled(loaded) == expected
    rollups.refresh()
    assert rolled(loaded) == expected
    months = "SELECT meter_id, month, rows, days, first, last, toInt64(sum) FROM {database}.monthly_rollup ORDER BY meter_id"
    assert loaded.ask(months) == [
        ("m1", date(2026, 1, 1), 24, 1, 10, 240, 3980),
        ("m2", date(2026, 1, 1), 1, 1, 7, 7, 7),
    ]


def test_days_are_those_of_the_zone(loaded: Loaded) -> None:
    loaded.sink(hourly("m1", MIDNIGHT + 3600, tuple(range(10, 250, 10))))
    assert Rollups(loaded.store, loaded.database, "Europe/Oslo").refresh() == [date(2026, 1, 1), date(2026, 1, 2)]
    assert [row[1:5] for row in rolled(loaded, "Europe/Oslo")] == [
        (date(2026, 1, 1), 23, 10, 230),
        (date(2026, 1, 2), 1, 240, 240),
    ]


def test_a_day_that_has_settled_is_made_once(loaded: Loaded) -> None:
    rollups = Rollups(loaded.store, loaded.database, "UTC")
    loaded.store.execute(f"INSERT INTO {loaded.database}.touched_days SELECT toDate('2026-01-05'), now() - 1000")
    assert rollups.refresh() == [date(2026, 1, 5)]
    assert rollups.refresh() == []
    loaded.sink(hourly("m1", MIDNIGHT + 4 * DAY + 3600, (1,)))
    assert rollups.refresh() == [date(2026, 1, 5)]


def test_rows_are_kept_for_as_long_as_is_set(loaded: Loaded) -> None:
    days = {"intervals": 3650, "registers": 30, "alarms": 7, "command_acks": 7, "daily_rollup": 9999}
    assert sorted(keep(loaded.store, loaded.database, days)) == sorted(days)
    assert keep(loaded.store, loaded.database, days) == []
    assert keep(loaded.store, loaded.database, days | {"alarms": 0}) == ["alarms"]
    loaded.sink(registers("m1", MIDNIGHT, 1), hourly("m1", MIDNIGHT + 3600, (1,)))
    loaded.store.execute(f"OPTIMIZE TABLE {loaded.database}.registers FINAL")
    assert raw_count(loaded, "registers") == 0
    assert raw_count(loaded) == 1


def test_the_tables_of_a_cluster_are_what_clickhouse_can_read(store: Store) -> None:
    """No keeper is here: the statements are parsed, and say what they must."""
    spread = on_cluster("grid")
    made = [part for migration in shipped() for sql in migration.statements("hes") for part in spread(sql)]
    for statement in made:
        store.query(f"EXPLAIN AST {statement}")
    text = "\n".join(made)
    tables = columns_of(shipped())
    for table in tables:
        assert f"CREATE TABLE IF NOT EXISTS hes.{table}_local ON CLUSTER grid" in text
        assert f"ReplicatedReplacingMergeTree('/clickhouse/tables/{{shard}}/hes/{table}', '{{replica}}', " in text
        assert f"Distributed('grid', 'hes', '{table}_local', " in text
    assert text.count("ON CLUSTER grid") == len(made)
    assert "non_replicated" not in text
