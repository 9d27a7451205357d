"""`hes bench`: how fast the parts are on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
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


class SplitPeer(StrEnum):
    """Who else moves records from topic to topic."""

    QUIXSTREAMS = "quixstreams"
    ARROYO = "arroyo"


class GatewayProtocol(StrEnum):
    """What the meters speak."""

    DLMS = "dlms"
    C1222 = "c1222"


class Network(StrEnum):
    """An access network, whose pace holds for its segments."""

    NB_IOT = "NB_IOT"
    RF_MESH = "RF_MESH"
    PLC_PRIME = "PLC_PRIME"
    PLC_G3 = "PLC_G3"
    LORAWAN = "LORAWAN"
    ETHERNET = "ETHERNET"
    UNKNOWN = "UNKNOWN"


_GATEWAY = ("hes", "uvloop", "numpy", "cryptography")
_WORKER = (*_GATEWAY, "confluent-kafka", "fastavro")

AuthOption = Annotated[Auth, typer.Option(help="association; gmac is HLS-GMAC with suite 0 ciphering")]
ProfileOption = Annotated[
    Path | None,
    typer.Option("--profile", dir_okay=False, help="write where the CPU time goes, as collapsed stacks, and show the most"),
]
Rows = Annotated[int, typer.Option(min=1, help="rows of a profile")]
Channels = Annotated[int, typer.Option(min=1, max=64, help="channels of a profile")]


@bench.command()
def decode(
    seconds: Annotated[float, typer.Option(min=0.1, help="for each workload")] = 2.0,
    format: FormatOption = None,  # noqa: A002 - the option's name
) -> None:
    """Decode load profiles, plain and ciphered, and pushes; gurux-dlms beside it."""
    from connectors.cli.bench import decode as bench_decode

    _tell_machine("hes", "numpy", "cryptography", "gurux-dlms")
    emit(bench_decode.run(seconds), format)


@bench.command()
def split(
    records: Annotated[int, typer.Option(min=100, help="profiles")] = 100_000,
    rows: Rows = 96,
    channels: Channels = 1,
    peer: Annotated[
        list[SplitPeer] | None, typer.Option(help="moves the same in the same run; may be given twice, and is fetched once")
    ] = None,
    format: FormatOption = None,  # noqa: A002 - the option's name
) -> None:
    """Move profiles through one split worker, on a Kafka of the bench's own; quixstreams and arroyo beside it."""
    from connectors.cli.bench import split as bench_split
    from connectors.cli.commands.local import failures_named

    _tell_machine("hes", "confluent-kafka", "fastavro")
    with failures_named():
        emit(bench_split.run(records, rows, channels, say, [*map(str, peer or ())]), format)


@bench.command()
def sink(
    records: Annotated[int, typer.Option(min=100, help="profiles")] = 60_000,
    rows: Rows = 96,
    channels: Channels = 1,
    url: Annotated[str, typer.Option(help="clickhouse://… or http://…; else one of the bench's own")] = "",
    format: FormatOption = None,  # noqa: A002 - the option's name
) -> None:
    """Turn profiles into rows of ClickHouse, from Avro bytes to the acknowledged insert."""
    from connectors.cli.bench import sink as bench_sink
    from connectors.cli.commands.local import failures_named

    _tell_machine("hes", "confluent-kafka", "fastavro", "numpy", "chdb", "clickhouse-driver")
    with failures_named():
        emit(bench_sink.run(records, rows, channels, url, say), format)


@bench.command()
def pipeline(
    meters: Annotated[int, typer.Option(min=100, help="a day of each")] = 20_000,
    channels: Channels = 1,
    push: Annotated[bool, typer.Option("--push", help="one interval of each, pushed to a gateway's sockets")] = False,
    ciphered: Annotated[bool, typer.Option("--ciphered", help="pushes under suite 0")] = False,
    frames: Annotated[bool, typer.Option(help="keep the meters' frames on hes.frames, as a gateway does")] = True,
    profile: ProfileOption = None,
    format: FormatOption = None,  # noqa: A002 - the option's name
) -> None:
    """Take a day of many meters from frames to rows in ClickHouse, through the real services; CPU told by service."""
    from connectors.cli.bench.pipeline import Options, run
    from connectors.cli.commands.local import failures_named

    _tell_machine(*_WORKER, "chdb")
    options = Options(meters, channels, push, ciphered, frames, profile)
    with failures_named(), _shown(profile if push else None):
        emit(run(options, say), format)


