"""Where the local stack keeps its things, and what it remembers of itself.

`HES_HOME` holds data, logs and state (default: the user's data directory); `HES_CACHE` holds what was downloaded (default:
the user's cache directory), so that several homes share one download and deleting a home loses no download.
"""

from __future__ import annotations

import fcntl
import json
import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from connectors.local.errors import LocalError

FORBIDDEN = ",;?&#%\n\r\0"
"""Characters that Kafka's `log.dirs`, an H2 URL or a chdb connection string would read as their own."""


@dataclass(frozen=True, slots=True)
class Home:
    """The folders of one local stack; nothing is created before it is used."""

    root: Path
    cache: Path

    @classmethod
    def of(cls, root: Path | None = None, environ: Mapping[str, str] = os.environ, platform: str = sys.platform) -> Home:
        """The home at `root`, else at `HES_HOME`, else in the user's data directory; `LocalError` for an unusable path."""
        chosen = root or _path(environ, "HES_HOME") or _data_dir(environ, platform)
        home = cls(chosen.expanduser().absolute(), (_path(environ, "HES_CACHE") or _cache_dir(environ, platform)).absolute())
        if bad := sorted(set(str(home.root)) & set(FORBIDDEN)):
            raise LocalError(
                f"the folder {str(home.root)!r} has {bad[0]!r} in its name, which Kafka or H2 would take for a separator",
                "set HES_HOME to another folder",
            )
        return home

    def data(self, part: str) -> Path:
        """The folder that only this part writes."""
        return self.root / part

    def log(self, part: str) -> Path:
        """The file that takes everything this part prints."""
        return self.root / "logs" / f"{part}.log"

    @property
    def state_file(self) -> Path:
        """Ports and processes, as JSON."""
        return self.root / "state.json"

    @contextmanager
    def lock(self, wait_s: float = 120.0) -> Iterator[None]:
        """Held while the stack is started or stopped, so that two commands cannot race; freed by the kernel if we die."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            handle = (self.root / "lock").open("a")
        except OSError as error:
            raise LocalError(
                f"cannot write to {self.root}: {error.strerror}", "set HES_HOME to a folder that is yours"
            ) from error
        with handle:
            until = time.monotonic() + wait_s
            while True:
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > until:
                        raise LocalError(
                            f"another command has been starting or stopping the stack in {self.root} for {wait_s:.0f} s",
                            "let it finish, or end it",
                        ) from None
                    time.sleep(0.05)
            yield


@dataclass(frozen=True, slots=True)
class Running:
    """A process, told apart from a later one with the same pid by when it was born."""

    pid: int
    born: str


@dataclass(frozen=True, slots=True)
class State:
    """What a home remembers: the ports (kept over restarts) and the processes last started."""

    ports: Mapping[str, int] = field(default_factory=dict)
    processes: Mapping[str, Running] = field(default_factory=dict)

    def with_process(self, part: str, running: Running | None) -> State:
        """The same with a part's process set, or forgotten."""
        kept = {name: process for name, process in self.processes.items() if name != part}
        return replace(self, processes=kept if running is None else {**kept, part: running})

    def with_ports(self, ports: Mapping[str, int]) -> State:
        """The same with these ports."""
        return replace(self, ports=dict(ports))


def load_state(home: Home) -> State:
    """What is remembered; nothing where the file is absent or was damaged."""
    try:
        return _state(json.loads(home.state_file.read_bytes()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return State()


def save_state(home: Home, state: State) -> None:
    """Replaces what is remembered, whole or not at all."""
    text = json.dumps(
        {
            "ports": dict(state.ports),
            "processes": {name: {"pid": p.pid, "born": p.born} for name, p in state.processes.items()},
        },
        indent=2,
    )
    home.root.mkdir(parents=True, exist_ok=True)
    draft = home.state_file.with_suffix(f".{os.getpid()}")
    draft.write_text(text + "\n")
    draft.replace(home.state_file)


def _state(read: dict[str, Any]) -> State:
    ports = {str(name): int(port) for name, port in read["ports"].items() if 0 < int(port) < 65_536}
    processes = {str(n): Running(int(p["pid"]), str(p["born"])) for n, p in read["processes"].items() if int(p["pid"]) > 1}
    return State(ports, processes)


def _path(environ: Mapping[str, str], name: str) -> Path | None:
    return Path(environ[name]).expanduser() if environ.get(name) else None


def _data_dir(environ: Mapping[str, str], platform: str) -> Path:
    if platform == "darwin":
        return Path("~/Library/Application Support/hes").expanduser()
    return (_path(environ, "XDG_DATA_HOME") or Path("~/.local/share").expanduser()) / "hes"


def _cache_dir(environ: Mapping[str, str], platform: str) -> Path:
    if platform == "darwin":
        return Path("~/Library/Caches/hes").expanduser()
    return (_path(environ, "XDG_CACHE_HOME") or Path("~/.cache").expanduser()) / "hes"
