"""Meters with a relay on sockets of the test's own process (gurux' server, and what its port leaves undone), which count
what their relays did; and jobs with everything that proves them.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from connectors.protocols.dlms.framing.wrapper import Deframer, pack
from schemas.codec import Codec
from schemas.ids import event_id
from schemas.records import (
    Alarm,
    Cause,
    CommandDecision,
    CommandRequest,
    Control,
    ControlKind,
    Job,
    JobResult,
    Meter,
    MeterState,
    Operation,
    Operator,
    Priority,
    Target,
    Verdict,
)
from schemas.signatures import Signed, digest, public_key, signed
from tests.integration.gateway_bench import Cluster, Tap
from tests.unit.connectors.protocols.dlms.objects.gurux_objects import ObjectMeter, Relay
from tests.unit.streams.runtime.authority.builders import ROOT, key

MINUTE, DAY = 60_000, 86_400_000
PEOPLE = {"alice": ("meter-operator",), "bob": ("meter-operator",), "carol": ("supervisor",), "intern": ("guest",)}
ACTION = 0xC3


class CountingRelay(Relay):
    """Remembers what it did, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.moves: list[int] = []

    def go(self, state: int) -> None:
        self.moves.append(state)
        super().go(state)


@dataclass
class RelayMeter:
    """One meter. `before` is called with each request before it is answered."""

    relay: CountingRelay = field(default_factory=CountingRelay)
    more: tuple[Any, ...] = ()
    before: Callable[[bytes], None] = lambda _apdu: None

    def __post_init__(self) -> None:
        self.actions = 0
        self.lock = threading.Lock()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def moves(self) -> list[int]:
        """What its relay did, in order."""
        return self.relay.moves

    @property
    def state(self) -> int:
        """0 disconnected, 1 connected, 2 ready for reconnection."""
        return int(self.relay.controlState)

    def by_hand(self, state: int) -> None:
        """Somebody at the meter; not counted."""
        Relay.go(self.relay, state)

    def close(self) -> None:
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listening.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        meter, deframer = ObjectMeter([self.relay, *self.more]), Deframer()
        with connection, suppress(OSError):
            while octets := connection.recv(65_536):
                for client, server, apdu in deframer.feed(octets):
                    self.before(apdu)
                    with self.lock:
                        self.actions += apdu[0] == ACTION
                        answer = meter.exchange(apdu)
                    if answer:
                        connection.sendall(pack(server, client, answer))


