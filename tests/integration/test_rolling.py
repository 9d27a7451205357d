"""Two releases side by side on one registry: each routes, stores and reads what the other one writes."""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.schema_registry.error import SchemaRegistryError
from confluent_kafka.serialization import MessageField, SerializationContext

from connectors.cli import context
from connectors.cli.bench.split import count, fill
from connectors.cli.bench.stack import bench_stack, service
from connectors.cli.topics import decoded, read_topic
from connectors.clickhouse.errors import RefusedError, TableError
from connectors.clickhouse.store import Store, open_store
from connectors.local.home import Home
from schemas.codec import plain
from schemas.records import Cause, Channel, IntervalReadings
from schemas.registry import avsc, subject
from streams.runtime.kafka import Publisher, admin_client
from streams.runtime.settings import Settings

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("jvm"), pytest.mark.timeout(300)]

DAY_MS = 86_400_000
LANE, TARGET = "hes.events.bulk", "hes.readings.intervals"
WHERE = SerializationContext(LANE, MessageField.VALUE)
READ = IntervalReadings(
    id="r", meter_id="m1", source="7/1.0.99.1.0.255/2", first_end=1_767_226_500_000, period_s=900, rows=4, read_at=1,
    cause=Cause.SCHEDULED, channels=(Channel("1.0.1.8.0.255", unit="Wh", scaler=0, longs=(1, 2, 3, 4)),),
)  # fmt: skip


def next_release() -> dict[str, Any]:
    """IntervalReadings as a later release may have it: another field, and another symbol of an enum."""
    schema = copy.deepcopy(avsc("IntervalReadings"))
    schema["fields"].append({"name": "qualities", "type": {"type": "array", "items": "int"}, "default": []})
    next(item for item in schema["fields"] if item["name"] == "cause")["type"]["symbols"].append("ESTIMATED")
    return schema


@pytest.fixture(scope="module")
def running(jvm: None) -> Iterator[tuple[Settings, Home]]:
    with bench_stack(lambda _: None) as stack:
        yield stack


@pytest.fixture(scope="module")
def client(running: tuple[Settings, Home]) -> Iterator[SchemaRegistryClient]:
    with SchemaRegistryClient({"url": running[0].registry.url}) as found:
        yield found


def stored(store: Store, sql: str) -> list[tuple[Any, ...]]:
    try:
        return store.query(sql).rows
    except (TableError, RefusedError):
        return []  # the sink has not made the tables yet


def until(ready: Any, what: str) -> None:
    end = time.monotonic() + 60
    while not ready():
        assert time.monotonic() < end, what
        time.sleep(0.1)


def test_what_the_next_release_writes_is_routed_and_stored_by_this_one(
    running: tuple[Settings, Home], client: SchemaRegistryClient
) -> None:
    settings, home = running
    theirs = AvroSerializer(
        client, json.dumps(next_release()), conf={"subject.name.strategy": lambda *_: subject("IntervalReadings")}
    )
    codec, publisher = context.codec(settings), Publisher(settings.kafka, "test")
    ours = codec.encode(READ)
    new = theirs(plain(replace(READ, id="n", meter_id="m2")) | {"qualities": [1, 2, 3, 4], "cause": "ESTIMATED"}, WHERE)
    assert new is not None
    assert new[:5] != ours[:5]
    with service("split", settings, home), service("clickhouse", settings, home):
        later = codec.encode(replace(READ, id="r2", first_end=READ.first_end + DAY_MS))
        for key, value in (("m1", ours), ("m2", new), ("m1", later)):
            publisher.send(LANE, key, value)
        publisher.flush()
        admin = admin_client(settings.kafka)
        until(lambda: count(admin, TARGET) == 3, "split did not pass on what the next release wrote")
        rows = "SELECT meter_id, count(), sum(value) FROM hes.intervals FINAL GROUP BY meter_id ORDER BY meter_id"
        with closing(open_store(settings.clickhouse)) as store:
            until(lambda: stored(store, rows) == [("m1", 8, 20), ("m2", 4, 10)], "the sink did not store it")
    passed = {message.key(): message.value() for message in read_topic(settings, TARGET)}
    assert passed[b"m2"] == new, "bytes pass unchanged, so nothing of the new release is lost on the way"
    # What this release does not know has the enum's default.
    read = [record for _, record in decoded(settings, read_topic(settings, TARGET))]
    causes = {record.id: record.cause for record in read if isinstance(record, IntervalReadings)}
    assert causes == {"r": Cause.SCHEDULED, "r2": Cause.SCHEDULED, "n": Cause.UNKNOWN}
    assert count(admin_client(settings.kafka), "hes.dead-letters") == 0


def test_a_consumer_of_the_next_release_reads_what_this_one_writes(
    running: tuple[Settings, Home], client: SchemaRegistryClient
) -> None:
    read = AvroDeserializer(client, json.dumps(next_release()))(context.codec(running[0]).encode(READ), WHERE)
    assert isinstance(read, dict)
    assert (read["qualities"], read["cause"], read["channels"][0]["longs"]) == ([], "SCHEDULED", [1, 2, 3, 4])


@pytest.mark.parametrize(
    "spoiled",
    [{"name": "more", "type": "int"}, {"name": "rows", "type": "string", "default": ""}],
    ids=["a field without a default", "a field of another type"],
)
def test_what_would_break_either_side_is_refused_by_the_registry(
    running: tuple[Settings, Home], client: SchemaRegistryClient, spoiled: dict[str, Any]
) -> None:
    schema = avsc("IntervalReadings")
    fields = [item for item in schema["fields"] if item["name"] != spoiled["name"]] + [spoiled]
    with pytest.raises(SchemaRegistryError, match=r"409|ncompatible"):
        client.register_schema(subject("IntervalReadings"), Schema(json.dumps(schema | {"fields": fields}), "AVRO"))


def test_a_service_that_is_asked_to_stop_finishes_its_batch_and_sends_nothing_twice(
    running: tuple[Settings, Home],
) -> None:
    settings, home = running
    before = count(admin_client(settings.kafka), TARGET)
    fill(settings, 4_000, 96, 1)
    for stop_at in (1, 1_500, 4_000):
        with service("split", settings, home) as worker:
            until(lambda at=stop_at: count(admin_client(settings.kafka), TARGET) >= before + at, "split does not get on")
            assert worker.alive()
    assert count(admin_client(settings.kafka), TARGET) == before + 4_000
