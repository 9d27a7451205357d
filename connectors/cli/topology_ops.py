"""topology.yaml held against a running cluster and registry: what differs, and making it so.

`check` only looks. `apply` mends what `check` finds, and refuses to begin where something must be mended by hand first, so
that a half-applied topology is not the first that is heard of it. Applying again changes nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ConfigSource,
    NewPartitions,
    NewTopic,
    ResourceType,
)

from schemas.records import RECORDS
from schemas.registry import subject
from schemas.topology import Topic, Topology
from streams.runtime.errors import TemporaryError

TIMEOUT_S = 30.0
_JOBS = "hes.jobs."
SETTLE_S = 15.0
"""How long a broker may take to show what the controller has already done."""

Remedy = Literal["apply", "by-hand", "note"]
"""`apply` mends it; it must be mended by hand before anything is applied; or it is as it is, worth knowing."""


class SchemaRegistry(Protocol):
    """What is asked of a registry here; `schemas.registry.RemoteRegistry` is one."""

    def registered(self, name: str) -> int | None:
        """The id of this release's schema of a record, None where it is not there."""

    def register(self, name: str) -> int:
        """Register it."""

    def is_compatible(self, name: str) -> bool:
        """Whether it may follow every version that is there."""

    def compatibility(self, name: str) -> str:
        """The level of the record's subject."""

    def set_compatibility(self, name: str) -> None:
        """Hold the record's subject to the level that records are evolved by."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One difference between topology.yaml and what runs."""

    code: str
    subject: str
    """A topic or a registry subject."""
    detail: str
    remedy: Remedy


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that `apply` did."""

    action: Literal["topic-created", "partitions-added", "config-altered", "compatibility-set", "schema-registered"]
    subject: str
    detail: str


class ApplyError(Exception):
    """Nothing, or not everything, was applied; says what must be mended by hand, or what the cluster refused."""


@dataclass(frozen=True, slots=True)
class _Actual:
    """A topic as the cluster has it."""

    partitions: int
    replication: int
    configs: Mapping[str, str]
    """What is set on the topic itself, without defaults."""


def check(
    topology: Topology,
    admin: AdminClient | None,
    registry: SchemaRegistry | None,
    replication: int | None = None,
) -> list[Finding]:
    """Every difference, topics first; empty where there is none.

    `admin` or `registry` None leaves that side out. `replication` stands in for the file's, for clusters with fewer brokers.
    `TemporaryError` or `RegistryError` where one cannot be reached.
    """
    findings: list[Finding] = []
    if admin is not None:
        topics = _wanted(topology, replication)
        brokers, actual = _cluster(admin, topics)
        findings += _small(topics, actual, brokers)
        for topic in topics:
            findings += _compare(topic, actual.get(topic.name))
    if registry is not None:
        for name in RECORDS:
            findings += _compare_schema(name, registry, topology.compatibility)
    return findings


def apply(
    topology: Topology,
    admin: AdminClient | None,
    registry: SchemaRegistry | None,
    replication: int | None = None,
) -> list[Change]:
    """Make topics and schemas as topology.yaml and this release state them; what was changed, empty where nothing had to be.

    Topics are created, get more partitions (never fewer, and none where keys must stay in theirs) and other settings; the
    number of replicas of a topic that exists stays. `ApplyError` before anything is changed where a finding must be mended
    by hand; `TemporaryError` and `RegistryError` as in `check`.
    """
    findings = check(topology, admin, registry, replication)
    by_hand = [finding.detail for finding in findings if finding.remedy == "by-hand"]
    if by_hand:
        raise ApplyError("nothing was applied: " + "; ".join(by_hand))
    found = {(finding.code, finding.subject) for finding in findings if finding.remedy == "apply"}
    changes: list[Change] = []
    if admin is not None:
        changes += _apply_topics(admin, _wanted(topology, replication), found)
    if registry is not None:
        changes += _apply_schemas(registry, found)
    if admin is not None and changes:
        _settle(lambda: check(topology, admin, None, replication))
    return changes


def _wanted(topology: Topology, replication: int | None) -> list[Topic]:
    return [topic.replicated(replication) for topic in topology.topics.values()]


def _cluster(admin: AdminClient, topics: Iterable[Topic]) -> tuple[int, dict[str, _Actual]]:
    """How many brokers there are, and those of the topics that exist."""
    try:
        metadata = admin.list_topics(timeout=TIMEOUT_S)
        there = [topic.name for topic in topics if topic.name in metadata.topics]
        resources = [ConfigResource(ResourceType.TOPIC, name) for name in there]
        described = admin.describe_configs(resources, request_timeout=TIMEOUT_S) if resources else {}
        configs = {resource.name: _own(future.result()) for resource, future in described.items()}
    except KafkaException as error:
        raise TemporaryError(
            f"Kafka did not answer: {_reason(error)}; see that it runs and that kafka.bootstrap names it"
        ) from error
    actual = {}
    for name in there:
        partitions = metadata.topics[name].partitions
        replicas = min((len(partition.replicas) for partition in partitions.values()), default=0)
        actual[name] = _Actual(len(partitions), replicas, configs[name])
    return len(metadata.brokers), actual


def _own(entries: Mapping[str, ConfigEntry]) -> dict[str, str]:
    """Settings of the topic's own, but for throttles, which belong to a reassignment under way."""
    return {
        name: entry.value or ""
        for name, entry in entries.items()
        if ConfigSource(entry.source) is ConfigSource.DYNAMIC_TOPIC_CONFIG and not name.endswith(".throttled.replicas")
    }


