"""A day of a head-end in the time that the scheduler takes: 2,000 meters in segments of every network, read each hour, with
on-demand reads between, a firmware campaign underneath, a concentrator that is away for two hours, and meters that are dead.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from heapq import heappop, heappush

import pytest

from connectors.gateway.intake import BULK, URGENT, Ticket
from connectors.gateway.jobs import Grant, Jobs, Task
from connectors.gateway.segments import Segment, Segments
from schemas.records import Job, Meter, Network, Priority
from streams.runtime.settings import Gateway
from tests.unit.streams.fakes import fake_message

HOUR, DAY = 3_600_000, 86_400_000
SIZES = {
    Network.NB_IOT: 400,
    Network.RF_MESH: 300,
    Network.PLC_PRIME: 250,
    Network.PLC_G3: 250,
    Network.LORAWAN: 40,
    Network.ETHERNET: 760,
}
AWAY = "plc_g3-0"
SETTINGS = Gateway()
MESSAGE = fake_message(Job())


@dataclass
class Day:
    """What happened."""

    done: Counter[Priority] = field(default_factory=Counter)
    expired: Counter[str] = field(default_factory=Counter)
    waited: dict[Priority, list[int]] = field(default_factory=lambda: defaultdict(list))
    most: Counter[str] = field(default_factory=Counter)
    starts: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    changes: list[tuple[int, str, bool]] = field(default_factory=list)
    tried_while_away: int = 0


class Head:
    """Scheduler and network; time jumps from one thing that happens to the next."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)  # noqa: S311 - a day that can be had again
        self.jobs, self.segments, self.day = Jobs(), Segments(SETTINGS), Day()
        self.meters = [
            Meter(id=f"{network}-{n}", network=network, segment=f"{network.lower()}-{n // 100}")
            for network, size in SIZES.items()
            for n in range(size)
        ]
        self.dead = set(self.rng.sample([meter.id for meter in self.meters], 40))
        self.by_id = {meter.id: meter for meter in self.meters}
        self.ends: list[tuple[int, int, Grant, bool]] = []
        self.arrivals: list[tuple[int, int, Task]] = []
        self._order = 0

    def order(self, at: int, meter: Meter, priority: Priority, lasts: int) -> None:
        job = Job(id=f"{priority}-{meter.id}-{at}", meter_id=meter.id, priority=priority)
        lane = URGENT if priority is Priority.ON_DEMAND else BULK
        self._order += 1
        heappush(self.arrivals, (at, self._order, Task(Ticket(job, (lane, 0), 0, MESSAGE), at, at + lasts)))

    def run(self) -> Day:
        for meter in self.meters:
            lora = meter.network is Network.LORAWAN
            for hour in range(0, 24, 12 if lora else 1):
                self.order(hour * HOUR, meter, Priority.SCHEDULED, (12 if lora else 1) * HOUR)
            if not lora:
                self.order(0, meter, Priority.FIRMWARE, DAY)
        for _ in range(1_000):
            lasting = [meter for meter in self.meters if meter.id not in self.dead and meter.segment != AWAY]
            self.order(self.rng.randrange(DAY), self.rng.choice(lasting), Priority.ON_DEMAND, 5 * 60_000)
        now = 0
        while now < DAY:
            while self.arrivals and self.arrivals[0][0] <= now:
                task = heappop(self.arrivals)[2]
                self.jobs.add(task, now, self.segment(task.job.meter_id))
            while self.ends and self.ends[0][0] <= now:
                self.end(now, *heappop(self.ends)[2:])
            for task in self.jobs.expired(now):
                self.day.expired[
                    self.by_id[task.job.meter_id].segment if task.job.meter_id not in self.dead else "dead"
                ] += 1
            while len(self.ends) < SETTINGS.sessions and (grant := self.jobs.next_grant(now)) is not None:
                self.begin(now, grant)
            now += 100
        return self.day

    def segment(self, meter_id: str) -> Segment:
        return self.segments.of(self.by_id[meter_id])

    def begin(self, now: int, grant: Grant) -> None:
        name = grant.segment.name
        away = name == AWAY and 6 * HOUR <= now < 8 * HOUR
        reached = not away and grant.meter_id not in self.dead
        self.day.tried_while_away += away
        self.day.most[name] = max(self.day.most[name], grant.segment.active)
        self.day.starts[name].append(now)
        self._order += 1
        heappush(self.ends, (now + (self.rng.randrange(300, 3_000) if reached else 10_000), self._order, grant, reached))

    def end(self, now: int, grant: Grant, reached: bool) -> None:
        while (task := self.jobs.take(grant.meter_id)) is not None:
            task.tries += 1
            if reached:
                self.day.done[task.job.priority] += 1
                self.day.waited[task.job.priority].append(now - task.taken_at)
            elif task.tries < SETTINGS.attempts:
                self.jobs.add(task, now, grant.segment, not_before=now + self.rng.randrange(60_000))
                continue
            self.jobs.done(task)
        if grant.segment.told(now, grant.meter_id, probe=grant.probe, reached=reached):
            self.day.changes.append((now, grant.segment.name, grant.segment.shut))
        self.jobs.rest(grant, now, 0 if reached else now + 2_000)


