"""`hes bench on-demand`: what the head-end adds to a read that somebody waits for, by stage, beside scheduled reads.

The meters answer at once, so that all that is measured is ours. Kafka, the gateway, the splitter, the service of commands,
the meters and whoever writes the scheduled jobs are processes of their own. A read begins when its CommandRequest is handed
to the producer and ends when the command's acknowledgement, DONE, is in the requester's hands, and the reading with it.

There is a turn for each rate of scheduled reads, all of the same length: a warm-up that does not count, then what does. With
each it is told what was really done of the rate, a rate that is not reached included, and which process took how much CPU.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from connectors.cli.bench import split
from connectors.cli.bench.fleet import Fleet, running_fleet
from connectors.cli.bench.gateway_fleet import read_truth
from connectors.cli.bench.measure import cpu_of, cpu_of_machine
from connectors.cli.bench.on_demand_load import SLICE_S, Load, load
from connectors.cli.bench.on_demand_reads import Asked, Reads, rows_of
from connectors.cli.bench.stack import bench_stack, service
from connectors.cli.bench.worker_rig import READINGS, Rig, Worker, meters_of, rig_on, worker
from connectors.cli.demo.stage import Child
from connectors.cli.failure import CommandError
from connectors.local.home import Home, load_state
from connectors.local.process import tail
from streams.runtime.settings import Settings

_READY_S = 120.0
_LOOK_S = 0.05
_FOR_READS = 100
_KEPT = 0.95
"""A rate of which so much was done is reached: a slice begins and ends a little beside the turn."""


@dataclass(frozen=True, slots=True)
class Options:
    """What to read, and beside what."""

    beside: tuple[int, ...] = (0, 100, 250, 500, 1_000)
    """Scheduled reads a second, a turn each."""
    seconds: float = 20.0
    """Of a turn; the warm-up is extra."""
    warm_up_s: float = 5.0
    every_s: float = 0.1
    """From one read on demand to the next, whether that has ended or not."""
    patience_s: float = 10.0
    """How long the last reads of a turn are waited for."""
    meters: int = 2_000
    """Of the scheduled reads; a hundred more are for the reads on demand."""
    profile: Path | None = None
    """Where the gateway's CPU profile of the last turn goes."""


def run(options: Options, say: Callable[[str], None]) -> Iterator[dict[str, object]]:
    """A row for each turn and stage, and for each turn and process. CommandError where something cannot be had."""
    with bench_stack(say) as (settings, home):
        yield from run_on(settings, home, options, say)


def run_on(settings: Settings, home: Home, options: Options, say: Callable[[str], None]) -> Iterator[dict[str, object]]:
    """The same on a stack that runs."""
    with running_fleet(options.meters + _FOR_READS, say) as fleet, ExitStack() as stack:
        rows = meters_of(read_truth(fleet.file), "none")
        rig = rig_on(settings, home)
        rig.put_meters(rows.values())
        names = list(rows)
        environ = {"HES_LOG__LEVEL": "warning", "HES_KAFKA__GROUP_SUFFIX": settings.kafka.group_suffix}
        reader = stack.enter_context(worker(rig, 500, profile=options.profile))
        others = {name: stack.enter_context(service(name, settings, home, environ)) for name in ("split", "commands")}
        for child in others.values():
            _wait_ready(child)
        reads = stack.enter_context(Reads(settings, rig.codec, names[:_FOR_READS]))
        say("warming up: every meter is read once")
        reader.warm_up(names, 500)
        bench = _Bench(rig, reader, others, fleet, reads, options, say)
        try:
            for rate in options.beside:
                yield from bench.turn(rate, last=rate == options.beside[-1])
        except KeyboardInterrupt:
            say("stopped: what is told is of the turns before")


@dataclass(slots=True)
class _Mark:
    """Where everything stands at a moment."""

    at: float
    readings: int
    cpu: dict[str, float] = field(default_factory=dict)


