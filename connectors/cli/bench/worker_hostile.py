"""`hes bench hostile`: what silent meters, and such that answer an octet a second, cost the healthy ones beside them.

Turns without them and with them follow each other in one run. In each turn every healthy meter is read as often as in the
others; in those with hostile meters, all of these have their sessions first. Half of them take the connection and never say
anything, half answer an octet a second. Their jobs end by a deadline, each with a typed result, before the next turn begins.
What counts is the rate of the healthy: by the clock, which a busy machine makes uncertain, and by the worker's CPU in
the time that they took, which includes what the hostile ones cost meanwhile. That is so much a second, however many jobs
are done in it; `hostile_core_share` tells it as the share of a core that they take from the healthy.
"""

from __future__ import annotations

import os
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from connectors.cli.bench.fleet import Fleet, running_fleet
from connectors.cli.bench.gateway_fleet import Truth, read_truth
from connectors.cli.bench.stack import bench_stack
from connectors.cli.bench.worker_rig import RESULTS, Place, Rig, Worker, meter_at, meters_of, rig_on, worker
from connectors.cli.shipment import Row
from connectors.local.home import Home
from schemas.records import Network
from streams.runtime.settings import Settings

_SETTLE_S = 10.0
_OPEN = "hes_gateway_sessions"


@dataclass(frozen=True, slots=True)
class Options:
    """How many of which, and how the worker is set."""

    hostile: int = 5_000
    meters: int = 1_000
    jobs: int = 4_000
    """Healthy jobs a turn."""
    turns: int = 2
    """With hostile meters, and as many without."""
    auth: str = "none"
    sessions: int = 0
    """Open at once in the worker; 0 is as the settings have it."""
    segments: int = 50
    """Over how many segments the hostile meters are spread; 0 is none."""
    network: str = "NB_IOT"
    """Of those segments."""
    mixed: bool = False
    """Whether the healthy meters are in the same segments."""
    deadline_s: float = 0.0
    """Of the hostile meters' jobs; 0 is twice as long as a turn without them, and half a minute."""
    profile: Path | None = None
    """Where the worker's CPU profile of a turn with hostile meters goes."""


@dataclass(slots=True)
class Turns:
    """What the turns of one kind came to."""

    jobs: int = 0
    rates: list[float] = field(default_factory=list)
    cpu: float = 0.0
    done: int = 0
    wrong: int = 0
    seconds: float = 0.0
    """Of the last turn."""
    whole: float = 0.0
    hostile_open: list[int] = field(default_factory=list)
    """At the beginning and at the end of each turn."""
    codes: Counter[str] = field(default_factory=Counter)


def run(options: Options, say: Callable[[str], None]) -> Iterator[dict[str, object]]:
    """A row without hostile meters and one with them. Raises CommandError where something cannot be had."""
    with bench_stack(say) as (settings, home):
        yield from run_on(settings, home, options, say)


def run_on(settings: Settings, home: Home, options: Options, say: Callable[[str], None]) -> Iterator[dict[str, object]]:
    """The same on a stack that runs."""
    with running_fleet(options.meters, say) as fleet:
        truths = read_truth(fleet.file)
        rows = meters_of(truths, options.auth, lambda number: _place(options, number) if options.mixed else Place())
        hostile = _hostile(options, fleet)
        rig = rig_on(settings, home)
        rig.put_meters([*rows.values(), *hostile])
        held = dict(zip(rows, truths, strict=True))
        sessions = options.sessions or settings.gateway.sessions
        say(f"a worker of {sessions:,} sessions at most")
        with worker(rig, sessions, profile=options.profile) as reader:
            say(f"warming up: a job for each of {len(held):,} meters")
            reader.warm_up(list(held), at_once=250)
            bench = _Bench(options, rig, reader, held, [row.meter.id for row in hostile], say)
            alone, beside = Turns(), Turns()
            for turn in range(options.turns):
                say(f"turn {turn + 1} of {options.turns}: without")
                bench.turn(alone)
                say(f"turn {turn + 1} of {options.turns}: with {options.hostile:,} hostile meters")
                bench.turn(beside, deadline_s=options.deadline_s or 2 * alone.seconds + _SETTLE_S + 30)
    yield _row("without", alone, alone)
    yield _row(f"with {options.hostile}", beside, alone)


