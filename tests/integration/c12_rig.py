"""A gateway with C12 meters around it: what is registered, what runs, and what was written."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from connectors.gateway.keystore import MeterKeys
from connectors.protocols.c12 import c1221
from connectors.protocols.c12.titles import ApTitle, title
from connectors.protocols.dlms.meter_keys import READERS
from schemas.records import (
    Alarm,
    Identity,
    IdentityKind,
    IntervalReadings,
    Job,
    JobResult,
    Meter,
    MeterState,
    Operation,
    Priority,
    Protocol,
    RegisterReadings,
)
from tests.integration.c12_sockets import Lines, MessagesOnTcp, MessagesOnUdp
from tests.integration.gateway_bench import PATIENCE_S, Cluster, GatewayProcess, Tap
from tests.unit.connectors.gateway.drivers.c12_meter import KEY, KEY_ID, MessageMeter, tables

RUN = uuid.uuid4().int % 1_000_000_000
TOPICS = ("hes.meters", "hes.frames", "hes.events.urgent", "hes.events.bulk", "hes.dead-letters")
ASSUMED = "\n".join(f"  {number}: {tables()[number].hex()}" for number in (0, 71))
TEMPLATES = {
    "trusted": "extends: generic\nmessages: {trust_clear: true}",
    "sealed": f"extends: generic\nlogon: {{c1222: NONE}}\nmessages: {{mode: CIPHERED, key_id: {KEY_ID}}}",
    "signed": f"extends: generic\nlogon: {{c1222: MESSAGE}}\nmessages: {{mode: AUTHENTICATED, key_id: {KEY_ID}}}\n"
    f"assumed:\n{ASSUMED}",
    "modem": "extends: generic\nlogon: {proof: DES}\nline: {c1221: true}",
}
RING = bytes((KEY_ID,)) + KEY
OTHER_RING = bytes((KEY_ID,)) + KEY[::-1]
DES = c1221.Key(1, bytes.fromhex("0123456789ABCDEF"))


def own(number: int) -> ApTitle:
    """A title of this run."""
    return title(f"2.16.124.113620.1.22.0.{RUN}.{number}")


def named(number: int, **more: Any) -> Meter:
    """A registered C12.22 meter of this run."""
    identity = Identity(IdentityKind.AP_TITLE, own(number).text)
    given: dict[str, Any] = {
        "id": f"c12-{number}-{RUN}", "identities": (identity,), "protocol": Protocol.C1222, "state": MeterState.NORMAL,
        "key_ref": f"c12-{number}-{RUN}", "time_zone": "UTC", "segment": f"s{number}",
    }  # fmt: skip
    return Meter(**(given | more))


@dataclass
class Rig:
    """The gateway, and meters that run."""

    cluster: Cluster
    gateway: GatewayProcess
    tap: Tap
    lines: Lines
    fleet: list[dict[str, Any]]
    """The shipment of simulated meters."""
    ends: list[Callable[[], None]] = field(default_factory=list)
    numbers: Iterator[int] = field(default_factory=lambda: iter(range(100, 10_000)))

    def ports(self) -> dict[str, int]:
        """Where C12.22 meters register."""
        line = next(line for line in self.gateway.log if line.get("event") == "listening" and line["protocol"] == "C1222")
        return {name: int(line[name]) for name in ("tcp_port", "udp_port")}

    def keep(self, *meters: Meter) -> None:
        """Have the gateway know meters: it has read them when it answers for one of them."""
        self.cluster.put_meters(meters)

    def on_tcp(self, meter: MessageMeter, **more: Any) -> Meter:
        """A C12.22 meter on TCP, registered."""
        served = MessagesOnTcp(meter)
        self.ends.append(served.close)
        return self._registered(meter, f"c1222://127.0.0.1:{served.port}", **more)

    def on_udp(self, meter: MessageMeter, **more: Any) -> Meter:
        """Likewise on UDP, where every third datagram is lost."""
        served = MessagesOnUdp(meter, lose=lambda number: number % 3 == 0)
        self.ends.append(served.close)
        return self._registered(meter, f"c1222+udp://127.0.0.1:{served.port}", **more)

    def _registered(self, meter: MessageMeter, endpoint: str, **more: Any) -> Meter:
        number = next(self.numbers)
        meter.own = own(number)
        return named(number, endpoint=endpoint, **more)

    def run(self, *jobs: Job) -> list[JobResult]:
        """The results of jobs."""
        self.cluster.put_jobs(jobs, "hes.jobs.urgent")
        wanted = [job.id for job in jobs]
        self.tap.until(lambda: {item.job_id for item in self.tap.of(JobResult)} >= set(wanted), f"results of {wanted}")
        known = {item.job_id: item for item in self.tap.of(JobResult)}
        return [known[name] for name in wanted]

    def written(self) -> set[str]:
        """Ids of what was read."""
        return {item.id for _, item in self.tap.seen if isinstance(item, IntervalReadings | RegisterReadings | Alarm)}

    def rows_of(self, meter: Meter) -> None:
        """Wait until rows of a meter are written."""
        self.tap.until(lambda: any(item.meter_id == meter.id for item in self.tap.of(IntervalReadings)), "rows")

    def alarms(self, meter_id: str) -> list[Alarm]:
        return [alarm for alarm in self.tap.of(Alarm) if alarm.meter_id == meter_id]


METERS = [
    named(1, template="trusted", model="never read"),
    named(2, template="sealed"),
    named(3, template="signed"),
    named(4),
    named(5, identities=(Identity(IdentityKind.SERIAL, f"1.3.6.1.4.1.33507.{RUN}.5"),), template="signed"),
]  # fmt: skip


@contextmanager
def simulated(home: Path, seed: int) -> Iterator[list[dict[str, Any]]]:
    """A fleet that runs; its shipment. Meters of one seed have one id: each file that registers some takes its own seed."""
    given = ("--meters", "6", "--c12-share", "1", "--seed", str(seed), "--drift-share", "0", "--profile-days", "3")
    process = subprocess.Popen(
        [sys.executable, "-m", "connectors.simulator", "--home", str(home), *given], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["ready"]
        yield [json.loads(line) for line in (home / "meters.jsonl").read_text().splitlines()]
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=PATIENCE_S)


def held(row: dict[str, Any]) -> MeterKeys:
    secrets = row["secrets"]
    return MeterKeys(
        eax=READERS["eax"](secrets["eax_keys"]) if "eax_keys" in secrets else None,
        password=secrets["password"].encode() if "password" in secrets else None,
        meter=row["id"],
    )


def job(meter: Meter, operation: Operation = Operation.READ_REGISTERS, name: str = "j", **more: Any) -> Job:
    now = int(time.time() * 1000)
    given: dict[str, Any] = {"priority": Priority.ON_DEMAND, "issued_at": now, "deadline": now + 60_000}
    return Job(id=f"{name}-{meter.id}-{operation.value}", meter_id=meter.id, operation=operation, **(given | more))
