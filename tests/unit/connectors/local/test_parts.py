"""What each part is started with."""

from __future__ import annotations

from pathlib import Path

import pytest

from connectors.local.artifacts import Artifacts
from connectors.local.clickhouse import CLICKHOUSE
from connectors.local.home import Home
from connectors.local.java import Java
from connectors.local.kafka import KAFKA, properties
from connectors.local.part import Site
from connectors.local.registry import REGISTRY

PORTS = {"kafka": 20_001, "kafka-controller": 20_002, "registry": 20_003, "clickhouse": 20_004}


@pytest.fixture
def site(tmp_path: Path) -> Site:
    for name in ("kafka/a.jar", "registry/app-runner.jar"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()
    home = Home.of(tmp_path / "home")
    return Site(home, Java(Path("/jdk/bin/java"), "17.0.1"), Artifacts(tmp_path))


def test_kafka_tells_clients_the_port_it_has() -> None:
    lines = dict(line.split("=", 1) for line in properties(PORTS, Path("/d/log")).splitlines())
    assert lines["listeners"] == "PLAINTEXT://127.0.0.1:20001,CONTROLLER://127.0.0.1:20002"
    assert lines["advertised.listeners"] == "PLAINTEXT://127.0.0.1:20001"
    assert lines["controller.quorum.bootstrap.servers"] == "127.0.0.1:20002"
    assert lines["log.dirs"] == "/d/log"


def test_the_registry_keeps_its_schemas_in_a_file_and_syncs_them(site: Site) -> None:
    environ = REGISTRY.command(site, PORTS).environ
    assert environ["REGISTRY_DATASOURCE_URL"] == f"jdbc:h2:file:{site.home.root}/registry/schemas;WRITE_DELAY=0"
    assert (environ["QUARKUS_HTTP_HOST"], environ["QUARKUS_HTTP_PORT"]) == ("127.0.0.1", "20003")


def test_addresses() -> None:
    addresses = [part.address(PORTS) for part in (KAFKA, REGISTRY, CLICKHOUSE)]
    assert addresses == ["127.0.0.1:20001", "http://127.0.0.1:20003/apis/ccompat/v7", "http://127.0.0.1:20004"]


@pytest.mark.parametrize(
    ("content", "used"), [(None, False), (b"", False), (b"x", True)], ids=["absent", "could-not-be-made", "there"]
)
def test_a_class_data_archive_is_used_where_there_is_one(site: Site, content: bytes | None, used: bool) -> None:
    archive = site.artifacts.archive("kafka", "17.0.1")
    archive.parent.mkdir()
    if content is not None:
        archive.write_bytes(content)
    assert (f"-XX:SharedArchiveFile={archive}" in KAFKA.command(site, PORTS).argv) is used
