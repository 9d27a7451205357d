"""What a job asks of a DLMS meter, as sessions and steps: registers, profiles, event logs, the clock. Nothing here changes a
meter: what does is in `dlms_commands`.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC
from functools import lru_cache

from connectors.gateway.drivers.dlms_commands import COMMANDS, command_of
from connectors.gateway.drivers.dlms_events import log_alarms
from connectors.gateway.drivers.dlms_firmware_fit import wanted
from connectors.gateway.drivers.dlms_order import DlmsOrder, origin_of
from connectors.gateway.drivers.dlms_profiles import RawProfile, may_fit
from connectors.gateway.drivers.port import Found
from connectors.gateway.errors import JobError
from connectors.gateway.readings import Moment, register, register_readings
from connectors.protocols.dlms.association import Associated
from connectors.protocols.dlms.client import Reading as RegisterReading
from connectors.protocols.dlms.client import ScalerUnit, Span, discover, read_buffer, read_clock, read_registers
from connectors.protocols.dlms.client_apdus import Session, T
from connectors.protocols.dlms.cosem import MeterTime, obis_bytes
from connectors.protocols.dlms.errors import DecodeError, PeerError
from connectors.protocols.dlms.get import Attribute
from connectors.protocols.dlms.objects.event_log import EventLog, code_column, read_event_log
from connectors.protocols.dlms.objects.object_list import read_object_list
from connectors.protocols.dlms.objects.steps import Pause, Steps
from connectors.protocols.dlms.profile_shape import ProfileShape
from connectors.protocols.dlms.quirks import rules_of, sends_deviation
from schemas.records import Operation, Register

Perform = Callable[[Associated, DlmsOrder, Found], Steps[None]]

_LONG_AGO = 946_684_800_000  # 2000-01-01: before any meter's first row
_A_DAY = 86_400_000
_MOST_LISTED = 500
"""Registers that one job may mean by patterns."""


def check(order: DlmsOrder) -> None:
    """Whether the job can be asked of the meter at all. Raises `JobError`."""
    if order.job.operation in COMMANDS:
        command_of(order)
    elif order.job.operation is Operation.FIRMWARE_TRANSFER:
        wanted(order)
    elif order.job.operation not in _OPERATIONS:
        detail = f"{order.job.operation} is not performed by this release; nothing was sent to the meter"
        raise JobError("operation-unsupported", detail)
    if order.job.operation is Operation.READ_REGISTERS:
        _registers(order)
    elif order.job.operation in (Operation.READ_PROFILE, Operation.READ_EVENT_LOG):
        _profiles(order)


def perform(link: Associated, order: DlmsOrder, found: Found) -> Steps[None]:
    """Do what the job asks, over an open association; what is read is put into `found` as it comes."""
    operation = _OPERATIONS.get(order.job.operation)
    if operation is None:
        raise JobError("operation-unsupported", f"{order.job.operation} is done as a command only, with its proofs")
    return operation(link, order, found)


def _read_clock(link: Associated, order: DlmsOrder, found: Found) -> Steps[None]:
    attribute = _clock(order)
    time = yield read_clock(link, attribute, deviation_reversed=order.template.push.deviation_reversed)
    values = (register(attribute.obis, attribute.attribute, "", None, None if time is None else time.iso),)
    _keep_registers(order, found, str(attribute), values, time)


def _read_registers(link: Associated, order: DlmsOrder, found: Found) -> Steps[None]:
    attributes = _registers(order)
    if any(map(_is_pattern, attributes)):
        attributes = yield _listed(link, order, attributes)
    time: MeterTime | None = None
    try:
        time = yield read_clock(link, _clock(order), deviation_reversed=order.template.push.deviation_reversed)
    except PeerError as error:
        if error.code != "peer-access":
            raise
    units = order.shapes.units(order.meter, order.now_ms())
    readings: tuple[RegisterReading, ...] = yield read_registers(link, attributes, units)
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


def _listed(link: Associated, order: DlmsOrder, named: list[Attribute]) -> Session[list[Attribute]]:
    """What is named, patterns as the meter's object list has it; that is asked for once a type and firmware."""
    known = order.shapes.objects(order.meter, order.now_ms())
    if known is None:
        known = yield from read_object_list(link)
        order.shapes.keep_objects(order.meter, known, order.now_ms())
    found: dict[Attribute, None] = {}
    for what in named:
        if not _is_pattern(what):
            found[what] = None
            continue
        for entry in known.matching(what.obis, what.class_id):
            attribute = Attribute(entry.class_id, entry.obis, what.attribute)
            if known.may_read(attribute) is not False:
                found[attribute] = None
    if not 1 <= len(found) <= _MOST_LISTED:
        detail = f"{', '.join(map(str, named))} mean {len(found)} of the meter's {len(known)} objects: 1 to {_MOST_LISTED}"
        raise JobError("object-invalid", f"{detail} may be read at once", harmless=True)
    return list(found)


def _read_profiles(link: Associated, order: DlmsOrder, found: Found) -> Steps[None]:
    for number, obis in enumerate(_profiles(order)):
        if number:
            yield Pause()
        found.raw.append((yield _read_profile(link, order, obis)))


