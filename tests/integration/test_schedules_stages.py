"""kill -9, and SIGSTOP for longer than the session timeout, of the planner at every stage of a tick and its plan: each comes
to its stage where the one before left off, every read comes out once, and a disconnection goes its way meanwhile.
"""

from __future__ import annotations

import signal
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from schemas.records import Job, JobResult, Meter, MeterState, Network, Operation, Schedule, Target, Tick
from tests.integration.commands_scene import WAY, S, Scene
from tests.integration.gateway_bench import Tap, open_cluster
from tests.integration.relay_meters import RelayMeter, now_ms
from tests.integration.service_processes import StagedProcess
from tests.integration.staged_schedules import STAGES
from tests.unit.streams.schedules.world import schedule

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

METERS, MINUTE = 40, 60_000
KILL, STOP = signal.SIGKILL, signal.SIGSTOP


class PlannerProcess(StagedProcess):
    name, ready = "schedules", "caught-up"


@pytest.fixture(scope="module")
def scene(kafka: str, registry_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    made = Scene(open_cluster(kafka, registry_url), tmp_path_factory.mktemp("scene"))
    yield made
    made.close()


@pytest.fixture
def due(scene: Scene) -> Iterator[Schedule]:
    """A schedule that was due two minutes ago, and then tomorrow; its meters answer on one socket."""
    at = datetime.now(UTC) - timedelta(minutes=2)
    run, meter, cluster = uuid.uuid4().hex[:6], RelayMeter(), scene.cluster
    cluster.put_meters(
        Meter(
            id=f"s{number}-{run}",
            endpoint=f"tcp://127.0.0.1:{meter.port}",
            template="generic",
            time_zone="UTC",
            segment=f"dc-{number % 4}-{run}",
            network=Network.ETHERNET,
            groups=(run,),
            state=MeterState.NORMAL,
        )
        for number in range(METERS)
    )
    made = schedule(
        f"due-{run}",
        cron=f"{at.minute} {at.hour} * * *",
        time_zone="UTC",
        target=Target(groups=(run,)),
        operation=Operation.READ_CLOCK,
        parameters={},
        period_s=0,
        window_s=60,
        active_from=now_ms() - 4 * MINUTE,
    )
    cluster.put("hes.schedules", made.id, cluster.codec.encode(made))
    yield made
    cluster.publisher.send("hes.schedules", made.id, None)
    cluster.publisher.flush()
    meter.close()


def planner(scene: Scene, home: Path, suffix: str, instance: str) -> PlannerProcess:
    quick = {"SETTLE_S": "0", "SLICE_S": "1", "AHEAD_S": "1", "POLL_S": "0.1", "SLICE_METERS": "3"}
    settings = {f"HES_SCHEDULES__{name}": value for name, value in quick.items()} | {"HES_KAFKA__INSTANCE_ID": instance}
    return PlannerProcess(scene.cluster, home, settings, suffix)


def plan(scene: Scene, due: Schedule, home: Path, stages: tuple[str, ...], number: signal.Signals) -> None:
    """Have planner after planner stopped, each at its stage; the last one goes on, and whoever was paused is woken."""
    suffix = f"-{uuid.uuid4().hex[:8]}"
    tap = Tap(scene.cluster, "hes.jobs.bulk", "hes.ticks", "hes.events.urgent")
    with ExitStack() as stack:
        stack.callback(tap.close)
        commands = scene.commands(uuid.uuid4().hex)
        stack.callback(commands.kill)
        commands.start()
        name, meter = scene.meter()
        stack.callback(meter.close)
        paused = []
        for place, stage in enumerate(stages):
            process = planner(scene, home, suffix, "same" if number is KILL else f"planner-{place}")
            process.module = "tests.integration.staged_schedules"
            process.armed(stage, number)
            stack.callback(process.kill)
            process.start(wait=False)
            process.stopped()
            paused += [process] if number is STOP else []
            # Nobody plans now, and a customer is cut off, or supplied again, all the same.
            command = _switch(scene, name, Operation.RECONNECT if place % 2 else Operation.DISCONNECT)
            assert scene.rig.acks(command)[-1].state is WAY[-1]
        assert meter.moves == [place % 2 for place in range(len(stages))]
        last = planner(scene, home, suffix, "same" if number is KILL else "last")
        stack.callback(last.kill)
        last.start()
        last.wait_for("planning")
        for process in paused:
            process.signal(signal.SIGCONT)
        tap.until(lambda: len({result.job_id for result in _results(tap, due)}) == METERS, "all reads")
        tap.look(3.0)
        scene.chain()
    ticks = {tick.id for tick in tap.of(Tick) if tick.schedule.id == due.id}
    jobs = [job for job in tap.of(Job) if job.caused_by == due.id]
    assert (len(ticks), len(jobs)) == (1, METERS)
    assert set(Counter(job.meter_id for job in jobs).values()) == {1}
    assert set(Counter(result.job_id for result in _results(tap, due)).values()) == {1}


def _results(tap: Tap, due: Schedule) -> list[JobResult]:
    return [result for result in tap.of(JobResult) if result.caused_by == due.id]


def _switch(scene: Scene, meter: str, operation: Operation) -> str:
    command, value = scene.ask(meter, operation)
    if operation is Operation.DISCONNECT:
        scene.rig.state(command, S.AWAITING_APPROVAL)
        scene.decide(command, value)
    scene.rig.state(command, S.DONE)
    return command


@pytest.mark.long
@pytest.mark.parametrize("number", [KILL, STOP], ids=["SIGKILL", "SIGSTOP"])
def test_at_every_stage(scene: Scene, due: Schedule, tmp_path: Path, number: signal.Signals) -> None:
    plan(scene, due, tmp_path, tuple(STAGES), number)
