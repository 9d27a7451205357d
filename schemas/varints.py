"""Avro's integers: zigzag, seven bits an octet, lowest first; one by one, and whole columns with numpy."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from schemas.longs import Longs

_SMALL = 1 << 13
_LEAST, _MOST = -(1 << 63), (1 << 63) - 1


def varint(value: int) -> bytes:
    """An int or long of Avro. OverflowError beyond 64 bits, TypeError where it is no whole number."""
    if -_SMALL <= value < _SMALL:
        return _KNOWN[value]
    return _large(value)


def varints(columns: Sequence[tuple[Longs, bool]]) -> list[bytes]:
    """The items of an Avro array for each column (at least one, none of them empty); as unions of null and long where that
    is said. A column with missing values is a union.
    """
    kinds = b"".join([_kinds(column, union=union) for column, union in columns])
    numbers = np.frombuffer(b"".join([column.packed for column, _ in columns]), "<i8")
    octets, after = _octets_of(numbers, np.frombuffer(kinds, np.uint8) if any(union for _, union in columns) else None)
    row = at = 0
    found = []
    for column, _ in columns:
        row += len(column)
        found.append(octets[at : (at := int(after[row - 1]))])
    return found


_LONG, _VALUE, _NULL = range(3)
"""What a number is: no union, or its branch."""
_MISSING = bytes((_VALUE, _NULL)) + bytes(254)


def _kinds(column: Longs, *, union: bool) -> bytes:
    if not union:
        return bytes(len(column))
    return column.missing.translate(_MISSING) if column.missing else bytes((_VALUE,)) * len(column)


def _octets_of(numbers: NDArray[np.int64], kinds: NDArray[np.uint8] | None) -> tuple[bytes, NDArray[np.int64]]:
    """All octets, and where each number's end.

    The seven-bit groups of a number are spread over the eight octets of a word, all numbers at once, and octets that are
    not needed are left out. Numbers too long for that (none that a meter counts) go one by one.
    """
    words = ((numbers << 1) ^ (numbers >> 63)).view(np.uint64)
    if words.max() >> _LONGEST:
        return _one_by_one(numbers.tolist(), None if kinds is None else kinds.tolist())
    # The exponent of a float is the number of bits, which no rounding disturbs below 53 of them.
    lengths = _OCTETS.take((words.astype(np.float64).view(np.uint64) >> _FRACTION).view(np.int64))
    for mask, shift in _SPREAD:
        words = (words & mask) | ((words & ~mask) << shift)
    words |= _MORE.take(lengths)
    if kinds is not None:
        words = (words << _BEFORE.take(kinds)) | _BRANCH.take(kinds)
        lengths += kinds != _LONG
        null = (kinds == _NULL).nonzero()[0]
        words[null], lengths[null] = 0, 1
    octets = words.astype("<u8", copy=False).view(np.uint8).compress(_KEPT.take(lengths, 0).ravel())
    return octets.tobytes(), lengths.cumsum()


_LONGEST = np.uint64(49)
"""Bits: seven octets, so that the branch of a union has room before them."""
_FRACTION, _BIAS = np.uint64(52), 1022
"""Of a float: bits of its fraction, and its exponent less the bits of a whole number."""
_OCTETS = np.ones(_BIAS + 50, np.int64)
_OCTETS[_BIAS + 1 :] = [(bits + 6) // 7 for bits in range(1, 50)]
"""How many octets a number takes, by the exponent; 0 takes one."""
_SPREAD = tuple(
    (np.uint64(mask), np.uint64(shift))
    for mask, shift in ((0x0FFF_FFFF, 4), (0x3FFF_0000_3FFF, 2), (0x7F_007F_007F_007F, 1))
)
"""Halves, then quarters, then eighths of the number to where halves, quarters and eighths of the word begin."""
_MORE = np.array([sum(0x80 << 8 * place for place in range(octets - 1)) for octets in range(8)], np.uint64)
"""The bits that say that an octet follows, by how many there are."""
_KEPT = np.arange(8) < np.arange(9)[:, None]
_BEFORE, _BRANCH = np.array([0, 8, 0], np.uint64), np.array([0, 2, 0], np.uint64)
"""By kind: bits that the branch of a union takes before the number, and that branch."""


def _one_by_one(numbers: Sequence[int], kinds: Sequence[int] | None) -> tuple[bytes, NDArray[np.int64]]:
    octets = list(map(varint, numbers))
    if kinds is not None:
        octets = [(one, b"\2" + one, b"\0")[kind] for one, kind in zip(octets, kinds, strict=True)]
    return b"".join(octets), np.cumsum([len(one) for one in octets])


@lru_cache(maxsize=4_096)
def _large(value: int) -> bytes:
    """Mostly a time, which a record has more than once."""
    if not _LEAST <= value <= _MOST:
        raise OverflowError(f"{value} does not fit a long")
    zigzag = (value << 1) ^ (value >> 63)
    out = bytearray()
    while zigzag > 0x7F:
        out.append(zigzag & 0x7F | 0x80)
        zigzag >>= 7
    out.append(zigzag)
    return bytes(out)


def _small(value: int) -> bytes:
    zigzag = (value << 1) ^ (value >> 63)
    return bytes((zigzag,)) if zigzag < 0x80 else bytes((zigzag & 0x7F | 0x80, zigzag >> 7))


_KNOWN = [_small(value) for value in (*range(_SMALL), *range(-_SMALL, 0))]
"""Of small numbers; Python's negative indices find the negative ones."""
