"""`hes bench`: how fast the parts are on this machine."""

from __future__ import annotations

from typing import Annotated

import typer

from connectors.cli.output import FormatOption, emit, say

bench = typer.Typer(
    help="How fast the parts are on this machine, each beside a peer where there is one.", no_args_is_help=True
)
Rows = Annotated[int, typer.Option(min=1, help="rows of a profile")]
Channels = Annotated[int, typer.Option(min=1, max=64, help="channels of a profile")]


@bench.command()
def decode(
    seconds: Annotated[float, typer.Option(min=0.1, help="for each workload")] = 2.0,
    format: FormatOption = None,  # noqa: A002 - the option's name
) -> None:
    """Decode load profiles, plain and ciphered, and pushes; gurux-dlms beside it."""
    from connectors.cli.bench import decode as bench_decode  # noqa: PLC0415

    _tell_machine()
    emit(bench_decode.run(seconds), format)


@bench.command()
def split(
    records: Annotated[int, typer.Option(min=100, help="profiles")] = 100_000,
    rows: Rows = 96,
    channels: Channels = 1,
    format: FormatOption = None,  # noqa: A002 - the option's name
) -> None:
    """Move profiles through one split worker, on a Kafka of the bench's own."""
    from connectors.cli.bench import split as bench_split  # noqa: PLC0415
    from connectors.cli.commands.local import failures_named  # noqa: PLC0415

    _tell_machine()
    with failures_named():
        emit(bench_split.run(records, rows, channels, say), format)


@bench.command()
def sink(
    records: Annotated[int, typer.Option(min=100, help="profiles")] = 20_000,
    rows: Rows = 96,
    channels: Channels = 1,
    url: Annotated[str, typer.Option(help="clickhouse://… or http://…; else one of the bench's own")] = "",
    format: FormatOption = None,  # noqa: A002 - the option's name
) -> None:
    """Turn profiles into rows of ClickHouse, from Avro bytes to the acknowledged insert."""
    from connectors.cli.bench import sink as bench_sink  # noqa: PLC0415
    from connectors.cli.commands.local import failures_named  # noqa: PLC0415

    _tell_machine()
    with failures_named():
        emit(bench_sink.run(records, rows, channels, url, say), format)


def _tell_machine() -> None:
    from connectors.cli.bench.measure import machine  # noqa: PLC0415

    say(machine())


def register(app: typer.Typer) -> None:
    """Put the group on the tree."""
    app.add_typer(bench, name="bench")
