"""What is urgent does not wait for what is not: neither for its turn of the event loop, nor on the way to Kafka."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any, cast

import pytest

from connectors.gateway.emit import Lanes
from connectors.gateway.intake import BULK, URGENT
from connectors.gateway.visits import HANDFUL
from schemas.records import DeadLetter, JobResult, Operation, Outcome, Priority, SessionFrames
from streams.runtime.dead_letters import TOO_LARGE, TOPIC
from streams.runtime.kafka import Outgoing, Publisher
from tests.unit.connectors.gateway.bench import Bench, job, registered
from tests.unit.connectors.gateway.meters import Network, ScriptedMeter
from tests.unit.connectors.gateway.test_deliveries import HeldPublisher
from tests.unit.streams.fakes import CODEC

_MANY = 60


def many() -> Bench:
    """A worker and meters in no segment: nothing but the loop paces them."""
    meters = [registered(f"m{number}", number, segment="") for number in range(1, _MANY + 2)]
    return Bench(*meters, network=Network({number: ScriptedMeter() for number in range(1, _MANY + 2)}))


async def test_bulk_visits_are_begun_a_handful_in_a_turn_of_the_loop_until_all_are() -> None:
    bench = many()
    bench.put(*(job(Operation.READ_CLOCK, f"j{number}", f"m{number}") for number in range(1, _MANY + 1)))
    reached = [0]
    for _ in range(2 * _MANY):
        await asyncio.sleep(0)
        bench.publisher.deliver()
        reached.append(len(bench.network.connects))
    assert reached[-1] == _MANY
    assert max(after - before for before, after in pairwise(reached)) == HANDFUL
    await bench.run(1)
    assert {outcome for _, outcome, _ in bench.ended()} == {Outcome.DONE}
    assert len(bench.ended()) == _MANY


@pytest.mark.parametrize("together", [True, False], ids=["came-together", "came-later"])
async def test_an_urgent_visit_is_begun_in_the_next_turn_however_many_wait(together: bool) -> None:
    bench = many()
    bulk = [job(Operation.READ_CLOCK, f"j{number}", f"m{number}") for number in range(1, _MANY + 1)]
    urgent = job(Operation.READ_CLOCK, "now", f"m{_MANY + 1}", priority=Priority.ON_DEMAND)
    bench.put(*bulk)
    if not together:
        for _ in range(3):
            await asyncio.sleep(0)
    before = len(bench.network.connects)
    bench.put(urgent, lane=URGENT)
    for _ in range(3):
        await asyncio.sleep(0)
    since, reached = bench.network.connects[before:], len(bench.network.connects)
    for _ in range(2 * _MANY):
        await asyncio.sleep(0)
        bench.publisher.deliver()
    await bench.run(1)
    assert _MANY + 1 in since
    assert reached < _MANY
    assert len(bench.ended()) == _MANY + 1


async def test_each_lane_has_a_producer_of_its_own() -> None:
    urgent, bulk = HeldPublisher(), HeldPublisher()
    lanes = Lanes(cast("Publisher", urgent), cast("Publisher", bulk))
    bench = Bench(registered("m1", 1), registered("m2", 2), network=Network(dict(_two())), lanes=lanes)
    bench.put(job(Operation.READ_CLOCK, "later", "m1"), lane=BULK)
    bench.put(job(Operation.READ_CLOCK, "now", "m2", priority=Priority.ON_DEMAND), lane=URGENT)
    for _ in range(3):
        await bench.run(1, deliver=False)
        for publisher in (urgent, bulk):
            publisher.deliver()
        await bench.run(1, deliver=False)
    assert bench.publisher.sent == []
    assert _jobs(urgent) == ["now", "now"]
    assert _jobs(bulk) == ["later", "later"]
    assert {record.job_id for record in bulk.records() if isinstance(record, SessionFrames)} == {"later", "now"}
    assert sorted(bench.offsets.finished) == ["later", "now"]


async def test_what_kafka_did_not_take_goes_by_the_same_producer_again() -> None:
    urgent, bulk = HeldPublisher(), HeldPublisher()
    bench = Bench(registered(), lanes=Lanes(cast("Publisher", urgent), cast("Publisher", bulk)))
    bench.put(job(Operation.READ_CLOCK, "now", priority=Priority.ON_DEMAND), lane=URGENT)
    await bench.run(1, deliver=False)
    urgent.deliver(error=ConnectionError("away"))
    await bench.run(4, deliver=False)
    for publisher in (urgent, bulk, urgent, urgent):
        publisher.deliver()
        await bench.run(1, deliver=False)
    assert {type(record) for record in bulk.records()} == {SessionFrames}
    assert _jobs(urgent) == ["now", "now", "now"]  # readings twice, then the result
    assert bench.offsets.finished == ["now"]


async def test_what_is_too_large_for_kafka_is_a_dead_letter_in_every_lane() -> None:
    lanes = Lanes(cast("Publisher", HeldPublisher()), cast("Publisher", HeldPublisher()))
    Bench(registered(), lanes=lanes)
    for publisher in (lanes.urgent, lanes.bulk):
        assert publisher.instead is not None
        other = publisher.instead(Outgoing("hes.frames", b"m1", b"large"), "too large")
        assert other is not None
        letter = CODEC.decode(other.value or b"")
        assert isinstance(letter, DeadLetter)
        assert (other.topic, letter.code, letter.topic, letter.data) == (TOPIC, TOO_LARGE, "hes.frames", b"large")


def _two() -> dict[int, ScriptedMeter | Exception]:
    return {1: ScriptedMeter(), 2: ScriptedMeter()}


def _jobs(publisher: HeldPublisher) -> list[str]:
    """Of which jobs it sent readings and results."""
    records: list[Any] = [record for record in publisher.records() if not isinstance(record, SessionFrames)]
    assert any(isinstance(record, JobResult) for record in records)
    return [record.job_id for record in records]
