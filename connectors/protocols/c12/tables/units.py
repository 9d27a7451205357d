"""Units of measure: what the entries of table 12 say, in the head-end's terms (C12.19, table 12; IEC 62056-6-1).

A quantity becomes an OBIS code where IEC 62056-6-1 has one for it. Where it has none (quadrants that no IEC register joins,
distortion, sags), the code is made in the ranges that the standard leaves to manufacturers, so that it is unique, the same
for every meter, and says what it was made of:

    A.B.C.D.E.F = 1 . 128 + quadrants + 16 net + 32 harmonic . 128 + ID_CODE . D . 128 + 16 segmentation + tier . 255

D, what of the quantity is told (a total, a maximum, an interval's), is the same in both. Sources without a unit of measure,
and those whose entry does not follow the standard, are 1.199.199.D.SOURCE.255.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from connectors.protocols.c12.tables.values import Record

MULTIPLIERS = (0, 2, 3, 6, 9, -2, -3, -6)
"""MULTIPLIER to the power of ten."""

TIME_BASES = (
    "dial reading", "instantaneous", "period based", "sub-block average demand", "block average demand",
    "net bulk quantity", "thermal demand", "event",
)  # fmt: skip
"""TIME_BASE in words."""

DIAL, INSTANTANEOUS, PERIOD, SUB_BLOCK, BLOCK, NET_BULK, THERMAL, EVENT = range(8)

SEGMENTS = ("", "A to B", "B to C", "C to A", "neutral to ground", "A to neutral", "B to neutral", "C to neutral")
"""SEGMENTATION in words; the first is not of one phase."""

_PHASES = {5: 20, 6: 40, 7: 60}
"""Segmentation of one phase to what OBIS group C has more than for all phases."""


@dataclass(frozen=True, slots=True)
class Unit:
    """What an ID_CODE stands for: its name, its unit, and the unit of its sum over time."""

    name: str
    symbol: str
    integral: str = ""


_U = Unit

IDS = {
    0: _U("active power", "W", "Wh"),
    1: _U("reactive power", "var", "varh"),
    2: _U("apparent power", "VA", "VAh"),
    3: _U("phasor power", "VA", "VAh"),
    4: _U("quantity power Q60", "var", "varh"),
    5: _U("quantity power Q45", "var", "varh"),
    8: _U("voltage RMS", "V", "Vh"),
    9: _U("voltage average", "V", "Vh"),
    10: _U("voltage squared", "V²", "V²h"),
    11: _U("voltage instantaneous", "V", "Vh"),
    12: _U("current RMS", "A", "Ah"),
    13: _U("current average", "A", "Ah"),
    14: _U("current squared", "A²", "A²h"),
    15: _U("current instantaneous", "A", "Ah"),
    16: _U("voltage distortion IEEE", "%"),
    17: _U("current distortion IEEE", "%"),
    18: _U("voltage distortion IC", "%"),
    19: _U("current distortion IC", "%"),
    20: _U("voltage phase angle", "°"),
    21: _U("angle between voltages", "°"),
    22: _U("current phase angle", "°"),
    23: _U("angle between currents", "°"),
    24: _U("power factor, apparent", ""),
    25: _U("power factor, phasor", ""),
    27: _U("power factor angle", "°"),
    29: _U("time of day", ""),
    30: _U("date", ""),
    31: _U("time of day and date", ""),
    32: _U("interval timer", ""),
    33: _U("frequency", "Hz"),
    34: _U("counter", ""),
    35: _U("sense input", ""),
    40: _U("voltage sags", ""),
    41: _U("voltage swells", ""),
    42: _U("power outages", ""),
    43: _U("voltage excursions low", ""),
    44: _U("voltage excursions high", ""),
    45: _U("normal voltage level", "V"),
    46: _U("voltage unbalance", "%"),
    47: _U("voltage distortion excess", ""),
    48: _U("current distortion excess", ""),
    50: _U("number of power outages", ""),
    51: _U("number of demand resets", ""),
    52: _U("number of times programmed", ""),
    53: _U("minutes on battery", "min"),
    64: _U("gas volume, uncorrected", "m³/h", "m³"),
    65: _U("gas volume, corrected", "m³/h", "m³"),
    66: _U("gas volume, corrected without supercompressibility", "m³/h", "m³"),
    67: _U("gas volume, uncorrected", "ft³/h", "ft³"),
    68: _U("gas volume, corrected", "ft³/h", "ft³"),
    69: _U("gas volume, corrected without supercompressibility", "ft³/h", "ft³"),
    76: _U("heat", "J/h", "J"),
    77: _U("heat", "therm/h", "therm"),
    128: _U("water volume", "m³/h", "m³"),
    129: _U("water volume", "ft³/h", "ft³"),
    130: _U("water volume", "gal/h", "gal"),
    131: _U("water volume", "imp.gal/h", "imp.gal"),
}
"""ID_CODE to what it is; other codes keep their number."""


class Told(StrEnum):
    """What of a quantity is told: it decides group D."""

    TOTAL = "total"
    INTERVAL = "interval"
    MAXIMUM = "maximum demand"
    MINIMUM = "minimum demand"
    CUMULATIVE = "cumulative demand"
    CONTINUOUS = "continuous cumulative demand"
    COINCIDENT = "coincident value"
    DEMAND = "present demand"
    PRESENT = "present value"


@dataclass(frozen=True, slots=True)
class Quantity:
    """An entry of table 12."""

    code: int
    time_base: int
    exponent: int
    quadrants: frozenset[int]
    net: bool
    segment: int
    harmonic: bool
    standard: bool
    """Whether the entry follows the standard (NFS is not set)."""

    @classmethod
    def of(cls, entry: Record) -> Quantity:
        """From a bit field of table 12."""
        return cls(
            entry.integer("ID_CODE"),
            entry.integer("TIME_BASE"),
            MULTIPLIERS[entry.integer("MULTIPLIER")],
            frozenset(q for q in range(1, 5) if entry.flag(f"Q{q}_ACCOUNTABILITY")),
            entry.flag("NET_FLOW_ACCOUNTABILITY"),
            entry.integer("SEGMENTATION"),
            entry.flag("HARMONIC"),
            not entry.flag("NFS"),
        )

    @property
    def bulk(self) -> bool:
        """Whether the values are sums over time."""
        return self.time_base in (DIAL, NET_BULK)

    @property
    def symbol(self) -> str:
        """The unit, powers of ten apart; empty where it has none or the entry does not follow the standard."""
        unit = IDS.get(self.code)
        if unit is None or not self.standard:
            return ""
        return (unit.integral or unit.symbol) if self.bulk else unit.symbol

    @property
    def name(self) -> str:
        """In words, such as "active power Q1 Q4 block average demand"."""
        unit = IDS.get(self.code)
        parts = [unit.name if unit else f"ID_CODE {self.code}"]
        parts += [f"Q{q}" for q in sorted(self.quadrants)]
        parts += [SEGMENTS[self.segment]] if self.segment else []
        parts += ["net"] * self.net + ["harmonic"] * self.harmonic
        return " ".join([*parts, TIME_BASES[self.time_base]])


_BOTH_IN, _BOTH_OUT, _ALL = frozenset((1, 4)), frozenset((2, 3)), frozenset((1, 2, 3, 4))
_UPPER, _LOWER, _NONE = frozenset((1, 2)), frozenset((3, 4)), frozenset[int]()

_C: dict[tuple[int, frozenset[int], bool], int] = {
    (0, _BOTH_IN, False): 1, (0, _BOTH_OUT, False): 2, (0, _ALL, False): 15, (0, _ALL, True): 16, (0, _NONE, False): 1,
    **{(0, frozenset((q,)), False): 16 + q for q in range(1, 5)},
    (1, _UPPER, False): 3, (1, _LOWER, False): 4, **{(1, frozenset((q,)), False): 4 + q for q in range(1, 5)},
    (2, _BOTH_IN, False): 9, (2, _BOTH_OUT, False): 10, (2, _NONE, False): 9,
}  # fmt: skip
"""ID_CODE, quadrants and net to OBIS group C (IEC 62056-6-1, table "Value group C codes — Electricity")."""

_C_ANY = {8: 12, 9: 12, 11: 12, 12: 11, 13: 11, 15: 11, 24: 13, 25: 13, 33: 14, 10: 89, 14: 88}
"""ID_CODE to group C where direction means nothing."""

_D = {
    Told.MAXIMUM: 6, Told.MINIMUM: 3, Told.CUMULATIVE: 2, Told.CONTINUOUS: 128, Told.COINCIDENT: 130, Told.DEMAND: 4,
}  # fmt: skip


def obis(quantity: Quantity | None, told: Told, source: int, tier: int = 0, occurrence: int = 0) -> str:
    """The OBIS code of a value: of tier 0 (all) to 14, from the source of that index in table 16. Further occurrences of a
    maximum, minimum or coincident value have a D of their own.
    """
    d = _group_d(quantity, told)
    if occurrence:
        d = {Told.MAXIMUM: 144, Told.MINIMUM: 160}.get(told, 176) + min(occurrence, 15)
    if quantity is None or not quantity.standard or quantity.code > 63:
        return f"1.199.199.{d}.{source}.255"
    c = None if quantity.harmonic else _group_c(quantity)
    if c is not None:
        return f"1.0.{c}.{d}.{tier}.255"
    quadrants = sum(1 << q - 1 for q in quantity.quadrants)
    b = 128 + quadrants + 16 * quantity.net + 32 * quantity.harmonic
    return f"1.{b}.{128 + quantity.code}.{d}.{128 + 16 * quantity.segment + min(tier, 14)}.255"


def _group_c(quantity: Quantity) -> int | None:
    base = _C_ANY.get(quantity.code)
    if base is None:
        base = _C.get((quantity.code, quantity.quadrants, quantity.net))
    if base is None or quantity.segment == 0:
        return base
    shift = _PHASES.get(quantity.segment)
    return None if shift is None or base > 20 else base + shift


def _group_d(quantity: Quantity | None, told: Told) -> int:
    if told in _D:
        return _D[told]
    base = INSTANTANEOUS if quantity is None else quantity.time_base
    if told is Told.INTERVAL:
        return 29 if base in (DIAL, NET_BULK) else 7 if base == INSTANTANEOUS else 27
    if told is Told.TOTAL or base in (DIAL, NET_BULK):
        return 8
    return 4 if base in (SUB_BLOCK, BLOCK, THERMAL) else 7
