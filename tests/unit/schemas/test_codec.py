"""The codec against what a topic may hold: other releases' records, foreign ones, and bytes made to hurt."""

from __future__ import annotations

import copy
import io
import json
import tracemalloc
from typing import Any

import fastavro
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.codec import Codec, CodecError, plain, schema_id
from schemas.records import (
    RECORDS,
    Alarm,
    AlarmKind,
    CommandRequest,
    DeadLetter,
    Job,
    Meter,
    Register,
    RegisterReadings,
    Target,
)
from schemas.registry import MemoryRegistry, RegistryError, avsc

ALARM = Alarm(id="a1", meter_id="m1", kind=AlarmKind.OUTAGE, occurred_at=1_700_000_000_000, code="7")


class Registered:
    """A registry with this release's schemas and others, by id."""

    def __init__(self, **others: Any) -> None:
        self._ours = MemoryRegistry()
        self._others = {int(key.removeprefix("id")): schema for key, schema in others.items()}

    def id_of(self, name: str) -> int:
        return self._ours.id_of(name)

    def schema_of(self, schema_id: int) -> str:
        other = self._others.get(schema_id)
        if other is None:
            return self._ours.schema_of(schema_id)
        return other if isinstance(other, str) else json.dumps(other)


class Down:
    """A registry that is away."""

    def id_of(self, name: str) -> int:
        raise RegistryError(f"away, and so is {name}", retry=True)

    def schema_of(self, schema_id: int) -> str:
        raise RegistryError(f"away, and so is {schema_id}", retry=True)


def written(schema: dict[str, Any], record: dict[str, Any], number: int = 99) -> bytes:
    """A value as another release writes it."""
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(copy.deepcopy(schema), named_schemas={}), record)
    return framed(out.getvalue(), number)


def framed(body: bytes, number: int = 99) -> bytes:
    return b"\0" + number.to_bytes(4) + body


def long(value: int) -> bytes:
    """An Avro long: zigzag, seven bits a byte."""
    value = (value << 1) ^ (value >> 63)
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def alarm_schema(*extra: dict[str, Any], without: tuple[str, ...] = ()) -> dict[str, Any]:
    """The Alarm schema of another release: with fields that ours has not, or without some that it has."""
    schema = copy.deepcopy(avsc("Alarm"))
    schema["fields"] = [field for field in schema["fields"] if field["name"] not in without] + list(extra)
    return schema


@pytest.mark.parametrize(
    "data",
    [None, b"", b"\0", b"\0\0\0\0", b"\1\0\0\0\1", b"{}"],
    ids=["tombstone", "empty", "one-byte", "four-bytes", "wrong-magic", "json"],
)
def test_framing(data: bytes | None) -> None:
    with pytest.raises(CodecError, match="Confluent wire format") as caught:
        Codec(MemoryRegistry()).decode(data)
    assert caught.value.code == "avro-framing"


def test_schema_id_is_the_registrys() -> None:
    codec = Codec(MemoryRegistry())
    assert schema_id(codec.encode(ALARM)) == codec.id_of(Alarm) == MemoryRegistry().id_of("Alarm")


@pytest.mark.parametrize(
    "schema",
    [
        None,
        {"type": "record", "name": "Invoice", "namespace": "hes", "fields": [{"name": "a", "type": "long"}]},
        {"type": "record", "name": "Alarm", "namespace": "billing", "fields": [{"name": "a", "type": "long"}]},
        {"type": "record", "name": "Alarm", "fields": [{"name": "a", "type": "long"}]},
        {"type": "enum", "name": "Alarm", "namespace": "hes", "symbols": ["A"]},
        '"string"',
        '["null", "string"]',
        'syntax = "proto3"; message Alarm {}',
        {"type": "record", "name": "Alarm", "namespace": "hes", "fields": [{"name": "a", "type": "nonsense"}]},
        {"type": "record", "namespace": "hes", "fields": []},
        {"type": "record", "name": "Alarm", "namespace": "hes"},
        {"type": "object", "title": "hes.Alarm"},
        "[" * 100_000,
    ],
    ids=[
        "not-registered",
        "other-name",
        "other-namespace",
        "no-namespace",
        "enum",
        "primitive",
        "union",
        "protobuf",
        "unknown-type",
        "no-name",
        "no-fields",
        "json-schema",
        "nested-json",
    ],
)
def test_foreign_schema_has_its_code(schema: Any) -> None:
    codec = Codec(Registered(id99=schema) if schema is not None else MemoryRegistry())
    for call in (codec.decode, codec.type_of):
        with pytest.raises(CodecError) as caught:
            call(framed(b"\0\0"))
        assert caught.value.code == "avro-unknown-schema"
        assert "99" in str(caught.value)


def test_registry_that_is_away_is_no_fault_of_the_value() -> None:
    with pytest.raises(RegistryError) as caught:
        Codec(Down()).decode(framed(b"", 1))
    assert caught.value.retry


