"""Jobs of many steps: what is urgent is done in between, on the same association, and time passes without a session."""

from __future__ import annotations

from typing import Any

import pytest

from connectors.gateway.drivers import dlms_operations
from connectors.gateway.drivers.dlms_order import DlmsOrder
from connectors.gateway.drivers.port import Found
from connectors.gateway.intake import URGENT
from connectors.protocols.dlms.association import Associated
from connectors.protocols.dlms.get import Attribute, get
from connectors.protocols.dlms.objects.steps import Pause, Steps
from schemas.records import Operation, Outcome, Priority, SessionFrames
from tests.unit.connectors.gateway.bench import PROFILE, Bench, job, profile, registered
from tests.unit.connectors.gateway.builders import NOW
from tests.unit.connectors.gateway.meters import CLOCK, CLOCK_AT, Network, ScriptedMeter

BLOCKS = 5
PAUSE_S = 4.0
BLOCK = "1/0.0.96.1.0.255/2"


def transfer(link: Associated, _order: DlmsOrder, found: Found) -> Steps[None]:
    """Work as of an image: a block, a pause, a block."""
    for done in range(BLOCKS):
        yield get(link, Attribute.parse(BLOCK))
        found.rows += 1
        yield Pause(PAUSE_S, "image", done, BLOCKS)


@pytest.fixture(autouse=True)
def long_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(dlms_operations._OPERATIONS, Operation.PING, transfer)


def a_bench(there: ScriptedMeter, **settings: Any) -> Bench:
    there.holds |= {BLOCK: b"\x11\x01", CLOCK: CLOCK_AT}
    return Bench(registered(), network=Network({4059: there}), **settings)


def long(**more: Any) -> Any:
    return job(Operation.PING, "long", priority=Priority.FIRMWARE, **more)


async def test_a_job_of_many_steps_takes_its_time_and_one_association() -> None:
    there = ScriptedMeter()
    bench = a_bench(there)
    bench.put(long())
    await bench.run(2)
    assert (there.asked, bench.ended()) == ([BLOCK], [])
    await bench.run(30)
    assert bench.ended() == [("long", Outcome.DONE, "")]
    assert (there.asked, there.associations, bench.results()[0].rows) == ([BLOCK] * BLOCKS, 1, BLOCKS)


async def test_what_is_on_demand_goes_between_the_steps() -> None:
    there = ScriptedMeter()
    bench = a_bench(there)
    bench.put(long())
    await bench.run(2)
    bench.put(job(Operation.READ_CLOCK, "now", priority=Priority.ON_DEMAND), lane=URGENT)
    await bench.run(1)
    assert bench.ended() == [("now", Outcome.DONE, "")]
    await bench.run(30)
    assert bench.ended()[1:] == [("long", Outcome.DONE, "")]
    assert (there.asked, there.associations) == ([BLOCK, CLOCK, *[BLOCK] * (BLOCKS - 1)], 1)
    parts = [part for part in bench.publisher.records("hes.frames") if isinstance(part, SessionFrames)]
    assert [part.job_id for part in parts] == ["long", "now", "long"]
    assert len({part.id for part in parts}) == 3
    assert sorted(bench.offsets.finished) == ["long", "now"]


async def test_what_matters_less_waits() -> None:
    there = ScriptedMeter()
    bench = a_bench(there)
    bench.put(long(), job(Operation.PING, "other", priority=Priority.FIRMWARE))
    await bench.run(60)
    assert bench.ended() == [("long", Outcome.DONE, ""), ("other", Outcome.DONE, "")]


async def test_the_deadline_ends_a_pause() -> None:
    there = ScriptedMeter()
    bench = a_bench(there)
    bench.put(long(deadline=NOW + 6_000))
    await bench.run(10)
    assert bench.ended() == [("long", Outcome.EXPIRED, "job-expired")]
    assert there.asked == [BLOCK] * 2


async def test_a_meter_that_hangs_up_in_a_pause_is_tried_again() -> None:
    there = ScriptedMeter()
    bench = a_bench(there)
    bench.put(long())
    await bench.run(2)
    bench.network.wires[0].close()
    await bench.run(60)
    assert (bench.ended(), there.associations) == ([("long", Outcome.DONE, "")], 2)


@pytest.mark.parametrize(
    ("refusal", "associations"),
    [pytest.param({}, 1, id="harmless"), pytest.param({CLOCK: b"\x77"}, 2, id="fatal")],
)
async def test_what_goes_wrong_in_between(refusal: dict[str, bytes], associations: int) -> None:
    there = ScriptedMeter()
    bench = a_bench(there)
    bench.put(long())
    await bench.run(2)
    del there.holds[CLOCK]
    there.holds |= refusal
    bench.put(job(Operation.READ_CLOCK, "now", priority=Priority.ON_DEMAND), lane=URGENT)
    await bench.run(60)
    assert [name for name, *_ in bench.ended()] == ["now", "long"]
    assert (bench.results()[0].outcome, bench.results()[1].outcome) == (Outcome.FAILED, Outcome.DONE)
    assert there.associations == associations


async def test_between_profiles_there_is_room_too() -> None:
    there = ScriptedMeter(profile())
    bench = a_bench(there)
    bench.put(job(Operation.READ_PROFILE, "long", objects=(f"{PROFILE}/2", f"{PROFILE}/2")))
    await bench.run(1)
    assert bench.ended() == [("long", Outcome.DONE, "")]
    assert len(bench.readings()) == 2