@bench.command()
def gateway(
    sessions: Annotated[int, typer.Option(min=1, help="how many, after a warm-up")] = 20_000,
    concurrency: Annotated[int, typer.Option(min=1, help="sessions open at once")] = 32,
    protocol: Annotated[
        GatewayProtocol, typer.Option(help="c1222: an own fleet, in clear and ciphered; options of DLMS mean nothing then")
    ] = GatewayProtocol.DLMS,
    auth: AuthOption = Auth.NONE,
    meters: Annotated[int, typer.Option(min=1, max=5000, help="own fleet: how many different meters")] = 200,
    block: Annotated[int, typer.Option(min=0, help="own fleet: answer in blocks of so many octets; 0 is whole")] = 0,
    target: Annotated[str, typer.Option(help="HOST:PORT or HOST:PORT-PORT of a fleet that is not ours")] = "",
    obis: Annotated[str, typer.Option(help="of the load profile")] = "1.0.99.1.0.255",
    client: Annotated[int, typer.Option(min=0, help="client address; 0 is what the association usually has")] = 0,
    server: Annotated[int, typer.Option(min=1, help="server address")] = 1,
    password: Annotated[str, typer.Option(envvar="HES_PASSWORD", help="of a foreign fleet; rather by the environment")] = "",
    peer: Annotated[Peer | None, typer.Option(help="reads the same fleet in the same run")] = None,
    profile: ProfileOption = None,
    format: FormatOption = None,  # noqa: A002 - the option's name
) -> None:
    """Run sessions with meters, connect to close, 96 rows read, every value compared; jDLMS beside it."""
    from connectors.cli.bench import gateway_c1222
    from connectors.cli.bench.gateway import Options, run
    from connectors.cli.bench.profiler import sampling

    _tell_machine(*_GATEWAY)
    if protocol is GatewayProtocol.C1222:
        with _shown(profile), sampling(profile):
            emit(gateway_c1222.run(sessions, concurrency, meters, say), format)
        return
    options = Options(
        sessions,
        concurrency,
        auth,
        meters,
        block,
        target,
        obis,
        client,
        server,
        password.encode() or None,
        peer=peer or "",
    )
    with _shown(profile), sampling(profile):
        emit(run(options, say), format)


@bench.command()
def worker(
    jobs: Annotated[int, typer.Option(min=1, help="how many, after a warm-up")] = 10_000,
    meters: Annotated[
        int, typer.Option(min=1, max=20_000, help="how many different meters; each job is a visit of its own")
    ] = 2_000,
    auth: AuthOption = Auth.NONE,
    concurrency: Annotated[int, typer.Option(min=1, help="sessions open at once")] = 500,
    peer: Annotated[Peer | None, typer.Option(help="reads the same fleet in the same run")] = None,
    profile: ProfileOption = None,
    format: FormatOption = None,  # noqa: A002 - the option's name
) -> None:
    """Run a whole gateway worker: jobs on Kafka to results and readings acknowledged on Kafka, every value compared."""
    from connectors.cli.bench.worker import Options, run
    from connectors.cli.commands.local import failures_named

    _tell_machine(*_WORKER)
    with failures_named(), _shown(profile):
        emit(run(Options(jobs, meters, auth, concurrency, peer or "", profile), say), format)


@bench.command("open")
def open_(
    sessions: Annotated[int, typer.Option(min=0, help="pull sessions open at once, a meter each")] = 10_000,
    hold: Annotated[float, typer.Option(min=0.1, help="seconds that the meters hold each answer back")] = 20.0,
    idle: Annotated[int, typer.Option(min=0, help="push connections that say nothing")] = 10_000,
    auth: AuthOption = Auth.NONE,
    profile: ProfileOption = None,
    format: FormatOption = None,  # noqa: A002 - the option's name
) -> None:
    """Open very many sessions at once in one worker, and very many idle push connections: what each takes."""
    from connectors.cli.bench.worker_open import Options, run
    from connectors.cli.commands.local import failures_named

    _tell_machine(*_WORKER)
    with failures_named(), _shown(profile):
        emit(run(Options(sessions, hold, idle, auth, profile=profile), say), format)


