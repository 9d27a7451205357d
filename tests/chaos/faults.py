"""Faults for a running system, drawn from a seed: which, when, and how each is healed again."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from connectors.cli.demo.stage import Child, Stage
from connectors.local import process
from connectors.local.errors import LocalError
from connectors.local.home import load_state
from connectors.local.stack import LocalStack

SERVICES = ("gateway", "split", "clickhouse", "oms", "fraud")
BESIDE = ("commands", "schedules", "gaps", "followup")
"""Services that have nothing to do in the demo; they are killed all the same, and must come back."""
JOINED = ("gateway", "split", "clickhouse")
"""Services that a second and a third worker join and leave."""
PARTS = ("kafka", "registry", "clickhouse")
PAUSE_S = 8.0
SESSION_S = 6.0
"""Of Kafka's groups, so that a pause is longer."""
STUCK_S = 20.0
"""Without progress for so long a service is stuck, and is killed."""
_JOIN_S, _FULL_S, _SLOW_S = 6.0, 3.0, 6.0
_STARTS = 4
_JOINED_WITHIN_S = 60.0
_DISK = 1_500_000_000


@dataclass(frozen=True, slots=True)
class Fault:
    """What is done to what."""

    kind: str
    target: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.target}".strip()


def drawn(seed: int, count: int, kinds: Sequence[Fault]) -> list[Fault]:
    """`count` faults: every kind once where there is room, in an order of the seed, then as the seed has it."""
    rng = random.Random(seed)  # noqa: S311 - the same run again is the point
    first = rng.sample(kinds, len(kinds))
    return (first + rng.choices(kinds, k=max(0, count - len(first))))[:count]


def kinds(*, disk: bool, network: bool) -> list[Fault]:
    """Every fault there is, as far as this machine lets us."""
    found = [Fault(kind, name) for kind in ("kill -9", "SIGTERM") for name in (*SERVICES, *BESIDE)]
    found += [Fault("SIGSTOP", name) for name in SERVICES] + [Fault("join", name) for name in JOINED]
    found += [Fault("kill -9 of", part) for part in PARTS]
    found += [Fault("full disk", part) for part in ("clickhouse", "kafka") if disk] + [Fault("slow network")] * network
    return found


