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
    CIPHERINGS,
    IDENTITY_KINDS,
    KEY_INFOS,
    LAYOUTS,
    QUIRKS,
    REFERENCINGS,
    SECURITIES,
    SEVERITIES,
    AlarmSpec,
    AlarmTable,
    Position,
    PullTemplate,
    PushTemplate,
    Template,
    contradiction,
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


class Bad(Exception):  # noqa: N818 - never leaves this package
    """A value that is not right, before its place in the file is known."""

    def __init__(self, problem: str, nearest: tuple[str, Iterable[str]] | None = None) -> None:
        super().__init__(problem)
        self.nearest = nearest


_Reader = Callable[[Any], Any]


def text(value: Any) -> str:
    """A text."""
    if not isinstance(value, str):
        raise Bad(f"text is expected, not {value!r}")
    return value


def switch(value: Any) -> bool:
    """A switch."""
    if not isinstance(value, bool):
        raise Bad(f"true or false is expected, not {value!r}")
    return value


def number(least: int, most: int) -> _Reader:
    """A whole number within bounds."""

    def read(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise Bad(f"a number from {least} to {most} is expected, not {value!r}")
        return value

    return read


def one_of(names: Iterable[str]) -> _Reader:
    """One of these names."""

    def read(value: Any) -> str:
        if value not in names:
            raise Bad(f"{value!r} is not known here", (str(value), names))
        return str(value)

    return read


def optional(reader: _Reader) -> _Reader:
    """That, or null."""
    return lambda value: None if value is None else reader(value)


def _obis(value: Any) -> str:
    try:
        return obis(obis_bytes(text(value)))
    except ValueError as error:
        raise Bad(f"{error}, in quotes") from None


def zone(value: Any) -> str:
    """An IANA time zone."""
    try:
        ZoneInfo(text(value))
    except (KeyError, ValueError, OSError):
        raise Bad(f"{value!r} is no time zone: an IANA name such as Europe/Oslo is expected") from None
    return str(value)


def list_of(reader: _Reader) -> _Reader:
    """A list of those, as a tuple."""

    def read(value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise Bad(f"a list is expected, not {value!r}")
        return tuple(reader(item) for item in value)

    return read


def map_of(key: _Reader, reader: _Reader) -> _Reader:
    """A mapping of those that cannot be changed."""

    def read(value: Any) -> Mapping[Any, Any]:
        if not isinstance(value, dict):
            raise Bad(f"a mapping is expected, not {value!r}")
        return MappingProxyType({key(name): reader(item) for name, item in value.items()})

    return read


def keys(value: Any, readers: Mapping[str, _Reader], required: Iterable[str] = ()) -> dict[str, Any]:
    """A mapping of these keys, `required` among them."""
    if not isinstance(value, dict):
        raise Bad(f"a mapping of {', '.join(readers)} is expected, not {value!r}")
    for name in value:
        if name not in readers:
            raise Bad(f"the key {name!r} is not known here", (str(name), readers))
    if missing := [name for name in required if name not in value]:
        raise Bad(f"{missing[0]!r} is missing")
    return {name: readers[name](item) for name, item in value.items()}


def _attribute(value: Any) -> tuple[int | None, str, int]:
    """class/OBIS/attribute, or an OBIS alone."""
    parts = text(value).split("/")
    if len(parts) == 1:
        return None, _obis(value), 2
    if len(parts) != 3 or not (parts[0].isdecimal() and parts[2].isdecimal()):
        raise Bad(f"{value!r}: class/OBIS/attribute or an OBIS is expected, such as 3/1.0.1.8.0.255/2")
    return int(parts[0]), _obis(parts[1]), int(parts[2])


def _attribute_text(value: Any) -> str:
    class_id, name, attribute = _attribute(value)
    if class_id is None:
        raise Bad(f"{value!r}: class/OBIS/attribute is expected, such as 3/1.0.1.8.0.255/2")
    return f"{class_id}/{name}/{attribute}"


def _unit(value: Any) -> str:
    return str(one_of(_SYMBOLS)(value))


_SCALER = number(-18, 18)


def _scaler_unit(value: Any) -> tuple[int, str]:
    if not isinstance(value, list) or len(value) != 2:
        raise Bad(f"[scaler, unit] is expected, such as [-1, V], not {value!r}")
    return _SCALER(value[0]), _unit(value[1])


def _position(value: Any) -> Position:
    """An object, an object with scaler and unit, or null for a place to skip."""
    if value is None:
        return Position("")
    if isinstance(value, str):
        class_id, name, attribute = _attribute(value)
        return Position(name, class_id, attribute)
    read = keys(value, {"object": _attribute, "scaler": _SCALER, "unit": _unit}, ("object",))
    class_id, name, attribute = read["object"]
    return Position(name, class_id, attribute, read.get("scaler"), read.get("unit"))


def _lists(value: Any) -> Mapping[tuple[str, int], tuple[Position, ...]]:
    readers = {"id": text, "positions": list_of(_position)}
    read = list_of(lambda item: keys(item, readers, readers))(value)
    return MappingProxyType({(item["id"], len(item["positions"])): item["positions"] for item in read})


def _spec(value: Any) -> AlarmSpec:
    readers = {"kind": one_of(ALARM_KINDS), "severity": one_of(SEVERITIES), "event_type": text, "detail": text}
    return AlarmSpec(**keys(value, readers, ("kind",)))


def _table(entries: str, most: int) -> _Reader:
    readers = {"table": text, entries: map_of(number(0, most), _spec)}

    def read(value: Any) -> AlarmTable:
        found = keys(value, readers, readers)
        return AlarmTable(found["table"], found[entries])

    return read


def _setup(value: Any) -> str:
    return "*" if value == "*" else _obis(value)


_PUSH: dict[str, _Reader] = {
    "layout": optional(one_of(LAYOUTS)),
    "lists": _lists,
    "objects": map_of(_setup, list_of(_position)),
    "units": map_of(_obis, _scaler_unit),
    "unnamed": map_of(number(-64, 63), _obis),
    "profiles": map_of(_obis, list_of(_position)),
    "deviation_reversed": switch,
    "time_zone": optional(zone),
    "identity_order": list_of(one_of(IDENTITY_KINDS)),
    "serials": list_of(_obis),
    "alarms": map_of(_obis, _table("bits", 255)),
    "events": map_of(_obis, _table("codes", 0xFFFF)),
    "protected": switch,
}
_PULL: dict[str, _Reader] = {
    "transport": one_of(_TRANSPORTS),
    "client": number(1, 127),
    "server": number(0, 0x3FFF),
    "auth": one_of(AUTHS),
    "security": one_of(SECURITIES),
    "suite": number(0, 2),
    "dedicated": switch,
    "public_client": number(1, 127),
    "counter": optional(_obis),
    "clock": _obis,
    "load_profile": _obis,
    "load_period_s": number(1, 86_400),
    "daily_profile": optional(_obis),
    "billing_profile": optional(_obis),
    "profiles": map_of(text, _obis),
    "event_logs": list_of(_obis),
    "alarm_registers": list_of(_obis),
    "mbus_channels": list_of(number(0, 255)),
    "clients": map_of(text, number(1, 127)),
    "registers": list_of(_attribute_text),
    "relay": _obis,
    "limiter": _obis,
    "calendar": _obis,
    "settable": list_of(_attribute_text),
    "firmware": _obis,
    "hardware": optional(_obis),
    "image_transfer": _obis,
    "restart_s": number(1, 3_600),
    "back_s": number(10, 86_400),
    "referencing": one_of(REFERENCINGS),
    "ciphering": one_of(CIPHERINGS),
    "key_info": one_of(KEY_INFOS),
    "signed": switch,
    "gbt_window": number(0, 63),
    "challenge_octets": number(8, 64),
    "hdlc_physical": optional(number(0, 0x3FFF)),
    "hdlc_octets": number(0, 4),
    "hdlc_information": number(32, 2030),
    "hdlc_window": number(1, 7),
}
_SECTIONS = {"push": _PUSH, "pull": _PULL}
_TOP: dict[str, _Reader] = {
    "extends": optional(text),
    "vendor": text,
    "protocol": one_of(("DLMS",)),
    "engine": one_of(_ENGINES),
    "quirks": list_of(one_of(QUIRKS)),
    "replaces": list_of(one_of([f"{section}.{key}" for section, readers in _SECTIONS.items() for key in readers])),
}


def check(path: Path, data: dict[str, Any], lines: Mapping[tuple[str, ...], int]) -> None:
    """Raises TemplateError where a file by itself is not right. What it extends is not looked at."""
    section(path, data, _TOP | dict.fromkeys(_SECTIONS, lambda value: value), (), lines)
    for name, readers in _SECTIONS.items():
        if name in data:
            section(path, data[name], readers, (name,), lines)


def section(
    path: Path, data: Any, readers: Mapping[str, _Reader], at: tuple[str, ...], lines: Mapping[tuple[str, ...], int]
) -> dict[str, Any]:
    """The values of one section's keys, which stand at `at` in the file. Raises TemplateError."""
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
        except Bad as bad:
            where = ".".join((*at, str(name)))
            raise TemplateError(
                path, f"{where}: {bad}", line=_deepest(bad, (*at, str(name)), lines), nearest=bad.nearest
            ) from None
    return out


def _deepest(bad: Bad, at: tuple[str, ...], lines: Mapping[tuple[str, ...], int]) -> int | None:
    """The line of the key or item that is blamed, where it can be told, else of the key it lies in."""
    if bad.nearest is not None:
        inside = (line for place, line in lines.items() if place[: len(at)] == at and place[-1] == bad.nearest[0])
        return next(inside, lines.get(at))
    return lines.get(at)


def build(name: str, path: Path, data: dict[str, Any]) -> Template:
    """The template of a file with what it extends already under it."""
    top = section(path, {key: value for key, value in data.items() if key not in _SECTIONS}, _TOP, (), {})
    push = PushTemplate(name=name, **section(path, data.get("push") or {}, _PUSH, ("push",), {}))
    pull = PullTemplate(**section(path, data.get("pull") or {}, _PULL, ("pull",), {}))
    if wrong := contradiction(pull):
        raise TemplateError(path, f"pull: {wrong}")
    quirks = frozenset(top.pop("quirks", ()))
    return Template(name=name, push=push, pull=pull, quirks=quirks, **top)
