"""A clock that is wrong, from its reading to its setting: gateway, split, follow-up (which signs as a system) and commands
as processes of their own, on a real Kafka; and a meter that stays dark, from its alarm to the one that says so.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from gurux_dlms import GXDateTime
from gurux_dlms.objects import GXDLMSClock

from connectors.protocols.dlms.objects.patterns import read_datetime
from schemas.ids import event_id
from schemas.records import (
    Alarm,
    AlarmKind,
    Cause,
    CommandAck,
    CommandRequest,
    Job,
    Network,
    Operation,
    Priority,
)
from tests.integration.commands_scene import S, Scene
from tests.integration.gateway_bench import Tap, open_cluster
from tests.integration.relay_meters import RelayMeter, now_ms, registered
from tests.integration.service_processes import FollowUpProcess, ServiceProcess
from tests.unit.streams.runtime.authority.builders import key

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

QUARTER_S = 900
SYSTEM = "hes-followup"


@dataclass
class SplitProcess(ServiceProcess):
    """Begins with what comes from now on: alarms of other tests would use up follow-up's budgets."""

    name, ready = "split", "partitions-assigned"

    def __post_init__(self) -> None:
        self.skip_old("hes-split", "hes.events.urgent", "hes.events.bulk")


class Drifting(GXDLMSClock):  # type: ignore[misc]  # no type hints upstream
    """Goes, ahead of the world's or behind it, and can be set."""

    def __init__(self, drift_s: int) -> None:
        super().__init__("0.0.1.0.0.255")
        self.drift = timedelta(seconds=drift_s)
        self.sets = 0

    def getValue(self, settings: Any, e: Any) -> Any:  # noqa: N802 - the name upstream
        if e.index == 2:
            self.time = GXDateTime(datetime.now(UTC) + self.drift)
        return super().getValue(settings, e)

    def setValue(self, settings: Any, e: Any) -> None:  # noqa: N802 - the name upstream
        if e.index == 2:
            said = read_datetime(bytes(e.value), "clock")
            date, at = said.date, said.time
            local = datetime(date.year, date.month, date.day, at.hour, at.minute, at.second, tzinfo=UTC)
            self.drift = local - datetime.now(UTC)
            self.sets += 1
        else:
            super().setValue(settings, e)


