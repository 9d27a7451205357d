"""A-XDR, the encoding of COSEM data (IEC 61334-6 as used by IEC 62056-5-3; type tags of IEC 62056-6-2 "Data").

Python's own None, bool, int, float and str stand for themselves, octet-strings are `bytes`, and what Python lacks is in
`axdr_types`. Every length is checked against the bytes at hand before anything is built, nesting and the number of
elements are bounded, and a compact array cannot make more of few bytes than `MAX_UNFOLDING` allows.

Errors are `DecodeError`: "dlms-truncated" where bytes are missing (more may come), "dlms-nesting" where structures lie
too deep, "dlms-axdr" for the rest.
"""

from __future__ import annotations

from dataclasses import dataclass

from connectors.protocols.dlms.axdr_types import (
    ARRAY,
    BCD,
    BIT_STRING,
    BOOLEAN,
    COMPACT_ARRAY,
    DATE,
    DATE_TIME,
    DONT_CARE,
    ENUM,
    FIXED,
    FLOAT32,
    FLOAT64,
    INT8,
    INT16,
    INT32,
    INT64,
    NULL,
    NUMBERS,
    OCTET_STRING,
    STRINGS,
    STRUCTURE,
    TIME,
    TIMES,
    UINT8,
    UINT16,
    UINT32,
    UINT64,
    UTF8_STRING,
    VISIBLE_STRING,
    Array,
    BitString,
    DateOctets,
    DateTimeOctets,
    Enum,
    Octets,
    Structure,
    Tagged,
    TimeOctets,
    Value,
)
from connectors.protocols.dlms.axdr_write import encode, encode_length
from connectors.protocols.dlms.errors import DecodeError

__all__ = [
    "ARRAY",
    "BCD",
    "BIT_STRING",
    "BOOLEAN",
    "COMPACT_ARRAY",
    "DATE",
    "DATE_TIME",
    "DONT_CARE",
    "ENUM",
    "FLOAT32",
    "FLOAT64",
    "INT8",
    "INT16",
    "INT32",
    "INT64",
    "MAX_DEPTH",
    "MAX_ELEMENTS",
    "MAX_UNFOLDING",
    "NULL",
    "OCTET_STRING",
    "STRUCTURE",
    "TIME",
    "UINT8",
    "UINT16",
    "UINT32",
    "UINT64",
    "UTF8_STRING",
    "VISIBLE_STRING",
    "Array",
    "BitString",
    "DateOctets",
    "DateTimeOctets",
    "Enum",
    "Octets",
    "Structure",
    "Tagged",
    "TimeOctets",
    "Value",
    "decode",
    "encode",
    "encode_length",
    "read_length",
    "skip",
]

MAX_DEPTH = 16
"""Structures and arrays within each other."""

MAX_ELEMENTS = 1 << 20
"""Elements of one array, and all that lie in one compact array."""

MAX_UNFOLDING = 16
"""Elements that a compact array may make of one octet: nulls take none in it."""


def decode(data: Octets, at: int = 0) -> tuple[Value, int]:
    """The value that starts at `at`, and the index of the octet after it."""
    return _decode(data, at, len(data), 0)


def skip(data: Octets, at: int = 0, *, more: bool = False) -> int:
    """The index after the value that starts at `at`, without building it.

    With `more`, octets may follow `data`: where they decide what an array is, this is "dlms-truncated".
    """
    return _skip(data, at, len(data), 0, more=more)


def read_length(data: Octets, at: int) -> tuple[int, int]:
    """An A-XDR length or count, and the index after it: one octet below 0x80, else 0x80 + number of octets that follow."""
    end = len(data)
    if at >= end:
        raise _truncated(at, 1, end)
    first = data[at]
    at += 1
    if first < 0x80:
        return first, at
    size = first & 0x7F
    if not 1 <= size <= 4:
        raise DecodeError("dlms-axdr", f"length octet {first:#04x} at {at - 1}: a length has 1 to 4 octets after it")
    if at + size > end:
        raise _truncated(at, size, end)
    return int.from_bytes(data[at : at + size], "big"), at + size


def _truncated(at: int, need: int, end: int) -> DecodeError:
    return DecodeError(
        "dlms-truncated", f"{need} octets needed at {at}, {max(0, end - at)} there: the telegram is cut short"
    )


def _unknown(tag: int, at: int) -> DecodeError:
    return DecodeError("dlms-axdr", f"{tag:#04x} at {at} is no A-XDR data tag")


def _count(data: Octets, at: int, end: int, depth: int) -> tuple[int, int]:
    """The checked element count of an array or structure that lies `depth` deep."""
    if depth >= MAX_DEPTH:
        raise DecodeError("dlms-nesting", f"structures nested deeper than {MAX_DEPTH} at {at}")
    count, at = read_length(data, at)
    if count > MAX_ELEMENTS:
        raise DecodeError("dlms-axdr", f"{count} elements at {at}, the limit is {MAX_ELEMENTS}")
    if count > end - at:  # each element takes an octet at least
        raise _truncated(at, count, end)
    return count, at


