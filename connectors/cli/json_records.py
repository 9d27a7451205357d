"""A record from JSON: the fields of its .avsc file, times as ISO 8601 or milliseconds, octets as hex. What is not known is
refused with the nearest name, since a misspelt field that is passed over would be signed as something else.
"""

from __future__ import annotations

import dataclasses
import json
import sys
import types
import typing
from collections.abc import Sequence
from datetime import datetime
from difflib import get_close_matches
from enum import StrEnum
from pathlib import Path
from typing import Any

from connectors.cli.failure import CommandError, usage
from schemas.records import RECORDS, Record

_LARGEST = 4_194_304


def read_record(file: Path, allowed: Sequence[str]) -> Record:
    """The record in a file, or on stdin for `-`; its name stands under `record`. `CommandError` names what is wrong."""
    try:
        text = sys.stdin.read(_LARGEST) if str(file) == "-" else file.read_text(encoding="utf-8")[:_LARGEST]
        data = json.loads(text)
    except (OSError, ValueError, RecursionError) as error:
        raise CommandError(f"{file} is no JSON: {error}", mend='give {"record": "Control", "id": …}') from error
    name = data.pop("record", "") if isinstance(data, dict) else ""
    if name not in allowed:
        raise usage(f"{file} says that it is a {name!r}", f'give "record": one of {", ".join(allowed)}')
    return typing.cast("Record", _built(RECORDS[name], data, name))


def _built(cls: type, data: Any, at: str) -> Any:
    if not isinstance(data, dict):
        raise _wrong(at, "is no object")
    hints = typing.get_type_hints(cls, include_extras=True)
    known = {field.name for field in dataclasses.fields(cls)} - {"signature"}
    for name in data:
        if name not in known:
            near = get_close_matches(name, known, 1)
            raise _wrong(f"{at}.{name}", "is not known", near[0] if near else f"one of {', '.join(sorted(known))}")
    return cls(**{name: _value(hints[name], value, f"{at}.{name}") for name, value in data.items()})


def _value(hint: Any, value: Any, at: str) -> Any:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        return _time(value, at)
    if origin in (typing.Union, types.UnionType):
        return None if value is None else _value(next(arg for arg in args if arg is not type(None)), value, at)
    if origin is tuple:
        if not isinstance(value, list):
            raise _wrong(at, "is no list")
        return tuple(_value(args[0], item, f"{at}[{index}]") for index, item in enumerate(value))
    if origin is dict:
        if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
            raise _wrong(at, "is no object of texts")
        return value
    if dataclasses.is_dataclass(hint):
        return _built(typing.cast("type", hint), value, at)
    return _scalar(hint, value, at)


def _scalar(hint: Any, value: Any, at: str) -> Any:
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        names = [str(member) for member in hint]
        if value not in names:
            near = get_close_matches(str(value).upper().replace("-", "_"), names, 1)
            raise _wrong(at, f"is {value!r}", near[0] if near else f"one of {', '.join(names)}")
        return hint(value)
    if hint is bytes:
        try:
            return bytes.fromhex(value)
        except (TypeError, ValueError):
            raise _wrong(at, "is no hex") from None
    if not isinstance(value, hint) or (hint is int and isinstance(value, bool)):
        raise _wrong(at, f"is {value!r}", f"a value of type {hint.__name__}")
    return value


def _time(value: Any, at: str) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    try:
        moment = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise _wrong(at, f"is {value!r}", "a time such as 2026-03-01T12:00:00+01:00") from None
    if moment.tzinfo is None:
        raise _wrong(at, "has no offset from UTC", "one, such as +01:00")
    return round(moment.timestamp() * 1000)


def _wrong(at: str, what: str, instead: str = "what its .avsc file says") -> CommandError:
    return usage(f"{at} {what}", f"write {instead}")
