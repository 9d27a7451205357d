"""Ways to a meter: UDP that loses datagrams, IPv6, and meters that dial in, at whichever worker they arrive."""

from __future__ import annotations

import socket
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from connectors.gateway.keystore import MeterKeys
from connectors.gateway.relay import partition_of
from schemas.records import (
    Identity,
    IdentityKind,
    Job,
    JobResult,
    Meter,
    MeterState,
    Operation,
    Outcome,
    Priority,
    RegisterReadings,
    SessionFrames,
)
from tests.integration.gateway_bench import Cluster, GatewayProcess, Tap, open_cluster, running
from tests.integration.socket_meters import AK, EK, NAME, TcpMeters, Thing, UdpMeter, write_templates
from tests.unit.connectors.gateway.builders import named, notification, text, wrapped

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

RUN = uuid.uuid4().hex[:6]


@pytest.fixture(scope="module")
def cluster(kafka: str, registry_url: str) -> Cluster:
    return open_cluster(kafka, registry_url)


@pytest.fixture
def tap(cluster: Cluster) -> Iterator[Tap]:
    tap = Tap(cluster, "hes.events.urgent", "hes.events.bulk", "hes.frames")
    yield tap
    tap.close()


def read(meter: Meter, name: str = "read", seconds: int = 60) -> Job:
    now = int(time.time() * 1000)
    given: dict[str, Any] = {"priority": Priority.ON_DEMAND, "issued_at": now, "deadline": now + seconds * 1_000}
    return Job(
        id=f"{name}-{meter.id}", meter_id=meter.id, operation=Operation.READ_REGISTERS, objects=(f"1/{NAME}/2",), **given
    )


def result(tap: Tap, job: Job) -> JobResult:
    tap.until(lambda: any(item.job_id == job.id for item in tap.of(JobResult)), f"the result of {job.id}")
    return next(item for item in tap.of(JobResult) if item.job_id == job.id)


def value(tap: Tap, job: Job) -> Any:
    tap.until(lambda: any(item.job_id == job.id for item in tap.of(RegisterReadings)), f"what {job.id} read")
    return next(item for item in tap.of(RegisterReadings) if item.job_id == job.id).registers[0].value


def test_a_meter_on_udp_is_read_though_every_third_datagram_is_lost(cluster: Cluster, tap: Tap, tmp_path: Path) -> None:
    served = UdpMeter(Thing(b"MTR\0\0\0\2\1"), lambda number: number % 3 == 0)
    meter = Meter(id=f"udp-{RUN}", endpoint=f"udp://127.0.0.1:{served.port}", state=MeterState.NORMAL)
    cluster.put_meters([meter])
    with running(cluster, tmp_path, datagram_retry_s="0.3") as gateway:
        jobs = [read(meter, f"u{n}") for n in range(4)]
        for job in jobs:
            cluster.put_jobs([job], "hes.jobs.urgent")
            assert (result(tap, job).outcome, value(tap, job)) == (Outcome.DONE, "HES42")
        assert gateway.terminate() == 0
    assert served.received > 3 * len(jobs)  # some were sent again
    served.close()


def test_nobody_on_udp_is_told_as_such(cluster: Cluster, tap: Tap, tmp_path: Path) -> None:
    meter = Meter(id=f"udp-away-{RUN}", endpoint="udp://127.0.0.1:9", state=MeterState.NORMAL)
    cluster.put_meters([meter])
    with running(cluster, tmp_path, attempts="1", answer_timeout_s="3"):
        job = read(meter)
        cluster.put_jobs([job], "hes.jobs.urgent")
        assert result(tap, job).code in ("connect-refused", "answer-timeout")


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 here")
def test_a_meter_on_ipv6(cluster: Cluster, tap: Tap, tmp_path: Path) -> None:
    try:
        served = TcpMeters([Thing(b"MTR\0\0\0\2\2")], "::1")
    except OSError as error:
        pytest.skip(f"::1 cannot be bound: {error}")
    meter = Meter(id=f"six-{RUN}", endpoint=f"tcp://[::1]:{served.ports[0]}", state=MeterState.NORMAL)
    cluster.put_meters([meter])
    with running(cluster, tmp_path):
        job = read(meter)
        cluster.put_jobs([job], "hes.jobs.urgent")
        assert (result(tap, job).outcome, value(tap, job)) == (Outcome.DONE, "HES42")
        tap.until(lambda: any(f.job_id == job.id for f in tap.of(SessionFrames)), "frames")
        assert {f.endpoint for f in tap.of(SessionFrames) if f.job_id == job.id} == {f"[::1]:{served.ports[0]}"}
    served.close()


