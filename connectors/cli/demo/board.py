"""The live board of the demo, drawn from a snapshot."""

from __future__ import annotations

from rich.columns import Columns
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from connectors.cli.demo.watch import Snapshot

_WIDTH = 38


def board(now: Snapshot, *, left_s: float | None = None, words: str = "") -> RenderableType:
    """What a person sees."""
    until = f"{left_s:.0f} s left" if left_s is not None else "Ctrl-C ends it"
    head = Text.assemble(("hes demo", "bold"), f"   {_clock(now.at_s)}   {until}   ", (words, "yellow"))
    # As many panels side by side as the terminal is wide enough for: a number that is cut off is a wrong number.
    return Group(head, Columns([Group(_meters(now), _flow(now)), _events(now), _lag(now)]))


def _meters(now: Snapshot) -> Panel:
    return _panel(
        "Meters",
        [
            ("installed", f"{now.registered:,}"),
            ("discovered", f"{now.discovered:,}"),
            ("push connections", f"{now.connections:,.0f}"),
            ("pushes", f"{now.pushes:,.0f}"),
            ("pushes a second", f"{now.rates.get('pushes', 0):,.0f}"),
        ],
    )


def _flow(now: Snapshot) -> Panel:
    count, median, late = now.latency_ms or (0, 0, 0)
    return _panel(
        "Reading",
        [
            ("reads", f"{now.reads:,.0f}"),
            ("reads a second", f"{now.rates.get('reads', 0):,.0f}"),
            ("failed", f"{now.reads_failed:,.0f}"),
            ("intervals stored", f"{now.intervals:,.0f}"),
            ("on demand p50, p99", f"{median}, {late} ms" if count else "-"),
        ],
    )


def _events(now: Snapshot) -> Panel:
    letters = sorted(now.dead_letters.items(), key=lambda item: -item[1])
    return _panel(
        "Events",
        [
            ("alarms", f"{now.alarms:,.0f}"),
            ("outages to OMS", f"{now.outages:,.0f}"),
            ("tampers to fraud", f"{now.tampers:,.0f}"),
            ("dead letters", f"{sum(now.dead_letters.values()):,.0f}"),
            *((f"  {code}", f"{count:,.0f}") for code, count in letters[:6]),
        ],
    )


def _lag(now: Snapshot) -> Panel:
    return _panel("Lag by topic", [(topic, f"{lag:,}") for topic, lag in sorted(now.lag.items())] or [("…", "")])


def _panel(title: str, rows: list[tuple[str, str]]) -> Panel:
    table = Table.grid(expand=True)
    table.add_column(no_wrap=True)
    table.add_column(justify="right", style="bold", no_wrap=True)
    for name, value in rows:
        table.add_row(name, value)
    return Panel(table, title=title, title_align="left", border_style="cyan", width=_WIDTH)


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60:02d}:{int(seconds) % 60:02d}"
