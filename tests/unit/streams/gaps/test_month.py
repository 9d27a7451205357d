"""A month of a thousand meters, a change of the clock, an outage, stops and kills: every expected read, once in effect."""

from __future__ import annotations

import random
from collections import Counter
from itertools import pairwise

import pytest

from schemas.records import Cause, Operation
from streams.gaps.expect import day_bounds
from streams.runtime.settings import Gaps, Schedules
from streams.schedules.cron import local_day
from tests.unit.streams.gaps.region import STEP, Region
from tests.unit.streams.schedules.world import VIENNA, World, meter, ms, partition_of, schedule

HOUR = 3_600_000
LONG = (pytest.mark.long, pytest.mark.timeout(1_200))


@pytest.mark.parametrize(
    ("meters", "first", "last", "change", "quarters"),
    [
        pytest.param(20, "2026-03-26", "2026-04-02", "2026-03-29", 92, id="a week of 20 meters, 23 hours"),
        pytest.param(20, "2026-10-22", "2026-10-29", "2026-10-25", 100, id="a week of 20 meters, 25 hours"),
        pytest.param(1_000, "2026-10-05", "2026-11-05", "2026-10-25", 100, marks=LONG, id="a month of 1,000"),
    ],
)
def test_every_expected_read_once_in_effect(  # noqa: PLR0915 - one story
    meters: int, first: str, last: str, change: str, quarters: int
) -> None:
    start, end = ms(f"{first}T00:00"), ms(f"{last}T00:00")
    dice = random.Random(meters)  # noqa: S311 - a test that runs the same every time
    world = World(start, meters, settings=Schedules(ahead_s=330.0))  # this test looks at the clock every five minutes
    profile = schedule(active_from=start)
    daily = schedule(
        "daily", cron="10 0 * * *", operation=Operation.READ_REGISTERS, period_s=0, window_s=7_200, active_from=start
    )
    for each in (profile, daily):
        world.set(each)
    world.kill = lambda _: dice.choices(["", "before", "after"], [60, 1, 1])[0]
    region = Region(world, Gaps(look_every_s=300.0))
    outage = ms(f"{change}T01:00") - 24 * HOUR, ms(f"{change}T09:00")
    """A segment is away for more than a day, across the change of the clock."""
    region.away = lambda name, now: int(str(name)[1:]) % 10 == 3 and outage[0] <= now < outage[1]
    late = ms(f"{change}T05:30") + 24 * HOUR
    stops = {ms(f"{first}T13:00") + 24 * HOUR: 40, ms(f"{last}T04:02") - 48 * HOUR: 9 * 60}  # minutes without a planner

    until = end + 30 * HOUR
    while world.now < until:
        world.now += 300_000
        if world.now == late:
            world.install(meter(meters))
            region.installed[f"m{meters:05d}"] = late
        stopped = any(at <= world.now < at + minutes * 60_000 for at, minutes in stops.items())
        if not stopped:
            if world.now in {at + minutes * 60_000 for at, minutes in stops.items()}:
                world.restart()
            world.work()
        region.turn()
        if dice.random() < 0.004:
            region.restart()
        if (world.now - start) % (6 * HOUR) == 0:
            region.report()
    region.report()

    # Scheduled jobs: no id twice, whatever was killed; every tick every meter.
    assert world.kills > 20
    assert len(world.jobs) == len({job.id for job in world.jobs})
    per_tick = Counter((job.caused_by, job.to_time) for job in world.jobs)
    for tick in world.ticks:
        joined = tick.at <= late < tick.closes_at
        if tick.schedule.id == "profile" and tick.at < until - 5 * HOUR:
            assert per_tick["profile", tick.at + 1_000] == tick.meters + joined
    ticks = [tick for tick in world.ticks if tick.schedule.id == "profile"]
    assert all(after.since == before.at for before, after in pairwise(ticks))
    assert sum(tick.missed for tick in ticks) == 1  # of the nine hours without a planner

    # Every interval of every meter is there, those of the outage by backfill alone.
    wanted = set(range(start + STEP, end + STEP, STEP))
    for number in range(meters):
        assert wanted - region.arrived[f"m{number:05d}"] == set()
    newcomer = {at for at in wanted if at > late}
    assert newcomer - region.arrived[f"m{meters:05d}"] == set()
    assert region.alarms == []
    away = [job for job in region.backfill if int(job.meter_id[1:]) % 10 == 3]
    others = [job for job in region.backfill if int(job.meter_id[1:]) % 10 != 3]
    assert {job.meter_id for job in away} == {f"m{number:05d}" for number in range(meters) if number % 10 == 3}
    # Whom a plan had not come to when its planner stopped was filled in for meanwhile.
    assert {any(at <= job.issued_at < at + (minutes + 180) * 60_000 for at, minutes in stops.items()) for job in others} <= {
        True
    }
    assert len(region.backfill) == len({job.id for job in region.backfill})
    assert {job.cause for job in region.backfill} == {Cause.BACKFILL}
    assert max(Counter(job.meter_id for job in region.backfill).values()) <= 8

    # Read success says so, of days as long as they were.
    changed = local_day(VIENNA, ms(f"{change}T12:00"))
    assert region.figures(profile, changed) == (quarters * meters, quarters * meters, 0)
    assert region.figures(profile, changed - 1) == (96 * meters, 96 * meters, 0)
    bounds = day_bounds(VIENNA, changed, 900)
    assert bounds[1] - bounds[0] == quarters
    expected, arrived, _ = region.figures(daily, changed)
    assert expected == meters
    assert arrived == meters - len([n for n in range(meters) if n % 10 == 3])  # registers of an outage are nobody's any more
    assert {partition_of(name) for name in region.rows} <= set(range(12))
