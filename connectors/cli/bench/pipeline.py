"""`hes bench pipeline`: a day of very many meters, from frames to rows that can be asked for, through the real services.

    meters' answers ─▶ decoded as a gateway does ─▶ hes.frames, hes.events.bulk ─▶ split ─▶ hes.readings.* ─▶ clickhouse
    pushes ─▶ a gateway's sockets ──────────────────▶ the same

Each is a process of its own, on a Kafka, a registry and a ClickHouse of the bench's own, wiped afterwards. Told are the
whole (`points` by the clock, from the first frame until ClickHouse counts every row), each service's CPU, octets a point on
Kafka and on disk, the highest lag, and of one meter in so many the time from its frames to its rows being there.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from confluent_kafka.admin import AdminClient

from connectors.cli import context
from connectors.cli.bench import pipeline_day, pipeline_push, pushes
from connectors.cli.bench.children import Lines, child, followed
from connectors.cli.bench.measure import cpu_of
from connectors.cli.bench.split import SOURCE, TARGET, count
from connectors.cli.bench.stack import bench_stack, service
from connectors.cli.bench.worker_rig import rig_on, worker
from connectors.cli.commands.meters import import_rows
from connectors.cli.demo.stage import Child
from connectors.cli.failure import CommandError, usage
from connectors.cli.output import progress
from connectors.cli.shipment import Row
from connectors.clickhouse.store import Store, open_store
from connectors.gateway.keystore import MeterKeys
from connectors.local import process
from connectors.local.home import Home, load_state
from streams.runtime.kafka import admin_client
from streams.runtime.settings import Settings

_LOOK_S = 0.25
_PATIENCE_S = 120.0
"""Without another row for so long the bench gives up."""
_MERGE_S = 1_800.0
_SERVICES = ("split", "clickhouse")
_OCTETS_A_METER = {True: (3_000, 1_200), False: (700, 300)}
"""Disk of a meter's day: for the first channel and each further one, with frames kept and without; twice what it took."""


@dataclass(frozen=True, slots=True)
class Options:
    """How much, and which way in."""

    meters: int = 20_000
    channels: int = 1
    push: bool = False
    ciphered: bool = False
    frames: bool = True
    profile: Path | None = None

    @property
    def points(self) -> int:
        """Rows that ClickHouse has in the end."""
        return self.meters * (pushes.ROWS if self.push else pipeline_day.ROWS * self.channels)


def run(options: Options, say: Callable[[str], None]) -> Iterator[dict[str, object]]:
    """A line for the whole and one for each process. `CommandError` where it comes to no end."""
    first, further = _OCTETS_A_METER[options.frames]
    needed = options.meters * (first + further * (options.channels - 1)) + 2**30
    free = shutil.disk_usage(tempfile.gettempdir()).free
    space = f"{options.meters:,} meters need {needed / 1e9:.1f} GB in {tempfile.gettempdir()}, {free / 1e9:.1f} are free"
    if free < needed:
        raise usage(space, "take fewer meters, leave the frames out (--no-frames), or set TMPDIR to where there is room")
    say(f"{space}; they are given back at the end")
    with bench_stack(say) as (settings, home):
        yield from _Run(options, settings, home, say).lines()


@dataclass(slots=True)
class _Meters:
    """The process that plays the meters."""

    running: subprocess.Popen[str]
    sent: int = 0
    play: float = 0.0
    """CPU seconds spent on being the meters."""
    cpu: float = 0.0
    """CPU seconds of the process."""
    done: bool = False
    marks: dict[str, int] = field(default_factory=dict)
    """When a meter's frames were taken, milliseconds."""

    def read(self, lines: Lines) -> None:
        """Follow what it prints."""
        for line in lines:
            if "mark" in line:
                self.marks[line["mark"]] = line["at"]
            else:
                self.sent, self.play, self.cpu, self.done = (line[name] for name in ("sent", "play", "cpu", "done"))