def _octets(data: Octets, at: int, end: int) -> tuple[bytes, int]:
    size, at = read_length(data, at)
    if size > end - at:
        raise _truncated(at, size, end)
    return bytes(data[at : at + size]), at + size


def _swapped_obis(data: Octets, at: int) -> bool:
    """Whether an OBIS code stands at `at` with tag and length swapped: 06 09 for 09 06.

    Landis+Gyr ZMF meters write their currents so. Read as A-XDR it would be an unsigned followed by 07 or 08, which are no
    tags: data that is right is never taken for it.
    """
    head = bytes(data[at : at + 8])
    if head[:2] != b"\x06\x09" or len(head) < 6 or head[2] > 9 or head[5] not in (7, 8):
        return False
    if len(head) < 8:
        raise _truncated(at, 8, len(data))
    return head[7] == 0xFF


def _bare_descriptors(data: Octets, at: int) -> bool:
    """Whether the array whose elements start at `at` is one of pairs {attribute descriptor, value}, the first without tags.

    EGD (CZ) pushes write each as 02 02, class (2), OBIS (6), attribute (1), then the value. As A-XDR this would be a null
    and then nonsense; it is taken for what it is only where class, OBIS and attribute are ones that exist.
    """
    head = bytes(data[at : at + 12])
    return len(head) == 12 and _like_descriptor(head)


def _like_descriptor(head: bytes) -> bool:
    """Whether `head` is, or begins as, 02 02 and an untagged descriptor."""
    return (
        head[:3] == b"\x02\x02\x00"[: len(head)]
        and all(0 < octet < 128 for octet in head[3:4])  # class
        and all(octet < 10 for octet in head[4:5])  # value group A
        and all(octet != 0 for octet in head[6:7])  # C
        and all(octet == 0xFF for octet in head[9:10])  # F
        and all(0 < octet < 32 for octet in head[10:11])  # attribute
    )


def _descriptor(data: Octets, at: int, end: int) -> int:
    """The index after an untagged descriptor that starts, with its pair's 02 02, at `at`."""
    if at + 11 > end:
        raise _truncated(at, 11, end)
    if not _bare_descriptors(bytes(data[at : at + 11]) + b"\0", 0):
        raise DecodeError("dlms-axdr", f"the pair at {at} has no attribute descriptor, the ones before it have")
    return at + 11


def _decode(data: Octets, at: int, end: int, depth: int) -> tuple[Value, int]:
    if at >= end:
        raise _truncated(at, 1, end)
    tag = data[at]
    number = NUMBERS.get(tag)
    if number is not None:
        unpack, size = number
        if at + 1 + size > end:
            raise _truncated(at + 1, size, end)
        return unpack(data, at + 1)[0], at + 1 + size
    if tag in (STRUCTURE, ARRAY):
        count, at = _count(data, at + 1, end, depth)
        items: list[Value] = []
        bare = tag == ARRAY and _bare_descriptors(data, at)
        if tag == STRUCTURE and count > 1 and data[at] == UINT32 and _swapped_obis(data, at):
            items.append(bytes(data[at + 2 : at + 8]))
            at += 8
        for _ in range(count - len(items)):
            start = at
            if bare:
                at = _descriptor(data, at, end)
            item, at = _decode(data, at, end, depth + 1)
            if bare:
                what = Structure((data[start + 3], bytes(data[start + 4 : start + 10]), data[start + 10]))
                item = Structure((what, item))
            items.append(item)
        return (Structure(items) if tag == STRUCTURE else Array(items)), at
    if tag == COMPACT_ARRAY:
        return _compact_array(data, at + 1, end, depth)
    return _scalar(tag, data, at + 1, end)


def _scalar(tag: int, data: Octets, at: int, end: int) -> tuple[Value, int]:
    """The contents of a value that is no array or structure, its tag read already."""
    if tag in FIXED:
        size = FIXED[tag]
    elif tag == BIT_STRING:
        length, at = read_length(data, at)
        size = (length + 7) // 8
    elif tag in STRINGS:
        size, at = read_length(data, at)
    else:
        raise _unknown(tag, at - 1)
    if size > end - at:
        raise _truncated(at, size, end)
    after = at + size
    value: Value = None
    if tag in NUMBERS:
        value = NUMBERS[tag][0](data, at)[0]
    elif tag == BOOLEAN:
        value = data[at] != 0
    elif tag == ENUM:
        value = Enum(data[at])
    elif tag == BIT_STRING:
        value = BitString(bytes(data[at:after]), length)
    elif tag in TIMES:
        value = TIMES[tag][0](data[at:after])
    elif tag in STRINGS:
        value = _text(bytes(data[at:after]), STRINGS[tag])
    return value, after


