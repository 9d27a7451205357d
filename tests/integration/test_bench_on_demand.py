"""`hes bench on-demand`, small: real services on a real Kafka, every read DONE, each stage told."""

from __future__ import annotations

from pathlib import Path

import pytest

from connectors.cli import context
from connectors.cli.bench import on_demand
from connectors.local.home import Home
from connectors.local.stack import Endpoints, LocalStack
from streams.runtime.settings import Settings
from tests.integration.gateway_bench import GatewayProcess, open_cluster

pytestmark = [pytest.mark.integration, pytest.mark.long, pytest.mark.timeout(300)]


@pytest.fixture
def place(stack: LocalStack, endpoints: Endpoints, tmp_path: Path) -> tuple[Settings, Home]:
    """The tests' stack, for groups that begin at the end of the jobs topics."""
    skipped = GatewayProcess(open_cluster(endpoints.kafka, endpoints.registry), tmp_path)
    skipped.skip_old_jobs()
    given = context.with_local(Settings(), endpoints, stack.home, always=True)
    kafka = given.kafka.model_copy(update={"group_suffix": skipped.suffix})
    files = {"key_file": str(tmp_path / "meters.json"), "master_key_file": str(tmp_path / "master.key")}
    return given.model_copy(update={"kafka": kafka, "gateway": given.gateway.model_copy(update=files)}), stack.home


def test_reads_are_done_alone_and_beside_bulk_jobs_and_each_stage_is_told(place: tuple[Settings, Home]) -> None:
    options = on_demand.Options(reads=5, every_s=0.0, load=20, meters=20)
    rows = list(on_demand.run_on(*place, options, lambda _: None))
    stages = ["acknowledged", "reading there", *on_demand.STAGES]
    assert [(row["turn"], row["stage"]) for row in rows] == [
        (turn, stage) for turn in ("alone", "under load") for stage in stages
    ]
    assert {(row["reads"], row["failed"]) for row in rows} == {(5, 0)}
    for row in rows:
        assert row["p50_ms"] <= row["p99_ms"] <= row["max_ms"]  # type: ignore[operator]  # numbers, where there were reads