def _read_profile(link: Associated, order: DlmsOrder, obis: str) -> Session[RawProfile]:
    """A profile's buffer as it came. Parsed after the visit, with those of other meters, it costs less."""
    rules, span = rules_of(order.template, order.zone), _span(order)
    shape = order.shapes.profile(order.meter, obis, order.now_ms())
    if shape is not None:
        buffer = yield from read_buffer(link, shape, span, rules)
        if may_fit(buffer, shape):
            return RawProfile(order, shape, False, buffer, span, rules)
        order.shapes.forget(order.meter, obis)
    shape = yield from discover(link, obis)
    order.shapes.keep(order.meter, shape, order.now_ms())
    return RawProfile(order, shape, True, (yield from read_buffer(link, shape, span, rules)), span, rules)


def _read_event_logs(link: Associated, order: DlmsOrder, found: Found) -> Steps[None]:
    for number, obis in enumerate(_profiles(order)):
        if number:
            yield Pause()
        shape = order.shapes.profile(order.meter, obis, order.now_ms())
        if shape is None:
            shape = yield discover(link, obis)
            order.shapes.keep(order.meter, shape, order.now_ms())
        if code_column(shape.columns) is None:  # such as that of power failures: times and durations
            found.raw.append((yield _read_profile(link, order, obis)))
            continue
        log = yield _read_event_log(link, order, obis)
        found.readings += log_alarms(log, order.meter, order.template, order.zone, order.now_ms())
        found.rows += len(log.events)


def _read_event_log(link: Associated, order: DlmsOrder, obis: str) -> Session[EventLog]:
    rules, span = rules_of(order.template, order.zone), _span(order)
    log, _ = yield from _by_known_shape(order, obis, lambda what: read_event_log(link, what, span, rules))
    return log


def _by_known_shape(
    order: DlmsOrder, obis: str, read: Callable[[str | ProfileShape], Session[tuple[T, ProfileShape]]]
) -> Session[tuple[T, ProfileShape]]:
    """What is read by the shape that is known or, where that holds no more, by one that is asked for."""
    known = order.shapes.profile(order.meter, obis, order.now_ms())
    if known is not None:
        try:
            return (yield from read(known))
        except DecodeError as error:
            if error.code != "profile-shape":
                raise
            order.shapes.forget(order.meter, obis)
    found, shape = yield from read(obis)
    order.shapes.keep(order.meter, shape, order.now_ms())
    return found, shape


def _ping(_link: Associated, _order: DlmsOrder, _found: Found) -> Steps[None]:
    """The association that was opened is the answer."""
    yield from ()


_OPERATIONS: dict[Operation, Perform] = {
    Operation.READ_CLOCK: _read_clock,
    Operation.READ_REGISTERS: _read_registers,
    Operation.READ_PROFILE: _read_profiles,
    Operation.READ_EVENT_LOG: _read_event_logs,
    Operation.PING: _ping,
}


def _keep_registers(
    order: DlmsOrder, found: Found, source: str, registers: tuple[Register, ...], time: MeterTime | None
) -> None:
    # Without the meter's time the content alone is stated: when it was read must not make another statement of it.
    moment = Moment(order.now_ms(), given=False, stated=("content", 0))
    if time is not None:
        at = time.to_utc_ms(order.zone or UTC)
        moment = Moment(at, given=True, stated=("time", at), deviation=time.deviation, clock_status=time.status)
    found.readings.append(register_readings(origin_of(order, source), moment, registers))
    found.rows += len(registers)


def _span(order: DlmsOrder) -> Span | None:
    """The rows asked for: from the first time, before the second."""
    start, end = order.job.from_time, order.job.to_time
    if start is None and end is None:
        return None
    last = order.now_ms() + _A_DAY if end is None else end - 1
    return Span(_LONG_AGO if start is None else start, last, sends_deviation(order.template))


def _clock(order: DlmsOrder) -> Attribute:
    return Attribute(8, order.template.pull.clock, 2)


def _registers(order: DlmsOrder) -> list[Attribute]:
    objects = order.job.objects or order.template.pull.registers
    if not objects:
        raise JobError("object-invalid", f"neither the job nor the template {order.template.name!r} names registers to read")
    return [_register(text) for text in objects]


def _profiles(order: DlmsOrder) -> list[str]:
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


@lru_cache(maxsize=4_096)
def _obis(name: str) -> str:
    """OBIS of a profile that a template writes as OBIS or as class/OBIS/attribute."""
    text = name.split("/")[1] if "/" in name else name
    obis_bytes(text)
    return text


def _is_pattern(attribute: Attribute) -> bool:
    return "*" in attribute.obis


@lru_cache(maxsize=4_096)
def _register(text: str) -> Attribute:
    """An attribute, in whose OBIS a group may be `*`."""
    class_id, obis, attribute, *_ = [*text.split("/"), "", ""]
    if "*" not in obis.split(".") or text.count("/") != 2:
        return _attribute(text)
    plain = _attribute(f"{class_id}/{'.'.join('0' if group == '*' else group for group in obis.split('.'))}/{attribute}")
    return Attribute(plain.class_id, obis, plain.attribute)


@lru_cache(maxsize=4_096)
def _attribute(text: str) -> Attribute:
    try:
        return Attribute.parse(text)
    except ValueError as error:
        raise JobError("object-invalid", str(error)) from None
