"""Follow-up as a process of its own on a real Kafka: what it writes, and that a kill or a repetition adds nothing."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from schemas.records import (
    Alarm,
    AlarmKind,
    CommandRequest,
    Job,
    Meter,
    MeterState,
    Network,
    Operation,
    Register,
    RegisterReadings,
    Target,
)
from schemas.signatures import public_key, verify
from streams.runtime.tracing import REPLAY
from tests.integration.gateway_bench import Cluster, Tap, open_cluster
from tests.integration.service_processes import FollowUpProcess, stopped_at_the_end

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]
JOBS, COMMANDS, EVENTS = "hes.jobs.urgent", "hes.commands", "hes.events.urgent"


@pytest.fixture(scope="module")
def cluster(kafka: str, registry_url: str) -> Cluster:
    return open_cluster(kafka, registry_url)


@pytest.fixture
def run(cluster: Cluster) -> str:
    """A street of ten meters below a transformer of its own; the end of their names."""
    name = uuid.uuid4().hex[:6]
    cluster.put_meters(
        Meter(id=f"f{number}-{name}", transformer=f"T-{name}", network=Network.ETHERNET, state=MeterState.NORMAL)
        for number in range(10)
    )
    return name


@pytest.fixture
def tap(cluster: Cluster) -> Iterator[Tap]:
    found = Tap(cluster, JOBS, COMMANDS, EVENTS)
    yield found
    found.close()


def send(cluster: Cluster, record: Alarm | RegisterReadings, headers: Any = None) -> None:
    topic = "hes.alarms" if isinstance(record, Alarm) else "hes.readings.registers"
    cluster.publisher.send(topic, record.meter_id, cluster.codec.encode(record), headers)
    cluster.publisher.flush()


def alarm(meter_id: str, kind: AlarmKind) -> Alarm:
    now = time.time_ns() // 1_000_000
    return Alarm(id=f"{meter_id}/{kind}", meter_id=meter_id, kind=kind, occurred_at=now, received_at=now)


def jobs(tap: Tap, run: str) -> list[Job]:
    return [job for job in tap.of(Job) if job.meter_id.endswith(run)]


def test_a_street_goes_dark_and_the_service_is_killed(cluster: Cluster, run: str, tap: Tap, tmp_path: Path) -> None:
    dark = [alarm(f"f{number}-{run}", AlarmKind.OUTAGE) for number in range(4)]
    followup = FollowUpProcess(cluster, tmp_path, {})
    with stopped_at_the_end(followup):
        for each in dark:
            send(cluster, each)
        tap.until(lambda: len(jobs(tap, run)) >= 4, "pings of neighbours")
        followup.kill()
        for each in dark:
            send(cluster, each)
        send(cluster, alarm(f"f8-{run}", AlarmKind.TAMPER_COVER), [(REPLAY, b"some replay")])
        send(cluster, alarm(f"f9-{run}", AlarmKind.TAMPER_COVER))
        followup.start()
        tap.until(lambda: any(job.operation is Operation.READ_EVENT_LOG for job in jobs(tap, run)), "the event log's job")
    found = {job.id: job for job in jobs(tap, run)}
    pinged = {job.meter_id for job in found.values() if job.operation is Operation.PING}
    read = [job.meter_id for job in found.values() if job.operation is Operation.READ_EVENT_LOG]
    assert len(pinged) == sum(job.operation is Operation.PING for job in found.values()) <= 5
    assert read == [f"f9-{run}"]


def test_a_wrong_clock_is_asked_to_be_set_by_a_signed_command(cluster: Cluster, run: str, tap: Tap, tmp_path: Path) -> None:
    key = Ed25519PrivateKey.generate()
    file = tmp_path / "followup.pem"
    file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    os.chmod(file, 0o600)  # noqa: PTH101 - as the service looks at it
    settings = {"HES_FOLLOWUP__KEY_FILE": str(file), "HES_ENVIRONMENT": "test"}
    now = time.time_ns() // 1_000_000
    clock = (Register(obis="0.0.1.0.0.255", value="x"),)
    with stopped_at_the_end(FollowUpProcess(cluster, tmp_path, settings)):
        for number, drift_s in enumerate((10, 300, 7_200)):
            send(
                cluster,
                RegisterReadings(
                    id=f"{number}-{run}",
                    meter_id=f"f{number}-{run}",
                    captured_at=now + drift_s * 1_000,
                    meter_time_given=True,
                    registers=clock,
                    read_at=now,
                ),
            )
        tap.until(lambda: bool(mine(tap.of(CommandRequest), run) and alarms(tap, run)), "a request and an alarm")
    (request,) = mine(tap.of(CommandRequest), run)
    assert (request.operation, request.target) == (Operation.SET_CLOCK, Target(meters=(f"f1-{run}",)))
    assert (request.requested_by, request.requested_at, request.environment) == ("hes-followup", now, "test")
    verify(cluster.codec, cluster.codec.encode(request), "test", public_key(key))
    assert [(each.meter_id, each.code) for each in alarms(tap, run)] == [(f"f2-{run}", "clock-far")]


def mine(requests: list[CommandRequest], run: str) -> list[CommandRequest]:
    return [each for each in requests if any(name.endswith(run) for name in each.target.meters)]


def alarms(tap: Tap, run: str) -> list[Alarm]:
    return [each for each in tap.of(Alarm) if each.meter_id.endswith(run)]
