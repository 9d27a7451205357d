"""A column of octets reads as the tuple that it stands for, and is written as that tuple is."""

from __future__ import annotations

from io import BytesIO

import fastavro
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.avro_writer import compiled
from schemas.codec import _parsed, plain
from schemas.longs import Longs
from schemas.records import Channel, IntervalReadings
from schemas.registry import avsc
from tests.unit.schemas.values import LONGS

COLUMNS = st.lists(st.one_of(st.none(), LONGS), max_size=40).map(tuple)
AT = st.one_of(st.none(), st.integers(-50, 50))


@given(COLUMNS)
def test_it_reads_as_the_tuple(values: tuple[int | None, ...]) -> None:
    column = Longs.of(values)
    assert tuple(column) == values
    assert column == values
    assert values == column
    assert len(column) == len(values)
    assert [column[row] for row in range(len(values))] == list(values)
    assert hash(column) == hash(values)
    assert eval(repr(column), {"Longs": Longs}) == column  # noqa: S307 - what we wrote ourselves


@given(COLUMNS, AT, AT, st.sampled_from([None, 1, 2, -1]))
def test_a_part_of_it_is_the_part_of_the_tuple(
    values: tuple[int | None, ...], first: int | None, after: int | None, step: int | None
) -> None:
    assert Longs.of(values)[first:after:step] == values[first:after:step]


@given(COLUMNS, COLUMNS)
def test_columns_are_one_where_the_tuples_are(one: tuple[int | None, ...], other: tuple[int | None, ...]) -> None:
    assert (Longs.of(one) == Longs.of(other)) == (one == other)


@pytest.mark.parametrize("row", [3, -4])
def test_beyond_its_rows_there_is_nothing(row: int) -> None:
    with pytest.raises(IndexError):
        Longs.of((1, None, 3))[row]


@pytest.mark.parametrize(("value", "error"), [(1.5, TypeError), ("1", TypeError), (1 << 63, OverflowError)])
def test_what_is_no_long_is_refused(value: object, error: type[Exception]) -> None:
    with pytest.raises(error):
        Longs.of((1, value))  # type: ignore[arg-type]  # that is the point


@given(st.lists(COLUMNS, min_size=1, max_size=6), st.lists(LONGS, max_size=40).map(tuple))
def test_a_record_of_columns_is_written_as_fastavro_writes_one_of_tuples(
    nullable: list[tuple[int | None, ...]], whole: tuple[int, ...]
) -> None:
    schema = _parsed(avsc("IntervalReadings"))
    tuples = IntervalReadings(ends=whole, channels=tuple(Channel(nullable_longs=some) for some in nullable), statuses=whole)
    column = Longs.of(whole).column
    columns = IntervalReadings(
        ends=column,
        channels=tuple(Channel(nullable_longs=Longs.of(some).column) for some in nullable),
        statuses=column,
    )
    out = BytesIO()
    fastavro.schemaless_writer(out, schema, plain(tuples))
    assert compiled(schema)((columns, tuples)) == [out.getvalue()] * 2
    assert plain(columns) == plain(tuples)


def test_a_gap_where_every_row_has_a_value_is_refused() -> None:
    write = compiled(_parsed(avsc("IntervalReadings")))
    with pytest.raises(TypeError):
        write((IntervalReadings(ends=Longs.of((1, None) * 20).column),))
