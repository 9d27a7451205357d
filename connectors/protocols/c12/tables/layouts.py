"""Types made of others: bit fields, arrays, records with members that are there only under a condition."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from connectors.protocols.c12.errors import DecodeError
from connectors.protocols.c12.tables.context import Context
from connectors.protocols.c12.tables.expressions import compiled, evaluate
from connectors.protocols.c12.tables.types import MAX_OCTETS, Count, ScalarType, count_of, unfit
from connectors.protocols.c12.tables.values import SPARE, Record, Value

MAX_DEPTH = 12


@dataclass(frozen=True, slots=True)
class Bit:
    """Bits `low` to `high` of a bit field, both included. A flag is read as a boolean, bits in ones' place as a number."""

    name: str
    low: int
    high: int
    flag: bool


@dataclass(frozen=True, slots=True)
class BitField:
    """BIT FIELD OF UINT8, 16 or 32."""

    octets: int
    bits: tuple[Bit, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Array:
    """ARRAY[n] OF a type."""

    count: Count
    of: Type


@dataclass(frozen=True, slots=True, eq=False)
class Member:
    """A named field."""

    name: str
    type: Type


@dataclass(frozen=True, slots=True, eq=False)
class When:
    """IF condition THEN members ELSE otherwise."""

    condition: str
    members: tuple[Member | When, ...]
    otherwise: tuple[Member | When, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class RecordType:
    """PACKED RECORD."""

    members: tuple[Member | When, ...]


Type: TypeAlias = ScalarType | BitField | Array | RecordType


def size(kind: Type, context: Context) -> int:
    """Octets of a value. Raises DecodeError: "table-prerequisite" where that stands in a table not read yet, "table-size"
    where it is beyond any table.
    """
    match kind:
        case ScalarType():
            return kind.size(context)
        case BitField():
            return kind.octets
        case Array():
            count = count_of(kind.count, context)
            return _bounded(count * size(kind.of, context)) if count else 0
        case RecordType():
            return _bounded(sum(size(member.type, context) for member in present(kind.members, context)))


def present(members: Iterable[Member | When], context: Context) -> Iterator[Member]:
    """The members that are there, each condition evaluated when its turn comes."""
    for member in members:
        if isinstance(member, Member):
            yield member
        else:
            yield from present(member.members if evaluate(member.condition, context) else member.otherwise, context)


def _bounded(octets: int) -> int:
    if octets > MAX_OCTETS:
        detail = f"a table of {octets} octets, the most is {MAX_OCTETS}: check the table that sizes it"
        raise DecodeError("table-size", detail)
    return octets


def decode_bits(kind: BitField, octets: bytes, context: Context) -> Record:
    """The named bits; others that are set are kept under `SPARE`."""
    raw = int.from_bytes(octets, context.formats.order)
    fields: dict[str, Value] = {}
    for bit in kind.bits:
        part = raw >> bit.low & _mask(bit)
        fields[bit.name] = bool(part) if bit.flag else part
    spare = raw & ~sum(_mask(bit) << bit.low for bit in kind.bits)
    return Record({**fields, SPARE: spare} if spare else fields)


def _mask(bit: Bit) -> int:
    return (1 << bit.high - bit.low + 1) - 1


def encode(kind: Type, value: Value, context: Context) -> bytes:
    """The octets of a value of any type. DecodeError "table-value" where something does not fit or is missing."""
    match kind:
        case ScalarType():
            return kind.encode(value, context)
        case BitField():
            return _encode_bits(kind, value, context)
        case Array():
            count = count_of(kind.count, context)
            if value == () and count and size(kind.of, context) == 0:
                return b""  # as it is read
            if not isinstance(value, tuple) or len(value) != count:
                raise unfit(f"{len(value)} items" if isinstance(value, tuple) else value, f"an array of {count}")
            return b"".join(encode(kind.of, item, context) for item in value)
        case RecordType():
            return _encode_record(kind, value, context)


def _encode_bits(kind: BitField, value: Value, context: Context) -> bytes:
    """Bits that are not given are zero."""
    if not isinstance(value, Record):
        raise unfit(value, "a bit field")
    raw = value.get(SPARE, 0)
    if not isinstance(raw, int) or not 0 <= raw < 1 << 8 * kind.octets:
        raise unfit(raw, "a bit field")
    for bit in kind.bits:
        part = value.get(bit.name, 0)
        if not isinstance(part, int) or not 0 <= part <= _mask(bit):
            raise unfit(part, f"bits {bit.low} to {bit.high} ({bit.name})")
        raw |= int(part) << bit.low
    _only(value, [SPARE, *(bit.name for bit in kind.bits)])
    return raw.to_bytes(kind.octets, context.formats.order)


def _encode_record(kind: RecordType, value: Value, context: Context) -> bytes:
    if not isinstance(value, Record):
        raise unfit(value, "a record")
    out, names = [], []
    context.frames.append(value)
    try:
        for member in present(kind.members, context):
            if member.name not in value:
                raise DecodeError("table-value", f"{member.name} is missing: give every field of the record")
            names.append(member.name)
            out.append(encode(member.type, value[member.name], context))
    finally:
        context.frames.pop()
    _only(value, names)
    return b"".join(out)


def _only(value: Record, names: Sequence[str]) -> None:
    if surplus := sorted(set(value) - set(names)):
        raise DecodeError("table-value", f"{', '.join(surplus)}: no field of this record; compare the declaration")


def field(name: str, kind: Type) -> Member:
    """A named field."""
    return Member(name, kind)


def record(*members: Member | When) -> RecordType:
    """A packed record."""
    return RecordType(members)


def array(count: Count, of: Type) -> Array:
    """An array."""
    if isinstance(count, str):
        compiled(count)
    return Array(count, of)


def when(condition: str, *members: Member | When, otherwise: Sequence[Member | When] = ()) -> When:
    """Members that are there under a condition, and those that are there otherwise."""
    compiled(condition)
    return When(condition, members, tuple(otherwise))


def bits(width: int, *names: str) -> BitField:
    """A bit field of `width` bits: "FLAG 3" is a flag, "CODE 0..3" a number of four bits, "ORDER 0..0" a number of one."""
    found = []
    for name in names:
        word, _, place = name.partition(" ")
        low, _, high = place.partition("..")
        try:
            bit = Bit(word, int(low), int(high or low), not high)
        except ValueError:
            raise DecodeError("table-declaration", f"{name!r} is no bit: write NAME 3 or NAME 0..3") from None
        if not word.isidentifier() or not 0 <= bit.low <= bit.high < width:
            raise DecodeError("table-declaration", f"{name!r} does not lie in {width} bits")
        found.append(bit)
    return BitField(width // 8, tuple(found))


def depth(kind: Type) -> int:
    """How deep types are nested in a type."""
    match kind:
        case Array():
            return 1 + depth(kind.of)
        case RecordType():
            return 1 + max((_depth(member) for member in kind.members), default=0)
        case _:
            return 1


def _depth(member: Member | When) -> int:
    if isinstance(member, Member):
        return depth(member.type)
    return 1 + max((_depth(inner) for inner in (*member.members, *member.otherwise)), default=0)


def expressions_of(kind: Type) -> Iterator[str]:
    """The sizes and conditions in a type that are not plain numbers."""
    match kind:
        case ScalarType() if isinstance(kind.count, str):
            yield kind.count
        case Array():
            if isinstance(kind.count, str):
                yield kind.count
            yield from expressions_of(kind.of)
        case RecordType():
            yield from _expressions(kind.members)


def _expressions(members: Iterable[Member | When]) -> Iterator[str]:
    for member in members:
        if isinstance(member, Member):
            yield from expressions_of(member.type)
        else:
            yield member.condition
            yield from _expressions((*member.members, *member.otherwise))