def _small(topics: Iterable[Topic], actual: Mapping[str, _Actual], brokers: int) -> list[Finding]:
    needed = max((topic.replication for topic in topics if topic.name not in actual), default=0)
    if needed <= brokers:
        return []
    detail = (
        f"topology.yaml asks for {needed} replicas and the cluster has {brokers} brokers; add brokers, or give a replication"
    )
    return [Finding("cluster-small", "cluster", f"{detail} of {brokers} where losing data is no harm", "by-hand")]


def _compare(topic: Topic, actual: _Actual | None) -> list[Finding]:
    name = topic.name
    if actual is None:
        return [Finding("topic-missing", name, f"{name} does not exist", "apply")]
    findings = []
    if actual.partitions < topic.partitions:
        detail = f"{name} has {actual.partitions} partitions, wanted {topic.partitions}; adding them moves keys: "
        if keys_stay(topic):
            mend = (
                f"away from what is kept of them. Leave {actual.partitions} in topology.yaml, or stop all services, copy "
                "its records to a new topic and put that in its place (hes.jobs.*, hes.counters and hes.intents together)"
            )
            findings.append(Finding("topic-partitions-few", name, detail + mend, "by-hand"))
        else:
            findings.append(Finding("topic-partitions-few", name, detail + "drain it first", "apply"))
    elif actual.partitions > topic.partitions:
        detail = f"{name} has {actual.partitions} partitions, wanted {topic.partitions}; Kafka takes none away: "
        mend = "raise topology.yaml to as many, or make the topic anew"
        findings.append(Finding("topic-partitions-many", name, detail + mend, "by-hand"))
    if actual.replication != topic.replication:
        detail = (
            f"{name} has {actual.replication} replicas, wanted {topic.replication}; kafka-reassign-partitions changes that"
        )
        findings.append(Finding("topic-replication", name, detail, "note"))
    if differences := _differences(topic, actual):
        detail = ", ".join(
            f"{key} is {actual.configs.get(key, 'unset')}, wanted {want}" for key, want in differences.items()
        )
        findings.append(Finding("topic-config", name, f"{name}: {detail}", "apply"))
    return findings


def keys_stay(topic: Topic) -> bool:
    """Whether its keys must stay in their partitions: compaction would keep an older record of a moved one in the old place,
    and who has a meter's jobs would not find its counters and intents, and begin to use counters again under the same key.
    """
    return "compact" in topic.configs.get("cleanup.policy", "") or topic.name.startswith(_JOBS)


def _differences(topic: Topic, actual: _Actual) -> dict[str, str]:
    """Settings to set, or where the file does not have them to take away (`unset`).

    More in-sync replicas than a topic has replicas would stop every producer, so those it has are the limit.
    """
    configs = topic.replicated(min(topic.replication, actual.replication)).configs
    wrong = {key: value for key, value in configs.items() if actual.configs.get(key) != value}
    return wrong | dict.fromkeys(sorted(actual.configs.keys() - configs.keys()), "unset")


