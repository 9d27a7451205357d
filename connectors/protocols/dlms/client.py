"""What a head-end reads from a meter, as sessions: clock, registers, profiles. See `client_apdus` for what a session is.

A profile's capture objects, period and scaler-units come back as a `ProfileShape`. Who keeps it by meter type and firmware
and passes it in the next time reads a day in one request: associate, get by range, release.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC
from functools import lru_cache
from typing import NamedTuple

from connectors.protocols.dlms import axdr, cosem
from connectors.protocols.dlms.answers import whole
from connectors.protocols.dlms.association import Associated, Conformance
from connectors.protocols.dlms.client_apdus import Session
from connectors.protocols.dlms.errors import DecodeError, PeerError
from connectors.protocols.dlms.get import LIMITS, Attribute, ByRange, Limits, Selection, datetime_octets, get, get_list
from connectors.protocols.dlms.profile import MAX_COLUMNS, Profile, parse_profile
from connectors.protocols.dlms.profile_batch import parse_profiles
from connectors.protocols.dlms.profile_shape import RULES, Column, ProfileShape, Rules
from connectors.protocols.dlms.telegram import Scalar, octets_of, scalar

CLOCK = Attribute(8, cosem.CLOCK, 2)

_SCALER_UNITS = {(3, 2): 3, (4, 2): 3, (5, 2): 4, (5, 3): 4}
"""Where the scaler-unit of a value stands: (class, value's attribute) to attribute. IEC 62056-6-2, registers."""


class ScalerUnit(NamedTuple):
    """The quantity is raw · 10^scaler unit."""

    scaler: int
    unit: str


@dataclass(frozen=True, slots=True)
class Reading:
    """One attribute as read: a value, or the meter's refusal of it."""

    attribute: Attribute
    value: Scalar = None
    """As in a telegram: octets are a time in ISO 8601, text where printable, else upper-case hex."""
    octets: bytes | None = None
    """The original of a value that came as octets."""
    scaler: int | None = None
    unit: str = ""
    refusal: PeerError | None = None


@dataclass(frozen=True, slots=True)
class Span:
    """A span of time, both ends included, as one type of meter wants it written."""

    start_ms: int
    end_ms: int
    deviation: bool = True
    """Whether the meter takes a deviation in the request."""


def read_clock(
    link: Associated, clock: Attribute = CLOCK, *, deviation_reversed: bool = False
) -> Session[cosem.MeterTime | None]:
    """The meter's time; None where it says that it has none (wildcards)."""
    octets = whole((yield from get(link, clock)), str(clock))
    if not isinstance(octets, bytes):
        raise DecodeError(
            "dlms-time", f"{clock}: a date-time was expected, not {type(octets).__name__}: check the template's clock object"
        )
    return cosem.parse_datetime(octets, deviation_reversed=deviation_reversed)


def read_registers(
    link: Associated,
    values: Sequence[Attribute],
    known: Mapping[Attribute, ScalerUnit] | None = None,
    *,
    deviation_reversed: bool = False,
) -> Session[tuple[Reading, ...]]:
    """One `Reading` for each value attribute, in the same order, such as 3/1.0.1.8.0.255/2 or 1/0.0.96.1.0.255/2.

    Scaler-units are read along, but for those in `known`. What the meter refuses is a refusal in its place and does not stop
    the others; a refused scaler-unit leaves the raw value without one.
    """
    known = known or {}
    units = [unit for value in values if value not in known and (unit := _scaler_unit_of(value)) is not None]
    answers = yield from get_list(link, [*values, *dict.fromkeys(units)])
    found = {
        unit: _scaler_unit(answer, unit) for unit, answer in zip(dict.fromkeys(units), answers[len(values) :], strict=True)
    }
    readings = []
    for attribute, answer in zip(values, answers, strict=False):
        if isinstance(answer, PeerError):
            readings.append(Reading(attribute, refusal=answer))
            continue
        value = whole(answer, str(attribute))
        unit = _scaler_unit_of(attribute)
        scaler_unit = known.get(attribute) or (found.get(unit) if unit else None)
        scaler, symbol = scaler_unit or (None, "")
        readings.append(
            Reading(attribute, scalar(value, deviation_reversed=deviation_reversed), octets_of(value), scaler, symbol)
        )
    return tuple(readings)


def discover(link: Associated, profile: str) -> Session[ProfileShape]:
    """The shape of the profile generic object `profile` (its OBIS): attributes 3, 4 and 5, and its columns' scaler-units."""
    objects, period, sort_method = (Attribute(7, profile, n) for n in (3, 4, 5))
    answers = yield from get_list(link, (objects, period, sort_method))
    if isinstance(answers[0], PeerError):
        raise answers[0]
    captured = _capture_objects(whole(answers[0], str(objects)), objects)
    period_s = 0 if isinstance(answers[1], PeerError) else _integer(answers[1], period)
    order = 1 if isinstance(answers[2], PeerError) else _integer(answers[2], sort_method)
    wanted = [_scaler_unit_of(Attribute(c.class_id, c.obis, c.attribute)) for c in captured]
    units = list(dict.fromkeys(unit for unit in wanted if unit is not None))
    results = yield from get_list(link, units)
    found = {unit: _scaler_unit(answer, unit) for unit, answer in zip(units, results, strict=True)}
    columns = []
    for column, unit in zip(captured, wanted, strict=True):
        scaler_unit = found.get(unit) if unit else None
        scaler, symbol = scaler_unit or (None, "")
        columns.append(Column(column.class_id, column.obis, column.attribute, column.data_index, scaler, symbol))
    return ProfileShape(profile, tuple(columns), period_s, order)


def entries_in_use(link: Associated, profile: str) -> Session[int]:
    """How many rows the profile holds now (attribute 7)."""
    attribute = Attribute(7, profile, 7)
    return _integer((yield from get(link, attribute)), attribute)


def read_profile(
    link: Associated,
    profile: str | ProfileShape,
    select: Span | Selection | None = None,
    rules: Rules = RULES,
    limits: Limits = LIMITS,
) -> Session[tuple[Profile, ProfileShape]]:
    """The rows that `select` names (all, where None), and the shape they were read by: discovered where an OBIS is given.

    A `Span` is asked for by range on the clock column. Meters that grant no selective access send the whole buffer. Either
    way rows outside of the span are left out. Who selects columns passes a shape of just these.
    """
    shape = (yield from discover(link, profile)) if isinstance(profile, str) else profile
    return parse_buffer((yield from read_buffer(link, shape, select, rules, limits)), shape, select, rules), shape


def read_buffer(
    link: Associated,
    shape: ProfileShape,
    select: Span | Selection | None = None,
    rules: Rules = RULES,
    limits: Limits = LIMITS,
) -> Session[bytes]:
    """The rows that `select` names as they came, for `parse_buffer`.

    Reading many meters costs less where buffers are kept and parsed a batch at a time: parsing is quick while it is at it.
    """
    selection = by_range(select, shape, rules) if isinstance(select, Span) else select
    if isinstance(select, Span) and Conformance.SELECTIVE_ACCESS not in link.conformance:
        selection = None
    return (yield from get(link, Attribute(7, shape.obis, 2), selection, limits=limits))


def parse_buffer(data: bytes, shape: ProfileShape, select: Span | Selection | None = None, rules: Rules = RULES) -> Profile:
    """What `read_buffer` brought. DecodeError where it is no profile of this shape."""
    found = parse_profile(data, shape, rules)
    return found.between(select.start_ms, select.end_ms) if isinstance(select, Span) else found


def parse_buffers(
    buffers: Sequence[tuple[bytes, ProfileShape]], select: Span | Selection | None = None, rules: Rules = RULES
) -> list[Profile | DecodeError]:
    """`parse_buffer` of each, at half the cost where many meters are of a type; an error stands in the buffer's place."""
    return parse_profiles(buffers, rules, (select.start_ms, select.end_ms) if isinstance(select, Span) else None)


def by_range(span: Span, shape: ProfileShape, rules: Rules = RULES) -> ByRange:
    """The selection of a span, on the column that times the rows."""
    return _by_range(span, cosem.CLOCK if shape.clock is None else shape.columns[shape.clock].obis, rules)


@lru_cache(maxsize=512)
def _by_range(span: Span, clock: str, rules: Rules) -> ByRange:
    start, end = (
        datetime_octets(at, rules.zone or UTC, deviation=span.deviation, deviation_reversed=rules.deviation_reversed)
        for at in (span.start_ms, span.end_ms)
    )
    return ByRange(start, end, Attribute(8, clock, 2))


def _scaler_unit_of(value: Attribute) -> Attribute | None:
    attribute = _SCALER_UNITS.get((value.class_id, value.attribute))
    return None if attribute is None else Attribute(value.class_id, value.obis, attribute)


def _integer(data: bytes, attribute: Attribute) -> int:
    value = whole(data, str(attribute))
    if not isinstance(value, int):
        raise DecodeError("dlms-axdr", f"{attribute}: a number was expected, not {type(value).__name__}: check the template")
    return int(value)


def _scaler_unit(answer: bytes | PeerError, attribute: Attribute) -> ScalerUnit | None:
    """None where the meter refuses it or has none to give."""
    if isinstance(answer, PeerError):
        return None
    value = whole(answer, str(attribute))
    if isinstance(value, axdr.Structure) and len(value) == 2:
        scaler, unit = value
        if isinstance(scaler, int) and isinstance(unit, int):
            return ScalerUnit(int(scaler), cosem.unit_symbol(int(unit)))
    return None


def _capture_objects(value: axdr.Value, attribute: Attribute) -> tuple[Column, ...]:
    if not isinstance(value, axdr.Array) or len(value) > MAX_COLUMNS:
        detail = f"{attribute}: no list of at most {MAX_COLUMNS} capture objects: check the template's profile object"
        raise DecodeError("profile-shape", detail)
    columns = []
    for entry in value:
        match entry:
            case (int(class_id), bytes(name), int(index), int(data_index), *_) if len(name) == 6:
                columns.append(Column(class_id, cosem.obis(name), index, data_index))
            case _:
                raise DecodeError("profile-shape", f"{attribute}: capture object {len(columns) + 1} is none: ask the vendor")
    return tuple(columns)