def _text(octets: bytes, encoding: str) -> str | bytes:
    """The text, or the octets where they are not what the tag promises (and for octet-strings)."""
    try:
        return octets.decode(encoding) if encoding else octets
    except UnicodeDecodeError:
        return octets


def _skip(data: Octets, at: int, end: int, depth: int, *, more: bool) -> int:
    if at >= end:
        raise _truncated(at, 1, end)
    tag = data[at]
    at += 1
    size = FIXED.get(tag)
    if size is None:
        if tag in (STRUCTURE, ARRAY):
            count, at = _count(data, at, end, depth)
            bare = tag == ARRAY and _bare_descriptors(data, at)
            if more and tag == ARRAY and count and end < at + 12 and _like_descriptor(bytes(data[at:end])):
                raise _truncated(at, 12, end)
            if tag == STRUCTURE and count > 1 and data[at] == UINT32 and _swapped_obis(data, at):
                at += 8
                count -= 1
            for _ in range(count):
                at = _skip(data, _descriptor(data, at, end) if bare else at, end, depth + 1, more=more)
            return at
        if tag == COMPACT_ARRAY:
            _, at = _type_description(data, at, end, depth)
            size, at = read_length(data, at)
        elif tag == BIT_STRING:
            bits, at = read_length(data, at)
            size = (bits + 7) // 8
        elif tag in STRINGS:
            size, at = read_length(data, at)
        else:
            raise _unknown(tag, at - 1)
    if size > end - at:
        raise _truncated(at, size, end)
    return at + size


@dataclass(frozen=True, slots=True)
class _Type:
    """A type description of a compact array: for arrays `of` and `count`, for structures `fields`."""

    tag: int
    count: int = 0
    fields: tuple[_Type, ...] = ()


def _spend(budget: list[int], count: int, at: int) -> None:
    budget[0] -= count
    if budget[0] < 0:
        what = f"{MAX_UNFOLDING} elements an octet, or {MAX_ELEMENTS} in all"
        raise DecodeError("dlms-axdr", f"a compact array unfolds at {at} to more than {what}")


def _type_description(data: Octets, at: int, end: int, depth: int) -> tuple[_Type, int]:
    if depth >= MAX_DEPTH:
        raise DecodeError("dlms-nesting", f"types nested deeper than {MAX_DEPTH} at {at}")
    if at >= end:
        raise _truncated(at, 1, end)
    tag = data[at]
    at += 1
    if tag == ARRAY:
        if at + 2 > end:
            raise _truncated(at, 2, end)
        count = data[at] << 8 | data[at + 1]
        of, at = _type_description(data, at + 2, end, depth + 1)
        return _Type(tag, count, (of,)), at
    if tag == STRUCTURE:
        count, at = _count(data, at, end, depth)
        fields = []
        for _ in range(count):
            field, at = _type_description(data, at, end, depth + 1)
            fields.append(field)
        return _Type(tag, count, tuple(fields)), at
    if tag in FIXED or tag == BIT_STRING or tag in STRINGS:
        return _Type(tag), at
    raise _unknown(tag, at - 1)


def _compact_array(data: Octets, at: int, end: int, depth: int) -> tuple[Array, int]:
    """Tag 19: the type of the elements once, then their contents without tags, as one octet-string."""
    first = at
    kind, at = _type_description(data, at, end, depth)
    size, at = read_length(data, at)
    if size > end - at:
        raise _truncated(at, size, end)
    stop = at + size
    budget = [min(MAX_UNFOLDING * (stop - first), MAX_ELEMENTS)]
    rows: list[Value] = []
    while at < stop:
        start = at
        try:
            row, at = _typed(kind, data, at, stop, budget)
        except DecodeError as error:
            if error.code != "dlms-truncated":
                raise
            # all that was announced is here: waiting for more cannot help
            raise DecodeError("dlms-axdr", f"a compact array ends inside the element at {start}") from None
        if at == start:
            raise DecodeError("dlms-axdr", f"a compact array at {start} has elements of no size")
        rows.append(row)
    return Array(rows), at


def _typed(kind: _Type, data: Octets, at: int, end: int, budget: list[int]) -> tuple[Value, int]:
    if kind.tag not in (ARRAY, STRUCTURE):
        return _scalar(kind.tag, data, at, end)
    _spend(budget, kind.count, at)
    items: list[Value] = []
    for i in range(kind.count):
        item, at = _typed(kind.fields[i] if kind.tag == STRUCTURE else kind.fields[0], data, at, end, budget)
        items.append(item)
    return (Structure(items) if kind.tag == STRUCTURE else Array(items)), at
