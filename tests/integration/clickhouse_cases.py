"""What the sink must do on every ClickHouse, whichever way it is reached: test classes inherit it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest

from connectors.clickhouse.errors import RefusedError, TableError
from connectors.clickhouse.sink import Sink
from connectors.clickhouse.store import Store
from schemas.records import (
    Alarm,
    AlarmKind,
    Cause,
    Channel,
    CommandAck,
    CommandState,
    DeadLetter,
    IntervalReadings,
    Meter,
    Operation,
    Record,
    Register,
    RegisterReadings,
)
from tests.unit.streams.fakes import CODEC, fake_message, fake_runtime

FIRST_END = 1_767_226_500  # 2026-01-01T00:15:00Z
LOWEST, HIGHEST = -(2**63), 2**63 - 1
PROFILE = IntervalReadings(
    id="e1",
    meter_id="mø1",
    source="7/1.0.99.1.0.255/2",
    first_end=FIRST_END * 1000,
    period_s=900,
    rows=3,
    channels=(
        Channel("1.0.1.8.0.255", 2, "Wh", -1, longs=(LOWEST, 0, HIGHEST)),
        Channel("1.0.2.8.0.255", 5, "Wh", None, nullable_longs=(1, None, 3)),
        Channel("1.0.32.7.0.255", 2, "V", 0, doubles=(230.1, float("nan"), -0.5)),
        Channel("0.0.96.10.0.255", 2, "", None, texts=("AB", "", "ø'\\\n")),
    ),
    statuses=(0, 8, 255),
    clock_statuses=(128,),
    read_at=1_767_230_000_123,
    cause=Cause.SCHEDULED,
)
INTERVALS = [
    ("1.0.1.8.0.255", FIRST_END, LOWEST, -1, "Wh", 0, 128, -32768),
    ("1.0.1.8.0.255", FIRST_END + 900, 0, -1, "Wh", 8, 128, -32768),
    ("1.0.1.8.0.255", FIRST_END + 1800, HIGHEST, -1, "Wh", 255, 128, -32768),
    ("1.0.2.8.0.255/5", FIRST_END, 1, 0, "Wh", 0, 128, -32768),
    ("1.0.2.8.0.255/5", FIRST_END + 1800, 3, 0, "Wh", 255, 128, -32768),
]


@dataclass
class Loaded:
    """A database with the tables, and a sink on it."""

    store: Store
    database: str

    def sink(self, *records: Record | bytes, first: int = 0) -> list[tuple[str, int]]:
        """Take a batch, of records or of values as they are; code and offset of the dead letters."""
        runtime, publisher, _ = fake_runtime("clickhouse")
        messages = [fake_message(record, at=first + at) for at, record in enumerate(records)]
        Sink(self.store, CODEC, runtime.dead_letters, self.database).handle(messages)
        return [(letter.code, letter.offset) for letter in publisher.records() if isinstance(letter, DeadLetter)]

    def rows(self, columns: str, table: str, order: str = "") -> list[tuple[Any, ...]]:
        """The rows of a table as its newest statements say."""
        tail = f" ORDER BY {order}" if order else ""
        return self.ask(" ".join(("SELECT", columns, "FROM", f"{{database}}.{table} FINAL", tail)))

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        """The rows of a query on `{database}`."""
        return self.store.query(sql.replace("{database}", self.database)).rows

    def intervals(self) -> list[tuple[Any, ...]]:
        """The integers."""
        columns = "channel, toUInt32(ts), value, scaler, unit, status, clock_status, deviation"
        return self.rows(columns, "intervals", "channel, ts")


class SinkCases:
    """Needs a fixture `loaded`."""

    def test_every_value_comes_back_as_the_meter_sent_it(self, loaded: Loaded) -> None:
        assert loaded.sink(PROFILE) == []
        assert loaded.intervals() == INTERVALS
        assert loaded.rows("toUInt32(ts), value", "intervals_float", "ts") == [(FIRST_END, 230.1), (FIRST_END + 1800, -0.5)]
        assert loaded.rows("toUInt32(ts), value", "intervals_text", "ts") == [
            (FIRST_END, "AB"),
            (FIRST_END + 1800, "ø'\\\n"),
        ]
        assert loaded.rows("DISTINCT meter_id, source, period_s, cause, version", "intervals") == [
            ("mø1", "7/1.0.99.1.0.255/2", 900, "SCHEDULED", 1_767_230_000_123)
        ]

    def test_registers_alarms_and_acknowledgements(self, loaded: Loaded) -> None:
        registers = RegisterReadings(
            id="r",
            meter_id="m1",
            captured_at=FIRST_END * 1000 + 250,
            deviation=-60,
            registers=(
                Register("1.0.1.8.0.255", 2, "Wh", 3, HIGHEST),
                Register("1.0.32.7.0.255", 2, "V", None, 230.5),
                Register("0.0.42.0.0.255", 2, "", None, "4B46"),
                Register("0.0.1.0.0.255"),
            ),
            read_at=5,
        )
        alarm = Alarm(id="a", meter_id="m1", kind=AlarmKind.TAMPER_COVER, occurred_at=FIRST_END * 1000, received_at=7)
        ack = CommandAck(
            id="k", job_id="j", operation=Operation.PING, state=CommandState.DONE, at=FIRST_END * 1000, read_ms=42
        )
        for _ in range(2):
            assert loaded.sink(registers, alarm, ack) == []
        assert loaded.rows("channel, value_int, value_float, value_text, scaler, deviation", "registers", "channel") == [
            ("0.0.1.0.0.255", None, None, "", None, -60),
            ("0.0.42.0.0.255", None, None, "4B46", None, -60),
            ("1.0.1.8.0.255", HIGHEST, None, "", 3, -60),
            ("1.0.32.7.0.255", None, 230.5, "", None, -60),
        ]
        assert loaded.rows("id, kind, version", "alarms") == [("a", "TAMPER_COVER", 7)]
        assert loaded.rows("id, state, queue_ms, read_ms", "command_acks") == [("k", "DONE", None, 42)]

    def test_a_replay_changes_nothing_however_its_batches_are_cut(self, loaded: Loaded) -> None:
        others = [replace(PROFILE, id=f"e{at}", meter_id=f"m{at}") for at in range(6)]
        loaded.sink(*others)
        before = loaded.rows("*", "intervals", "meter_id, channel, ts")
        loaded.sink(*others)
        loaded.sink(*others[:2])
        loaded.sink(*others[2:], first=2)
        loaded.sink(*others, first=900)
        assert loaded.rows("*", "intervals", "meter_id, channel, ts") == before
        assert len(before) == 6 * len(INTERVALS)

    @pytest.mark.parametrize("correction_first", [False, True], ids=["in order", "late"])
    def test_a_correction_wins_and_a_replay_of_what_it_corrected_does_not(
        self, loaded: Loaded, correction_first: bool
    ) -> None:
        corrected = replace(
            PROFILE, id="e2", read_at=PROFILE.read_at + 1, channels=(replace(PROFILE.channels[0], longs=(1, 2, 3)),)
        )
        batches = [corrected, PROFILE] if correction_first else [PROFILE, corrected, PROFILE]
        for number, record in enumerate(batches):
            loaded.sink(record, first=number * 10)
        values = [row[2] for row in loaded.intervals() if row[0] == "1.0.1.8.0.255"]
        assert values == [1, 2, 3]
        assert len(loaded.intervals()) == len(INTERVALS)

    def test_two_profiles_may_hold_one_channel_at_one_time(self, loaded: Loaded) -> None:
        channel = Channel("1.0.1.8.0.255", longs=(7,))
        daily = replace(PROFILE, source="7/1.0.99.2.0.255/2", period_s=86_400, rows=1, channels=(channel,), statuses=())
        loaded.sink(PROFILE, daily)
        first = loaded.rows("toUInt32(ts), channel, source, value", "intervals", "ts, channel, source")[:2]
        assert first == [
            (FIRST_END, "1.0.1.8.0.255", "7/1.0.99.1.0.255/2", LOWEST),
            (FIRST_END, "1.0.1.8.0.255", "7/1.0.99.2.0.255/2", 7),
        ]

    def test_a_table_altered_by_hand_is_named_and_nothing_is_a_dead_letter(self, loaded: Loaded) -> None:
        loaded.sink(PROFILE)
        loaded.store.execute(f"ALTER TABLE {loaded.database}.intervals DROP COLUMN status")
        with pytest.raises(TableError, match=rf"{loaded.database}\.intervals.*status"):
            loaded.sink(replace(PROFILE, meter_id="m2"), first=1)
        loaded.store.execute(f"ALTER TABLE {loaded.database}.intervals ADD COLUMN status Int64")
        assert loaded.sink(replace(PROFILE, meter_id="m2"), first=1) == []
        assert loaded.rows("DISTINCT meter_id", "intervals", "meter_id") == [("m2",), ("mø1",)]

    def test_a_table_that_is_gone_is_named(self, loaded: Loaded) -> None:
        loaded.store.execute(f"DROP TABLE {loaded.database}.alarms")
        with pytest.raises(TableError, match=rf"{loaded.database}\.alarms"):
            loaded.sink(Alarm(id="a"))

    def test_bad_records_in_the_middle_of_a_batch_are_each_named_and_the_rest_is_stored(self, loaded: Loaded) -> None:
        good = [replace(PROFILE, id=f"e{at}", meter_id=f"m{at:02}") for at in range(20)]
        whole = CODEC.encode(good[0])
        bad: list[tuple[Record | bytes, str]] = [
            (b"\0\xff\xff\xff\xff" + whole[5:], "avro-unknown-schema"),
            (b"poison", "avro-framing"),
            (whole[:-9], "avro-body"),
            (replace(PROFILE, first_end=FIRST_END * 1_000_000), "readings-range"),
            (replace(PROFILE, read_at=-1), "readings-range"),
            (replace(PROFILE, clock_statuses=(256,)), "readings-range"),
            (replace(PROFILE, rows=4), "readings-columns"),
            (Alarm(id="far", meter_id="m1", occurred_at=10_413_792_000_000), "readings-range"),
            (Meter(id="m1"), "record-unexpected"),
        ]
        batch: list[Record | bytes] = list(good)
        for at, (record, _) in enumerate(bad):
            batch.insert(2 * at + 1, record)
        assert loaded.sink(*batch) == [(code, 2 * at + 1) for at, (_, code) in enumerate(bad)]
        stored = loaded.ask("SELECT meter_id, count() FROM {database}.intervals FINAL GROUP BY meter_id ORDER BY meter_id")
        assert stored == [(reading.meter_id, len(INTERVALS)) for reading in good]

    def test_wide_batches_store_what_single_records_store(self, loaded: Loaded) -> None:
        records = [
            replace(PROFILE, meter_id=f"m{at:02}", channels=(replace(PROFILE.channels[0], longs=(at, -at, at << 40)), *rest))
            for at, rest in enumerate([(), PROFILE.channels[1:3]] * 6)
        ]
        loaded.sink(*records)
        wide = {table: loaded.rows("*", table, "meter_id, channel, ts") for table in ("intervals", "intervals_float")}
        for table in wide:
            loaded.store.execute(f"TRUNCATE TABLE {loaded.database}.{table}")
        for at, record in enumerate(records):
            loaded.sink(record, first=100 + at)
        assert wide == {table: loaded.rows("*", table, "meter_id, channel, ts") for table in wide}
        assert sum(map(len, wide.values())) == 12 * 3 + 6 * 4

    def test_a_wrong_statement_is_refused_and_the_connection_lives(self, loaded: Loaded) -> None:
        with pytest.raises(RefusedError, match="62"):
            loaded.store.execute("SELEKT 1")
        assert loaded.store.query("SELECT %(a)s AS a", {"a": "it's \\ ø"}).column("a") == ["it's \\ ø"]
