from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from connectors.cli.bench.profiler import Own, sampling, top


def busy(seconds: float) -> int:
    """Uses so much CPU time of its own."""
    until, rounds = time.thread_time() + seconds, 0
    while time.thread_time() < until:
        rounds += 1
    return rounds


def test_what_takes_the_time_is_on_top_and_the_sum_is_the_threads_cpu_time(tmp_path: Path) -> None:
    file = tmp_path / "stacks.txt"
    before = time.thread_time()
    with sampling(file):
        busy(0.3)
    used = time.thread_time() - before
    first = top(file)[0]
    assert first.function == f"{__name__}:busy"
    assert first.share > 0.8
    assert sum(own.seconds for own in top(file, 1_000)) <= used


def test_after_the_end_nothing_interrupts(tmp_path: Path) -> None:
    with sampling(tmp_path / "stacks.txt"):
        pass
    assert signal.getitimer(signal.ITIMER_PROF) == (0.0, 0.0)


def test_without_a_file_nothing_is_sampled() -> None:
    before = signal.getsignal(signal.SIGPROF)
    with sampling(None):
        assert signal.getitimer(signal.ITIMER_PROF) == (0.0, 0.0)
    assert signal.getsignal(signal.SIGPROF) == before


@pytest.mark.parametrize(
    ("lines", "wanted"),
    [
        pytest.param(
            ["m:a;m:b:7 600000", "m:a;m:b:9 200000", "m:a:3 200000"],
            [Own("m:b", 0.8, 0.8, 0.8, 7), Own("m:a", 0.2, 1.0, 0.2, 3)],
            id="own-and-whole",
        ),
        pytest.param(["m:f;m:f;m:f:1 100"], [Own("m:f", 1.0, 1.0, 0.0001, 1)], id="recursion-counts-once"),
        pytest.param([], [], id="nothing-sampled"),
    ],
)
def test_top(lines: list[str], wanted: list[Own], tmp_path: Path) -> None:
    file = tmp_path / "stacks.txt"
    file.write_text("".join(f"{line}\n" for line in lines))
    assert top(file) == wanted
