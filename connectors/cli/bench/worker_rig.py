"""A gateway worker under measurement: `hes run gateway` as a process, on a Kafka of its own, reading a load fleet.

Jobs go to hes.jobs.bulk as a schedule writes them. How many have ended is seen from the ends of the topics, so that nothing
is decoded while it is measured; what was read is taken from Kafka afterwards, and compared with what the meters hold.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count as counter
from pathlib import Path
from types import MappingProxyType

import numpy as np
from confluent_kafka.admin import AdminClient

from connectors.cli import context
from connectors.cli.bench import split
from connectors.cli.bench.fleet import files_limit
from connectors.cli.bench.gateway_fleet import Truth
from connectors.cli.bench.measure import cpu_of, cpu_of_main_thread, memory_of
from connectors.cli.bench.stack import service
from connectors.cli.commands.meters import import_rows
from connectors.cli.demo.stage import Child
from connectors.cli.failure import CommandError, usage
from connectors.cli.shipment import Row
from connectors.cli.topics import Span, decoded, read_topic
from connectors.gateway.keystore import MeterKeys
from connectors.local.home import Home, load_state
from connectors.local.ports import free_port
from connectors.local.process import tail
from schemas.codec import Codec
from schemas.records import (
    Cause,
    Identity,
    IdentityKind,
    IntervalReadings,
    Job,
    JobResult,
    Meter,
    MeterState,
    Network,
    Operation,
    Outcome,
    Priority,
    Protocol,
    UtilityKind,
)
from streams.runtime.kafka import Publisher, admin_client
from streams.runtime.settings import Settings
from streams.runtime.tracing import headers_of

JOBS, RESULTS, READINGS = "hes.jobs.bulk", "hes.events.urgent", "hes.events.bulk"
DAY = (1_772_406_001_000, 1_772_492_400_001)
"""The day that a load fleet holds, 2026-03-02 in UTC+1, as a job names it: from its first second to midnight inclusive."""
_TEMPLATES = {
    "none": "pull: {client: 16, auth: none}\n",
    "low": "pull: {client: 1, auth: low}\n",
    "gmac": "pull: {client: 1, auth: hls-gmac, security: both}\n",
}
_PASSWORD = b"Passw0rd"
_PATIENCE_S = 120.0
"""Without a result for so long a bench gives up."""
_LOOK_S = 0.05
_SPARE_FILES = 500


@dataclass(frozen=True, slots=True)
class Place:
    """A meter's place in the network, where it has one."""

    segment: str = ""
    network: Network = Network.ETHERNET


def meter_at(meter_id: str, port: int, auth: str, place: Place = Place(), title: bytes = b"") -> Meter:
    """A meter of the fleet as the registry has it. Without a segment nothing paces its sessions."""
    identities = (Identity(IdentityKind.SYSTEM_TITLE, title.hex().upper()),) if title else ()
    return Meter(
        id=meter_id, identities=identities, utility=UtilityKind.ELECTRICITY, protocol=Protocol.DLMS, network=place.network,
        segment=place.segment, endpoint=f"tcp://127.0.0.1:{port}", template=f"bench-{auth}", key_ref=meter_id,
        time_zone="Europe/Berlin", state=MeterState.NORMAL,
    )  # fmt: skip


def meters_of(truths: Sequence[Truth], auth: str, place: Callable[[int], Place] = lambda _: Place()) -> dict[str, Row]:
    """A fleet's meters with their keys, by id."""
    rows = {}
    for number, truth in enumerate(truths):
        meter = meter_at(f"bench-{number:06d}", truth.port, auth, place(number), truth.title)
        rows[meter.id] = Row(number, meter, MeterKeys(truth.ek, truth.ak, _PASSWORD))
    return rows


@dataclass(slots=True)
class Tally:
    """How jobs ended, and whether what they brought is what the meters hold."""

    done: int = 0
    failed: int = 0
    codes: dict[str, int] = field(default_factory=dict)
    rows: int = 0
    wrong: int = 0
    first_failure: str = ""


