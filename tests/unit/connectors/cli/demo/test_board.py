from __future__ import annotations

import io

import pytest
from rich.console import Console

from connectors.cli.demo.board import board
from connectors.cli.demo.watch import Snapshot

BUSY = Snapshot(
    at_s=125.4,
    registered=1_200,
    discovered=3,
    reads=4_567,
    reads_failed=8,
    pushes=91_011,
    connections=77,
    intervals=1_234_567,
    alarms=55,
    outages=21,
    tampers=4,
    dead_letters={"frame-garbage": 12, "key-missing": 30},
    rates={"reads": 40.4, "pushes": 900.0},
    latency_ms=(50, 12, 340),
    lag={"hes.events.bulk": 1_500, "hes.alarms": 0},
)


def drawn(snapshot: Snapshot, width: int = 160, **more: object) -> str:
    out = io.StringIO()
    Console(file=out, width=width).print(board(snapshot, **more))  # type: ignore[arg-type]  # a test's shorthand
    return out.getvalue()


@pytest.mark.parametrize(
    "words",
    ["02:05", "1,200", "4,567", "91,011", "1,234,567", "12, 340 ms", "key-missing", "hes.events.bulk", "1,500", "42"],
)
def test_what_it_shows(words: str) -> None:
    assert words in drawn(BUSY)


def test_codes_are_in_the_order_of_their_counts() -> None:
    shown = drawn(BUSY)
    assert shown.index("key-missing") < shown.index("frame-garbage")


@pytest.mark.parametrize(("left_s", "words"), [(None, "Ctrl-C ends it"), (12.4, "12 s left"), (0.0, "0 s left")])
def test_how_long_it_goes_on(left_s: float | None, words: str) -> None:
    assert words in drawn(BUSY, left_s=left_s)


@pytest.mark.parametrize("width", [40, 60, 80, 100, 120, 160])
@pytest.mark.parametrize("words", ["1,200", "1,234,567", "12, 340 ms", "frame-garbage", "hes.events.bulk", "1,500"])
def test_no_number_is_cut_off_in_any_width(width: int, words: str) -> None:
    shown = drawn(BUSY, width)
    assert words in shown
    assert "…" not in shown
    assert all(len(line) <= width for line in shown.splitlines())


@pytest.mark.parametrize("width", [80, 120, 200])
def test_empty_at_first_and_in_every_width(width: int) -> None:
    shown = drawn(Snapshot(), width)
    assert "00:00" in shown
    assert "Lag by topic" in shown
    assert all(len(line) <= width for line in shown.splitlines())