class _Run:
    """One run on a stack."""

    def __init__(self, options: Options, settings: Settings, home: Home, say: Callable[[str], None]) -> None:
        self._options, self._settings, self._home, self._say = options, settings, home, say
        self._admin: AdminClient = admin_client(settings.kafka)
        self._table = f"{settings.clickhouse.database}.{'registers' if options.push else 'intervals'}"
        self._target = "hes.readings.registers" if options.push else TARGET
        self._lag = {"split": 0, "clickhouse": 0}
        self._seen: dict[str, float] = {}
        """Of a marked meter, after how many milliseconds its rows were there."""

    def lines(self) -> Iterator[dict[str, object]]:
        """What was measured."""
        options = self._options
        with ExitStack() as held:
            # Merging a million meters' day into one part takes minutes, beside which nothing waits.
            store = open_store(self._settings.clickhouse.model_copy(update={"timeout_s": _MERGE_S}))
            held.callback(store.close)
            pids = self._services(held)
            begun = {name: cpu_of(pid) for name, pid in pids.items()}
            meters = held.enter_context(self._meters(held, pids, begun))
            began = time.perf_counter()
            self._follow(store, meters)
            wall = time.perf_counter() - began
            used = {name: cpu_of(pid) - begun[name] for name, pid in pids.items()}
            if not options.push:
                used["gateway-work"] = meters.cpu - meters.play
            else:
                del used["meters"]
            kafka, stored = self._octets(), self._stored(store)
        points = options.points
        ways = ("pushes" + (", ciphered" if options.ciphered else "")) if options.push else f"days of 96x{options.channels}"
        total = sum(used.values())
        ordered = sorted(self._seen.values())
        yield {
            "what": f"{options.meters:,} {ways}",
            "points": points,
            "seconds": round(wall, 1),
            "points_per_s": round(points / wall),
            "meters_per_s": round(options.meters / wall),
            "cpu_s": round(total, 1),
            "points_per_cpu_s": round(points / total),
            "kafka_octets_a_point": {topic: round(octets / points, 2) for topic, octets in kafka.items()},
            "disk_octets_a_point": round(stored / points, 2),
            "highest_lag": self._lag,
            "latency_ms": {f"p{share}": _percentile(ordered, share) for share in (50, 90, 99, 100)} if ordered else None,
        }
        for name, seconds in used.items():
            yield {"what": f"  {name}", "cpu_s": round(seconds, 1), "us_a_meter": round(1e6 * seconds / options.meters, 1)}
        yield {"what": "  the meters, played", "cpu_s": round(meters.play, 1)}

    def _services(self, held: ExitStack) -> dict[str, int]:
        """Start them; their process ids by name."""
        pids: dict[str, int] = {}
        children = [
            held.enter_context(service(name, self._settings, self._home, {"HES_LOG__LEVEL": "warning"}))
            for name in _SERVICES
        ]
        for each in children:
            assert each.running  # noqa: S101 - just started
            pids[each.name] = each.running.pid
            self._until_ready(each)
        for name, running in load_state(self._home).processes.items():
            if name != "registry":
                pids["clickhouse-server" if name == "clickhouse" else name] = running.pid
        return pids

    def _until_ready(self, child: Child) -> None:
        """Wait for a service to have its partitions; by then the sink has made the tables."""
        until = time.monotonic() + _PATIENCE_S
        while child.get("/health/ready") is None:
            if time.monotonic() > until or not child.alive():
                raise CommandError(f"{child.name} does not get ready; its log ends with:\n{process.tail(child.log)}")
            time.sleep(_LOOK_S)

    @contextmanager
    def _meters(self, held: ExitStack, pids: dict[str, int], begun: dict[str, float]) -> Iterator[_Meters]:
        """Start to send."""
        options = self._options
        module, arguments, name = pipeline_day.__name__, ["--channels", str(options.channels)], "gateway-work"
        if options.push:
            module, name = pipeline_push.__name__, "meters"
            arguments = ["--port", str(self._gateway(held, pids, begun)), *(["--ciphered"] if options.ciphered else [])]
        elif not options.frames:
            arguments.append("--no-frames")
        arguments += ["--meters", str(options.meters), "--mark", str(max(1, options.meters // _MARKS))]
        with child([sys.executable, "-m", module, *arguments], context.addresses(self._settings)) as running:
            pids[name], begun[name] = running.pid, 0.0
            meters = _Meters(running)
            with followed(running, meters.read):
                yield meters

    def _gateway(self, held: ExitStack, pids: dict[str, int], begun: dict[str, float]) -> int:
        """A gateway that knows the meters; its port."""
        options, rig = self._options, rig_on(self._settings, self._home)
        self._say(f"registering {options.meters:,} meters")
        for first in range(0, options.meters, _AT_ONCE):
            some = range(first, min(options.meters, first + _AT_ONCE))
            keys = MeterKeys(pushes.EK, pushes.AK)
            import_rows(self._settings, [Row(n, pushes.meter_of(n), None if n else keys) for n in some])
        gateway = held.enter_context(worker(rig, 100, profile=options.profile))
        if options.profile is not None:
            gateway.profile(None)
            held.callback(gateway.profile, options.profile)
        pids["gateway"], begun["gateway"] = gateway.pid, gateway.cpu()
        return gateway.push_port

    def _follow(self, store: Store, meters: _Meters) -> None:
        """Until every row is there."""
        points, before, until = self._options.points, -1, 0.0
        with progress(points, "rows") as bar:
            while True:
                stored = int(store.query(f"SELECT count() FROM {self._table}").rows[0][0])  # noqa: S608 - a name of ours
                bar.update(bar.task_ids[0], completed=stored)
                self._look_for_marked(store, meters)
                self._look_at_lag(stored)
                if stored >= points:
                    return
                if stored != before:
                    before, until = stored, time.monotonic() + _PATIENCE_S
                if time.monotonic() > until or (meters.running.poll() or 0) > 0:
                    raise CommandError(
                        f"{points - stored:,} rows did not come; {meters.sent:,} meters were sent",
                        mend=f"look at {self._home.log('')}",
                    )
                time.sleep(_LOOK_S)

    def _look_for_marked(self, store: Store, meters: _Meters) -> None:
        """Which of the marked meters can be asked for now that could not before."""
        some = [name for name in list(meters.marks) if name not in self._seen][:_MARKS]
        if not some:
            return
        names = ", ".join(f"'{name}'" for name in some)
        found = store.query(f"SELECT DISTINCT meter_id FROM {self._table} WHERE meter_id IN ({names})").rows  # noqa: S608 - names of ours
        now = time.time() * 1000
        for (name,) in found:
            self._seen[name] = now - meters.marks[name]

    def _look_at_lag(self, stored: int) -> None:
        events, readings = count(self._admin, SOURCE), count(self._admin, self._target)
        a_record = self._options.points // self._options.meters
        for name, lag in (("split", events - readings), ("clickhouse", readings - stored // a_record)):
            self._lag[name] = max(self._lag[name], lag)

    def _octets(self) -> dict[str, int]:
        """Of each topic, what the broker keeps in its files."""
        found: dict[str, int] = {}
        for segment in self._home.data("kafka").rglob("*.log"):
            topic, _, number = segment.parent.name.rpartition("-")
            if topic in ("hes.frames", SOURCE, self._target) and number.isdecimal():
                found[topic] = found.get(topic, 0) + segment.stat().st_size
        return found

    def _stored(self, store: Store) -> int:
        """Octets of the table, merged as it will be."""
        store.execute(f"OPTIMIZE TABLE {self._table} FINAL")
        database, _, table = self._table.partition(".")
        sql = "SELECT sum(bytes_on_disk) FROM system.parts WHERE active AND database = %(database)s AND table = %(table)s"
        return int(store.query(sql, {"database": database, "table": table}).rows[0][0])


def _percentile(ordered: Sequence[float], share: int) -> int:
    return round(ordered[min(len(ordered) - 1, len(ordered) * share // 100)])


_AT_ONCE = 10_000
_MARKS = 500
"""So many meters are watched for when their rows are there."""
