"""An image that is in the meter: activated, the meter looked for, and its version read back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import pytest

from connectors.gateway.directory import Change
from connectors.gateway.firmware_deed import LAST, ORDERED, SETTLED
from schemas.records import Meter, Outcome
from tests.unit.connectors.gateway.bench import Bench
from tests.unit.connectors.gateway.builders import NOW
from tests.unit.connectors.gateway.firmware_bench import a_bench, kept, settle, through
from tests.unit.connectors.gateway.firmware_meters import (
    BLOCKS,
    NEW,
    OLD,
    ImageMeter,
    firmware_job,
)
from tests.unit.connectors.gateway.meters import CLOCK
from tests.unit.connectors.gateway.test_deeds import Shared

pytestmark = pytest.mark.usefixtures("no_threads")


HOUR = 3_600.0


async def test_there_must_be_time_to_see_what_comes_of_an_activation() -> None:
    there = ImageMeter()
    bench, _, _ = a_bench(there)
    bench.put(firmware_job(deadline=NOW + 50_000))
    await settle(bench, 20)
    assert bench.ended() == [("f1", Outcome.FAILED, "firmware-unfinished")]
    assert 4 not in there.methods
    bench.put(firmware_job("f2", deadline=NOW + 500_000))
    await through(bench, there)
    assert (len(there.blocks), bench.ended()[1:]) == (BLOCKS, [("f2", Outcome.DONE, "")])


@pytest.mark.parametrize(
    ("back", "code", "after"),
    [(False, "firmware-silent", ""), (True, "firmware-version", OLD)],
    ids=["brick", "rolled-back"],
)
async def test_a_meter_that_does_not_come_back_as_asked(back: bool, code: str, after: str) -> None:
    there = ImageMeter(rolls_back=True)
    bench, desk, _ = a_bench(there)
    bench.put(firmware_job(deadline=NOW + 600_000))
    await settle(bench)
    if back:
        there.restarted()
    await settle(bench, 840, 100)
    assert bench.ended() == []  # back_s: whatever its deadline was
    await settle(bench, 240)
    (result,) = bench.results()
    assert (result.outcome, result.code, result.before, result.after) == (Outcome.FAILED, code, OLD, after)
    assert [intent.code for intent in kept(desk)] == [SETTLED]


async def test_who_comes_after_a_kill_looks_for_the_meter_too() -> None:
    there, shared = ImageMeter(), Shared()
    first, _, _ = a_bench(there, shared=shared)
    first.put(firmware_job())
    await settle(first)
    second, _, _ = a_bench(there, shared=shared)
    second.put(firmware_job())
    await settle(second, 300)
    assert second.ended() == []
    await settle(second, 600)
    assert second.ended() == [("f1", Outcome.FAILED, "firmware-silent")]


async def test_an_order_that_was_kept_and_never_sent_is_given_by_who_comes_after() -> None:
    there, shared = ImageMeter(), Shared()
    first, _, _ = a_bench(there, shared=shared)
    first.put(firmware_job(parameters={"activate": "verified"}))
    await settle(first)
    assert (first.results()[0].after, there.methods[-1]) == ("verified", 3)
    shared.intents["m1", LAST] = replace(shared.intents["m1", LAST], code=ORDERED, before=OLD)
    second, _, _ = a_bench(there, shared=shared)
    second.put(firmware_job())
    await through(second, there)
    assert (there.methods[-1], second.ended()) == (4, [("f1", Outcome.DONE, "")])


async def test_what_the_meter_has_already_is_done() -> None:
    there = ImageMeter()
    there.version.value = NEW.encode()
    bench, _, _ = a_bench(there)
    bench.put(firmware_job())
    await settle(bench, 5)
    assert (bench.ended(), there.methods) == ([("f1", Outcome.DONE, "")], [])
    assert (bench.results()[0].before, bench.results()[0].after) == (NEW, NEW)


@pytest.mark.parametrize("delay_s", [0, HOUR], ids=["past", "to-come"])
async def test_an_activation_at_a_time_waits_for_a_job_of_that_time(delay_s: float) -> None:
    there = ImageMeter()
    bench, _, _ = a_bench(there)
    at = "2023-11-14T22:00:00+00:00" if not delay_s else "2023-11-14T23:30:00+00:00"
    bench.put(firmware_job(parameters={"activate": at}))
    await settle(bench)
    if delay_s:
        assert (bench.ended(), 4 in there.methods) == ([("f1", Outcome.DONE, "")], False)
        assert "by a later job" in bench.results()[0].detail
        bench.clock.advance(HOUR * 2)
        bench.put(firmware_job("f2", parameters={"activate": at}))
    await through(bench, there)
    assert bench.ended()[-1][1:] == (Outcome.DONE, "")
    assert len(there.blocks) == BLOCKS


async def test_what_was_known_of_the_meter_is_asked_again_after_an_activation() -> None:
    there = ImageMeter()
    bench, _, _ = a_bench(there)
    meter = bench.pipeline.directory.get("m1")
    assert meter is not None
    bench.driver._shapes.units(meter, bench.clock.now_ms())[cast("Any", CLOCK)] = cast("Any", 1)
    bench.put(firmware_job())
    await through(bench, there)
    assert bench.driver._shapes.units(meter, bench.clock.now_ms()) == {}


async def test_a_worker_that_is_held_up_before_it_orders_orders_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    there = ImageMeter()
    bench, desk, _ = a_bench(there)
    write, slow = desk.ledger.write, [3.0]

    def slowly(*given: Any) -> None:
        write(*given)
        if given[1][0].code == ORDERED and slow:
            bench.clock.advance(slow.pop())

    monkeypatch.setattr(desk.ledger, "write", slowly)
    bench.put(firmware_job())
    await through(bench, there)
    assert (there.methods.count(4), bench.ended(), slow) == (1, [("f1", Outcome.DONE, "")], [])


def told(bench: Bench) -> list[tuple[str, str, bool]]:
    """What hes.meters was told: firmware, hardware, and whether the meter itself said so."""
    records = bench.publisher.records("hes.meters")
    return [(one.firmware, one.hardware, one.firmware_at > 0) for one in records if isinstance(one, Meter)]


async def test_the_registry_learns_the_version_that_was_read_back() -> None:
    there = ImageMeter()
    bench, _, _ = a_bench(there, known={"firmware": OLD, "groups": ("north",), "transformer": "T1"})
    before = bench.pipeline.directory.get("m1")
    bench.put(firmware_job())
    await through(bench, there)
    assert told(bench) == [(NEW, "", True)]
    (after,) = [one for one in bench.publisher.records("hes.meters") if isinstance(one, Meter)]
    assert before is not None
    assert replace(after, firmware=OLD, firmware_at=0, updated_at=before.updated_at) == before
    # Once it is known, it is not written again.
    bench.pipeline.directory.apply([Change("m1", after)])
    bench.put(firmware_job("f2"))
    await settle(bench, 5)
    assert (bench.ended()[-1], len(told(bench))) == (("f2", Outcome.DONE, ""), 1)


async def test_the_registry_learns_why_a_meter_was_not_fit() -> None:
    there = ImageMeter()
    there.version.value = b"2.0"
    bench, _, _ = a_bench(there, known={"firmware": OLD})
    bench.put(firmware_job())
    await settle(bench, 20)
    assert [result.code for result in bench.results()] == ["firmware-unfit"]
    assert told(bench) == [("2.0", "", True)]


async def test_a_meter_that_nobody_spoke_with_told_nothing() -> None:
    bench, _, proving = a_bench(ImageMeter())
    proving.refusal = "frozen"
    bench.put(firmware_job())
    await settle(bench, 5)
    assert told(bench) == []
