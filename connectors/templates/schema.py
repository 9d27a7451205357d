"""The keys of a template file: what each may hold, and the values it becomes."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any
from zoneinfo import ZoneInfo

from connectors.protocols.dlms.cosem import UNITS, obis, obis_bytes
from connectors.protocols.dlms.template import (
    ALARM_KINDS,
    AUTHS,
    IDENTITY_KINDS,
    LAYOUTS,
    QUIRKS,
    SECURITIES,
    SEVERITIES,
    AlarmSpec,
    AlarmTable,
    Position,
    PullTemplate,
    PushTemplate,
    Template,
)

_ENGINES = ("own", "gurux")
_TRANSPORTS = ("WRAPPER", "HDLC")
_SYMBOLS = frozenset(UNITS.values())


class TemplateError(ValueError):
    """A template file that is not right: which file, which line, what, and the nearest thing that would be."""

    def __init__(
        self, path: Path, problem: str, *, line: int | None = None, nearest: tuple[str, Iterable[str]] | None = None
    ) -> None:
        mend = ""
        if nearest is not None:
            known = sorted(str(name) for name in nearest[1])
            close = difflib.get_close_matches(str(nearest[0]), known, n=1, cutoff=0.5)
            mend = f"; did you mean {close[0]!r}?" if close else f"; there are {', '.join(known)}"
        super().__init__(f"{path}{f':{line}' if line else ''}: {problem}{mend}")


class _Bad(Exception):  # noqa: N818 — never leaves this module
    """A value that is not right, before its place in the file is known."""

    def __init__(self, problem: str, nearest: tuple[str, Iterable[str]] | None = None) -> None:
        super().__init__(problem)
        self.nearest = nearest


_Reader = Callable[[Any], Any]


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise _Bad(f"text is expected, not {value!r}")
    return value


def _switch(value: Any) -> bool:
    if not isinstance(value, bool):
        raise _Bad(f"true or false is expected, not {value!r}")
    return value


def _number(least: int, most: int) -> _Reader:
    def read(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise _Bad(f"a number from {least} to {most} is expected, not {value!r}")
        return value

    return read


def _one_of(names: Iterable[str]) -> _Reader:
    def read(value: Any) -> str:
        if value not in names:
            raise _Bad(f"{value!r} is not known here", (str(value), names))
        return str(value)

    return read


def _optional(reader: _Reader) -> _Reader:
    return lambda value: None if value is None else reader(value)


def _obis(value: Any) -> str:
    try:
        return obis(obis_bytes(_text(value)))
    except ValueError as error:
        raise _Bad(f"{error}, in quotes") from None


def _zone(value: Any) -> str:
    try:
        ZoneInfo(_text(value))
    except (KeyError, ValueError, OSError):
        raise _Bad(f"{value!r} is no time zone: an IANA name such as Europe/Oslo is expected") from None
    return str(value)


def _list_of(reader: _Reader) -> _Reader:
    def read(value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise _Bad(f"a list is expected, not {value!r}")
        return tuple(reader(item) for item in value)

    return read


def _map_of(key: _Reader, reader: _Reader) -> _Reader:
    def read(value: Any) -> Mapping[Any, Any]:
        if not isinstance(value, dict):
            raise _Bad(f"a mapping is expected, not {value!r}")
        return MappingProxyType({key(name): reader(item) for name, item in value.items()})

    return read


def _keys(value: Any, readers: Mapping[str, _Reader], required: Iterable[str] = ()) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _Bad(f"a mapping of {', '.join(readers)} is expected, not {value!r}")
    for name in value:
        if name not in readers:
            raise _Bad(f"the key {name!r} is not known here", (str(name), readers))
    if missing := [name for name in required if name not in value]:
        raise _Bad(f"{missing[0]!r} is missing")
    return {name: readers[name](item) for name, item in value.items()}


def _attribute(value: Any) -> tuple[int | None, str, int]:
    """class/OBIS/attribute, or an OBIS alone."""
    parts = _text(value).split("/")
    if len(parts) == 1:
        return None, _obis(value), 2
    if len(parts) != 3 or not (parts[0].isdecimal() and parts[2].isdecimal()):
        raise _Bad(f"{value!r}: class/OBIS/attribute or an OBIS is expected, such as 3/1.0.1.8.0.255/2")
    return int(parts[0]), _obis(parts[1]), int(parts[2])


def _attribute_text(value: Any) -> str:
    class_id, name, attribute = _attribute(value)
    if class_id is None:
        raise _Bad(f"{value!r}: class/OBIS/attribute is expected, such as 3/1.0.1.8.0.255/2")
    return f"{class_id}/{name}/{attribute}"


def _unit(value: Any) -> str:
    return str(_one_of(_SYMBOLS)(value))


_SCALER = _number(-18, 18)


def _scaler_unit(value: Any) -> tuple[int, str]:
    if not isinstance(value, list) or len(value) != 2:
        raise _Bad(f"[scaler, unit] is expected, such as [-1, V], not {value!r}")
    return _SCALER(value[0]), _unit(value[1])


def _position(value: Any) -> Position:
    """An object, an object with scaler and unit, or null for a place to skip."""
    if value is None:
        return Position("")
    if isinstance(value, str):
        class_id, name, attribute = _attribute(value)
        return Position(name, class_id, attribute)
    read = _keys(value, {"object": _attribute, "scaler": _SCALER, "unit": _unit}, ("object",))
    class_id, name, attribute = read["object"]
    return Position(name, class_id, attribute, read.get("scaler"), read.get("unit"))


def _lists(value: Any) -> Mapping[tuple[str, int], tuple[Position, ...]]:
    readers = {"id": _text, "positions": _list_of(_position)}
    read = _list_of(lambda item: _keys(item, readers, readers))(value)
    return MappingProxyType({(item["id"], len(item["positions"])): item["positions"] for item in read})


def _spec(value: Any) -> AlarmSpec:
    readers = {"kind": _one_of(ALARM_KINDS), "severity": _one_of(SEVERITIES), "event_type": _text, "detail": _text}
    return AlarmSpec(**_keys(value, readers, ("kind",)))


def _table(entries: str, most: int) -> _Reader:
    readers = {"table": _text, entries: _map_of(_number(0, most), _spec)}

    def read(value: Any) -> AlarmTable:
        keys = _keys(value, readers, readers)
        return AlarmTable(keys["table"], keys[entries])

    return read


def _setup(value: Any) -> str:
    return "*" if value == "*" else _obis(value)


_PUSH: dict[str, _Reader] = {
    "layout": _optional(_one_of(LAYOUTS)),
    "lists": _lists,
    "objects": _map_of(_setup, _list_of(_position)),
    "units": _map_of(_obis, _scaler_unit),
    "unnamed": _map_of(_number(-64, 63), _obis),
    "profiles": _map_of(_obis, _list_of(_position)),
    "deviation_reversed": _switch,
    "time_zone": _optional(_zone),
    "identity_order": _list_of(_one_of(IDENTITY_KINDS)),
    "serials": _list_of(_obis),
    "alarms": _map_of(_obis, _table("bits", 255)),
    "events": _map_of(_obis, _table("codes", 0xFFFF)),
    "protected": _switch,
}
_PULL: dict[str, _Reader] = {
    "transport": _one_of(_TRANSPORTS),
    "client": _number(1, 127),
    "server": _number(0, 0x3FFF),
    "auth": _one_of(AUTHS),
    "security": _one_of(SECURITIES),
    "suite": _number(0, 2),
    "dedicated": _switch,
    "public_client": _number(1, 127),
    "counter": _optional(_obis),
    "clock": _obis,
    "load_profile": _obis,
    "load_period_s": _number(1, 86_400),
    "daily_profile": _optional(_obis),
    "billing_profile": _optional(_obis),
    "profiles": _map_of(_text, _obis),
    "event_logs": _list_of(_obis),
    "alarm_registers": _list_of(_obis),
    "mbus_channels": _list_of(_number(0, 255)),
    "clients": _map_of(_text, _number(1, 127)),
    "registers": _list_of(_attribute_text),
}
_SECTIONS = {"push": _PUSH, "pull": _PULL}
_TOP: dict[str, _Reader] = {
    "extends": _optional(_text),
    "vendor": _text,
    "protocol": _one_of(("DLMS",)),
    "engine": _one_of(_ENGINES),
    "quirks": _list_of(_one_of(QUIRKS)),
    "replaces": _list_of(_one_of([f"{section}.{key}" for section, keys in _SECTIONS.items() for key in keys])),
}


def check(path: Path, data: dict[str, Any], lines: Mapping[tuple[str, ...], int]) -> None:
    """Raises TemplateError where a file by itself is not right. What it extends is not looked at."""
    _section(path, data, _TOP | dict.fromkeys(_SECTIONS, lambda value: value), (), lines)
    for name, readers in _SECTIONS.items():
        if name in data:
            _section(path, data[name], readers, (name,), lines)


def _section(
    path: Path, data: Any, readers: Mapping[str, _Reader], at: tuple[str, ...], lines: Mapping[tuple[str, ...], int]
) -> dict[str, Any]:
    where = ".".join(at)
    if not isinstance(data, dict):
        raise TemplateError(path, f"{where}: a mapping of keys is expected, not {data!r}", line=lines.get(at))
    out = {}
    for name, value in data.items():
        line = lines.get((*at, str(name)))
        if name not in readers:
            known = (str(name), readers)
            raise TemplateError(path, f"the key {'.'.join((*at, str(name)))!r} is not known", line=line, nearest=known)
        try:
            out[str(name)] = readers[name](value)
        except _Bad as bad:
            where = ".".join((*at, str(name)))
            raise TemplateError(
                path, f"{where}: {bad}", line=_deepest(bad, (*at, str(name)), lines), nearest=bad.nearest
            ) from None
    return out


def _deepest(bad: _Bad, at: tuple[str, ...], lines: Mapping[tuple[str, ...], int]) -> int | None:
    """The line of the key or item that is blamed, where it can be told, else of the key it lies in."""
    if bad.nearest is not None:
        inside = (line for place, line in lines.items() if place[: len(at)] == at and place[-1] == bad.nearest[0])
        return next(inside, lines.get(at))
    return lines.get(at)


def build(name: str, path: Path, data: dict[str, Any]) -> Template:
    """The template of a file with what it extends already under it."""
    top = _section(path, {key: value for key, value in data.items() if key not in _SECTIONS}, _TOP, (), {})
    push = PushTemplate(name=name, **_section(path, data.get("push") or {}, _PUSH, ("push",), {}))
    pull = PullTemplate(**_section(path, data.get("pull") or {}, _PULL, ("pull",), {}))
    quirks = frozenset(top.pop("quirks", ()))
    return Template(name=name, push=push, pull=pull, quirks=quirks, **top)
