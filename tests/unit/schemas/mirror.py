"""What Avro schema a record class states: the second opinion that the .avsc files are held against."""

from __future__ import annotations

import dataclasses
import types
import typing
from enum import StrEnum
from typing import Any

NAMESPACE = "hes"
PRIMITIVES = {str: "string", int: "long", bool: "boolean", bytes: "bytes", float: "double", type(None): "null"}


def avro_of(cls: type) -> dict[str, Any]:
    """The Avro record schema that a dataclass states; named types are inlined where they first appear."""
    return typing.cast("dict[str, Any]", _named(cls, set()))


def _named(cls: type, seen: set[str]) -> Any:
    if cls.__name__ in seen:
        return f"{NAMESPACE}.{cls.__name__}"
    seen.add(cls.__name__)
    if issubclass(cls, StrEnum):
        return {
            "type": "enum",
            "name": cls.__name__,
            "namespace": NAMESPACE,
            "symbols": list(cls.__members__),
            "default": "UNKNOWN",
        }
    assert dataclasses.is_dataclass(cls), f"{cls.__name__} is neither a dataclass nor an enum"
    hints = typing.get_type_hints(cls, include_extras=True)
    fields = []
    for field in dataclasses.fields(cls):
        avro = _type(hints[field.name], seen)
        fields.append({"name": field.name, "type": avro, "default": _default(field)})
    return {"type": "record", "name": cls.__name__, "namespace": NAMESPACE, "fields": fields}


def _type(hint: Any, seen: set[str]) -> Any:
    if typing.get_origin(hint) is typing.Annotated:
        base, logical = typing.get_args(hint)
        return {"type": PRIMITIVES[base], "logicalType": logical}
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        branches = [_type(arg, seen) for arg in args]
        return sorted(branches, key=lambda branch: branch != "null")
    if origin is tuple:
        return {"type": "array", "items": _type(args[0], seen)}
    if origin is dict:
        return {"type": "map", "values": _type(args[1], seen)}
    if hint in PRIMITIVES:
        return PRIMITIVES[hint]
    return _named(hint, seen)


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    value = field.default
    if isinstance(value, bytes):
        return value.decode("latin-1")
    if isinstance(value, tuple):
        return list(value)
    if dataclasses.is_dataclass(value):
        return {inner.name: _default(inner) for inner in dataclasses.fields(value)}
    return str(value) if isinstance(value, StrEnum) else value