@dataclass(slots=True)
class _Bench:
    """Everything runs; turns are made."""

    rig: Rig
    reader: Worker
    others: dict[str, Child]
    fleet: Fleet
    reads: Reads
    options: Options
    say: Callable[[str], None]

    def turn(self, rate: int, *, last: bool) -> Iterator[dict[str, object]]:
        """One rate."""
        options = self.options
        self.say(f"{options.seconds:g} s beside {rate:,} reads/s" if rate else f"{options.seconds:g} s alone")
        good_s = SLICE_S + options.warm_up_s + options.seconds + options.patience_s
        written = load(self.rig.settings, rate, _FOR_READS, options.meters, good_s) if rate else nullcontext(None)
        began = self._readings()
        with written as jobs:
            warm = self.reads.during(options.warm_up_s + (SLICE_S if rate else 0), options.every_s)
            self._profile(last=last, on=True)
            before = self._mark(jobs)
            asked = self.reads.during(options.seconds, options.every_s)
            after = self._mark(jobs)
            self._profile(last=last, on=False)
            self.reads.settle((*warm, *asked), options.patience_s)
        seconds = after.at - before.at
        kept = (after.readings - before.readings - sum(not read.failed for read in asked)) / seconds
        kept = max(0.0, kept) if rate else 0.0  # alone, what is counted is reads on demand that came late
        self._tell(rate, kept, asked)
        if jobs is not None:
            self._drain(began + jobs.sent + sum(not read.failed for read in (*warm, *asked)))
        turn = {"beside": rate, "kept": round(kept)}
        load_average = round(os.getloadavg()[0], 1)
        for row in rows_of(asked):
            yield turn | row | {"load": load_average}
        for name, cpu in after.cpu.items():
            used = cpu - before.cpu[name]
            yield turn | {"what": f"CPU: {name}", "cpu_s": round(used, 2), "cores": round(used / seconds, 2)}

    def _tell(self, rate: int, kept: float, asked: Sequence[Asked]) -> None:
        """What did not go as it was asked for."""
        if rate and kept < _KEPT * rate:
            self.say(f"  not reached: {kept:,.0f} of {rate:,} reads/s were done; what was read on demand waited in that")
        failed = Counter(read.failed for read in asked if read.failed)
        for code, count in failed.items():
            self.say(f"  {count} of {len(asked)} reads on demand were not done: {code}")

    def _drain(self, readings: int) -> None:
        """Let the jobs that are left end before the next turn; those that have not begun by then expire at about then."""
        until = time.monotonic() + self.options.patience_s
        while time.monotonic() < until and self._readings() < readings:
            time.sleep(_LOOK_S)

    def _readings(self) -> int:
        """How many reads have been done, of whatever kind: each leaves one record."""
        return split.count(self.rig.admin, READINGS)

    def _mark(self, jobs: Load | None) -> _Mark:
        mark = _Mark(time.monotonic(), self._readings())
        children = {"gateway": self.reader.child} | self.others
        pids = {name: child.running.pid for name, child in children.items() if child.running is not None}
        pids |= {name: running.pid for name, running in load_state(self.rig.home).processes.items()}
        mark.cpu = {name: cpu_of(pid) for name, pid in pids.items()}
        mark.cpu |= {"meters": self.fleet.cpu(), "bench": time.process_time() + (0 if jobs is None else jobs.cpu())}
        mark.cpu["others on this machine"] = cpu_of_machine() - sum(mark.cpu.values())
        return mark

    def _profile(self, *, last: bool, on: bool) -> None:
        if self.options.profile is not None and last:
            self.reader.profile(None if on else self.options.profile)


def _wait_ready(child: Child) -> None:
    until = time.monotonic() + _READY_S
    while child.get("/health/ready") is None:
        if not child.alive() or time.monotonic() > until:
            raise CommandError(f"{child.name} does not get ready; its log ends with:\n{tail(child.log)}")
        time.sleep(_LOOK_S)
