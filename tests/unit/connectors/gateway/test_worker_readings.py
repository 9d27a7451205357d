"""Jobs to readings: what a meter is asked, and what is made of its answers."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.records import IntervalReadings, Operation, Outcome, RegisterReadings
from schemas.records import Network as AccessNetwork
from tests.unit.connectors.gateway.bench import ENERGY, PROFILE, UNIT, WIDER, Bench, job, profile, registered
from tests.unit.connectors.gateway.builders import NOW, TIME_MS, directory
from tests.unit.connectors.gateway.meters import CLOCK, CLOCK_AT, Network, ScriptedMeter


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
