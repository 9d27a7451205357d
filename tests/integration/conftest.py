"""The local stack for tests that need a real Kafka, Schema Registry and ClickHouse: one for the whole session.

Its data is in a temporary folder; what Maven fetched is in the user's cache and is shared. Tests share the stack, so each
uses topics, groups, subjects and databases with names of its own.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from connectors.local.stack import Endpoints, LocalStack

FIRST_START_S = 600
"""The first test that needs the stack may have to wait for 200 MB and for the class data archives."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs the stack, and give it the time of a first start."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents and "jvm" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.integration)
            if item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(FIRST_START_S))


def tell(line: str) -> None:
    """Progress of a start, for a run with -s or one that fails."""
    sys.stderr.write(f"{line}\n")


@pytest.fixture(scope="session")
def stack(jvm: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """A stack that runs; do not stop it."""
    with LocalStack(tmp_path_factory.mktemp("hes-home")) as running:
        running.up(tell)
        yield running


@pytest.fixture(scope="session")
def endpoints(stack: LocalStack) -> Endpoints:
    """Where it serves."""
    return stack.up(tell)


@pytest.fixture(scope="session")
def kafka(endpoints: Endpoints) -> str:
    """Bootstrap server."""
    return endpoints.kafka


@pytest.fixture(scope="session")
def registry_url(endpoints: Endpoints) -> str:
    """URL of the registry's Confluent-compatible API."""
    return endpoints.registry


@pytest.fixture(scope="session")
def clickhouse_url(endpoints: Endpoints) -> str:
    """URL of ClickHouse's HTTP interface."""
    return endpoints.clickhouse
