"""Many Avro bodies of one schema read at once into numpy columns: no Python object a value, few steps a batch.

All records of a batch are walked in lockstep: a step reads one field of every record, as arithmetic on arrays of positions.
The octets below 0x80 end variable-length integers; numpy finds them all once, so an array of 96 longs is skipped by its
count and decoded later, with those of all other records.

What is read is read as fastavro reads it. What is odd (cut off, of another shape, of several blocks, not ASCII, longer than
what a meter says) is left out and told, for a reader that takes any record one by one: nothing here raises for octets.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Longs: TypeAlias = NDArray[np.int64]
Mask: TypeAlias = NDArray[np.bool_]

_HEADER = 5  # 0x00 and the schema id
_MOST_CHILDREN = 64
"""Records of an array within a record; each more is a step for the whole batch."""
_MOST_NULLABLE = 512
"""Items of an array of unions, likewise."""
_FEW = 4
"""Fewer records than this are not worth a step an item."""
_LONGEST = 9
"""Octets of an integer; ten hold only what is near 2**63, and more than fits."""


@dataclass(frozen=True, slots=True)
class Texts:
    """Strings, one a record, where they stand in `octets`."""

    octets: bytes
    starts: Longs
    lengths: Longs

    def raw(self) -> list[bytes]:
        """Each as octets, all ASCII."""
        octets = self.octets
        starts = self.starts.tolist()
        return [octets[at : at + size] for at, size in zip(starts, self.lengths.tolist(), strict=True)]


@dataclass(frozen=True, slots=True)
class Symbols:
    """Enums, one a record."""

    symbols: tuple[str, ...]
    indices: Longs


@dataclass(frozen=True, slots=True)
class Optional:
    """Unions of null and long, one a record: 0 where `missing`."""

    values: Longs
    missing: Mask


@dataclass(frozen=True, slots=True)
class Arrays:
    """Arrays of longs, one a record: `counts` items of it, the first of them the integer `first` of the batch."""

    octets: _Octets
    first: Longs
    counts: Longs

    def flat(self, records: Longs) -> Longs:
        """The items of these records, one record after the other."""
        return self.octets.decoded(spans(self.first[records], self.counts[records]))

    def least_and_most(self) -> tuple[Longs, Longs]:
        """The smallest and the largest item of each record; of one without items, 0."""
        least = np.zeros(len(self.counts), np.int64)
        most = least.copy()
        some = np.flatnonzero(self.counts)
        if len(some):
            items, counts = self.flat(some), self.counts[some]
            starts = np.cumsum(counts) - counts
            least[some], most[some] = np.minimum.reduceat(items, starts), np.maximum.reduceat(items, starts)
        return least, most


@dataclass(frozen=True, slots=True)
class NullableArrays:
    """Arrays of unions of null and long, one a record. `places` has, item by item, the integer of the batch; -1 is null."""

    octets: _Octets
    places: NDArray[np.int32]
    counts: Longs

    def flat(self, records: Longs) -> tuple[Longs, Mask]:
        """The items of these records, one record after the other, 0 where missing; and which are missing."""
        width = self.places.shape[1]
        places = self.places[records][np.arange(width) < self.counts[records, None]].astype(np.int64)
        missing = places < 0
        values = np.zeros(len(places), np.int64)
        values[~missing] = self.octets.decoded(places[~missing])
        return values, missing


@dataclass(frozen=True, slots=True)
class Doubles:
    """Arrays of doubles, one a record: `counts` items from octet `starts` on."""

    octets: _Octets
    starts: Longs
    counts: Longs

    def flat(self, records: Longs) -> NDArray[np.float64]:
        """The items of these records, one record after the other."""
        counts = self.counts[records]
        at = np.repeat(self.starts[records] - 8 * (np.cumsum(counts) - counts), counts) + 8 * np.arange(counts.sum())
        values: NDArray[np.float64] = self.octets.words[at].view(np.float64)
        return values


@dataclass(frozen=True, slots=True)
class Children:
    """The records in an array of a record, of all records: `owners` says whose each is, `numbers` which of its."""

    owners: Longs
    numbers: Longs
    counts: Longs
    """How many each owner has."""
    columns: Table


Column: TypeAlias = Longs | Texts | Symbols | Optional | Arrays | NullableArrays | Doubles | Children
Table: TypeAlias = Mapping[str, Column]
"""Columns by field."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What was read: `good` tells of each value whether it was; columns have an entry for all, of which only those count."""

    good: Mask
    table: Table


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
        octets = _Octets(b"".join(ours))
        ends = np.cumsum(np.fromiter(map(len, ours), np.int64, len(ours)))
        starts = ends - np.diff(ends, prepend=0)
        cursor = _Cursor(octets, np.minimum(starts + _HEADER, ends), ends, ends - starts <= _HEADER)
        table = self._read(cursor)
        return Batch(~cursor.odd & (cursor.at == cursor.end), table)