@bench.command()
def hostile(
    hostile: Annotated[int, typer.Option(min=1, help="meters that are silent, or answer an octet a second")] = 5_000,
    meters: Annotated[int, typer.Option(min=1, help="healthy meters")] = 1_000,
    jobs: Annotated[int, typer.Option(min=1, help="healthy jobs a turn")] = 10_000,
    turns: Annotated[int, typer.Option(min=1, help="turns with hostile meters, and as many without")] = 2,
    auth: AuthOption = Auth.NONE,
    concurrency: Annotated[int, typer.Option(min=0, help="sessions open at once; 0 is as the settings have it")] = 0,
    segments: Annotated[
        int, typer.Option(min=0, help="segments that the hostile meters are in; 0 is none, and no pace")
    ] = 50,
    network: Annotated[Network, typer.Option(help="of these segments")] = Network.NB_IOT,
    mixed: Annotated[bool, typer.Option("--mixed", help="the healthy meters are in the same segments")] = False,
    profile: ProfileOption = None,
    format: FormatOption = None,  # noqa: A002 - the option's name
) -> None:
    """Read healthy meters with and without thousands of silent and of very slow ones beside them, turn by turn."""
    from connectors.cli.bench.worker_hostile import Options, run
    from connectors.cli.commands.local import failures_named

    _tell_machine(*_WORKER)
    options = Options(hostile, meters, jobs, turns, auth, concurrency, segments, network, mixed, profile=profile)
    with failures_named(), _shown(profile):
        emit(run(options, say), format)


@bench.command("on-demand")
def on_demand(
    beside: Annotated[
        str, typer.Option(metavar="RATES", help="scheduled reads a second beside, a turn each, by commas")
    ] = "0,100,250,500,1000",
    seconds: Annotated[float, typer.Option(min=1, max=600, help="of each turn")] = 20.0,
    warm_up: Annotated[float, typer.Option(min=0, max=600, help="before each turn, at its rate; seconds")] = 5.0,
    every: Annotated[float, typer.Option(min=0.01, help="seconds from one read on demand to the next, ended or not")] = 0.1,
    meters: Annotated[int, typer.Option(min=1, max=20_000, help="different meters of the scheduled reads")] = 2_000,
    profile: ProfileOption = None,
    format: FormatOption = None,  # noqa: A002 - the option's name
) -> None:
    """Read on demand through gateway, splitter and commands, beside scheduled reads at several rates: the time by stage."""
    from connectors.cli.bench.on_demand import Options, run
    from connectors.cli.commands.local import failures_named
    from connectors.cli.failure import usage

    try:
        rates = tuple(int(rate) for rate in beside.split(","))
    except ValueError:
        rates = ()
    if not rates or min(rates) < 0:
        raise usage(f"--beside {beside!r} is no list of rates", "give whole numbers by commas, such as 0,100,1000")
    _tell_machine(*_WORKER)
    with failures_named(), _shown(profile):
        emit(run(Options(rates, seconds, warm_up, every, meters=meters, profile=profile), say), format)


@bench.command()
def firmware(
    meters: Annotated[int, typer.Option(min=1, max=5_000, help="that are brought the image; beside reads it is 200")] = 20,
    size: Annotated[int, typer.Option(min=1_000, max=1 << 24, help="octets of the image")] = 500_000,
    block: Annotated[int, typer.Option(min=16, max=1_024, help="octets of a block, as the meters have it")] = 512,
    beside_reads: Annotated[
        bool, typer.Option("--beside-reads", help="what reading keeps of its rate while 200 images are on their way")
    ] = False,
    rate: Annotated[float, typer.Option(min=1, help="beside reads: reads a second")] = 100.0,
    seconds: Annotated[float, typer.Option(min=1, help="beside reads: of each turn")] = 20.0,
    format: FormatOption = None,  # noqa: A002 - the option's name
) -> None:
    """Bring firmware images through a whole gateway worker: blocks a second in clear and ciphered, or beside reads."""
    from connectors.cli.bench.firmware import Options, run
    from connectors.cli.commands.local import failures_named

    _tell_machine(*_WORKER)
    options = Options(200 if beside_reads else meters, size, block, beside_reads=beside_reads, rate=rate, seconds=seconds)
    with failures_named():
        emit(run(options, say), format)


