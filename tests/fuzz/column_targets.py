"""Targets of the sink: values of a topic, read in columns, against the reader that takes them one by one."""

from __future__ import annotations

from functools import cache

import numpy as np

from connectors.clickhouse.columns import rows_of
from connectors.clickhouse.interval_batch import TABLES, IntervalBatch
from connectors.clickhouse.intervals import check_intervals, interval_columns
from schemas.avro_columns import ColumnReader
from schemas.codec import Codec
from schemas.records import Channel, IntervalReadings
from schemas.registry import MemoryRegistry, avsc
from tests.fuzz.harness import MAX_INPUT, Target, expect

_CODEC = Codec(MemoryRegistry())
_GOOD = IntervalReadings(
    id="good", meter_id="m1", first_end=900_000, period_s=900, rows=2, channels=(Channel("1.0.1.8.0.255", longs=(5, 6)),)
)


@cache
def _reader() -> ColumnReader:
    return ColumnReader(_CODEC.id_of(IntervalReadings), avsc("IntervalReadings"))


@cache
def _header_and_good() -> tuple[bytes, bytes]:
    good = _CODEC.encode(_GOOD)
    return good[:5], good


def run_columns(data: bytes) -> None:
    """A body between good ones: they keep their rows, and it has those that the other way makes, or is left to that."""
    header, good = _header_and_good()
    value = header + data[:MAX_INPUT]
    batch = IntervalBatch(_reader().read([good, value, good]))
    expect(bool(batch.good[[0, 2]].all()), "octets of one record spoil another")
    expect(rows_of(batch.columns([0, 2], "intervals")) == 4, "the good ones have two rows each")
    if not batch.good[1]:
        return
    record = _CODEC.decode(value)
    expect(isinstance(record, IntervalReadings), "it is what its schema id says")
    assert isinstance(record, IntervalReadings)
    check_intervals(record)
    for table in TABLES:
        wide, one = batch.columns([1], table), interval_columns([record], table)
        expect(bool(wide) == bool(one), "both ways make rows, or neither")
        if wide:
            ours, theirs = (np.sort(np.asarray(made["value"])) for made in (wide, one))
            expect(bool(np.array_equal(ours, theirs)), "both ways make the same values")


TARGETS = (Target("columns", run_columns, 2),)