@dataclass(slots=True)
class Rig:
    """Kafka, with meters and jobs on it."""

    settings: Settings
    home: Home
    templates: Path
    admin: AdminClient
    codec: Codec
    publisher: Publisher
    _batches: Iterator[int] = field(default_factory=lambda: counter(1))

    def put_meters(self, rows: Iterable[Row]) -> None:
        """Write meters to hes.meters, and their keys to the key store."""
        import_rows(self.settings, list(rows))

    def put_jobs(self, meters: Sequence[str], *, deadline_s: float | None = None) -> set[str]:
        """A job to read the day for each of these meters; their ids. All are made before the first is sent."""
        batch, now = next(self._batches), int(time.time() * 1000)
        jobs = [
            Job(
                id=f"bench-{batch}-{meter}", meter_id=meter, operation=Operation.READ_PROFILE, from_time=DAY[0],
                to_time=DAY[1], priority=Priority.SCHEDULED, issued_at=now, cause=Cause.SCHEDULED,
                deadline=None if deadline_s is None else now + round(deadline_s * 1000),
            )
            for meter in meters
        ]  # fmt: skip
        ready = [(job.meter_id, self.codec.encode(job), headers_of(job, source="bench", at_ms=now)) for job in jobs]
        for key, value, headers in ready:
            self.publisher.send(JOBS, key, value, headers)
        self.publisher.flush()
        return {job.id for job in jobs}

    def follow(
        self, since: Mapping[int, int], jobs: set[str], alive: Callable[[], object]
    ) -> Iterator[tuple[JobResult, int]]:
        """Results of these jobs as they come, from those offsets on, each with when it was written (milliseconds); until all
        have come. `alive` is called at each look, and raises where none can come any more.
        """
        left, until = set(jobs), time.monotonic() + _PATIENCE_S

        def over() -> bool:
            alive()
            if time.monotonic() > until:
                raise CommandError(f"{len(left)} jobs did not end: nothing new on {RESULTS} for {_PATIENCE_S:.0f} s")
            return not left

        span = Span(follow=True, offsets=since, ended=over)
        for message, result in decoded(self.settings, read_topic(self.settings, RESULTS, span)):
            if isinstance(result, JobResult) and result.job_id in left:
                left.discard(result.job_id)
                until = time.monotonic() + _PATIENCE_S
                yield result, message.timestamp()[1]

    def ended(self) -> int:
        """How many records the topic of job results holds."""
        return split.count(self.admin, RESULTS)

    def broker_cpu(self) -> float:
        """CPU seconds of the broker so far; 0 where it is not the bench's own."""
        running = load_state(self.home).processes.get("kafka")
        return 0.0 if running is None else cpu_of(running.pid)

    def tally(self, since: Mapping[str, Mapping[int, int]], jobs: set[str], truths: Mapping[str, Truth]) -> Tally:
        """What Kafka holds of these jobs from those offsets on, each value compared."""
        tally = Tally()
        for result in self._records(RESULTS, since):
            if isinstance(result, JobResult) and result.job_id in jobs:
                good = result.outcome is Outcome.DONE
                tally.done += good
                tally.failed += not good
                tally.codes[result.code] = tally.codes.get(result.code, 0) + 1
                if not good:
                    tally.first_failure = tally.first_failure or f"{result.meter_id}: {result.code}: {result.detail}"
        for readings in self._records(READINGS, since):
            if isinstance(readings, IntervalReadings) and readings.job_id in jobs:
                tally.rows += readings.rows
                if (what := difference(readings, truths[readings.meter_id])) is not None:
                    tally.wrong += 1
                    tally.first_failure = tally.first_failure or f"{readings.meter_id}: {what}"
        return tally

    def offsets(self) -> dict[str, dict[int, int]]:
        """Where the topics of results and readings end now."""
        return {topic: split.ends(self.admin, topic) for topic in (RESULTS, READINGS)}

    def _records(self, topic: str, since: Mapping[str, Mapping[int, int]]) -> Iterator[object]:
        for _, record in decoded(self.settings, read_topic(self.settings, topic, Span(offsets=since[topic]))):
            yield record


def difference(readings: IntervalReadings, truth: Truth) -> str | None:
    """What is not as the meter holds it: a time, a status, a scaler or a value; None where everything is."""
    step = readings.period_s * 1000
    ends = readings.ends or tuple(readings.first_end + step * row for row in range(readings.rows))
    if np.array(ends, np.int64).tobytes() != truth.ends:
        return "the times are not the meter's"
    statuses = readings.statuses * readings.rows if len(readings.statuses) == 1 else readings.statuses
    if np.array(statuses, np.int64).tobytes() != truth.statuses:
        return "the statuses are not the meter's"
    if len(readings.channels) != len(truth.scalers):
        return f"there are {len(readings.channels)} channels, the meter has {len(truth.scalers)}"
    for channel, scaler, values in zip(readings.channels, truth.scalers, truth.values, strict=True):
        if channel.scaler != scaler or (channel.longs or channel.nullable_longs) != tuple(values):
            return f"the values or the scaler of {channel.obis} are not the meter's"
    return None


