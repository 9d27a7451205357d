"""`hes bench storm`: last gasps of a hundred thousand meters in ten seconds, to outages on oms.outages.

Transformers go dark one after another, each with all its meters within `spread` seconds; a share of the last gasps comes
through. They are put on hes.alarms, or on hes.events.urgent before the splitter, at the times that were planned for them,
while profiles flow on hes.events.bulk through the splitter. An alarm's time is from its planned time, so that what the bench
itself is late counts too, to when a consumer that reads what is committed has the revision that names it.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, TopicPartition
from prometheus_client.parser import text_string_to_metric_families

from connectors.cli import context
from connectors.cli.bench.measure import cpu_of
from connectors.cli.bench.split import count, ends
from connectors.cli.bench.stack import bench_stack, service
from connectors.cli.demo.stage import Child
from connectors.cli.failure import CommandError
from schemas.codec import Codec
from schemas.ids import event_id
from schemas.records import (
    Alarm,
    AlarmKind,
    Cause,
    Channel,
    IntervalReadings,
    Meter,
    MeterState,
    OutageEvent,
    OutageScope,
    OutageStatus,
    Severity,
)
from streams.runtime.kafka import Publisher, admin_client, new_consumer
from streams.runtime.settings import Settings
from streams.runtime.tracing import headers_of

OUTAGES, BULK, STORED = "oms.outages", "hes.events.bulk", "hes.readings.intervals"
SOURCES = {"alarms": "hes.alarms", "events": "hes.events.urgent"}
_READY_S = 180.0
_LEAD_S = 3.0
_PATIENCE_S = 120.0
_STEP_S = 0.005
_ROWS = 96
_PLAIN = ("connectors.cli.main",)


@dataclass(frozen=True, slots=True)
class Options:
    """What goes dark, and what else there is to do."""

    alarms: int = 100_000
    seconds: float = 10.0
    transformers: int = 4_000
    feeders: int = 20
    delivered: float = 0.6
    spread: float = 1.5
    bulk: int = 300
    """Profiles of 96 x 1 a second."""
    source: str = "alarms"
    profile: Path | None = None
    """Where the CPU profile of the service goes."""
    seed: int = 7


@dataclass(slots=True)
class Heard:
    """What came on oms.outages: the time at which each batch was there, and its values."""

    batches: list[tuple[float, list[bytes]]] = field(default_factory=list)
    records: int = 0

    def look(self, consumer: Consumer, wait_s: float) -> None:
        """Take what there is."""
        messages = consumer.consume(10_000, wait_s)
        now = time.time()
        values = [value for message in messages if message.error() is None and (value := message.value()) is not None]
        if values:
            self.batches.append((now, values))
            self.records += len(values)


@dataclass(frozen=True, slots=True)
class Gasp:
    """One alarm, ready to be sent at its time."""

    at_ms: int
    alarm: str
    meter: str
    value: bytes
    headers: Any


def run(options: Options, say: Callable[[str], None]) -> Iterator[dict[str, object]]:
    """A row of figures, and a row a service. Raises CommandError where an alarm is lost or told twice."""
    with bench_stack(say) as (settings, home), ExitStack() as stack:
        names = _meters(options)
        say(f"registering {sum(map(len, names)):,} meters below {len(names):,} transformers")
        _register(settings, names, options)
        environ = {"HES_LOG__LEVEL": "warning"}
        sampled = ("connectors.cli.bench.profiler", str(options.profile.absolute())) if options.profile else _PLAIN
        children = [
            stack.enter_context(service(name, settings, home, environ, module))
            for name, module in (("split", _PLAIN), ("oms", sampled))
        ]
        for child in children:
            _wait_ready(child)
        yield from _storm(settings, names, options, children, say)


def _meters(options: Options) -> list[list[str]]:
    """Names of the meters below each transformer."""
    each = max(1, round(options.alarms / options.transformers / options.delivered))
    return [[f"storm-{number:05d}-{one:03d}" for one in range(each)] for number in range(options.transformers)]


def _place(number: int, options: Options) -> tuple[str, str]:
    return f"TR-{number:05d}", f"FD-{number * options.feeders // options.transformers:03d}"


def _register(settings: Settings, names: Sequence[Sequence[str]], options: Options) -> None:
    codec, publisher = context.codec(settings), Publisher(settings.kafka, "hes-bench")
    for number, meters in enumerate(names):
        transformer, feeder = _place(number, options)
        for name in meters:
            meter = Meter(id=name, transformer=transformer, feeder=feeder, state=MeterState.NORMAL)
            publisher.send("hes.meters", name, codec.encode(meter))
    publisher.close()


def _storm(
    settings: Settings,
    names: Sequence[Sequence[str]],
    options: Options,
    children: Sequence[Child],
    say: Callable[[str], None],
) -> Iterator[dict[str, object]]:
    codec, publisher = context.codec(settings), Publisher(settings.kafka, "hes-bench")
    admin = admin_client(settings.kafka)
    quick: dict[str, Any] = {"isolation.level": "read_committed", "fetch.wait.max.ms": 10}
    tap = new_consumer(settings.kafka, "hes-bench-storm", **quick)
    tap.assign([TopicPartition(OUTAGES, part, end) for part, end in ends(admin, OUTAGES).items()])
    heard = Heard()
    try:
        say(f"preparing {options.alarms:,} last gasps")
        gasps = _gasps(names, options, codec)
        profiles = _profiles(codec)
        # Prepared before the clock is looked at: the times in the alarms are those at which they will be sent.
        begin = gasps[0].at_ms / 1_000
        if begin < time.time():
            raise CommandError("this machine prepares too slowly for the time that is left", mend="give fewer --alarms")
        cpu = {child.name: _cpu(child) for child in children}
        if options.profile:
            _signal(children[-1], signal.SIGUSR1)
        stored = count(admin, STORED)
        late, sent_bulk = _send(publisher, tap, heard, gasps, profiles, options)
        until = time.monotonic() + _PATIENCE_S
        publisher.flush()
        wanted = {gasp.alarm for gasp in gasps}
        told: dict[str, list[float]] = {}
        read = 0
        events: list[OutageEvent] = []
        while len(told) < len(wanted):
            if time.monotonic() > until:
                raise CommandError(f"{len(wanted) - len(told):,} alarms are in no outage", mend="look at the log of oms")
            heard.look(tap, 0.2)
            read = _decoded(codec, heard, read, told, events)
        used = {child.name: _cpu(child) - cpu[child.name] for child in children}
        written = {child.name: _written(child) for child in children}
        moved = count(admin, STORED) - stored
        if options.profile:
            _profiled(children[-1], options.profile)
    finally:
        tap.close()
        publisher.close()
    yield _row(gasps, told, events, options, late) | {"profiles_sent": sent_bulk, "profiles_split": moved}
    for name, seconds in used.items():
        batches, took = written[name]
        each = {"batches": round(batches), "batch_ms": round(1_000 * took / batches)} if batches else {}
        yield {"service": name, "cpu_s": round(seconds, 1), "load": round(os.getloadavg()[0], 1)} | each


def _gasps(names: Sequence[Sequence[str]], options: Options, codec: Codec) -> list[Gasp]:
    """The alarms in order of time, from a moment after now."""
    dice = random.Random(options.seed)  # noqa: S311 - repeatability is the point
    planned: list[tuple[float, int, str]] = []
    heard = round(options.alarms / options.transformers)
    for number, meters in enumerate(names):
        dark = dice.random() * max(0.0, options.seconds - options.spread)
        planned += [(dark + dice.random() * options.spread, number, name) for name in dice.sample(meters, heard)]
    planned.sort()
    # 60 us an alarm, and as much again for a busy machine.
    begin = time.time() + _LEAD_S + len(planned) * 120e-6
    found = []
    for after, number, name in planned:
        at_ms = round((begin + after) * 1_000)
        transformer, feeder = _place(number, options)
        alarm = Alarm(
            id=event_id("Alarm", name, at_ms),
            meter_id=name,
            kind=AlarmKind.OUTAGE,
            severity=Severity.CRITICAL,
            occurred_at=at_ms // 1_000 * 1_000,
            meter_time_given=True,
            received_at=at_ms,
            code="1",
            code_table="0.0.96.11.0.255",
            event_type="3.26.0.85",
            transformer=transformer,
            feeder=feeder,
        )
        headers = headers_of(alarm, source="bench", at_ms=at_ms)
        found.append(Gasp(at_ms, alarm.id, name, codec.encode(alarm), headers))
    return found


def _profiles(codec: Codec) -> list[tuple[str, bytes, Any]]:
    found = []
    for number in range(1_000):
        name, start = f"bulk-{number:04d}", 1_772_323_200_000
        channel = Channel(obis="1.0.1.8.0.255", unit="Wh", scaler=0, longs=tuple(range(number, number + 37 * _ROWS, 37)))
        reading = IntervalReadings(
            id=event_id("IntervalReadings", name, start),
            meter_id=name,
            source="7/1.0.99.1.0.255/2",
            first_end=start,
            period_s=900,
            rows=_ROWS,
            channels=(channel,),
            read_at=start,
            cause=Cause.SCHEDULED,
        )
        found.append((name, codec.encode(reading), headers_of(reading, source="bench", at_ms=start)))
    return found


def _send(
    publisher: Publisher,
    tap: Consumer,
    heard: Heard,
    gasps: Sequence[Gasp],
    profiles: Sequence[tuple[str, bytes, Any]],
    options: Options,
) -> tuple[float, int]:
    """Each at its time; how late the latest was, in seconds, and how many profiles went beside them."""
    topic = SOURCES[options.source]
    begin = gasps[0].at_ms / 1_000
    sent = bulk = 0
    late = 0.0
    while sent < len(gasps):
        now = time.time()
        while sent < len(gasps) and gasps[sent].at_ms <= now * 1_000:
            gasp = gasps[sent]
            publisher.send(topic, gasp.meter, gasp.value, gasp.headers)
            late = max(late, now - gasp.at_ms / 1_000)
            sent += 1
        while bulk < (now - begin) * options.bulk:
            name, value, headers = profiles[bulk % len(profiles)]
            publisher.send(BULK, name, value, headers)
            bulk += 1
        heard.look(tap, _STEP_S)
    return late, bulk


def _decoded(codec: Codec, heard: Heard, read: int, told: dict[str, list[float]], events: list[OutageEvent]) -> int:
    for at, values in heard.batches[read:]:
        for value in values:
            event = codec.decode(value)
            if isinstance(event, OutageEvent):
                events.append(event)
                for alarm in event.alarms:
                    told.setdefault(alarm, []).append(at)
    return len(heard.batches)


def _row(
    gasps: Sequence[Gasp], told: dict[str, list[float]], events: Sequence[OutageEvent], options: Options, late: float
) -> dict[str, object]:
    twice = sum(len(times) > 1 for times in told.values())
    waited = sorted((told[gasp.alarm][0] - gasp.at_ms / 1_000) * 1_000 for gasp in gasps)
    first_of: dict[str, float] = {}
    at_of = {gasp.alarm: gasp.at_ms / 1_000 for gasp in gasps}
    for event in events:
        if event.revision == 1 and event.alarms:
            began = min(at_of[alarm] for alarm in event.alarms)
            first_of[event.outage_id] = (told[event.alarms[0]][0] - began) * 1_000
    firsts = sorted(first_of.values())
    latest: dict[str, OutageEvent] = {}
    for event in events:
        if event.outage_id not in latest or latest[event.outage_id].revision < event.revision:
            latest[event.outage_id] = event
    scopes = Counter(event.scope for event in latest.values() if event.status is not OutageStatus.MERGED)
    transformers = Counter(event.transformer for event in latest.values() if event.transformer)
    revisions = sum(bool(event.transformer) for event in events)
    return {
        "alarms": len(gasps),
        "alarms_per_s": round(len(gasps) / options.seconds),
        "told": len(told),
        "told_twice": twice,
        "p50_ms": round(_at(waited, 0.5)),
        "p99_ms": round(_at(waited, 0.99)),
        "longest_ms": round(waited[-1]),
        "first_p50_ms": round(_at(firsts, 0.5)),
        "first_p99_ms": round(_at(firsts, 0.99)),
        "bench_late_ms": round(late * 1_000),
        "outages_a_transformer": round(sum(transformers.values()) / max(1, len(transformers)), 3),
        "revisions_a_transformer": round(revisions / max(1, len(transformers)), 1),
        **{str(scope).lower(): scopes.get(scope, 0) for scope in OutageScope if scope is not OutageScope.UNKNOWN},
    }


def _at(ordered: Sequence[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


def _signal(child: Child, number: signal.Signals) -> None:
    if child.running is not None:
        os.kill(child.running.pid, number)


def _profiled(child: Child, path: Path) -> None:
    """Have the profile written, and wait for it."""
    path.unlink(missing_ok=True)
    _signal(child, signal.SIGUSR2)
    until = time.monotonic() + _READY_S
    while not path.exists():
        if time.monotonic() > until:
            raise CommandError("the profile is not written", mend=f"look at {child.log}")
        time.sleep(0.1)


def _written(child: Child) -> tuple[float, float]:
    """How many batches a service wrote, and how long they took it, all together."""
    samples = [one for family in text_string_to_metric_families(child.get("/metrics") or "") for one in family.samples]
    found = {one.name: one.value for one in samples if one.name.startswith("hes_batch_seconds")}
    return found.get("hes_batch_seconds_count", 0.0), found.get("hes_batch_seconds_sum", 0.0)


def _cpu(child: Child) -> float:
    return cpu_of(child.running.pid) if child.running else 0.0


def _wait_ready(child: Child) -> None:
    until = time.monotonic() + _READY_S
    while child.get("/health/ready") is None:
        if not child.alive() or time.monotonic() > until:
            raise CommandError(f"{child.name} does not get ready", mend=f"look at {child.log}")
        time.sleep(0.1)
