"""A profile's column in the one type that holds all its rows: integers, floats or text; what is missing stays missing."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Any, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from connectors.protocols.dlms import axdr
from connectors.protocols.dlms.gaps import Gaps
from connectors.protocols.dlms.profile_rows import INT64_MAX, Cell, Column

Values: TypeAlias = "NDArray[np.int64] | NDArray[np.float64] | Gaps | tuple[str | None, ...]"
"""Integers, with gaps where some rows lack one; floats with NaN; text with None, octets as upper-case hex."""

__all__ = ["Cell", "Column", "Values", "cell", "patched", "settled", "whole_numbers"]


def cell(value: axdr.Value) -> Cell:
    """A decoded value as a cell."""
    if isinstance(value, int):
        return int(value) if value <= INT64_MAX else str(value)
    if isinstance(value, axdr.Structure | axdr.Array):
        return axdr.encode(value)
    return bytes(value) if isinstance(value, bytes) else value


def patched(column: Column, rows: Sequence[int], cells: Sequence[Cell], *, whole: bool) -> Column:
    """A column with the cells of odd rows in their places. `whole`: all are whole numbers within int64, or None."""
    if isinstance(column, np.ndarray) and not whole:
        column = column.tolist()
    found: Any = column
    if isinstance(column, list):
        for row, cell_ in zip(rows, cells, strict=True):
            found[row] = cell_
        return column
    lacking = []
    for row, cell_ in zip(rows, cells, strict=True):
        if cell_ is None:
            lacking.append(row)
        else:
            found[row] = cell_
    if not lacking:
        return column
    missing = np.zeros(len(found), np.bool_)
    missing[lacking] = True
    return Gaps(found, missing)


def settled(column: list[Cell], *, repeats: bool) -> Values:
    """The values in their one type. `repeats`: what is missing is as in the row before."""
    if repeats:
        column = _repeated(column)
    kinds = set(map(type, column))
    if kinds == {int}:
        return np.frombuffer(array("q", cast("list[int]", column)), np.int64)
    missing = type(None) in kinds
    kinds.discard(type(None))
    if kinds == {int} or not kinds:
        return Gaps.of(cast("list[int | None]", column))
    if kinds <= {int, float}:
        return np.array([np.nan if item is None else item for item in column] if missing else column, np.float64)
    return tuple(None if item is None else _text(item) for item in column)


def whole_numbers(column: Column, *, repeats: bool) -> NDArray[np.int64] | None:
    """The values where each row has a whole number, or a bit-string: the number that its bits make. Else None."""
    values: Any = column
    if isinstance(column, list):
        values = settled([_number(item) if isinstance(item, axdr.BitString) else item for item in column], repeats=repeats)
    return values if isinstance(values, np.ndarray) and values.dtype == np.int64 else None


def _repeated(column: Sequence[Cell]) -> list[Cell]:
    whole = list(column)
    for i in range(1, len(whole)):
        if whole[i] is None:
            whole[i] = whole[i - 1]
    return whole


def _number(bits: axdr.BitString) -> int:
    return int.from_bytes(bits.value, "big") >> (-bits.length % 8)


def _text(item: int | float | str | bytes | axdr.BitString) -> str:
    if isinstance(item, bytes):
        return item.hex().upper()
    if isinstance(item, axdr.BitString):
        return item.value.hex().upper()
    return str(item)
