"""From a signed request to a relay: commands and gateway as processes of their own, on a real Kafka, meters on sockets."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from connectors.cli.bench.stack import bench_stack, service
from connectors.local.home import Home
from schemas.records import AuditEntry, CommandRequest, CommandState, Operation, Verdict
from streams.runtime.authority.chain import Break, walk
from streams.runtime.settings import Settings
from tests.integration.commands_rig import ENVIRONMENT, Rig
from tests.integration.gateway_bench import Cluster, GatewayProcess, open_cluster
from tests.integration.relay_meters import Desk, RelayMeter, registered

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("jvm"), pytest.mark.timeout(300)]
S = CommandState


@pytest.fixture(scope="module")
def stack(jvm: None) -> Iterator[tuple[Settings, Home]]:
    with bench_stack(lambda _: None) as running:
        yield running


class Scene:
    """Everything that runs."""

    def __init__(self, settings: Settings, home: Path) -> None:
        self.cluster: Cluster = open_cluster(settings.kafka.bootstrap, settings.registry.url)
        self.desk = Desk.staffed(self.cluster, "test")
        self.rig = Rig(settings)
        self.meter = RelayMeter()
        self.cluster.put_meters([registered("m1", self.meter)])
        self.gateway = GatewayProcess(self.cluster, home, self.desk.settings)
        self.gateway.keys({})
        self.gateway.skip_old_jobs()

    def ask(self, operation: Operation = Operation.DISCONNECT) -> tuple[CommandRequest, bytes]:
        value = self.desk.asks("m1", operation=operation, requested_at=time.time_ns() // 1_000_000)
        asked = self.desk.codec.decode(value)
        assert isinstance(asked, CommandRequest)
        self.cluster.put("hes.commands", asked.id, value)
        return asked, value

    def decide(self, asked: CommandRequest, value: bytes, by: str = "bob", verdict: Verdict = Verdict.APPROVE) -> None:
        self.cluster.put("hes.command-decisions", asked.id, self.desk.decides(value, by=by, verdict=verdict))

    def chain(self) -> list[AuditEntry]:
        entries = self.rig.records("hes.audit", AuditEntry)
        assert [found for found in walk(entries) if isinstance(found, Break)] == []
        return entries

    def close(self) -> None:
        self.gateway.kill()
        self.rig.close()
        self.meter.close()


def test_two_people_open_a_relay_once_one_alone_does_not_and_a_copied_job_is_on_the_chain(
    stack: tuple[Settings, Home], tmp_path: Path
) -> None:
    settings, home = stack
    scene = Scene(settings, tmp_path)
    rig, meter = scene.rig, scene.meter
    try:
        scene.gateway.start()
        with service("commands", settings, home, ENVIRONMENT):
            asked, value = scene.ask()
            rig.state(asked.id, S.AWAITING_APPROVAL)
            scene.decide(asked, value, by="alice")
            rig.state(asked.id, S.AWAITING_APPROVAL, "decision-self")
            assert meter.moves == []
            scene.decide(asked, value)
            ack = rig.state(asked.id, S.DONE)
            assert (ack.before, ack.after) == ("connected, contact closed, mode 4", "disconnected, contact open, mode 4")
            assert meter.moves == [0]

            back, _ = scene.ask(Operation.RECONNECT)
            rig.state(back.id, S.DONE)
            assert meter.moves == [0, 1]
            (job,) = rig.jobs(asked.id)
            scene.cluster.put_jobs([job], "hes.jobs.urgent")
            rig.until(
                "the refusal on the chain",
                lambda: [e for e in scene.chain() if e.action == "job-refused" and e.code == "job-replayed"],
            )
            assert meter.moves == [0, 1]
            assert [entry.action for entry in scene.chain() if entry.subject == asked.id][-1] == "command-done"
    finally:
        scene.close()
