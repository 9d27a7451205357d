"""Manufacturers' tables, procedures and events from a plain mapping, such as a YAML file holds.

    tables:
      2049:
        name: MFG_STATUS_TBL
        title: Manufacturer status
        fields:
          - FLAGS: {bits: 8, names: [TAMPER 0, LEVEL 1..3]}
          - COUNT: UINT8
          - READINGS: {array: COUNT, of: {record: [{TIME: STIME_DATE}, {VALUE: NI_FMAT1}]}}
          - when: ACT_REGS_TBL.NBR_TIERS > 0
            then: [{TIER: UINT8}]
            else: [{SPARE_OCTETS: BINARY(2)}]
          - CODE: {secret: 10}
    procedures:
      2060: {title: Switch, request: [{STATE: UINT8}], response: []}
    events:
      2050: {name: cover opened, kind: TAMPER_COVER, severity: CRITICAL, event_type: 3.12.141.212}

Numbers below 2048 are the standard's and take the place of what is declared for them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from connectors.protocols.c12.errors import DecodeError
from connectors.protocols.c12.tables.builtin import count, named_type
from connectors.protocols.c12.tables.declarations import (
    MANUFACTURER,
    Catalog,
    Declaration,
    EventDeclaration,
    ProcedureDeclaration,
)
from connectors.protocols.c12.tables.layouts import Array, Member, RecordType, Type, When, bits, when
from connectors.protocols.c12.tables.types import binary

MAX_DEPTH = 8
MAX_FIELDS = 1000
"""Fields of one table or procedure."""

ALARM_KINDS = frozenset(
    (
        "", "UNKNOWN", "OUTAGE", "RESTORATION", "TAMPER_COVER", "TAMPER_TERMINAL", "TAMPER_MAGNET", "TAMPER_BYPASS",
        "TAMPER_REVERSE_FLOW", "TAMPER_OTHER", "VOLTAGE", "CLOCK", "COMMUNICATION", "SECURITY", "FIRMWARE", "DEVICE",
    )
)  # fmt: skip
"""Names of the alarm kinds of the records, which this room may not import; a test proves them equal. Empty: no alarm."""

SEVERITIES = frozenset(("UNKNOWN", "INFO", "WARNING", "CRITICAL"))


def declared(source: Mapping[str, Any]) -> Catalog:
    """A catalog from a mapping of the form above. Raises DecodeError "table-declaration" that says where it departs."""
    _keys(source, {"tables", "procedures", "events"}, "the declaration")
    tables = [_table(number, body) for number, body in _numbered(source, "tables")]
    if len({table.name for table in tables}) != len(tables):
        raise _wrong("tables", "two tables of one name")
    return Catalog(
        {table.number: table for table in tables},
        {number: _procedure(number, body) for number, body in _numbered(source, "procedures")},
        {number: _event(number, body) for number, body in _numbered(source, "events")},
    )


def _numbered(source: Mapping[str, Any], key: str) -> list[tuple[int, Mapping[str, Any]]]:
    section = source.get(key) or {}
    if not isinstance(section, Mapping):
        raise _wrong(key, "numbers with what they are were expected")
    found = []
    for number, body in section.items():
        if not isinstance(number, int) or not 0 <= number < 2 * MANUFACTURER or not isinstance(body, Mapping):
            raise _wrong(f"{key} {number!r}", f"a number below {2 * MANUFACTURER} and what it is were expected")
        found.append((number, body))
    return found


def _table(number: int, body: Mapping[str, Any]) -> Declaration:
    place = f"table {number}"
    _keys(body, {"name", "title", "fields", "extensible"}, place)
    name = body.get("name")
    if not isinstance(name, str) or not name.isidentifier():
        raise _wrong(place, "a name such as MFG_STATUS_TBL was expected")
    layout = _record(body.get("fields"), place)
    return Declaration(number, name, str(body.get("title", name)), layout, bool(body.get("extensible", False)))


def _procedure(number: int, body: Mapping[str, Any]) -> ProcedureDeclaration:
    place = f"procedure {number}"
    _keys(body, {"title", "request", "response"}, place)
    request, response = _record(body.get("request", []), place), _record(body.get("response", []), place)
    return ProcedureDeclaration(number, str(body.get("title", place)), request, response)


def _event(number: int, body: Mapping[str, Any]) -> EventDeclaration:
    place = f"event {number}"
    _keys(body, {"name", "kind", "severity", "event_type"}, place)
    event = EventDeclaration(
        str(body.get("name", place)),
        str(body.get("kind", "")),
        str(body.get("severity", "INFO")),
        str(body.get("event_type", "")),
    )
    if event.kind not in ALARM_KINDS or event.severity not in SEVERITIES:
        raise _wrong(place, f"{event.kind!r} or {event.severity!r} is no kind or severity of alarms")
    return event


def _record(fields: Any, place: str) -> RecordType:
    budget = [MAX_FIELDS]
    return RecordType(_members(fields, place, 0, budget))


def _members(fields: Any, place: str, depth: int, budget: list[int]) -> tuple[Member | When, ...]:
    if not isinstance(fields, Sequence) or isinstance(fields, (str, bytes)):
        raise _wrong(place, "a list of fields was expected")
    if depth > MAX_DEPTH:
        raise _wrong(place, f"fields nested deeper than {MAX_DEPTH}")
    return tuple(_member(item, place, depth, budget) for item in fields)


def _member(item: Any, place: str, depth: int, budget: list[int]) -> Member | When:
    budget[0] -= 1
    if budget[0] < 0:
        raise _wrong(place, f"more than {MAX_FIELDS} fields")
    if not isinstance(item, Mapping):
        raise _wrong(place, f"{item!r} is no field: write NAME: TYPE")
    if "when" in item:
        _keys(item, {"when", "then", "else"}, place)
        then = _members(item.get("then"), place, depth + 1, budget)
        return when(str(item["when"]), *then, otherwise=_members(item.get("else", []), place, depth + 1, budget))
    if len(item) != 1:
        raise _wrong(place, f"{list(item)} is no field: write one NAME: TYPE an item")
    ((name, kind),) = item.items()
    if not isinstance(name, str) or not name.isidentifier():
        raise _wrong(place, f"{name!r} is no name of a field")
    return Member(name, _type(kind, f"{place}, {name}", depth + 1, budget))


def _type(kind: Any, place: str, depth: int, budget: list[int]) -> Type:
    if depth > MAX_DEPTH:
        raise _wrong(place, f"types nested deeper than {MAX_DEPTH}")
    if isinstance(kind, str):
        return named_type(kind)
    if isinstance(kind, Mapping):
        match dict(kind):
            case {"array": size, "of": of, **rest} if not rest:
                return Array(_count(size, place), _type(of, place, depth + 1, budget))
            case {"record": fields, **rest} if not rest:
                return RecordType(_members(fields, place, depth + 1, budget))
            case {"bits": (8 | 16 | 24 | 32) as width, "names": list(names), **rest} if not rest:
                return bits(width, *map(str, names))
            case {"secret": size, **rest} if not rest:
                return binary(_count(size, place), secret=True)
    raise _wrong(place, f"{kind!r} is no type: a name, or array and of, record, bits and names, or secret")


def _count(size: Any, place: str) -> int | str:
    if isinstance(size, bool) or not isinstance(size, (int, str)) or (isinstance(size, int) and size < 0):
        raise _wrong(place, f"{size!r} is no size")
    return count(size)


def _keys(body: Mapping[str, Any], known: set[str], place: str) -> None:
    if unknown := sorted(str(key) for key in body if key not in known):
        raise _wrong(place, f"{', '.join(unknown)} is not known: {', '.join(sorted(known))} are")


def _wrong(place: str, why: str) -> DecodeError:
    return DecodeError("table-declaration", f"{place}: {why}")
