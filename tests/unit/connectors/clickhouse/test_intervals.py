from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.clickhouse.interval_batch import TABLES as WIDE_TABLES
from connectors.clickhouse.interval_batch import IntervalBatch
from connectors.clickhouse.intervals import MAX_ROWS, RowError, check_intervals, interval_columns
from schemas.avro_columns import ColumnReader
from schemas.records import Cause, Channel, IntervalReadings
from schemas.registry import avsc
from tests.unit.connectors.clickhouse.fakes import rows_as_dicts
from tests.unit.streams.fakes import CODEC

TABLES = ("intervals", "intervals_float", "intervals_text")
READER = ColumnReader(CODEC.id_of(IntervalReadings), avsc("IntervalReadings"))
START = 1_700_000_100  # seconds
ENERGY = Channel("1.0.1.8.0.255", 2, "Wh", -1, longs=(10, 11, 12))
READING = IntervalReadings(
    id="e1",
    meter_id="m1",
    source="7/1.0.99.1.0.255/2",
    first_end=START * 1000,
    period_s=900,
    rows=3,
    channels=(ENERGY,),
    read_at=1_700_001_000_123,
    cause=Cause.SCHEDULED,
)


def rows_by_hand(reading: IntervalReadings) -> dict[str, list[dict[str, Any]]]:
    """One reading's rows, one at a time as schemas.records words them: the slow second opinion."""
    tables: dict[str, list[dict[str, Any]]] = {name: [] for name in TABLES}
    for channel in reading.channels:
        for at in range(reading.rows):
            end = reading.ends[at] if reading.ends else reading.first_end + at * reading.period_s * 1000
            row = {
                "meter_id": reading.meter_id,
                "channel": channel.obis if channel.attribute == 2 else f"{channel.obis}/{channel.attribute}",
                "ts": end // 1000,
                "scaler": channel.scaler or 0,
                "unit": channel.unit,
                "source": reading.source,
                "period_s": 0 if reading.ends else reading.period_s,
                "status": one_of(reading.statuses, at, -1),
                "clock_status": one_of(reading.clock_statuses, at, 255),
                "deviation": one_of(reading.deviations, at, -32768),
                "cause": str(reading.cause),
                "version": reading.read_at,
            }
            if channel.longs:
                tables["intervals"].append(row | {"value": channel.longs[at]})
            elif channel.nullable_longs:
                if channel.nullable_longs[at] is not None:
                    tables["intervals"].append(row | {"value": channel.nullable_longs[at]})
            elif channel.doubles:
                if not math.isnan(channel.doubles[at]):
                    tables["intervals_float"].append(row | {"value": channel.doubles[at]})
            elif channel.texts[at]:
                tables["intervals_text"].append(row | {"value": channel.texts[at]})
    return tables


def one_of(given: tuple[int, ...], at: int, absent: int) -> int:
    return absent if not given else given[0] if len(given) == 1 else given[at]


def in_order(rows: list[dict[str, Any]]) -> list[str]:
    return sorted(repr(sorted(row.items())) for row in rows)


