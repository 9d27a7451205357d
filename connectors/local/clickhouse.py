"""ClickHouse, embedded in a small process of ours (`chdb_server`) that speaks ClickHouse's own HTTP interface."""

from __future__ import annotations

import sys

from connectors.local.health import get
from connectors.local.part import Part, Ports, Site
from connectors.local.ports import HOST
from connectors.local.process import Command

NAME = "clickhouse"
PORT = "clickhouse"


def prepare(site: Site, ports: Ports) -> None:  # noqa: ARG001 - all its settings are on its command line
    """Make its folder."""
    site.home.data(NAME).mkdir(parents=True, exist_ok=True)


def command(site: Site, ports: Ports) -> Command:
    """The server, under this very Python."""
    data = ["--path", str(site.home.data(NAME)), "--port", str(ports[PORT])]
    return Command([sys.executable, "-m", "connectors.local.chdb_server", *data])


def ready(ports: Ports) -> bool:
    """Whether it answers as ClickHouse does."""
    return get(ports[PORT], "/ping") == (200, b"Ok.\n")


def address(ports: Ports) -> str:
    """The URL of the HTTP interface."""
    return f"http://{HOST}:{ports[PORT]}"


CLICKHOUSE = Part(NAME, "ClickHouse", (PORT,), prepare, command, ready, address)
