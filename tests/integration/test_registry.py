"""The registry client and the codec against the real registry, and a plain Confluent client reading what we write."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import pytest
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext

from schemas import registry as registry_module
from schemas.codec import Codec, CodecError, plain
from schemas.records import RECORDS
from schemas.registry import COMPATIBILITY, RegistryError, RemoteRegistry, avsc, subject

pytestmark = pytest.mark.integration

CONTEXT = SerializationContext("any.topic", MessageField.VALUE)


@pytest.fixture(scope="module")
def registry(registry_url: str) -> Iterator[RemoteRegistry]:
    """The registry, with every record registered."""
    with closing(RemoteRegistry(registry_url)) as client:
        for name in RECORDS:
            client.register(name)
        yield client


@pytest.fixture(scope="module")
def plain_client(registry_url: str) -> Iterator[SchemaRegistryClient]:
    with SchemaRegistryClient({"url": registry_url}) as client:
        yield client


def as_others_read(value: Any, kind: Any) -> Any:
    """A value as a client sees it that honours logical types: times are instants, also in records within."""
    if not isinstance(kind, dict):
        return value
    if "logicalType" in kind:
        return datetime.fromtimestamp(value / 1000, UTC)
    if kind["type"] == "record":
        return {field["name"]: as_others_read(value[field["name"]], field["type"]) for field in kind["fields"]}
    return value


@pytest.mark.parametrize("name", list(RECORDS))
def test_registered_held_and_read_by_a_plain_client(
    registry: RemoteRegistry, plain_client: SchemaRegistryClient, name: str
) -> None:
    number = registry.id_of(name)
    assert registry.register(name) == number, "registering again gives the same id"
    assert json.loads(registry.schema_of(number)) == avsc(name)
    assert plain_client.get_compatibility(subject(name)) == COMPATIBILITY
    record = RECORDS[name]()
    value = Codec(registry).encode(record)
    read: Any = AvroDeserializer(plain_client)(value, CONTEXT)
    assert read == as_others_read(plain(record), avsc(name))
    assert Codec(registry).decode(value) == record


def test_what_may_not_follow_is_refused(registry: RemoteRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    changed = json.loads(json.dumps(avsc("Alarm")))
    changed["fields"].append({"name": "note", "type": "string"})  # no default
    monkeypatch.setattr(registry_module, "_schema", lambda _name: Schema(json.dumps(changed), "AVRO"))
    assert not registry.is_compatible("Alarm")
    assert registry.registered("Alarm") is None
    with pytest.raises(RegistryError, match=r"hes\.Alarm may not follow") as caught:
        registry.register("Alarm")
    assert not caught.value.retry


@pytest.mark.parametrize(
    "field",
    [{"name": "note", "type": "string", "default": ""}, {"name": "note", "type": ["null", "long"], "default": None}],
    ids=["with-default", "optional"],
)
def test_what_may_follow_is_taken(registry: RemoteRegistry, monkeypatch: pytest.MonkeyPatch, field: dict[str, Any]) -> None:
    changed = json.loads(json.dumps(avsc("Alarm")))
    changed["fields"].append(field)
    monkeypatch.setattr(registry_module, "_schema", lambda _name: Schema(json.dumps(changed), "AVRO"))
    assert registry.is_compatible("Alarm")


def test_unknown_id(registry: RemoteRegistry) -> None:
    with pytest.raises(CodecError) as caught:
        Codec(registry).decode(b"\0" + (999_999).to_bytes(4) + b"body")
    assert caught.value.code == "avro-unknown-schema"


def test_other_systems_schema(registry: RemoteRegistry, plain_client: SchemaRegistryClient) -> None:
    number = plain_client.register_schema("billing.test-registry", Schema('"string"', "AVRO"))
    with pytest.raises(CodecError, match="no record") as caught:
        Codec(registry).decode(b"\0" + number.to_bytes(4) + b"\x02a")
    assert caught.value.code == "avro-unknown-schema"