@dataclass(slots=True)
class Chaos:
    """Injects faults into a stage, one every `every_s` seconds; give `between` to `play`."""

    stage: Stage
    faults: list[Fault]
    every_s: float
    say: Callable[[str], None]
    beside: Sequence[str] = BESIDE
    """Services to be brought in beside the demo's own."""
    done: Counter[str] = field(default_factory=Counter)
    restarted: Counter[str] = field(default_factory=Counter)
    """Services that ended themselves, or did not get on, and were started again."""
    _next_s: float = 0.0
    _look_s: float = 0.0
    _paused: set[int] = field(default_factory=set)
    _heal: list[tuple[float, Callable[[], None]]] = field(default_factory=list)
    _guests: int = 0
    _guests_in: list[tuple[Child, float, Callable[[], None]]] = field(default_factory=list)
    """Workers that are joining: who leaves before it has joined is no fault at all."""

    def between(self, passed: float) -> None:
        """Heal what is due, start again what ended or is stuck, as an orchestrator does, then do the next fault."""
        for item in [item for item in self._heal if item[0] <= passed]:
            self._heal.remove(item)
            item[1]()
        if not self._next_s:
            self._bring_in_the_others()
        if passed >= self._look_s:
            self._look_s = passed + 1.0
            for guest in [guest for guest in self._guests_in if guest[0].get("/health/ready") or guest[1] <= passed]:
                self._guests_in.remove(guest)
                self._heal.append((passed + _JOIN_S, guest[2]))
            self._orchestrate()
        if self.faults and passed >= self._next_s:
            fault = self.faults.pop(0)
            self.say(f"{passed:6.1f} s  {fault}")
            self._next_s = passed + self.every_s
            self.done[fault.kind] += 1
            self._do(fault, passed)

    @property
    def over(self) -> bool:
        """Whether all was done and healed."""
        return not self.faults and not self._heal and not self._guests_in

    def _do(self, fault: Fault, passed: float) -> None:
        child = self.stage.services.get(fault.target)
        if fault.kind in ("kill -9", "SIGTERM") and child is not None:
            _end(child, signal.SIGKILL if fault.kind == "kill -9" else signal.SIGTERM)
            child.start()
        elif fault.kind == "SIGSTOP" and child is not None and child.running is not None:
            paused = child.running.pid
            os.kill(paused, signal.SIGSTOP)
            self._paused.add(paused)
            self._heal.append((passed + PAUSE_S, lambda: self._resume(paused)))
        elif fault.kind == "join":
            for _ in range(2):
                self._join(fault.target, passed)
        elif fault.kind == "kill -9 of":
            self._kill_part(fault.target)
        elif fault.kind == "full disk":
            ballast = _fill(self.stage.home.data(fault.target))
            self._heal.append((passed + _FULL_S, lambda: self._free(ballast)))
        elif fault.kind == "slow network":
            slow_down()
            self._heal.append((passed + _SLOW_S, speed_up))

    def _orchestrate(self) -> None:
        for name, child in self.stage.services.items():
            pid = child.running.pid if child.running else 0
            if pid in self._paused:
                continue
            if not child.alive():
                self.say(f"          {name} has ended, and is started again")
            elif child.get("/health/live") is None and child.get("/health/ready") is not None:
                self.say(f"          {name} is stuck, and is killed")
                _end(child, signal.SIGKILL)
            else:
                continue
            self.restarted[name] += 1
            child.start()

    def _resume(self, pid: int) -> None:
        self._paused.discard(pid)
        try:
            os.kill(pid, signal.SIGCONT)
        except ProcessLookupError:
            return  # another fault ended it meanwhile

    def _bring_in_the_others(self) -> None:
        for name in self.beside:
            self.stage.services[name] = self.stage.new_service(name, {})
            self.stage.services[name].start()

    def _join(self, name: str, passed: float) -> None:
        self._guests += 1
        guest = f"guest-{self._guests}"
        child = self.stage.new_service(name, {"HES_KAFKA__INSTANCE_ID": guest})
        child.log = self.stage.home.log(f"demo-{guest}")
        child.start()

        def leave() -> None:
            if child.running is not None:
                process.stop([child.running], grace_s=30.0)

        self._guests_in.append((child, passed + _JOINED_WITHIN_S, leave))

    def _kill_part(self, part: str) -> None:
        running = load_state(self.stage.home).processes[part]
        os.kill(running.pid, signal.SIGKILL)
        self._start_parts()

    def _start_parts(self) -> None:
        """Start what has ended; again where it does not answer in time, on a machine that has other things to do."""
        for left in reversed(range(_STARTS)):
            try:
                LocalStack(self.stage.home.root).up()
            except LocalError as error:
                self.say(f"          {error}")
                if not left:
                    raise
            else:
                return

    def _free(self, ballast: Path) -> None:
        ballast.unlink()
        self._start_parts()  # Kafka ends itself where it cannot write


def _end(child: Child, how: signal.Signals) -> None:
    """End a process that may be paused, and see that it is gone: two of one name would fence each other."""
    if child.running is None:
        return
    try:
        os.kill(child.running.pid, how)
        os.kill(child.running.pid, signal.SIGCONT)
    except ProcessLookupError:
        return
    process.stop([child.running], grace_s=30.0)


@contextmanager
def small_disks(folders: Sequence[Path]) -> Iterator[None]:
    """Folders on disks of their own that can be filled, in a mount namespace of our own."""
    for folder in folders:
        folder.mkdir(parents=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={_DISK}", "tmpfs", str(folder)], check=True)
    try:
        yield
    finally:
        for folder in folders:
            subprocess.run(["umount", "--lazy", str(folder)], check=False)


def _fill(folder: Path) -> Path:
    """Take all the room on a folder's disk; the file to delete."""
    ballast = folder / "ballast"
    free = shutil.disk_usage(folder).free
    with ballast.open("wb") as file:
        try:
            os.posix_fallocate(file.fileno(), 0, max(1, free - 4_096))
        except OSError:
            while free > 4_096:
                try:
                    free -= file.write(b"\0" * 65_536)
                    file.flush()
                except OSError:
                    break
    return ballast


_SLOW = (("netem", "delay", "20ms", "10ms", "loss", "1%"), ("tbf", "rate", "4mbit", "burst", "128kb", "latency", "200ms"))
"""Delay and loss where the kernel has netem, else a narrow and lossy line."""


def slow_down() -> bool:
    """Make the loopback device slow; whether the kernel can. Only in a network namespace of one's own."""
    replace = ("tc", "qdisc", "replace", "dev", "lo", "root")
    return any(subprocess.run([*replace, *how], capture_output=True, check=False).returncode == 0 for how in _SLOW)


def speed_up() -> None:
    """As it was."""
    subprocess.run(["tc", "qdisc", "del", "dev", "lo", "root"], check=True)
