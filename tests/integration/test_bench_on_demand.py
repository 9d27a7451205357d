"""`hes bench on-demand` and `hes bench storm`, small: real services on a real Kafka, each stage and process told."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from connectors.cli import context
from connectors.cli.bench import on_demand, storm
from connectors.cli.bench.on_demand_reads import STAGES, WAYS
from connectors.cli.bench.storm_load import Options as Storm
from connectors.cli.failure import CommandError
from connectors.local.home import Home
from connectors.local.stack import Endpoints, LocalStack
from streams.runtime.settings import Settings
from tests.integration.gateway_bench import GatewayProcess, open_cluster

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]


@pytest.fixture
def place(stack: LocalStack, endpoints: Endpoints, tmp_path: Path) -> tuple[Settings, Home]:
    """The tests' stack, for groups that begin at the end of the jobs topics."""
    skipped = GatewayProcess(open_cluster(endpoints.kafka, endpoints.registry), tmp_path)
    skipped.skip_old_jobs()
    given = context.with_local(Settings(), endpoints, stack.home, always=True)
    kafka = given.kafka.model_copy(update={"group_suffix": skipped.suffix})
    files = {"key_file": str(tmp_path / "meters.json"), "master_key_file": str(tmp_path / "master.key")}
    return given.model_copy(update={"kafka": kafka, "gateway": given.gateway.model_copy(update=files)}), stack.home


@pytest.mark.long
def test_reads_are_done_alone_and_beside_scheduled_ones_and_each_stage_is_told(place: tuple[Settings, Home]) -> None:
    options = on_demand.Options(beside=(0, 20), seconds=2.0, warm_up_s=1.0, every_s=0.4, patience_s=90.0, meters=20)
    rows = list(on_demand.run_on(*place, options, lambda _: None))
    waits = ["acknowledged", "reading there", *(f"acknowledged, {way}" for way in WAYS)]
    told = [row for row in rows if "cpu_s" not in row]
    assert [(row["beside"], row["what"]) for row in told] == [(rate, what) for rate in (0, 20) for what in (*waits, *STAGES)]
    assert {(row["what"] in waits[2:], row["reads"]) for row in told} == {(False, 5), (True, 3), (True, 2)}
    for row in told:
        assert row["p50_ms"] <= row["p95_ms"] <= row["p99_ms"] <= row["max_ms"]  # type: ignore[operator]  # numbers, where there were reads
    alone, beside = ({row["kept"] for row in told if row["beside"] == rate} for rate in (0, 20))
    assert alone == {0}
    assert all(kept > 0 for kept in beside)  # type: ignore[operator]  # a number
    processes = {row["what"] for row in rows if "cpu_s" in row}
    assert processes >= {"CPU: gateway", "CPU: split", "CPU: commands", "CPU: kafka", "CPU: meters", "CPU: bench"}


def test_last_gasps_on_sockets_are_all_told_once_while_readings_flow(place: tuple[Settings, Home]) -> None:
    name = str(uuid.uuid4().int % 1_000)  # outages of a run before are still remembered where the stack is the tests' own
    options = Storm(
        alarms=300, seconds=1.0, transformers=10, feeders=2, spread=0.5, bulk=20, source="sockets", name=name,
        connections=20, each=True, ciphered=True, beside_readings=200,
    )  # fmt: skip
    whole, *rows = storm.run_on(*place, options, lambda _: None)
    assert (whole["alarms"], whole["on_topic"], whole["told"], whole["told_twice"]) == (300, 300, 300, 0)
    assert (whole["outages_a_transformer"], whole["transformer"]) == (1.0, 10)
    for stage in ("gateway", "split", "oms"):
        assert whole[f"{stage}_p50_ms"] <= whole[f"{stage}_p99_ms"]  # type: ignore[operator]  # numbers
    assert whole["profiles_sent"] > 0 < whole["pushed_rows_per_s"]  # type: ignore[operator]  # numbers
    assert {"gateway", "split", "oms", "kafka", "meters", "bench"} <= {row["process"] for row in rows}


def test_more_connections_than_open_files_are_refused_before_anything_starts() -> None:
    said: list[str] = []
    with pytest.raises(CommandError, match="open files"):
        list(storm.run(Storm(source="sockets", connections=10**8), said.append))
    assert said == []
