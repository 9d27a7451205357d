"""Commands at a whole gateway on a real Kafka: done once when proven, and not at all when anything is wrong with the proof,
even where a job is put straight on a jobs topic.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, cast

import pytest

from connectors.gateway.relay import partition_of
from schemas.records import CommandIntent, ControlKind, Job, Operation, Outcome, Target
from tests.integration.gateway_bench import Cluster, GatewayProcess, open_cluster
from tests.integration.relay_meters import DAY, MINUTE, Desk, Street, now_ms

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

RUN = uuid.uuid4().hex[:6]
VITAL, FROZEN = f"vital-{RUN}", f"frozen-{RUN}"


@pytest.fixture(scope="module")
def cluster(kafka: str, registry_url: str) -> Cluster:
    return open_cluster(kafka, registry_url)


@pytest.fixture(scope="module")
def desk(cluster: Cluster) -> Desk:
    desk = Desk.staffed(cluster, f"env-{RUN}")
    desk.hire("gone", ("meter-operator",))
    desk.hire("gone", ("meter-operator",), version=2, revoked=True)
    desk.hire("past", ("meter-operator",), valid_from=now_ms() - 2 * DAY, valid_to=now_ms() - DAY)
    desk.control(ControlKind.FREEZE, "carol", target=Target(meters=(FROZEN,)))
    return desk


@pytest.fixture(scope="module")
def street(cluster: Cluster, desk: Desk, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Street]:
    gateway = GatewayProcess(cluster, tmp_path_factory.mktemp("gateway"), desk.settings)
    gateway.keys({})
    gateway.skip_old_jobs()
    gateway.start()
    street = Street(cluster, RUN)
    yield street
    gateway.kill()
    street.close()


def test_a_proven_disconnection_opens_the_relay_once_and_its_reconnection_closes_it(street: Street, desk: Desk) -> None:
    name, meter = street.meter()
    job = desk.proven(name)
    result = street.do(job)
    assert (result.outcome, result.code) == (Outcome.DONE, ""), result
    assert (result.before, result.after) == ("connected, contact closed, mode 4", "disconnected, contact open, mode 4")
    assert meter.moves == [0]
    assert job.issued_at <= result.started_at <= (result.connected_at or 0) <= (result.associated_at or 0)
    assert (result.associated_at or 0) <= result.finished_at
    street.tap.until(lambda: any(i.outcome is Outcome.DONE for i in street.tap.of(CommandIntent)), "the settled intent")
    kept = [intent for intent in street.tap.of(CommandIntent) if intent.meter_id == name]
    assert [(intent.outcome, intent.at is not None) for intent in kept] == [(Outcome.UNKNOWN, True), (Outcome.DONE, True)]

    again = street.do(desk.proven(name, Operation.RECONNECT))
    assert (again.outcome, again.after) == (Outcome.DONE, "connected, contact closed, mode 4")
    assert meter.moves == [0, 1]
    replayed = street.do(job)  # the very record, copied: after the reconnection it would cut the customer off again
    assert (replayed.outcome, replayed.code) == (Outcome.FAILED, "job-replayed")
    assert (meter.moves, street.alarms(name)) == ([0, 1], ["command-forged"])


def test_what_is_so_already_is_done_without_an_order_and_not_done_later_either(street: Street, desk: Desk) -> None:
    name, meter = street.meter()
    meter.by_hand(0)
    job = desk.proven(name)
    assert street.do(job).outcome is Outcome.DONE
    meter.by_hand(1)
    assert street.do(job).code == "job-replayed"
    assert (meter.moves, meter.actions) == ([], 0)


def altered(desk: Desk, value: bytes, **fields: Any) -> bytes:
    """The same record saying something else under the old signature."""
    return desk.codec.encode(replace(cast("Any", desk.codec.decode(value)), **fields))


def other_target(desk: Desk, name: str) -> Job:
    value = desk.asks(name, "another")
    return desk.job(value, desk.decides(value, "another"))


def self_approved(desk: Desk, name: str) -> Job:
    value = desk.asks(name)
    return desk.job(value, desk.decides(value, by="alice"))


def approved(desk: Desk, name: str, by: str = "bob", **fields: Any) -> Job:
    value = desk.asks(name)
    return desk.job(value, desk.decides(value, by=by, **fields))


def late(desk: Desk, name: str) -> Job:
    value = desk.asks(name, requested_at=now_ms() - 26 * 60 * MINUTE)
    return desk.job(value, desk.decides(value, decided_at=now_ms() - MINUTE))


def altered_request(desk: Desk, name: str) -> Job:
    value = altered(desk, desk.asks("another"), target=Target(meters=(name,)))
    return desk.job(value, desk.decides(value))


def unsigned(desk: Desk, name: str) -> Job:
    value = altered(desk, desk.asks(name), signature=b"")
    return desk.job(value, desk.decides(value))


def of_another(desk: Desk, name: str) -> Job:
    value, other = desk.asks(name), desk.asks(name)
    return desk.job(value, desk.decides(other))


REFUSED: dict[str, Callable[[Desk, str], Job]] = {
    "job-unproven": lambda desk, name: replace(desk.proven(name), request=b"", decisions=()),
    "unsigned": unsigned,
    "operator-unknown": lambda desk, name: approved(desk, name, by="nobody"),
    "operator-revoked": lambda desk, name: approved(desk, name, by="gone"),
    "operator-expired": lambda desk, name: approved(desk, name, by="past"),
    "role-missing": lambda desk, name: approved(desk, name, by="intern"),
    "signature-invalid": altered_request,
    "decision-missing": lambda desk, name: desk.job(desk.asks(name)),
    "decision-self": self_approved,
    "decision-late": late,
    "decision-other-request": of_another,
    "decision-other-target": other_target,
    "environment-other": lambda desk, name: approved(desk, name, environment="elsewhere"),
    "request-expired": lambda desk, name: desk.job(value := desk.asks(name, expires=now_ms() - 1_000), desk.decides(value)),
    "job-other": lambda desk, name: replace(desk.proven(name, Operation.RECONNECT), operation=Operation.DISCONNECT),
    "target-unknown": lambda desk, name: replace(desk.proven("another", Operation.RECONNECT), meter_id=name),
}


@pytest.mark.parametrize("code", REFUSED)
def test_what_lacks_a_proof_does_not_reach_the_meter(code: str, street: Street, desk: Desk) -> None:
    name, meter = street.meter()
    result = street.do(REFUSED[code](desk, name))
    ended = Outcome.EXPIRED if code == "request-expired" else Outcome.FAILED
    assert (result.outcome, result.code) == (ended, code), result.detail
    assert result.connected_at is None
    assert (meter.moves, meter.actions, meter.state) == ([], 0, 1)


def test_who_is_protected_or_frozen_is_not_cut_off_even_with_every_proof(street: Street, desk: Desk) -> None:
    vital, living = street.meter(VITAL, life_support=True)
    assert street.do(desk.proven(vital)).code == "protected"
    name, meter = street.meter(FROZEN)
    job = desk.proven(name)
    assert street.do(job).code == "frozen"
    desk.control(ControlKind.FREEZE, "carol", target=Target(meters=(FROZEN,)), lifted=True)
    assert street.do(job).code == "job-replayed"  # the command has ended
    street.tap.until(lambda: street.do(desk.proven(name)).outcome is Outcome.DONE, "the end of the freeze")
    assert (living.moves, meter.moves) == ([], [0])


def test_a_freeze_counts_from_the_moment_that_kafka_has_it(street: Street, desk: Desk) -> None:
    """The job is written right after it, before any worker can have been told."""
    for name, meter in [street.meter() for _ in range(8)]:
        assert street.do(desk.proven(name, Operation.RECONNECT)).outcome is Outcome.DONE  # the gateway knows the meter
        job = desk.proven(name)
        desk.control(ControlKind.FREEZE, "carol", id=f"freeze-{name}", target=Target(meters=(name,)))
        assert (street.do(job).code, meter.moves, meter.actions) == ("frozen", [], 0)


def test_a_job_in_another_partition_than_its_meters_is_refused(street: Street, desk: Desk, cluster: Cluster) -> None:
    name, meter = street.meter()
    job = desk.proven(name)
    elsewhere = next(key for key in map(str, range(99)) if partition_of(key, 12) != partition_of(name, 12))
    cluster.put("hes.jobs.urgent", elsewhere, cluster.codec.encode(job))
    street.tap.until(lambda: bool(street.results(job)), "a result")
    assert (street.results(job)[-1].code, meter.moves) == ("job-misplaced", [])
    assert street.do(job).outcome is Outcome.DONE  # where it belongs


def test_a_relay_is_not_armed_where_that_would_close_it(street: Street, desk: Desk) -> None:
    name, meter = street.meter()
    meter.by_hand(0)
    value = desk.asks(name, operation=Operation.ARM_FOR_RECONNECTION)
    result = street.do(desk.job(value))
    assert (result.outcome, result.code) == (Outcome.FAILED, "command-mode")
    assert meter.moves == []