@dataclass
class Desk:
    """People with keys, and what they sign, in one environment."""

    cluster: Cluster
    environment: str

    @property
    def codec(self) -> Codec:
        return self.cluster.codec

    @property
    def settings(self) -> dict[str, str]:
        return {"HES_COMMANDS__ROOT_KEY": public_key(ROOT).hex(), "HES_ENVIRONMENT": self.environment}

    def sign(self, record: Signed, by: str, environment: str = "") -> bytes:
        private = ROOT if by == "root" else key(by)
        return signed(self.codec, record, environment or self.environment, private)

    @classmethod
    def staffed(cls, cluster: Cluster, environment: str) -> Desk:
        """With all of `PEOPLE`."""
        desk = cls(cluster, environment)
        for name, roles in PEOPLE.items():
            desk.hire(name, roles)
        return desk

    def hire(self, name: str, roles: tuple[str, ...], **fields: Any) -> None:
        now = now_ms()
        whole = {"valid_from": now - DAY, "valid_to": now + DAY, "version": 1} | fields
        record = Operator(id=name, name=name, roles=roles, public_key=public_key(key(name)), **whole)
        self.cluster.put("hes.operators", name, self.sign(record, "root"))

    def control(self, kind: ControlKind, by: str, **fields: Any) -> None:
        whole: dict[str, Any] = {
            "id": kind.lower(),
            "kind": kind,
            "issued_by": by,
            "issued_at": now_ms(),
            "reason": "a test",
        }
        record = Control(**(whole | {"environment": self.environment, "reason": "a test"} | fields))
        self.cluster.put("hes.controls", record.id, self.sign(record, by))

    def asks(self, *meters: str, by: str = "alice", **fields: Any) -> bytes:
        """A request for a disconnection, signed."""
        whole: dict[str, Any] = {
            "id": f"c-{meters[0]}-{time.monotonic_ns()}",
            "target": Target(meters=meters),
            "operation": Operation.DISCONNECT,
            "requested_by": by,
            "requested_at": now_ms() - MINUTE,
            "reason": "unpaid",
            "environment": self.environment,
        }
        return self.sign(CommandRequest(**(whole | fields)), by)

    def decides(self, value: bytes, *meters: str, by: str = "bob", **fields: Any) -> bytes:
        """An approval, signed."""
        asked = self.codec.decode(value)
        assert isinstance(asked, CommandRequest)
        whole: dict[str, Any] = {
            "id": f"d-{by}",
            "command_id": asked.id,
            "request_digest": digest(value),
            "meters": meters or asked.target.meters,
            "environment": self.environment,
            "verdict": Verdict.APPROVE,
            "decided_by": by,
            "decided_at": now_ms(),
        }
        return self.sign(CommandDecision(**(whole | fields)), by)

    def job(self, value: bytes, *decisions: bytes, meter: str = "", **fields: Any) -> Job:
        """The job as `streams/commands` issues it."""
        asked = self.codec.decode(value)
        assert isinstance(asked, CommandRequest)
        meter = meter or asked.target.meters[0]
        now = now_ms()
        job = Job(
            id=event_id("Job", asked.id, digest(value), meter, 1),
            meter_id=meter,
            operation=asked.operation,
            objects=asked.objects,
            parameters=asked.parameters,
            priority=Priority.ON_DEMAND,
            issued_at=now,
            deadline=now + 90_000,
            cause=Cause.ON_DEMAND,
            caused_by=asked.id,
            request=value,
            decisions=decisions,
        )
        return replace(job, **fields)

    def proven(self, meter: str, operation: Operation = Operation.DISCONNECT, **fields: Any) -> Job:
        """A job that lacks nothing."""
        value = self.asks(meter, operation=operation, **fields)
        return self.job(value, *([] if operation is Operation.RECONNECT else [self.decides(value)]))


class Street:
    """Meters with relays, and what the gateway says of them."""

    def __init__(self, cluster: Cluster, run: str) -> None:
        self._cluster, self._run = cluster, run
        self.meters: dict[str, RelayMeter] = {}
        self.tap = Tap(cluster, "hes.events.urgent", "hes.intents")

    def meter(self, name: str = "", *, made: RelayMeter | None = None, **fields: Any) -> tuple[str, RelayMeter]:
        name = name or f"m{len(self.meters)}-{self._run}"
        meter = self.meters[name] = made or RelayMeter()
        self._cluster.put_meters([registered(name, meter, **fields)])
        return name, meter

    def do(self, job: Job, topic: str = "hes.jobs.urgent") -> JobResult:
        """The next result of a job."""
        before = len(self.results(job))
        self._cluster.put_jobs([job], topic)
        self.tap.until(lambda: len(self.results(job)) > before, f"a result of {job.id}")
        return self.results(job)[-1]

    def results(self, job: Job) -> list[JobResult]:
        return [result for result in self.tap.of(JobResult) if result.job_id == job.id]

    def alarms(self, meter: str) -> list[str]:
        return [alarm.code for alarm in self.tap.of(Alarm) if alarm.meter_id == meter]

    def close(self) -> None:
        self.tap.close()
        for meter in self.meters.values():
            meter.close()


def registered(name: str, meter: RelayMeter, **fields: Any) -> Meter:
    """A meter in service that may be connected to."""
    whole: dict[str, Any] = {
        "endpoint": f"tcp://127.0.0.1:{meter.port}", "template": "generic", "time_zone": "UTC",
        "segment": name, "feeder": "F", "transformer": f"T-{name}", "state": MeterState.NORMAL,
    }  # fmt: skip
    return Meter(id=name, **(whole | fields))


def now_ms() -> int:
    return time.time_ns() // 1_000_000
