"""Octets of meters, packed by hand: what the tables under test are held against."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Literal

from connectors.protocols.c12.tables.model import Model

Order = Literal["little", "big"]


def bitset(numbers: Iterable[int], size: int) -> bytes:
    """A SET: bit n of octet n/8."""
    octets = bytearray(size)
    for number in numbers:
        octets[number // 8] |= 1 << number % 8
    return bytes(octets)


def table0(
    order: Order = "little",
    *,
    tm: int = 2,
    ni1: int = 8,
    ni2: int = 8,
    integer: int = 0,
    characters: int = 1,
    id_form: int = 0,
    version: int = 1,
    tables: Iterable[int] = range(128),
    manufacturer: Iterable[int] = (0, 1),
    procedures: Iterable[int] = range(24),
    own_procedures: Iterable[int] = (12,),
    status_octets: int = 1,
    pending: int = 0,
    longest_parameters: int = 20,
) -> bytes:
    """Table 0 of a meter with 128 standard and 16 manufacturer tables at most."""
    return (
        bytes((int(order == "big") | characters << 1, tm | 1 << 3 | id_form << 5 | integer << 6, ni1 | ni2 << 4))
        + b"TEST"
        + bytes((2, 0, longest_parameters, 20, version, 0, 16, 2, 4, 2, status_octets, pending))
        + bitset(tables, 16)
        + bitset(manufacturer, 2)
        + bitset(procedures, 4)
        + bitset(own_procedures, 2)
        + bytes(18)
    )


def model(head: bytes | None = None, **tables: bytes) -> Model:
    """A model that knows table 0 and others, given as t11=octets."""
    found = Model.of(table0() if head is None else head)
    for name, octets in tables.items():
        found = found.with_octets(int(name[1:]), octets)
    return found


def number(value: int, size: int, order: Order) -> bytes:
    """A whole number, two's complement where negative."""
    return (value % (1 << 8 * size)).to_bytes(size, order)