def test_truncated_body() -> None:
    codec = Codec(MemoryRegistry())
    data = codec.encode(ALARM)
    for cut in range(5, len(data)):
        with pytest.raises(CodecError, match="no Alarm") as caught:
            codec.decode(data[:cut])
        assert caught.value.code == "avro-body", cut


def test_bytes_after_the_record() -> None:
    codec = Codec(MemoryRegistry())
    with pytest.raises(CodecError, match="3 bytes follow") as caught:
        codec.decode(codec.encode(ALARM) + b"abc")
    assert caught.value.code == "avro-body"


def test_other_records_bytes_under_our_id() -> None:
    codec = Codec(MemoryRegistry())
    value = codec.encode(Meter(id="m1", vendor="v", groups=("a", "b")))
    with pytest.raises(CodecError) as caught:
        codec.decode(framed(value[5:], codec.id_of(Alarm)))
    assert caught.value.code == "avro-body"


@settings(max_examples=300, deadline=None)
@given(name=st.sampled_from(list(RECORDS)), body=st.binary(max_size=200))
def test_any_bytes_decode_or_have_a_code(name: str, body: bytes) -> None:
    codec = Codec(MemoryRegistry())
    try:
        record = codec.decode(framed(body, codec.id_of(RECORDS[name])))
    except CodecError as error:
        assert error.code == "avro-body"  # noqa: PT017 - either outcome is right; this holds the one to its code
    else:
        assert isinstance(record, RECORDS[name])


# Other releases, as FULL_TRANSITIVE allows them.


def test_older_writer_lacks_a_field() -> None:
    schema = alarm_schema(without=("severity", "detail", "life_support"))
    assert Codec(Registered(id99=schema)).decode(written(schema, plain(ALARM))) == ALARM


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ({"name": "note", "type": "string", "default": ""}, "hello"),
        ({"name": "note", "type": "bytes", "default": ""}, b"\0" * 300),
        ({"name": "note", "type": ["null", "long"], "default": None}, 5),
        ({"name": "note", "type": {"type": "array", "items": "bytes"}, "default": []}, [b"a", b"bc"]),
        ({"name": "note", "type": {"type": "map", "values": "double"}, "default": {}}, {"a": 1.5}),
        ({"name": "note", "type": {"type": "fixed", "name": "F", "size": 3}, "default": "\0\0\0"}, b"abc"),
        ({"name": "until", "type": {"type": "long", "logicalType": "timestamp-micros"}, "default": 0}, 7),
    ],
    ids=["string", "bytes", "union", "array", "map", "fixed", "logical-type"],
)
def test_newer_writer_has_a_field_more(field: dict[str, Any], value: Any) -> None:
    schema = alarm_schema(field)
    data = written(schema, plain(ALARM) | {field["name"]: value})
    assert Codec(Registered(id99=schema)).decode(data) == ALARM


def test_newer_writer_has_a_symbol_more() -> None:
    schema = alarm_schema()
    next(field for field in schema["fields"] if field["name"] == "kind")["type"]["symbols"].append("METEORITE")
    data = written(schema, plain(ALARM) | {"kind": "METEORITE"})
    decoded = Codec(Registered(id99=schema)).decode(data)
    assert isinstance(decoded, Alarm)
    assert decoded.kind is AlarmKind.UNKNOWN


def test_newer_writer_has_a_field_more_inside() -> None:
    schema = copy.deepcopy(avsc("RegisterReadings"))
    inner = next(field for field in schema["fields"] if field["name"] == "registers")["type"]["items"]
    inner["fields"].append({"name": "quality", "type": "int", "default": 0})
    record = RegisterReadings(id="r", registers=(Register(obis="1.0.1.8.0.255", unit="Wh", scaler=0, value=12),))
    stated: Any = plain(record)
    stated["registers"][0]["quality"] = 3
    assert Codec(Registered(id99=schema)).decode(written(schema, stated)) == record


def test_writer_that_no_rule_allows() -> None:
    schema = alarm_schema({"name": "occurred_at", "type": "string", "default": ""}, without=("occurred_at",))
    with pytest.raises(CodecError) as caught:
        Codec(Registered(id99=schema)).decode(written(schema, plain(ALARM) | {"occurred_at": "now"}))
    assert caught.value.code == "avro-body"


# Bytes made to hurt: a few of them must neither take memory nor time nor the stack.

HUGE = 1 << 40


def prefix(name: str, until: str) -> bytes:
    """The body of a default record up to the field `until`, which an attacker writes."""
    schema = copy.deepcopy(avsc(name))
    names = [field["name"] for field in schema["fields"]]
    schema["fields"] = schema["fields"][: names.index(until)]
    return written(schema, plain(RECORDS[name]()))[5:]


