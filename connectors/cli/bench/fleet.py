"""A load fleet in processes of its own: as many as the limit of open files asks for, their truth in one file."""

from __future__ import annotations

import json
import resource
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from connectors.cli.bench.children import child, first_line
from connectors.cli.bench.measure import cpu_of
from connectors.cli.failure import CommandError

_SPARE = 200
"""Open files of a process beside its meters' sockets."""


@dataclass(slots=True)
class Fleet:
    """Meters that run."""

    file: Path
    """Their truth; see `connectors.simulator.load`."""
    silent: list[int]
    """Ports where nobody ever answers."""
    slow: list[int]
    """Ports where an answer comes an octet a second."""
    processes: list[subprocess.Popen[str]]
    ended: dict[str, int] | None = None
    images: dict[str, int] = field(default_factory=dict)
    """How many meters verified which firmware image, by SHA-256, once it is stopped."""

    def hold(self, *, on: bool) -> None:
        """Have answers held back from now on, or not any more."""
        for process in self.processes:
            process.send_signal(signal.SIGUSR1 if on else signal.SIGUSR2)

    def cpu(self) -> float:
        """CPU seconds so far."""
        return sum(cpu_of(process.pid) for process in self.processes)

    def end(self) -> dict[str, int]:
        """Stop it: how many sessions were released, and how many connections were open at once at most."""
        if self.ended is None:
            for process in self.processes:
                process.terminate()
            lines = [process.communicate()[0].splitlines()[-1:] for process in self.processes]
            said = [json.loads(line[0]) for line in lines if line and line[0].startswith("{")]
            for item in said:
                for image, meters in item.get("images", {}).items():
                    self.images[image] = self.images.get(image, 0) + meters
            self.ended = {name: sum(item.get(name, 0) for item in said) for name in ("sessions", "most_open")}
        return self.ended


@contextmanager
def running_fleet(
    meters: int, say: Callable[[str], None], *, block: int = 0, hold_s: float = 0.0, image_block: int = 0
) -> Iterator[Fleet]:
    """A fleet, each meter on a port of its own of 127.0.0.1. Raises CommandError where it does not come up."""
    most = max(1, (files_limit() - _SPARE) // 3)  # a listener and a connection each, and some more for those of no truth
    shares = [(first, min(most, meters - first)) for first in range(0, meters, most)]
    say(f"starting {meters:,} meters in {len(shares)} process{'es' if len(shares) > 1 else ''} of their own")
    with tempfile.TemporaryDirectory(prefix="hes-bench-") as folder, ExitStack() as stack:
        files = [Path(folder) / f"truth-{first}.txt" for first, _ in shares]
        processes = [
            stack.enter_context(_process(file, first, count, block, hold_s, image_block))
            for file, (first, count) in zip(files, shares, strict=True)
        ]
        ready = [_ready(process) for process in processes]
        whole = Path(folder) / "truth.txt"
        with whole.open("w") as out:
            for file in files:
                out.write(file.read_text())
        fleet = Fleet(whole, [item["silent"] for item in ready], [item["slow"] for item in ready], processes)
        try:
            yield fleet
        finally:
            fleet.end()


def files_limit() -> int:
    """How many files a process may open, after raising the soft limit to the hard one; children inherit it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY:
        hard = max(soft, 1_048_576)
    if soft < hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
        except (OSError, ValueError):  # some systems allow less than they name
            return soft
    return hard


@contextmanager
def _process(
    truth: Path, first: int, meters: int, block: int, hold_s: float, image_block: int
) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "connectors.simulator.load", "--truth", str(truth), "--meters", str(meters)]
    command += ["--first", str(first), "--block", str(block), "--hold", str(hold_s), "--image-block", str(image_block)]
    with child(command) as process:
        yield process


def _ready(process: subprocess.Popen[str]) -> dict[str, Any]:
    line = first_line(process)
    if not line.startswith("{"):
        raise CommandError("the bench's fleet did not start; its own words are above")
    said: dict[str, Any] = json.loads(line)
    return said
