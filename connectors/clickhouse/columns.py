"""Columns as the sink makes them, and their bytes in ClickHouse's Native format, which TCP and HTTP both speak."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.generic]
"""Integers, floats, or `datetime64[ms]`; a `numpy.ma.MaskedArray` where the table's column is Nullable."""


@dataclass(frozen=True, slots=True)
class Runs:
    """Texts of many rows, run-length encoded: `words[codes[i]]` stands in `counts[i]` rows. Words are unique."""

    words: Sequence[str]
    codes: npt.NDArray[np.int64]
    counts: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return int(self.counts.sum())

    def texts(self) -> list[str]:
        """One text a row."""
        return [self.words[code] for code in np.repeat(self.codes, self.counts).tolist()]


Column = Numbers | Runs | Sequence[str]
Columns = Mapping[str, Column]
"""Columns of one length, by name."""


class ColumnError(Exception):
    """A column cannot be written as the type that the table has for it."""


_DTYPES = {
    "Int8": "<i1",
    "Int16": "<i2",
    "Int32": "<i4",
    "Int64": "<i8",
    "UInt8": "<u1",
    "UInt16": "<u2",
    "UInt32": "<u4",
    "UInt64": "<u8",
    "Bool": "<u1",
    "Float32": "<f4",
    "Float64": "<f8",
    "DateTime": "<u4",
    "DateTime64": "<i8",
}
_WRAPPED = re.compile(r"(LowCardinality|Nullable)\((.*)\)")

# LowCardinality: keys follow in one piece with their own dictionary (ClickHouse, SerializationLowCardinality).
_DICTIONARY_VERSION = 1
_OWN_KEYS = 1 << 9
_NEW_DICTIONARY = 1 << 10


def block(columns: Columns, types: Mapping[str, str]) -> bytes:
    """A whole block as FORMAT Native takes it over HTTP: counts, then name, type and data of each column."""
    rows = rows_of(columns)
    parts = [varint(len(columns)), varint(rows)]
    for name, column in columns.items():
        if name not in types:
            raise ColumnError(f"there is no column {name}")
        parts += (text(name), text(types[name]), encode(types[name], column))
    return b"".join(parts)


def rows_of(columns: Columns) -> int:
    """How many rows the columns have; `ColumnError` where they differ."""
    lengths = {len(column) for column in columns.values()}
    if len(lengths) != 1:
        raise ColumnError(f"columns of different lengths: { {name: len(column) for name, column in columns.items()} }")
    return lengths.pop()


def encode(kind: str, column: Column) -> bytes:
    """A column's data as type `kind`. At least one row. `ColumnError` where the values may not fit the type."""
    wrapped = _WRAPPED.fullmatch(kind)
    if wrapped is None:
        return _strings(column) if kind == "String" else _numbers(kind, column)
    outer, inner = wrapped.groups()
    if outer == "LowCardinality" and inner == "String":
        return _dictionary(column)
    if outer == "Nullable":
        missing = np.ma.getmaskarray(column) if isinstance(column, np.ma.MaskedArray) else np.zeros(len(column), bool)
        values = column.filled(0) if isinstance(column, np.ma.MaskedArray) else column
        return missing.astype(np.uint8).tobytes() + encode(inner, values)
    raise ColumnError(f"the sink writes no {kind}")


def _numbers(kind: str, column: Column) -> bytes:
    base, _, arguments = kind.partition("(")
    if base not in _DTYPES or (base == "DateTime64" and not re.match(r"3\b", arguments)):
        raise ColumnError(f"the sink writes no {kind}")
    if not isinstance(column, np.ndarray):
        raise ColumnError(f"texts do not go into {kind}")
    if isinstance(column, np.ma.MaskedArray):
        raise ColumnError(f"rows without a value do not go into {kind}")
    values = column.view(np.int64) if column.dtype == "datetime64[ms]" else column
    target = np.dtype(_DTYPES[base])
    if not np.can_cast(values.dtype, target):
        raise ColumnError(f"{values.dtype} does not go into {kind}")
    return values.astype(target, copy=False).tobytes()


def _strings(column: Column) -> bytes:
    if isinstance(column, Runs):
        words = [text(word) for word in column.words]
        return b"".join(
            [words[code] * count for code, count in zip(column.codes.tolist(), column.counts.tolist(), strict=True)]
        )
    return b"".join(map(text, _texts(column)))


def _dictionary(column: Column) -> bytes:
    words: Sequence[str]
    if isinstance(column, Runs):
        words, keys = column.words, np.repeat(column.codes, column.counts)
    else:
        numbered: dict[str, int] = {}
        keys = np.array([numbered.setdefault(word, len(numbered)) for word in _texts(column)], np.int64)
        words = list(numbered)
    size = 0 if len(words) <= 1 << 8 else 1 if len(words) <= 1 << 16 else 2
    head = np.array([_DICTIONARY_VERSION, _OWN_KEYS | _NEW_DICTIONARY | size, len(words)], "<i8").tobytes()
    rows = len(keys).to_bytes(8, "little")
    return b"".join((head, *map(text, words), rows, keys.astype(("<u1", "<u2", "<u4")[size]).tobytes()))


def _texts(column: Column) -> Sequence[str]:
    if isinstance(column, Runs) or not isinstance(column, np.ndarray):
        return column.texts() if isinstance(column, Runs) else column
    raise ColumnError(f"{column.dtype} does not go into String")


def text(value: str) -> bytes:
    """A text with its length before it."""
    data = value.encode()
    return (bytes((len(data),)) if len(data) < 0x80 else varint(len(data))) + data


def varint(number: int) -> bytes:
    """An unsigned LEB128 number."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)
