"""Records, their .avsc files and what other Avro readers make of their bytes."""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import avro.io
import avro.schema
import fastavro
import pytest
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.codec import Codec, plain
from schemas.records import RECORDS
from schemas.registry import MemoryRegistry, avsc, subject
from tests.unit.schemas import mirror, values

ALL = pytest.mark.parametrize("name", list(RECORDS))
CODEC = Codec(MemoryRegistry())
CONTEXT = SerializationContext("any.topic", MessageField.VALUE)


def without_docs(node: Any) -> Any:
    if isinstance(node, dict):
        return {key: without_docs(value) for key, value in node.items() if key != "doc"}
    return [without_docs(item) for item in node] if isinstance(node, list) else node


def nodes(node: Any) -> Iterator[dict[str, Any]]:
    """Every mapping in a schema: records, fields, enums, arrays."""
    if isinstance(node, dict):
        yield node
        node = list(node.values())
    if isinstance(node, list):
        for item in node:
            yield from nodes(item)


@ALL
def test_file_states_what_the_class_states(name: str) -> None:
    assert without_docs(avsc(name)) == mirror.avro_of(RECORDS[name])


def test_every_file_is_a_record() -> None:
    assert {path.name.removesuffix(".avsc") for path in files("schemas").iterdir() if path.name.endswith(".avsc")} == set(
        RECORDS
    )


@ALL
def test_every_field_has_a_default_that_fits(name: str) -> None:
    fields = [node for node in nodes(avsc(name)) if "default" in node or ("type" in node and "name" in node)]
    fields = [node for node in fields if node["type"] not in ("record", "enum")]
    assert fields
    assert [node["name"] for node in fields if "default" not in node] == []
    avro.schema.parse(json.dumps(avsc(name)))  # the reference implementation raises where a default does not fit its type


@ALL
def test_every_enum_falls_back_to_unknown(name: str) -> None:
    enums = [node for node in nodes(avsc(name)) if node.get("type") == "enum"]
    assert [(node["default"], node["symbols"][0]) for node in enums] == [("UNKNOWN", "UNKNOWN")] * len(enums)


@ALL
def test_default_record_round_trips(name: str) -> None:
    cls = RECORDS[name]
    assert CODEC.decode(CODEC.encode(cls())) == cls()


@ALL
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_any_record_round_trips(name: str, data: st.DataObject) -> None:
    record = data.draw(values.record(RECORDS[name]))
    encoded = CODEC.encode(record)
    assert CODEC.type_of(encoded) is RECORDS[name]
    assert CODEC.decode(encoded) == record


@ALL
@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_other_readers_read_the_same(name: str, data: st.DataObject) -> None:
    """The reference implementation, from the .avsc file and the bytes, with times as the integers that are on the wire."""
    record = data.draw(values.record(RECORDS[name]))
    schema = avro.schema.parse(json.dumps(_instants_as_longs(avsc(name))))
    body = io.BytesIO(CODEC.encode(record)[5:])
    read = avro.io.DatumReader(schema, schema).read(avro.io.BinaryDecoder(body))
    assert read == plain(record)
    assert body.read() == b""


@ALL
@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_confluents_own_serializers_agree(name: str, data: st.DataObject) -> None:
    """What Confluent's serializer writes is byte for byte what the codec writes, and its deserializer reads it."""
    record = data.draw(values.record(RECORDS[name]))
    schema = json.dumps(_instants_as_longs(avsc(name)))
    client = SchemaRegistryClient.new_client({"url": "mock://records"})
    strategy = {"subject.name.strategy": lambda _context, _record: subject(name)}
    theirs = AvroSerializer(client, schema, conf=strategy)(plain(record), CONTEXT)
    number = client.register_schema(subject(name), Schema(schema, "AVRO"))
    ours = struct.pack(">bI", 0, number) + CODEC.encode(record)[5:]
    assert theirs == ours
    assert AvroDeserializer(client)(ours, CONTEXT) == plain(record)


@ALL
def test_times_are_instants_to_others(name: str) -> None:
    """Plain fastavro, with logical types, sees a datetime in each field that is a time."""
    body = io.BytesIO(CODEC.encode(RECORDS[name]())[5:])
    read: Any = fastavro.schemaless_reader(body, fastavro.parse_schema(avsc(name), named_schemas={}), None)
    times = [f["name"] for f in avsc(name)["fields"] if isinstance(f["type"], dict) and "logicalType" in f["type"]]
    assert [read[time].isoformat() for time in times] == ["1970-01-01T00:00:00+00:00"] * len(times)


def _instants_as_longs(node: Any) -> Any:
    if isinstance(node, dict):
        return {key: _instants_as_longs(value) for key, value in node.items() if key != "logicalType"}
    return [_instants_as_longs(item) for item in node] if isinstance(node, list) else node
