"""Jobs to results: what a meter is asked, what is written, when the offset goes, and what happens when something fails."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest

from connectors.gateway.deliveries import Deliveries
from connectors.gateway.drivers.dlms import DlmsCall, DlmsDriver, DlmsTools
from connectors.gateway.drivers.table import drivers_of
from connectors.gateway.intake import BULK, URGENT, Ticket
from connectors.gateway.keystore import MeterKeys
from connectors.gateway.lines import Lines
from connectors.gateway.reservations import Reservations
from connectors.gateway.session import MeterLink
from connectors.gateway.visit import Visit
from connectors.gateway.worker import Tools, Worker
from connectors.templates.loader import load_templates
from schemas.records import (
    Direction,
    IntervalReadings,
    Job,
    JobResult,
    Meter,
    Operation,
    Outcome,
    Priority,
    RegisterReadings,
    SessionFrames,
    SessionKind,
)
from schemas.records import (
    Network as AccessNetwork,
)
from streams.runtime.clock import ManualClock
from streams.runtime.errors import DeliveryError
from streams.runtime.settings import Gateway
from tests.unit.connectors.gateway.builders import (
    NOW,
    SERIAL,
    TIME_MS,
    FakeKeys,
    directory,
    meter,
    pipeline,
    reading,
    wrapped,
)
from tests.unit.connectors.gateway.ledgers import FakeLedger
from tests.unit.connectors.gateway.meters import CLOCK, CLOCK_AT, PASSWORD, Network, ScriptedMeter
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
        self, *meters: Meter, network: Network | None = None, keys: dict[str, MeterKeys] | None = None, **settings: Any
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
                emitter(self.publisher, self.deliveries),
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


async def test_registers_are_read_with_the_meters_time_scalers_and_units() -> None:
    held = {CLOCK: CLOCK_AT, ENERGY: b"\x06" + (4711).to_bytes(4), "3/1.0.1.8.0.255/3": UNIT}
    bench = Bench(registered(), network=Network({4059: ScriptedMeter(held)}))
    bench.put(job(Operation.READ_REGISTERS, objects=(ENERGY, "3/1.0.99.99.0.255/2")))
    await bench.run()
    (made,) = bench.readings()
    assert isinstance(made, RegisterReadings)
    assert [(r.obis, r.value, r.scaler, r.unit) for r in made.registers] == [("1.0.1.8.0.255", 4711, 3, "Wh")]
    assert (made.captured_at, made.meter_time_given, made.job_id, made.read_at) == (TIME_MS, True, "j1", NOW)
    (result,) = bench.results()
    assert (result.outcome, result.code, result.rows, result.events) == (Outcome.DONE, "", 1, (made.id,))
    assert "1 of 2 refused" in result.detail
    assert (result.segment, result.network) == ("cell-1", AccessNetwork.NB_IOT)
    assert (
        result.issued_at
        <= result.started_at
        <= (result.connected_at or 0)
        <= (result.associated_at or 0)
        <= result.finished_at
    )
    assert bench.offsets.finished == ["j1"]


async def test_a_load_profile_is_one_record_of_columns() -> None:
    bench = Bench(registered(), network=Network({4059: ScriptedMeter(profile(8))}))
    bench.put(job(Operation.READ_PROFILE))
    await bench.run()
    (made,) = bench.readings()
    assert isinstance(made, IntervalReadings)
    assert (made.source, made.rows, made.period_s, made.ends) == (f"{PROFILE}/2", 8, 900, ())
    assert [(c.obis, c.longs, c.scaler, c.unit) for c in made.channels] == [
        ("1.0.1.8.0.255", tuple(range(100, 108)), 3, "Wh")
    ]
    assert bench.ended() == [("j1", Outcome.DONE, "")]


async def test_the_same_rows_read_by_another_job_have_the_same_id() -> None:
    bench = Bench(registered(), network=Network({4059: ScriptedMeter(profile(8))}))
    bench.put(job(Operation.READ_PROFILE, "j1"))
    await bench.run(5)
    bench.put(job(Operation.READ_PROFILE, "j2"))
    await bench.run(5)
    first, second = bench.readings()
    assert first.id == second.id
    assert first.read_at < second.read_at


async def test_a_span_is_from_its_first_time_to_before_its_last() -> None:
    bench = Bench(registered(), network=Network({4059: ScriptedMeter(profile(8))}))
    midnight = 1_680_307_200_000
    bench.put(job(Operation.READ_PROFILE, from_time=midnight, to_time=midnight + 3 * 900_000))
    await bench.run()
    (made,) = bench.readings()
    assert (made.first_end, made.rows) == (midnight, 3)


_SETTLED: dict[str, Any] = {"vendor": "V", "model": "M"}
WIDER = profile()
WIDER[f"{PROFILE}/3"] = b"\x01\x03" + WIDER[f"{PROFILE}/3"][2:] + WIDER[f"{PROFILE}/3"][-18:]
ROWS = WIDER[f"{PROFILE}/2"]
WIDER[f"{PROFILE}/2"] = ROWS[:2] + b"".join(
    ROWS[2 + n * 21 : 23 + n * 21].replace(b"\x02\x02\x09\x0c", b"\x02\x03\x09\x0c") + b"\x11\x01" for n in range(4)
)


@pytest.mark.parametrize(
    ("days", "firmware", "holds", "asked_again"),
    [
        pytest.param(1, "1", profile(), False, id="known"),
        pytest.param(1, "2", profile(), True, id="another-firmware"),
        pytest.param(8, "1", profile(), True, id="a-week-later"),
        pytest.param(1, "1", WIDER, True, id="does-not-fit"),
    ],
)
async def test_the_shape_of_a_profile_is_asked_once(
    days: int, firmware: str, holds: dict[str, bytes], asked_again: bool
) -> None:
    there, settled = ScriptedMeter(profile()), _SETTLED
    bench = Bench(registered(firmware="1", **settled), network=Network({4059: there}))
    bench.put(job(Operation.READ_PROFILE, "a"))
    await bench.run(1)
    bench.clock.advance(days * 86_400)
    bench.pipeline.directory = directory(registered(firmware=firmware, **settled))
    there.holds, there.asked = holds, []
    bench.put(job(Operation.READ_PROFILE, "b"))
    await bench.run(1)
    assert bench.ended() == [("a", Outcome.DONE, ""), ("b", Outcome.DONE, "")]
    assert (f"{PROFILE}/3" in there.asked) is asked_again


async def test_meters_of_a_type_may_have_scalers_of_their_own() -> None:
    kind: dict[str, Any] = {"vendor": "V", "model": "M", "firmware": "1"}
    other = profile() | {"3/1.0.1.8.0.255/3": UNIT.replace(b"\x0f\x03", b"\x0f\x00")}
    there: dict[int, ScriptedMeter | Exception] = {1: ScriptedMeter(profile()), 2: ScriptedMeter(other)}
    bench = Bench(registered("m1", 1, **kind), registered("m2", 2, **kind), network=Network(there))
    for meter_id in ("m1", "m2"):
        bench.put(job(Operation.READ_PROFILE, meter_id, meter_id))
        await bench.run(1)
    assert [made.channels[0].scaler for made in bench.readings()] == [3, 0]


async def test_several_jobs_of_a_meter_take_one_association() -> None:
    there = ScriptedMeter({CLOCK: CLOCK_AT} | profile())
    bench = Bench(registered(), network=Network({4059: there}))
    bench.put(job(Operation.READ_PROFILE, "a"), job(Operation.READ_CLOCK, "b"), job(Operation.PING, "c"))
    await bench.run()
    assert there.associations == 1
    assert {name for name, outcome, _ in bench.ended() if outcome is Outcome.DONE} == {"a", "b", "c"}
    assert sorted(bench.offsets.finished) == ["a", "b", "c"]


async def test_the_offset_goes_only_after_readings_and_then_result_are_in_kafka() -> None:
    bench = Bench(registered())
    bench.put(job(Operation.READ_CLOCK))
    await bench.run(deliver=False)
    assert [topic for topic, *_ in bench.publisher.sent] == ["hes.events.bulk", "hes.frames"]
    assert bench.worker.busy
    bench.publisher.deliver()
    await bench.run(deliver=False)
    assert (len(bench.results()), bench.offsets.finished) == (1, [])
    bench.publisher.deliver()
    await bench.run(deliver=False)
    assert bench.offsets.finished == ["j1"]
    assert not bench.worker.busy


async def test_the_offset_waits_for_the_frames_too() -> None:
    bench = Bench(registered())
    bench.put(job(Operation.READ_CLOCK))
    await bench.run(deliver=False)
    first, frames = bench.publisher.waiting
    bench.publisher.waiting = [first]
    for _ in range(3):
        bench.publisher.deliver()
        await bench.run(deliver=False)
    assert (bench.ended(), bench.offsets.finished) == ([("j1", Outcome.DONE, "")], [])
    frames(None)
    await bench.run(deliver=False)
    assert (bench.offsets.finished, bench.worker.busy) == (["j1"], False)


async def test_what_kafka_does_not_take_is_sent_again_with_the_same_ids() -> None:
    bench = Bench(registered())
    bench.put(job(Operation.READ_CLOCK))
    await bench.run(deliver=False)
    bench.publisher.deliver(error=DeliveryError("away"))
    await bench.run(deliver=False)
    assert bench.results() == []
    await bench.run(5)
    assert len({made.id for made in bench.readings()}) == 1
    assert len(bench.readings()) == 2
    assert bench.offsets.finished == ["j1"]


async def test_many_jobs_that_end_together_go_to_kafka_together_and_after_a_failure_each_by_itself() -> None:
    meters = [registered(f"m{port}", port, segment="") for port in range(1, 41)]
    bench = Bench(*meters, network=Network({port: ScriptedMeter() for port in range(1, 41)}))
    bench.put(*(job(Operation.READ_CLOCK, f"j{port}", f"m{port}") for port in range(1, 41)))
    await bench.run(deliver=False)
    assert len(bench.readings()) >= 32
    bench.publisher.deliver(error=DeliveryError("away"))
    await bench.run(deliver=False)
    assert (bench.results(), bench.offsets.finished, bench.worker.busy) == ([], [], True)
    await bench.run(10)
    assert sorted(bench.offsets.finished) == sorted(f"j{port}" for port in range(1, 41))
    assert (len(bench.results()), len({made.id for made in bench.readings()})) == (40, 40)
    assert not bench.worker.busy


async def test_a_visit_that_is_over_leaves_nothing_for_the_collector() -> None:
    bench = Bench(registered())
    for name in ("first", "second"):  # the first leaves what is made once
        gc.collect()
        bench.put(job(Operation.READ_CLOCK, name))
        await bench.run(3)
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        gc.collect()
        assert [found for found in gc.garbage if isinstance(found, Visit | MeterLink | DlmsCall)] == []
    finally:
        gc.set_debug(0)
        gc.garbage.clear()


async def test_the_frames_of_a_session_are_kept_and_its_password_is_not() -> None:
    keys = {"ref": MeterKeys(password=PASSWORD)}
    there = ScriptedMeter(password=PASSWORD)
    bench = Bench(registered(template="idis", key_ref="ref"), network=Network({4059: there}), keys=keys)
    bench.put(job(Operation.READ_CLOCK))
    await bench.run()
    assert bench.ended() == [("j1", Outcome.DONE, "")]
    kept = [record for record in bench.publisher.records("hes.frames") if isinstance(record, SessionFrames)]
    assert [(part.kind, part.job_id, part.meter_id) for part in kept] == [(SessionKind.PULL, "j1", "m1")]
    ways = [frame.direction for frame in kept[0].frames]
    assert ways == [Direction.TO_METER, Direction.FROM_METER] * 3
    on_the_wire = b"".join(bench.network.wires[0].sent)
    assert PASSWORD in on_the_wire
    for _, _, value, _ in bench.publisher.sent:
        assert PASSWORD not in value
    assert b"".join(
        f.data for part in kept for f in part.frames if f.direction is Direction.TO_METER
    ) == on_the_wire.replace(PASSWORD, b"*" * 8)


OPERATION_REFUSED: list[Any] = [
    pytest.param(job(op), registered(), "operation-unsupported", id=op.value.lower())
    for op in (
        Operation.DISCONNECT,
        Operation.RECONNECT,
        Operation.SET_CLOCK,
        Operation.FIRMWARE_TRANSFER,
        Operation.ROTATE_KEY,
    )
]


@pytest.mark.parametrize(
    ("wanted", "known", "code"),
    [
        *OPERATION_REFUSED,
        pytest.param(job(Operation.READ_CLOCK), registered(endpoint=""), "meter-no-endpoint", id="no-endpoint"),
        pytest.param(job(Operation.READ_CLOCK), registered(endpoint="ftp://h:1"), "endpoint-unsupported", id="ftp"),
        pytest.param(job(Operation.READ_CLOCK), registered(endpoint="tcp://h:99999"), "endpoint-unsupported", id="no-port"),
        pytest.param(job(Operation.READ_CLOCK), registered(template="nope"), "template-missing", id="no-template"),
        pytest.param(job(Operation.READ_CLOCK), registered(time_zone="No/Where"), "time-zone-unknown", id="no-zone"),
        pytest.param(job(Operation.READ_CLOCK), registered(template="idis", key_ref="x"), "key-missing", id="no-password"),
        pytest.param(job(Operation.READ_REGISTERS, objects=("nonsense",)), registered(), "object-invalid", id="no-object"),
        pytest.param(job(Operation.READ_PROFILE, objects=(ENERGY,)), registered(), "object-invalid", id="no-profile"),
        pytest.param(
            job(Operation.READ_PROFILE, parameters={"profile": "x"}), registered(), "object-invalid", id="no-such-profile"
        ),
    ],
)
async def test_what_cannot_be_done_is_told_without_connecting(wanted: Job, known: Meter, code: str) -> None:
    bench = Bench(known)
    bench.put(wanted)
    await bench.run()
    assert bench.ended() == [("j1", Outcome.FAILED, code)]
    assert bench.network.connects == []
    assert bench.offsets.finished == ["j1"]
    assert bench.results()[0].detail


async def test_a_job_for_nobody_waits_a_little_and_then_is_refused() -> None:
    bench = Bench()
    bench.put(job(Operation.READ_CLOCK, meter_id="ghost"))
    await bench.run(4)
    assert bench.ended() == []
    await bench.run(6)
    assert bench.ended() == [("j1", Outcome.FAILED, "job-unknown-meter")]
    assert bench.offsets.refused == [("job-unknown-meter", "j1")]


async def test_a_meter_that_is_imported_meanwhile_is_read() -> None:
    bench = Bench()
    bench.put(job(Operation.PING))
    await bench.run(2)
    late = Bench(registered())
    bench.pipeline.directory = late.pipeline.directory
    await bench.run(3)
    assert bench.ended() == [("j1", Outcome.DONE, "")]


UNREACHABLE: list[Any] = [
    pytest.param(ConnectionRefusedError(111, "Connection refused"), "connect-refused", id="refused"),
    pytest.param(TimeoutError(), "connect-timeout", id="timeout"),
    pytest.param(OSError(113, "No route to host"), "connect-refused", id="no-route"),
]


@pytest.mark.parametrize(("error", "code"), UNREACHABLE)
async def test_a_meter_out_of_reach_is_tried_again_and_then_given_up(error: Exception, code: str) -> None:
    bench = Bench(registered(), network=Network({4059: error}), attempts=3)
    bench.put(job(Operation.READ_CLOCK, "a"), job(Operation.PING, "b"))
    await bench.run(1)
    assert (bench.network.connects, bench.ended()) == ([4059], [])
    await bench.run(30)
    assert len(bench.network.connects) == 3
    assert sorted(bench.ended()) == [("a", Outcome.FAILED, code), ("b", Outcome.FAILED, code)]
    assert sorted(bench.offsets.finished) == ["a", "b"]


async def test_a_meter_that_comes_back_is_read() -> None:
    network = Network({4059: ConnectionRefusedError(111, "Connection refused")})
    bench = Bench(registered(), network=network)
    bench.put(job(Operation.READ_CLOCK))
    await bench.run(1)
    network.meters[4059] = ScriptedMeter()
    await bench.run(10)
    assert bench.ended() == [("j1", Outcome.DONE, "")]


@pytest.mark.parametrize(
    ("there", "code", "connects"),
    [
        pytest.param(ScriptedMeter(silent_after=0), "answer-timeout", 2, id="silent"),
        pytest.param(ScriptedMeter(closes_after=1), "connection-lost", 2, id="closes"),
        pytest.param(ScriptedMeter(password=b"other"), "peer-association-refused", 1, id="refuses"),
        pytest.param(ScriptedMeter({}), "peer-access", 1, id="has-no-clock"),
        pytest.param(ScriptedMeter({CLOCK: b"\x77"}), "dlms-axdr", 1, id="nonsense"),
    ],
)
async def test_faults_of_a_session(there: ScriptedMeter, code: str, connects: int) -> None:
    there.requests = 0
    bench = Bench(registered(), network=Network({4059: there}), attempts=2, answer_timeout_s=5)
    bench.put(job(Operation.READ_CLOCK))
    for _ in range(40):
        await bench.run(1)
        there.requests = 0 if there.closes_after < 9 and not bench.worker._visits else there.requests
    assert bench.ended() == [("j1", Outcome.FAILED, code)]
    assert len(bench.network.connects) == connects
    assert bench.offsets.finished == ["j1"]


async def test_what_was_read_before_a_failure_is_kept() -> None:
    bench = Bench(registered(), network=Network({4059: ScriptedMeter(profile())}))
    bench.put(job(Operation.READ_PROFILE, objects=(f"{PROFILE}/2", "7/1.0.99.2.0.255/2")))
    await bench.run(1)
    (made,) = bench.readings()
    (result,) = bench.results()
    assert (result.outcome, result.code, result.events) == (Outcome.FAILED, "peer-access", (made.id,))


async def test_a_deadline_ends_a_job_that_waits_and_one_that_is_under_way() -> None:
    silent = ScriptedMeter(silent_after=0)
    bench = Bench(
        registered(), registered("m2", 2), network=Network({4059: silent, 2: ConnectionRefusedError()}), answer_timeout_s=100
    )
    bench.put(
        job(Operation.READ_CLOCK, "a", deadline=NOW + 10_000), job(Operation.READ_CLOCK, "b", "m2", deadline=NOW + 3_000)
    )
    await bench.run(15)
    assert sorted(bench.ended()) == [("a", Outcome.EXPIRED, "job-expired"), ("b", Outcome.FAILED, "connect-refused")]
    assert sorted(bench.offsets.finished) == ["a", "b"]


async def test_a_job_without_a_deadline_has_a_limit_too() -> None:
    bench = Bench(
        registered(), network=Network({4059: ScriptedMeter(silent_after=0)}), answer_timeout_s=1_000, job_timeout_s=20
    )
    bench.put(job(Operation.READ_CLOCK))
    await bench.run(25)
    assert bench.ended() == [("j1", Outcome.FAILED, "job-timeout")]


async def test_a_job_that_comes_too_late_is_not_begun() -> None:
    bench = Bench(registered())
    bench.put(job(Operation.READ_CLOCK, deadline=NOW - 1))
    await bench.run(1)
    assert bench.ended() == [("j1", Outcome.EXPIRED, "job-expired")]
    assert bench.network.connects == []


async def test_sessions_are_bounded_and_some_stay_free_for_what_is_urgent() -> None:
    silent: dict[int, ScriptedMeter | Exception] = {port: ScriptedMeter(silent_after=0) for port in range(1, 20)}
    bench = Bench(
        *(registered(f"m{n}", n, network=AccessNetwork.ETHERNET) for n in range(1, 20)),
        network=Network(silent),
        sessions=10,
        answer_timeout_s=1_000,
    )
    bench.put(*(job(Operation.PING, f"j{n}", f"m{n}") for n in range(1, 15)))
    await bench.run(1)
    assert len(bench.network.connects) == 9
    bench.put(*(job(Operation.PING, f"u{n}", f"m{n}") for n in range(15, 18)), lane=URGENT)
    await bench.run(1)
    assert bench.network.connects[9:] == [15]


async def test_no_session_is_opened_while_kafka_is_behind() -> None:
    bench = Bench(registered())
    for _ in range(100):
        bench.deliveries.group(1, 1, lambda _: None)
    bench.put(job(Operation.PING))
    await bench.run(3)
    assert bench.network.connects == []


async def test_what_a_meter_pushes_between_its_answers_is_a_push() -> None:
    unasked = wrapped(reading(SERIAL, invoke_id=0x40000001), 1, 16)
    bench = Bench(registered(), network=Network({4059: ScriptedMeter(unasked=unasked)}))
    bench.put(job(Operation.READ_CLOCK))
    await bench.run()
    assert bench.ended() == [("j1", Outcome.DONE, "")]
    assert sorted(made.source for made in bench.readings()) == [CLOCK, "tagged-scaler"]


async def test_a_draining_worker_ends_the_job_at_hand_and_begins_no_other() -> None:
    bench = Bench(registered())
    bench.put(job(Operation.READ_CLOCK, "a"), job(Operation.READ_CLOCK, "b"))
    bench.worker.tick()
    bench.worker.drain()
    await bench.run()
    assert bench.offsets.finished in (["a"], [])
    assert not bench.worker.busy


async def test_an_abandoned_visit_leaves_its_offset() -> None:
    bench = Bench(registered(), network=Network({4059: ScriptedMeter(silent_after=1)}))
    bench.put(job(Operation.READ_CLOCK))
    await bench.run()
    assert bench.worker.busy
    bench.worker.drain()
    await bench.worker.abandon()
    assert not bench.worker._visits
    assert (bench.offsets.finished, bench.ended()) == ([], [])


async def test_jobs_of_a_lost_partition_are_not_begun() -> None:
    bench = Bench(registered())
    bench.put(job(Operation.READ_CLOCK))
    bench.worker.revoked({(BULK, 0)})
    await bench.run(3)
    assert (bench.network.connects, bench.ended()) == ([], [])


async def test_a_bug_in_one_session_is_a_result_and_the_worker_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> Any:
        raise RuntimeError("boom")

    monkeypatch.setattr("connectors.gateway.drivers.dlms.perform", broken)
    bench = Bench(registered())
    bench.put(job(Operation.READ_CLOCK))
    await bench.run(1)
    assert bench.ended() == [("j1", Outcome.FAILED, "internal")]
    monkeypatch.undo()
    bench.put(job(Operation.READ_CLOCK, "j2"))
    await bench.run(5)
    assert bench.ended()[1:] == [("j2", Outcome.DONE, "")]


async def test_the_result_of_the_same_job_done_again_has_the_same_id() -> None:
    ids: list[tuple[str, str]] = []
    for _ in range(2):
        bench = Bench(registered(), network=Network({4059: ScriptedMeter(profile())}))
        bench.clock.advance(len(ids) * 100)
        bench.put(job(Operation.READ_PROFILE))
        await bench.run()
        ids.append((bench.results()[0].id, bench.readings()[0].id))
    assert ids[0] == ids[1]
