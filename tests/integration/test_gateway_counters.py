"""Invocation counters on a real Kafka: reserved before use, fenced, and never used twice, whoever is killed or paused."""

from __future__ import annotations

import os
import signal
import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from connectors.gateway.bad_records import BadRecords
from connectors.gateway.counter_ledger import CounterLedger
from connectors.gateway.keystore import MeterKeys
from connectors.gateway.relay import partition_of
from connectors.gateway.reservations import FencedError
from connectors.protocols.dlms.meter_keys import mark
from schemas.records import (
    CounterReservation,
    CountersSeen,
    Identity,
    IdentityKind,
    Job,
    JobResult,
    Meter,
    MeterState,
    Operation,
    Outcome,
    Priority,
)
from streams.runtime.service import Runtime, open_runtime
from streams.runtime.settings import Health, Kafka, Registry, Settings
from tests.integration.gateway_bench import Cluster, GatewayProcess, Tap, open_cluster, running
from tests.integration.socket_meters import AK, EK, NAME, TcpMeters, Thing, write_templates

pytestmark = [pytest.mark.long, pytest.mark.integration, pytest.mark.timeout(400)]

RUN = uuid.uuid4().hex[:6]
KEYS = {f"ref-{n}": MeterKeys(EK, AK) for n in range(8)}


@pytest.fixture(scope="module")
def cluster(kafka: str, registry_url: str) -> Cluster:
    return open_cluster(kafka, registry_url)


@pytest.fixture(scope="module")
def runtime(cluster: Cluster) -> Iterator[Runtime]:
    settings = Settings(
        kafka=Kafka(bootstrap=cluster.kafka, group_suffix=f"-{RUN}"),
        registry=Registry(url=cluster.registry),
        health=Health(port=-1),
    )
    made = open_runtime("gateway", settings)
    yield made
    made.publisher.close()


def reservation(reserved: int, meter_id: str, key_ref: str = "ref") -> CounterReservation:
    return CounterReservation(meter_id, 1, key_ref, reserved, "test", int(time.time() * 1000))


def test_who_opens_a_partition_reads_what_was_reserved_and_fences_who_had_it(runtime: Runtime) -> None:
    meter, bad = f"a-{RUN}", BadRecords(runtime)
    first, second = CounterLedger(runtime, bad), CounterLedger(runtime, bad)
    had = first.open(3)
    first.reserve(had, [reservation(1_000, meter), reservation(500, meter, "other")])
    first.reserve(had, [reservation(2_000, meter)])
    has = second.open(3)
    assert (has.reserved[meter, "ref"], has.reserved[meter, "other"]) == (2_000, 500)
    with pytest.raises(FencedError):
        first.reserve(had, [reservation(3_000, meter)])
    second.reserve(has, [reservation(3_000, meter)])
    again = first.open(3)
    assert again.reserved[meter, "ref"] == 3_000
    with pytest.raises(FencedError):
        first.reserve(had, [reservation(9_000, meter)])  # as it was opened before
    first.reserve(again, [reservation(4_000, meter)])
    first.close(again)
    assert second.open(3).reserved[meter, "ref"] == 4_000


def test_what_was_seen_of_a_meter_is_read_again(runtime: Runtime) -> None:
    """Its two clients have a record each, which count together; another key begins anew."""
    meter, ledger = f"seen-{RUN}", CounterLedger(runtime, BadRecords(runtime))
    opened = ledger.open(6)
    first, second = (replace(reservation(1_000, meter), client=client) for client in (1, 2))
    ledger.reserve(opened, [replace(first, seen=CountersSeen("k", 70, 9)), reservation(1_000, f"{meter}-none")])
    ledger.reserve(opened, [replace(second, seen=CountersSeen("k", 80, 5), reserved=2_000)])
    again = ledger.open(6)
    assert again.seen[meter, "ref"] == CountersSeen("k", 80, 9)
    assert (f"{meter}-none", "ref") not in again.seen
    ledger.reserve(again, [replace(first, seen=CountersSeen("new", 1, 2_001), reserved=3_000)])
    assert ledger.open(6).seen[meter, "ref"] == CountersSeen("new", 1, 2_001)


def test_a_thousand_reservations_are_one_transaction(runtime: Runtime) -> None:
    ledger = CounterLedger(runtime, BadRecords(runtime))
    opened = ledger.open(4)
    ledger.reserve(opened, [reservation(1_000, f"many-{RUN}-{n}") for n in range(1_000)])
    assert sum(meter.startswith(f"many-{RUN}") for meter, _ in ledger.open(4).reserved) == 1_000


def test_what_is_no_reservation_is_a_dead_letter_and_the_others_count(runtime: Runtime, cluster: Cluster) -> None:
    ledger, tap = CounterLedger(runtime, BadRecords(runtime)), Tap(cluster, "hes.dead-letters")
    ledger.reserve(ledger.open(5), [reservation(1_000, f"good-{RUN}")])
    cluster.publisher._producer.produce("hes.counters", key=b"x", value=b"nonsense", partition=5)
    cluster.publisher._producer.produce("hes.counters", key=b"y", value=cluster.codec.encode(Job(id="j")), partition=5)
    cluster.publisher.flush()
    assert ledger.open(5).reserved[f"good-{RUN}", "ref"] == 1_000
    tap.until(lambda: {"avro-framing", "record-unexpected"} <= set(tap.letters()), "dead letters")
    tap.close()


# -- whole gateways --------------------------------------------------------------------------------------------------------

FLEET = 8