def _compare_schema(name: str, registry: SchemaRegistry, level: str) -> list[Finding]:
    known, has = registry.registered(name), registry.compatibility(name)
    findings = []
    if has != level:
        detail = f"{subject(name)} is held to {has or 'no level of its own'}, wanted {level}"
        findings.append(Finding("registry-compatibility", subject(name), detail, "apply"))
    if known is None and not registry.is_compatible(name):
        detail = f"this release's {subject(name)} may not follow the versions in the registry ({level}); "
        mend = "give new fields a default, and remove, rename or retype none"
        findings.append(Finding("schema-incompatible", subject(name), detail + mend, "by-hand"))
    elif known is None:
        findings.append(
            Finding("schema-missing", subject(name), f"{subject(name)} of this release is not registered", "apply")
        )
    return findings


def _apply_topics(admin: AdminClient, topics: list[Topic], found: set[tuple[str, str]]) -> list[Change]:
    def having(code: str) -> list[Topic]:
        return [topic for topic in topics if (code, topic.name) in found]

    changes = []
    if missing := having("topic-missing"):
        new = [
            NewTopic(
                topic.name, num_partitions=topic.partitions, replication_factor=topic.replication, config=dict(topic.configs)
            )
            for topic in missing
        ]
        created = _done(admin.create_topics(new, operation_timeout=TIMEOUT_S), tolerated=KafkaError.TOPIC_ALREADY_EXISTS)
        changes += [
            Change("topic-created", topic.name, f"{topic.partitions} partitions, {topic.replication} replicas")
            for topic in missing
            if topic.name in created
        ]
    if few := having("topic-partitions-few"):
        more = [NewPartitions(topic.name, topic.partitions) for topic in few]
        _done(admin.create_partitions(more, operation_timeout=TIMEOUT_S))
        changes += [Change("partitions-added", topic.name, f"now {topic.partitions}") for topic in few]
    if other := having("topic-config"):
        _, actual = _cluster(admin, other)
        differences = {topic.name: _differences(topic, actual[topic.name]) for topic in other}
        _done(admin.incremental_alter_configs([_alteration(name, wanted) for name, wanted in differences.items()]))
        changes += [
            Change("config-altered", name, ", ".join(f"{key}={value}" for key, value in wanted.items()))
            for name, wanted in differences.items()
        ]
    return changes


def _alteration(name: str, wanted: Mapping[str, str]) -> ConfigResource:
    return ConfigResource(
        ResourceType.TOPIC,
        name,
        incremental_configs=[
            ConfigEntry(key, None, incremental_operation=AlterConfigOpType.DELETE)
            if value == "unset"
            else ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET)
            for key, value in wanted.items()
        ],
    )


def _done(futures: Mapping[Any, Future[Any]], tolerated: int | None = None) -> set[str]:
    """Wait for what was asked of the cluster; the names of what it did, without those that failed as tolerated."""
    done, refused = set(), []
    for key, future in futures.items():
        name = key.name if isinstance(key, ConfigResource) else str(key)
        try:
            future.result()
        except KafkaException as error:
            if error.args[0].code() != tolerated:
                refused.append(f"{name}: {_reason(error)}")
        else:
            done.add(name)
    if refused:
        raise ApplyError("Kafka refused; what came before is applied, mend this and apply again: " + "; ".join(refused))
    return done


def _apply_schemas(registry: SchemaRegistry, found: set[tuple[str, str]]) -> list[Change]:
    changes = []
    for name in RECORDS:
        if ("registry-compatibility", subject(name)) in found:
            registry.set_compatibility(name)
            changes.append(Change("compatibility-set", subject(name), registry.compatibility(name)))
        if ("schema-missing", subject(name)) in found:
            changes.append(Change("schema-registered", subject(name), f"id {registry.register(name)}"))
    return changes


def _settle(look: Callable[[], list[Finding]]) -> None:
    """Wait until the brokers show what was applied, so that what follows, and a second `apply`, sees it."""
    until = time.monotonic() + SETTLE_S
    while left := [finding for finding in look() if finding.remedy == "apply"]:
        if time.monotonic() > until:
            raise ApplyError(
                f"Kafka took it, yet does not show it after {SETTLE_S:.0f} s: {left[0].detail}; check again later"
            )
        time.sleep(0.1)


def _reason(error: KafkaException) -> str:
    return str(error.args[0].str())
