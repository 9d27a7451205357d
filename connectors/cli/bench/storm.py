"""`hes bench storm`: last gasps of a hundred thousand meters in ten seconds, to outages on oms.outages.

Transformers go dark one after another, each with all its meters within `spread` seconds; a share of the last gasps comes
through. They are put on hes.alarms, or on hes.events.urgent before the splitter, or pushed to a gateway's sockets, at the
times that were planned for them, while profiles flow on hes.events.bulk through the splitter, and readings that are pushed
through the gateway. An alarm's time is from its planned time, so that what the bench itself is late counts too, to when a
consumer that reads what is committed has the revision that names it. The time for which the service gathers what is said of
a transformer (`oms.gather_s`) is part of that.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from confluent_kafka import Consumer, TopicPartition
from prometheus_client.parser import text_string_to_metric_families

from connectors.cli import context
from connectors.cli.bench import pushes
from connectors.cli.bench.measure import cpu_of
from connectors.cli.bench.split import count, ends
from connectors.cli.bench.stack import bench_stack, service
from connectors.cli.bench.storm_figures import Told, row_of
from connectors.cli.bench.storm_load import (
    ROWS,
    Beside,
    Gasp,
    Heard,
    Options,
    gasps_of,
    meters_of,
    number_of,
    place_of,
    profiles_of,
    pushes_of,
    send,
)
from connectors.cli.bench.storm_sockets import ALARMS, PUSHED, Sockets, check_files, found_on_topic, sockets, stages
from connectors.cli.bench.storm_sockets import send as send_by
from connectors.cli.demo.stage import Child
from connectors.cli.failure import CommandError
from connectors.local.home import Home, load_state
from schemas.codec import Codec
from streams.runtime.kafka import Publisher, admin_client, new_consumer
from streams.runtime.settings import Settings

OUTAGES, STORED = "oms.outages", "hes.readings.intervals"
_READY_S = 180.0
_PATIENCE_S = 120.0
_PLAIN = ("connectors.cli.main",)

Row = dict[str, object]


def run(options: Options, say: Callable[[str], None]) -> Iterator[Row]:
    """For each storm a row of figures, and a row a process. Raises CommandError where an alarm is lost."""
    if options.source == "sockets":
        check_files(options)
    with bench_stack(say) as (settings, home):
        yield from run_on(settings, home, options, say)


def run_on(settings: Settings, home: Home, options: Options, say: Callable[[str], None]) -> Iterator[Row]:
    """The same on a stack that runs and has the topology."""
    each = options.alarms / options.transformers
    storms = [_storm_of(options, number, rate, each) for number, rate in enumerate(options.rates)] or [options]
    with ExitStack() as stack:
        names = [meters_of(storm) for storm in storms]
        say(f"registering {sum(len(some) for one in names for some in one):,} meters")
        _register(settings, names, storms)
        environ = {"HES_LOG__LEVEL": "warning", "HES_KAFKA__GROUP_SUFFIX": settings.kafka.group_suffix}
        children = []
        for name in ("split", "oms"):
            path = options.profile_of(name)
            module = _PLAIN if path is None else ("connectors.cli.bench.profiler", str(path.absolute()))
            children.append(stack.enter_context(service(name, settings, home, environ, module)))
        ways = stack.enter_context(sockets(options, settings, home, say)) if _pushes(options) else None
        for child in children:
            _wait_ready(child)
        bench = _Bench(settings, home, [*children, *([ways.gateway.child] if ways else [])], ways, say)
        for storm, meters in zip(storms, names, strict=True):
            yield from bench.storm(storm, meters, last=storm is storms[-1])


def _pushes(options: Options) -> bool:
    return options.source == "sockets" or options.beside_readings > 0


def _storm_of(options: Options, number: int, rate: int, each: float) -> Options:
    alarms = round(rate * options.seconds)
    transformers = max(1, round(alarms / each))
    return replace(
        options,
        name=str(number),
        alarms=alarms,
        transformers=transformers,
        feeders=max(1, round(options.feeders * transformers / options.transformers)),
        seed=options.seed + number,
    )


def _register(settings: Settings, names: Sequence[Sequence[Sequence[str]]], storms: Sequence[Options]) -> None:
    codec, publisher = context.codec(settings), Publisher(settings.kafka, "hes-bench")
    for storm, transformers in zip(storms, names, strict=True):
        for number, meters in enumerate(transformers):
            transformer, feeder = place_of(number, storm)
            for one, name in enumerate(meters):
                meter = pushes.meter_of(number_of(number, one, len(meters), storm), name, transformer, feeder)
                publisher.send("hes.meters", name, codec.encode(meter))
    publisher.close()


def _publisher(settings: Settings, options: Options) -> Publisher:
    """Alarms are put on their topic as split does it, which gathers for a moment; Kafka's work goes by the batch."""
    gathers = {"linger.ms": round(1_000 * settings.split.batch_wait_s)} if options.source == "alarms" else {}
    return Publisher(settings.kafka, "hes-bench", **gathers)


