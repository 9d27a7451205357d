"""Event logs (profile generic 0.b.99.98.e, and the power failure log 1.0.99.97.0): what happened at the meter, and when.

Unlike a load profile, a log is read row by row: an event whose time the meter lost is still an event.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from connectors.protocols.dlms import axdr, cosem
from connectors.protocols.dlms.alarms import AlarmFact, alarm_fact
from connectors.protocols.dlms.answers import whole
from connectors.protocols.dlms.association import Associated, Conformance
from connectors.protocols.dlms.client import Span, by_range, discover
from connectors.protocols.dlms.client_apdus import Session
from connectors.protocols.dlms.cosem import MeterTime
from connectors.protocols.dlms.errors import DecodeError
from connectors.protocols.dlms.get import LIMITS, Attribute, Limits, Selection, get
from connectors.protocols.dlms.profile import MAX_ROWS
from connectors.protocols.dlms.profile_shape import RULES, Column, ProfileShape, Rules
from connectors.protocols.dlms.telegram import Scalar, scalar
from connectors.protocols.dlms.template import AlarmTable


@dataclass(frozen=True, slots=True)
class Extra:
    """What else a row holds: a duration, a voltage, a counter."""

    obis: str
    attribute: int
    value: Scalar
    scaler: int | None = None
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Event:
    """One row of a log."""

    time: MeterTime | None
    """None where the meter had none: its clock was invalid."""
    code: int | None
    """None for a log without a code column, such as that of power failures."""
    code_obis: str
    """The event object that the code belongs to, 0.0.96.11.e; empty where there is none."""
    extras: tuple[Extra, ...] = ()


@dataclass(frozen=True, slots=True)
class EventLog:
    """Rows of one log, in the meter's order."""

    obis: str
    events: tuple[Event, ...]

    def alarms(self, tables: Mapping[str, AlarmTable]) -> tuple[AlarmFact, ...]:
        """Every event with a code, as the template's tables (`PushTemplate.events`) name it; unknown codes are UNKNOWN."""
        return tuple(
            alarm_fact(tables.get(event.code_obis) or AlarmTable(event.code_obis, {}), event.code, event.time, self.obis)
            for event in self.events
            if event.code is not None
        )


def read_event_log(
    link: Associated,
    log: str | ProfileShape,
    select: Span | Selection | None = None,
    rules: Rules = RULES,
    limits: Limits = LIMITS,
) -> Session[tuple[EventLog, ProfileShape]]:
    """The rows of `select` (all, where None) and the shape they were read by, which may be kept by meter type and firmware.

    With a `Span`, rows outside of it are left out; those without a time are kept. PeerError where the meter refuses the log,
    DecodeError "profile-shape" where rows and shape differ: discover the shape again.
    """
    shape = (yield from discover(link, log)) if isinstance(log, str) else log
    selection = by_range(select, shape, rules) if isinstance(select, Span) else select
    if isinstance(select, Span) and (Conformance.SELECTIVE_ACCESS not in link.conformance or shape.clock is None):
        selection = None
    data = yield from get(link, Attribute(7, shape.obis, 2), selection, limits=limits)
    found = parse_event_log(data, shape, rules)
    return (_within(found, select, rules) if isinstance(select, Span) else found), shape


def parse_event_log(data: bytes, shape: ProfileShape, rules: Rules = RULES) -> EventLog:
    """The A-XDR octets of a log's buffer."""
    rows = whole(data, shape.source)
    if rows is None:
        return EventLog(shape.obis, ())
    if not isinstance(rows, axdr.Array):
        raise DecodeError("profile-shape", f"{shape.source}: no array of rows: check the template's event logs")
    if len(rows) > MAX_ROWS:
        raise DecodeError(
            "profile-shape", f"{shape.source}: {len(rows)} rows, the limit is {MAX_ROWS}: ask for a shorter range"
        )
    code = code_column(shape.columns)
    return EventLog(shape.obis, tuple(_event(row, shape, code, rules) for row in rows))


def code_column(columns: Iterable[Column]) -> int | None:
    """The index of the column with the event's code: an event object 0.b.96.11.e, value."""
    for at, column in enumerate(columns):
        groups = column.obis.split(".")
        if groups[0] == "0" and groups[2:4] == ["96", "11"] and column.attribute == 2:
            return at
    return None


def _event(row: axdr.Value, shape: ProfileShape, code: int | None, rules: Rules) -> Event:
    if not isinstance(row, axdr.Structure) or len(row) != len(shape.columns):
        detail = f"{shape.source}: a row that does not fit its {len(shape.columns)} columns: discover the shape again"
        raise DecodeError("profile-shape", detail)
    time: MeterTime | None = None
    number: int | None = None
    extras = []
    for at, (column, value) in enumerate(zip(shape.columns, row, strict=True)):
        if at == shape.clock:
            time = _time(value, rules)
        elif at == code and isinstance(value, int):
            number = int(value)
        else:
            plain = scalar(value, deviation_reversed=rules.deviation_reversed)
            extras.append(Extra(column.obis, column.attribute, plain, column.scaler, column.unit))
    return Event(time, number, "" if code is None else shape.columns[code].obis, tuple(extras))


def _time(value: axdr.Value, rules: Rules) -> MeterTime | None:
    if not isinstance(value, bytes):
        return None
    return cosem.try_datetime(value, deviation_reversed=rules.deviation_reversed)


def _within(log: EventLog, span: Span, rules: Rules) -> EventLog:
    def keeps(event: Event) -> bool:
        if event.time is None:
            return True
        at = event.time.utc_ms if rules.zone is None else event.time.to_utc_ms(rules.zone)
        return at is None or span.start_ms <= at <= span.end_ms

    return EventLog(log.obis, tuple(event for event in log.events if keeps(event)))