@pytest.fixture(scope="module")
def head() -> Head:
    made = Head(7)
    made.run()
    return made


def test_no_segment_is_ever_pressed_harder_than_its_pace(head: Head) -> None:
    for name, most in head.day.most.items():
        pace = next(s.pace for s in head.segments._known.values() if s.name == name)
        assert most <= pace.sessions + pace.reserved
        starts = head.day.starts[name]
        window = max(1, round(10 * pace.starts_per_s))
        slack = max(1.0, pace.starts_per_s) + pace.reserved  # what may come at once
        for i in range(len(starts)):
            j = min(len(starts) - 1, i + window + int(slack) + 1)
            seconds = (starts[j] - starts[i]) / 1_000
            assert j - i <= pace.starts_per_s * (seconds + 0.1) + slack


def test_every_meter_that_can_be_reached_is_read_each_hour(head: Head) -> None:
    alive = [meter for meter in head.meters if meter.id not in head.dead]
    wanted = sum(2 if meter.network is Network.LORAWAN else 24 for meter in alive)
    in_vain = head.day.done[Priority.SCHEDULED] - wanted
    away = [meter for meter in alive if meter.segment == AWAY]
    assert -3 * len(away) <= in_vain <= 0
    assert set(head.day.expired) <= {"dead", AWAY}


def test_what_is_on_demand_does_not_wait_for_what_is_scheduled(head: Head) -> None:
    waited = sorted(head.day.waited[Priority.ON_DEMAND])
    assert len(waited) == 1_000
    assert waited[len(waited) // 2] < 3_000
    by_lora = 12_000
    assert waited[950] < by_lora


def test_firmware_comes_underneath_and_is_not_forgotten(head: Head) -> None:
    alive = sum(meter.id not in head.dead and meter.network is not Network.LORAWAN for meter in head.meters)
    assert head.day.done[Priority.FIRMWARE] == alive


def test_a_concentrator_that_is_away_costs_few_sessions_and_is_told_once(head: Head) -> None:
    changes = [(name, shut) for _, name, shut in head.day.changes]
    assert changes == [(AWAY, True), (AWAY, False)]
    opened, closed = (at for at, _, _ in head.day.changes)
    assert 6 * HOUR <= opened < 6 * HOUR + 5 * 60_000
    assert 8 * HOUR <= closed < 8 * HOUR + 15 * 60_000
    assert head.day.tried_while_away < 40


def test_nothing_is_left_behind(head: Head) -> None:
    assert len(head.jobs) <= len(head.ends) + 50
    assert all(segment.active >= 0 for segment in head.segments._known.values())
