"""The processes of a demo: the local stack, one process a service, and the fleet; all end with the demo, however it ends."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from connectors.cli import context
from connectors.cli.commands.meters import import_rows
from connectors.cli.commands.topology import apply_to
from connectors.cli.failure import CommandError
from connectors.cli.shipment import Row, read_shipment
from connectors.local import ports, process
from connectors.local.home import Home, Running
from connectors.local.stack import LocalStack
from streams.runtime.settings import Settings

SERVICES = ("split", "clickhouse", "oms", "fraud", "gateway")
READY_WITHIN_S = 60.0
FLEET_ENDS_WITHIN_S = 360.0


@dataclass(frozen=True, slots=True)
class Scale:
    """How large a demo is."""

    meters: int = 200
    seed: int = 7
    extra: tuple[str, ...] = ()  # further arguments of the simulator
    c12_share: float = 0.0  # of the meters, ANSI C12.22


@dataclass(frozen=True, slots=True)
class Doors:
    """Where meters reach the gateway."""

    tcp: int
    udp: int
    c12_tcp: int
    c12_udp: int

    def environ(self) -> dict[str, str]:
        """For the gateway."""
        names = ("HES_GATEWAY__TCP_PORT", "HES_GATEWAY__UDP_PORT", "HES_C1222__TCP_PORT", "HES_C1222__UDP_PORT")
        return dict(zip(names, map(str, (self.tcp, self.udp, self.c12_tcp, self.c12_udp)), strict=True))

    def arguments(self) -> list[str]:
        """For the fleet."""
        pairs = (("push", self.tcp), ("udp", self.udp), ("c12", self.c12_tcp), ("c12-udp", self.c12_udp))
        return [word for name, port in pairs for word in (f"--{name}-to", f"127.0.0.1:{port}")]


@dataclass(slots=True)
class Child:
    """One process of the demo."""

    name: str
    command: process.Command
    log: Path
    health_port: int = 0
    running: Running | None = None

    def start(self) -> None:
        """Start, or start again."""
        self.running = process.spawn(self.command, self.log, tied=True)

    def alive(self) -> bool:
        """Whether it runs."""
        return process.alive(self.running)

    def get(self, path: str) -> str | None:
        """What its health port answers; None where it does not, or says no."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.health_port}{path}", timeout=2) as answer:
                return str(answer.read().decode())
        except urllib.error.HTTPError as error:
            error.close()  # it holds the connection
            return None
        except (urllib.error.URLError, OSError, ValueError):
            return None