@pytest.fixture(scope="module")
def fleet(cluster: Cluster) -> Iterator[tuple[list[Meter], list[Thing]]]:
    things = [Thing(b"MTR\0\0\0\0" + bytes((n + 2,))) for n in range(FLEET)]
    served = TcpMeters(things)
    meters = [
        Meter(
            id=f"sealed-{n}-{RUN}",
            identities=(Identity(IdentityKind.SYSTEM_TITLE, thing.title.hex().upper()),),
            endpoint=f"tcp://127.0.0.1:{port}",
            template="secure",
            key_ref=f"ref-{n}",
            state=MeterState.NORMAL,
        )
        for n, (thing, port) in enumerate(zip(things, served.ports, strict=True))
    ]
    cluster.put_meters(meters)
    yield meters, things
    served.close()


@pytest.fixture
def tap(cluster: Cluster) -> Iterator[Tap]:
    tap = Tap(cluster, "hes.events.urgent", "hes.events.bulk", "hes.counters")
    yield tap
    tap.close()


def reads(meters: list[Meter], rounds: range) -> list[Job]:
    now = int(time.time() * 1000)
    given: dict[str, Any] = {"priority": Priority.SCHEDULED, "issued_at": now, "objects": (f"1/{NAME}/2",)}
    return [
        Job(id=f"{meter.id}-{n}-{RUN}", meter_id=meter.id, operation=Operation.READ_REGISTERS, **given)
        for n in rounds
        for meter in meters
    ]


def done(tap: Tap, jobs: list[Job]) -> dict[str, JobResult]:
    wanted = {item.id for item in jobs}

    def found() -> dict[str, JobResult]:
        return {item.job_id: item for item in tap.of(JobResult) if item.job_id in wanted}

    tap.until(lambda: len(found()) == len(jobs), f"{len(jobs)} results")
    return found()


def never_twice(things: list[Thing]) -> None:
    for thing in things:
        assert len(set(thing.secure.used)) == len(thing.secure.used), "an invocation counter was used twice"


def test_ciphered_meters_are_read_and_a_killed_gateway_uses_no_counter_again(
    cluster: Cluster, fleet: tuple[list[Meter], list[Thing]], tap: Tap, tmp_path: Path
) -> None:
    meters, things = fleet
    with running(cluster, tmp_path, KEYS, templates_dir=write_templates(tmp_path / "t"), counter_block="50") as gateway:
        jobs = reads(meters, range(1))
        cluster.put_jobs(jobs)
        assert {(item.outcome, item.code) for item in done(tap, jobs).values()} == {(Outcome.DONE, "")}
        for n in range(1, 4):
            more = reads(meters, range(n * 10, n * 10 + 5))
            cluster.put_jobs(more)
            tap.until(lambda more=more: sum(r.job_id in {j.id for j in more} for r in tap.of(JobResult)) > 4, "some results")  # type: ignore[misc]  # binds now
            gateway.kill()
            gateway.start()
            assert {item.outcome for item in done(tap, more).values()} == {Outcome.DONE}
        assert gateway.terminate() == 0
    never_twice(things)
    tap.look(2.0)
    known = {meter.id: thing for meter, thing in zip(meters, things, strict=True)}
    written = [record for record in tap.of(CounterReservation) if record.meter_id in known]
    for meter_id, thing in known.items():
        rising = [record.reserved for record in written if record.meter_id == meter_id]
        assert rising == sorted(rising)
        seen = [record.seen for record in written if record.meter_id == meter_id and record.seen.meter >= 0]
        assert seen, "how far the meter has counted was not written"
        assert {record.mark for record in seen} == {mark(EK)}
        assert [record.meter for record in seen] == sorted(record.meter for record in seen)
        assert seen[-1].ours <= max(thing.secure.used) + 1  # that of the release, which this meter passes over
        assert max(thing.secure.used) <= rising[-1]
    tap.look()


def test_a_worker_that_is_paused_and_replaced_uses_no_counter_again(
    cluster: Cluster, fleet: tuple[list[Meter], list[Thing]], tap: Tap, tmp_path: Path
) -> None:
    """SIGSTOP for longer than the group waits: another takes over, reads the same meters, and the first wakes up."""
    meters, things = fleet
    templates = write_templates(tmp_path / "t")
    with running(cluster, tmp_path, KEYS, templates_dir=templates, counter_block="50", sessions="4") as first:
        jobs = reads(meters, range(100, 110))
        cluster.put_jobs(jobs)
        tap.until(lambda: bool([r for r in tap.of(JobResult) if r.job_id in {j.id for j in jobs}]), "a result")
        assert first.process is not None
        first.process.send_signal(signal.SIGSTOP)
        try:
            second = GatewayProcess(cluster, tmp_path, first.settings, first.suffix)
            second.start()
            try:
                assert {item.outcome for item in done(tap, jobs).values()} == {Outcome.DONE}
                first.process.send_signal(signal.SIGCONT)
                more = reads(meters, range(110, 120))
                cluster.put_jobs(more)
                results = done(tap, more)
                assert {item.outcome for item in results.values()} == {Outcome.DONE}
                tap.look(2.0)
            finally:
                second.kill()
        finally:
            os.kill(first.process.pid, signal.SIGCONT)
    never_twice(things)
    outcomes = {(r.job_id, r.outcome) for r in tap.of(JobResult) if r.job_id in {j.id for j in jobs + more}}
    assert len(outcomes) == len(jobs + more), "a job has two outcomes"
    tap.look()
    mine = {meter.id: partition_of(meter.id, 12) for meter in meters}
    by_meter: dict[str, list[int]] = {}
    for record in tap.of(CounterReservation):
        if record.meter_id in mine:
            by_meter.setdefault(record.meter_id, []).append(record.reserved)
    assert all(values == sorted(values) for values in by_meter.values()), "a reservation fell"
