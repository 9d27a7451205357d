"""topology.yaml: every topic, who writes it and who reads it; loaded and held against its rules, with no broker.

The file has the shape of kafka-gitops, with our own keys in the block `hes` of its settings, topics and services. The
rules: names that exist, records that exist, every topic of kind `data` with the same number of partitions and every topic
of kind `control` with one, and no key that is not known, since a misspelt key is a setting that silently does nothing.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Literal

from schemas.topology_rules import read

Kind = Literal["data", "control"]
"""`data` is keyed by meter and spread over partitions; `control` has one partition, so that its order is total."""


class TopologyError(Exception):
    """topology.yaml cannot be read or breaks its rules; every problem names its line and key, and the mend."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic."""

    name: str
    partitions: int
    replication: int
    configs: Mapping[str, str]
    """Kafka's topic settings, as the text that Kafka takes."""
    kind: Kind
    key: str
    """What a record's key is, for people."""
    values: tuple[str, ...]
    """The records (of `schemas.records`) that may be values."""
    about: str

    def replicated(self, replication: int | None) -> Topic:
        """This topic on a cluster that has only so many brokers: `min.insync.replicas` never exceeds the replicas."""
        if replication is None:
            return self
        configs = dict(self.configs)
        if (insync := configs.get("min.insync.replicas")) is not None:
            configs["min.insync.replicas"] = str(min(int(insync), replication))
        return replace(self, replication=replication, configs=configs)


@dataclass(frozen=True, slots=True)
class Service:
    """One processor or connector."""

    name: str
    principal: str
    """Who it is to Kafka, such as User:hes-split."""
    group_id: str
    consumes: tuple[str, ...]
    produces: tuple[str, ...]
    dead_letters: str
    """The topic for what it cannot read; empty where it has none."""
    about: str


@dataclass(frozen=True, slots=True)
class Topology:
    """The whole file, proven."""

    data_partitions: int
    compatibility: str
    topics: Mapping[str, Topic]
    services: Mapping[str, Service]

    def writers(self, topic: str) -> tuple[str, ...]:
        """The services that produce to a topic."""
        return tuple(service.name for service in self.services.values() if topic in service.produces)

    def readers(self, topic: str) -> tuple[str, ...]:
        """The services that consume a topic."""
        return tuple(service.name for service in self.services.values() if topic in service.consumes)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is not wrong, and yet worth a look: topics that no service here writes or reads."""
        lacks = {"writes": self.writers, "reads": self.readers}
        found = {name: " or ".join(verb for verb, services in lacks.items() if not services(name)) for name in self.topics}
        return tuple(f"no service {verbs} {name}" for name, verbs in found.items() if verbs)


def load(path: str | Path = "") -> Topology:
    """The topology of a file: the one given, else of `HES_TOPOLOGY`, else the checkout's, else the one that ships.

    `TopologyError` where the file is not there or breaks a rule.
    """
    named = str(path) or os.environ.get("HES_TOPOLOGY", "")
    checkout = Path(__file__).parents[1] / "topology.yaml"
    source = Path(named) if named else checkout if checkout.is_file() else files("schemas").joinpath("topology.yaml")
    try:
        text = source.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        mend = "name a file that exists by HES_TOPOLOGY or leave it unset" if named else "install hes again"
        raise TopologyError((f"{source} cannot be read ({type(error).__name__}); {mend}",)) from error
    return parse(text, str(source))


def parse(text: str, source: str = "topology.yaml") -> Topology:
    """The topology that a text states; `source` names it in messages."""
    document, problems = read(text)
    if problems:
        raise TopologyError(tuple(f"{source}:{problem}" for problem in problems))
    ours = document["settings"]["hes"]
    return Topology(
        data_partitions=ours["data-partitions"],
        compatibility=ours["compatibility"],
        topics={
            name: Topic(
                name=name,
                partitions=topic["partitions"],
                replication=topic["replication"],
                configs=topic["configs"],
                kind=topic["hes"]["kind"],
                key=topic["hes"]["key"],
                values=tuple(topic["hes"]["values"]),
                about=topic["hes"]["about"],
            )
            for name, topic in document["topics"].items()
        },
        services={
            name: Service(
                name=name,
                principal=service["principal"],
                group_id=service["group-id"],
                consumes=tuple(service["consumes"]),
                produces=tuple(service["produces"]),
                dead_letters=service["hes"]["dead-letters"],
                about=service["hes"]["about"],
            )
            for name, service in document["services"].items()
        },
    )
