"""Records to bytes and back, in the Confluent wire format: 0x00, schema id (4 bytes, big endian), Avro body."""

from __future__ import annotations

import dataclasses
import json
import struct
import types
import typing
from collections.abc import Callable, Sequence
from enum import StrEnum
from functools import cache
from io import BytesIO
from typing import Any, TypeVar

import fastavro
from fastavro.read import SchemaResolutionError
from fastavro.schema import SchemaParseException, UnknownType, parse_schema

from schemas.avro_writer import Encode, compiled
from schemas.longs import Longs
from schemas.records import RECORDS, Record
from schemas.registry import NAMESPACE, Registry, RegistryError, avsc

_HEADER = 5
R = TypeVar("R", bound=Record)
_NOT_THIS_SCHEMA = (ValueError, TypeError, OverflowError, EOFError, IndexError, KeyError, MemoryError, SchemaResolutionError)
_Convert = Callable[[Any], Any]


CODES = {
    "avro-framing": "a value that does not begin with 0x00 and a schema id: not written by this system's codec",
    "avro-unknown-schema": "the registry does not hold the schema id, or what it holds is no record of this system",
    "avro-body": "the octets behind the schema id are not the record that it names",
    "avro-value": "a record that does not fit its own schema cannot be written",
    "record-unexpected": "a record on a topic that must not hold it; whoever wrote it took the wrong topic",
}
"""Codes of `CodecError`, with their meaning."""


class CodecError(Exception):
    """A value is not what its topic may hold. `code` is stable and goes on the dead letter."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


def schema_id(data: bytes | None) -> int:
    """The schema id in a value's first five bytes; `CodecError` avro-framing where there is none."""
    if data is None or len(data) < _HEADER or data[0] != 0:
        raise CodecError("avro-framing", "not in the Confluent wire format: 0x00 and a four-byte schema id must come first")
    return int.from_bytes(data[1:_HEADER])


def expect(record: Record, cls: type[R]) -> R:
    """The record as the one its topic may hold; `CodecError` record-unexpected where it is another."""
    if not isinstance(record, cls):
        raise CodecError(
            "record-unexpected", f"{type(record).__name__} is no {cls.__name__}; whoever wrote it took the wrong topic"
        )
    return record


