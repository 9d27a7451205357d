"""What a C12.22 meter tells unasked, as events: entries of its logs, registers (C12.22, 5.3.2.4.13; C12.19, decade 7)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC

from connectors.gateway.drivers.c12_order import source_of
from connectors.gateway.drivers.c12_records import log_records, registers_readings, unknown_moment
from connectors.gateway.mapping import Event
from connectors.gateway.readings import Origin
from connectors.gateway.zones import zone_of
from connectors.protocols.c12.c1222_messages import TABLE, Message
from connectors.protocols.c12.errors import DecodeError
from connectors.protocols.c12.octets import intact
from connectors.protocols.c12.requests import WriteFull, WriteIndex, WriteOffset
from connectors.protocols.c12.tables.clock import Clock, clock_of
from connectors.protocols.c12.tables.events import EVENTS, HISTORY, log
from connectors.protocols.c12.tables.events import Event as LogEntry
from connectors.protocols.c12.tables.model import Model, decode_table, elements_at, size_of
from connectors.protocols.c12.tables.reading import Element
from connectors.protocols.c12.tables.registers import READABLE, registers
from connectors.protocols.c12.tables.values import Record
from connectors.templates.c12_template import C12Template
from schemas.records import Cause, Meter

_LIMITS = 71
_COUNTS = {EVENTS: "NBR_EVENT_ENTRIES", HISTORY: "NBR_HISTORY_ENTRIES"}
_ENTRIES = "ENTRIES"
_ENTRIES_AT = 5
"""Which member of tables 74 and 76 the entries are."""

Write = WriteFull | WriteIndex | WriteOffset


def notice_events(
    message: Message, meter: Meter, template: C12Template, model: Model | None, received_at: int
) -> tuple[Event, ...]:
    """What a meter's writes say; empty where they hold nothing that anybody reads.

    Raises DecodeError: "table-prerequisite" where nobody knows how the meter's tables are made, else as the tables' readers.
    """
    if model is None:
        detail = (
            f"meter {meter.id} brings tables, and nobody knows yet how they are made: read it, or another of its type, and "
            "redrive; or have its template assume tables 0 and 71"
        )
        raise DecodeError("table-prerequisite", detail)
    clock = _clock(model, meter, template)
    doubt = doubt_of(message)
    events: list[Event] = []
    for write in message.writes:
        table = write.table & TABLE
        if not intact(write.data, write.sum):
            raise DecodeError("psem-checksum", f"table {table}: the checksum is not that of its {len(write.data)} octets")
        origin = Origin(meter.id, source_of(table), received_at, Cause.PUSH)
        if table in _COUNTS:
            entries = _entries(write, table, model, clock)
            events += log_records(entries, meter, origin, template.name, doubt=doubt)
        elif table in READABLE and isinstance(write, WriteFull):
            fields = decode_table(table, write.data, model).value
            found = registers(model, table, fields, clock)
            events += [registers_readings(item, origin, unknown_moment(received_at)) for item in found if item.values]
    return tuple(events)


def doubt_of(message: Message) -> str:
    """Why nothing may come of a message; empty where it proves itself."""
    if message.acts:
        return ""
    if message.test:
        return "sent as a test"
    if message.opened.short:
        return "not proven: too short for its MAC to mean anything"
    return "not proven: sent in clear"


def _clock(model: Model, meter: Meter, template: C12Template) -> Clock:
    try:
        return clock_of(model, zone_of(meter.time_zone) or zone_of(template.time_zone))
    except DecodeError:
        return Clock(UTC)  # an hour or two of doubt do less harm than a last gasp that is refused


def _entries(write: Write, table: int, model: Model, clock: Clock) -> Sequence[LogEntry]:
    if not model.has(_LIMITS):
        raise DecodeError(
            "table-prerequisite", f"table {table} came, and {_LIMITS}, which sizes it, was never read: read it"
        )
    match write:
        case WriteFull():
            fields = _whole(table, write.data, model)
        case WriteOffset():
            fields = _list(tuple(_found(elements_at(table, write.data, write.offset, model))))
        case WriteIndex():
            fields = _list(tuple(_found(elements_at(table, write.data, _place(write, table, model), model))))
    return log(model, table, fields, clock).events


def _whole(table: int, data: bytes, model: Model) -> Record:
    """A log, or as many of its entries as the meter took along: some write no empty ones."""
    try:
        return decode_table(table, data, model).value
    except DecodeError as error:
        head, entry = _sizes(table, model)
        count, rest = divmod(len(data) - head, entry)
        if error.code != "table-size" or rest or count < 1:
            raise
        limits = model.table(_LIMITS).changed(**{_COUNTS[table]: count})
        return _list(decode_table(table, data, model.learned(_LIMITS, limits)).value.records(_ENTRIES))


def _place(write: WriteIndex, table: int, model: Model) -> int:
    """Where the entry stands that an index names."""
    if len(write.indices) != 2 or write.indices[0] != _ENTRIES_AT:
        which = ".".join(map(str, write.indices))
        raise DecodeError("table-shape", f"table {table}: element {which} is none of its entries, which are {_ENTRIES_AT}.n")
    head, entry = _sizes(table, model)
    return head + write.indices[1] * entry


def _sizes(table: int, model: Model) -> tuple[int, int]:
    """Octets before the entries, and of one."""
    limits = model.table(_LIMITS)
    none, one = (size_of(table, model.learned(_LIMITS, limits.changed(**{_COUNTS[table]: count}))) for count in (0, 1))
    return none, one - none


def _found(elements: Sequence[Element]) -> Iterator[Record]:
    """Entries among elements of a part of a log."""
    for element in elements:
        if element.name.startswith(_ENTRIES):
            yield from (item for item in _records(element) if isinstance(item, Record))
        else:
            yield from _found(element.children)


def _records(element: Element) -> Iterator[object]:
    if isinstance(element.value, Record):
        yield element.value
    for child in element.children if isinstance(element.value, tuple) else ():
        yield child.value


def _list(entries: Sequence[Record]) -> Record:
    """Entries as a log that holds these and no others, oldest first."""
    if not entries:
        raise DecodeError("table-size", "a part of a log that holds no whole entry")
    return Record({
        "LIST_STATUS": Record({"ORDER": 0, "OVERFLOW_FLAG": 0}),
        "NBR_VALID_ENTRIES": len(entries),
        "LAST_ENTRY_ELEMENT": len(entries) - 1,
        "LAST_ENTRY_SEQ_NBR": 0,
        "NBR_UNREAD_ENTRIES": len(entries),
        _ENTRIES: tuple(entries),
    })  # fmt: skip
