"""Extended registers (class 4) and demand registers (class 5) whole: value, scaler and unit, status, time of capture."""

from __future__ import annotations

from dataclasses import dataclass

from connectors.protocols.dlms import axdr, cosem
from connectors.protocols.dlms.association import Associated
from connectors.protocols.dlms.client_apdus import Session
from connectors.protocols.dlms.cosem import MeterTime
from connectors.protocols.dlms.objects.reading import Fields, integer, read_fields, structure
from connectors.protocols.dlms.telegram import Scalar, scalar


@dataclass(frozen=True, slots=True)
class ExtendedRegister:
    """The quantity is value · 10^scaler unit, captured at `time`."""

    obis: str
    value: Scalar
    scaler: int | None
    unit: str
    status: Scalar = None
    time: MeterTime | None = None


@dataclass(frozen=True, slots=True)
class DemandRegister:
    """Averages of a demand: of the period that runs, and of the last one that ended at `time`."""

    obis: str
    current: Scalar
    last: Scalar
    scaler: int | None
    unit: str
    status: Scalar = None
    time: MeterTime | None = None
    started: MeterTime | None = None
    """When the period that runs began."""
    period_s: int | None = None
    periods: int | None = None
    """How many periods the last average slides over; 1 is block demand."""


def read_extended_register(link: Associated, obis: str, *, deviation_reversed: bool = False) -> Session[ExtendedRegister]:
    """Attributes 2 to 5 of class 4."""
    fields = yield from read_fields(link, 4, obis, (2, 3, 4, 5))
    scaler, unit = _scaler_unit(fields, 3)
    value, status = (scalar(fields.values.get(n), deviation_reversed=deviation_reversed) for n in (2, 4))
    return ExtendedRegister(obis, value, scaler, unit, status, _time(fields, 5, deviation_reversed))


def read_demand_register(link: Associated, obis: str, *, deviation_reversed: bool = False) -> Session[DemandRegister]:
    """Attributes 2 to 9 of class 5."""
    fields = yield from read_fields(link, 5, obis, (2, 3, 4, 5, 6, 7, 8, 9))
    scaler, unit = _scaler_unit(fields, 4)
    current, last, status = (scalar(fields.values.get(n), deviation_reversed=deviation_reversed) for n in (2, 3, 5))
    time, started = (_time(fields, n, deviation_reversed) for n in (6, 7))
    return DemandRegister(obis, current, last, scaler, unit, status, time, started, fields.integer(8), fields.integer(9))


def _scaler_unit(fields: Fields, attribute: int) -> tuple[int | None, str]:
    value: axdr.Value = fields.values.get(attribute)
    if value is None:
        return None, ""
    subject = fields.name(attribute)
    scaler, unit = structure(value, 2, subject)[:2]
    return integer(scaler, subject), cosem.unit_symbol(integer(unit, subject))


def _time(fields: Fields, attribute: int, deviation_reversed: bool) -> MeterTime | None:
    octets = fields.octets(attribute)
    return None if not octets else cosem.parse_datetime(octets, deviation_reversed=deviation_reversed)
