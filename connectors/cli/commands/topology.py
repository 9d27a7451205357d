"""`hes topology`: topics, who writes and reads them, and the registry's schemas, from topology.yaml."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from connectors.cli import context
from connectors.cli.failure import DONE_WITH_FAILURES, CommandError, unreachable, usage
from connectors.cli.output import FormatOption, emit, say
from schemas.registry import RegistryError, RemoteRegistry
from schemas.topology import Topology, TopologyError, load
from streams.runtime.errors import TemporaryError
from streams.runtime.kafka import admin_client
from streams.runtime.settings import Settings

if TYPE_CHECKING:
    from connectors.cli.topology_ops import Change

topology = typer.Typer(help="Topics, who writes and reads them, and their schemas.", no_args_is_help=True)
_FIRST_WORD_S = 5.0
Replication = Annotated[
    int | None, typer.Option(min=1, help="replicas, where the cluster has fewer brokers than topology.yaml wants")
]


class Only(StrEnum):
    """A side of the topology that somebody else takes care of the rest of."""

    TOPICS = "topics"
    SCHEMAS = "schemas"


OnlyOption = Annotated[Only | None, typer.Option(help="this side only: Strimzi, say, may make the topics")]


class Export(StrEnum):
    """For whom the topology is written."""

    KAFKA_GITOPS = "kafka-gitops"
    STRIMZI = "strimzi"


@topology.command()
def show(
    mermaid: Annotated[bool, typer.Option("--mermaid", help="a Mermaid flowchart instead")] = False,
    everything: Annotated[bool, typer.Option("--all", help="topics without a service, too")] = False,
    format: FormatOption = None,  # noqa: A002 - the option's name
) -> None:
    """Show topology.yaml: each topic with its values, writers and readers."""
    stated = _load(context.settings())
    if mermaid:
        from schemas.topology_draw import mermaid as draw

        print(draw(stated, everything=everything))
        return
    emit(
        [
            {
                "topic": topic.name,
                "partitions": topic.partitions,
                "values": ", ".join(topic.values),
                "key": topic.key,
                "written by": ", ".join(stated.writers(topic.name)),
                "read by": ", ".join(stated.readers(topic.name)),
            }
            for topic in stated.topics.values()
        ],
        format,
    )


@topology.command()
def check(
    replication: Replication = None,
    only: OnlyOption = None,
    format: FormatOption = None,  # noqa: A002 - the option's name
) -> None:
    """Compare with Kafka and the registry, compatibility of schemas included; the exit code is 1 where something differs."""
    from connectors.cli import topology_ops

    given = context.settings()
    with _sides(given, only) as (admin, registry):
        found = topology_ops.check(_load(given), admin, registry, replication)
    emit([asdict(finding) for finding in found], format, empty="Kafka and the registry are as topology.yaml states")
    if any(finding.remedy != "note" for finding in found):
        raise typer.Exit(DONE_WITH_FAILURES)


@topology.command()
def apply(
    replication: Replication = None,
    only: OnlyOption = None,
    format: FormatOption = None,  # noqa: A002 - the option's name
) -> None:
    """Create topics, alter their settings and register schemas; a second run changes nothing."""
    changes = apply_to(context.settings(), replication, only)
    emit([asdict(change) for change in changes], format, empty="nothing to change")


@topology.command()
def export(
    to: Annotated[Export, typer.Argument(help="whose format")] = Export.KAFKA_GITOPS,
    cluster: Annotated[str, typer.Option(help="the Strimzi Kafka resource")] = "hes",
) -> None:
    """Write the topology as kafka-gitops state or as Strimzi resources, access control lists included."""
    from schemas import topology_export

    stated = _load(context.settings())
    print(
        topology_export.kafka_gitops(stated) if to is Export.KAFKA_GITOPS else topology_export.strimzi_yaml(stated, cluster)
    )


def apply_to(given: Settings, replication: int | None, only: Only | None = None) -> list[Change]:
    """Apply the topology where the settings say."""
    from connectors.cli import topology_ops

    with _sides(given, only) as (admin, registry):
        return topology_ops.apply(_load(given), admin, registry, replication)


def _admin(given: Settings) -> AdminClient:
    """A client of a broker that answers: what follows is more patient than a person who mistyped an address."""
    admin = admin_client(given.kafka)
    try:
        admin.list_topics(timeout=_FIRST_WORD_S)
    except KafkaException as error:
        raise unreachable(f"Kafka at {given.kafka.bootstrap} does not answer: {error.args[0].str()}") from error
    return admin


@contextmanager
def _sides(given: Settings, only: Only | None) -> Iterator[tuple[AdminClient | None, RemoteRegistry | None]]:
    """Kafka and the registry, or only one of them, with their errors as the command's."""
    from connectors.cli.topology_ops import ApplyError

    try:
        with closing(RemoteRegistry(given.registry.url)) as registry:
            admin = None if only is Only.SCHEMAS else _admin(given)
            yield admin, None if only is Only.TOPICS else registry
    except ApplyError as error:
        raise CommandError(str(error), mend="`hes topology check` lists every difference") from error
    except (TemporaryError, RegistryError) as error:
        raise unreachable(str(error)) from error


def _load(given: Settings) -> Topology:
    try:
        stated = load(given.topology)
    except TopologyError as error:
        raise usage(str(error)) from error
    for warning in stated.warnings:
        if given.topology:
            say(f"[yellow]note[/]: {warning}")
    return stated


def register(app: typer.Typer) -> None:
    """Put the group on the tree."""
    app.add_typer(topology, name="topology")
