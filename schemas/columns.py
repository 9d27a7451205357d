"""Columns of a batch of Avro bodies, decoded when their items are asked for: no Python object a value.

The octets below 0x80 end variable-length integers; numpy finds them all once, so an array of 96 longs is known by its first
integer and its count, and decoded later, with those of all other records.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Longs: TypeAlias = NDArray[np.int64]
Mask: TypeAlias = NDArray[np.bool_]

LONGEST = 9
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

    octets: Octets
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

    octets: Octets
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

    octets: Octets
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


def spans(first: Longs, counts: Longs) -> Longs:
    """`first[i]`, `first[i] + 1`, …, `counts[i]` of them, for each i."""
    return np.repeat(first - (np.cumsum(counts) - counts), counts) + np.arange(counts.sum())


class Octets:
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
        self.giants = bool(np.diff(self.ends).max(initial=0) > LONGEST)

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