class StormSource(StrEnum):
    """Where the alarms are put."""

    ALARMS = "alarms"
    EVENTS = "events"
    SOCKETS = "sockets"


class StormService(StrEnum):
    """What a profile can be of: what works on its main thread."""

    OMS = "oms"
    GATEWAY = "gateway"


@bench.command()
def storm(
    alarms: Annotated[int, typer.Option(min=100, help="last gasps that arrive")] = 100_000,
    seconds: Annotated[float, typer.Option(min=1, help="within which they do")] = 10.0,
    transformers: Annotated[int, typer.Option(min=1, help="that go dark")] = 4_000,
    feeders: Annotated[int, typer.Option(min=1, help="that they are on")] = 20,
    delivered: Annotated[float, typer.Option(min=0.05, max=1, help="share of a transformer's last gasps that arrive")] = 0.6,
    spread: Annotated[float, typer.Option(min=0, help="seconds within which a transformer's meters tell")] = 1.5,
    bulk: Annotated[int, typer.Option(min=0, help="profiles a second through the splitter meanwhile")] = 300,
    source: Annotated[
        StormSource, typer.Option("--at", help="on hes.alarms, before the splitter, or pushed to a gateway's sockets")
    ] = StormSource.ALARMS,
    connections: Annotated[int, typer.Option(min=1, help="at sockets: connections of the meters, which share them")] = 1_000,
    each: Annotated[
        bool, typer.Option("--each", help="at sockets: a connection for each last gasp, no more than --connections at once")
    ] = False,
    ciphered: Annotated[bool, typer.Option("--ciphered", help="what meters push is (general-glo, suite 0)")] = False,
    beside_readings: Annotated[
        int, typer.Option(metavar="ROWS", min=0, help="rows a second that other meters push to the gateway meanwhile")
    ] = 0,
    rate: Annotated[
        list[int] | None, typer.Option(min=10, help="alarms a second instead of --alarms; may be given several times")
    ] = None,
    profile: ProfileOption = None,
    profile_of: Annotated[StormService, typer.Option(help="the service that --profile samples")] = StormService.OMS,
    format: FormatOption = None,  # noqa: A002 - the option's name
) -> None:
    """Group the last gasps of a storm into outages: how long from each alarm to the topic of the OMS."""
    from connectors.cli.bench.storm import run
    from connectors.cli.bench.storm_load import Options
    from connectors.cli.commands.local import failures_named

    _tell_machine("hes", "confluent-kafka", "fastavro")
    rates = tuple(rate or ())
    options = Options(
        alarms, seconds, transformers, feeders, delivered, spread, bulk, source, profile, rates=rates,
        connections=connections, each=each, ciphered=ciphered, beside_readings=beside_readings, profiled=profile_of,
    )  # fmt: skip
    with failures_named(), _shown(profile):
        emit(run(options, say), format)


def _tell_machine(*packages: str) -> None:
    from connectors.cli.bench.measure import machine

    say(machine(*packages))


@contextmanager
def _shown(profile: Path | None) -> Iterator[None]:
    """What is done inside writes a profile: show its top."""
    from connectors.cli.bench.profiler import top

    yield
    if profile is not None:
        say(f"\n{'own':>6} {'whole':>6} {'CPU s':>7}  function: its dearest line")
        for own in top(profile):
            say(f"{own.share:>6.1%} {own.whole:>6.1%} {own.seconds:>7.2f}  {own.function}: {own.line}")


def register(app: typer.Typer) -> None:
    """Put the group on the tree."""
    app.add_typer(bench, name="bench")
