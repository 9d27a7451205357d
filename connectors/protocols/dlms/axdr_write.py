"""Values to A-XDR."""

from __future__ import annotations

import struct
from typing import Any

from connectors.protocols.dlms.axdr_types import (
    ARRAY,
    BIT_STRING,
    BOOLEAN,
    DATE,
    DATE_TIME,
    DONT_CARE,
    ENUM,
    FLOAT64,
    FORMATS,
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
    Array,
    BitString,
    DateOctets,
    DateTimeOctets,
    Enum,
    Structure,
    Tagged,
    TimeOctets,
    Value,
)


def encode(value: Value | Tagged) -> bytes:
    """`value` with its tag. A bare int takes the smallest unsigned (or signed) type that holds it, a float is a float64."""
    out = bytearray()
    _encode(value, out)
    return bytes(out)


def encode_length(n: int) -> bytes:
    """A length or count as `read_length` reads it."""
    if n < 0x80:
        return bytes((n,))
    size = (n.bit_length() + 7) // 8
    return bytes((0x80 | size,)) + n.to_bytes(size, "big")


def _encode(value: Any, out: bytearray) -> None:
    if isinstance(value, Tagged):
        _encode_as(value.tag, value.value, out)
        return
    tag = next((tag for kind, tag in _TAG_OF if isinstance(value, kind)), None)
    if tag is None:
        if not isinstance(value, int):
            raise TypeError(f"{type(value).__name__} has no A-XDR type")
        tag = _tag_for(value)
    _encode_as(tag, value, out)


_TAG_OF: tuple[tuple[type[Any], int], ...] = (
    (type(None), NULL), (bool, BOOLEAN), (Enum, ENUM), (float, FLOAT64), (str, UTF8_STRING), (DateTimeOctets, DATE_TIME),
    (DateOctets, DATE), (TimeOctets, TIME), (bytes, OCTET_STRING), (BitString, BIT_STRING),
    (Structure, STRUCTURE), (Array, ARRAY),
)  # fmt: skip


def _tag_for(number: int) -> int:
    unsigned, signed = (UINT8, UINT16, UINT32, UINT64), (INT8, INT16, INT32, INT64)
    for i, bits in enumerate((8, 16, 32, 64)):
        if 0 <= number < 1 << bits:
            return unsigned[i]
        if -(1 << bits - 1) <= number < 0:
            return signed[i]
    raise OverflowError(f"{number} does not fit in 64 bits")


def _encode_as(tag: int, value: Any, out: bytearray) -> None:
    out.append(tag)
    if tag in (ARRAY, STRUCTURE):
        out += encode_length(len(value))
        for item in value:
            _encode(item, out)
    elif tag == BIT_STRING:
        out += encode_length(value.length) + value.value
    elif tag in STRINGS:
        octets = value if isinstance(value, bytes) else str(value).encode(STRINGS[tag] or "utf-8")
        out += encode_length(len(octets)) + octets
    elif tag in NUMBERS:
        out += struct.pack(FORMATS[tag], value)
    elif tag in (BOOLEAN, ENUM):
        out.append(int(value))
    elif tag in TIMES:
        out += value
    elif tag not in (NULL, DONT_CARE):
        raise TypeError(f"{tag:#04x} cannot be encoded")
