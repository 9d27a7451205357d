"""Books, meters and ticks together: who is expected, what is written, what is told of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from schemas.records import Alarm, Cause, IntervalReadings, Job, MeterState, Network, Operation, Priority, ReadSuccess, Tick
from streams.gaps.agenda import Agenda
from streams.gaps.expect import day_bounds
from streams.gaps.outputs import CODES
from streams.runtime.meters import MeterDirectory
from streams.runtime.settings import Gaps
from tests.unit.streams.schedules.world import VIENNA, meter, ms, partition_of, schedule

HOUR, QUARTER = 3_600_000, 900_000
MIDNIGHT = ms("2026-06-01T00:00", "UTC")
PROFILE = schedule("p", time_zone="UTC", active_from=MIDNIGHT)
FIRST = Tick("t1", PROFILE, MIDNIGHT + 4 * HOUR, MIDNIGHT, closes_at=MIDNIGHT + 7 * HOUR)
READY = FIRST.closes_at + 900_000
SETTINGS = Gaps()


def agenda(
    meters: int = 24, settings: Gaps = SETTINGS, partitions: int = 12, rate: float = 100.0
) -> tuple[Agenda, MeterDirectory]:
    directory = MeterDirectory(note_changes=True)
    for number in range(meters):
        directory.apply(f"m{number:05d}", meter(number), partition_of(f"m{number:05d}"))
    directory.mark_caught_up()
    made = Agenda(directory, lambda _network, _segment: rate, settings)
    for partition in range(partitions):
        made.open(partition)
    made.opened(MIDNIGHT)
    return made, directory


def jobs(made: Agenda, now: int, **more: set[int]) -> list[Job]:
    found = made.look(now, **more)
    for each in found:
        made.settle(each, now)
    return [record for each in found for _, _, record in each.outputs if isinstance(record, Job)]


def arrive(made: Agenda, number: int, rows: int = 16) -> None:
    name = f"m{number:05d}"
    made.arrived(partition_of(name), IntervalReadings(meter_id=name, first_end=MIDNIGHT + QUARTER, period_s=900, rows=rows))


def test_each_meter_that_lacks_something_is_asked_in_its_partition() -> None:
    made, _ = agenda()
    made.ticked(FIRST, FIRST.at)
    for number in range(20):
        arrive(made, number)
    asked = jobs(made, READY)
    assert sorted(job.meter_id for job in asked) == ["m00020", "m00021", "m00022", "m00023"]
    job = asked[0]
    assert (job.operation, job.parameters, job.cause, job.caused_by, job.priority) == (
        Operation.READ_PROFILE,
        {"profile": "load"},
        Cause.BACKFILL,
        "p",
        Priority.SCHEDULED,
    )
    assert (job.from_time, job.to_time) == (MIDNIGHT + 1_000, MIDNIGHT + 4 * HOUR + 1_000)
    assert READY <= (job.not_before or 0) < READY + 900_000
    assert (job.deadline or 0) - (job.not_before or 0) == 7_200_000
    assert jobs(made, READY + 60_000) == []


def test_the_same_attempt_is_the_same_job_whoever_makes_it() -> None:
    made = []
    for _ in range(2):
        one, _ = agenda()
        one.ticked(FIRST, FIRST.at)
        made.append({job.id for job in jobs(one, READY)})
    assert made[0] == made[1]
    assert len(made[0]) == 24


def test_nothing_is_asked_for_where_the_readings_are_not_read_to_their_end() -> None:
    made, _ = agenda()
    made.ticked(FIRST, FIRST.at)
    behind = {partition_of(f"m{number:05d}") for number in range(12)} - {3}
    assert {partition_of(job.meter_id) for job in jobs(made, READY, behind=behind)} == {3}
    assert len(jobs(made, READY + 1)) == 22


def test_asks_are_spread_by_segment_and_what_has_no_room_waits() -> None:
    made, _ = agenda(120, rate=0.05)  # one start in 100 s and segment; nine in the 900 s of a look
    made.ticked(FIRST, FIRST.at)
    first = jobs(made, READY)
    assert len(first) == 90
    second = jobs(made, READY + 900_000)
    assert len(second) == 30
    assert not {job.meter_id for job in first} & {job.meter_id for job in second}


def test_a_tick_twice_or_late_is_as_once() -> None:
    made, _ = agenda()
    for tick in (FIRST, replace(FIRST, id="older", at=FIRST.at - 8 * HOUR, since=FIRST.at - 12 * HOUR), FIRST):
        made.ticked(tick, FIRST.at)
    assert len(jobs(made, READY)) == 24


@pytest.mark.parametrize("how", ["retired", "removed"])
def test_who_is_gone_by_the_next_tick_is_expected_no_more(how: str) -> None:
    made, directory = agenda()
    made.ticked(FIRST, FIRST.at)
    made.saved([name for name, _ in made.unsaved(FIRST.at)])
    directory.apply("m00007", meter(7, state=MeterState.RETIRED) if how == "retired" else None, 7)
    made.ticked(replace(FIRST, id="t2", at=FIRST.at + 4 * HOUR, since=FIRST.at, closes_at=FIRST.closes_at + 4 * HOUR), READY)
    assert "m00007" not in {job.meter_id for job in jobs(made, READY)}
    assert dict(made.unsaved(READY))["m00007"] is None


def test_who_came_in_owes_from_then_on() -> None:
    made, directory = agenda()
    made.ticked(FIRST, FIRST.at)
    directory.apply("m00100", meter(100), partition_of("m00100"))
    assert jobs(made, FIRST.at + HOUR) == []
    second = replace(FIRST, id="t2", at=FIRST.at + 4 * HOUR, since=FIRST.at, closes_at=FIRST.closes_at + 4 * HOUR)
    made.ticked(second, second.at)
    (job,) = [job for job in jobs(made, second.closes_at + 900_000) if job.meter_id == "m00100"]
    assert job.from_time == FIRST.at + HOUR + 1_000


def test_a_schedule_that_was_removed_is_expected_no_more() -> None:
    made, _ = agenda()
    made.ticked(FIRST, FIRST.at)
    made.ended("p")
    assert jobs(made, READY) == []
    assert {record for _, record in made.unsaved(READY)} == {None}


def test_a_period_that_changes_begins_anew() -> None:
    made, _ = agenda(1)
    made.ticked(FIRST, FIRST.at)
    arrive(made, 0)
    hourly = replace(PROFILE, period_s=3_600)
    second = Tick("t2", hourly, FIRST.at + 4 * HOUR, FIRST.at, closes_at=FIRST.closes_at + 4 * HOUR)
    made.ticked(second, second.at)
    (job,) = jobs(made, second.closes_at + 900_000)
    assert (job.from_time, job.to_time) == (FIRST.at + 1_000, second.at + 1_000)


def test_what_is_given_up_is_one_alarm_a_day_that_names_the_meter() -> None:
    made, _ = agenda(1, Gaps(asks=1, days=4))
    made.ticked(FIRST, FIRST.at)
    alarms: list[Alarm] = []
    for hour in range(8, 120):
        for found in made.look(MIDNIGHT + hour * HOUR):
            alarms += [record for _, _, record in found.outputs if isinstance(record, Alarm)]
            made.settle(found, MIDNIGHT + hour * HOUR)
    (alarm,) = alarms
    assert (alarm.code, alarm.code_table, alarm.meter_id, alarm.segment) == ("gap-given-up", "hes-gaps", "m00000", "dc-0")
    assert alarm.code in CODES
    assert "16 intervals of 2026-06-01" in alarm.detail
    assert "m00000" in alarm.detail


def test_success_is_told_by_local_day_and_segment_when_it_changes() -> None:
    start = ms("2026-03-29T00:00")
    local = replace(PROFILE, time_zone=VIENNA, active_from=start)
    made, _ = agenda(20)
    at = start + 23 * HOUR + 4 * HOUR  # 04:00 of the day after one of 23 hours
    made.ticked(Tick("t", local, at, start, closes_at=at), at)
    for number in range(15):
        name = f"m{number:05d}"
        made.arrived(partition_of(name), IntervalReadings(meter_id=name, first_end=start + QUARTER, period_s=900, rows=92))
    now = at + HOUR
    outputs = made.reports(now)
    records = [record for _, _, record in outputs if isinstance(record, ReadSuccess)]
    whole = {record.segment: (record.meters, record.expected, record.arrived) for record in records if record.expected == 92}
    assert whole["dc-3"] == (1, 92, 92)
    assert {record.network for record in records} == {Network.PLC_G3}
    first, second = sorted({record.day for record in records})
    assert second == first + 1
    assert sum(record.expected for record in records if record.day == first) == 20 * 92
    assert sum(record.arrived for record in records if record.day == first) == 15 * 92
    assert sum(record.complete for record in records if record.day == first) == 15
    assert sum(record.expected for record in records if record.day == second) == 20 * 16
    assert made.reports(now) == outputs  # nobody said that they were written
    made.reported(outputs)
    assert made.reports(now) == []
    name = "m00019"
    made.arrived(partition_of(name), IntervalReadings(meter_id=name, first_end=start + QUARTER, period_s=900, rows=1))
    ((_, key, record),) = made.reports(now)
    assert isinstance(record, ReadSuccess)
    assert (record.day, record.arrived, key) == (first, 1, f"p/{first}/dc-9/7")


@pytest.mark.parametrize(
    ("day", "zone", "quarters"),
    [
        ("2026-03-29", VIENNA, 92),
        ("2026-10-25", VIENNA, 100),
        ("2026-06-01", VIENNA, 96),
        ("2026-04-05", "Australia/Lord_Howe", 98),
    ],
)
def test_a_day_has_as_many_intervals_as_it_has(day: str, zone: str, quarters: int) -> None:
    number = (ms(f"{day}T00:00", "UTC")) // 86_400_000
    first, behind = day_bounds(zone, number, 900)
    assert behind - first == quarters
    assert first * 900_000 == ms(f"{day}T00:00", zone)