@st.composite
def readings(draw: st.DrawFn) -> IntervalReadings:
    rows = draw(st.integers(1, 5))

    def column(values: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
        return st.lists(values, min_size=rows, max_size=rows).map(tuple)

    def flags(low: int, high: int) -> st.SearchStrategy[tuple[int, ...]]:
        return st.one_of(st.just(()), st.tuples(st.integers(low, high)), column(st.integers(low, high)))

    long = st.integers(-(2**63), 2**63 - 1)
    values = st.one_of(
        column(long).map(lambda given: {"longs": given}),
        column(st.none() | long).map(lambda given: {"nullable_longs": given}),
        column(st.floats()).map(lambda given: {"doubles": given}),
        column(st.text(st.characters(codec="utf-8"), max_size=3)).map(lambda given: {"texts": given}),
    )
    channels = draw(
        st.lists(
            st.builds(
                lambda obis, attribute, scaler, given: Channel(obis, attribute, "Wh", scaler, **given),
                st.sampled_from(["1.0.1.8.0.255", "1.0.2.8.0.255"]),
                st.sampled_from([2, 5]),
                st.none() | st.integers(-128, 127),
                values,
            ),
            max_size=3,
        )
    )
    seconds = st.integers(0, 2**32 - 1)
    return IntervalReadings(
        meter_id=draw(st.sampled_from(["m1", "m2"])),
        source=draw(st.sampled_from(["", "7/1.0.99.1.0.255/2"])),
        first_end=draw(st.integers(0, 2**31)) * 1000,
        period_s=draw(st.integers(1, 86_400)),
        ends=draw(st.one_of(st.just(()), column(seconds.map(lambda end: end * 1000)))),
        rows=rows,
        channels=tuple(channels),
        statuses=draw(flags(-(2**63), 2**63 - 1)),
        clock_statuses=draw(flags(0, 255)),
        deviations=draw(flags(-(2**15), 2**15 - 1)),
        read_at=draw(st.integers(0, 2**63 - 1)),
        cause=draw(st.sampled_from(Cause)),
    )


@settings(deadline=None, max_examples=50)
@given(st.lists(readings(), min_size=1, max_size=4))
def test_numpy_makes_the_rows_that_one_makes_by_hand(batch: list[IntervalReadings]) -> None:
    expected: dict[str, list[dict[str, Any]]] = {name: [] for name in TABLES}
    for reading in batch:
        check_intervals(reading)
        for name, rows in rows_by_hand(reading).items():
            expected[name] += rows
    for name in TABLES:
        columns = interval_columns(batch, name)
        assert in_order(rows_as_dicts(columns) if columns else []) == in_order(expected[name])


def wide(*batch: IntervalReadings) -> IntervalBatch:
    return IntervalBatch(READER.read([CODEC.encode(reading) for reading in batch]))


@settings(deadline=None, max_examples=100)
@given(st.lists(readings(), min_size=1, max_size=12), st.data())
def test_a_whole_batch_in_columns_has_the_same_rows(batch: list[IntervalReadings], data: st.DataObject) -> None:
    columns = wide(*batch)
    good = [at for at in range(len(batch)) if columns.good[at]]
    # One by one is what has texts, and what is beyond nine octets of Avro, or a union that few records have.
    assert all(columns.good[at] or not plain(reading) for at, reading in enumerate(batch))
    some = [at for at in good if data.draw(st.booleans())]
    expected: dict[str, list[dict[str, Any]]] = {name: [] for name in TABLES}
    for at in some:
        for name, rows in rows_by_hand(batch[at]).items():
            expected[name] += rows
        assert columns.rows[at] == batch[at].rows * len(batch[at].channels)
    assert expected.pop("intervals_text") == []
    for name in WIDE_TABLES:
        made = columns.columns(some, name)
        assert in_order(rows_as_dicts(made) if made else []) == in_order(expected[name])


def plain(reading: IntervalReadings) -> bool:
    numbers = [*reading.statuses, *(value for channel in reading.channels for value in channel.longs)]
    numbers.append(reading.read_at)
    return all(-(2**62) <= number < 2**62 for number in numbers) and not any(
        channel.texts or channel.nullable_longs for channel in reading.channels
    )


def test_rows_of_a_batch_come_in_the_order_of_the_table() -> None:
    other = replace(ENERGY, obis="1.0.2.8.0.255")
    batch = [
        replace(READING, meter_id=meter, first_end=(START + later) * 1000, channels=(other, ENERGY))
        for later in (2700, 0)
        for meter in ("m2", "m10", "m1")
    ]
    rows = rows_as_dicts(wide(*batch).columns(range(6), "intervals"))
    keys = [(row["meter_id"], row["channel"], row["ts"]) for row in rows]
    assert keys == sorted(keys)
    assert len(keys) == 36


def test_a_regular_profile() -> None:
    rows = rows_as_dicts(interval_columns([READING], "intervals"))
    assert [(row["ts"], row["value"]) for row in rows] == [(START, 10), (START + 900, 11), (START + 1800, 12)]
    assert {(row["scaler"], row["unit"], row["cause"], row["version"]) for row in rows} == {
        (-1, "Wh", "SCHEDULED", 1_700_001_000_123)
    }


@pytest.mark.parametrize("table", TABLES)
def test_no_rows_are_no_columns(table: str) -> None:
    empty = replace(READING, rows=0, channels=())
    nothing = replace(READING, channels=(Channel("1.0.1.8.0.255", nullable_longs=(None, None, None)),))
    check_intervals(empty)
    check_intervals(nothing)
    assert interval_columns([empty, nothing], table) == {}


@pytest.mark.parametrize(
    ("reading", "code"),
    [
        (replace(READING, meter_id=""), "readings-names"),
        (replace(READING, meter_id="m" * 256), "readings-names"),
        (replace(READING, source="s" * 256), "readings-names"),
        (replace(READING, channels=(replace(ENERGY, obis=""),)), "readings-names"),
        (replace(READING, channels=(replace(ENERGY, unit="u" * 256),)), "readings-names"),
        (replace(READING, rows=4), "readings-columns"),
        (replace(READING, rows=-1), "readings-columns"),
        (replace(READING, rows=0), "readings-columns"),
        (replace(READING, rows=MAX_ROWS + 1), "readings-columns"),
        (replace(READING, channels=(replace(ENERGY, longs=()),)), "readings-columns"),
        (replace(READING, channels=(replace(ENERGY, doubles=(1.0, 2.0, 3.0)),)), "readings-columns"),
        (replace(READING, channels=(ENERGY, replace(ENERGY, longs=(1, 2)))), "readings-columns"),
        (replace(READING, ends=(1000,)), "readings-columns"),
        (replace(READING, period_s=0), "readings-columns"),
        (replace(READING, statuses=(1, 2)), "readings-columns"),
        (replace(READING, clock_statuses=(256,)), "readings-range"),
        (replace(READING, deviations=(0, 0, 40_000)), "readings-range"),
        (replace(READING, channels=(replace(ENERGY, scaler=128),)), "readings-range"),
        (replace(READING, read_at=-1), "readings-range"),
        (replace(READING, first_end=-1000), "readings-range"),
        (replace(READING, first_end=(2**32 - 900) * 1000), "readings-range"),
        (replace(READING, ends=(0, 1000, 2**32 * 1000)), "readings-range"),
        (replace(READING, period_s=2**40), "readings-range"),
        (replace(READING, first_end=START * 1000 + 10), "readings-time"),
        (replace(READING, ends=(1000, 2001, 3000)), "readings-time"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_what_has_no_place_in_the_tables_is_named(reading: IntervalReadings, code: str) -> None:
    columns = wide(READING, reading, READING)
    assert columns.good.tolist() == [True, False, True]
    assert len(rows_as_dicts(columns.columns([0, 2], "intervals"))) == 6
    with pytest.raises(RowError) as caught:
        check_intervals(reading)
    assert caught.value.code == code
    assert len(str(caught.value)) < 300
