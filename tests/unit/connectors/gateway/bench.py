"""A worker, its meters and what they hold, and time in the test's hands."""

from __future__ import annotations

import asyncio
from typing import Any

from connectors.gateway.deliveries import Deliveries
from connectors.gateway.drivers.dlms import DlmsDriver, DlmsTools
from connectors.gateway.drivers.table import drivers_of
from connectors.gateway.emit import Lanes
from connectors.gateway.intake import BULK, Ticket
from connectors.gateway.keystore import MeterKeys
from connectors.gateway.lines import Lines
from connectors.gateway.reservations import Reservations
from connectors.gateway.worker import Tools, Worker
from connectors.templates.loader import load_templates
from schemas.records import Job, JobResult, Meter, Operation, Outcome, Priority
from schemas.records import Network as AccessNetwork
from streams.runtime.clock import ManualClock
from streams.runtime.settings import Gateway
from tests.unit.connectors.gateway.builders import NOW, FakeKeys, meter, pipeline
from tests.unit.connectors.gateway.ledgers import FakeLedger
from tests.unit.connectors.gateway.meters import Network, ScriptedMeter
from tests.unit.connectors.gateway.test_deliveries import HeldPublisher, emitter
from tests.unit.streams.fakes import fake_message

ENERGY = "3/1.0.1.8.0.255/2"
UNIT = bytes.fromhex("0202 0F03 161E".replace(" ", ""))
PROFILE = "7/1.0.99.1.0.255"


def column(class_id: int, obis: tuple[int, ...]) -> bytes:
    """A capture object."""
    return b"\x02\x04\x12" + class_id.to_bytes(2) + b"\x09\x06" + bytes(obis) + b"\x0f\x02\x12\0\0"


def row(n: int) -> bytes:
    """A quarter of an hour of 2023-04-01: clock, energy."""
    at = bytes.fromhex("07E7040106") + bytes((n // 4, n % 4 * 15, 0, 0)) + bytes.fromhex("8000FF")
    return b"\x02\x02\x09\x0c" + at + b"\x06" + (100 + n).to_bytes(4)


def profile(rows: int = 4) -> dict[str, bytes]:
    """A load profile."""
    return {
        f"{PROFILE}/3": b"\x01\x02" + column(8, (0, 0, 1, 0, 0, 255)) + column(3, (1, 0, 1, 8, 0, 255)),
        f"{PROFILE}/4": b"\x06" + (900).to_bytes(4),
        f"{PROFILE}/5": b"\x16\x01",
        f"{PROFILE}/2": b"\x01" + bytes((rows,)) + b"".join(row(n) for n in range(rows)),
        "3/1.0.1.8.0.255/3": UNIT,
    }


def registered(meter_id: str = "m1", port: int = 4059, **more: Any) -> Meter:
    return meter(
        meter_id,
        **(
            {"endpoint": f"tcp://10.0.0.7:{port}", "time_zone": "UTC", "segment": "cell-1", "network": AccessNetwork.NB_IOT}
            | more
        ),
    )


def job(operation: Operation, name: str = "j1", meter_id: str = "m1", **more: Any) -> Job:
    given: dict[str, Any] = {
        "id": name,
        "meter_id": meter_id,
        "operation": operation,
        "priority": Priority.SCHEDULED,
        "issued_at": NOW - 500,
    }
    return Job(**(given | more))


class Offsets:
    """What became of records on the jobs topics."""

    def __init__(self) -> None:
        self.finished: list[str] = []
        self.refused: list[tuple[str, str]] = []

    def finish(self, ticket: Ticket) -> None:
        self.finished.append(ticket.job.id)

    def refuse(self, code: str, detail: str, ticket: Ticket) -> None:
        assert detail
        self.refused.append((code, ticket.job.id))


class Bench:
    """A worker, its meters, and time in the test's hands."""

    def __init__(
        self,
        *meters: Meter,
        network: Network | None = None,
        keys: dict[str, MeterKeys] | None = None,
        lanes: Lanes | None = None,
        **settings: Any,
    ) -> None:
        self.clock = ManualClock(NOW)
        self.publisher = HeldPublisher()
        self.offsets = Offsets()
        self.network = network or Network({4059: ScriptedMeter()})
        self.deliveries = Deliveries(asyncio.get_running_loop(), 100, 1 << 24)
        self.pipeline = pipeline(*meters)
        self.lines = Lines(self._dialled_in)
        self.ledger = FakeLedger()
        self.counters = Reservations(
            self.ledger,
            self.clock,
            lambda _: True,
            self._alarm,
            owner="test",
            block=100,
            most_raised=1_000,
            pause_s=10,
        )
        self.driver = DlmsDriver(
            DlmsTools(
                self.clock,
                bytes.fromhex("4845530000000001"),
                FakeKeys(keys or {}),
                load_templates(),
                self.pipeline,
                self.counters,
            )
        )
        self.worker = Worker(
            Tools(
                Gateway(**settings),
                self.clock,
                drivers_of((self.driver,)),
                self.pipeline,
                emitter(self.publisher, self.deliveries, lanes),
                self.deliveries,
                self.offsets,
                self.network.connect,
                lambda: 0.5,
                self.lines,
                self.counters,
            )
        )
        self._offset = 0

    def _dialled_in(self, meter_id: str) -> None:
        self.worker.dialled_in(meter_id)

    def _alarm(self, known: Meter, code: str, detail: str) -> None:
        self.worker.alarm(known, code, detail)

    def put(self, *jobs: Job, lane: str = BULK) -> None:
        tickets = []
        for item in jobs:
            tickets.append(Ticket(item, (lane, 0), self._offset, fake_message(item)))
            self._offset += 1
        self.worker.take(tickets)

    async def run(self, seconds: float = 0.0, *, deliver: bool = True) -> None:
        """Let time pass in steps, and everything happen that can."""
        steps = max(1, round(seconds))
        for _ in range(steps):
            self.clock.advance(seconds / steps)
            self.worker.tick()
            for _ in range(60):
                await asyncio.sleep(0)
            if deliver:
                for _ in range(4):
                    self.publisher.deliver()
                    for _ in range(4):
                        await asyncio.sleep(0)

    def results(self) -> list[JobResult]:
        return [record for record in self.publisher.records("hes.events.urgent") if isinstance(record, JobResult)]

    def readings(self) -> list[Any]:
        return self.publisher.records("hes.events.bulk")

    def ended(self) -> list[tuple[str, Outcome, str]]:
        return [(result.job_id, result.outcome, result.code) for result in self.results()]


WIDER = profile()
WIDER[f"{PROFILE}/3"] = b"\x01\x03" + WIDER[f"{PROFILE}/3"][2:] + WIDER[f"{PROFILE}/3"][-18:]
ROWS = WIDER[f"{PROFILE}/2"]
WIDER[f"{PROFILE}/2"] = ROWS[:2] + b"".join(
    ROWS[2 + n * 21 : 23 + n * 21].replace(b"\x02\x02\x09\x0c", b"\x02\x03\x09\x0c") + b"\x11\x01" for n in range(4)
)
