"""A column of whole numbers as octets, for records that are made to be written: no Python object a value.

Where a record's field is a tuple of longs, nullable or not, whoever makes many of them may put such a column there: it reads
as that tuple does, its octets are what an id is made of, and the Avro writer takes them as they are. A record that was read
has tuples.
"""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, cast

_WIDTH = 8
_ITEM = struct.Struct("<q")


class Longs(Sequence[Any]):
    """Whole numbers of 64 bit. `packed` has eight octets a row, little endian, zeros where the row has no value; `missing`
    an octet a row, 1 where it has none, or nothing where all have.
    """

    __slots__ = ("missing", "packed")

    def __init__(self, packed: bytes, missing: bytes = b"") -> None:
        self.packed = packed
        self.missing = missing

    @classmethod
    def of(cls, values: Iterable[int | None]) -> Longs:
        """The column of these values. Raises TypeError where one is no whole number, OverflowError beyond 64 bits."""
        values = tuple(values)
        missing = b""
        if None in values:
            missing = bytes([value is None for value in values])
            values = tuple([0 if value is None else value for value in values])
        numbers = array("q", cast("tuple[int, ...]", values))
        if sys.byteorder == "big":
            numbers.byteswap()
        return cls(numbers.tobytes(), missing)

    @property
    def column(self) -> tuple[Any, ...]:
        """Itself, as the type that records declare."""
        return cast("tuple[Any, ...]", self)

    def __len__(self) -> int:
        return len(self.packed) // _WIDTH

    def __getitem__(self, at: Any) -> Any:
        if isinstance(at, slice):
            first, after, step = at.indices(len(self))
            if step != 1:
                return Longs.of(tuple(self)[at])
            return Longs(self.packed[_WIDTH * first : _WIDTH * max(first, after)], self.missing[first:after])
        row = range(len(self))[at]
        return None if self.missing and self.missing[row] else _ITEM.unpack_from(self.packed, _WIDTH * row)[0]

    def __iter__(self) -> Iterator[int | None]:
        numbers = array("q", self.packed)
        if sys.byteorder == "big":
            numbers.byteswap()
        if not self.missing:
            return iter(numbers)
        return iter([None if lacks else number for number, lacks in zip(numbers, self.missing, strict=True)])

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Longs):
            return self.packed == other.packed and tuple(self) == tuple(other)
        return tuple(self) == other if isinstance(other, tuple) else NotImplemented

    def __hash__(self) -> int:
        return hash(tuple(self))

    def __repr__(self) -> str:
        return f"Longs.of({tuple(self)!r})"
