"""Processes by pid: started with their output in a file, tied to this one or not, stopped, and never mistaken.

Not `subprocess`: a stack that is left running outlives the object that started it, and `down` stops processes that
another command started. A pid alone says nothing, since the system gives it again; `Running` adds when it was born.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from connectors.local.errors import LocalError
from connectors.local.home import Running

PASSED_ON = ("PATH", "HOME", "USER", "LANG", "LC_ALL", "TMPDIR", "JAVA_HOME", "PYTHONPATH", "TZ")
"""Of our environment only this reaches a child: its own variables decide, and no secret of ours is in its /proc entry."""


@dataclass(frozen=True, slots=True)
class Command:
    """What to run, with what beside the environment passed on."""

    argv: Sequence[str]
    environ: Mapping[str, str] = field(default_factory=dict)

    def full_environ(self) -> dict[str, str]:
        """The whole environment of the child."""
        return {name: os.environ[name] for name in PASSED_ON if name in os.environ} | dict(self.environ)


def spawn(command: Command, log: Path, *, tied: bool) -> Running:
    """Start a process in a session of its own (Ctrl-C in the terminal is ours to handle), output in a fresh `log`
    (the one before it is kept as `.log.1`).

    `tied`: it is sent SIGTERM when this process ends, however that happens. The kernel means the *thread* that started it,
    so this must be the main thread. Only where `setpriv` is (Linux); elsewhere a crash leaves it to the next `up` or `down`.
    """
    if tied and threading.current_thread() is not threading.main_thread():
        raise LocalError(
            "the local stack was started from a thread, and would end with it", "call up() from the main thread"
        )
    argv = list(command.argv)
    if tied and (setpriv := shutil.which("setpriv")):
        argv = [setpriv, "--pdeathsig", "TERM", *argv]
    log.parent.mkdir(parents=True, exist_ok=True)
    if log.exists():
        log.replace(log.with_suffix(".log.1"))
    pid = os.posix_spawnp(
        argv[0],
        argv,
        command.full_environ(),
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(log), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
        setsigmask=[],
        setsigdef=[signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE],
    )
    return Running(pid, born(pid) or "gone")


def born(pid: int) -> str | None:
    """When a living process was born, in a form only good for comparing; None for one that is dead or a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None if Path("/proc/self/stat").exists() else _born_by_ps(pid)
    # A zombie with threads left (the 20th field) still holds its ports and files, a killed JVM for a tenth of a second.
    gone = fields[0] in "ZX" and int(fields[17]) <= 1
    return None if gone else f"{_boot()}/{fields[19]}"


def alive(running: Running | None) -> bool:
    """Whether this very process still runs; a dead child of ours is reaped on the way."""
    if running is None:
        return False
    if born(running.pid) == running.born:
        return True
    with contextlib.suppress(ChildProcessError):
        os.waitpid(running.pid, os.WNOHANG)
    return False


def stop(processes: Iterable[Running], grace_s: float = 15.0) -> None:
    """SIGTERM to all, then SIGKILL to those that stay longer than `grace_s`; returns when none is left."""
    left = _outlasting(processes, signal.SIGTERM, grace_s)
    if left := _outlasting(left, signal.SIGKILL, 10.0):
        pids = ", ".join(str(process.pid) for process in left)
        raise LocalError(f"process {pids} does not end, not even when killed", "look at it with ps: a disk may hang")


def tail(log: Path, lines: int = 8) -> str:
    """The last lines of a log that are not blank; empty where there is none."""
    try:
        with log.open("rb") as handle:
            handle.seek(max(0, log.stat().st_size - 16_384))
            text = handle.read().decode(errors="replace")
    except OSError:
        return ""
    return "\n".join([line for line in text.splitlines() if line.strip()][-lines:])


def _outlasting(processes: Iterable[Running], number: signal.Signals, wait_s: float) -> list[Running]:
    """Those that are still there so long after a signal."""
    left = [process for process in processes if alive(process)]
    for process in left:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, number)
    until = time.monotonic() + wait_s
    while left and time.monotonic() < until:
        time.sleep(0.02)
        left = [process for process in left if alive(process)]
    return left


@cache
def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _born_by_ps(pid: int) -> str | None:
    found = subprocess.run(  # noqa: S603 - the arguments are ours
        ["ps", "-o", "stat=,lstart=", "-p", str(pid)],  # noqa: S607 - wherever the system has it
        capture_output=True,
        text=True,
        check=False,
    )
    state, _, started = found.stdout.strip().partition(" ")
    return None if found.returncode or state.startswith("Z") else started.strip()
