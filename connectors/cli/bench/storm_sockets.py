"""A gateway, and meters on its sockets: how the last gasps of `hes bench storm --at sockets` come in, and readings beside
any storm.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from connectors.cli.bench import pushes, storm_fleet
from connectors.cli.bench.children import Lines, child, followed
from connectors.cli.bench.fleet import files_limit
from connectors.cli.bench.storm_figures import Told, at_share
from connectors.cli.bench.storm_load import STEP_S, Beside, Gasp, Options
from connectors.cli.bench.worker_rig import Worker, rig_on, worker
from connectors.cli.commands.meters import import_rows
from connectors.cli.failure import CommandError, usage
from connectors.cli.keystore import key_store
from connectors.cli.output import progress
from connectors.cli.shipment import Row
from connectors.cli.topics import Span, decoded, read_topic
from connectors.gateway.keystore import MeterKeys
from connectors.local.home import Home
from schemas.records import Alarm
from streams.runtime.settings import Settings

ALARMS, PUSHED = "hes.alarms", "hes.readings.registers"
_SPARE_FILES = 200
_SESSIONS = 100
_PATIENCE_S = 60.0


@dataclass(slots=True)
class Meters:
    """The process that plays the meters."""

    running: subprocess.Popen[str]
    sent: dict[int, float] = field(default_factory=dict)
    """When each last gasp of the order was really sent, by its place; seconds."""
    told: dict[str, int] = field(default_factory=dict)
    ready: threading.Event = field(default_factory=threading.Event)

    def read(self, lines: Lines) -> None:
        """Follow what it prints."""
        for line in lines:
            self.sent.update(line.pop("sent", ()))
            self.told = line
            self.ready.set()
        self.ready.set()

    def order(self, begin: float, gasps: Sequence[Gasp], readings: float) -> None:
        """From `begin` on (seconds), these last gasps, and so many readings a second until the next order."""
        assert self.running.stdin  # noqa: S101 - a pipe
        self.sent = {}
        order = {"begin": begin, "gasps": [(gasp.at_ms, gasp.number) for gasp in gasps], "readings": readings}
        try:
            self.running.stdin.write(json.dumps(order) + "\n")
            self.running.stdin.flush()
        except OSError as error:
            raise CommandError("the meters' process ended; its own words are above") from error

    def check(self) -> None:
        """CommandError where it has ended, or where the gateway closed connections."""
        if self.running.poll() is not None:
            raise CommandError("the meters' process ended; its own words are above")
        if lost := self.told.get("lost", 0):
            raise CommandError(f"{lost:,} connections of meters were closed, or refused", mend="look at the log of gateway")


@dataclass(frozen=True, slots=True)
class Sockets:
    """A gateway that knows the meters, and the meters."""

    gateway: Worker
    meters: Meters


def check_files(options: Options) -> None:
    """Raise `CommandError` where a process may not have as many open files as connections take."""
    if (limit := files_limit()) < (needed := _files(options)):
        raise usage(
            f"{options.connections:,} connections need {needed:,} open files, and this system allows a process {limit:,}",
            "raise the hard limit of open files (ulimit -Hn, /etc/security/limits.conf), or give fewer --connections",
        )


def _files(options: Options) -> int:
    return options.connections + storm_fleet.READING_CONNECTIONS + _SPARE_FILES


@contextmanager
def sockets(options: Options, settings: Settings, home: Home, say: Callable[[str], None]) -> Iterator[Sockets]:
    """Both, ready, after the meters of the storm were registered."""
    key_store(settings).put_many({pushes.KEY_REF: MeterKeys(pushes.EK, pushes.AK)})
    if options.beside_readings:
        readers = range(storm_fleet.READERS)
        import_rows(settings, [Row(number, pushes.meter_of(number), None) for number in readers])
    more = {"max_connections": str(_files(options))}
    with (
        worker(rig_on(settings, home), _SESSIONS, profile=options.profile_of("gateway"), more=more) as gateway,
        _playing(options, gateway.push_port) as meters,
    ):
        say(f"the meters have {options.connections:,} connections to the gateway")
        yield Sockets(gateway, meters)


@contextmanager
def _playing(options: Options, port: int) -> Iterator[Meters]:
    arguments = ["--port", str(port), "--connections", str(options.connections if options.source == "sockets" else 0)]
    given = {"--each": options.each, "--readings": options.beside_readings, "--ciphered": options.ciphered}
    arguments += [name for name, wanted in given.items() if wanted]
    with child([sys.executable, "-m", storm_fleet.__name__, *arguments], orders=True) as running:
        meters = Meters(running)
        with followed(running, meters.read):
            if not meters.ready.wait(_PATIENCE_S) or running.poll() is not None:
                raise CommandError("the meters' process does not get ready; its own words are above")
            yield meters


def send(sockets: Sockets, look: Callable[[float], None], gasps: Sequence[Gasp], beside: Beside) -> list[float]:
    """Have each last gasp pushed at its time; when that was. See `storm_load.send`."""
    meters = sockets.meters
    until, before = time.monotonic() + _PATIENCE_S, 0
    with progress(len(gasps), "alarms") as bar:
        while len(meters.sent) < len(gasps):
            meters.check()
            beside.send(time.time())
            look(STEP_S)
            if len(meters.sent) > before:
                until, before = time.monotonic() + _PATIENCE_S, len(meters.sent)
            if time.monotonic() > until:
                raise CommandError(f"{len(gasps) - before:,} last gasps cannot be sent", mend="look at the log of gateway")
            bar.update(bar.task_ids[0], completed=before)
    return [meters.sent[place] for place in range(len(gasps))]


@dataclass(frozen=True, slots=True)
class Arrived:
    """When a last gasp was where; milliseconds."""

    received: int
    """By the gateway."""
    split: int
    """As the splitter put it on hes.alarms."""


def found_on_topic(
    settings: Settings, gasps: Sequence[Gasp], since: Mapping[int, int]
) -> tuple[list[Gasp], dict[str, Arrived], int]:
    """The last gasps with the alarms that they became, as hes.alarms has them from those offsets on, when each alarm came
    by, and how many records there are of them. `CommandError` where one is not there, or there under two ids.
    """
    ids: dict[str, str] = {}
    arrived: dict[str, Arrived] = {}
    wanted, records = {gasp.meter for gasp in gasps}, 0
    for message, record in decoded(settings, read_topic(settings, ALARMS, Span(offsets=since))):
        if not isinstance(record, Alarm) or record.meter_id not in wanted:
            continue
        records += 1
        if ids.setdefault(record.meter_id, record.id) != record.id:
            raise CommandError(
                f"one last gasp of {record.meter_id} became two alarms, {ids[record.meter_id]} and {record.id}"
            )
        arrived.setdefault(record.id, Arrived(record.received_at, message.timestamp()[1]))
    if lost := len(wanted) - len(ids):
        raise CommandError(f"{lost:,} last gasps are not on {ALARMS}", mend="look at the log of gateway")
    return [replace(gasp, alarm=ids[gasp.meter]) for gasp in gasps], arrived, records


def stages(gasps: Sequence[Gasp], sent: Sequence[float], arrived: Mapping[str, Arrived], told: Told) -> dict[str, object]:
    """How long each stage took: from the sending to the gateway, from there to hes.alarms, from there to the outage."""
    took: dict[str, list[float]] = {"gateway": [], "split": [], "oms": []}
    for gasp, at in zip(gasps, sent, strict=True):
        came = arrived[gasp.alarm]
        took["gateway"].append(came.received - 1_000 * at)
        took["split"].append(came.split - came.received)
        took["oms"].append(1_000 * told.at[gasp.alarm][0] - came.split)
    ordered = {name: sorted(waits) for name, waits in took.items()}
    return {
        f"{name}_p{share}_ms": round(at_share(waits, share / 100)) for name, waits in ordered.items() for share in (50, 99)
    }
