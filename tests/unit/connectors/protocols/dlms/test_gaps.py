"""A column with gaps reads as a tuple with None."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from connectors.protocols.dlms.gaps import Gaps

COLUMNS = st.lists(st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1)), max_size=20).map(tuple)


@given(COLUMNS)
def test_it_reads_as_the_tuple(values: tuple[int | None, ...]) -> None:
    column = Gaps.of(values)
    assert tuple(column) == values
    assert column == values
    assert column == Gaps.of(values)
    assert [column[row] for row in range(len(column))] == list(values)
    assert column[1:] == values[1:]
    assert hash(column) == hash(values)
    assert eval(repr(column), {"Gaps": Gaps}) == column  # noqa: S307 - what we wrote ourselves


def test_rows_are_taken_with_their_gaps() -> None:
    assert Gaps.of((1, None, 3)).take(np.array([2, 1])) == (3, None)


def test_a_gap_is_no_zero() -> None:
    assert Gaps.of((0, 1)) != Gaps.of((None, 1))
    assert Gaps.of((None, 1)).numbers.tolist() == [0, 1]
