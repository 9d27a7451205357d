"""The local stack as a whole: up, down, status.

    with LocalStack() as stack:
        endpoints = stack.up(print)

leaves nothing behind, however the block is left. `LocalStack().up(print, detach=True)` leaves the stack running, for other
commands to find by `running_endpoints()` and for `LocalStack().down()` to stop. All data stays for the next time.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from connectors.local import artifacts, ports, process
from connectors.local.archives import train
from connectors.local.clickhouse import CLICKHOUSE
from connectors.local.errors import LocalError
from connectors.local.home import Home, Running, State, load_state, save_state
from connectors.local.java import find_java
from connectors.local.kafka import KAFKA
from connectors.local.part import Part, Site
from connectors.local.registry import REGISTRY

PARTS = (REGISTRY, CLICKHOUSE, KAFKA)
"""In the order they are started: the first start of Kafka formats its log while the others come up."""

READY_WITHIN_S = 90.0
"""Far more than a cold start on a slow disk takes; a part that dies is seen at once."""

PORT_ATTEMPTS = 3

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Endpoints:
    """What clients need to know of a running stack."""

    kafka: str
    """Bootstrap server, `host:port`."""
    registry: str
    """URL of the Confluent-compatible API."""
    clickhouse: str
    """URL of the HTTP interface."""


@dataclass(frozen=True, slots=True)
class PartStatus:
    """How a part is."""

    name: str
    title: str
    state: Literal["running", "not answering", "stopped"]
    pid: int | None
    address: str | None
    """Where it serves, or served when it last ran; None where it never ran."""
    log: Path


def silent(_line: str) -> None:
    """A progress that tells nobody."""


class LocalStack:
    """Kafka, a Schema Registry and ClickHouse in one home; see the module's docstring.

    Several objects, also of several processes, may stand for the same home: `up` on a stack that runs uses it as it is and
    starts what is missing. Leaving the `with` block stops only what this object started.
    """

    def __init__(self, home: Path | None = None) -> None:
        self.home = Home.of(home)
        self._ours: list[Running] = []

    def up(self, progress: Progress = silent, *, detach: bool = False) -> Endpoints:
        """Make all parts run and answer, and say where.

        Attached (the default), each part started here ends with this process, even if that is killed; call it from the main
        thread. With `detach` they go on until `down`. Whatever ends this early, Ctrl-C too, stops what it started.
        """
        with self.home.lock():
            before = len(self._ours)
            try:
                return self._up(progress, tied=not detach)
            except BaseException:
                self._stop(self._ours[before:])
                raise

    def down(self, progress: Progress = silent) -> bool:
        """Stop every part, whoever started it; whether any was running. Data, ports and logs stay."""
        with self.home.lock():
            state = load_state(self.home)
            running = [state.processes[part.name] for part in PARTS if process.alive(state.processes.get(part.name))]
            if running:
                progress("stopping the local stack")
            self._stop(running)
            return bool(running)

    def status(self) -> list[PartStatus]:
        """How each part is, asked of the parts themselves."""
        state = load_state(self.home)
        return [self._status(part, state) for part in PARTS]

    def _status(self, part: Part, state: State) -> PartStatus:
        running = state.processes.get(part.name)
        known = all(name in state.ports for name in part.ports)
        up = known and process.alive(running)
        return PartStatus(
            name=part.name,
            title=part.title,
            state=("running" if part.ready(state.ports) else "not answering") if up else "stopped",
            pid=running.pid if up and running else None,
            address=part.address(state.ports) if known else None,
            log=self.home.log(part.name),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._ours:
            with self.home.lock():
                self._stop(self._ours)

    def _up(self, progress: Progress, *, tied: bool) -> Endpoints:
        begun = time.monotonic()
        state = self._without_the_dead(load_state(self.home))
        missing = [part for part in PARTS if part.name not in state.processes]
        if missing:
            site = self._site(progress)
            progress(f"starting {_listed(part.title for part in missing)}")
            for part in missing:
                state = self._start(part, site, state, tied=tied)
            for part in missing:
                state = self._wait(part, site, state, tied=tied)
            progress(f"{_listed(part.title for part in missing)} ready in {time.monotonic() - begun:.1f} s")
        return _endpoints(state.ports)

    def _site(self, progress: Progress) -> Site:
        java = find_java()
        installed = artifacts.ensure(self.home.cache, progress)
        train(self.home, java, installed, progress)
        return Site(self.home, java, installed)

    def _without_the_dead(self, state: State) -> State:
        """Forgets processes that are gone, and ends those that live and do not answer: they hold ports and data."""
        for part in PARTS:
            running = state.processes.get(part.name)
            if running and process.alive(running) and (part.ready(state.ports) or part.ready(state.ports)):
                continue
            if running:
                process.stop([running])
                state = state.with_process(part.name, None)
        return state

    def _start(self, part: Part, site: Site, state: State, *, tied: bool) -> State:
        others = [port for name, port in state.ports.items() if name not in part.ports]
        state = state.with_ports({**state.ports, **ports.choose(part.ports, state.ports, avoid=others)})
        part.prepare(site, state.ports)
        running = process.spawn(part.command(site, state.ports), self.home.log(part.name), tied=tied)
        self._ours.append(running)
        state = state.with_process(part.name, running)
        save_state(self.home, state)
        return state

    def _wait(self, part: Part, site: Site, state: State, *, tied: bool) -> State:
        """Waits until a part serves; one whose port was taken meanwhile is started again on another."""
        for _ in range(PORT_ATTEMPTS):
            if self._serves(part, state):
                return state
            said = process.tail(self.home.log(part.name))
            if not re.search(r"already (in use|bound)", said, re.IGNORECASE):
                break
            state = self._start(part, site, state, tied=tied)
        raise LocalError(
            f"{part.title} ended while it was starting. It said:\n{process.tail(self.home.log(part.name))}\n",
            f"its whole log is {self.home.log(part.name)}",
        )

    def _serves(self, part: Part, state: State) -> bool:
        """True when the part serves, false when it has ended; `LocalError` when neither happens in time."""
        until = time.monotonic() + READY_WITHIN_S
        while time.monotonic() < until:
            if part.ready(state.ports):
                return process.alive(state.processes[part.name])
            if not process.alive(state.processes[part.name]):
                return False
            time.sleep(0.02)
        raise LocalError(
            f"{part.title} started but did not answer within {READY_WITHIN_S:.0f} s",
            f"its log is {self.home.log(part.name)}",
        )

    def _stop(self, processes: Iterable[Running]) -> None:
        stopped = list(processes)
        process.stop(stopped)
        self._ours = [running for running in self._ours if running not in stopped]
        state = load_state(self.home)
        for name, running in list(state.processes.items()):
            if running in stopped:
                state = state.with_process(name, None)
        if stopped:
            save_state(self.home, state)


def running_endpoints(home: Path | None = None) -> Endpoints | None:
    """Where the stack of a home serves, whoever started it; None unless all parts run. Asks the kernel only."""
    state = load_state(Home.of(home))
    if not all(process.alive(state.processes.get(part.name)) for part in PARTS):
        return None
    return _endpoints(state.ports) if all(name in state.ports for part in PARTS for name in part.ports) else None


def endpoints_in_part(home: Path | None = None) -> Endpoints | None:
    """Where the stack of a home serves, or would if what has died were started again; None where nothing of it runs."""
    state = load_state(Home.of(home))
    if not any(process.alive(state.processes.get(part.name)) for part in PARTS):
        return None
    return _endpoints(state.ports) if all(name in state.ports for part in PARTS for name in part.ports) else None


def _endpoints(chosen: Mapping[str, int]) -> Endpoints:
    return Endpoints(kafka=KAFKA.address(chosen), registry=REGISTRY.address(chosen), clickhouse=CLICKHOUSE.address(chosen))


def _listed(titles: Iterable[str]) -> str:
    *first, last = titles
    return f"{', '.join(first)} and {last}" if first else last
