"""Apicurio Registry, for its Confluent-compatible API, with its schemas in a file."""

from __future__ import annotations

from connectors.local.health import get
from connectors.local.part import Part, Ports, Site
from connectors.local.ports import HOST
from connectors.local.process import Command

NAME = "registry"
PORT = "registry"


def prepare(site: Site, ports: Ports) -> None:  # noqa: ARG001 - all its settings are in its environment
    """Make its folder."""
    site.home.data(NAME).mkdir(parents=True, exist_ok=True)


def command(site: Site, ports: Ports) -> Command:
    """The registry.

    The database's URL must be an environment variable: as a system property it is ignored, and schemas would be in memory.
    Without WRITE_DELAY=0 a kill loses schemas that were acknowledged, and gives their ids to others.
    """
    argv = [*site.jvm(NAME, "128m"), "-jar", str(site.artifacts.registry_jar)]
    environ = {
        "REGISTRY_DATASOURCE_URL": f"jdbc:h2:file:{site.home.data(NAME) / 'schemas'};WRITE_DELAY=0",
        "QUARKUS_HTTP_HOST": HOST,
        "QUARKUS_HTTP_PORT": str(ports[PORT]),
        "QUARKUS_DATASOURCE_JDBC_INITIAL_SIZE": "1",
        "QUARKUS_DATASOURCE_JDBC_MIN_SIZE": "1",
        "QUARKUS_BANNER_ENABLED": "false",
        "LOG_LEVEL": "WARN",
        "REGISTRY_LOG_LEVEL": "WARN",
    }
    return Command(argv, environ)


def ready(ports: Ports) -> bool:
    """Whether it says that it is ready."""
    answer = get(ports[PORT], "/health/ready")
    return answer is not None and answer[0] == 200


def address(ports: Ports) -> str:
    """The URL of the Confluent-compatible API."""
    return f"http://{HOST}:{ports[PORT]}/apis/ccompat/v7"


REGISTRY = Part(NAME, "Schema Registry", (PORT,), prepare, command, ready, address)
