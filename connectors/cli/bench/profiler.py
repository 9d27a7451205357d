"""Where a process spends its CPU: a sampling profiler of the main thread, for reports of the benches.

A timer that counts CPU time (ITIMER_PROF) interrupts the process; each interruption is weighed by the CPU time that the main
thread itself has used since the one before. So the sum of the weights is that thread's CPU time, whatever other threads
do, and the process runs at its speed: one interruption in four milliseconds of CPU. Python notices an interruption only
between its own instructions: time in C code counts where it was called from, and the event loop's own, with its system
calls, at the first line of whatever callback comes next.

The file is of collapsed stacks, `module:function;module:function:line microseconds`, which flame graph viewers take.
`python -m connectors.cli.bench.profiler FILE COMMAND…` runs a command of `hes` so, between SIGUSR1 and SIGUSR2.
"""

from __future__ import annotations

import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

EVERY_S = 0.004
"""Of CPU time of the process."""
_DEEPEST = 60


class Sampler:
    """Samples between `start` and `stop`, on the main thread."""

    def __init__(self) -> None:
        self._stacks: Counter[tuple[str, ...]] = Counter()
        self._used = 0.0

    def start(self) -> None:
        """Begin to sample, or go on."""
        self._used = time.thread_time()
        signal.signal(signal.SIGPROF, self._sample)
        signal.setitimer(signal.ITIMER_PROF, EVERY_S, EVERY_S)

    def stop(self) -> None:
        """Sample no more."""
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, signal.SIG_IGN)

    def write(self, path: Path) -> None:
        """Collapsed stacks, the most expensive first."""
        lines = (f"{';'.join(stack)} {weight}\n" for stack, weight in self._stacks.most_common())
        path.write_text("".join(lines))

    def _sample(self, _number: int, frame: FrameType | None) -> None:
        used = time.thread_time()
        weight, self._used = round(1e6 * (used - self._used)), used
        names: list[str] = []
        while frame is not None and len(names) < _DEEPEST:
            name = f"{frame.f_globals.get('__name__', '?')}:{frame.f_code.co_qualname}"
            names.append(name if names else f"{name}:{frame.f_lineno}")
            frame = frame.f_back
        self._stacks[tuple(reversed(names))] += weight


@contextmanager
def sampling(path: Path | None) -> Iterator[None]:
    """Sample what runs inside, and write it; nothing without a path. On the main thread only."""
    if path is None:
        yield
        return
    sampler = Sampler()
    sampler.start()
    try:
        yield
    finally:
        sampler.stop()
        sampler.write(path)


@dataclass(frozen=True, slots=True)
class Own:
    """The CPU time of one function: `share` is its own, `whole` with all that it calls, each of the total."""

    function: str
    share: float
    whole: float
    seconds: float
    line: int
    """Where most of its own time went."""


def top(path: Path, most: int = 15) -> list[Own]:
    """The functions with the most time of their own, from a file of collapsed stacks."""
    own: Counter[str] = Counter()
    whole: Counter[str] = Counter()
    lines: Counter[tuple[str, str]] = Counter()
    for text in path.read_text().splitlines():
        stack, _, weight = text.rpartition(" ")
        *callers, leaf = stack.split(";")
        function, _, line = leaf.rpartition(":")
        own[function] += int(weight)
        lines[function, line] += int(weight)
        whole.update(dict.fromkeys({function, *callers}, int(weight)))
    total = own.total() or 1
    dearest = {function: line for (function, line), _ in reversed(lines.most_common())}
    return [
        Own(function, weight / total, whole[function] / total, weight / 1e6, _number(dearest[function]))
        for function, weight in own.most_common(most)
    ]


def main(argv: list[str]) -> None:
    """Run `hes` with a sampler at hand: SIGUSR1 starts it, SIGUSR2 stops it and writes the file."""
    path, sampler = Path(argv[0]), Sampler()
    draft = path.with_name(f".{path.name}.draft")

    def end(_number: int, _frame: FrameType | None) -> None:
        sampler.stop()
        sampler.write(draft)
        draft.replace(path)

    signal.signal(signal.SIGUSR1, lambda _number, _frame: sampler.start())
    signal.signal(signal.SIGUSR2, end)
    sys.argv = ["hes", *argv[1:]]
    from connectors.cli.main import main as hes  # noqa: PLC0415 - its imports are the command's

    hes()


if __name__ == "__main__":
    main(sys.argv[1:])


def _number(line: str) -> int:
    """A line's number; 0 where the interpreter names none."""
    return int(line) if line.isdigit() else 0
