"""Octets of C12.19 as the standard lays them out, lowest octet first: numbers, sets, times, units of measure."""

from __future__ import annotations

from collections.abc import Iterable

from connectors.simulator.c12.kinds import C12Kind

_NI_FORMATS = {4: 8, 6: 10, 8: 11}
NI2_FLOAT32 = 1


def number(value: int, octets: int) -> bytes:
    """A whole number, two's complement where negative."""
    return (value % (1 << 8 * octets)).to_bytes(octets, "little")


def bitset(members: Iterable[int], octets: int) -> bytes:
    """A SET: bit n of octet n / 8."""
    return number(sum(1 << member for member in members), octets)


def text(characters: str, octets: int) -> bytes:
    """A STRING, filled up with blanks."""
    return characters.encode("ascii")[:octets].ljust(octets)


def ni_format(kind: C12Kind) -> int:
    """The code of NI_FMAT1 in table 0."""
    return _NI_FORMATS[kind.number]


def stime(seconds: int, kind: C12Kind) -> bytes:
    """STIME_DATE of seconds since 1970 by the meter's clock."""
    return number(seconds if kind.seconds else seconds // 60, 4)


def ltime(seconds: int, kind: C12Kind) -> bytes:
    """LTIME_DATE likewise."""
    return number(seconds, 4) if kind.seconds else number(seconds // 60, 4) + number(seconds % 60, 1)


def uom(code: int, base: int, *, multiplier: int = 0, quadrants: Iterable[int] = (), segment: int = 0) -> bytes:
    """An entry of table 12: ID_CODE, TIME_BASE, MULTIPLIER (its code), Q1 to Q4, SEGMENTATION."""
    return number(code | base << 8 | multiplier << 11 | sum(1 << 13 + q for q in quadrants) | segment << 19, 4)


def id_b(code: int, selector: int = 0) -> bytes:
    """TABLE_IDB_BFLD: a procedure, or an event code; the standard's."""
    return number(code | selector << 12, 2)