# -- dial-in ---------------------------------------------------------------------------------------------------------------


def dialling(number: int, **more: Any) -> Meter:
    serial = Identity(IdentityKind.SERIAL, f"SN{number}{RUN}")
    return Meter(id=f"dial-{number}-{RUN}", identities=(serial,), endpoint="dial-in", state=MeterState.NORMAL, **more)


def dial(gateway: GatewayProcess, meter: Meter, thing: Thing) -> socket.socket:
    """The meter connects, says who it is, and answers what it is asked."""
    connection = gateway.connect()
    serial = meter.identities[0].value
    connection.sendall(
        wrapped(notification(named("0.0.96.1.0.255", text(serial), ""), named("1.0.1.8.0.255", b"\x06\0\0\0\7")))
    )
    threading.Thread(target=thing.serve, args=(connection,), daemon=True).start()
    return connection


def test_a_job_waits_for_its_meter_and_is_done_on_the_connection_that_it_makes(
    cluster: Cluster, tap: Tap, tmp_path: Path
) -> None:
    meter, thing = dialling(1), Thing(b"MTR\0\0\0\2\3")
    cluster.put_meters([meter])
    with running(cluster, tmp_path) as gateway:
        first, second, never = read(meter, "first"), read(meter, "second"), read(dialling(9), "never", 4)
        cluster.put_meters([dialling(9)])
        cluster.put_jobs([first, never], "hes.jobs.urgent")
        assert (result(tap, never).outcome, result(tap, never).code) == (Outcome.EXPIRED, "job-expired")
        assert "did not dial in" in result(tap, never).detail
        assert not any(item.job_id == first.id for item in tap.of(JobResult))
        connection = dial(gateway, meter, thing)
        assert (result(tap, first).outcome, value(tap, first)) == (Outcome.DONE, "HES42")
        cluster.put_jobs([second], "hes.jobs.urgent")
        assert result(tap, second).outcome is Outcome.DONE
        connection.close()


def test_a_ciphered_meter_that_dials_in(cluster: Cluster, tap: Tap, tmp_path: Path) -> None:
    meter = dialling(2, template="secure", key_ref="ref")
    thing = Thing(b"MTR\0\0\0\2\4")
    thing.secure.heard = 77
    cluster.put_meters([meter])
    templates = write_templates(tmp_path / "t")
    with running(cluster, tmp_path, {"ref": MeterKeys(EK, AK)}, templates_dir=templates) as gateway:
        connection = dial(gateway, meter, thing)
        job = read(meter)
        cluster.put_jobs([job], "hes.jobs.urgent")
        assert (result(tap, job).outcome, value(tap, job)) == (Outcome.DONE, "HES42")
        assert min(thing.secure.used) > 77
        connection.close()


def test_meters_that_dial_in_at_the_wrong_worker_are_handed_over(cluster: Cluster, tap: Tap, tmp_path: Path) -> None:
    meters = [dialling(number) for number in range(10, 22)]
    assert len({partition_of(meter.id, 12) for meter in meters}) > 4
    things = [Thing(b"MTR\0\0\0\3" + bytes((n,)), f"name-{n}".encode()) for n in range(len(meters))]
    cluster.put_meters(meters)
    with running(cluster, tmp_path, relay_port="0", relay_secret="a secret of the workers") as first:
        second = GatewayProcess(cluster, tmp_path, first.settings, first.suffix)
        second.start()
        try:
            assigned = time.monotonic() + 30
            while time.monotonic() < assigned and not any(line.get("partitions") == 12 for line in second.log):
                time.sleep(0.1)
            # All at one door: about half of them have their jobs at the other worker.
            connections = [dial(first, meter, thing) for meter, thing in zip(meters, things, strict=True)]
            jobs = [read(meter) for meter in meters]
            cluster.put_jobs(jobs, "hes.jobs.urgent")
            for n, job in enumerate(jobs):
                assert (result(tap, job).outcome, value(tap, job)) == (Outcome.DONE, f"name-{n}")
            handed = [line for line in first.log if line.get("event") == "handed-over"]
            assert 0 < len(handed) < len(meters)
            # What they push goes on, through the pipe.
            before = len(tap.of(RegisterReadings))
            for n, (meter, connection) in enumerate(zip(meters, connections, strict=True)):
                push = notification(
                    named("0.0.96.1.0.255", text(meter.identities[0].value), ""),
                    named("1.0.1.8.0.255", b"\x06\0\0\1" + bytes((n,))),
                )
                connection.sendall(wrapped(push))
            tap.until(lambda: len(tap.of(RegisterReadings)) >= before + len(meters), "the pushes")
            for connection in connections:
                connection.close()
        finally:
            second.kill()
