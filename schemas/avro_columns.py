"""Many Avro bodies of one schema read at once into columns (`schemas.columns`), in few steps a batch.

All records of a batch are walked in lockstep: a step reads one field of every record, as arithmetic on arrays of positions.

What is read is read as fastavro reads it. What is odd (cut off, of another shape, of several blocks, not ASCII, longer than
what a meter says) is left out and told, for a reader that takes any record one by one: nothing here raises for octets.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from schemas.columns import (
    LONGEST,
    Arrays,
    Batch,
    Children,
    Column,
    Doubles,
    Longs,
    Mask,
    NullableArrays,
    Octets,
    Optional,
    Symbols,
    Texts,
    spans,
)

_HEADER = 5  # 0x00 and the schema id
_MOST_CHILDREN = 64
"""Records of an array within a record; each more is a step for the whole batch."""
_MOST_NULLABLE = 512
"""Items of an array of unions, likewise."""
_FEW = 4
"""Fewer records than this are not worth a step an item."""


class ColumnReader:
    """Reads values of one schema, as `schemas.registry.avsc` has it, in the Confluent format.

    Known are records of strings, longs, enums, unions of null and long, and arrays of longs, of such unions, of doubles, of
    strings (empty ones) and of such records. `ValueError` for a schema with anything else.
    """

    def __init__(self, schema_id: int, schema: Mapping[str, Any]) -> None:
        self._header = b"\0" + schema_id.to_bytes(4)
        self._read = _record(schema)

    def read(self, values: Sequence[bytes | None]) -> Batch:
        """Columns of all values that are read here; the others are not `good`."""
        ours = [value if value is not None and value[:_HEADER] == self._header else b"" for value in values]
        octets = Octets(b"".join(ours))
        ends = np.cumsum(np.fromiter(map(len, ours), np.int64, len(ours)))
        starts = ends - np.diff(ends, prepend=0)
        cursor = _Cursor(octets, np.minimum(starts + _HEADER, ends), ends, ends - starts <= _HEADER)
        table = self._read(cursor)
        return Batch(~cursor.odd & (cursor.at == cursor.end), table)


class _Cursor:
    """Where each record is read; `odd` ones stay where they are and mean nothing any more."""

    __slots__ = ("at", "end", "octets", "odd")

    def __init__(self, octets: Octets, at: Longs, end: Longs, odd: Mask) -> None:
        self.octets, self.at, self.end, self.odd = octets, at, end, odd

    def integers(self) -> Longs:
        """The next integer of each."""
        octets = self.octets
        last = octets.ends.take(octets.before.take(self.at))
        lengths = last - self.at + 1
        self.refuse((last >= self.end) | (lengths > LONGEST))
        lengths = np.where(self.odd, 1, lengths)
        values = octets.integers(self.at, lengths)
        self._skip(lengths)
        values[self.odd] = 0
        return values

    def counts(self, least: int) -> Longs:
        """The next integer of each, which counts items of at least so many octets; never more than there is room for."""
        counts = self.integers()
        self.refuse((counts < 0) | (counts > (self.end - self.at) // least))
        return np.where(self.odd, 0, counts)

    def skip(self, octets: Longs) -> None:
        """Go on by so many octets, which `counts` has found to be there."""
        self._skip(octets)

    def _skip(self, octets: Longs) -> None:
        self.at = np.where(self.odd, self.at, self.at + octets)

    def refuse(self, odd: Mask) -> None:
        """Leave these records out."""
        self.odd = self.odd | odd

    def closed(self, counts: Longs) -> None:
        """The end of an array: after a block, one of no items must come."""
        some = np.flatnonzero((counts > 0) & ~self.odd)
        at = self.at[some]
        there = at < self.end[some]
        self.odd[some[~there | (self.octets.octets.take(at) != 0)]] = True
        self.at[some] += 1

    def part(self, which: Longs) -> _Cursor:
        """A cursor for some of the records."""
        return _Cursor(self.octets, self.at[which], self.end[which], self.odd[which])

    def join(self, which: Longs, part: _Cursor) -> None:
        """Take over where a part stands."""
        self.at[which], self.odd[which] = part.at, part.odd


_Read: TypeAlias = Callable[[_Cursor], Any]


def _record(schema: Mapping[str, Any]) -> Callable[[_Cursor], dict[str, Column]]:
    fields = [(field["name"], _reader(field["type"])) for field in schema["fields"]]

    def read(cursor: _Cursor) -> dict[str, Column]:
        return {name: field(cursor) for name, field in fields}

    return read


def _reader(schema: Any) -> _Read:
    schema = _plain(schema)
    if schema in ("long", "int"):
        return _Cursor.integers
    if schema == "string":
        return _text
    if schema == ["null", "long"]:
        return _optional
    if isinstance(schema, Mapping) and schema["type"] == "enum":
        return _enum(tuple(schema["symbols"]))
    if isinstance(schema, Mapping) and schema["type"] == "array":
        return _array(_plain(schema["items"]))
    raise ValueError(f"{schema} is not read in columns")


def _plain(schema: Any) -> Any:
    """A primitive's name, also where it is written as an object."""
    if isinstance(schema, list):
        return [_plain(branch) for branch in schema]
    return (
        schema["type"] if isinstance(schema, Mapping) and schema["type"] in ("long", "int", "string", "double") else schema
    )


def _text(cursor: _Cursor) -> Texts:
    lengths = cursor.counts(1)
    starts = cursor.at
    before = cursor.octets.before
    cursor.refuse(before.take(starts + lengths) - before.take(starts) != lengths)  # ASCII only
    cursor.skip(lengths)
    return Texts(cursor.octets.raw, starts, lengths)


