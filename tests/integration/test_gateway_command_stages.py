"""kill -9, and SIGSTOP for longer than the session timeout, of a gateway at every stage of a disconnection: the relay moves
at most once, also when somebody reconnects in between, and the result says what is known.
"""

from __future__ import annotations

import os
import signal
import uuid
from pathlib import Path

import pytest

from schemas.records import JobResult, Outcome
from tests.integration.gateway_bench import Cluster, GatewayProcess, Tap, open_cluster
from tests.integration.relay_meters import Desk, RelayMeter, registered
from tests.integration.staged_gateway import INTENDED, SENT, SETTLED, STAGES

pytestmark = [pytest.mark.integration, pytest.mark.timeout(400)]

RUN = uuid.uuid4().hex[:6]
STAGED = ("-m", "tests.integration.staged_gateway")


@pytest.fixture(scope="module")
def cluster(kafka: str, registry_url: str) -> Cluster:
    return open_cluster(kafka, registry_url)


@pytest.fixture(scope="module")
def desk(cluster: Cluster) -> Desk:
    return Desk.staffed(cluster, f"env-{RUN}")


class Case:
    """One disconnection, its meter, and gateways of a group of its own."""

    def __init__(self, cluster: Cluster, desk: Desk, home: Path, name: str) -> None:
        self.cluster, self.desk, self.home, self.name = cluster, desk, home, name
        self.meter = RelayMeter()
        cluster.put_meters([registered(name, self.meter)])
        self.tap = Tap(cluster, "hes.events.urgent", "hes.intents")
        self.job = desk.proven(name)
        self.first = GatewayProcess(cluster, home, dict(desk.settings))
        self.second = GatewayProcess(cluster, home, dict(desk.settings), suffix=self.first.suffix)
        self.first.keys({})
        self.first.skip_old_jobs()

    def begin(self, stage: str, sent: str) -> None:
        """Start a gateway and give it the job; return when the signal has come."""
        self.first.run = STAGED
        self.first.settings |= {"HES_TEST_STAGE": stage, "HES_TEST_SIGNAL": sent}
        if sent == "SIGKILL":  # whoever comes after is the same member, and need not wait
            for gateway in (self.first, self.second):
                gateway.settings["HES_KAFKA__INSTANCE_ID"] = "same"
        self.first.start()
        self.first.wait_for("partitions-assigned")
        self.cluster.put_jobs([self.job], "hes.jobs.urgent")
        assert self.first.process is not None
        _, status = os.waitpid(self.first.process.pid, os.WUNTRACED)
        if sent == "SIGKILL":
            assert os.WTERMSIG(status) == signal.SIGKILL
            self.first.process.returncode = -signal.SIGKILL
        else:
            assert os.WSTOPSIG(status) == signal.SIGSTOP

    def results(self) -> list[JobResult]:
        return [result for result in self.tap.of(JobResult) if result.meter_id == self.name]

    def finish(self) -> JobResult:
        """Another gateway takes over."""
        self.second.start()
        self.tap.until(lambda: bool(self.results()), "a result")
        return self.results()[0]

    def wake(self) -> None:
        """Whoever was paused goes on, and has had the time to do what it must not."""
        assert self.first.process is not None
        seen = len(self.first.log)
        self.first.process.send_signal(signal.SIGCONT)
        for event in ("partitions-revoked", "partitions-assigned"):
            self.tap.until(
                lambda event=event: any(line.get("event") == event for line in self.first.log[seen:]),  # type: ignore[misc]  # a lambda's default
                event,
            )
        for _ in range(10):
            self.tap.look()

    def close(self) -> None:
        self.first.kill()
        self.second.kill()
        self.meter.close()
        self.tap.close()


def check(case: Case, stage: str, result: JobResult, *, reconnected: bool) -> None:
    moves = case.meter.moves
    assert moves in ([], [0]), moves
    if stage not in INTENDED or stage in SETTLED:
        assert (result.outcome, moves) == (Outcome.DONE, [0]), result
    elif stage in SENT and not reconnected:
        assert (result.outcome, moves) == (Outcome.DONE, [0]), result
        assert "read back" in result.detail
    else:
        assert (result.outcome, result.code) == (Outcome.OUTCOME_UNKNOWN, "outcome-unknown"), result
        assert result.before == "connected, contact closed, mode 4"
        assert result.after == "connected, contact closed, mode 4"
    assert {one.outcome for one in case.results()} == {result.outcome}


def disconnect(case: Case, stage: str, sent: str, *, reconnected: bool) -> None:
    try:
        case.begin(stage, sent)
        if reconnected:
            case.meter.by_hand(1)
        result = case.finish()
        if sent == "SIGSTOP":
            case.wake()
        check(case, stage, result, reconnected=reconnected)
    finally:
        case.close()


@pytest.fixture
def case(cluster: Cluster, desk: Desk, tmp_path: Path) -> Case:
    return Case(cluster, desk, tmp_path, f"s-{uuid.uuid4().hex[:8]}")


@pytest.mark.parametrize("stage", ["about-to-send", "sent"])
def test_killed_at_the_worst_moment(case: Case, stage: str) -> None:
    disconnect(case, stage, "SIGKILL", reconnected=stage == "sent")


@pytest.mark.long
@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("sent", ["SIGKILL", "SIGSTOP"])
def test_at_every_stage(case: Case, sent: str, stage: str) -> None:
    disconnect(case, stage, sent, reconnected=False)


@pytest.mark.long
@pytest.mark.parametrize("stage", INTENDED)
@pytest.mark.parametrize("sent", ["SIGKILL", "SIGSTOP"])
def test_somebody_reconnects_in_between(case: Case, sent: str, stage: str) -> None:
    disconnect(case, stage, sent, reconnected=True)
