"""Whoever can write to a jobs topic: what he makes of real jobs neither moves a relay nor ends the commands that they name.
Commands and gateway as processes of their own, on a real Kafka, meters on sockets.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from schemas.ids import event_id
from schemas.records import CommandRequest, Operation, Verdict
from schemas.signatures import digest
from tests.integration.commands_scene import S, Scene
from tests.integration.gateway_bench import Cluster, open_cluster
from tests.integration.relay_meters import MINUTE, now_ms
from tests.unit.streams.runtime.authority.builders import key

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def cluster(kafka: str, registry_url: str) -> Cluster:
    return open_cluster(kafka, registry_url)


@pytest.fixture
def ends() -> Iterator[ExitStack]:
    with ExitStack() as found:
        yield found


def refused(scene: Scene, job: str) -> list[str]:
    """The codes of a job's refusals that are on the chain, which must hold."""
    return [entry.code for entry in scene.chain() if entry.action == "job-refused" and entry.subject == job]


def test_copies_with_the_decision_of_somebody_who_was_revoked_do_not_fail_a_healthy_command(
    cluster: Cluster, tmp_path: Path, ends: ExitStack
) -> None:
    scene = Scene(cluster, tmp_path)
    ends.callback(scene.close)
    scene.desk.hire("gone", ("meter-operator",))
    scene.desk.hire("gone", ("meter-operator",), version=2, revoked=True)
    commands, (name, meter) = scene.commands(), scene.meter()
    ends.callback(meter.close)
    ends.callback(commands.kill)
    commands.start()
    scene.gateway.kill()
    command, value = scene.ask(name)
    scene.rig.state(command, S.AWAITING_APPROVAL)
    scene.decide(command, value)
    scene.rig.state(command, S.SENT)
    (job,) = scene.rig.jobs(command)
    forged = replace(job, decisions=(scene.desk.decides(value, by="gone"),))
    cluster.put_jobs([forged, replace(forged, deadline=now_ms() - MINUTE)], "hes.jobs.bulk")
    cluster.put_jobs([replace(forged, decisions=()), forged], "hes.jobs.urgent")
    scene.gateway.start()
    scene.rig.state(command, S.DONE)
    scene.rig.until("the refusals", lambda: refused(scene, job.id).count("operator-revoked") == 3)
    assert "decision-missing" in refused(scene, job.id)
    assert [ack.state for ack in scene.rig.acks(command)][-1] is S.DONE
    assert meter.moves == [0]


def test_where_jobs_are_released_even_all_the_proofs_of_a_cancelled_command_do_nothing(
    cluster: Cluster, tmp_path: Path, ends: ExitStack
) -> None:
    file = tmp_path / "release.pem"
    file.touch(0o600)
    file.write_bytes(key("hes-commands").private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    scene = Scene(cluster, tmp_path, {"HES_COMMANDS__RELEASERS": "hes-commands"})
    ends.callback(scene.close)
    scene.desk.hire("hes-commands", ("release",))
    commands, (name, meter) = scene.commands(), scene.meter()
    ends.callback(meter.close)
    ends.callback(commands.kill)
    commands.settings = commands.settings | {"HES_COMMANDS__RELEASE_KEY_FILE": str(file)}
    commands.start()
    # Approved for later, and taken back before its time: no job of it was ever issued.
    desk, rig = scene.desk, scene.rig
    value = desk.asks(name, requested_at=now_ms(), not_before=now_ms() + 10 * MINUTE)
    asked = desk.codec.decode(value)
    assert isinstance(asked, CommandRequest)
    cluster.put("hes.commands", asked.id, value)
    rig.state(asked.id, S.AWAITING_APPROVAL)
    approval = desk.decides(value)
    cluster.put("hes.command-decisions", asked.id, approval)
    rig.state(asked.id, S.QUEUED)
    cluster.put("hes.command-decisions", asked.id, desk.decides(value, by="alice", verdict=Verdict.CANCEL))
    rig.state(asked.id, S.CANCELLED)
    made = replace(desk.job(value, approval), id=event_id("Job", asked.id, digest(value), name, 1))
    cluster.put_jobs([made], "hes.jobs.urgent")
    rig.until("the refusal", lambda: refused(scene, made.id) == ["job-unreleased"])
    assert (meter.moves, meter.actions) == ([], 0)
    # What the service releases is done, and no copy of it with a word changed.
    command, value = scene.ask(name)
    rig.state(command, S.AWAITING_APPROVAL)
    scene.decide(command, value)
    rig.state(command, S.DONE)
    (job,) = rig.jobs(command)
    assert job.signature
    back, _ = scene.ask(name, Operation.RECONNECT)
    rig.state(back, S.DONE)
    cluster.put_jobs([replace(job, deadline=now_ms() + MINUTE), job], "hes.jobs.urgent")
    rig.until("the refusals", lambda: sorted(refused(scene, job.id)) == ["job-replayed", "job-unreleased"])
    assert meter.moves == [0, 1]
    assert rig.acks(command)[-1].state is S.DONE
