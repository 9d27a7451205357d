from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.avro_columns import ColumnReader
from schemas.codec import Codec, CodecError
from schemas.columns import Arrays, Batch, Children, Doubles, NullableArrays, Optional, Symbols, Texts
from schemas.records import Cause, Channel, IntervalReadings
from schemas.registry import MemoryRegistry, avsc

CODEC = Codec(MemoryRegistry())
READER = ColumnReader(CODEC.id_of(IntervalReadings), avsc("IntervalReadings"))
PROFILE = IntervalReadings(
    id="e1",
    meter_id="m1",
    source="7/1.0.99.1.0.255/2",
    first_end=1_767_226_500_000,
    period_s=900,
    rows=3,
    channels=(Channel("1.0.1.8.0.255", 2, "Wh", -1, longs=(10, -11, 2**55)), Channel("1.0.2.8.0.255", longs=(1, 2, 3))),
    statuses=(0, 8, 255),
    read_at=1_767_230_000_123,
    cause=Cause.SCHEDULED,
)
LONG = st.integers(-(2**62), 2**62 - 1)
WORD = st.text(st.characters(codec="ascii"), max_size=80)


def longs(least: int = 0) -> st.SearchStrategy[tuple[int, ...]]:
    return st.lists(LONG, min_size=least, max_size=70).map(tuple)


@st.composite
def readings(draw: st.DrawFn) -> IntervalReadings:
    channels = st.builds(
        Channel,
        obis=WORD,
        attribute=LONG,
        unit=WORD,
        scaler=st.none() | LONG,
        longs=longs(),
        nullable_longs=st.lists(st.none() | LONG, max_size=70).map(tuple),
        doubles=st.lists(st.floats(allow_nan=False), max_size=5).map(tuple),
    )
    return IntervalReadings(
        id=draw(WORD),
        meter_id=draw(WORD),
        source=draw(WORD),
        first_end=draw(LONG),
        period_s=draw(LONG),
        ends=draw(longs()),
        rows=draw(LONG),
        channels=tuple(draw(st.lists(channels, max_size=4))),
        deviations=draw(longs()),
        clock_statuses=draw(longs()),
        statuses=draw(longs()),
        read_at=draw(LONG),
        cause=draw(st.sampled_from(Cause)),
        job_id=draw(WORD),
    )


def cells(column: Any, at: int) -> Any:
    """One record's entry of a column, as the record class has it."""
    which = np.array([at])
    match column:
        case Texts():
            return column.raw()[at].decode()
        case Symbols():
            return column.symbols[int(column.indices[at])]
        case Optional():
            return None if column.missing[at] else int(column.values[at])
        case Arrays() | Doubles():
            return tuple(column.flat(which).tolist())
        case NullableArrays():
            values, missing = column.flat(which)
            return tuple(None if gone else value for value, gone in zip(values.tolist(), missing.tolist(), strict=True))
        case _:
            return int(column[at])


def record(batch: Batch, at: int) -> IntervalReadings:
    """A record put together again from its columns."""
    children = cast("Children", batch.table["channels"])
    rows = sorted(np.flatnonzero(children.owners == at).tolist(), key=children.numbers.tolist().__getitem__)
    named = {name: column for name, column in children.columns.items() if name != "texts"}
    channels = tuple(Channel(**{name: cells(column, row) for name, column in named.items()}) for row in rows)
    fields = {name: cells(column, at) for name, column in batch.table.items() if name != "channels"}
    return IntervalReadings(**fields | {"channels": channels, "cause": Cause(fields["cause"])})


@settings(deadline=None, max_examples=40)
@given(st.lists(readings(), min_size=1, max_size=9))
def test_columns_hold_what_fastavro_reads(batch: list[IntervalReadings]) -> None:
    values = [CODEC.encode(reading) for reading in batch]
    columns = READER.read(values)
    some = sum(any(channel.nullable_longs for channel in reading.channels) for reading in batch)
    for at, value in enumerate(values):
        decoded = CODEC.decode(value)
        assert columns.good[at] or some
        if columns.good[at]:
            assert record(columns, at) == decoded


