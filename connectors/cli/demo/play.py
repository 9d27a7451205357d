"""One run of the demo: ask, watch, end in good order, reconcile."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path

from rich.console import Console
from rich.live import Live

from connectors.cli import context
from connectors.cli.demo.asks import DAY_MS, Asks
from connectors.cli.demo.board import board
from connectors.cli.demo.gather import gather
from connectors.cli.demo.reconcile import Summary, Truth, reconcile
from connectors.cli.demo.stage import Stage
from connectors.cli.demo.watch import Snapshot, Watch
from connectors.cli.output import say, stderr
from streams.runtime.clock import SystemClock
from streams.runtime.kafka import Publisher

_LOOK_EVERY_S = 0.5
_ON_DEMAND_EVERY_S = 0.5
_DRAIN_S = 180.0

Show = Callable[[Snapshot, float | None, str], None]
"""Shows a snapshot, the seconds left where there is an end, and words."""
Between = Callable[[float], None]
"""Called with the seconds since the run began, a few times a second, also while the run ends: tests kill processes here, and
start them again.
"""


def play(stage: Stage, span_s: float | None, *, record: Path | None = None, between: Between | None = None) -> Summary:
    """Run until `span_s` is over, or Ctrl-C; then let everything finish, and compare."""
    stage.open()
    watch = Watch(stage, time.monotonic)
    watch.start()
    clock = SystemClock()
    publisher = Publisher(stage.settings.kafka, "hes-demo")
    day = clock.now_ms() // DAY_MS * DAY_MS - DAY_MS
    asks = Asks(
        publisher, context.codec(stage.settings), clock, [row.meter for row in stage.meters], f"demo-{clock.now_ms()}"
    )
    began, next_ask = time.monotonic(), 0.0
    asks.profiles(day)
    with _shown(record) as show:
        try:
            while span_s is None or time.monotonic() - began < span_s:
                passed = time.monotonic() - began
                if passed >= next_ask:
                    asks.registers()
                    next_ask = passed + _ON_DEMAND_EVERY_S
                if between is not None:
                    between(passed)
                else:
                    stage.check()
                show(watch.look(), None if span_s is None else span_s - passed, "")
                time.sleep(_LOOK_EVERY_S)
        except KeyboardInterrupt:
            say("ending; Ctrl-C again ends at once")
        publisher.close()
        # Meters that were asked must be there to answer, and only then may they go.
        look = stage.check if between is None else lambda: between(time.monotonic() - began)
        _drain(watch, show, "hes.jobs.", look)
        stage.end_fleet()
        _drain(watch, show, "", look)
    watch.stop()
    say("comparing what arrived with what the meters held and sent")
    return reconcile(Truth.read(stage.truth, asks.asked), gather(stage.settings, (day, day + DAY_MS)), len(stage.meters))


def _drain(watch: Watch, show: Show, topics: str, look: Callable[[], None]) -> None:
    """Until every service has done all there is on topics of this prefix; twice, since one's output is another's input."""
    until, still = time.monotonic() + _DRAIN_S, 0
    while still < 2 and time.monotonic() < until:
        look()
        still = still + 1 if watch.drained(topics) else 0
        show(watch.look(), None, "finishing what is under way")
        time.sleep(_LOOK_EVERY_S)
    if still < 2:
        unread = ", ".join(f"{topic} {lag}" for topic, lag in watch.lag().items() if lag and topic.startswith(topics))
        say(f"not everything was read within {_DRAIN_S:.0f} s; records left: {unread or 'Kafka does not say'}")


@contextmanager
def _shown(record: Path | None) -> Iterator[Show]:
    """A live board on a terminal; a line now and then elsewhere. The last picture goes to `record`."""
    last: list[tuple[Snapshot, float | None, str]] = []  # while it runs: the end is a quiet picture
    if sys.stderr.isatty():
        with Live(console=stderr, refresh_per_second=4, transient=False) as live:

            def draw(snapshot: Snapshot, left_s: float | None, words: str) -> None:
                last[:] = last if words else [(snapshot, left_s, words)]
                live.update(board(snapshot, left_s=left_s, words=words))

            yield draw
    else:
        spoken = [-10.0]

        def tell(snapshot: Snapshot, left_s: float | None, words: str) -> None:
            last[:] = last if words else [(snapshot, left_s, words)]
            if snapshot.at_s - spoken[0] >= 10:
                spoken[0] = snapshot.at_s
                letters = sum(snapshot.dead_letters.values())
                counts = (
                    f"{snapshot.reads:,.0f} reads, {snapshot.pushes:,.0f} pushes, {snapshot.intervals:,.0f} intervals stored"
                )
                say(f"{snapshot.at_s:.0f} s: {counts}, {letters:,.0f} dead letters{words and f'; {words}'}")

        yield tell
    if record is not None and last:
        _picture(last[0], record)


def _picture(last: tuple[Snapshot, float | None, str], path: Path) -> None:
    snapshot, left_s, words = last
    console = Console(record=True, width=120, file=StringIO())
    console.print(board(snapshot, left_s=left_s, words=words))
    console.save_svg(str(path), title="hes demo")
