"""How long, and how much of a core."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Measured:
    """What a piece of work took."""

    rounds: int
    wall_s: float
    cpu_s: float

    def row(self, what: str, reader: str, rows_a_round: int) -> dict[str, object]:
        """A line of the bench's output: rows by wall clock and by CPU second."""
        rows = self.rounds * rows_a_round
        return {
            "workload": what,
            "reader": reader,
            "rows": rows,
            "rows_per_s": round(rows / self.wall_s),
            "cpu_s": round(self.cpu_s, 3),
            "rows_per_cpu_s": round(rows / self.cpu_s) if self.cpu_s else None,
        }


def repeated(work: Callable[[], object], seconds: float) -> Measured:
    """Run `work` for about so long, after one round that is not counted."""
    work()
    rounds = 0
    wall, cpu = time.perf_counter(), time.process_time()
    while (passed := time.perf_counter() - wall) < seconds:
        work()
        rounds += 1
    return Measured(rounds, passed, time.process_time() - cpu)


def cpu_of(pid: int) -> float:
    """CPU seconds that a living process has used, children that ended included; 0 where the system does not tell."""
    return _ticks(Path(f"/proc/{pid}/stat"), 4)


def cpu_of_main_thread(pid: int) -> float:
    """CPU seconds of a process's first thread alone, where an event loop runs; 0 where the system does not tell."""
    return _ticks(Path(f"/proc/{pid}/task/{pid}/stat"), 2)


def cpu_of_machine() -> float:
    """CPU seconds that all processes have used since the machine began; 0 where the system does not tell."""
    try:
        found = [int(ticks) for ticks in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
    except OSError:
        return 0.0
    idle, waiting = 3, 4
    busy = sum(ticks for place, ticks in enumerate(found[:8]) if place not in (idle, waiting))
    return busy / os.sysconf("SC_CLK_TCK")


def _ticks(stat: Path, fields: int) -> float:
    try:
        found = stat.read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(map(int, found[11 : 11 + fields])) / os.sysconf("SC_CLK_TCK")


def memory_of(pid: int) -> int:
    """Octets of memory that a living process holds (resident set); 0 where the system does not tell."""
    try:
        pages = Path(f"/proc/{pid}/statm").read_text().split()[1]
    except OSError:
        return 0
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def machine(*packages: str) -> str:
    """What the figures were taken on, and with: processor, load average, and the versions of what does the work."""
    model = platform.processor() or platform.machine()
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    except OSError:
        pass
    load = ", ".join(f"{one:.1f}" for one in os.getloadavg())
    versions = [f"Python {platform.python_version()}"]
    versions += [f"{name} {found or 'is not installed'}" for name in packages for found in (version_of(name),)]
    system = f"{platform.system()} {platform.release()}"
    return f"{os.cpu_count()} x {model}, {system}, load average {load}; {', '.join(versions)}"


def version_of(package: str) -> str:
    """The version of an installed package; empty where it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