def stime(at: int, tm: int, order: Order = "little") -> bytes:
    """STIME_DATE of seconds since 1970."""
    if tm == 3:
        return number(at // 60, 4, order)
    if tm == 4:
        return number(at, 4, order)
    when = datetime.fromtimestamp(at, UTC)
    fields = (when.year % 100, when.month, when.day, when.hour, when.minute)
    return bytes(int(str(part), 16) for part in fields) if tm == 1 else bytes(fields)


def ltime(at: int, tm: int, order: Order = "little") -> bytes:
    """LTIME_DATE of seconds since 1970."""
    if tm == 4:
        return number(at, 4, order)
    second = at % 60
    return stime(at, tm, order) + bytes((int(str(second), 16) if tm == 1 else second,))


def sources(
    count: int, uoms: Sequence[int], links: Sequence[int], order: Order = "little", flags: int = 0
) -> dict[str, bytes]:
    """Tables 11, 12 and 16: units of measure as 32-bit words, links as octets."""
    return {
        "t11": bytes((flags, len(uoms), 0, 0, 0, 0, 2, count)),
        "t12": b"".join(number(word, 4, order) for word in uoms),
        "t16": bytes(links),
    }


def uom(  # a word of table 12
    code: int, base: int = 5, multiplier: int = 0, quadrants: Iterable[int] = (1, 4), *, net: bool = False, segment: int = 0,
    harmonic: bool = False, nfs: bool = False,
) -> int:  # fmt: skip
    """An entry of table 12 as a number."""
    bits = sum(1 << 13 + q for q in quadrants)
    return code | base << 8 | multiplier << 11 | bits | net << 18 | segment << 19 | harmonic << 22 | nfs << 31


@dataclass(frozen=True)
class Interval:
    """One interval as it should come out."""

    values: tuple[int, ...]
    common: int = 0
    channels: tuple[int, ...] = ()
    valid: bool = True


@dataclass(frozen=True)
class Block:
    """One block: when its last valid interval ended by the meter's clock, and its valid intervals, oldest first."""

    end: int
    intervals: tuple[Interval, ...]
    readings: tuple[int, ...] = ()
    pulses: tuple[int, ...] = ()


@dataclass(frozen=True)
class ProfileMeter:
    """A load profile in set 1, and how it is kept."""

    blocks: tuple[Block, ...]
    """Oldest first; all but the last are full."""
    channels: int = 2
    per_block: int = 4
    minutes: int = 15
    capacity: int = 5
    newest: int = 0
    """Element of the newest block."""
    code: int = 2
    order: Order = "little"
    tm: int = 2
    ni1: int = 8
    ni2: int = 8
    integer: int = 0
    version: int = 1
    descending_blocks: bool = False
    descending_intervals: bool = False
    ring: bool = True
    simple: bool = False
    extended: bool = True
    closure: bool = False
    end_reads: bool = False
    end_pulses: bool = False
    scalars: tuple[tuple[int, int], ...] | None = None
    """Scalar and divisor of each channel."""
    selects: tuple[int, ...] = ()
    extra: dict[str, bytes] = field(default_factory=dict)

    def changed(self, **fields: object) -> ProfileMeter:
        """The same, kept otherwise."""
        return replace(self, **fields)  # type: ignore[arg-type]  # names and values of fields, as the tests' tables give them

    @property
    def head(self) -> bytes:
        """Table 0."""
        return table0(
            self.order, tm=self.tm, ni1=self.ni1, ni2=self.ni2, integer=self.integer, version=self.version,
            tables=(0, *range(11, 17), *range(21, 29), *range(51, 56), 61, 62, 63, 64),
        )  # fmt: skip

    @property
    def model(self) -> Model:
        """All but the data."""
        flags = (
            self.end_reads << 4 | self.end_pulses << 5 | (self.scalars is not None) << 6 | self.extended << 10
            | self.simple << 11 | self.closure << 12
        )  # fmt: skip
        t61 = number(100_000, 4, self.order) + number(flags, 2, self.order) + b"\xff"
        t61 += number(self.capacity, 2, self.order) + number(self.per_block, 2, self.order)
        t61 += bytes((self.channels, self.minutes))
        selects = self.selects or tuple(range(self.channels))
        t62 = b"".join(bytes((1, index, index)) for index in selects) + bytes((self.code,))
        if self.scalars is not None:
            t62 += b"".join(number(scalar, 2, self.order) for scalar, _ in self.scalars)
            t62 += b"".join(number(divisor, 2, self.order) for _, divisor in self.scalars)
        status = self.descending_blocks | self.ring << 2 | self.descending_intervals << 4 | 1 << 5
        last = len(self.blocks[-1].intervals) if self.blocks else 0
        t63 = bytes((status,)) + number(len(self.blocks), 2, self.order) + number(self.newest, 2, self.order)
        t63 += number(77, 4, self.order) + number(len(self.blocks), 2, self.order) + number(last, 2, self.order)
        return model(self.head, t61=t61, t62=t62, t63=t63, **self.extra)

    @property
    def data(self) -> bytes:
        """Table 64, whole: blocks that are not valid are of FF."""
        elements = [b"\xff" * len(self.block(self.blocks[0]))] * self.capacity if self.blocks else []
        for age, block in enumerate(reversed(self.blocks)):
            step = age if self.descending_blocks else -age
            elements[(self.newest + step) % self.capacity] = self.block(block)
        return b"".join(elements)

    def block(self, block: Block) -> bytes:
        """One element of the array."""
        count = len(block.intervals)
        out = stime(block.end, self.tm, self.order)
        for at in range(self.channels):
            out += self.stored(block.readings[at], 64) if self.end_reads else b""
            out += number(block.pulses[at], 4, self.order) if self.end_pulses else b""
        if self.closure:
            out += number(1 | count << 4, 2, self.order) * self.channels
        listed = list(reversed(block.intervals)) if self.descending_intervals else list(block.intervals)
        if self.simple:
            out += bitset((at for at, item in enumerate(listed) if item.valid), (self.per_block + 7) // 8)
        body = [self.interval(item) for item in listed]
        fill = b"\xee" * len(body[0]) if body else b"\xee" * len(self.interval(Interval((0,) * self.channels)))
        return out + b"".join(body) + fill * (self.per_block - count)

    def interval(self, item: Interval) -> bytes:
        """Status nibbles, the common one first, then the values."""
        out = b""
        if self.extended:
            nibbles = [item.common, *(item.channels or (0,) * self.channels), 0][: 2 * (self.channels // 2 + 1)]
            out = bytes.fromhex("".join(f"{nibble:x}" for nibble in nibbles))
        return out + b"".join(self.stored(value, self.code) for value in item.values)

    def stored(self, value: int, code: int) -> bytes:
        """A value in an interval format."""
        size = {1: 1, 2: 2, 4: 4, 8: 1, 16: 2, 32: 4}.get(code)
        if size is not None:
            return self.whole(value, size) if code >= 8 else number(value, size, self.order)
        ni = self.ni1 if code == 64 else self.ni2
        whole = {4: 4, 7: 3, 8: 4, 9: 5, 10: 6, 11: 8}.get(ni)
        if whole is not None:
            return self.whole(value, whole)
        mark = "<" if self.order == "little" else ">"
        match ni:
            case 0 | 1:
                return struct.pack(mark + "df"[ni], value)
            case 2 | 3 | 13:
                return str(value).rjust({2: 12, 3: 6, 13: 21}[ni]).encode()
            case _:
                digits = 2 * {5: 6, 6: 4, 12: 8}[ni]
                return bytes.fromhex(("A" + f"{-value:0{digits - 1}d}") if value < 0 else f"{value:0{digits}d}")

    def whole(self, value: int, size: int) -> bytes:
        """A whole number with sign."""
        if value >= 0 or self.integer == 0:
            return number(value, size, self.order)
        top = 1 << 8 * size
        return ((top - 1 + value) if self.integer == 1 else (top // 2 - value)).to_bytes(size, self.order)
