"""The built-in types of the table language that are one value each (C12.19, "Built-in types")."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from connectors.protocols.c12.errors import DecodeError
from connectors.protocols.c12.tables.context import Context
from connectors.protocols.c12.tables.expressions import evaluate
from connectors.protocols.c12.tables.numerals import NI_SIZES, NiFormat, Number, put_ni, put_signed, read_ni, signed
from connectors.protocols.c12.tables.times import TableTime, TimeKind, read_time, time_size
from connectors.protocols.c12.tables.values import MASKED, Scalar, Value

Count = int | str
"""A number, or an expression that gives it."""

MAX_OCTETS = 1 << 24
"""Octets of a table: the most that an offset read can address."""


@dataclass(frozen=True, slots=True, eq=False)
class ScalarType:
    """A type of one value: how many octets, what they say, and back.

    `size` raises DecodeError "table-prerequisite" where it stands in a table not read yet; `decode` takes as many octets and
    raises "table-value" where they are no such value, "table-format" where it is not supported; `encode` makes as many and
    raises "table-value" where the value does not fit.
    """

    name: str
    size: Callable[[Context], int]
    decode: Callable[[bytes, Context], Scalar]
    encode: Callable[[Value, Context], bytes]
    count: Count = 0
    """What its size depends on, where it is not fixed."""
    secret: bool = False


def count_of(count: Count, context: Context) -> int:
    """A count or size, evaluated and bounded. Raises DecodeError "table-size"."""
    number = count if isinstance(count, int) else evaluate(count, context)
    if number > MAX_OCTETS:
        raise DecodeError("table-size", f"{count} is {number}, a table has at most {MAX_OCTETS} octets: check table 0")
    return number


def unfit(value: object, kind: str) -> DecodeError:
    """The error for a value that a type cannot hold."""
    return DecodeError("table-value", f"{value!r} does not fit {kind}: give a value that the field can hold")


def uint(octets: int) -> ScalarType:
    """UINT8 to UINT64."""
    name = f"UINT{8 * octets}"

    def encode(value: Value, context: Context) -> bytes:
        if not isinstance(value, int) or not 0 <= value < 1 << 8 * octets:
            raise unfit(value, name)
        return int(value).to_bytes(octets, context.formats.order)

    return ScalarType(name, lambda _: octets, lambda data, context: int.from_bytes(data, context.formats.order), encode)


def integer(octets: int) -> ScalarType:
    """INT8 to INT64, negative numbers as table 0 says."""
    name = f"INT{8 * octets}"

    def decode(data: bytes, context: Context) -> int:
        return signed(data, context.formats.order, context.formats.integer)

    def encode(value: Value, context: Context) -> bytes:
        if not isinstance(value, int):
            raise unfit(value, name)
        return put_signed(value, octets, context.formats.order, context.formats.integer)

    return ScalarType(name, lambda _: octets, decode, encode)


def floating(octets: int) -> ScalarType:
    """FLOAT32 and FLOAT64."""
    return _number(f"FLOAT{8 * octets}", lambda _: NiFormat.FLOAT32 if octets == 4 else NiFormat.FLOAT64)


def non_integer(which: int) -> ScalarType:
    """NI_FMAT1 and NI_FMAT2: a number in the format that table 0 chooses for the first or second kind."""
    return _number(f"NI_FMAT{which}", lambda context: context.formats.ni1 if which == 1 else context.formats.ni2)


def _number(name: str, form: Callable[[Context], NiFormat]) -> ScalarType:
    def decode(data: bytes, context: Context) -> Scalar:
        return read_ni(data, form(context), context.formats.order, context.formats.integer)

    def encode(value: Value, context: Context) -> bytes:
        if value is not None and not isinstance(value, Number):
            raise unfit(value, name)
        return put_ni(value, form(context), context.formats.order, context.formats.integer)

    return ScalarType(name, lambda context: NI_SIZES[form(context)], decode, encode)


def bcd(count: Count) -> ScalarType:
    """An array of BCD, two digits an octet: the digits as text; A to F are the six codes that are no digits."""
    name = f"BCD({count})"

    def encode(value: Value, context: Context) -> bytes:
        try:
            octets = bytes.fromhex(value) if isinstance(value, str) else None
        except ValueError:
            octets = None
        if octets is None or len(octets) != count_of(count, context):
            raise unfit(value, name)
        return octets

    return ScalarType(name, lambda context: count_of(count, context), lambda data, _: data.hex().upper(), encode, count)


_CHARACTERS = {0: "latin-1", 1: "latin-1", 2: "latin-1", 3: "utf-8"}


def text(count: Count) -> ScalarType:
    """STRING(n): the text with what fills it up, so that nothing is lost."""
    name = f"STRING({count})"

    def encode(value: Value, context: Context) -> bytes:
        size = count_of(count, context)
        try:
            octets = value.encode(_encoding(context), "surrogateescape") if isinstance(value, str) else None
        except UnicodeEncodeError:
            octets = None
        if octets is None or len(octets) > size:
            raise unfit(value, name)
        return octets.ljust(size)

    def decode(data: bytes, context: Context) -> str:
        return data.decode(_encoding(context), "surrogateescape")

    return ScalarType(name, lambda context: count_of(count, context), decode, encode, count)


def _encoding(context: Context) -> str:
    found = _CHARACTERS.get(context.formats.characters)
    if found is None:
        detail = f"CHAR_FORMAT {context.formats.characters}: texts of this meter are in a form that is not read"
        raise DecodeError("table-format", detail)
    return found


def binary(count: Count, *, secret: bool = False) -> ScalarType:
    """BINARY(n). A `secret` is read as asterisks, and written only from octets."""
    name = f"BINARY({count})"

    def encode(value: Value, context: Context) -> bytes:
        if not isinstance(value, bytes) or len(value) != count_of(count, context):
            raise unfit("a secret" if secret else value, name)
        return value

    return ScalarType(
        name, lambda context: count_of(count, context), lambda data, _: MASKED if secret else data, encode, count, secret
    )


def set_of(count: Count) -> ScalarType:
    """SET(n): the numbers of the bits that are set, bit 0 the lowest of the first octet, in any byte order."""
    name = f"SET({count})"

    def encode(value: Value, context: Context) -> bytes:
        size = count_of(count, context)
        if not isinstance(value, frozenset) or not all(0 <= item < 8 * size for item in value):
            raise unfit(value, name)
        return sum(1 << item for item in value).to_bytes(size, "little")

    def decode(data: bytes, _: Context) -> frozenset[int]:
        return frozenset(8 * at + bit for at, octet in enumerate(data) if octet for bit in range(8) if octet >> bit & 1)

    return ScalarType(name, lambda context: count_of(count, context), decode, encode, count)


def time(kind: TimeKind) -> ScalarType:
    """LTIME_DATE, STIME_DATE, TIME and DATE."""

    def encode(value: Value, context: Context) -> bytes:
        size = time_size(kind, context.formats.time)
        if not isinstance(value, TableTime) or value.kind is not kind or len(value.octets) != size:
            raise unfit(value, f"{kind} of time format {context.formats.time}")
        return value.octets

    def decode(data: bytes, context: Context) -> TableTime:
        return read_time(data, kind, context.formats.time, context.formats.order)

    return ScalarType(kind.value, lambda context: time_size(kind, context.formats.time), decode, encode)
