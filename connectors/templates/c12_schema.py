"""The keys of an ANSI C12 template file: what each may hold, and the values it becomes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from connectors.protocols.c12.c1222_security import Short
from connectors.protocols.c12.epsem import ED_CLASS, Mode
from connectors.protocols.c12.errors import C12Error
from connectors.protocols.c12.requests import BAUDS
from connectors.protocols.c12.tables.catalog import STANDARD
from connectors.protocols.c12.tables.declarations import MANUFACTURER
from connectors.protocols.c12.tables.declared import declared
from connectors.protocols.c12.tables.profile_channels import Rules
from connectors.protocols.c12.titles import ApTitle, title
from connectors.templates import schema
from connectors.templates.c12_template import (
    ACCESSES,
    LOGONS,
    PROOFS,
    C12Template,
    LineTemplate,
    LogonTemplate,
    MessageTemplate,
    ReadTemplate,
    RelayTemplate,
)
from connectors.templates.schema import Bad, TemplateError

_Reader = Callable[[Any], Any]
_TABLE = schema.number(0, 2 * MANUFACTURER - 1)
_DECLARATIONS = ("tables", "procedures", "events")


def _named(names: Mapping[str, Any]) -> _Reader:
    return lambda value: names[schema.one_of(names)(value)]


def _base(value: Any) -> ApTitle:
    try:
        found = title(schema.text(value))
    except C12Error as error:
        raise Bad(error.detail) from None
    if found.relative:
        raise Bad(f"{value!r} is relative: a base such as 2.16.124.113620.1.22.0 is expected")
    return found


def _octets(value: Any) -> bytes:
    try:
        return bytes.fromhex(schema.text(value))
    except ValueError:
        raise Bad(f"octets in hex are expected, not {value!r}") from None


def _ed_class(value: Any) -> bytes:
    octets = _octets(value)
    if len(octets) != ED_CLASS:
        raise Bad(f"an end-device class has {ED_CLASS} octets, not {len(octets)}")
    return octets


def _rate(value: Any) -> int:
    if value not in BAUDS[1:]:
        raise Bad(f"{value!r} is no rate of C12.18: {', '.join(map(str, BAUDS[1:]))}")
    return int(value)


def _from(first: int, last: int) -> _Reader:
    return schema.list_of(schema.number(first, last))


def _some(tables: Iterable[int]) -> _Reader:
    known = tuple(tables)

    def read(value: Any) -> int:
        if value not in known:
            raise Bad(f"{value!r} is none of the tables {', '.join(map(str, known))}")
        return int(value)

    return schema.list_of(read)


_SECTIONS: dict[str, dict[str, _Reader]] = {
    "logon": {
        "user_id": schema.number(0, 0xFFFF),
        "user": schema.text,
        "proof": schema.one_of(PROOFS),
        "c1222": schema.one_of(LOGONS),
        "idle_s": schema.number(1, 0xFFFF),
    },
    "line": {
        "c1221": schema.switch,
        "negotiate": schema.switch,
        "packet_size": schema.number(64, 8192),
        "packets": schema.number(1, 254),
        "rates": schema.list_of(_rate),
    },
    "messages": {
        "mode": _named({mode.name: mode for mode in Mode}),
        "key_id": schema.number(0, 255),
        "short": _named({short.name: short for short in Short}),
        "trust_clear": schema.switch,
        "rising": schema.switch,
        "base": _base,
        "context": schema.switch,
        "ed_class": schema.optional(_ed_class),
        "largest": schema.number(128, 65_535),
        "services": schema.number(1, 64),
        "answer": schema.number(64, 65_535),
    },
    "read": {
        "registers": _some((23, 25, 26, 28)),
        "profiles": schema.map_of(schema.text, _from(64, 67)),
        "event_logs": _some((74, 76)),
        "access": schema.one_of(ACCESSES),
    },
    "rules": dict.fromkeys(("nominal_end", "scalars_apply", "dial_readings"), schema.switch),
}
_MADE: dict[str, Callable[..., Any]] = {
    "logon": LogonTemplate,
    "line": LineTemplate,
    "messages": MessageTemplate,
    "read": ReadTemplate,
    "rules": Rules,
}
_LEVEL = schema.number(0, 255)


def _relay(value: Any) -> RelayTemplate:
    readers = {"point": schema.number(0, 254), "opens": _LEVEL, "closes": _LEVEL}
    found = RelayTemplate(**schema.keys(value, readers, readers))
    if found.opens == found.closes:
        raise Bad(f"opens and closes are both {found.opens}: a switch has two levels")
    return found


_TOP: dict[str, _Reader] = {
    "extends": schema.optional(schema.text),
    "vendor": schema.text,
    "time_zone": schema.zone,
    "assumed": schema.map_of(_TABLE, _octets),
    "relay": schema.optional(_relay),
    "replaces": schema.list_of(schema.one_of([f"{section}.{key}" for section, keys in _SECTIONS.items() for key in keys])),
}


def check(path: Path, data: dict[str, Any], lines: Mapping[tuple[str, ...], int]) -> None:
    """Raises TemplateError where a file by itself is not right. What it extends is not looked at."""
    passed = dict.fromkeys((*_SECTIONS, *_DECLARATIONS), lambda value: value)
    schema.section(path, data, _TOP | passed, (), lines)
    for name, readers in _SECTIONS.items():
        if name in data:
            schema.section(path, data[name], readers, (name,), lines)
    _declared(path, data)


def build(name: str, path: Path, data: dict[str, Any]) -> C12Template:
    """The template of a file with what it extends already under it."""
    top = schema.section(path, {key: value for key, value in data.items() if key in _TOP}, _TOP, (), {})
    top.pop("extends", None)
    made = {
        key: _MADE[key](**schema.section(path, data.get(key) or {}, readers, (key,), {}))
        for key, readers in _SECTIONS.items()
    }
    return C12Template(name=name, **top, **made, catalog=STANDARD.extended(_declared(path, data)))


def _declared(path: Path, data: Mapping[str, Any]) -> Any:
    try:
        return declared({key: data[key] for key in _DECLARATIONS if key in data})
    except C12Error as error:
        raise TemplateError(path, error.detail) from None
