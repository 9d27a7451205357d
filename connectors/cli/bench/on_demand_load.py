"""Scheduled reads at a steady rate, beside what `hes bench on-demand` measures: from a process of its own.

Jobs are written as the service of schedules writes them: a slice ahead, each with the time before which it must not begin.
So the rate is the schedule's and not this process's, and Kafka has batches as it has them from there.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from connectors.cli import context
from connectors.cli.bench.children import child, first_line
from connectors.cli.bench.measure import cpu_of
from connectors.cli.bench.worker_rig import DAY, JOBS
from connectors.cli.failure import CommandError
from schemas.records import Cause, Job, Operation, Priority
from streams.runtime.kafka import Publisher
from streams.runtime.settings import Settings
from streams.runtime.tracing import headers_of

SLICE_S = 1.0
"""A slice is so long, and is sent so long before it begins."""
_GRACE_S = 20.0


@dataclass(slots=True)
class Load:
    """A process that writes jobs."""

    process: subprocess.Popen[str]
    sent: int = 0
    """Jobs, once it has ended."""

    def cpu(self) -> float:
        """CPU seconds so far."""
        return cpu_of(self.process.pid)


@contextmanager
def load(settings: Settings, rate: int, first: int, meters: int, good_s: float) -> Iterator[Load]:
    """Jobs at a rate for the bench's meters from the number `first` on, from `SLICE_S` after this begins until it ends.

    All are good for `good_s` from now: none expires within the turn, and a rate that is not kept leaves no mountain behind.
    """
    argv = [sys.executable, "-m", __name__, "--rate", str(rate), "--first", str(first), "--meters", str(meters)]
    argv += ["--deadline", str(round((time.time() + good_s) * 1000))]
    with child(argv, context.addresses(settings)) as process:
        if first_line(process).strip() != "ready":
            raise CommandError("the load's process did not start; its own words are above")
        running = Load(process)
        yield running
        process.send_signal(signal.SIGTERM)
        try:
            said = process.communicate(timeout=_GRACE_S)[0].split()
        except subprocess.TimeoutExpired:
            process.kill()
            said = []
        if process.returncode or len(said) != 1:
            raise CommandError("the load could not be kept up; its process's own words are above")
        running.sent = int(said[0])


def job_of(number: int, meter_id: str, due_ms: int, deadline_ms: int) -> Job:
    """The job of a meter's read at a time, as a schedule has it."""
    return Job(
        id=f"load-{due_ms}-{number}",
        meter_id=meter_id,
        operation=Operation.READ_PROFILE,
        from_time=DAY[0],
        to_time=DAY[1],
        priority=Priority.SCHEDULED,
        issued_at=due_ms,
        not_before=due_ms,
        deadline=deadline_ms,
        cause=Cause.SCHEDULED,
    )


def _write(publisher: Publisher, rate: int, first: int, meters: int, deadline: int, settings: Settings) -> int:
    """Slice after slice until SIGTERM; how many jobs."""
    codec = context.codec(settings)
    stop = threading.Event()  # never waited for: a handler that sets it may run within
    signal.signal(signal.SIGTERM, lambda _number, _frame: stop.set())
    print("ready", flush=True)
    sent, slices, began = 0, 0, time.time()
    while not stop.is_set():
        slice_began = began + (slices + 1) * SLICE_S
        until = round((slices + 1) * SLICE_S * rate)
        while sent < until:
            due = round((slice_began + (sent - slices * SLICE_S * rate) / rate) * 1000)
            job = job_of(sent, f"bench-{first + sent % meters:06d}", due, deadline)
            publisher.send(JOBS, job.meter_id, codec.encode(job), headers_of(job, source="bench", at_ms=job.issued_at or 0))
            sent += 1
        publisher.flush()
        slices += 1
        while not stop.is_set() and time.time() < began + slices * SLICE_S:
            time.sleep(0.02)
    return sent


def main() -> None:
    """The process."""
    parser = argparse.ArgumentParser(prog="python -m connectors.cli.bench.on_demand_load")
    parser.add_argument("--rate", type=int, required=True, help="jobs a second")
    parser.add_argument("--first", type=int, default=0, help="the number of the first meter")
    parser.add_argument("--meters", type=int, required=True)
    parser.add_argument("--deadline", type=int, required=True, help="of all jobs, milliseconds")
    given = parser.parse_args()
    settings = Settings()
    publisher = Publisher(settings.kafka, "hes-bench-load")
    publisher.flush()
    print(_write(publisher, given.rate, given.first, given.meters, given.deadline, settings))


if __name__ == "__main__":
    main()