@pytest.fixture(scope="module")
def scene(kafka: str, registry_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    made = Scene(open_cluster(kafka, registry_url), tmp_path_factory.mktemp("scene"))
    made.desk.hire(SYSTEM, ("system",))
    yield made
    made.close()


@pytest.fixture
def services(scene: Scene, tmp_path: Path) -> Iterator[Path]:
    """Commands, split and follow-up; the file of its policy, which marks what it sets across the end of an interval."""
    policy = tmp_path / "policy.yaml"
    text = files("streams.followup").joinpath("standard.yaml").read_text(encoding="utf-8")
    for old, new in (("across: wait ", "across: mark "), ("furthest: 15m ", "furthest: 20m "), ("after: 15m", "after: 1s ")):
        assert old in text
        text = text.replace(old, new)
    policy.write_text(text)
    file = tmp_path / "followup.pem"
    file.touch(0o600)
    file.write_bytes(key(SYSTEM).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    suffix = f"-{uuid.uuid4().hex[:8]}"
    settings = scene.desk.settings | {"HES_FOLLOWUP__KEY_FILE": str(file), "HES_FOLLOWUP__POLICY_FILE": str(policy)}
    with ExitStack() as stack:
        for process in (
            scene.commands(uuid.uuid4().hex),
            SplitProcess(scene.cluster, tmp_path, {}, suffix),
            FollowUpProcess(scene.cluster, tmp_path, settings, suffix),
        ):
            stack.callback(process.kill)
            process.start()
        yield policy


def reads_clock(meter: str) -> Job:
    now = now_ms()
    return Job(
        id=event_id("Job", "a schedule", meter, now), meter_id=meter, operation=Operation.READ_CLOCK, issued_at=now,
        priority=Priority.SCHEDULED, cause=Cause.SCHEDULED, caused_by="a schedule", deadline=now + 60_000,
    )  # fmt: skip


def test_a_clock_that_drifts_is_read_asked_for_signed_and_set_and_an_interval_that_it_cuts_is_marked(
    scene: Scene, services: Path
) -> None:
    ahead = 1 if int(time.time()) % QUARTER_S < QUARTER_S / 2 else -1
    clocks = {
        "drifts": Drifting(ahead * 120),  # away from the end of the interval
        "cuts": Drifting(ahead * (QUARTER_S + 60)),  # whatever the time is, an interval ends in between
        "far": Drifting(7_200),
        "right": Drifting(2),
    }
    run = uuid.uuid4().hex[:6]
    names = {f"{name}-{run}": clock for name, clock in clocks.items()}
    tap = Tap(scene.cluster, "hes.commands", "hes.alarms", "hes.command-acks")
    with ExitStack() as stack:
        stack.callback(tap.close)
        for name, clock in names.items():
            meter = RelayMeter(more=(clock,))
            stack.callback(meter.close)
            scene.cluster.put_meters([registered(name, meter, network=Network.ETHERNET)])
        scene.cluster.put_jobs([reads_clock(name) for name in names])

        def asked() -> dict[str, CommandRequest]:
            return {each.target.meters[0]: each for each in tap.of(CommandRequest) if each.target.meters[0] in names}

        tap.until(lambda: len(asked()) == 2, "the requests")
        requests = asked()
        assert set(requests) == {f"drifts-{run}", f"cuts-{run}"}
        for request in requests.values():
            assert (request.operation, request.requested_by) == (Operation.SET_CLOCK, SYSTEM)
            scene.rig.state(request.id, S.DONE)
            states = [ack.state for ack in scene.rig.acks(request.id)]
            assert S.AWAITING_APPROVAL not in states
        tap.until(lambda: {f"cuts-{run}", f"far-{run}"} <= {alarm.meter_id for alarm in tap.of(Alarm)}, "the alarms")
        scene.cluster.put_jobs([reads_clock(name) for name in names])  # what is right is left alone
        tap.until(
            lambda: (
                [ack.operation for ack in tap.of(CommandAck) if ack.meter_id in names].count(Operation.READ_CLOCK)
                >= 2 * len(names)
            ),
            "reads",
        )
        tap.look(1.0)
        assert len(asked()) == 2
    assert [clock.sets for clock in clocks.values()] == [1, 1, 0, 0]
    assert all(abs(clocks[name].drift) < timedelta(seconds=3) for name in ("drifts", "cuts"))
    codes = {alarm.meter_id: alarm.code for alarm in tap.of(Alarm) if alarm.meter_id in names}
    assert codes == {f"cuts-{run}": "clock-set-across", f"far-{run}": "clock-far"}
    actors = {entry.actor for entry in scene.chain() if entry.action == "command-received"}
    assert SYSTEM in actors


def test_a_meter_that_stays_dark_is_told(scene: Scene, services: Path) -> None:
    name, meter = scene.meter()
    dark = registered(f"dark-{name}", meter, transformer=f"T-dark-{name}", network=Network.ETHERNET)
    closed = RelayMeter()
    closed.close()
    scene.cluster.put_meters([replace(dark, endpoint=f"tcp://127.0.0.1:{closed.port}")])
    tap = Tap(scene.cluster, "hes.alarms", "hes.command-acks")
    now = now_ms()
    outage = {
        each: Alarm(id=f"{each}/{now}", meter_id=each, kind=AlarmKind.OUTAGE, occurred_at=now, received_at=now)
        for each in (name, dark.id)
    }
    for each, alarm in outage.items():
        scene.cluster.put("hes.alarms", each, scene.cluster.codec.encode(alarm))

    def told() -> list[Alarm]:
        return [alarm for alarm in tap.of(Alarm) if alarm.code == "meter-unanswered" and alarm.meter_id in outage]

    def pings() -> dict[str, str]:
        return {ack.meter_id: ack.state for ack in tap.of(CommandAck) if ack.operation is Operation.PING}

    tap.until(lambda: bool(told()) and pings().get(name) == S.DONE, "the alarm, and the neighbour's answer")
    tap.look(1.0)
    tap.close()
    meter.close()
    assert [(alarm.meter_id, alarm.kind, alarm.transformer) for alarm in told()] == [
        (dark.id, AlarmKind.COMMUNICATION, f"T-dark-{name}")
    ]
