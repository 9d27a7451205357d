"""Whole campaigns over simulated fleets on a clock of their own, through the real desk: how long, how full, how safe.

The fleet of half a million is `long`: `pytest -m long tests/unit/streams/firmware/test_fleet.py -s` shows its figures.
"""

from __future__ import annotations

import resource
import time

import pytest

from schemas.records import CampaignState, Network, Verdict
from streams.firmware.states import Meter
from tests.unit.streams.firmware.region import SIZES, Region, Sky, fleet
from tests.unit.streams.firmware.world import DAY, HOUR, START

WEEK = 7 * DAY
HALF_A_MILLION = pytest.param(500_000, SIZES, marks=[pytest.mark.long, pytest.mark.timeout(1_800)], id="500,000 meters")
FIVE_THOUSAND = pytest.param(5_000, SIZES, id="5,000 meters")


@pytest.mark.parametrize(("count", "sizes"), [FIVE_THOUSAND, HALF_A_MILLION])
def test_a_campaign_ends_near_its_bound_and_no_hour_is_ever_above_its_budget(count: int, sizes: dict[Network, int]) -> None:
    began = time.process_time()
    region = Region(fleet(count, sizes))
    told = region.approve()
    assert f"{count} of {count} meters take part; by the plan it ends" in told
    case = region.room.desk.case("f1")
    assert case is not None
    region.run(START + 12 * WEEK)
    assert case.state is CampaignState.DONE
    assert case.counts()[Meter.DONE] >= 0.999 * count
    # The bound, once more by hand: the collector, whose 2,000 meters share 20 kbit/s for four hours a night.
    most = {network: min(size, -(-count // 3)) for network, size in sizes.items()}
    bytes_a_night = {Network.PLC_PRIME: 10.8e6, Network.RF_MESH: 36e6, Network.NB_IOT: 10.8e6}
    nights = max(most[network] * 500_000 / 0.97 / bytes_a_night[network] for network in sizes)
    took = (region.latest - min(region.sent)) / DAY
    assert nights - 1 <= took <= 1.2 * nights
    assert region.worst_hour() <= 1 + 1e-9
    assert region.outside == []
    if count >= 500_000:
        assert 4 * WEEK <= region.latest - START <= 8 * WEEK
    low, _, high = case.ends
    assert abs(region.latest - case.ends[1]) < 0.1 * (case.ends[1] - START)
    cpu, memory = time.process_time() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    first, last = ((at - START) / DAY for at in (low, high))
    print(  # noqa: T201 - what `-s` is for
        f"{count} meters: {took:.1f} nights, bound {nights:.1f}, planned {first:.1f} to {last:.1f} days, "
        f"fullest segment-hour {region.worst_hour():.4f} of its budget; {cpu:.0f} s CPU, {memory:.0f} MB"
    )
    assert cpu < 300


@pytest.mark.parametrize(("count", "sizes"), [FIVE_THOUSAND, HALF_A_MILLION])
def test_a_bad_image_halts_before_one_percent_of_the_fleet_has_it(count: int, sizes: dict[Network, int]) -> None:
    region = Region(fleet(count, sizes), Sky(bricks=0.05), canary="1%" if count < 50_000 else "0.1%")
    region.approve()
    region.run(START + 3 * WEEK)
    assert region.room.state() in (CampaignState.HALTED, CampaignState.PAUSED)
    if count >= 500_000:
        assert region.room.state() is CampaignState.HALTED
        assert region.room.desk.case("f1").code == "share-silent"  # type: ignore[union-attr]  # it is there
    assert 0 < region.touched() <= 0.01 * count
    sent = len(region.sent)
    region.room.clock.advance(2 * DAY / 1000)
    region.run(region.room.clock.now_ms() + 2 * DAY)
    assert len(region.sent) == sent


def test_a_halt_in_a_wave_stops_new_transfers_within_one_tick() -> None:
    region = Region(fleet(3_000))
    region.approve()
    region.run(START + 8 * DAY + 14 * HOUR)
    room = region.room
    assert room.state() is CampaignState.WAVES
    assert sum(region.open.values()) > 0
    sent = len(region.sent)
    room.desk.decision(room.decides(region.value, by="alice", verdict=Verdict.CANCEL))
    assert room.state() is CampaignState.HALTED
    region.run(START + 12 * DAY)
    for _ in range(2_000):
        room.clock.advance(60)
        room.desk.tick()
    assert len(region.sent) == sent
    assert [out.topic for out in room.desk.paper.take() if out.topic == "hes.jobs.bulk"] == []


def test_paused_and_resumed_it_loses_nothing() -> None:
    region = Region(fleet(300, {Network.NB_IOT: 100}))
    region.approve()
    room = region.room
    for day in range(2, 5):
        region.run(START + day * DAY + 14 * HOUR)
        room.desk.decision(room.decides(region.value, by="alice", verdict=Verdict.PAUSE))
        sent = len(region.sent)
        room.clock.advance(1)
        region.run(START + day * DAY + 15 * HOUR)
        assert len(region.sent) == sent
        room.desk.decision(room.decides(region.value, verdict=Verdict.RESUME))
    region.run(START + 6 * WEEK)
    assert room.state() is CampaignState.DONE
    assert room.counts() == {"done": 300}
    assert region.worst_hour() <= 1 + 1e-9