class Codec:
    """Encodes and decodes records; schema ids come from the registry once and are kept."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._writers: dict[type, tuple[bytes, Encode]] = {}
        self._readers: dict[int, tuple[type[Record], Any, Any]] = {}

    def id_of(self, record: type[Record]) -> int:
        """The schema id of a record of this release."""
        return int.from_bytes(self._writer(record)[0][1:])

    def encode(self, record: Record) -> bytes:
        """The bytes of a record. `CodecError` avro-value where a field does not fit its schema."""
        return self.encode_all((record,))[0]

    def encode_all(self, records: Sequence[Record]) -> list[bytes]:
        """The bytes of records of one class: long columns of all of them are written in one go. Where one does not fit, it
        is `CodecError` for all.
        """
        if not records:
            return []
        header, bodies = self._writer(type(records[0]))
        try:
            return [header + body for body in bodies(records)]
        except (ValueError, TypeError, OverflowError, AttributeError, KeyError, struct.error) as error:
            raise CodecError("avro-value", f"{type(records[0]).__name__} does not fit its schema: {error}") from error

    def type_of(self, data: bytes | None) -> type[Record]:
        """Which record a value is, by its schema id, without decoding it."""
        return self._reader(schema_id(data))[0]

    def decode(self, data: bytes | None) -> Record:
        """The record in a value, written by this or another release.

        `CodecError`: avro-framing, avro-unknown-schema (the registry does not know the id, or it is no record of ours),
        avro-body (the body does not fit the schema). `RegistryError` with `retry` passes through: the registry is down.
        """
        cls, writer, reader = self._reader(schema_id(data))
        try:
            values = _read(typing.cast("bytes", data), writer, reader)
            return typing.cast("Record", _builder(cls)(values))
        except _NOT_THIS_SCHEMA as error:
            raise CodecError("avro-body", f"the bytes are no {cls.__name__}: {type(error).__name__} {error}") from error

    def rewritten(self, data: bytes, **changes: Any) -> bytes:
        """What a value states, written again by the schema that it was written by, with fields changed.

        Without changes it is the value itself, if whoever wrote it writes as we do. Errors as of `decode`; avro-value where
        its schema has no such field.
        """
        cls, schema, _ = self._reader(schema_id(data))
        try:
            values = _read(data, schema, None)
            if not changes.keys() <= values.keys():
                raise CodecError("avro-value", f"{cls.__name__} as its writer knows it has no {', '.join(changes)}")
            out = BytesIO()
            out.write(data[:_HEADER])
            fastavro.schemaless_writer(out, schema, values | changes)
        except _NOT_THIS_SCHEMA as error:
            raise CodecError("avro-body", f"the bytes are no {cls.__name__}: {type(error).__name__} {error}") from error
        return out.getvalue()

    def _writer(self, cls: type[Record]) -> tuple[bytes, Encode]:
        if (known := self._writers.get(cls)) is None:
            name = cls.__name__
            header = b"\0" + self._registry.id_of(name).to_bytes(4)
            known = self._writers[cls] = (header, _compiled(name))
        return known

    def _reader(self, number: int) -> tuple[type[Record], Any, Any]:
        if (known := self._readers.get(number)) is not None:
            return known
        try:
            text = self._registry.schema_of(number)
        except RegistryError as error:
            if error.retry:
                raise
            raise CodecError("avro-unknown-schema", str(error)) from error
        try:
            theirs = _parsed(json.loads(text))
            name = _record_of(theirs)
            _takes_bytes(theirs)
        except (ValueError, TypeError, KeyError, RecursionError, SchemaParseException, UnknownType) as error:
            raise CodecError("avro-unknown-schema", f"schema id {number}: {error}") from error
        ours = _parsed(avsc(name))
        known = self._readers[number] = (RECORDS[name], theirs, None if theirs == ours else ours)
        return known


@cache
def _compiled(name: str) -> Encode:
    return compiled(_parsed(avsc(name)))


def _read(data: bytes, writer: Any, reader: Any) -> Any:
    """What a value states, to its last byte, as the reader's schema has it (None: as the writer's has it)."""
    body = BytesIO(data)
    body.seek(_HEADER)
    values = fastavro.schemaless_reader(body, writer, None)
    if left := len(data) - body.tell():
        raise ValueError(f"{left} bytes follow the record")
    if reader is None:
        return values
    # A second time: fastavro believes the lengths of fields that it skips, also negative ones, unless they were read once.
    body.seek(_HEADER)
    return fastavro.schemaless_reader(body, writer, reader)


def _record_of(schema: Any) -> str:
    """The name of the record of ours that a schema is of; `ValueError` where it is of none."""
    full = schema["name"] if isinstance(schema, dict) and schema["type"] == "record" else ""
    namespace, _, name = full.rpartition(".")
    if namespace != NAMESPACE or name not in RECORDS:
        raise ValueError(f"{full or json.dumps(schema)[:80]} is no record of this system")
    return str(name)


def _takes_bytes(node: Any, within: frozenset[str] = frozenset()) -> None:
    """`ValueError` unless every value under a schema takes at least a byte, and none may hold itself.

    So what a body can make us allocate, and how deep we go, is bounded by its length and its schema: five bytes cannot
    state a billion nulls, and no nesting overflows the stack. Expects what fastavro's `parse_schema` gives: full names.
    """
    if isinstance(node, str):
        if node == "null" or node in within:
            raise ValueError(f"{node} takes no byte" if node == "null" else f"{node} holds itself")
    elif isinstance(node, list):
        for branch in node:
            if branch != "null":
                _takes_bytes(branch, within)
    elif node["type"] == "record":
        if not node["fields"]:
            raise ValueError(f"{node['name']} takes no byte")
        for item in node["fields"]:
            _takes_bytes(item["type"], within | {node["name"]})
    elif node["type"] in ("array", "map"):
        _takes_bytes(node["items" if node["type"] == "array" else "values"], within)
    elif node["type"] == "null" or node.get("size") == 0:
        raise ValueError(f"{node.get('name', 'null')} takes no byte")


def _parsed(schema: dict[str, Any]) -> Any:
    """The schema for fastavro, without logical types: times stay integers, and decoding is faster for it."""

    def strip(node: Any) -> Any:
        if isinstance(node, dict):
            return {key: strip(value) for key, value in node.items() if key not in ("logicalType", "doc")}
        return [strip(item) for item in node] if isinstance(node, list) else node

    return parse_schema(strip(schema), named_schemas={})


def plain(value: Any) -> Any:
    """A record as the dicts, lists and scalars that Avro and JSON writers take."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {name: plain(getattr(value, name)) for name in _names(type(value))}
    if isinstance(value, tuple):
        return [plain(item) for item in value] if value and dataclasses.is_dataclass(value[0]) else list(value)
    return list(value) if isinstance(value, Longs) else value


_NAMES: dict[type, tuple[str, ...]] = {}


def _names(cls: type) -> tuple[str, ...]:
    if (names := _NAMES.get(cls)) is None:
        names = _NAMES[cls] = tuple(field.name for field in dataclasses.fields(cls))
    return names


_BUILDERS: dict[type, _Convert] = {}


def _builder(cls: type) -> _Convert:
    """A function from Avro's dict to the dataclass; fields that need no conversion are passed as they are."""
    if (known := _BUILDERS.get(cls)) is not None:
        return known
    hints = typing.get_type_hints(cls)
    converts = {name: convert for name in _names(cls) if (convert := _converter(hints[name])) is not None}

    def build(values: dict[str, Any]) -> Any:
        for name, convert in converts.items():
            values[name] = convert(values[name])
        return cls(**values)

    _BUILDERS[cls] = build
    return build


def _converter(hint: Any) -> _Convert | None:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is tuple:
        inner = _converter(args[0])
        return tuple if inner is None else lambda items: tuple(map(inner, items))
    if origin in (typing.Union, types.UnionType) or not isinstance(hint, type):
        return None
    if issubclass(hint, StrEnum):
        members: dict[str, StrEnum] = {str(member): member for member in hint}
        return members.__getitem__
    return _builder(hint) if dataclasses.is_dataclass(hint) else None
