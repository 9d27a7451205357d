"""What nobody expects: results from a clock that is wrong, a meter that comes and goes without end, a request of half a
megabyte.
"""

from __future__ import annotations

from schemas.records import CampaignBudget, Job, JobResult, Operation, Outcome
from tests.unit.streams.firmware.world import Room, meter
from tests.unit.streams.runtime.authority.builders import CODEC


def begun() -> tuple[Room, Job]:
    world = Room(meter("m0"), meter("m1"))
    world.begin(canary="1", waves="100%", silent="95%", failures="95%", silent_after="60d")
    (job,) = world.night()
    return world, job


def test_a_result_of_a_time_to_come_books_no_hours_up_to_there() -> None:
    world, job = begun()
    world.answer(job, finished_at=2**62)
    world.take()
    (budget,) = [found for found in world.latest.values() if isinstance(found, CampaignBudget)]
    assert len(budget.hours) == 1


def test_a_meter_that_goes_silent_again_and_again_is_left_out_in_the_end() -> None:
    world, job = begun()
    case = world.desk.case("f1")
    assert case is not None
    sent = 0
    while True:
        sent += 1
        world.answer(job, Outcome.FAILED, after_s=1, code="firmware-silent")
        world.desk.result(
            JobResult(meter_id=job.meter_id, operation=Operation.PING, outcome=Outcome.DONE, caused_by="f1"), b""
        )
        if "skipped" in world.counts():
            break
        for _ in range(48):
            again = [found for found in world.tick(1_800) if found.operation is Operation.FIRMWARE_TRANSFER]
            if again or "skipped" in world.counts():
                break
        if not again:
            break
        (job,) = again
    assert (sent, world.counts()) == (250, {"skipped": 1, "waiting": 1})


def test_a_request_that_no_record_of_the_books_could_hold_is_refused() -> None:
    names = [f"{number:05}{'x' * 40}" for number in range(7_000)]
    world = Room(*(meter(name, segment=f"cell{number % 500}") for number, name in enumerate(names)))
    world.desk.request(world.asks(*names, windows="00:00-24:00"))
    assert world.codes() == ["target-too-large"]
    world.desk.request(world.asks(*names[:6_000], name="f2", windows="00:00-24:00"))
    assert world.codes() == ["target-too-large"]
    assert max(len(CODEC.encode(out.record)) for out in world.written if out.record is not None) < 1_000_000
