"""`hes bench firmware`, small: a real gateway process on a real Kafka, images that simulated meters confirm."""

from __future__ import annotations

import pytest

from connectors.cli import context
from connectors.cli.bench.firmware import Options, run_on
from connectors.local.home import Home
from connectors.local.stack import Endpoints, LocalStack
from streams.runtime.settings import Settings
from tests.integration.gateway_bench import GatewayProcess, open_cluster

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def place(stack: LocalStack, endpoints: Endpoints, tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, Home]:
    """The tests' stack, for a group that begins at the end of the jobs topics, in an environment of its own."""
    cluster, keys = open_cluster(endpoints.kafka, endpoints.registry), tmp_path_factory.mktemp("keys")
    skipped = GatewayProcess(cluster, keys)
    skipped.skip_old_jobs()
    given = context.with_local(Settings(), endpoints, stack.home, always=True)
    kafka = given.kafka.model_copy(update={"group_suffix": skipped.suffix})
    files = {"key_file": str(keys / "meters.json"), "master_key_file": str(keys / "master.key")}
    return given.model_copy(update={"kafka": kafka, "gateway": given.gateway.model_copy(update=files)}), stack.home


def test_meters_confirm_the_image_that_was_brought(place: tuple[Settings, Home]) -> None:
    said: list[str] = []
    (row,) = run_on(*place, Options(meters=3, size=20_000, auths=("gmac",)), said.append)
    assert (row["blocks"], row["verified"]) == (3 * 40, 3), said
    assert float(str(row["cpu_ms_a_block"])) >= float(str(row["loop_cpu_ms_a_block"])) > 0


@pytest.mark.long
def test_reading_goes_on_beside_transfers(place: tuple[Settings, Home]) -> None:
    said: list[str] = []
    options = Options(meters=8, size=500_000, beside_reads=True, readers=20, rate=20.0, seconds=3.0)
    alone, beside = run_on(*place, options, said.append)
    assert (alone["failed"], beside["failed"], beside["transfers_ended"]) == (0, 0, 0), said
    assert float(str(beside["transfers"])) == 8


@pytest.mark.long
@pytest.mark.timeout(600)
def test_two_hundred_transfers_leave_reading_its_rate(place: tuple[Settings, Home]) -> None:
    said: list[str] = []
    _, beside = run_on(*place, Options(meters=200, beside_reads=True, rate=50.0), said.append)
    assert (beside["transfers"], beside["failed"]) == (200, 0), said
    assert float(str(beside["kept"])) >= 0.95