@dataclass(slots=True)
class Worker:
    """The gateway's process."""

    child: Child
    rig: Rig
    push_port: int
    """Where meters connect to it."""

    @property
    def pid(self) -> int:
        """Its process id; CommandError where it has ended."""
        if self.child.running is None or not self.child.alive():
            raise CommandError(f"the gateway ended; its log ends with:\n{tail(self.child.log)}")
        return self.child.running.pid

    def cpu(self) -> float:
        """CPU seconds of all its threads so far."""
        return cpu_of(self.pid)

    def loop_cpu(self) -> float:
        """CPU seconds of its event loop's thread so far."""
        return cpu_of_main_thread(self.pid)

    def memory(self) -> int:
        """Octets that it holds (resident)."""
        return memory_of(self.pid)

    def metric(self, name: str) -> float:
        """A metric of its own, summed over labels; 0 where it does not answer."""
        lines = (self.child.get("/metrics") or "").splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith((f"{name} ", f"{name}{{")))

    def profile(self, path: Path | None) -> None:
        """Begin to sample without a path, else stop and wait for the file."""
        if path is not None:
            path.unlink(missing_ok=True)
        os.kill(self.pid, signal.SIGUSR1 if path is None else signal.SIGUSR2)
        while path is not None and not path.exists():
            self.pid  # noqa: B018 - raises where it has ended
            time.sleep(_LOOK_S)

    def warm_up(self, meters: Sequence[str], at_once: int) -> None:
        """Have each meter read once, so many jobs at a time."""
        for first in range(0, len(meters), at_once):
            some = meters[first : first + at_once]
            ended = self.rig.ended() + len(some)
            self.rig.put_jobs(some)
            self.wait(ended)

    def wait(self, ended: int, also: Callable[[], None] = lambda: None) -> float:
        """Until so many results are on the topic; when that was seen (perf_counter). `also` is called at each look."""
        before, until = -1, 0.0
        while (now := self.rig.ended()) < ended:
            self.pid  # noqa: B018 - raises where it has ended
            also()
            if now != before:
                before, until = now, time.monotonic() + _PATIENCE_S
            if time.monotonic() > until:
                raise CommandError(
                    f"{ended - now} jobs did not end: nothing new on {RESULTS} for {_PATIENCE_S:.0f} s. "
                    f"The gateway's log ends with:\n{tail(self.child.log)}"
                )
            time.sleep(_LOOK_S)
        return time.perf_counter()


@contextmanager
def worker(
    rig: Rig, sessions: int, *, profile: Path | None = None, more: Mapping[str, str] = MappingProxyType({})
) -> Iterator[Worker]:
    """`hes run gateway` that is ready. `more` are settings of the gateway by name."""
    if (limit := files_limit()) < sessions + _SPARE_FILES:
        raise usage(
            f"{sessions:,} sessions need as many open files, and this system allows a process {limit:,}",
            "raise the hard limit of open files (ulimit -Hn, /etc/security/limits.conf), or take fewer",
        )
    port = free_port()
    given = {"sessions": str(sessions), "tcp_port": str(port), "udp_port": "0", "templates_dir": str(rig.templates)}
    environ = {f"HES_GATEWAY__{name.upper()}": value for name, value in (given | dict(more)).items()}
    environ |= {"HES_LOG__LEVEL": "warning", "HES_KAFKA__GROUP_SUFFIX": rig.settings.kafka.group_suffix}
    module = ("connectors.cli.main",) if profile is None else ("connectors.cli.bench.profiler", str(profile.absolute()))
    with service("gateway", rig.settings, rig.home, environ, module) as child:
        running, until = Worker(child, rig, port), time.monotonic() + _PATIENCE_S
        while child.get("/health/ready") is None:
            if time.monotonic() > until:
                raise CommandError(f"the gateway does not get ready; its log ends with:\n{tail(child.log)}")
            running.pid  # noqa: B018 - raises where it has ended
            time.sleep(_LOOK_S)
        yield running


def rig_on(settings: Settings, home: Home) -> Rig:
    """A rig on a Kafka that runs and has the topology."""
    templates = home.data("bench-templates")
    templates.mkdir(parents=True, exist_ok=True)
    for name, pull in _TEMPLATES.items():
        (templates / f"bench-{name}.yaml").write_text(f"protocol: DLMS\n{pull}")
    publisher = Publisher(settings.kafka, "hes-bench")
    publisher.flush()
    return Rig(settings, home, templates, admin_client(settings.kafka), context.codec(settings), publisher)
