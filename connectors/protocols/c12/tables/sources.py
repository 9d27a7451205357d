"""Sources: what an index into table 16 measures, and what turns its stored numbers into the unit (C12.19, tables 12 to 16).

The tables have an entry for each source whose flag in table 16 is set, in the order of the sources: the entry of a source is
found by counting flags. A stored number becomes the quantity by

    (number · MULTIPLIER + OFFSET) · 10^multiplier of its unit

where table 16 says that constants are to be applied. Ratios of transformers (SET1 and SET2 of table 15) are told, not
applied: values stay as the meter states them. A source in pulses whose constants are not to be applied has no unit.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from connectors.protocols.c12.errors import DecodeError
from connectors.protocols.c12.tables.model import Model
from connectors.protocols.c12.tables.numerals import NiFormat, exact
from connectors.protocols.c12.tables.units import Quantity, Told, obis
from connectors.protocols.c12.tables.values import Record

UOM, DEMAND_CONTROL, DATA_CONTROL, CONSTANTS, LINKS = 12, 13, 14, 15, 16

MAX_DIGITS = 18
"""Decimal digits of a factor that integers are multiplied by; a longer one makes floats."""


@dataclass(frozen=True, slots=True)
class Source:
    """One entry of table 16 with all that belongs to it."""

    index: int
    quantity: Quantity | None = None
    factor: Fraction = Fraction(1)
    """Quantity in `unit` = stored number · factor + offset."""
    offset: Fraction = Fraction(0)
    ratio: Fraction = Fraction(1)
    """What the value would be multiplied by to become the primary side's; not in `factor`."""
    engineering: bool = True
    """Whether values are in the unit once the factor is applied; False: pulses of unknown weight."""
    demand_minutes: int | None = None
    """Length of a demand interval."""
    data_control: bytes = b""

    @property
    def unit(self) -> str:
        """The unit's symbol, without a power of ten."""
        return self.quantity.symbol if self.quantity and self.engineering else ""

    @property
    def name(self) -> str:
        """In words."""
        return self.quantity.name if self.quantity else f"source {self.index}"

    def obis(self, told: Told, tier: int = 0, occurrence: int = 0) -> str:
        """The OBIS code of a value of this source; see `units`."""
        return obis(self.quantity, told, self.index, tier, occurrence)


@dataclass(frozen=True, slots=True)
class Scale:
    """An exact factor, taken apart: value = number · `times` · 10^`scaler`, or number · factor where `decimal` is False."""

    times: int
    scaler: int
    factor: Fraction
    decimal: bool


def scale_of(factor: Fraction) -> Scale:
    """A factor as a whole number and a power of ten where it is a decimal of at most `MAX_DIGITS` digits."""
    if factor == 0:
        return Scale(0, 0, factor, decimal=True)
    denominator, twos, fives = factor.denominator, 0, 0
    while denominator % 2 == 0:
        denominator, twos = denominator // 2, twos + 1
    while denominator % 5 == 0:
        denominator, fives = denominator // 5, fives + 1
    places = max(twos, fives)
    if denominator != 1 or places > MAX_DIGITS:
        return Scale(1, 0, factor, decimal=False)
    times = int(factor * 10**places)
    while times % 10 == 0:
        times, places = times // 10, places - 1
    if len(str(abs(times))) > MAX_DIGITS:
        return Scale(1, 0, factor, decimal=False)
    return Scale(times, -places, factor, decimal=True)


def sources(model: Model) -> tuple[Source, ...]:
    """Every source, by index. Without table 16 there are none, and `source` makes do.

    Raises DecodeError: "table-prerequisite" where table 16 refers to a table that was not read, "table-shape" where it
    refers to more entries than that has.
    """
    if not model.has(LINKS):
        return ()
    links = model.table(LINKS).array("SOURCES_LINK")
    counts = dict.fromkeys(("UOM_ENTRY_FLAG", "DEMAND_CTRL_FLAG", "DATA_CTRL_FLAG", "CONSTANTS_FLAG"), 0)
    found = []
    for index, link in enumerate(links):
        if not isinstance(link, Record):
            raise TypeError(link)
        entries: dict[str, int | None] = {}
        for flag in counts:
            entries[flag] = counts[flag] if link.flag(flag) else None
            counts[flag] += link.flag(flag)
        found.append(_source(model, index, link, entries))
    return tuple(found)


def source(found: tuple[Source, ...], index: int) -> Source:
    """The source of an index; one that says nothing where there is no such."""
    return found[index] if index < len(found) else Source(index, engineering=False)


def _source(model: Model, index: int, link: Record, entries: dict[str, int | None]) -> Source:
    uom = _entry(model, UOM, "UOM_ENTRY", entries["UOM_ENTRY_FLAG"])
    quantity = Quantity.of(uom) if uom is not None else None
    constants = _entry(model, CONSTANTS, "SELECTION", entries["CONSTANTS_FLAG"])
    applied = link.flag("CONSTANT_TO_BE_APPLIED") and constants is not None
    factor, offset, ratio = Fraction(1), Fraction(0), Fraction(1)
    ni1 = model.config.formats.ni1
    if constants is not None:
        ratio = _ratio(constants, ni1)
        if applied:
            factor, offset = exact(constants.number("MULTIPLIER"), ni1), exact(constants.number("OFFSET"), ni1)
    power = Fraction(10) ** (quantity.exponent if quantity else 0)
    return Source(
        index,
        quantity,
        factor * power,
        offset * power,
        ratio,
        link.flag("PULSE_ENGR_FLAG") or applied,
        _demand_minutes(_entry(model, DEMAND_CONTROL, "INTERVAL_VALUE", entries["DEMAND_CTRL_FLAG"])),
        _data_control(model, entries["DATA_CTRL_FLAG"]),
    )


def _ratio(constants: Record, ni1: NiFormat) -> Fraction:
    ratio = Fraction(1)
    for name in ("SET1_CONSTANTS", "SET2_CONSTANTS"):
        if name in constants:
            group = constants.record(name)
            if not group.flag("SET_APPLIED_FLAG"):
                ratio *= exact(group.number("RATIO_F1"), ni1) * exact(group.number("RATIO_P1"), ni1)
    return ratio


def _demand_minutes(interval: Record | None) -> int | None:
    if interval is None:
        return None
    if "INT_LENGTH" in interval:
        return interval.integer("INT_LENGTH")
    return interval.integer("SUB_INT") * interval.integer("INT_MULTIPLIER")


def _entry(model: Model, number: int, name: str, at: int | None) -> Record | None:
    if at is None:
        return None
    items = model.table(number).records(name) if name in model.table(number) else ()
    if at >= len(items):
        raise _too_few(number, len(items))
    return items[at]


def _data_control(model: Model, at: int | None) -> bytes:
    if at is None or not model.has(DATA_CONTROL):  # what it selects is the maker's business: values do without it
        return b""
    items = model.table(DATA_CONTROL).array("SOURCES_ID")
    if at >= len(items):
        raise _too_few(DATA_CONTROL, len(items))
    item = items[at]
    return item if isinstance(item, bytes) else b""


def _too_few(number: int, count: int) -> DecodeError:
    detail = f"table 16 flags more sources than table {number} has entries ({count}): read tables 11 to 16 again"
    return DecodeError("table-shape", detail)
