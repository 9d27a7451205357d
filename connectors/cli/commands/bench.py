"""`hes bench`: how fast the parts are on this machine."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from connectors.cli.output import FormatOption, emit, say

bench = typer.Typer(
    help="How fast the parts are on this machine, each beside a peer where there is one.", no_args_is_help=True
)


class Auth(StrEnum):
    """How to associate."""

    NONE = "none"
    LOW = "low"
    GMAC = "gmac"


class Peer(StrEnum):
    """Who else reads."""

    JDLMS = "jdlms"


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


@bench.command()
def gateway(
    sessions: Annotated[int, typer.Option(min=1, help="how many, after a warm-up")] = 20_000,
    concurrency: Annotated[int, typer.Option(min=1, help="sessions open at once")] = 32,
    auth: Annotated[Auth, typer.Option(help="association; gmac is HLS-GMAC with suite 0 ciphering")] = Auth.NONE,
    meters: Annotated[int, typer.Option(min=1, max=5000, help="own fleet: how many different meters")] = 200,
    block: Annotated[int, typer.Option(min=0, help="own fleet: answer in blocks of so many octets; 0 is whole")] = 0,
    target: Annotated[str, typer.Option(help="HOST:PORT or HOST:PORT-PORT of a fleet that is not ours")] = "",
    profile: Annotated[str, typer.Option(help="OBIS of the load profile")] = "1.0.99.1.0.255",
    client: Annotated[int, typer.Option(min=0, help="client address; 0 is what the association usually has")] = 0,
    server: Annotated[int, typer.Option(min=1, help="server address")] = 1,
    password: Annotated[str, typer.Option(envvar="HES_PASSWORD", help="of a foreign fleet; rather by the environment")] = "",
    peer: Annotated[Peer | None, typer.Option(help="reads the same fleet in the same run")] = None,
    format: FormatOption = None,  # noqa: A002 - the option's name
) -> None:
    """Run sessions with meters, connect to close, 96 rows read, every value compared; jDLMS beside it."""
    from connectors.cli.bench.gateway import Options, run  # noqa: PLC0415

    _tell_machine()
    options = Options(
        sessions,
        concurrency,
        auth,
        meters,
        block,
        target,
        profile,
        client,
        server,
        password.encode() or None,
        peer=peer or "",
    )
    emit(run(options, say), format)


def _tell_machine() -> None:
    from connectors.cli.bench.measure import machine  # noqa: PLC0415

    say(machine())


def register(app: typer.Typer) -> None:
    """Put the group on the tree."""
    app.add_typer(bench, name="bench")
