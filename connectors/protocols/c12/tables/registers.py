"""Registers as values with OBIS codes and units (C12.19, tables 22 to 28)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from math import isfinite

from connectors.protocols.c12.errors import DecodeError
from connectors.protocols.c12.tables.clock import Clock
from connectors.protocols.c12.tables.lists import valid_entries
from connectors.protocols.c12.tables.model import Model
from connectors.protocols.c12.tables.numerals import NiFormat, exact
from connectors.protocols.c12.tables.sources import Source, scale_of, source, sources
from connectors.protocols.c12.tables.times import TableTime
from connectors.protocols.c12.tables.units import Told
from connectors.protocols.c12.tables.values import Record, Value

SELECTION, CURRENT, SEASON, DEMAND_RESET, SELF_READS, PRESENT_SELECTION, PRESENT = 22, 23, 24, 25, 26, 27, 28

READABLE = {
    CURRENT: SELECTION,
    SEASON: SELECTION,
    DEMAND_RESET: SELECTION,
    SELF_READS: SELECTION,
    PRESENT: PRESENT_SELECTION,
}
"""Tables of register values, to the table that says which sources they are of."""


@dataclass(frozen=True, slots=True)
class RegisterValue:
    """One register: value · 10^scaler unit."""

    obis: str
    unit: str
    scaler: int | None
    """None where the meter does not say what its pulses are worth."""
    value: int | float | None
    """None where the meter holds no number."""
    name: str
    told: Told
    source: int
    tier: int = 0
    """0 is all tiers together."""
    occurrence: int = 0
    """Of maxima or minima that the meter keeps several of, 0 the first."""
    at: int | None = None
    """UTC, milliseconds: when a maximum or minimum was, where the meter tells."""


@dataclass(frozen=True, slots=True)
class Registers:
    """Registers captured at one time."""

    number: int
    """The table."""
    values: tuple[RegisterValue, ...]
    captured_at: int | None = None
    """UTC, milliseconds; None for present values and where the meter does not tell."""
    season: int | None = None
    demand_resets: int | None = None
    sequence: int | None = None
    """Of a self read."""


def registers(model: Model, number: int, fields: Record, clock: Clock) -> tuple[Registers, ...]:
    """A table of `READABLE` as registers: one set, or of self reads (26) one for each valid entry, oldest first.

    The model must know table 21, the selection, and 12 to 16 as far as the meter has them. Raises DecodeError: "table-…"
    where a table is missing or they contradict each other.
    """
    if number not in READABLE:
        detail = f"table {number} holds no registers: " + ", ".join(map(str, READABLE)) + " do"
        raise DecodeError("table-unknown", detail)
    reading = _Reading(model, sources(model), clock)
    if number == PRESENT:
        return (Registers(number, tuple(reading.present(fields))),)
    groups = [entry for _, entry in valid_entries(fields, "SELF_READS_ENTRIES")] if number == SELF_READS else [fields]
    return tuple(reading.group(number, group) for group in groups)


@dataclass(frozen=True, slots=True)
class _Reading:
    model: Model
    known: tuple[Source, ...]
    clock: Clock

    def group(self, number: int, fields: Record) -> Registers:
        values = list(self.block(fields.record("TOT_DATA_BLOCK"), 0))
        for tier, block in enumerate(fields.records("TIER_DATA_BLOCK"), 1):
            values += self.block(block, tier)
        return Registers(
            number,
            tuple(values),
            self.at(fields.get("END_DATE_TIME")),
            _optional(fields, "SEASON"),
            _optional(fields, "NBR_DEMAND_RESETS"),
            _optional(fields, "SELF_READ_SEQ_NBR"),
        )

    def block(self, block: Record, tier: int) -> Iterator[RegisterValue]:
        selection = self.model.table(SELECTION)
        ni1, ni2 = self.model.config.formats.ni1, self.model.config.formats.ni2
        for index, value in self.selected(selection, "SUMMATION_SELECT", block.array("SUMMATIONS")):
            yield self.value(index, Told.TOTAL, value, ni1, tier)
        maxima = selection.members("MIN_OR_MAX_FLAGS")
        demands = block.records("DEMANDS")
        for at, (index, _) in enumerate(self.selected(selection, "DEMAND_SELECT", demands)):
            told = Told.MAXIMUM if at in maxima else Told.MINIMUM
            times = demands[at].array("EVENT_TIME") if "EVENT_TIME" in demands[at] else ()
            for occurrence, value in enumerate(demands[at].array("DEMAND")):
                when = self.at(times[occurrence]) if times else None
                yield self.value(index, told, value, ni2, tier, occurrence, when)
            for name, kind in (("CUM_DEMAND", Told.CUMULATIVE), ("CONT_CUM_DEMAND", Told.CONTINUOUS)):
                if name in demands[at]:
                    yield self.value(index, kind, demands[at][name], ni1, tier)
        coincidents = block.records("COINCIDENTS")
        for at, (index, _) in enumerate(self.selected(selection, "COINCIDENT_SELECT", coincidents)):
            for occurrence, value in enumerate(coincidents[at].array("COINCIDENT_VALUES")):
                yield self.value(index, Told.COINCIDENT, value, ni2, tier, occurrence)

    def present(self, fields: Record) -> Iterator[RegisterValue]:
        selection = self.model.table(PRESENT_SELECTION)
        ni1, ni2 = self.model.config.formats.ni1, self.model.config.formats.ni2
        demands = fields.records("PRESENT_DEMAND")
        for at, (index, _) in enumerate(self.selected(selection, "PRESENT_DEMAND_SELECT", demands)):
            yield self.value(index, Told.DEMAND, demands[at]["DEMAND_VALUE"], ni2)
        for index, value in self.selected(selection, "PRESENT_VALUE_SELECT", fields.array("PRESENT_VALUE")):
            yield self.value(index, Told.PRESENT, value, ni1)

    def selected(self, selection: Record, name: str, values: tuple[Value, ...]) -> Iterator[tuple[int, Value]]:
        indices = selection.integers(name)
        if len(indices) != len(values):
            detail = f"{len(values)} values, {name} names {len(indices)} sources: read the selection again"
            raise DecodeError("table-shape", detail)
        return zip(indices, values, strict=True)

    def value(
        self,
        index: int,
        told: Told,
        stored: Value,
        form: NiFormat,
        tier: int = 0,
        occurrence: int = 0,
        at: int | None = None,
    ) -> RegisterValue:
        taken = source(self.known, index)
        number, scaler = in_unit(stored, form, taken)
        return RegisterValue(
            taken.obis(told, tier, occurrence),
            taken.unit,
            scaler if taken.engineering else None,
            number,
            taken.name,
            told,
            index,
            tier,
            occurrence,
            at,
        )

    def at(self, time: Value) -> int | None:
        if not isinstance(time, TableTime) or time.seconds is None:
            return None
        return 1000 * self.clock.to_utc(time.seconds)


def _optional(fields: Record, name: str) -> int | None:
    return fields.integer(name) if name in fields else None


def in_unit(stored: Value, form: NiFormat, taken: Source) -> tuple[int | float | None, int]:
    """A stored number in its source's unit, and the power of ten: exactly, where the number is stored in decimals and the
    factor is one. A source of pulses without weight keeps its number.
    """
    factor, offset = (taken.factor, taken.offset) if taken.engineering else (Fraction(1), Fraction(0))
    if isinstance(stored, float):
        return (float(exact(stored, form) * factor + offset), 0) if isfinite(stored) else (None, 0)
    if isinstance(stored, int):
        stored = Decimal(stored)
    if not isinstance(stored, Decimal):
        return None, 0
    places = min(int(stored.as_tuple().exponent), 0)
    scale = scale_of(factor * Fraction(10) ** places)
    shift = offset / Fraction(10) ** scale.scaler
    if not scale.decimal or shift.denominator != 1:
        return float(Fraction(stored) * factor + offset), 0
    return int(stored.scaleb(-places)) * scale.times + int(shift), scale.scaler
