"""`check` and `apply` against a real broker and registry."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.schema_registry import Schema

from connectors.cli.topology_ops import ApplyError, apply, check, keys_stay
from schemas import registry as registry_module
from schemas.records import RECORDS
from schemas.registry import COMPATIBILITY, RemoteRegistry, avsc, subject
from schemas.topology import Topic, Topology, load
from streams.runtime.errors import TemporaryError
from streams.runtime.kafka import admin_client
from streams.runtime.settings import Kafka

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def admin(kafka: str) -> AdminClient:
    return admin_client(Kafka(bootstrap=kafka))


@pytest.fixture(scope="module")
def registry(registry_url: str) -> Iterator[RemoteRegistry]:
    with closing(RemoteRegistry(registry_url)) as client:
        yield client


def one_topic(partitions: int = 2, replication: int = 1, **configs: str) -> Topology:
    """A topology of one topic, whose name no other test has."""
    name = f"test.topology-apply.{uuid.uuid4().hex[:8]}"
    texts = {key.replace("_", "."): value for key, value in configs.items()}
    topic = Topic(name, partitions, replication, texts, "data", "meter id", ("Meter",), "")
    return Topology(partitions, COMPATIBILITY, {name: topic}, {})


def changed(topology: Topology, **changes: object) -> Topology:
    [topic] = topology.topics.values()
    return replace(topology, topics={topic.name: replace(topic, **changes)})  # type: ignore[arg-type]  # by the caller's names


def codes(topology: Topology, admin: AdminClient) -> list[tuple[str, str]]:
    return [(finding.code, finding.remedy) for finding in check(topology, admin, None)]


def test_everything_twice(admin: AdminClient, registry: RemoteRegistry) -> None:
    topology = load()
    apply(topology, admin, registry, replication=1)
    assert apply(topology, admin, registry, replication=1) == []
    assert check(topology, admin, registry, replication=1) == []
    there = admin.list_topics(timeout=30).topics
    assert {name: len(there[name].partitions) for name in topology.topics} == {
        name: topic.partitions for name, topic in topology.topics.items()
    }
    for name in RECORDS:
        assert registry.registered(name) is not None
        assert registry.is_compatible(name)
        assert registry.compatibility(name) == COMPATIBILITY


def test_create_alter_and_grow(admin: AdminClient) -> None:
    topology = one_topic(2, retention_ms="60000", cleanup_policy="compact")
    [name] = topology.topics
    assert codes(topology, admin) == [("topic-missing", "apply")]
    assert [change.action for change in apply(topology, admin, None)] == ["topic-created"]
    assert codes(topology, admin) == []

    other = changed(topology, configs={"retention.ms": "-1", "min.insync.replicas": "1"}, partitions=5)
    assert codes(other, admin) == [("topic-partitions-few", "apply"), ("topic-config", "apply")]
    changes = apply(other, admin, None)
    assert [(change.action, change.subject) for change in changes] == [("partitions-added", name), ("config-altered", name)]
    assert set(changes[1].detail.split(", ")) == {"retention.ms=-1", "min.insync.replicas=1", "cleanup.policy=unset"}
    assert apply(other, admin, None) == []
    assert len(admin.list_topics(timeout=30).topics[name].partitions) == 5


def test_partitions_are_never_taken_away(admin: AdminClient) -> None:
    topology = one_topic(4, retention_ms="60000")
    apply(topology, admin, None)
    fewer = changed(topology, partitions=3, configs={"retention.ms": "1"})
    assert ("topic-partitions-many", "by-hand") in codes(fewer, admin)
    with pytest.raises(ApplyError, match=r"nothing was applied: .* has 4 partitions, wanted 3"):
        apply(fewer, admin, None)
    assert codes(topology, admin) == [], "nor is anything else altered"


def test_a_compacted_topic_gets_no_more_partitions(admin: AdminClient) -> None:
    topology = one_topic(2, cleanup_policy="compact")
    apply(topology, admin, None)
    more = changed(topology, partitions=4)
    assert codes(more, admin) == [("topic-partitions-few", "by-hand")]
    with pytest.raises(ApplyError, match=r"has 2 partitions, wanted 4; adding them moves keys: .*hes\.counters"):
        apply(more, admin, None)
    assert codes(topology, admin) == []


@pytest.mark.parametrize("name", ["hes.jobs.urgent", "hes.jobs.bulk", "hes.counters", "hes.intents"])
def test_where_a_meters_jobs_are_its_counters_are(name: str) -> None:
    assert keys_stay(load().topics[name])


def test_more_replicas_than_brokers(admin: AdminClient) -> None:
    topology = one_topic(1, replication=3, min_insync_replicas="2")
    with pytest.raises(ApplyError, match="asks for 3 replicas and the cluster has 1"):
        apply(topology, admin, None)
    assert [change.detail for change in apply(topology, admin, None, replication=1)] == ["1 partitions, 1 replicas"]
    assert check(topology, admin, None, replication=1) == []
    # Without saying so again: in-sync replicas that the topic cannot have would stop every producer, so they are not set.
    assert codes(topology, admin) == [("topic-replication", "note")]
    assert apply(topology, admin, None) == []


def test_setting_that_kafka_refuses(admin: AdminClient) -> None:
    topology = one_topic(1, retention_ms="soon")
    with pytest.raises(ApplyError, match=r"Kafka refused; .*retention\.ms"):
        apply(topology, admin, None)


def test_schema_that_may_not_follow(admin: AdminClient, registry: RemoteRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in RECORDS:
        registry.register(name)
    ours = registry_module._schema
    alarm = json.loads(json.dumps(avsc("Alarm")))
    alarm["fields"][0] = {"name": "id", "type": "long", "default": 0}
    monkeypatch.setattr(registry_module, "_schema", lambda n: Schema(json.dumps(alarm), "AVRO") if n == "Alarm" else ours(n))
    topology = one_topic(1)
    [name] = topology.topics
    findings = check(topology, admin, registry)
    assert [(finding.code, finding.subject, finding.remedy) for finding in findings] == [
        ("topic-missing", name, "apply"),
        ("schema-incompatible", subject("Alarm"), "by-hand"),
    ]
    with pytest.raises(ApplyError, match=r"nothing was applied: this release's hes\.Alarm may not follow"):
        apply(topology, admin, registry)
    assert name not in admin.list_topics(timeout=30).topics


def test_kafka_that_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("connectors.cli.topology_ops.TIMEOUT_S", 0.2)
    with pytest.raises(TemporaryError, match=r"Kafka did not answer: .*kafka\.bootstrap"):
        check(one_topic(), admin_client(Kafka(bootstrap="127.0.0.1:1")), None)