@settings(deadline=None, max_examples=120)
@given(st.data())
def test_hostile_octets_are_left_out_or_read_as_fastavro_reads_them(data: st.DataObject) -> None:
    base = CODEC.encode(data.draw(readings()))
    octets = bytearray(base)
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, max(0, len(octets) - 1)))
        match data.draw(st.sampled_from(("set", "cut", "insert"))):
            case "set" if octets:
                octets[at] = data.draw(st.integers(0, 255))
            case "cut":
                del octets[at : at + data.draw(st.integers(1, 40))]
            case _:
                octets[at:at] = data.draw(st.binary(max_size=12))
    good = [CODEC.encode(replace(PROFILE, id=str(number))) for number in range(4)]
    values = [*good[:2], bytes(octets), *good[2:]]
    columns = READER.read(values)
    assert columns.good[[0, 1, 3, 4]].all(), "one record's octets spoil another"
    assert [record(columns, at).id for at in (0, 1, 3, 4)] == ["0", "1", "2", "3"]
    if columns.good[2]:
        assert repr(record(columns, 2)) == repr(CODEC.decode(values[2]))


def with_nulls(*places: int) -> IntervalReadings:
    channel = Channel("1.0.1.8.0.255", nullable_longs=tuple(None if at in places else at * 1_000 for at in range(96)))
    return replace(PROFILE, rows=96, channels=(channel, channel), statuses=())


def test_missing_values_stand_where_they_are_in_each_record() -> None:
    batch = [with_nulls(*places) for places in ((), (0,), (95,), tuple(range(96)), (3, 4, 50), (1,))]
    columns = READER.read([CODEC.encode(reading) for reading in batch])
    assert columns.good.all()
    assert [record(columns, at) for at in range(len(batch))] == batch


@pytest.mark.parametrize("cut", range(0, len(CODEC.encode(PROFILE)), 3))
def test_a_record_that_is_cut_off_is_left_out(cut: int) -> None:
    whole = CODEC.encode(PROFILE)
    columns = READER.read([whole, whole[:cut], whole])
    assert columns.good.tolist() == [True, False, True]
    with pytest.raises(CodecError):
        CODEC.decode(whole[:cut])


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b"junk",
        b"\0\0\0\xff\xff" + CODEC.encode(PROFILE)[5:],
        CODEC.encode(PROFILE) + b"\0",
        CODEC.encode(replace(PROFILE, meter_id="mø1")),
        CODEC.encode(replace(PROFILE, statuses=(2**63 - 1,))),
        CODEC.encode(replace(PROFILE, channels=(Channel("a", texts=("AB",)),))),
        CODEC.encode(replace(PROFILE, channels=(Channel("a"),) * 65)),
    ],
    ids=["none", "empty", "junk", "another schema", "more behind", "not ASCII", "64 bits", "texts", "very many channels"],
)
def test_what_is_odd_is_left_to_others(value: bytes | None) -> None:
    columns = READER.read([CODEC.encode(PROFILE), value])
    assert columns.good.tolist() == [True, False]


def test_an_array_in_several_blocks_is_left_to_others() -> None:
    """Avro allows it (specification, complex types, arrays), and counts below zero with a size behind them."""
    value = CODEC.encode(replace(PROFILE, statuses=(1,), job_id="", channels=()))
    at = value.rindex(b"\x02\x02\x00")  # one status, 1, no more
    for blocks in (b"\x02\x02\x02\x04\x00", b"\x01\x02\x02\x00"):
        other = value[:at] + blocks + value[at + 3 :]
        assert isinstance(CODEC.decode(other), IntervalReadings)
        assert READER.read([value, other]).good.tolist() == [True, False]


def test_no_values_are_no_columns() -> None:
    assert not READER.read([]).good.any()
    assert READER.read([None]).good.tolist() == [False]


@pytest.mark.parametrize("kind", ["bytes", "double", {"type": "map", "values": "long"}, ["null", "string"]], ids=str)
def test_a_schema_with_what_is_not_read_is_refused(kind: object) -> None:
    with pytest.raises(ValueError, match="is not read in columns"):
        ColumnReader(1, {"type": "record", "name": "A", "fields": [{"name": "a", "type": kind}]})
