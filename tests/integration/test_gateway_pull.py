"""Jobs on a real Kafka, meters played by gurux-dlms on real sockets, and what comes of it, also with a killed gateway."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from connectors.gateway.keystore import MeterKeys
from schemas.records import (
    Alarm,
    Cause,
    DeadLetter,
    Direction,
    Identity,
    IdentityKind,
    IntervalReadings,
    Job,
    JobResult,
    Meter,
    MeterState,
    Network,
    Operation,
    Outcome,
    Priority,
    Protocol,
    RegisterReadings,
    SessionFrames,
    SessionKind,
    UtilityKind,
)  # fmt: skip
from tests.integration.gateway_bench import PATIENCE_S, Cluster, GatewayProcess, Tap, open_cluster, running

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

METERS = 24
TOPICS = ("hes.frames", "hes.events.urgent", "hes.events.bulk", "hes.dead-letters")
RUN = uuid.uuid4().hex[:6]


@dataclass
class Fleet:
    """Meters that run, what the head-end is told of them, and what they truly hold."""

    meters: list[Meter]
    keys: dict[str, MeterKeys]
    window: tuple[int, int]
    truth: dict[tuple[str, str, int], int]
    """(meter, OBIS, interval end) to the raw value."""


@pytest.fixture(scope="module")
def cluster(kafka: str, registry_url: str) -> Cluster:
    return open_cluster(kafka, registry_url)


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    home = tmp_path_factory.mktemp("fleet")
    process = subprocess.Popen(
        [sys.executable, "-m", "connectors.simulator", "--home", str(home), "--meters", str(METERS), "--seed", "11"],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        rows = [json.loads(line) for line in (home / "meters.jsonl").read_text().splitlines()]
        truth = [json.loads(line) for line in (home / "truth.jsonl").read_text().splitlines()]
        yield Fleet(
            [_meter(row) for row in rows],
            {row["key_ref"]: MeterKeys(password=row["secrets"]["password"].encode()) for row in rows},
            (ready["window"][0], ready["window"][1]),
            {(row["meter"], row["channel"], row["end"]): row["raw"] for row in truth if row["t"] == "interval"},
        )
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=PATIENCE_S)


def _meter(row: dict[str, Any]) -> Meter:
    names = ("id", "vendor", "model", "segment", "endpoint", "template", "key_ref", "time_zone", "firmware")
    return Meter(
        identities=tuple(Identity(IdentityKind(item["kind"]), item["value"]) for item in row["identities"]),
        utility=UtilityKind(row["utility"]), protocol=Protocol(row["protocol"]), network=Network(row["network"]),
        state=MeterState(row["state"]), **{name: row[name] for name in names},
    )  # fmt: skip


@pytest.fixture(scope="module")
def gateway(cluster: Cluster, fleet: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    cluster.put_meters(fleet.meters)
    with running(cluster, tmp_path_factory.mktemp("gateway"), fleet.keys, attempts="2", answer_timeout_s="5") as process:
        yield process


@pytest.fixture
def tap(cluster: Cluster) -> Iterator[Tap]:
    tap = Tap(cluster, *TOPICS)
    yield tap
    tap.close()


def job(name: str, meter_id: str, operation: Operation = Operation.READ_PROFILE, **more: Any) -> Job:
    given: dict[str, Any] = {"priority": Priority.SCHEDULED, "cause": Cause.SCHEDULED, "issued_at": int(time.time() * 1000)}
    return Job(id=f"{name}-{RUN}", meter_id=meter_id, operation=operation, **(given | more))


def profiles(name: str, fleet: Fleet) -> list[Job]:
    start, end = fleet.window
    return [job(f"{name}-{meter.id}", meter.id, from_time=start, to_time=end) for meter in fleet.meters]


def results(tap: Tap, jobs: list[Job]) -> dict[str, JobResult]:
    wanted = {item.id for item in jobs}
    return {item.job_id: item for item in tap.of(JobResult) if item.job_id in wanted}


def all_results(tap: Tap, jobs: list[Job]) -> dict[str, JobResult]:
    tap.until(lambda: len(results(tap, jobs)) == len(jobs), f"{len(jobs)} results")
    return results(tap, jobs)


def stored(readings: list[IntervalReadings]) -> dict[tuple[str, str, int], Any]:
    """(meter, OBIS, interval end) to the raw value, as a sink unfolds it."""
    rows: dict[tuple[str, str, int], Any] = {}
    for item in readings:
        ends = item.ends or tuple(item.first_end + n * item.period_s * 1000 for n in range(item.rows))
        for channel in item.channels:
            values = channel.longs or channel.nullable_longs or channel.doubles or channel.texts
            rows |= {(item.meter_id, channel.obis, end): value for end, value in zip(ends, values, strict=True)}
    return rows


def test_every_interval_that_the_meters_hold_is_read_exactly(
    gateway: GatewayProcess, cluster: Cluster, fleet: Fleet, tap: Tap
) -> None:
    jobs = profiles("truth", fleet)
    cluster.put_jobs(jobs)
    ended = all_results(tap, jobs)
    assert {(item.outcome, item.code) for item in ended.values()} == {(Outcome.DONE, "")}
    readings = tap.of(IntervalReadings)
    assert stored(readings) == fleet.truth
    assert sorted(event for item in ended.values() for event in item.events) == sorted(item.id for item in readings)
    assert {item.rows for item in ended.values()} == {96}
    for item in ended.values():
        assert item.issued_at <= item.started_at <= (item.connected_at or 0) <= (item.associated_at or 0) <= item.finished_at


def test_no_password_is_in_anything_that_is_written(
    gateway: GatewayProcess, cluster: Cluster, fleet: Fleet, tap: Tap
) -> None:
    jobs = [job(f"clock-{meter.id}", meter.id, Operation.READ_CLOCK) for meter in fleet.meters]
    cluster.put_jobs(jobs, "hes.jobs.urgent")
    assert {item.outcome for item in all_results(tap, jobs).values()} == {Outcome.DONE}
    tap.look(1.0)
    kept = [part for part in tap.of(SessionFrames) if part.kind is SessionKind.PULL]
    octets = b"".join(frame.data for part in kept for frame in part.frames)
    assert any(b"********" in frame.data for part in kept for frame in part.frames if frame.direction is Direction.TO_METER)
    for keys in fleet.keys.values():
        assert keys.password is not None
        assert keys.password not in octets
        assert keys.password.decode() not in json.dumps(gateway.log)


def test_registers_and_a_ping(gateway: GatewayProcess, cluster: Cluster, fleet: Fleet, tap: Tap) -> None:
    meter = fleet.meters[0]
    jobs = [job("registers", meter.id, Operation.READ_REGISTERS), job("ping", meter.id, Operation.PING)]
    cluster.put_jobs(jobs, "hes.jobs.urgent")
    ended = all_results(tap, jobs)
    assert {item.outcome for item in ended.values()} == {Outcome.DONE}
    tap.until(lambda: bool(tap.of(RegisterReadings)), "the registers")
    (made,) = [item for item in tap.of(RegisterReadings) if item.job_id == jobs[0].id]
    assert made.meter_time_given
    energy = next(item for item in made.registers if item.obis == "1.0.1.8.0.255")
    last = max(raw for (meter_id, obis, _), raw in fleet.truth.items() if (meter_id, obis) == (meter.id, energy.obis))
    assert isinstance(energy.value, int)
    assert energy.value >= last
    assert energy.unit == "Wh"


def test_bad_jobs_are_dead_letters_and_good_ones_behind_them_are_done(
    gateway: GatewayProcess, cluster: Cluster, fleet: Fleet, tap: Tap
) -> None:
    meter = fleet.meters[0]
    codec = cluster.codec
    ghost = job("ghost", f"ghost-{RUN}", Operation.READ_CLOCK)
    cluster.put("hes.jobs.bulk", meter.id, b"nonsense")
    cluster.put("hes.jobs.bulk", meter.id, codec.encode(job("cut", meter.id))[:12])
    cluster.put("hes.jobs.bulk", meter.id, codec.encode(Alarm(id="a", meter_id=meter.id)))
    cluster.put("hes.jobs.bulk", ghost.meter_id, codec.encode(ghost))
    good = job("good", meter.id, Operation.READ_CLOCK)
    cluster.put_jobs([good])
    assert all_results(tap, [good])[good.id].outcome is Outcome.DONE
    wanted = {"avro-framing", "avro-body", "job-unsupported", "job-unknown-meter"}
    tap.until(lambda: wanted <= set(tap.letters()), f"{wanted}")
    assert all(letter.topic == "hes.jobs.bulk" and letter.offset >= 0 for letter in tap.of(DeadLetter))
    assert all_results(tap, [ghost])[ghost.id].code == "job-unknown-meter"


@pytest.mark.parametrize(
    ("operation", "code"),
    [
        *((operation, "job-unproven") for operation in (Operation.DISCONNECT, Operation.RECONNECT, Operation.SET_CLOCK)),
        (Operation.FIRMWARE_TRANSFER, "job-unproven"),
    ],
)
def test_nothing_that_acts_on_a_meter_is_done_without_its_proofs(
    gateway: GatewayProcess, cluster: Cluster, fleet: Fleet, tap: Tap, operation: Operation, code: str
) -> None:
    wanted = job(f"act-{operation}", fleet.meters[0].id, operation)
    cluster.put_jobs([wanted], "hes.jobs.urgent")
    result = all_results(tap, [wanted])[wanted.id]
    assert (result.outcome, result.code) == (Outcome.FAILED, code)
    tap.look(0.5)
    assert not [part for part in tap.of(SessionFrames) if part.job_id == wanted.id]


def test_a_meter_out_of_reach_is_a_failure_with_its_code(gateway: GatewayProcess, cluster: Cluster, tap: Tap) -> None:
    away = Meter(id=f"away-{RUN}", endpoint="tcp://127.0.0.1:1", state=MeterState.NORMAL)
    cluster.put_meters([away])
    wanted = job("away", away.id, Operation.READ_CLOCK, deadline=int(time.time() * 1000) + 30_000)
    cluster.put_jobs([wanted])
    assert all_results(tap, [wanted])[wanted.id].code == "connect-refused"


def test_killed_in_the_middle_it_leaves_the_same_ids(cluster: Cluster, fleet: Fleet, tap: Tap, tmp_path: Path) -> None:
    """The jobs are read again from the last committed offset: same rows, same ids, nothing missing, nothing else."""
    undisturbed = profiles("calm", fleet)
    with running(cluster, tmp_path, fleet.keys) as gateway:
        cluster.put_jobs(undisturbed)
        all_results(tap, undisturbed)
        expected = {item.id for item in tap.of(IntervalReadings)}
    assert len(expected) == METERS
    second = Tap(cluster, *TOPICS)
    disturbed = profiles("rough", fleet)
    with running(cluster, tmp_path, fleet.keys, sessions="2") as gateway:
        cluster.put_jobs(disturbed)
        for _ in range(2):
            before = len(results(second, disturbed))
            second.until(lambda before=before: len(results(second, disturbed)) > before, "some results")  # type: ignore[misc]  # binds now
            gateway.kill()
            gateway.start()
        ended = all_results(second, disturbed)
        assert {item.outcome for item in ended.values()} == {Outcome.DONE}
        second.look(1.0)
    assert {item.id for item in second.of(IntervalReadings)} == expected
    assert stored(second.of(IntervalReadings)) == fleet.truth
    ids = [item.id for item in second.of(JobResult) if item.job_id in {j.id for j in disturbed}]
    assert len(set(ids)) == METERS
    second.close()


def test_a_stopped_gateway_finishes_what_is_in_hand_and_commits_it(
    cluster: Cluster, fleet: Fleet, tap: Tap, tmp_path: Path
) -> None:
    jobs = profiles("stop", fleet)
    with running(cluster, tmp_path, fleet.keys, sessions="4") as gateway:
        cluster.put_jobs(jobs)
        tap.until(lambda: bool(results(tap, jobs)), "a result")
        assert gateway.terminate() == 0
        for _ in range(5):
            tap.look()
        done = set(results(tap, jobs))
        gateway.start()
        all_results(tap, jobs)
        assert gateway.terminate() == 0
    # Offsets are committed up to the first job that is not finished; one done behind it is done again, to the same ids.
    ended = [item for item in tap.of(JobResult) if item.job_id in done]
    assert len(ended) < 2 * len(done), "nothing of what was done before the stop was committed"
    assert len({(item.job_id, item.events) for item in ended}) == len(done), "a job that was done again gave other ids"
