"""The channels of a load profile: what each counts, and its values as exact numbers with a scaler."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from connectors.protocols.c12.errors import DecodeError
from connectors.protocols.c12.tables.model import Model
from connectors.protocols.c12.tables.profile_blocks import Numbers, Octets
from connectors.protocols.c12.tables.profile_layout import CONTROL
from connectors.protocols.c12.tables.sources import (
    CONSTANTS,
    DATA_CONTROL,
    DEMAND_CONTROL,
    LINKS,
    UOM,
    Source,
    scale_of,
    source,
    sources,
)
from connectors.protocols.c12.tables.units import DIAL, Told
from connectors.protocols.c12.tables.values import Record

Values: TypeAlias = NDArray[np.int64] | NDArray[np.float64] | NDArray[np.object_]

SKIPPED = 4
"""The channel status of an interval that did not take place."""


@dataclass(frozen=True, slots=True)
class Rules:
    """How one type of meter departs from the standard; the template says."""

    nominal_end: bool = False
    scalars_apply: bool = False
    dial_readings: bool = False
    """Channels whose unit is a dial reading hold the dial's reading, not what was counted in the interval."""


RULES = Rules()


@dataclass(frozen=True, slots=True, eq=False)
class ProfileChannel:
    """One channel. All arrays have one entry a row."""

    source: Source
    obis: str
    unit: str
    scaler: int | None
    """Value = `values` · 10^scaler `unit`; None where the meter does not say what its pulses are worth."""
    values: Values
    raw: Numbers
    """As stored, times a power of ten where the format has decimals."""
    factor: Fraction
    """What `raw` is worth in `unit`."""
    exact: bool
    missing: NDArray[np.bool_]
    """Rows without a value."""
    statuses: Octets
    """The channel status, 0 where there is nothing to say."""


@dataclass(frozen=True, slots=True)
class Selected:
    """What a channel records: its source, and what one of its numbers is worth in the source's."""

    source: Source
    recorded: Fraction


def selected(model: Model, number: int, rules: Rules) -> tuple[Selected, ...]:
    """The channels of data set 1 to 4 (table 62). Raises DecodeError "profile-shape" where a scalar or divisor is 0."""
    # Meters of a type share these tables, and each visit wants the same of them.
    tables = tuple(model.known.get(table) for table in (CONTROL, *_EXPLAINING))
    key = (*map(id, tables), number, rules)
    if (kept := _KEPT.get(key)) is None:
        if len(_KEPT) >= _MOST_KEPT:
            _KEPT.clear()
        kept = _KEPT[key] = (tables, _selected(model, number, rules))
    return kept[1]


def _selected(model: Model, number: int, rules: Rules) -> tuple[Selected, ...]:
    control, known = model.table(CONTROL), sources(model)
    selects = control.records(f"LP_SEL_SET{number}")
    ones = (1,) * len(selects)
    scalars = control.integers(f"SCALARS_SET{number}") if f"SCALARS_SET{number}" in control else ones
    divisors = control.integers(f"DIVISOR_SET{number}") if f"DIVISOR_SET{number}" in control else ones
    found = []
    for select, scalar, divisor in zip(selects, scalars, divisors, strict=True):
        if not (scalar and divisor):
            detail = f"load profile set {number}: scalar {scalar}, divisor {divisor}: neither can be 0; read table 62 again"
            raise DecodeError("profile-shape", detail)
        factor = Fraction(scalar, divisor) if rules.scalars_apply else Fraction(divisor, scalar)
        found.append(Selected(source(known, select.integer("LP_SOURCE_SELECT")), factor))
    return tuple(found)


_EXPLAINING = (UOM, DEMAND_CONTROL, DATA_CONTROL, CONSTANTS, LINKS)
_MOST_KEPT = 256
_KEPT: dict[tuple[object, ...], tuple[tuple[Record | None, ...], tuple[Selected, ...]]] = {}
"""By the identity of the tables, which are kept so that nothing else can get it."""


def channel(
    what: Selected, stored: Numbers, places: int, statuses: Octets, invalid: NDArray[np.bool_], rules: Rules
) -> ProfileChannel:
    """A channel's column. `places` is the power of ten of what is stored, `invalid` marks rows without a value."""
    taken, quantity = what.source, what.source.quantity
    dial = rules.dial_readings and quantity is not None and quantity.time_base == DIAL
    offset = Fraction(0) if quantity is None or (quantity.bulk and not dial) else taken.offset
    factor = what.recorded * taken.factor * Fraction(10) ** places
    values, scaler, exact = scaled(stored, factor, offset)
    return ProfileChannel(
        taken,
        taken.obis(Told.TOTAL if dial else Told.INTERVAL),
        taken.unit,
        scaler if taken.engineering else None,
        values if taken.engineering else stored,
        stored,
        factor,
        exact,
        invalid | (statuses == SKIPPED),
        statuses,
    )


def scaled(stored: Numbers, factor: Fraction, offset: Fraction) -> tuple[Values, int, bool]:
    """Stored · factor + offset as numbers and a power of ten, and whether that is exact. Whole numbers that would not fit 64
    bits become Python's.
    """
    scale = scale_of(factor)
    shift = offset / Fraction(10) ** scale.scaler
    if stored.dtype == np.float64 or not scale.decimal or shift.denominator != 1:
        floats: NDArray[np.float64] = stored.astype(np.float64) * float(factor) + float(offset)
        return floats, 0, False
    most = int(np.abs(stored).max()) if stored.size else 0
    if most * abs(scale.times) + abs(shift.numerator) < 1 << 62:
        whole: NDArray[np.int64] = stored.astype(np.int64) * np.int64(scale.times) + np.int64(shift.numerator)
        return whole, scale.scaler, True
    return stored.astype(object) * scale.times + shift.numerator, scale.scaler, True
