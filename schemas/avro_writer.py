"""Records to Avro bodies: a function a record class, made once from its schema; octet for octet what fastavro writes.

fastavro takes dicts and asks of each value of a column which branch of a union it is: 0.2 ms for a load profile with a
missing value, most of what a reading cost. Here a column of longs is numbers in an array, and all columns of a record
become variable-length integers in one go. Only what the .avsc files use is known; `compiled` says so of anything else.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from operator import attrgetter
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

_FEW = 16
"""Longer columns are encoded by numpy, with all others of the record."""
_SMALL = 1 << 13
_LEAST, _MOST = -(1 << 63), (1 << 63) - 1


class _Parts:
    """What bodies are put together from: octets, and columns whose octets come at the end."""

    __slots__ = ("columns", "octets")

    def __init__(self) -> None:
        self.octets: list[bytes] = []
        self.columns: list[tuple[int, Sequence[int | None], bool]] = []
        """Place among the octets, values, whether each is a union of null and long."""


_Write: TypeAlias = Callable[[Any, _Parts], None]
Encode: TypeAlias = Callable[[Sequence[Any]], list[bytes]]
"""The Avro bodies of records of one class, which cost less together. Raises what Python raises (TypeError, ValueError,
OverflowError, AttributeError, KeyError) where a field of one does not fit its schema."""


def compiled(schema: Mapping[str, Any]) -> Encode:
    """The writer of a record schema, parsed by fastavro. ValueError where the schema has what no record of ours has."""
    write = _writer(schema, {})

    def encode(records: Sequence[Any]) -> list[bytes]:
        parts = _Parts()
        ends = []
        for record in records:
            write(record, parts)
            ends.append(len(parts.octets))
        if parts.columns:
            _fill(parts)
        octets, start = parts.octets, 0
        return [b"".join(octets[start : (start := end)]) for end in ends]

    return encode


def _writer(schema: Any, named: dict[str, _Write]) -> _Write:
    if isinstance(schema, str):
        found = _SIMPLE.get(schema) or named.get(schema)
        if found is None:
            raise ValueError(f"the type {schema!r} is not written here")
        return found
    if isinstance(schema, list):
        return _union(schema, named)
    kind = schema["type"]
    complex_type = _COMPLEX.get(kind) if isinstance(kind, str) else None
    return _writer(kind, named) if complex_type is None else complex_type(schema, named)


def _record(schema: Mapping[str, Any], named: dict[str, _Write]) -> _Write:
    fields = schema["fields"]
    if len(fields) < 2:
        raise ValueError(f"{schema['name']} has {len(fields)} fields, two are the least")
    writers = [_writer(field["type"], named) for field in fields]
    values_of = attrgetter(*(field["name"] for field in fields))

    def write(record: Any, parts: _Parts) -> None:
        for value, field in zip(values_of(record), writers, strict=True):
            field(value, parts)

    named[schema["name"]] = write
    return write


def _enum(schema: Mapping[str, Any], named: dict[str, _Write]) -> _Write:
    octets = {symbol: varint(place) for place, symbol in enumerate(schema["symbols"])}

    def write(symbol: str, parts: _Parts) -> None:
        parts.octets.append(octets[symbol])

    named[schema["name"]] = write
    return write


def _array(schema: Mapping[str, Any], named: dict[str, _Write]) -> _Write:
    items = schema["items"]
    long = _plain(items) == "long"
    if long or (isinstance(items, list) and [_plain(item) for item in items] == ["null", "long"]):
        return lambda values, parts: _column(values, parts, union=not long)
    if _plain(items) == "double":
        return _doubles
    item = _writer(items, named)

    def write(values: Sequence[Any], parts: _Parts) -> None:
        if len(values):
            parts.octets.append(varint(len(values)))
            for value in values:
                item(value, parts)
        parts.octets.append(b"\0")

    return write


def _plain(schema: Any) -> Any:
    """The name of a primitive type, also where it is written as an object."""
    return schema["type"] if isinstance(schema, Mapping) and isinstance(schema["type"], str) else schema


def _map(schema: Mapping[str, Any], named: dict[str, _Write]) -> _Write:
    value = _writer(schema["values"], named)

    def write(values: Mapping[str, Any], parts: _Parts) -> None:
        if len(values):
            parts.octets.append(varint(len(values)))
            for key, item in values.items():
                _string(key, parts)
                value(item, parts)
        parts.octets.append(b"\0")

    return write


def _union(branches: Sequence[Any], named: dict[str, _Write]) -> _Write:
    """By Python's type: null, int, float, text and octets are each at most one branch of ours; bool counts as int."""
    choices: dict[type, tuple[bytes, _Write]] = {}
    for place, branch in enumerate(branches):
        python = _PYTHON.get(_plain(branch))
        if python is None or python in choices:
            raise ValueError(f"a union of {branches} is not written here")
        choices[python] = varint(place), _writer(branch, named)

    def write(value: Any, parts: _Parts) -> None:
        head, branch = choices[type(value)]
        parts.octets.append(head)
        branch(value, parts)

    return write


def _column(values: Sequence[int | None], parts: _Parts, *, union: bool) -> None:
    if not len(values):
        parts.octets.append(b"\0")
        return
    parts.octets.append(varint(len(values)))
    if len(values) > _FEW:
        parts.columns.append((len(parts.octets), values, union))
        parts.octets.append(b"")
    elif union:
        parts.octets += [b"\0" if value is None else b"\2" + varint(value) for value in values]
    else:
        parts.octets += map(varint, values)  # type: ignore[arg-type]  # varint refuses what is no int
    parts.octets.append(b"\0")


