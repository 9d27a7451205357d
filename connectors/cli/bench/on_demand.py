"""`hes bench on-demand`: what the head-end adds to a read that somebody waits for, by stage.

The meters answer at once, so that all that is measured is ours. Kafka, the gateway, the splitter, the service of commands
and the meters are processes of their own. A read begins when its CommandRequest is handed to the producer and ends when the
command's acknowledgement, DONE, is in the requester's hands, and the reading with it. In the second turn bulk jobs come at a
steady rate meanwhile, as schedules write them, and it is told how many of them were really done a second.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from connectors.cli.bench.fleet import running_fleet
from connectors.cli.bench.gateway_fleet import read_truth
from connectors.cli.bench.stack import bench_stack, service
from connectors.cli.bench.worker_rig import DAY, JOBS, Rig, Worker, meters_of, rig_on, worker
from connectors.cli.demo.stage import Child
from connectors.cli.failure import CommandError
from connectors.cli.watching import Watch
from connectors.local.home import Home
from connectors.local.process import tail
from schemas.records import (
    Cause,
    CommandAck,
    CommandRequest,
    CommandState,
    IntervalReadings,
    Job,
    Operation,
    Priority,
    Target,
)
from streams.runtime.kafka import Publisher
from streams.runtime.settings import Settings
from streams.runtime.tracing import headers_of

ACKS, COMMANDS, READINGS = "hes.command-acks", "hes.commands", "hes.readings.intervals"
STAGES = ("command", "queue", "connect", "associate", "read", "pipeline", "delivery")
"""Asked to issued, issued to started, the visit's own three, finished to acknowledged, acknowledged to seen."""
_ENDED = (CommandState.DONE, CommandState.FAILED, CommandState.REJECTED, CommandState.EXPIRED)
_PATIENCE_S = 60.0
_READY_S = 120.0
_SETTLE_S = 3.0
_TICK_S = 0.05
_NOBODY = "bench-nobody"


@dataclass(frozen=True, slots=True)
class Options:
    """What to read, and beside what."""

    reads: int = 200
    every_s: float = 0.1
    """From one read to the next; a read that takes longer puts the next one off."""
    load: int = 1_000
    """Bulk jobs a second in the second turn; 0 leaves it out."""
    meters: int = 2_000
    """Of the bulk jobs; a hundred more are for the reads on demand."""
    profile: Path | None = None
    """Where the gateway's CPU profile of the last turn goes."""


@dataclass(slots=True)
class Taken:
    """One turn's reads: milliseconds by stage, whole, and until the reading was there."""

    whole: list[float] = field(default_factory=list)
    reading: list[float] = field(default_factory=list)
    stages: dict[str, list[float]] = field(default_factory=lambda: {stage: [] for stage in STAGES})
    failed: dict[str, int] = field(default_factory=dict)


_FOR_READS = 100


def run(options: Options, say: Callable[[str], None]) -> Iterator[dict[str, object]]:
    """A row for each turn and stage. Raises CommandError where something cannot be had."""
    with bench_stack(say) as (settings, home):
        yield from run_on(settings, home, options, say)


def run_on(settings: Settings, home: Home, options: Options, say: Callable[[str], None]) -> Iterator[dict[str, object]]:
    """The same on a stack that runs."""
    with running_fleet(options.meters + _FOR_READS, say) as fleet, ExitStack() as stack:
        rows = meters_of(read_truth(fleet.file), "none")
        rig = rig_on(settings, home)
        rig.put_meters(rows.values())
        names = list(rows)
        asked, bulk = names[:_FOR_READS], names[_FOR_READS:]
        environ = {"HES_LOG__LEVEL": "warning", "HES_KAFKA__GROUP_SUFFIX": settings.kafka.group_suffix}
        reader = stack.enter_context(worker(rig, 500, profile=options.profile))
        for name in ("split", "commands"):
            _wait_ready(stack.enter_context(service(name, settings, home, environ)))
        watch = stack.enter_context(Watch(settings, [ACKS, READINGS], rig.codec))
        say("warming up: every meter is read once")
        reader.warm_up(names, 500)
        _turn(rig, watch, asked, Options(reads=20, every_s=0), Taken())
        yield from _rows("alone", 0.0, _measured(rig, watch, asked, options, reader if not options.load else None))
        if options.load:
            say(f"{options.load:,} bulk jobs a second beside it")
            with _loading(rig, bulk, options.load) as done:
                time.sleep(_SETTLE_S)
                began, before = time.monotonic(), done()
                taken = _measured(rig, watch, asked, options, reader)
                rate = (done() - before - options.reads) / (time.monotonic() - began)
            yield from _rows("under load", rate, taken)


def _measured(rig: Rig, watch: Watch, meters: Sequence[str], options: Options, profiled: Worker | None) -> Taken:
    taken, profile = Taken(), options.profile
    if profile is not None and profiled is not None:
        profiled.profile(None)
    _turn(rig, watch, meters, options, taken)
    if profile is not None and profiled is not None:
        profiled.profile(profile)
    return taken