@pytest.mark.parametrize(
    ("name", "field", "attack"),
    [
        ("DeadLetter", "data", long(HUGE)),
        ("DeadLetter", "data", long((1 << 62) - 1)),
        ("DeadLetter", "data", long(-1)),
        ("DeadLetter", "id", long(HUGE)),
        ("DeadLetter", "headers", long(HUGE)),
        ("DeadLetter", "headers", long(-HUGE) + long(HUGE)),
        ("DeadLetter", "key", long(9)),
        ("DeadLetter", "partition", b"\xff" * 64),
        ("Meter", "identities", long(HUGE)),
        ("Meter", "groups", long(-(1 << 62)) + long(1)),
        ("IntervalReadings", "ends", long(HUGE) + b"\0" * 64),
        ("IntervalReadings", "channels", long(HUGE) + b"\0" * 64),
        ("Alarm", "kind", long(99)),
    ],
    ids=lambda value: value.hex() if isinstance(value, bytes) else str(value),
)
def test_hostile_lengths_allocate_nothing(name: str, field: str, attack: bytes) -> None:
    codec = Codec(MemoryRegistry())
    data = framed(prefix(name, field) + attack, codec.id_of(RECORDS[name]))
    codec.type_of(data)  # the schema is at hand; what is measured is the body
    tracemalloc.start()
    try:
        with pytest.raises(CodecError) as caught:
            codec.decode(data)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()
    assert caught.value.code == "avro-body"


@pytest.mark.parametrize(
    "field",
    [
        {"name": "x", "type": {"type": "array", "items": "null"}},
        {"name": "x", "type": {"type": "array", "items": {"type": "record", "name": "Nothing", "fields": []}}},
        {"name": "x", "type": {"type": "array", "items": {"type": "fixed", "name": "Nothing", "size": 0}}},
        {"name": "x", "type": {"type": "array", "items": {"type": "null"}}},
        {"name": "x", "type": "null"},
        {"name": "x", "type": ["null", "hes.Alarm"], "default": None},
        {"name": "x", "type": {"type": "array", "items": "Alarm"}},
        {"name": "x", "type": {"type": "map", "values": ["null", {"type": "array", "items": "hes.Alarm"}]}},
    ],
    ids=["nulls", "empty-records", "empty-fixed", "null-as-mapping", "null", "itself", "array-of-itself", "map-of-itself"],
)
def test_schema_whose_bodies_have_no_bound_is_refused(field: dict[str, Any]) -> None:
    """Five bytes that state a billion nulls, or a nesting that overflows the stack: no record of ours is so."""
    codec = Codec(Registered(id99=alarm_schema(field)))
    with pytest.raises(CodecError, match=r"takes no byte|holds itself") as caught:
        codec.decode(framed(long(1 << 30) * 8))
    assert caught.value.code == "avro-unknown-schema"


@pytest.mark.parametrize(
    ("items", "attack"),
    [
        ("bytes", long(1 << 60) + long(-1) * 3),  # skipping believes a length of -1, and so would stand still
        ("string", long(1 << 60) + long(-1) * 3),
        ("bytes", long(1) + long(HUGE) + long(0)),  # or jump past the end
        ("long", long(-3) + long(-20) + b"\2\2\2\0"),
    ],
    ids=["bytes-backwards", "string-backwards", "past-the-end", "block-backwards"],
)
def test_hostile_lengths_in_a_field_that_is_skipped(items: str, attack: bytes) -> None:
    schema = alarm_schema({"name": "note", "type": {"type": "array", "items": items}, "default": []})
    body = written(alarm_schema(), plain(ALARM))[5:] + attack
    with pytest.raises(CodecError) as caught:
        Codec(Registered(id99=schema)).decode(framed(body))
    assert caught.value.code == "avro-body"


# What does not fit is refused when written, with a code.


@pytest.mark.parametrize(
    "record",
    [
        Alarm(occurred_at=1 << 63),
        Alarm(occurred_at=None),  # type: ignore[arg-type]  # what a careless caller passes
        Alarm(code=7),  # type: ignore[arg-type]  # likewise
        Alarm(kind="METEORITE"),  # type: ignore[arg-type]  # likewise
        Alarm(id="\ud800"),
        Job(parameters={"a": 1}),  # type: ignore[dict-item]  # likewise
        Job(objects=("a", 1)),  # type: ignore[arg-type]  # likewise
        DeadLetter(data="text"),  # type: ignore[arg-type]  # likewise
        RegisterReadings(registers=(Register(value=b"octets"),)),  # type: ignore[arg-type]  # likewise
        CommandRequest(target=None),  # type: ignore[arg-type]  # likewise
        CommandRequest(target=Target(meters=None)),  # type: ignore[arg-type]  # likewise
    ],
    ids=lambda record: type(record).__name__,
)
def test_value_that_does_not_fit(record: Any) -> None:
    with pytest.raises(CodecError) as caught:
        Codec(MemoryRegistry()).encode(record)
    assert caught.value.code == "avro-value"
    assert type(record).__name__ in str(caught.value)


@pytest.mark.parametrize("value", [None, 0, -1, 2**63 - 1, 1.0, 1.5, "", "1", "00FF"], ids=repr)
def test_scalar_keeps_its_type(value: float | str | None) -> None:
    codec = Codec(MemoryRegistry())
    record = RegisterReadings(registers=(Register(value=value),))
    decoded = codec.decode(codec.encode(record))
    assert isinstance(decoded, RegisterReadings)
    assert repr(decoded.registers[0].value) == repr(value)
