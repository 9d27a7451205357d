"""Logs and status flags as events, and as alarms where somebody should know (C12.19, tables 3, 74 and 76)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from connectors.protocols.c12.errors import DecodeError
from connectors.protocols.c12.tables.builtin import STIME, TABLE_IDA, TABLE_IDB
from connectors.protocols.c12.tables.clock import Clock
from connectors.protocols.c12.tables.declarations import MANUFACTURER, EventDeclaration
from connectors.protocols.c12.tables.event_codes import STATUS_FLAGS
from connectors.protocols.c12.tables.layouts import decode_bits
from connectors.protocols.c12.tables.lists import valid_entries
from connectors.protocols.c12.tables.model import Model
from connectors.protocols.c12.tables.standard_procedures import LISTS
from connectors.protocols.c12.tables.times import TableTime
from connectors.protocols.c12.tables.values import Record

HISTORY, EVENTS = 74, 76

_NAMES = {HISTORY: "HISTORY", EVENTS: "EVENT"}


@dataclass(frozen=True, slots=True)
class Event:
    """One entry of a log."""

    number: int
    """The table: 74 is the history log, 76 the event log."""
    code: int
    """A manufacturer's codes are from 2048 on."""
    declaration: EventDeclaration
    """What the code means, as a record's kind and severity; UNKNOWN where nobody says."""
    at: int | None
    """UTC, milliseconds; None where the meter gives no time."""
    user: int
    """Who did it, by the meter's user numbers; 0 is the meter."""
    sequence: int | None
    event_number: int | None
    argument: bytes
    detail: str
    """The argument in words, where the standard says what it is; else empty."""


@dataclass(frozen=True, slots=True)
class Log:
    """A log's valid entries, oldest first."""

    number: int
    events: tuple[Event, ...]
    unread: int
    """Entries, the newest, that nobody confirmed to have read (procedure 5)."""
    overflow: bool
    """Whether entries were lost."""
    last_sequence: int


def log(model: Model, number: int, fields: Record, clock: Clock) -> Log:
    """Table 74 or 76 as events. Raises DecodeError: "table-shape" where the list contradicts itself, "table-unknown" for
    another table.
    """
    if number not in _NAMES:
        raise DecodeError("table-unknown", f"table {number} is no log: 74 and 76 are")
    return Log(
        number,
        tuple(_event(model, number, entry, clock) for _, entry in valid_entries(fields, "ENTRIES")),
        fields.integer("NBR_UNREAD_ENTRIES"),
        fields.flag("OVERFLOW_FLAG"),
        fields.integer("LAST_ENTRY_SEQ_NBR"),
    )


def _event(model: Model, number: int, entry: Record, clock: Clock) -> Event:
    word = _NAMES[number]
    bits = entry.record(f"{word}_CODE")
    code = bits.integer("TBL_PROC_NBR") + MANUFACTURER * bits.flag("MFG_FLAG")
    time = entry.get(f"{word}_TIME")
    seconds = time.seconds if isinstance(time, TableTime) else None
    argument = entry.octets(f"{word}_ARGUMENT")
    return Event(
        number,
        code,
        event_declaration(model, code),
        None if seconds is None else 1000 * clock.to_utc(seconds),
        entry.integer("USER_ID"),
        entry.integer(f"{word}_SEQ_NBR") if f"{word}_SEQ_NBR" in entry else None,
        entry.integer("EVENT_NUMBER") if "EVENT_NUMBER" in entry else None,
        argument,
        _detail(model, code, argument),
    )


def event_declaration(model: Model, code: int) -> EventDeclaration:
    """What an event code means; an alarm of kind UNKNOWN where neither the standard nor the template says."""
    found = model.catalog.events.get(code)
    if found is not None:
        return found
    whose = f"manufacturer event {code - MANUFACTURER}" if code >= MANUFACTURER else f"event {code}"
    return EventDeclaration(whose, "UNKNOWN", "WARNING")


def status_events(fields: Record) -> tuple[tuple[str, EventDeclaration], ...]:
    """The flags of table 3 that are set and stand for something, by name."""
    status = fields.record("ED_STD_STATUS1")
    return tuple((name, declared) for name, declared in STATUS_FLAGS.items() if status.flag(name))


def _detail(model: Model, code: int, argument: bytes) -> str:
    read = _ARGUMENTS.get(code)
    return read(model, argument) if read is not None else ""


def _table(model: Model, argument: bytes) -> str:
    if len(argument) < 2:
        return ""
    bits = decode_bits(TABLE_IDA, argument[:2], model.context())
    number = bits.integer("TBL_NBR") + MANUFACTURER * bits.flag("MFG_FLAG")
    declared = model.catalog.tables.get(number)
    return f"table {number}" + (f" ({declared.title})" if declared else "")


def _procedure(model: Model, argument: bytes) -> str:
    if len(argument) < 2:
        return ""
    bits = decode_bits(TABLE_IDB, argument[:2], model.context())
    number = bits.integer("TBL_PROC_NBR") + MANUFACTURER * bits.flag("MFG_FLAG")
    declared = model.catalog.procedures.get(number)
    return f"procedure {number}" + (f" ({declared.title})" if declared else "")


def _time(model: Model, argument: bytes) -> str:
    context = model.context()
    size = STIME.size(context)
    return str(STIME.decode(argument[:size], context)) if size and len(argument) >= size else ""


def _numbered(word: str) -> Callable[[Model, bytes], str]:
    return lambda _, argument: f"{word} {argument[0]}" if argument else ""


_ARGUMENTS: dict[int, Callable[[Model, bytes], str]] = {
    **dict.fromkeys((10, 28, 29, 59, 64, 69), _table),
    **dict.fromkeys((9, 58, 63, 68), _procedure),
    **dict.fromkeys((5, 6), _time),
    **dict.fromkeys((14, 15), lambda _, argument: LISTS.get(argument[0], "") if argument else ""),
    24: _numbered("season"), 25: _numbered("rate"), 26: _numbered("special schedule"), 27: _numbered("tier"),
}  # fmt: skip
"""Codes whose arguments the standard explains."""