def _enum(symbols: tuple[str, ...]) -> _Read:
    def read(cursor: _Cursor) -> Symbols:
        indices = cursor.integers()
        cursor.refuse((indices < 0) | (indices >= len(symbols)))
        return Symbols(symbols, np.where(cursor.odd, 0, indices))

    return read


def _optional(cursor: _Cursor) -> Optional:
    branches = cursor.integers()
    cursor.refuse((branches != 0) & (branches != 1))
    values = np.zeros(len(branches), np.int64)
    some = np.flatnonzero((branches == 1) & ~cursor.odd)
    if len(some):
        part = cursor.part(some)
        values[some] = part.integers()
        cursor.join(some, part)
    return Optional(values, branches == 0)


def _array(items: Any) -> _Read:
    if items == "long":
        return _longs
    if items == "double":
        return _doubles
    if items == "string":
        return _no_strings
    if items == ["null", "long"]:
        return _nullables
    if isinstance(items, Mapping) and items["type"] == "record":
        return _children(_record(items))
    raise ValueError(f"an array of {items} is not read in columns")


def _longs(cursor: _Cursor) -> Arrays:
    counts = cursor.counts(1)
    octets = cursor.octets
    first = octets.before.take(cursor.at)
    some = np.flatnonzero(counts)
    if len(some):
        last = octets.ends.take(np.minimum(first[some] + counts[some], len(octets.ends)) - 1)
        whole = last < cursor.end[some]
        cursor.odd[some[~whole]] = True
        cursor.at[some[whole]] = last[whole] + 1
        counts[some[~whole]] = 0
        cursor.closed(counts)
        _no_giants(cursor, first, counts)
    return Arrays(octets, first, counts)


def _no_giants(cursor: _Cursor, first: Longs, counts: Longs) -> None:
    """Refuse arrays with an integer that is too long."""
    if cursor.octets.giants:
        some, ends = np.flatnonzero(counts), cursor.octets.ends
        places = spans(first[some], counts[some])
        too_long = ends.take(places) - ends.take(places - 1) > LONGEST
        cursor.odd[np.repeat(some, counts[some])[too_long]] = True


def _doubles(cursor: _Cursor) -> Doubles:
    counts = cursor.counts(8)
    starts = cursor.at
    cursor.skip(8 * counts)
    cursor.closed(counts)
    return Doubles(cursor.octets, starts, counts)


def _no_strings(cursor: _Cursor) -> Longs:
    counts = cursor.counts(1)
    cursor.refuse(counts > 0)
    return counts


def _nullables(cursor: _Cursor) -> NullableArrays:
    counts = cursor.counts(1)
    octets = cursor.octets
    some = np.flatnonzero(counts)
    if len(some) < _FEW:
        cursor.odd[some] = True
        counts[some] = 0
        return NullableArrays(octets, np.zeros((len(counts), 0), np.int32), counts)
    cursor.refuse(counts > _MOST_NULLABLE)
    counts[cursor.odd] = 0
    most = int(counts.max(initial=0))
    places = np.full((len(counts), most), -1, np.int32)
    last = len(octets.ends) - 1
    for item in range(most):
        still = np.flatnonzero(counts > item)
        at = cursor.at[still]
        place = octets.before.take(at)
        branch = octets.octets.take(at)
        value = branch == 2
        place += value
        places[still[value], item] = place[value]
        end = octets.ends.take(np.minimum(place, last))
        wrong = (branch > 2) | (branch == 1) | (end >= cursor.end[still]) | (end - at > LONGEST)
        if wrong.any():
            cursor.odd[still[wrong]] = True
            counts[still[wrong]] = 0
            still, end = still[~wrong], end[~wrong]
        cursor.at[still] = end + 1
    cursor.closed(counts)
    return NullableArrays(octets, places, counts)


def _children(read: Callable[[_Cursor], dict[str, Column]]) -> _Read:
    def of_all(cursor: _Cursor) -> Children:
        counts = cursor.counts(1)
        cursor.refuse(counts > _MOST_CHILDREN)
        counts[cursor.odd] = 0
        owners, tables = [np.zeros(0, np.int64)], []
        for number in range(int(counts.max(initial=0))):
            still = np.flatnonzero(counts > number)
            part = cursor.part(still)
            tables.append(read(part))
            cursor.join(still, part)
            owners.append(still)
        cursor.closed(counts)
        if not tables:
            empty = np.zeros(0, np.int64)
            tables.append(read(_Cursor(cursor.octets, empty, empty, empty.astype(np.bool_))))
        numbers = np.repeat(np.arange(len(owners) - 1), [len(some) for some in owners[1:]])
        columns = {name: _joined([table[name] for table in tables]) for name in tables[0]}
        return Children(np.concatenate(owners), numbers, counts, columns)

    return of_all


def _joined(parts: Sequence[Any]) -> Any:
    """Columns of the same kind, one below the other."""
    first = parts[0]
    if len(parts) == 1:
        return first
    if isinstance(first, np.ndarray):
        return np.concatenate(parts)
    if isinstance(first, NullableArrays):
        width = max(part.places.shape[1] for part in parts)
        places = [np.pad(part.places, ((0, 0), (0, width - part.places.shape[1])), constant_values=-1) for part in parts]
        return NullableArrays(first.octets, np.concatenate(places), np.concatenate([part.counts for part in parts]))
    values = [getattr(first, name) for name in type(first).__slots__]
    return type(first)(
        *(
            np.concatenate([getattr(part, name) for part in parts]) if isinstance(value, np.ndarray) else value
            for name, value in zip(type(first).__slots__, values, strict=True)
        )
    )
