"""The types of COSEM data that Python lacks, their tags, and how numbers and times lie in octets (IEC 62056-6-2 "Data")."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

Octets: TypeAlias = "bytes | bytearray | memoryview"
Value: TypeAlias = "bool | int | float | str | bytes | BitString | Structure | Array | None"


class Structure(tuple["Value", ...]):
    """Elements of several types, in the order their object defines."""

    __slots__ = ()


class Array(tuple["Value", ...]):
    """Elements of one type; a compact-array decodes to the same."""

    __slots__ = ()


class Enum(int):
    """An enum, told from a number because units and relay states are enums."""

    __slots__ = ()


class DateTimeOctets(bytes):
    """Twelve octets under the tag date-time."""

    __slots__ = ()


class DateOctets(bytes):
    """Five octets under the tag date."""

    __slots__ = ()


class TimeOctets(bytes):
    """Four octets under the tag time."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class BitString:
    """`length` bits, the first in the highest bit of the first octet."""

    value: bytes
    length: int


@dataclass(frozen=True, slots=True)
class Tagged:
    """A value with the tag it is to be encoded under, for `encode` only: Python's int says nothing of its width."""

    tag: int
    value: Any


NULL, ARRAY, STRUCTURE, BOOLEAN, BIT_STRING = 0, 1, 2, 3, 4
INT32, UINT32, OCTET_STRING, VISIBLE_STRING, UTF8_STRING = 5, 6, 9, 10, 12
BCD, INT8, INT16, UINT8, UINT16, COMPACT_ARRAY = 13, 15, 16, 17, 18, 19
INT64, UINT64, ENUM, FLOAT32, FLOAT64 = 20, 21, 22, 23, 24
DATE_TIME, DATE, TIME, DONT_CARE = 25, 26, 27, 255

FORMATS = {
    INT32: ">i", UINT32: ">I", BCD: ">b", INT8: ">b", INT16: ">h", UINT8: ">B", UINT16: ">H",
    INT64: ">q", UINT64: ">Q", FLOAT32: ">f", FLOAT64: ">d",
    28: ">b", 29: ">h", 30: ">i", 31: ">B", 32: ">H", 33: ">I",  # the delta types
}  # fmt: skip
"""Tag to the struct format of a number."""

NUMBERS: dict[int, tuple[Callable[..., tuple[Any, ...]], int]] = {
    tag: (struct.Struct(form).unpack_from, struct.calcsize(form)) for tag, form in FORMATS.items()
}
"""Tag to what unpacks a number, and its size."""

TIMES: dict[int, tuple[type[bytes], int]] = {DATE_TIME: (DateTimeOctets, 12), DATE: (DateOctets, 5), TIME: (TimeOctets, 4)}
"""Tag to the type of a time, and its size."""

STRINGS = {OCTET_STRING: "", VISIBLE_STRING: "ascii", UTF8_STRING: "utf-8"}
"""Tag to the encoding of what has a length before it; octets have none."""

FIXED = {
    NULL: 0,
    DONT_CARE: 0,
    BOOLEAN: 1,
    ENUM: 1,
    **{t: n for t, (_, n) in NUMBERS.items()},
    **{t: n for t, (_, n) in TIMES.items()},
}
"""Tag to the octets after it, for values of one size."""