@dataclass(slots=True)
class _Bench:
    options: Options
    rig: Rig
    worker: Worker
    held: dict[str, Truth]
    hostile: list[str]
    say: Callable[[str], None]

    def turn(self, turns: Turns, deadline_s: float | None = None) -> None:
        """Read the healthy meters; with a deadline for them, while the sessions of the hostile ones are open."""
        since, worker = self.rig.offsets(), self.worker
        bad = set() if deadline_s is None else self._provoke(deadline_s)
        profile = self.options.profile if bad else None
        if bad:
            turns.hostile_open.append(round(worker.metric(_OPEN)))
        if profile is not None:
            worker.profile(None)
        began, cpu, last = int(time.time() * 1000), worker.cpu(), 0
        meters, left, ids = list(self.held), self.options.jobs, set[str]()
        while left > 0:
            now = self.rig.offsets()
            jobs = self.rig.put_jobs(meters[:left])
            for _, at in self.rig.follow(now[RESULTS], jobs, lambda: worker.pid):
                last = max(last, at)
            left -= len(jobs)
            ids |= jobs
        turns.cpu += worker.cpu() - cpu
        if bad:
            turns.hostile_open.append(round(worker.metric(_OPEN)))
        if profile is not None:
            worker.profile(profile)
        turns.seconds = max(1, last - began) / 1000
        turns.whole += turns.seconds
        turns.jobs += len(ids)
        turns.rates.append(len(ids) / turns.seconds)
        tally = self.rig.tally(since, ids, self.held)
        turns.done += tally.done
        turns.wrong += tally.wrong
        if tally.first_failure:
            self.say(f"{tally.failed} healthy jobs failed, {tally.wrong} brought something else: {tally.first_failure}")
        turns.codes.update(result.code for result, _ in self.rig.follow(since[RESULTS], bad, lambda: worker.pid))

    def _provoke(self, deadline_s: float) -> set[str]:
        """Have the hostile meters visited, and wait until no more of them are."""
        jobs = self.rig.put_jobs(self.hostile, deadline_s=deadline_s)
        until, opened = time.monotonic() + _SETTLE_S, -1.0
        while time.monotonic() < until:
            now = self.worker.metric(_OPEN)
            if now >= len(self.hostile) or (now and now <= opened):
                break
            opened = now
            time.sleep(1.0)
        return jobs


def _row(what: str, turns: Turns, alone: Turns) -> dict[str, object]:
    rate, cpu_ms = statistics.median(turns.rates), 1000 * turns.cpu / max(1, turns.jobs)
    return {
        "healthy": what,
        "jobs": turns.jobs,
        "done": turns.done,
        "wrong": turns.wrong,
        "jobs_per_s": round(rate),
        "rates": [round(one) for one in turns.rates],
        "cpu_ms_a_job": round(cpu_ms, 3),
        "rate_change": round(rate / statistics.median(alone.rates) - 1, 3),
        "cpu_change": round(cpu_ms / (1000 * alone.cpu / max(1, alone.jobs)) - 1, 3),
        "hostile_core_share": round((turns.cpu - alone.cpu * turns.jobs / max(1, alone.jobs)) / max(turns.whole, 1e-3), 3),
        "hostile_open": turns.hostile_open,
        "hostile_ended": dict(turns.codes),
        "load": round(os.getloadavg()[0], 1),
    }


def _hostile(options: Options, fleet: Fleet) -> list[Row]:
    ports = [(fleet.silent, fleet.slow)[number % 2] for number in range(options.hostile)]
    return [
        Row(
            number,
            meter_at(f"hostile-{number:06d}", some[number // 2 % len(some)], options.auth, _place(options, number)),
            None,
        )
        for number, some in enumerate(ports)
    ]


def _place(options: Options, number: int) -> Place:
    if not options.segments:
        return Place()
    return Place(f"bench-{number % options.segments}", Network(options.network))