@dataclass(slots=True)
class Stage:
    """Everything a demo runs. Use as a context manager: leaving it stops what was started."""

    scale: Scale
    say: Callable[[str], None]
    home: Home = field(default_factory=lambda: Home.of(context.home().data("demo")))
    settings: Settings = field(default_factory=Settings)
    services: dict[str, Child] = field(default_factory=dict)
    fleet: Child | None = None
    meters: list[Row] = field(default_factory=list)
    _stack: LocalStack | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        children = [child.running for child in (self.fleet, *self.services.values()) if child and child.running]
        process.stop(children, grace_s=10.0)
        if self._stack is not None:
            self._stack.__exit__(kind, error, trace)

    def open(self) -> None:
        """Start the stack on fresh data, then the fleet, import it, then the services, and let the meters push."""
        self._stack = LocalStack(self.home.root)
        if any(part.state != "stopped" for part in self._stack.status()):
            raise CommandError("a demo is running already", mend="end it with Ctrl-C in its terminal")
        for part in ("kafka", "registry", "clickhouse", "keys", "fleet"):
            shutil.rmtree(self.home.data(part), ignore_errors=True)
        endpoints = self._stack.up(self.say)
        # Always the demo's own: whoever has a production cluster in the environment must not find a simulated fleet there.
        self.settings = context.with_local(Settings(), endpoints, self.home, always=True)
        apply_to(self.settings, replication=1)
        doors = Doors(*(ports.free_port(kind) for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM) * 2))
        self.say(f"starting {self.scale.meters} meters")
        self.fleet = self._new_fleet(doors)
        self.fleet.start()
        ready = self._fleet_ready(self.fleet)
        self.meters = [row for row in read_shipment(Path(ready["shipment"])) if isinstance(row, Row)]
        # What their vendors deliver with the C12.22 meters.
        gateway = self.settings.gateway.model_copy(update={"templates_dir": str(ready["templates"])})
        self.settings = self.settings.model_copy(update={"gateway": gateway})
        import_rows(self.settings, self.meters)
        self.say(f"starting {', '.join(SERVICES)}")
        environ = {**doors.environ(), "HES_GATEWAY__TEMPLATES_DIR": gateway.templates_dir}
        for name in SERVICES:
            self.services[name] = self.new_service(name, environ if name == "gateway" else {})
            self.services[name].start()
        for child in self.services.values():
            self.wait_ready(child)
        # Only now: before the gateway knows them, meters that push are unknown to it.
        if self.fleet.running is not None:
            os.kill(self.fleet.running.pid, signal.SIGUSR1)

    def wait_ready(self, child: Child) -> None:
        """Until a service says that it is ready; `CommandError` with the end of its log where it does not."""
        until = time.monotonic() + READY_WITHIN_S
        while child.get("/health/ready") is None:
            if not child.alive() or time.monotonic() > until:
                self.failed(child)
            time.sleep(0.05)

    def failed(self, child: Child) -> None:
        """End the demo for a child that ended or never got ready."""
        state = "does not get ready" if child.alive() else "has ended"
        raise CommandError(
            f"{child.name} {state}; its log ends with:\n{process.tail(child.log)}", mend=f"look at {child.log}"
        )

    def check(self) -> None:
        """`CommandError` where a process of the demo has ended."""
        for child in (*self.services.values(), self.fleet):
            if child is not None and not child.alive():
                self.failed(child)

    def end_fleet(self) -> dict[str, Any]:
        """Let the meters finish what they send, for as long as the fleet's own `drain_s`; its summary."""
        if self.fleet is None or self.fleet.running is None:
            return {}
        process.stop([self.fleet.running], grace_s=FLEET_ENDS_WITHIN_S)
        summary = self._lines(self.fleet.log, "by_kind")
        self.fleet = None
        return summary

    @property
    def truth(self) -> Path:
        """The file in which the fleet wrote what it held and sent."""
        return self.home.data("fleet") / "truth.jsonl"

    def _new_fleet(self, doors: Doors) -> Child:
        home = self.home.data("fleet")
        argv = [
            sys.executable,
            "-m",
            "connectors.simulator",
            "--meters",
            str(self.scale.meters),
            "--seed",
            str(self.scale.seed),
        ]
        argv += ["--home", str(home), "--hold", "--c12-share", str(self.scale.c12_share), *doors.arguments()]
        return Child("fleet", process.Command([*argv, *self.scale.extra]), self.home.log("demo-fleet"))

    def new_service(self, name: str, more: Mapping[str, str]) -> Child:
        """A process of a service on this stage, to be started; `more` goes into its environment."""
        port = ports.free_port()
        environ = (
            context.addresses(self.settings) | {"HES_HEALTH__PORT": str(port), "HES_KAFKA__INSTANCE_ID": "demo"} | dict(more)
        )
        argv = [sys.executable, "-m", "connectors.cli.main", "run", name]
        return Child(name, process.Command(argv, environ), self.home.log(f"demo-{name}"), port)

    def _fleet_ready(self, fleet: Child) -> dict[str, Any]:
        until = time.monotonic() + READY_WITHIN_S + self.scale.meters / 50
        while not (ready := self._lines(fleet.log, "ready")):
            if not fleet.alive() or time.monotonic() > until:
                self.failed(fleet)
            time.sleep(0.05)
        return ready

    @staticmethod
    def _lines(log: Path, key: str) -> dict[str, Any]:
        """The last JSON line of a log that has a key."""
        found: dict[str, Any] = {}
        try:
            text = log.read_text(errors="replace")
        except OSError:
            return found
        for line in text.splitlines():
            if line.startswith("{") and f'"{key}"' in line:
                try:
                    found = json.loads(line)
                except json.JSONDecodeError:
                    continue
        return found