def _fill(parts: _Parts) -> None:
    """The octets of all columns, each in its place."""
    numbers, missing, unions = array("q"), [], []
    ends: list[int] = []
    for _, values, union in parts.columns:
        start = len(numbers)
        if union:
            known = [0 if value is None else value for value in values]
            numbers.extend(known)
            if None in values:
                missing += [start + place for place, value in enumerate(values) if value is None]
            unions.append(slice(start, len(numbers)))
        else:
            numbers.extend(values)  # type: ignore[arg-type]  # array refuses what is no int
        ends.append(len(numbers))
    octets, after = _varints(np.frombuffer(numbers, np.int64), unions, missing)
    at = 0
    for (place, _, _), end in zip(parts.columns, ends, strict=True):
        parts.octets[place] = octets[at : (at := int(after[end - 1]))]


def _varints(numbers: NDArray[np.int64], unions: Sequence[slice], missing: Sequence[int]) -> tuple[bytes, NDArray[np.int64]]:
    """Zigzag, seven bits an octet, lowest first; and where each number's octets end.

    The seven-bit groups of a number are spread over the eight octets of a word, all numbers at once, and octets that are
    not needed are left out. Numbers too long for that (none that a meter counts) go one by one.
    """
    words = ((numbers << 1) ^ (numbers >> 63)).view(np.uint64)
    if words.max() >> _LONGEST:
        return _one_by_one(numbers.tolist(), unions, missing)
    lengths = _OCTETS.take(np.frexp(words.astype(np.float64))[1])
    for mask, shift in _SPREAD:
        words = (words & mask) | ((words & ~mask) << shift)
    words |= _MORE.take(lengths)
    for of_union in unions:
        words[of_union] = (words[of_union] << _ONE_OCTET) | _SECOND_BRANCH
        lengths[of_union] += 1
    if missing:
        words[missing], lengths[missing] = 0, 1
    return words.astype("<u8").view(np.uint8).compress(_KEPT.take(lengths, 0).ravel()).tobytes(), lengths.cumsum()


_LONGEST = np.uint64(49)
"""Bits: seven octets, so that the branch of a union has room before them."""
_OCTETS = np.array([1, *((bits + 6) // 7 for bits in range(1, 50))], np.int64)
"""How many octets a number of so many bits takes."""
_SPREAD = tuple(
    (np.uint64(mask), np.uint64(shift))
    for mask, shift in ((0x0FFF_FFFF, 4), (0x3FFF_0000_3FFF, 2), (0x7F_007F_007F_007F, 1))
)
"""Halves, then quarters, then eighths of the number to where halves, quarters and eighths of the word begin."""
_MORE = np.array([sum(0x80 << 8 * place for place in range(octets - 1)) for octets in range(8)], np.uint64)
"""The bits that say that an octet follows, by how many there are."""
_KEPT = np.arange(8) < np.arange(9)[:, None]
_ONE_OCTET, _SECOND_BRANCH = np.uint64(8), np.uint64(2)


def _one_by_one(numbers: Sequence[int], unions: Sequence[slice], missing: Sequence[int]) -> tuple[bytes, NDArray[np.int64]]:
    octets = list(map(varint, numbers))
    for of_union in unions:
        octets[of_union] = [b"\2" + one for one in octets[of_union]]
    for place in missing:
        octets[place] = b"\0"
    return b"".join(octets), np.cumsum([len(one) for one in octets])


def varint(value: int) -> bytes:
    """An int or long of Avro. OverflowError beyond 64 bits, TypeError where it is no whole number."""
    if -_SMALL <= value < _SMALL:
        return _KNOWN[value]
    return _large(value)


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


def _long(value: int, parts: _Parts) -> None:
    parts.octets.append(varint(value))


def _string(value: str, parts: _Parts) -> None:
    parts.octets.append(_text(value))


@lru_cache(maxsize=16_384)
def _text(value: str) -> bytes:
    """Names, units and ids of meters come again and again."""
    octets = value.encode()
    return varint(len(octets)) + octets


def _bytes(value: bytes, parts: _Parts) -> None:
    if not isinstance(value, bytes):
        raise TypeError(f"{type(value).__name__} where octets belong")
    parts.octets.append(varint(len(value)))
    parts.octets.append(value)


def _double(value: float, parts: _Parts) -> None:
    parts.octets.append(struct.pack("<d", value))


def _doubles(values: Sequence[float], parts: _Parts) -> None:
    if len(values):
        parts.octets.append(varint(len(values)))
        parts.octets.append(struct.pack(f"<{len(values)}d", *values))
    parts.octets.append(b"\0")


def _boolean(value: bool, parts: _Parts) -> None:
    parts.octets.append(b"\1" if value else b"\0")


_COMPLEX: dict[str, Callable[[Mapping[str, Any], dict[str, _Write]], _Write]] = {
    "record": _record,
    "enum": _enum,
    "array": _array,
    "map": _map,
}
_SIMPLE: dict[str, _Write] = {
    "null": lambda _value, _parts: None,
    "boolean": _boolean,
    "int": _long,
    "long": _long,
    "double": _double,
    "string": _string,
    "bytes": _bytes,
}
_PYTHON: dict[Any, type] = {
    "null": type(None),
    "boolean": bool,
    "int": int,
    "long": int,
    "double": float,
    "string": str,
    "bytes": bytes,
}
