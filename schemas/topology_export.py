"""topology.yaml for other tools: kafka-gitops, and Strimzi's KafkaTopic and KafkaUser.

What a service may do follows from its row: read what it consumes, in its group, and write what it produces.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import yaml

from schemas.topology import Service, Topic, Topology

STRIMZI_API = "kafka.strimzi.io/v1"
"""Strimzi before 0.49 knows `kafka.strimzi.io/v1beta2`, with the same content."""


@dataclass(frozen=True, slots=True)
class Acl:
    """What a principal may do to one resource, from any host."""

    resource: Literal["topic", "group", "transactionalId", "cluster"]
    name: str
    """Empty for the cluster."""
    operations: tuple[str, ...]
    pattern: Literal["literal", "prefix"] = "literal"


def acls(service: Service) -> tuple[Acl, ...]:
    """Exactly what a service needs: its topics, its group, and an idempotent producer where it produces.

    A service that reads what it writes keeps state there, and fences who kept it before: by transactional ids that begin
    with its group's name.
    """
    found = [Acl("topic", name, ("Describe", "Read")) for name in service.consumes]
    found += [Acl("topic", name, ("Describe", "Write")) for name in service.produces]
    if service.consumes:
        found.append(Acl("group", service.group_id, ("Read",)))
    if set(service.consumes) & set(service.produces):
        found.append(Acl("transactionalId", service.group_id, ("Describe", "Write"), "prefix"))
    if service.produces:
        found.append(Acl("cluster", "", ("IdempotentWrite",)))
    return tuple(found)


def kafka_gitops(topology: Topology) -> str:
    """The desired state file of kafka-gitops, which then makes topics and ACLs of it."""
    return _yaml(
        [
            {
                "topics": {
                    topic.name: {
                        "partitions": topic.partitions,
                        "replication": topic.replication,
                        "configs": {key: _scalar(value) for key, value in topic.configs.items()},
                    }
                    for topic in topology.topics.values()
                },
                "services": {
                    service.name: {
                        "type": "application",
                        "principal": service.principal,
                        "group-id": service.group_id,
                        "produces": list(service.produces),
                        "consumes": list(service.consumes),
                    }
                    for service in topology.services.values()
                },
            }
        ]
    )


def strimzi(topology: Topology, cluster: str, *, api: str = STRIMZI_API) -> list[dict[str, Any]]:
    """The resources for Strimzi's Topic and User Operators: a KafkaTopic a topic, a KafkaUser a service.

    `cluster` is the name of the Kafka resource that they are for. Users authenticate by SCRAM-SHA-512, so that the
    principal is `User:` and the resource's name; Strimzi puts the password into a Secret of that name.
    """
    topics = [_kafka_topic(topic, cluster, api) for topic in topology.topics.values()]
    return topics + [_kafka_user(service, cluster, api) for service in topology.services.values()]


def strimzi_yaml(topology: Topology, cluster: str, *, api: str = STRIMZI_API) -> str:
    """The same as a stream of YAML documents, for `kubectl apply -f -`."""
    return _yaml(strimzi(topology, cluster, api=api))


def _kafka_topic(topic: Topic, cluster: str, api: str) -> dict[str, Any]:
    return {
        "apiVersion": api,
        "kind": "KafkaTopic",
        "metadata": {"name": topic.name, "labels": {"strimzi.io/cluster": cluster}},
        "spec": {
            "topicName": topic.name,
            "partitions": topic.partitions,
            "replicas": topic.replication,
            "config": {key: _scalar(value) for key, value in topic.configs.items()},
        },
    }


def _kafka_user(service: Service, cluster: str, api: str) -> dict[str, Any]:
    return {
        "apiVersion": api,
        "kind": "KafkaUser",
        "metadata": {"name": service.principal.removeprefix("User:"), "labels": {"strimzi.io/cluster": cluster}},
        "spec": {
            "authentication": {"type": "scram-sha-512"},
            "authorization": {"type": "simple", "acls": [_rule(acl) for acl in acls(service)]},
        },
    }


def _rule(acl: Acl) -> dict[str, Any]:
    resource = {"type": acl.resource, "name": acl.name, "patternType": acl.pattern} if acl.name else {"type": acl.resource}
    return {"resource": resource, "operations": list(acl.operations)}


def _scalar(value: str) -> int | str | bool:
    """A setting as YAML has it: Kafka's text, but a number or a truth where it is one."""
    if re.fullmatch(r"-?(0|[1-9]\d*)", value):
        return int(value)
    return value == "true" if value in ("true", "false") else value


def _yaml(documents: Sequence[Any]) -> str:
    return yaml.safe_dump_all(documents, sort_keys=False, width=125, explicit_start=len(documents) > 1)