@dataclass(frozen=True, slots=True)
class _Bench:
    """What all storms of a run are measured with."""

    settings: Settings
    home: Home
    children: Sequence[Child]
    ways: Sockets | None
    say: Callable[[str], None]

    def storm(self, options: Options, names: Sequence[Sequence[str]], *, last: bool) -> Iterator[Row]:
        """One storm's rows."""
        settings = self.settings
        codec, publisher = context.codec(settings), _publisher(settings, options)
        admin = admin_client(settings.kafka)
        tap = new_consumer(settings.kafka, "hes-bench-storm", **{"isolation.level": "read_committed"})
        tap.assign([TopicPartition(OUTAGES, part, end) for part, end in ends(admin, OUTAGES).items()])
        heard, told = Heard(), Told()
        profiled = next((child for child in self.children if options.profile_of(child.name)), None)
        try:
            self.say(f"preparing {options.alarms:,} last gasps, {options.rate:,} a second")
            profiles = profiles_of(codec)
            before = {topic: ends(admin, topic) for topic in (ALARMS, STORED, PUSHED)}
            at_sockets = options.source == "sockets"
            gasps = pushes_of(names, options) if at_sockets else gasps_of(names, options, codec)
            if profiled:
                _signal(profiled, signal.SIGUSR1)
            cpu, written = self._cpu(), {child.name: _written(child) for child in self.children}
            beside = Beside(publisher, profiles, options.bulk, gasps[0].at_ms / 1_000)
            sent = self._send(publisher, partial(heard.look, tap), gasps, beside, options)
            lasted = time.time() - beside.begin
            flowed = {topic: count(admin, topic) - sum(before[topic].values()) for topic in (STORED, PUSHED)}
            publisher.flush()
            self._hear(codec, tap, heard, told, options, len(gasps))
            used = {name: seconds - cpu[name] for name, seconds in self._cpu().items()}
            wrote = {child.name: _less(_written(child), written[child.name]) for child in self.children}
            moved = count(admin, STORED) - sum(before[STORED].values())
            if profiled and options.profile and last:
                _profiled(profiled, options.profile)
        finally:
            tap.close()
            publisher.close()
        flow: Row = {"profiles_sent": beside.sent, "profiles_split": moved}
        flow["profile_rows_per_s"] = round(flowed[STORED] * ROWS / lasted)
        flow["pushed_rows_per_s"] = round(flowed[PUSHED] * pushes.ROWS / lasted)
        if at_sockets:
            gasps, arrived, flow["on_topic"] = found_on_topic(settings, gasps, before[ALARMS])
            flow |= stages(gasps, sent, arrived, told)
        yield row_of(gasps, sent, told, options) | flow
        yield from self._processes(used, wrote, options)

    def _send(
        self, publisher: Publisher, look: Callable[[float], None], gasps: Sequence[Gasp], beside: Beside, options: Options
    ) -> list[float]:
        """Everything at its time; when the last gasps really were."""
        if self.ways is None:
            return send(publisher, look, gasps, beside, options)
        meters, at_sockets = self.ways.meters, options.source == "sockets"
        meters.order(beside.begin, gasps if at_sockets else (), options.beside_readings / pushes.ROWS)
        sent = send_by(self.ways, look, gasps, beside) if at_sockets else send(publisher, look, gasps, beside, options)
        meters.order(beside.begin, (), 0)
        return sent

    def _hear(self, codec: Codec, tap: Consumer, heard: Heard, told: Told, options: Options, alarms: int) -> None:
        """Until so many alarms were named."""
        until = time.monotonic() + _PATIENCE_S
        told.take(codec, heard, options)
        while len(told.at) < alarms:
            if time.monotonic() > until:
                raise CommandError(f"{alarms - len(told.at):,} alarms are in no outage", mend="look at the log of oms")
            heard.look(tap, 0.2)
            told.take(codec, heard, options)

    def _processes(
        self, used: Mapping[str, float], wrote: Mapping[str, tuple[float, float]], options: Options
    ) -> Iterator[Row]:
        """Who had the CPU, and how long a batch took from its making to its commit."""
        total = sum(used.values()) or 1.0
        for name, seconds in sorted(used.items(), key=lambda one: -one[1]):
            batches, took = wrote.get(name, (0.0, 0.0))
            row: Row = {
                "process": name,
                "cpu_s": round(seconds, 1),
                "cpu_us_an_alarm": round(1e6 * seconds / options.alarms, 1),
                "share": round(seconds / total, 2),
                "load": round(os.getloadavg()[0], 1),
            }
            yield row | ({"batches": round(batches), "batch_ms": round(1_000 * took / batches)} if batches else {})

    def _cpu(self) -> dict[str, float]:
        """CPU seconds so far of the services, of the stack's own processes and of the bench."""
        pids = {name: running.pid for name, running in load_state(self.home).processes.items()}
        pids |= {child.name: child.running.pid for child in self.children if child.running is not None}
        if self.ways is not None:
            pids["meters"] = self.ways.meters.running.pid
        return {name: cpu_of(pid) for name, pid in pids.items()} | {"bench": cpu_of(os.getpid())}


def _less(now: tuple[float, float], before: tuple[float, float]) -> tuple[float, float]:
    return now[0] - before[0], now[1] - before[1]


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


def _wait_ready(child: Child) -> None:
    until = time.monotonic() + _READY_S
    while child.get("/health/ready") is None:
        if not child.alive() or time.monotonic() > until:
            raise CommandError(f"{child.name} does not get ready", mend=f"look at {child.log}")
        time.sleep(0.1)