def spans(first: Longs, counts: Longs) -> Longs:
    """`first[i]`, `first[i] + 1`, …, `counts[i]` of them, for each i."""
    return np.repeat(first - (np.cumsum(counts) - counts), counts) + np.arange(counts.sum())


class _Octets:
    """The octets of a batch, and where its integers end."""

    __slots__ = ("before", "ends", "giants", "octets", "raw", "words")

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        self.octets = np.frombuffer(raw + bytes(16), np.uint8)  # so that whatever begins here ends here, and words do
        low = self.octets < 0x80
        self.ends: Longs = np.flatnonzero(low)
        """Of each integer, its last octet, were there nothing but integers."""
        self.before = np.empty(len(low) + 1, np.int64)
        """How many integers end before an octet."""
        self.before[0] = 0
        np.cumsum(low, out=self.before[1:])
        self.words = np.ndarray((len(self.octets) - 7,), "<u8", self.octets, strides=(1,))
        """The eight octets from each octet on."""
        self.giants = bool(np.diff(self.ends).max(initial=0) > _LONGEST)

    def decoded(self, places: Longs) -> Longs:
        """The integers of these places, none of them the first of the batch."""
        starts = self.ends.take(places - 1) + 1
        return self.integers(starts, self.ends.take(places) - starts + 1)

    def integers(self, starts: Longs, lengths: Longs) -> Longs:
        """Zigzag integers of so many octets, at most nine, from these octets on."""
        longest = int(lengths.max(initial=1))
        if longest <= 4:
            narrow = self.words[starts].astype(np.uint32)
            narrow &= _MASKS_4.take(lengths)
            narrow = (narrow & _U32(0x007F_007F)) | ((narrow & _U32(0x7F00_7F00)) >> _U32(1))
            narrow = (narrow & _U32(0x0000_3FFF)) | ((narrow & _U32(0x3FFF_0000)) >> _U32(2))
            return ((narrow >> _U32(1)).view(np.int32) ^ -(narrow & _U32(1)).view(np.int32)).astype(np.int64)
        words = self.words[starts]
        words &= _MASKS_8.take(np.minimum(lengths, 8))
        for low, high, shift in _GATHER:
            words = (words & low) | ((words & high) >> shift)
        if longest > 8:
            long = np.flatnonzero(lengths > 8)
            words[long] |= self.octets[starts[long] + 8].astype(np.uint64) << _U64(56)
        return (words >> _U64(1)).view(np.int64) ^ -(words & _U64(1)).view(np.int64)


_U32, _U64 = np.uint32, np.uint64
_MASKS_8 = np.array([sum(0x7F << 8 * at for at in range(size)) for size in range(9)], np.uint64)
_MASKS_4 = _MASKS_8[:5].astype(np.uint32)
_GATHER = tuple(
    (_U64(low), _U64(high), _U64(shift))
    for low, high, shift in (
        (0x007F_007F_007F_007F, 0x7F00_7F00_7F00_7F00, 1),
        (0x0000_3FFF_0000_3FFF, 0x3FFF_0000_3FFF_0000, 2),
        (0x0000_0000_0FFF_FFFF, 0x0FFF_FFFF_0000_0000, 4),
    )
)
"""Sevens become fourteens, then twenty-eights, then all."""


class _Cursor:
    """Where each record is read; `odd` ones stay where they are and mean nothing any more."""

    __slots__ = ("at", "end", "octets", "odd")

    def __init__(self, octets: _Octets, at: Longs, end: Longs, odd: Mask) -> None:
        self.octets, self.at, self.end, self.odd = octets, at, end, odd

    def integers(self) -> Longs:
        """The next integer of each."""
        octets = self.octets
        last = octets.ends.take(octets.before.take(self.at))
        lengths = last - self.at + 1
        self.refuse((last >= self.end) | (lengths > _LONGEST))
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
        too_long = ends.take(places) - ends.take(places - 1) > _LONGEST
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
        wrong = (branch > 2) | (branch == 1) | (end >= cursor.end[still]) | (end - at > _LONGEST)
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
