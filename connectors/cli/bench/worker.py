"""`hes bench worker`: a whole gateway worker, from jobs on Kafka to their results and readings acknowledged on Kafka.

The worker is `hes run gateway` in a process of its own, and so are the broker and the meters: only the worker's CPU counts,
all its threads, start-up and warm-up left out. A job is a visit of its own to a meter of its own: connect, associate, read
the day's 96 rows, release, close; write frames, readings and result, commit. The warm-up reads each meter twice, by which
capture objects and scaler-units are known. Where jDLMS is the peer, it reads the same fleet between the halves of the
worker's jobs: it connects, associates, reads, compares, releases and closes, and writes nothing anywhere.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from connectors.cli.bench.fleet import Fleet, running_fleet
from connectors.cli.bench.gateway_fleet import Truth, jdlms, read_truth
from connectors.cli.bench.stack import bench_stack
from connectors.cli.bench.worker_rig import Rig, Worker, meters_of, rig_on, worker
from connectors.cli.failure import usage
from connectors.local.home import Home
from streams.runtime.settings import Settings

AUTHS = ("none", "low", "gmac")
_WARM_UPS = 2


@dataclass(frozen=True, slots=True)
class Options:
    """What to read, and how."""

    jobs: int = 10_000
    meters: int = 2_000
    auth: str = "none"
    sessions: int = 500
    """Open at once in the worker."""
    peer: str = ""
    """"jdlms", or none."""
    profile: Path | None = None
    """Where the worker's CPU profile goes."""


@dataclass(slots=True)
class Used:
    """What a run took; CPU seconds by process."""

    jobs: int = 0
    wall: float = 0.0
    worker: float = 0.0
    loop: float = 0.0
    broker: float = 0.0
    fleet: float = 0.0


def run(options: Options, say: Callable[[str], None]) -> Iterator[dict[str, object]]:
    """A row for each reader. Raises CommandError where something cannot be had, or values are not the meters'."""
    if options.auth not in AUTHS:
        raise usage(f"no authentication {options.auth!r}", f"one of {', '.join(AUTHS)}")
    if options.peer not in ("", "jdlms"):
        raise usage(f"no peer {options.peer!r}", "jdlms is the one there is")
    with bench_stack(say) as (settings, home):
        yield from run_on(settings, home, options, say)


def run_on(settings: Settings, home: Home, options: Options, say: Callable[[str], None]) -> Iterator[dict[str, object]]:
    """The same on a stack that runs."""
    with running_fleet(options.meters, say) as fleet:
        truths = read_truth(fleet.file)
        rows = meters_of(truths, options.auth)
        rig = rig_on(settings, home)
        rig.put_meters(rows.values())
        held = dict(zip(rows, truths, strict=True))
        with worker(rig, options.sessions, profile=options.profile) as reader:
            yield from _measured(options, _Run(rig, reader, fleet, held, say))


@dataclass(slots=True)
class _Run:
    rig: Rig
    worker: Worker
    fleet: Fleet
    held: dict[str, Truth]
    say: Callable[[str], None]

    def read(self, jobs: int, used: Used, ids: set[str]) -> None:
        """So many jobs, each meter once before one is read again."""
        meters = list(self.held)
        while jobs > 0:
            some = meters[:jobs]
            ended = self.rig.ended() + len(some)
            before, began = self._used(), time.perf_counter()
            ids |= self.rig.put_jobs(some)
            used.wall += self.worker.wait(ended) - began
            after = self._used()
            used.jobs += len(some)
            for name, was, now in zip(("worker", "loop", "broker", "fleet"), before, after, strict=True):
                setattr(used, name, getattr(used, name) + now - was)
            jobs -= len(some)

    def _used(self) -> tuple[float, ...]:
        return self.worker.cpu(), self.worker.loop_cpu(), self.rig.broker_cpu(), self.fleet.cpu()


def _measured(options: Options, run: _Run) -> Iterator[dict[str, object]]:
    run.say(f"warming up: {_WARM_UPS} jobs for each of {len(run.held):,} meters")
    run.read(_WARM_UPS * len(run.held), Used(), set())
    used, ids, since = Used(), set[str](), run.rig.offsets()
    theirs: dict[str, object] = {}
    for half in (options.jobs - options.jobs // 2, options.jobs // 2):
        run.say(f"{half:,} jobs, at most {options.sessions:,} sessions at once")
        if options.profile is not None:
            run.worker.profile(None)
        run.read(half, used, ids)
        if options.profile is not None:
            run.worker.profile(options.profile)
        if options.peer and not theirs:
            sessions = max(1_000, options.jobs // 2)
            theirs = jdlms(run.fleet.file, options.auth, 32, max(4_000, sessions), sessions, run.say)
    run.say("comparing what is on Kafka with what the meters hold")
    tally = run.rig.tally(since, ids, run.held)
    if tally.first_failure:
        run.say(f"{tally.failed} jobs failed, {tally.wrong} brought something else; the first: {tally.first_failure}")
    cpu_ms = 1000 * used.worker / used.jobs
    ours = {
        "reader": "hes worker",
        "association": options.auth,
        "jobs": used.jobs,
        "done": tally.done,
        "failed": tally.failed,
        "rows": tally.rows,
        "wrong": tally.wrong,
        "jobs_per_s": round(used.jobs / used.wall),
        "cpu_s": round(used.worker, 2),
        "cpu_ms_a_job": round(cpu_ms, 4),
        "loop_cpu_ms_a_job": round(1000 * used.loop / used.jobs, 4),
        "broker_cpu_s": round(used.broker, 2),
        "fleet_cpu_s": round(used.fleet, 2),
        "memory_mb": round(run.worker.memory() / 1e6),
        "load": round(os.getloadavg()[0], 1),
    }
    if not theirs:
        yield ours
        return
    their_ms = 1000 * float(str(theirs["cpu_s"])) / max(1, int(str(theirs["sessions"])))
    yield ours | {"times_jdlms_per_cpu_s": round(their_ms / cpu_ms, 2)}
    yield {
        "reader": "jdlms",
        "association": options.auth,
        "jobs": theirs["sessions"],
        "done": theirs["sessions"],
        "failed": theirs["failed"],
        "rows": theirs["rows"],
        "jobs_per_s": round(int(str(theirs["sessions"])) / float(str(theirs["seconds"]))),
        "cpu_s": round(float(str(theirs["cpu_s"])), 2),
        "cpu_ms_a_job": round(their_ms, 4),
        "load": round(os.getloadavg()[0], 1),
    }