def _turn(rig: Rig, watch: Watch, meters: Sequence[str], options: Options, taken: Taken) -> None:
    for number in range(options.reads):
        began = time.monotonic()
        _read(rig, watch, meters[number % len(meters)], taken)
        # What the load has written meanwhile is passed over now, not when the next read is waited for.
        for _ in watch.records(max(0.0, began + options.every_s - time.monotonic()), {_NOBODY}):
            pass


def _read(rig: Rig, watch: Watch, meter: str, taken: Taken) -> None:
    """One read, from the request to its end; its times are noted."""
    at = time.time_ns()
    request = CommandRequest(
        id=f"bench-{at}",
        target=Target(meters=(meter,)),
        operation=Operation.READ_PROFILE,
        from_time=DAY[0],
        to_time=DAY[1],
        requested_by="bench",
        requested_at=at // 1_000_000,
        environment=rig.settings.environment,
        reason="hes bench on-demand",
    )
    watch.send(COMMANDS, request.id, request, rig.codec.encode(request))
    ack: CommandAck | None = None
    read_at = acked_at = 0
    for record, _ in watch.records(_PATIENCE_S, {request.id, meter}):
        now = time.time_ns()
        if isinstance(record, IntervalReadings) and record.meter_id == meter and record.cause is Cause.ON_DEMAND:
            read_at = now
        elif isinstance(record, CommandAck) and record.command_id == request.id and not record.job_id:
            ack, acked_at = (record, now) if record.state in _ENDED else (ack, acked_at)
        if ack is not None and (read_at or ack.state is not CommandState.DONE):
            break
    if ack is None or (ack.state is CommandState.DONE and not read_at):
        raise CommandError(f"the read of {meter} did not end within {_PATIENCE_S:.0f} s", mend="look at the services' logs")
    if ack.state is not CommandState.DONE:
        taken.failed[ack.code] = taken.failed.get(ack.code, 0) + 1
        return
    whole = (acked_at - at) / 1e6
    taken.whole.append(whole)
    taken.reading.append((read_at - at) / 1e6)
    known = 0.0
    for stage in STAGES[:-1]:
        ms = float(getattr(ack, f"{stage}_ms") or 0)
        taken.stages[stage].append(ms)
        known += ms
    taken.stages["delivery"].append(max(0.0, whole - known))


def _rows(turn: str, load: float, taken: Taken) -> Iterator[dict[str, object]]:
    machine_load = os.getloadavg()[0]
    every: dict[str, list[float]] = {"acknowledged": taken.whole, "reading there": taken.reading} | taken.stages
    for stage, values in every.items():
        ordered = sorted(values)
        row: dict[str, Any] = {"turn": turn, "stage": stage, "reads": len(values), "failed": sum(taken.failed.values())}
        for name, share in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("max", 1.0)):
            row[f"{name}_ms"] = round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 1) if ordered else None
        yield row | {"bulk_jobs_per_s": round(load), "load_average": round(machine_load, 1)}


@contextmanager
def _loading(rig: Rig, meters: Sequence[str], rate: int) -> Iterator[Callable[[], int]]:
    """Bulk jobs at a steady rate from a thread, while inside; gives how many jobs have ended so far."""
    stop, failed = threading.Event(), list[Exception]()
    publisher = Publisher(rig.settings.kafka, "hes-bench-load")

    def work() -> None:
        try:
            sent, began = 0, time.monotonic()
            while not stop.wait(_TICK_S):
                due = int((time.monotonic() - began) * rate)
                now = time.time_ns() // 1_000_000
                for number in range(sent, due):
                    job = _bulk_job(meters[number % len(meters)], number, now)
                    headers = headers_of(job, source="bench", at_ms=now)
                    publisher.send(JOBS, job.meter_id, rig.codec.encode(job), headers)
                sent = due
            publisher.flush()
        except Exception as error:  # noqa: BLE001 - told where the load is taken away
            failed.append(error)

    thread = threading.Thread(target=work, name="load", daemon=True)
    thread.start()
    try:
        yield rig.ended
    finally:
        stop.set()
        thread.join()
    if failed:
        raise CommandError(f"the load could not be kept up: {failed[0]}") from failed[0]


def _bulk_job(meter: str, number: int, now: int) -> Job:
    return Job(
        id=f"load-{now}-{number}",
        meter_id=meter,
        operation=Operation.READ_PROFILE,
        from_time=DAY[0],
        to_time=DAY[1],
        priority=Priority.SCHEDULED,
        issued_at=now,
        deadline=now + 600_000,
        cause=Cause.SCHEDULED,
    )


def _wait_ready(child: Child) -> None:
    until = time.monotonic() + _READY_S
    while child.get("/health/ready") is None:
        if not child.alive() or time.monotonic() > until:
            raise CommandError(f"{child.name} does not get ready; its log ends with:\n{tail(child.log)}")
        time.sleep(_TICK_S)
