"""What a job asks, as sessions with a meter: registers, profiles, event logs, the clock. Nothing here changes a meter."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, tzinfo

import numpy as np

from connectors.gateway.errors import JobError
from connectors.gateway.readings import Moment, Origin, Rows, channel, interval_readings, register, register_readings
from connectors.gateway.zones import zone_for, zone_of
from connectors.protocols.dlms.association import Associated
from connectors.protocols.dlms.client import ScalerUnit, Span, read_clock, read_profile, read_registers
from connectors.protocols.dlms.client_apdus import Session
from connectors.protocols.dlms.cosem import MeterTime, obis_bytes
from connectors.protocols.dlms.errors import DecodeError, PeerError
from connectors.protocols.dlms.get import Attribute
from connectors.protocols.dlms.profile import Channel as Column
from connectors.protocols.dlms.profile import Profile, ProfileShape, Rules
from connectors.protocols.dlms.template import Template
from schemas.records import Channel, IntervalReadings, Job, Meter, Operation, Register, RegisterReadings

Reading = IntervalReadings | RegisterReadings
Perform = Callable[[Associated, "Order", "Found"], Session[None]]

_LONG_AGO = 946_684_800_000  # 2000-01-01: before any meter's first row
_A_DAY = 86_400_000
_A_WEEK = 7 * _A_DAY
_MOST_SHAPES = 200_000
_Type = tuple[str, str, str, str]
"""Template, vendor, model, firmware."""
_NO_TYPE = ("", "", "", "")


@dataclass(frozen=True, slots=True)
class Order:
    """A job with all that is needed to do it."""

    job: Job
    meter: Meter
    template: Template
    zone: tzinfo | None
    now_ms: Callable[[], int]
    shapes: Shapes


@dataclass(slots=True)
class Found:
    """What was read so far: kept also where the rest fails."""

    readings: list[Reading] = field(default_factory=list)
    rows: int = 0
    detail: str = ""


class Shapes:
    """Profile shapes and scaler-units that meters have told, so that the next read of a meter takes one request.

    Kept by meter, not by type: scalers follow from the transformers that a meter is set up for. They are asked again when
    the meter has another template or firmware, and once a week, since a meter may be set up anew.
    """

    def __init__(self) -> None:
        self._profiles: dict[tuple[str, str], tuple[_Type, int, ProfileShape]] = {}
        self._units: dict[str, tuple[_Type, int, dict[Attribute, ScalerUnit]]] = {}
        self._same: dict[ProfileShape, ProfileShape] = {}

    def profile(self, meter: Meter, obis: str, now_ms: int) -> ProfileShape | None:
        """The shape of a profile, where it is known."""
        kind, until, shape = self._profiles.get((meter.id, obis), (_NO_TYPE, 0, None))
        return shape if kind == _type_of(meter) and now_ms < until else None

    def keep(self, meter: Meter, shape: ProfileShape, now_ms: int) -> None:
        """Remember a shape; meters of a type share one object."""
        if len(self._profiles) >= _MOST_SHAPES:
            self._profiles.clear()
            self._same.clear()
        shared = self._same.setdefault(shape, shape)
        self._profiles[meter.id, shape.obis] = _type_of(meter), now_ms + _A_WEEK, shared

    def forget(self, meter: Meter, obis: str) -> None:
        """Drop a shape that does not hold any more."""
        self._profiles.pop((meter.id, obis), None)

    def units(self, meter: Meter, now_ms: int) -> dict[Attribute, ScalerUnit]:
        """A meter's scaler-units by value attribute, to be read and added to."""
        kind, until, units = self._units.get(meter.id, (_NO_TYPE, 0, {}))
        if kind == _type_of(meter) and now_ms < until:
            return units
        if len(self._units) >= _MOST_SHAPES:
            self._units.clear()
        units = {}
        self._units[meter.id] = _type_of(meter), now_ms + _A_WEEK, units
        return units


