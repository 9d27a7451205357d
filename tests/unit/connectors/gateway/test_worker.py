"""Jobs that do not go well: refusals, meters out of reach, faults, deadlines, limits, and the end of a worker."""

from __future__ import annotations

from typing import Any

import pytest

from connectors.gateway.intake import BULK, URGENT
from schemas.records import Job, Meter, Operation, Outcome
from schemas.records import Network as AccessNetwork
from tests.unit.connectors.gateway.bench import ENERGY, PROFILE, Bench, job, profile, registered
from tests.unit.connectors.gateway.builders import NOW, SERIAL, reading, wrapped
from tests.unit.connectors.gateway.meters import CLOCK, Network, ScriptedMeter

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
