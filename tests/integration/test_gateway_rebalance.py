"""Gateways that join and leave under load: every job is done, nothing is done twice in effect."""

from __future__ import annotations

import time
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from schemas.records import Job, JobResult, Meter, MeterState, Operation, Outcome, Priority, RegisterReadings
from tests.integration.gateway_bench import Cluster, GatewayProcess, Tap, open_cluster, running
from tests.integration.socket_meters import NAME, TcpMeters, Thing

pytestmark = [pytest.mark.long, pytest.mark.integration, pytest.mark.timeout(400)]

RUN = uuid.uuid4().hex[:6]
METERS, ROUNDS = 24, 40


@pytest.fixture(scope="module")
def cluster(kafka: str, registry_url: str) -> Cluster:
    return open_cluster(kafka, registry_url)


@pytest.fixture(scope="module")
def meters(cluster: Cluster) -> Iterator[list[Meter]]:
    served = TcpMeters([Thing(b"MTR\0\0\0\1" + bytes((n,)), f"name-{n}".encode()) for n in range(METERS)])
    known = [
        Meter(id=f"moved-{n}-{RUN}", endpoint=f"tcp://127.0.0.1:{port}", state=MeterState.NORMAL)
        for n, port in enumerate(served.ports)
    ]
    cluster.put_meters(known)
    yield known
    served.close()


def reads(meters: list[Meter], name: str) -> list[Job]:
    given: dict[str, Any] = {"priority": Priority.SCHEDULED, "issued_at": int(time.time() * 1000)}
    return [
        Job(
            id=f"{name}-{meter.id}-{n}",
            meter_id=meter.id,
            operation=Operation.READ_REGISTERS,
            objects=(f"1/{NAME}/2",),
            **given,
        )
        for n in range(ROUNDS)
        for meter in meters
    ]


def results(tap: Tap, jobs: list[Job]) -> list[JobResult]:
    wanted = {item.id for item in jobs}
    return [item for item in tap.of(JobResult) if item.job_id in wanted]


def some(tap: Tap, jobs: list[Job], more: int) -> None:
    """Wait for more results."""
    before = len({item.job_id for item in results(tap, jobs)})
    tap.until(lambda: len({item.job_id for item in results(tap, jobs)}) >= min(len(jobs), before + more), "more results")


def in_effect_once(tap: Tap, jobs: list[Job], meters: list[Meter]) -> None:
    """One outcome a job, one id a result, and what each meter holds, once."""
    found = results(tap, jobs)
    assert {item.outcome for item in found} == {Outcome.DONE}, Counter(item.code for item in found)
    assert len({item.id for item in found}) == len(jobs)
    names = {f"name-{n}" for n in range(len(meters))}
    ids = {meter.id for meter in meters}
    readings = [item for item in tap.of(RegisterReadings) if item.meter_id in ids]
    assert {item.registers[0].value for item in readings} <= names
    assert len({item.id for item in readings}) == len(meters), "the same statement has more than one id"


def test_workers_join_and_leave_under_load(cluster: Cluster, meters: list[Meter], tmp_path: Path) -> None:
    tap = Tap(cluster, "hes.events.urgent", "hes.events.bulk")
    jobs = reads(meters, "steady")
    with running(cluster, tmp_path, sessions="3") as first:
        cluster.put_jobs(jobs)
        some(tap, jobs, 50)
        second = GatewayProcess(cluster, tmp_path, first.settings, first.suffix)
        third = GatewayProcess(cluster, tmp_path, first.settings, first.suffix)
        try:
            second.start()
            some(tap, jobs, 150)
            third.start()
            some(tap, jobs, 150)
            assert second.terminate() == 0  # leaves in order: finishes, commits, hands over
            some(tap, jobs, 100)
            third.kill()  # leaves as the kernel has it leave
            tap.until(lambda: len({item.job_id for item in results(tap, jobs)}) == len(jobs), "all results")
            tap.look(2.0)
        finally:
            second.kill()
            third.kill()
        taken = [line for line in first.log if line.get("event") == "partitions-revoked"]
        assert taken, "nobody joined"
    in_effect_once(tap, jobs, meters)
    again = Counter(item.job_id for item in results(tap, jobs))
    assert sum(again.values()) - len(again) <= len(jobs) // 4, "much was done again"
    tap.close()


def test_a_worker_with_too_much_in_hand_takes_no_more(cluster: Cluster, meters: list[Meter], tmp_path: Path) -> None:
    tap = Tap(cluster, "hes.events.urgent", "hes.events.bulk")
    jobs = reads(meters, "full")
    with running(cluster, tmp_path, sessions="2", max_queued_jobs="20") as gateway:
        cluster.put_jobs(jobs)
        tap.until(lambda: len({item.job_id for item in results(tap, jobs)}) == len(jobs), "all results")
        assert gateway.terminate() == 0
    in_effect_once(tap, jobs, meters)
    tap.close()
