"""`hes bench split`: load profiles waiting on hes.events.bulk, through one split worker, to hes.readings.intervals; by peers
the same in the same run, whose output is held against ours.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

from confluent_kafka.admin import AdminClient

from connectors.cli import context, topics
from connectors.cli.bench import split_peers
from connectors.cli.bench.measure import Measured, cpu_of
from connectors.cli.bench.stack import bench_stack, service
from connectors.cli.failure import CommandError
from connectors.local.home import Home
from schemas.ids import event_id
from schemas.records import Cause, Channel, IntervalReadings
from streams.runtime.kafka import Publisher, admin_client
from streams.runtime.settings import Settings
from streams.runtime.tracing import headers_of

SOURCE, TARGET = "hes.events.bulk", "hes.readings.intervals"
_PATIENCE_S = 300.0


def run(
    records: int, rows: int, channels: int, say: Callable[[str], None], peers: Sequence[str] = ()
) -> Iterator[dict[str, object]]:
    """A line for one worker of ours, from its first record to its last, start-up left out, and one for each of `peers`."""
    with bench_stack(say) as (settings, home):
        say(f"writing {records:,} profiles of {rows} x {channels}")
        fill(settings, records, rows, channels)
        yield _ours(settings, home, records, rows, channels)
        yield from split_peers.lines(peers, settings, (SOURCE, TARGET), records, rows * channels, say)


def _ours(settings: Settings, home: Home, records: int, rows: int, channels: int) -> dict[str, object]:
    admin = admin_client(settings.kafka)
    with service("split", settings, home) as worker:
        while not (first := count(admin, TARGET)):
            _alive(worker.alive(), str(worker.log))
            time.sleep(0.01)
        began, cpu = time.perf_counter(), cpu_of(worker.running.pid) if worker.running else 0.0
        until = began + _PATIENCE_S
        while (moved := count(admin, TARGET)) < records:
            _alive(worker.alive() and time.perf_counter() < until, str(worker.log))
            time.sleep(0.02)
        wall = time.perf_counter() - began
        used = (cpu_of(worker.running.pid) if worker.running else 0.0) - cpu
    measured = Measured(moved - first, wall, used)
    row = measured.row(f"{rows}x{channels} profiles, one worker", "hes split", rows * channels)
    return row | {"records_per_s": round((moved - first) / wall)}


def fill(settings: Settings, records: int, rows: int, channels: int) -> None:
    """Write profiles of as many meters, as the gateway does."""
    codec, publisher = context.codec(settings), Publisher(settings.kafka, "hes-bench")
    start = 1_772_323_200_000
    for number in range(records):
        meter = f"bench-{number:07d}"
        reading = IntervalReadings(
            id=event_id("IntervalReadings", meter, start),
            meter_id=meter,
            source="7/1.0.99.1.0.255/2",
            first_end=start,
            period_s=900,
            rows=rows,
            channels=tuple(
                Channel(
                    obis=f"1.0.{c}.8.0.255",
                    unit="Wh",
                    scaler=0,
                    longs=tuple(range(1_000 * number, 1_000 * number + 37 * rows, 37)),
                )
                for c in range(1, channels + 1)
            ),
            read_at=start,
            cause=Cause.SCHEDULED,
        )
        publisher.send(SOURCE, meter, codec.encode(reading), headers_of(reading, source="bench", at_ms=start))
    publisher.flush()


def count(admin: AdminClient, topic: str) -> int:
    """How many records a topic has taken."""
    return sum(ends(admin, topic).values())


def ends(admin: AdminClient, topic: str) -> dict[int, int]:
    """Where each partition of a topic ends."""
    return {part.partition: end for part, end in topics.ends(admin, [topic]).items()}


def _alive(well: bool, log: str) -> None:
    if not well:
        raise CommandError("the split worker ended, or does not come to an end", mend=f"look at {log}")