def _type_of(meter: Meter) -> _Type:
    return meter.template, meter.vendor, meter.model, meter.firmware


def order_of(job: Job, meter: Meter, templates: Mapping[str, Template], now_ms: Callable[[], int], shapes: Shapes) -> Order:
    """What is needed for a job, checked before anyone connects. Raises `JobError`."""
    if job.operation not in _OPERATIONS:
        raise JobError(
            "operation-unsupported", f"{job.operation} is not performed by this release; nothing was sent to the meter"
        )
    template = templates.get(meter.template or "generic")
    if template is None:
        raise JobError("template-missing", f"meter {meter.id} names the template {meter.template!r}, which is not loaded")
    if meter.time_zone and zone_of(meter.time_zone) is None:
        raise JobError("time-zone-unknown", f"meter {meter.id} has the time zone {meter.time_zone!r}, which is no IANA name")
    order = Order(job, meter, template, zone_for(meter, template), now_ms, shapes)
    if job.operation is Operation.READ_REGISTERS:
        _registers(order)
    elif job.operation in (Operation.READ_PROFILE, Operation.READ_EVENT_LOG):
        _profiles(order)
    return order


def perform(link: Associated, order: Order, found: Found) -> Session[None]:
    """Do what the job asks, over an open association; what is read is put into `found` as it comes."""
    yield from _OPERATIONS[order.job.operation](link, order, found)


def _read_clock(link: Associated, order: Order, found: Found) -> Session[None]:
    attribute = _clock(order)
    time = yield from read_clock(link, attribute, deviation_reversed=order.template.push.deviation_reversed)
    values = (register(attribute.obis, attribute.attribute, "", None, None if time is None else time.iso),)
    _keep_registers(order, found, str(attribute), values, time)


def _read_registers(link: Associated, order: Order, found: Found) -> Session[None]:
    attributes = _registers(order)
    time: MeterTime | None = None
    try:
        time = yield from read_clock(link, _clock(order), deviation_reversed=order.template.push.deviation_reversed)
    except PeerError as error:
        if error.code != "peer-access":
            raise
    units = order.shapes.units(order.meter, order.now_ms())
    readings = yield from read_registers(link, attributes, units)
    registers = []
    refusals: list[PeerError] = []
    for reading in readings:
        if reading.refusal is not None:
            refusals.append(reading.refusal)
            continue
        if reading.scaler is not None:
            units[reading.attribute] = ScalerUnit(reading.scaler, reading.unit)
        what = reading.attribute
        registers.append(register(what.obis, what.attribute, reading.unit, reading.scaler, reading.value))
    if refusals:
        found.detail = f"{len(refusals)} of {len(readings)} refused, the first: {refusals[0].detail}"
        if not registers:
            raise refusals[0]
    _keep_registers(order, found, "registers", tuple(registers), time)


def _read_profiles(link: Associated, order: Order, found: Found) -> Session[None]:
    for obis in _profiles(order):
        profile, shape = yield from _read_profile(link, order, obis)
        found.readings += profile_readings(profile, shape, order)
        found.rows += profile.rows


def _read_profile(link: Associated, order: Order, obis: str) -> Session[tuple[Profile, ProfileShape]]:
    template, quirks = order.template, order.template.quirks
    rules = Rules(order.zone, template.push.deviation_reversed, "null-repeats" in quirks)
    span = _span(order, deviation="no-deviation" not in quirks)
    known = order.shapes.profile(order.meter, obis, order.now_ms())
    if known is not None:
        try:
            return (yield from read_profile(link, known, span, rules))
        except DecodeError as error:
            if error.code != "profile-shape":
                raise
            order.shapes.forget(order.meter, obis)
    profile, shape = yield from read_profile(link, obis, span, rules)
    order.shapes.keep(order.meter, shape, order.now_ms())
    return profile, shape


def _ping(_link: Associated, _order: Order, _found: Found) -> Session[None]:
    """The association that was opened is the answer."""
    yield from ()


