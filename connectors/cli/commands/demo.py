"""`hes demo`: the whole system on this machine."""

from __future__ import annotations

import re
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from connectors.cli.commands.local import failures_named
from connectors.cli.failure import DONE_WITH_FAILURES, usage
from connectors.cli.output import FormatOption, emit, say

_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600}


def demo(
    meters: Annotated[int, typer.Option(min=1, max=20_000, help="how many simulated meters")] = 200,
    for_: Annotated[
        str, typer.Option("--for", help="end by itself after so long (60s, 5m) and reconcile; else Ctrl-C ends it")
    ] = "",
    seed: Annotated[int, typer.Option(help="decides everything about the fleet")] = 7,
    c12: Annotated[float, typer.Option(min=0, max=1, help="share of the meters that are of ANSI C12.22")] = 0.2,
    record: Annotated[Path | None, typer.Option(help="save the board's last picture as SVG", dir_okay=False)] = None,
    format: FormatOption = None,  # noqa: A002 - the option's name
) -> None:
    """Start Kafka, a Schema Registry, ClickHouse, every service and a fleet of meters here, and watch them work.

    At the end what arrived is compared with what the meters truly held and sent; the exit code is 1 where they differ.
    """
    span = _seconds(for_) if for_ else None
    from connectors.cli.demo.play import play
    from connectors.cli.demo.stage import Scale, Stage

    with failures_named(), Stage(Scale(meters, seed, c12_share=c12), say) as stage:
        summary = play(stage, span, record=record)
    row = asdict(summary)
    details = row.pop("details")
    emit([row | {"reconciled": summary.reconciled}], format)
    for name, items in details.items():
        say(f"[red]{name}[/], such as {items[0]}")
    if not summary.reconciled:
        raise typer.Exit(DONE_WITH_FAILURES)


def _seconds(text: str) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", text)
    if match is None:
        raise usage(f"--for {text} is no time", "write it like 60s, 5m or 1h")
    return float(match[1]) * _UNITS[match[2]]


def register(app: typer.Typer) -> None:
    """Put the command on the tree."""
    app.command()(demo)
