"""`hes bench worker`, `open` and `hostile`, small: a real gateway process on a real Kafka, and values compared."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from connectors.cli import context
from connectors.cli.bench import worker, worker_hostile, worker_open
from connectors.cli.bench.profiler import top
from connectors.cli.failure import CommandError
from connectors.local.home import Home
from connectors.local.stack import Endpoints, LocalStack
from streams.runtime.settings import Settings
from tests.integration.gateway_bench import GatewayProcess, open_cluster
from tests.integration.java_peer import peer_or_skip

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def place(stack: LocalStack, endpoints: Endpoints, tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, Home]:
    """The tests' stack, for a group that begins at the end of the jobs topics."""
    cluster, keys = open_cluster(endpoints.kafka, endpoints.registry), tmp_path_factory.mktemp("keys")
    skipped = GatewayProcess(cluster, keys)
    skipped.skip_old_jobs()
    given = context.with_local(Settings(), endpoints, stack.home, always=True)
    kafka = given.kafka.model_copy(update={"group_suffix": skipped.suffix})
    files = {"key_file": str(keys / "meters.json"), "master_key_file": str(keys / "master.key")}
    return given.model_copy(update={"kafka": kafka, "gateway": given.gateway.model_copy(update=files)}), stack.home


@pytest.fixture
def said() -> list[str]:
    return []


def rows_of(rows: Iterator[dict[str, object]]) -> list[Mapping[str, Any]]:
    return list(rows)


@pytest.mark.parametrize("auth", ["gmac", *(pytest.param(auth, marks=pytest.mark.long) for auth in ("none", "low"))])
def test_jobs_end_on_kafka_with_what_the_meters_hold(
    auth: str, place: tuple[Settings, Home], said: list[str], tmp_path: Path
) -> None:
    profile = tmp_path / "stacks.txt" if auth == "gmac" else None
    options = worker.Options(jobs=50, meters=30, auth=auth, sessions=20, profile=profile)
    (row,) = rows_of(worker.run_on(*place, options, said.append))
    assert (row["jobs"], row["done"], row["failed"], row["wrong"], row["rows"]) == (50, 50, 0, 0, 50 * 96), said
    assert row["cpu_ms_a_job"] >= row["loop_cpu_ms_a_job"] > 0
    if profile is not None:
        assert any(own.function.startswith("connectors.gateway") for own in top(profile, 100))


@pytest.mark.long
def test_jdlms_reads_the_same_fleet_in_the_same_run(place: tuple[Settings, Home], said: list[str]) -> None:
    with peer_or_skip():
        ours, theirs = rows_of(worker.run_on(*place, worker.Options(20, 20, "gmac", 20, "jdlms"), said.append))
    assert (ours["failed"], ours["wrong"], theirs["failed"]) == (0, 0, 0), "\n".join(said)
    assert ours["times_jdlms_per_cpu_s"] == pytest.approx(theirs["cpu_ms_a_job"] / ours["cpu_ms_a_job"], rel=0.02)


def test_all_sessions_are_open_at_once_and_all_jobs_end(place: tuple[Settings, Home], said: list[str]) -> None:
    idle, pull = rows_of(worker_open.run_on(*place, worker_open.Options(60, 1.0, 40, watch_s=0.5), said.append))
    assert idle["open_at_once"] == 40
    assert (pull["done"], pull["failed"], pull["wrong"]) == (60, 0, 0), said
    assert pull["open_at_the_meters"] == 60


def test_hostile_meters_end_with_a_code_and_the_healthy_are_read(place: tuple[Settings, Home], said: list[str]) -> None:
    options = worker_hostile.Options(
        hostile=20, meters=20, jobs=40, turns=1, sessions=100, segments=2, network="ETHERNET", deadline_s=4.0
    )
    alone, beside = rows_of(worker_hostile.run_on(*place, options, said.append))
    for row in (alone, beside):
        assert (row["jobs"], row["done"], row["wrong"]) == (40, 40, 0), said
    assert beside["hostile_ended"] == {"job-expired": 20}
    assert beside["hostile_open"][0] == 20


@pytest.mark.parametrize(
    ("run", "options"),
    [
        pytest.param(worker.run, worker.Options(auth="hls"), id="association"),
        pytest.param(worker.run, worker.Options(peer="gurux"), id="peer"),
        pytest.param(worker_open.run, worker_open.Options(sessions=50_000_000), id="more-than-files"),
    ],
)
def test_what_cannot_be_had_is_said_before_anything_starts(
    run: Callable[[Any, Callable[[str], None]], Iterator[dict[str, object]]], options: Any
) -> None:
    with pytest.raises(CommandError) as refusal:
        rows_of(run(options, lambda _: None))
    assert refusal.value.exit_code == 2