_OPERATIONS: dict[Operation, Perform] = {
    Operation.READ_CLOCK: _read_clock,
    Operation.READ_REGISTERS: _read_registers,
    Operation.READ_PROFILE: _read_profiles,
    Operation.READ_EVENT_LOG: _read_profiles,
    Operation.PING: _ping,
}


def profile_readings(profile: Profile, shape: ProfileShape, order: Order) -> tuple[IntervalReadings, ...]:
    """A profile as records."""
    rows = Rows(
        profile.ends.tolist(),
        profile.period_s,
        tuple(_channel(column) for column in profile.channels),
        profile.deviations.tolist(),
        profile.clock_statuses.tolist(),
        () if profile.statuses is None else profile.statuses.tolist(),
    )
    return interval_readings(_origin(order, shape.source), rows)


def _origin(order: Order, source: str) -> Origin:
    return Origin(order.meter.id, source, order.now_ms(), order.job.cause, order.job.id)


def _channel(column: Column) -> Channel:
    values = column.values
    empty = Channel(column.obis, column.attribute, column.unit, column.scaler)
    if isinstance(values, np.ndarray):
        numbers = tuple(values.tolist())
        return replace(empty, doubles=numbers) if values.dtype.kind == "f" else replace(empty, longs=numbers)
    return channel(column.obis, column.attribute, column.unit, column.scaler, values)


def _keep_registers(
    order: Order, found: Found, source: str, registers: tuple[Register, ...], time: MeterTime | None
) -> None:
    # Without the meter's time the content alone is stated: when it was read must not make another statement of it.
    moment = Moment(order.now_ms(), given=False, stated=("content", 0))
    if time is not None:
        at = time.to_utc_ms(order.zone or UTC)
        moment = Moment(at, given=True, stated=("time", at), deviation=time.deviation, clock_status=time.status)
    found.readings.append(register_readings(_origin(order, source), moment, registers))
    found.rows += len(registers)


def _span(order: Order, *, deviation: bool) -> Span | None:
    """The rows asked for: from the first time, before the second."""
    start, end = order.job.from_time, order.job.to_time
    if start is None and end is None:
        return None
    last = order.now_ms() + _A_DAY if end is None else end - 1
    return Span(_LONG_AGO if start is None else start, last, deviation)


def _clock(order: Order) -> Attribute:
    return Attribute(8, order.template.pull.clock, 2)


def _registers(order: Order) -> list[Attribute]:
    objects = order.job.objects or order.template.pull.registers
    if not objects:
        raise JobError("object-invalid", f"neither the job nor the template {order.template.name!r} names registers to read")
    return [_attribute(text) for text in objects]


def _profiles(order: Order) -> list[str]:
    if order.job.objects:
        attributes = [_attribute(text) for text in order.job.objects]
        for attribute in attributes:
            if (attribute.class_id, attribute.attribute) != (7, 2):
                raise JobError("object-invalid", f"{attribute} is no profile's buffer: 7/OBIS/2 is expected")
        return [attribute.obis for attribute in attributes]
    pull = order.template.pull
    if order.job.operation is Operation.READ_EVENT_LOG:
        names: tuple[str | None, ...] = pull.event_logs
    else:
        which = order.job.parameters.get("profile", "load")
        known = {"load": pull.load_profile, "daily": pull.daily_profile, "billing": pull.billing_profile}
        names = (known.get(which),)
    found = [_obis(name) for name in names if name]
    if not found:
        raise JobError("object-invalid", f"the template {order.template.name!r} names no such profile; name it in the job")
    return found


def _obis(name: str) -> str:
    """OBIS of a profile that a template writes as OBIS or as class/OBIS/attribute."""
    text = name.split("/")[1] if "/" in name else name
    obis_bytes(text)
    return text


def _attribute(text: str) -> Attribute:
    try:
        return Attribute.parse(text)
    except ValueError as error:
        raise JobError("object-invalid", str(error)) from None
