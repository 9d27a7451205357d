"""What our writer of Avro bodies writes is octet for octet what fastavro writes, for every record and any value."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import fastavro
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.avro_writer import compiled
from schemas.codec import _parsed, plain
from schemas.records import RECORDS, Channel, IntervalReadings
from schemas.registry import avsc
from schemas.varints import varint
from tests.unit.schemas.values import LONGS, record

COUNTED = st.integers(min_value=-(10**9), max_value=10**13)
"""What meters count."""


def theirs(schema: Any, value: Any) -> bytes:
    out = BytesIO()
    fastavro.schemaless_writer(out, schema, plain(value))
    return out.getvalue()


@pytest.mark.parametrize("name", RECORDS)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_every_record_is_written_as_fastavro_writes_it(name: str, data: st.DataObject) -> None:
    schema = _parsed(avsc(name))
    value = data.draw(record(RECORDS[name]))
    assert compiled(schema)((value, value)) == [theirs(schema, value)] * 2


@given(
    longs=st.lists(st.one_of(COUNTED, LONGS), max_size=60),
    others=st.lists(st.one_of(st.none(), COUNTED), max_size=60),
    ends=st.lists(COUNTED, max_size=60),
    wide=st.lists(st.one_of(st.none(), LONGS), max_size=60),
)
def test_columns_of_any_length_and_size(
    longs: list[int], others: list[int | None], ends: list[int], wide: list[int | None]
) -> None:
    schema = _parsed(avsc("IntervalReadings"))
    channels = (Channel(longs=tuple(longs)), Channel(nullable_longs=tuple(others)), Channel(nullable_longs=tuple(wide)))
    for some in (channels, channels[:2]):
        value = IntervalReadings(ends=tuple(ends), channels=some, statuses=tuple(longs))
        assert compiled(schema)((value, value)) == [theirs(schema, value)] * 2


EDGES = [0, 1, -1, 63, 64, -64, -65, 8191, 8192, -8192, -8193, 2**34, 2**48 - 1, 2**48, -(2**48), 2**55, 2**63 - 1, -(2**63)]


@pytest.mark.parametrize("number", EDGES)
def test_a_number_alone_and_in_a_column(number: int) -> None:
    schema = fastavro.parse_schema({"type": "array", "items": "long"})
    assert b"\2" + varint(number) + b"\0" == theirs(schema, [number])
    column = _parsed(avsc("IntervalReadings"))
    value = IntervalReadings(ends=(number,) * 40)
    assert compiled(column)((value,)) == [theirs(column, value)]


BAD = {
    "a float": (1.5,),
    "a text": ("1",),
    "nothing": (None,),
    "too large": (1 << 63,),
    "too small": (-(1 << 63) - 1,),
}


@pytest.mark.parametrize("values", BAD.values(), ids=BAD)
@pytest.mark.parametrize("length", [1, 40])
def test_what_is_no_long_is_refused(values: tuple[Any, ...], length: int) -> None:
    write = compiled(_parsed(avsc("IntervalReadings")))
    with pytest.raises((TypeError, OverflowError, ValueError)):
        write((IntervalReadings(), IntervalReadings(ends=values * length)))


UNKNOWN = {
    "fixed": {"type": "fixed", "name": "x.F", "size": 4},
    "a union of records": ["null", {"type": "record", "name": "x.R", "fields": [{"name": "a", "type": "int"}] * 2}],
    "a union of two numbers": ["int", "long"],
    "a map of what is not known": {"type": "map", "values": "x.Nobody"},
    "a name that is none": "x.Nobody",
}


@pytest.mark.parametrize("kind", UNKNOWN.values(), ids=UNKNOWN)
def test_a_schema_of_another_kind_is_refused_at_once(kind: Any) -> None:
    fields = [{"name": "a", "type": kind}, {"name": "b", "type": "int"}]
    with pytest.raises((ValueError, TypeError)):
        compiled({"type": "record", "name": "x.X", "fields": fields})
