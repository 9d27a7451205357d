"""`hes bench open`: very many pull sessions open at once in one worker, and what an idle push connection costs.

The meters are quick while the worker learns what they hold, and then hold every answer back, so that the sessions of all
jobs are open together: associating, reading, releasing. Counted on both sides: by the worker's own metric, and by the
meters. What a session costs is the worker's memory when all wait for their meters, less that before the jobs; the jobs in
hand are in it. `kb_each_answered` is the same at the height of memory: the meters answer all at once here, and what was
read waits for Kafka.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from connectors.cli.bench.fleet import Fleet, files_limit, running_fleet
from connectors.cli.bench.gateway_fleet import Truth, read_truth
from connectors.cli.bench.stack import bench_stack
from connectors.cli.bench.worker_rig import Rig, Worker, meters_of, rig_on, worker
from connectors.cli.failure import CommandError, usage
from connectors.local.home import Home
from streams.runtime.settings import Settings

_SPARE = 500
_SETTLE_S = 60.0
_LOOK_S = 0.05
_AT_ONCE = 250
"""Jobs of the warm-up at a time: memory that it leaves behind would be missing from what the sessions are seen to take."""


@dataclass(frozen=True, slots=True)
class Options:
    """How many, and how slow they are."""

    sessions: int = 10_000
    hold_s: float = 20.0
    """How long the meters hold each answer back."""
    idle: int = 10_000
    """Push connections."""
    auth: str = "none"
    watch_s: float = 5.0
    """For how long the CPU is watched that idle connections take."""
    profile: Path | None = None
    """Where the worker's CPU profile goes, from the first session to the last."""


def run(options: Options, say: Callable[[str], None]) -> Iterator[dict[str, object]]:
    """A row for the sessions and one for the idle connections. Raises CommandError where they cannot be had."""
    most = max(options.sessions, options.idle)
    if (limit := files_limit()) < most + _SPARE:
        raise usage(
            f"{most:,} connections need as many open files, and this system allows a process {limit:,}",
            "raise the hard limit of open files (ulimit -Hn, /etc/security/limits.conf), or take fewer",
        )
    with bench_stack(say) as (settings, home):
        yield from run_on(settings, home, options, say)


def run_on(settings: Settings, home: Home, options: Options, say: Callable[[str], None]) -> Iterator[dict[str, object]]:
    """The same on a stack that runs."""
    with running_fleet(options.sessions, say, hold_s=options.hold_s) as fleet:
        truths = read_truth(fleet.file)
        rows = meters_of(truths, options.auth)
        rig = rig_on(settings, home)
        rig.put_meters(rows.values())
        held = dict(zip(rows, truths, strict=True))
        # A tenth of the sessions is kept for the other lane.
        sessions, patience = options.sessions * 10 // 9 + 1, round(3 * options.hold_s + 30)
        given = {"answer_timeout_s": str(patience), "max_connections": str(options.idle + 1), "idle_timeout_s": "3600"}
        if options.idle:  # a worker of its own each: memory that one has let go would be missing from the other's figure
            with worker(rig, sessions, more=given) as reader:
                yield _idle(options.idle, options.watch_s, reader, say)
        if options.sessions:
            with worker(rig, sessions, profile=options.profile, more=given) as reader:
                yield _sessions(options, rig, reader, fleet, held, say)


@dataclass(slots=True)
class _Height:
    """The highest seen."""

    worker: Worker
    sessions: float = 0.0
    waiting: int = 0
    """Memory when the most sessions were open for the first time: hardly one was answered by then."""
    memory: int = 0

    def look(self) -> None:
        """Ask the worker now."""
        sessions, memory = self.worker.metric("hes_gateway_sessions"), self.worker.memory()
        if sessions > self.sessions:
            self.sessions, self.waiting = sessions, memory
        self.memory = max(self.memory, memory)


def _sessions(
    options: Options, rig: Rig, reader: Worker, fleet: Fleet, held: dict[str, Truth], say: Callable[[str], None]
) -> dict[str, object]:
    say(f"warming up: a job for each of {len(held):,} meters")
    reader.warm_up(list(held), at_once=_AT_ONCE)
    fleet.hold(on=True)
    before, height, since = reader.memory(), _Height(reader), rig.offsets()
    say(f"{len(held):,} jobs; the meters hold every answer back for {options.hold_s:g} s")
    if options.profile is not None:
        reader.profile(None)
    ended, began, cpu = rig.ended() + len(held), time.perf_counter(), reader.cpu()
    jobs = rig.put_jobs(list(held))
    wall = reader.wait(ended, height.look) - began
    cpu = reader.cpu() - cpu
    if options.profile is not None:
        reader.profile(options.profile)
    fleet.hold(on=False)
    tally = rig.tally(since, jobs, held)
    if tally.first_failure:
        say(f"{tally.failed} jobs failed, {tally.wrong} brought something else; the first: {tally.first_failure}")
    return {
        "what": "pull sessions",
        "open_at_once": round(height.sessions),
        "open_at_the_meters": fleet.end()["most_open"],
        "jobs": len(jobs),
        "done": tally.done,
        "failed": tally.failed,
        "wrong": tally.wrong,
        "kb_each": round((height.waiting - before) / max(1.0, height.sessions) / 1e3, 1),
        "kb_each_answered": round((height.memory - before) / max(1.0, height.sessions) / 1e3, 1),
        "memory_before_mb": round(before / 1e6),
        "memory_mb": round(height.memory / 1e6),
        "seconds": round(wall, 1),
        "cpu_s": round(cpu, 2),
        "load": round(os.getloadavg()[0], 1),
    }


def _idle(connections: int, watch_s: float, reader: Worker, say: Callable[[str], None]) -> dict[str, object]:
    say(f"opening {connections:,} push connections that say nothing")
    port = reader.push_port
    before = reader.memory()
    with _connected(port, connections):
        until = time.monotonic() + _SETTLE_S
        while (taken := reader.metric("hes_gateway_connections")) < connections:
            if time.monotonic() > until:
                raise CommandError(f"the gateway took {taken:,.0f} of {connections:,} connections")
            time.sleep(_LOOK_S)
        memory, cpu, began = reader.memory(), reader.cpu(), time.perf_counter()
        time.sleep(watch_s)
        share = (reader.cpu() - cpu) / (time.perf_counter() - began)
    return {
        "what": "idle push connections",
        "open_at_once": round(taken),
        "kb_each": round((memory - before) / connections / 1e3, 1),
        "memory_before_mb": round(before / 1e6),
        "memory_mb": round(memory / 1e6),
        "idle_cpu_share": round(share, 3),
        "load": round(os.getloadavg()[0], 1),
    }


@contextmanager
def _connected(port: int, connections: int) -> Iterator[None]:
    """So many TCP connections to a port of this machine."""
    with ExitStack() as stack:
        for _ in range(connections):
            stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=_SETTLE_S))
        yield
