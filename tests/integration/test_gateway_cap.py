"""The cap on relay openings a minute, over all workers of a group, on a real Kafka."""

from __future__ import annotations

import uuid
from dataclasses import replace
from pathlib import Path

import pytest

from schemas.records import Operation, Outcome
from streams.runtime.authority import policy_file
from tests.integration.gateway_bench import Cluster, GatewayProcess, open_cluster
from tests.integration.relay_meters import Desk, Street, now_ms

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

RUN = uuid.uuid4().hex[:6]
STRICT = Path(policy_file.__file__).with_name("strict.yaml")


@pytest.fixture(scope="module")
def cluster(kafka: str, registry_url: str) -> Cluster:
    return open_cluster(kafka, registry_url)


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.long)])
def test_over_the_cap_no_relay_is_opened_and_supply_is_brought_back_all_the_same(
    workers: int, cluster: Cluster, tmp_path: Path
) -> None:
    """Workers under a cap of two a minute, and five commands that are proven in every other way."""
    desk = Desk.staffed(cluster, f"cap-{workers}-{RUN}")
    rules = tmp_path / "policy.yaml"
    rules.write_text(STRICT.read_text().replace("openings-a-minute: 10", "openings-a-minute: 2"))
    settings = desk.settings | {"HES_COMMANDS__POLICY_FILE": str(rules)}
    first = GatewayProcess(cluster, tmp_path, settings)
    gateways = [first, *(GatewayProcess(cluster, tmp_path, settings, suffix=first.suffix) for _ in range(workers - 1))]
    first.keys({})
    first.skip_old_jobs()
    street = Street(cluster, RUN)
    try:
        for gateway in gateways:
            gateway.start()
            gateway.wait_for("partitions-assigned")
        names = [street.meter(f"cap{n}-{workers}-{RUN}")[0] for n in range(5)]
        jobs = [replace(desk.proven(name), deadline=now_ms() + 8_000) for name in names]
        cluster.put_jobs(jobs, "hes.jobs.urgent")
        street.tap.until(lambda: all(street.results(job) for job in jobs), "all results")
        ended = sorted((street.results(job)[0].outcome, street.results(job)[0].code) for job in jobs)
        assert [outcome for outcome, _ in ended].count(Outcome.DONE) == 2
        assert {code for _, code in ended} == {"", "openings-capped"}
        assert sum(len(meter.moves) for meter in street.meters.values()) == 2
        cut = next(name for name in names if street.meters[name].moves)
        assert street.do(desk.proven(cut, Operation.RECONNECT)).outcome is Outcome.DONE
    finally:
        for gateway in gateways:
            gateway.kill()
        street.close()
