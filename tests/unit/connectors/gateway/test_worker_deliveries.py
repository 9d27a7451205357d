"""What a worker writes to Kafka, in which order, and when a job's offset goes."""

from __future__ import annotations

import gc

from connectors.gateway.drivers.dlms import DlmsCall
from connectors.gateway.keystore import MeterKeys
from connectors.gateway.session import MeterLink
from connectors.gateway.visit import Visit
from schemas.records import Direction, Operation, Outcome, SessionFrames, SessionKind
from streams.runtime.errors import DeliveryError
from tests.unit.connectors.gateway.bench import Bench, job, profile, registered
from tests.unit.connectors.gateway.meters import PASSWORD, Network, ScriptedMeter


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


async def test_the_result_of_the_same_job_done_again_has_the_same_id() -> None:
    ids: list[tuple[str, str]] = []
    for _ in range(2):
        bench = Bench(registered(), network=Network({4059: ScriptedMeter(profile())}))
        bench.clock.advance(len(ids) * 100)
        bench.put(job(Operation.READ_PROFILE))
        await bench.run()
        ids.append((bench.results()[0].id, bench.readings()[0].id))
    assert ids[0] == ids[1]
