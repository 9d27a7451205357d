"""All settings of all services, in one place.

Each has an environment variable (`HES_KAFKA__BOOTSTRAP` is `kafka.bootstrap`) and a place in one TOML file, named by
`HES_SETTINGS` (default `hes.toml` in the working directory, where there is one). The environment wins over the file.
`hes doctor` shows the merged result, secrets masked.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, Field, SecretStr
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from streams.runtime.group_settings import Group


def _known_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (LookupError, ValueError, OSError) as error:
        raise ValueError(f"there is no time zone {name[:60]!r}; write an IANA name such as Europe/Madrid, or UTC") from error
    return name


TimeZone = Annotated[str, AfterValidator(_known_zone)]
"""The name of a time zone that there is."""


class Kafka(BaseModel):
    """How to reach Kafka."""

    bootstrap: str = "127.0.0.1:9092"
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    ca_file: str = ""
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    sasl_username: str = ""
    sasl_password: SecretStr = SecretStr("")
    group_suffix: str = Field(
        "", description="appended to each consumer group, so that two environments may share a cluster"
    )
    instance_id: str = Field(
        "", description="static group membership: a replaced worker takes its partitions over in seconds"
    )
    session_timeout_s: float = 10.0
    delivery_timeout_s: float = 30.0


class Registry(BaseModel):
    """How to reach the Schema Registry (Confluent-compatible)."""

    url: str = "http://127.0.0.1:8081"


class ClickHouse(BaseModel):
    """Where readings are kept, and how they are batched."""

    url: SecretStr = Field(
        SecretStr("http://127.0.0.1:8123"),
        description="clickhouse://user:password@host:9000 for the native protocol, http://host:8123 for HTTP",
    )
    database: str = "hes"
    batch_records: int = Field(20_000, ge=1, le=50_000, description="Kafka records in a batch")
    batch_octets: int = Field(
        1_500_000, ge=1, le=67_108_864, description="octets of them; a row of a load profile takes about three"
    )
    batch_wait_s: float = Field(1.0, gt=0, description="a batch is stored so long after its first record")
    insert_rows: int = Field(400_000, ge=1, le=500_000, description="rows of an insert; the largest record comes on top")
    inserts: int = Field(2, ge=1, le=16, description="batches that are stored at once")
    cluster: str = Field(
        "", pattern=r"^\w*$", description="a cluster of the server's; the tables are made replicated and distributed on it"
    )
    keep_days: dict[str, int] = Field(
        {}, description="days that a table keeps its rows, such as {intervals = 3650}; others keep them for ever"
    )
    rollup_every_s: float = Field(300.0, ge=0, description="how often days that got rows are rolled up; 0 is never")
    rollup_zone: TimeZone = Field("UTC", description="the time zone of their days")
    timeout_s: float = 30.0


class Pace(BaseModel):
    """How hard one segment (concentrator, cell, mesh collector) may be pressed, by all workers together.

    Each worker takes the share of the data partitions that it owns. `reserved` sessions beyond are for what is urgent.
    """

    sessions: int = Field(ge=1, description="sessions open at once")
    starts_per_s: float = Field(gt=0, description="sessions begun a second")
    reserved: int = Field(1, ge=0, description="sessions more for what is urgent")
    silent_s: float = Field(
        0.0, ge=0, description="a session in which no message came for so long leaves its place to another; 0: it keeps it"
    )


class Paces(BaseModel):
    """What holds for the segments of each access network, where `segments` says nothing else."""

    nb_iot: Pace = Field(
        Pace(sessions=40, starts_per_s=5, silent_s=3), description="random access of a cell is what is scarce"
    )
    rf_mesh: Pace = Field(Pace(sessions=10, starts_per_s=5), description="every hop takes the same air")
    plc_prime: Pace = Field(Pace(sessions=4, starts_per_s=2), description="one channel below a concentrator")
    plc_g3: Pace = Field(Pace(sessions=4, starts_per_s=2), description="as PRIME")
    lorawan: Pace = Field(Pace(sessions=1, starts_per_s=0.1), description="the duty cycle of one gateway")
    ethernet: Pace = Field(Pace(sessions=200, starts_per_s=100, silent_s=3), description="what a switch or router bears")
    unknown: Pace = Field(Pace(sessions=50, starts_per_s=20), description="nobody said what it is")


class Breaker(BaseModel):
    """When a segment is left alone, and for how long."""

    failures: int = Field(8, ge=1, description="meters in a row that are missed and were reached before")
    open_s: float = Field(30.0, gt=0, description="before one session is tried; twice as long after each that fails")
    longest_s: float = Field(600.0, gt=0, description="the longest time between two tries")


class Gateway(BaseModel):
    """The listeners and the reader."""

    host: str = "127.0.0.1"
    tcp_port: int = Field(4059, ge=0, le=65_535, description="0 takes a free one")
    udp_port: int = Field(4059, ge=0, le=65_535)
    max_connections: int = 20_000
    idle_timeout_s: float = Field(900.0, description="a push connection that is silent for so long is closed")
    frame_timeout_s: float = Field(60.0, description="a frame that has begun must be complete within this time")
    max_apdu: int = Field(262_144, le=393_216, description="bytes of one APDU, reassembled; its frames must fit one record")
    max_unacknowledged: int = Field(5_000, description="pushes waiting for Kafka before sockets are no longer read")
    max_unacknowledged_octets: int = Field(67_108_864, description="the same in octets of records")
    max_buffered: int = Field(268_435_456, description="octets of half received frames, over all connections")
    sessions: int = Field(
        10_000, description="pull sessions open at once; silent meters hold theirs until they are given up, so rather many"
    )
    connect_timeout_s: float = 10.0
    answer_timeout_s: float = 30.0
    datagram_retry_s: float = Field(5.0, gt=0, description="UDP: before a request is sent again; each time twice as long")
    job_timeout_s: float = Field(600.0, description="a job without a deadline ends after this time")
    attempts: int = Field(3, description="connections tried for one job within its deadline")
    retry_first_s: float = Field(4.0, gt=0, description="a retry waits up to this long, up to twice as long each time after")
    retry_longest_s: float = Field(300.0, gt=0, description="but never longer than this")
    pace: Paces = Paces()
    segments: dict[str, Pace] = Field({}, description="the pace of single segments, by name")
    breaker: Breaker = Breaker()
    system_title: str = Field("4845530000000001", pattern="^[0-9A-Fa-f]{16}$", description="ours, the same for all workers")
    transfer_octets_per_s: int = Field(
        500_000, ge=1_000, description="octets of firmware a second that one worker puts on all lines together"
    )
    counter_block: int = Field(1_000, ge=16, le=1_000_000, description="invocation counters reserved at a time")
    counter_raise: int = Field(
        10_000_000, ge=1, description="how far a meter may raise our counter by what it says in clear"
    )
    relay_port: int = Field(-1, ge=-1, le=65_535, description="where workers hand dialled-in meters over; -1 is nowhere")
    relay_host: str = Field("", description="the address under which other workers reach this one; empty takes `host`")
    relay_secret: SecretStr = Field(SecretStr(""), description="proves workers to each other; the same for all")
    key_file: str = Field("", description="the encrypted key store; `hes meters import` fills it")
    master_key: SecretStr = Field(SecretStr(""), description="32 octets as hex, or empty to read master_key_file")
    master_key_file: str = ""
    templates_dir: str = Field("", description="further meter templates beside those that ship")
    bulk_linger_s: float = Field(
        0.1, ge=0, le=1, description="what jobs of the bulk lane come to is gathered for so long, partition by partition"
    )
    max_queued_jobs: int = Field(50_000, description="jobs of a lane in memory (2.3 kB each) before it is paused")
    discover: bool = Field(True, description="announce meters that push and are not registered, on hes.meters")
    max_discovered: int = Field(10_000, description="meters that one process announces at most")
    shutdown_s: float = Field(20.0, description="time to finish what is in hand after SIGTERM")


class Split(BaseModel):
    """The splitter."""

    engine: Literal["plain", "faust"] = Field(
        "plain", description="librdkafka's consumer, a thread a lane; or a Faust agent a lane, at an eighth of the rate"
    )
    batch_records: int = Field(5_000, ge=1, le=50_000)
    batch_octets: int = Field(4_194_304, ge=1, le=67_108_864, description="octets of a batch")
    batch_wait_s: float = Field(0.02, gt=0, description="a batch is sent so long after its first record, where it is urgent")
    bulk_wait_s: float = Field(0.1, gt=0, description="the same for bulk, where fewer and larger batches spare the broker")
    shutdown_s: float = 15.0


class Schedules(BaseModel):
    """Schedules to ticks, ticks to jobs."""

    settle_s: float = Field(60.0, ge=0, description="a window opens so long after its time: meters' clocks drift")
    slice_s: float = Field(60.0, ge=1, description="a plan is frozen and sent in slices of this length")
    slice_meters: int = Field(5_000, ge=1, le=10_000, description="meters of a slice at most; it must fit one record")
    ahead_s: float = Field(30.0, ge=0, description="a slice is sent so long before its first job's time")
    pace_share: float = Field(0.7, gt=0, le=1, description="of a segment's pace that schedules fill; the rest is for others")
    catch_up_s: float = Field(172_800.0, ge=0, description="ticks missed while nobody was there are made up for so far back")
    late_every_s: float = Field(60.0, gt=0, description="how often meters that came in late are looked for in open windows")
    poll_s: float = Field(0.5, gt=0, description="how often the clock is looked at")


class Gaps(BaseModel):
    """What was expected against what arrived."""

    grace_s: float = Field(900.0, ge=0, description="after a window, before what is missing is asked for again")
    asks: int = Field(4, ge=1, le=100, description="backfill jobs for a meter's day; what they do not bring is given up")
    pause_s: float = Field(3_600.0, ge=60, description="between two of them, where the meter was heard since the last one")
    silent_s: float = Field(86_400.0, ge=60, description="the same where it was not, and before a day is given up")
    days: int = Field(8, ge=2, le=62, description="days that are remembered; what is older is given up")
    ranges: int = Field(4, ge=1, le=50, description="ranges that one look at a meter asks for; near ones become one")
    join_s: float = Field(
        7_200.0, ge=0, description="ranges nearer than this become one: a few rows twice cost less than a request"
    )
    spread_s: float = Field(900.0, ge=1, description="backfill jobs found at once are spread over this long, and by segment")
    deadline_s: float = Field(7_200.0, ge=60, description="a backfill job is good for so long after its time")
    look_every_s: float = Field(30.0, gt=0, description="how often what is missing is looked for")
    report_every_s: float = Field(900.0, gt=0, description="how often read success that changed is told")
    batch_records: int = 2_000
    batch_wait_s: float = 0.5


class Deadlines(BaseModel):
    """Seconds within which a meter answers what is asked on demand, by its access network."""

    nb_iot: float = Field(90.0, gt=0)
    rf_mesh: float = Field(120.0, gt=0)
    plc_prime: float = Field(600.0, gt=0)
    plc_g3: float = Field(600.0, gt=0)
    lorawan: float = Field(3_600.0, gt=0)
    ethernet: float = Field(60.0, gt=0)
    unknown: float = Field(120.0, gt=0)


class Commands(BaseModel):
    """Commands: who may, and how they become jobs. `root_key` and `policy_file` hold for the gateway too."""

    root_key: str = Field(
        "", description="public key (64 hex digits) that makes operators; several by commas while one replaces another"
    )
    policy_file: str = Field("", description="YAML; empty takes the strict policy that ships")
    releasers: str = Field(
        "",
        description="operators with the role `release`, by commas; the gateway then acts on no job that none of them signed",
    )
    release_key_file: str = Field("", description="a releaser's private key (PEM): the service of commands signs jobs by it")
    release_key_passphrase: SecretStr = Field(SecretStr(""), description="of the key file, where it has one")
    batch_records: int = Field(500, ge=1, le=5_000)
    poll_s: float = Field(0.05, gt=0, description="between two looks at the clock while nothing comes")
    urgent_meters: int = Field(50, ge=0, description="a command to more meters goes by the bulk lane, and paced")
    jobs_per_s: float = Field(200.0, gt=0, description="jobs issued a second, for all paced commands together")
    deadlines: Deadlines = Deadlines()
    answer_grace_s: float = Field(60.0, ge=0, description="past its deadline, before a job without a result is unknown")
    keep_s: float = Field(604_800.0, gt=0, description="ended commands stay in the books so long")
    keep_reads_s: float = Field(3_600.0, gt=0, description="likewise, reads")
    transaction_timeout_s: float = Field(10.0, ge=1, description="an interrupted write is undone after this at the latest")


class Followup(BaseModel):
    """What follows alarms and wrong clocks. Jobs are good for as long as `commands.deadlines` says."""

    policy_file: str = Field("", description="YAML; empty takes the standard policy that ships")
    operator: str = Field("hes-followup", description="in whose name clocks are set: an operator with the role `system`")
    key_file: str = Field("", description="his private key (PEM); without one a wrong clock is an alarm")
    key_passphrase: SecretStr = Field(SecretStr(""), description="of the key file, where it has one")
    batch_records: int = Field(2_000, ge=1, le=5_000)
    poll_s: float = Field(0.2, gt=0, description="between two looks at the clock while nothing comes")


class Oms(BaseModel):
    """Outages grouped by transformer and feeder."""

    gather_s: float = Field(0.1, gt=0, le=60, description="alarms of so long are grouped and told together")
    life_support_s: float = Field(0.02, gt=0, description="the same where life support is concerned")
    near_s: float = Field(120.0, gt=0, description="meters of a transformer that go out no further apart are one outage")
    again_s: float = Field(300.0, gt=0, description="a meter that loses supply again so soon is still in the same outage")
    sustained_s: float = Field(300.0, gt=0, description="an interruption longer than this is sustained (IEEE 1366)")
    flaps: int = Field(3, ge=2, le=50, description="losses of supply of one meter within `flap_s` that are flapping")
    flap_s: float = Field(600.0, gt=0, description="likewise; it is held back until it was quiet for so long")
    late_s: float = Field(86_400.0, gt=0, description="what a meter tells later than this is history, and no outage of now")
    expire_s: float = Field(259_200.0, gt=0, description="an outage of which nothing was heard for so long is over")
    keep_s: float = Field(86_400.0, gt=0, description="an outage that is over is remembered so long, for what comes late")
    delivered: float = Field(0.5, gt=0.05, le=0.95, description="share of the last gasps that arrive where supply is lost")
    arrive_s: float = Field(5.0, gt=0, description="within which about two thirds of those that arrive have arrived")
    typical_meters: int = Field(10, ge=1, description="below a transformer of which nobody knows how many there are")
    most_meters: int = Field(
        2_000, ge=1, description="below one transformer; a name that more meters bear is a placeholder, and groups nothing"
    )
    feeder_share: float = Field(0.5, gt=0, le=1, description="of a feeder's transformers that are out: the feeder is")
    feeder_least: int = Field(3, ge=2, description="but no fewer transformers than this")
    feeder_every_s: float = Field(1.0, ge=0, description="between two revisions of a feeder's outage")
    batch_records: int = Field(5_000, ge=1, le=50_000)
    transaction_timeout_s: float = Field(10.0, ge=1, description="an interrupted write is undone after this at the latest")


class Band(BaseModel):
    """What a segment of an access network carries, and how much of it firmware may take."""

    bits_s: float = Field(gt=0, description="that its meters share")
    meter_bits_s: float = Field(gt=0, description="at which one meter takes an image where nobody else is served")
    share: float = Field(gt=0, le=1, description="of bits_s that firmware may take at most")
    concurrent: int = Field(ge=1, description="transfers at once")
    reading: float = Field(600.0, ge=0, description="octets a meter and hour that are kept for reading it")


class Bands(BaseModel):
    """What holds for the segments of each access network, where `segments` says nothing else."""

    nb_iot: Band = Field(Band(bits_s=60_000, meter_bits_s=10_000, share=0.1, concurrent=4), description="a cell")
    rf_mesh: Band = Field(Band(bits_s=100_000, meter_bits_s=10_000, share=0.2, concurrent=8), description="a collector")
    plc_prime: Band = Field(Band(bits_s=20_000, meter_bits_s=4_000, share=0.3, concurrent=4), description="a concentrator")
    plc_g3: Band = Field(Band(bits_s=30_000, meter_bits_s=6_000, share=0.3, concurrent=4), description="a concentrator")
    lorawan: Band = Field(Band(bits_s=300, meter_bits_s=100, share=0.1, concurrent=1, reading=10), description="a gateway")
    ethernet: Band = Field(Band(bits_s=10_000_000, meter_bits_s=100_000, share=0.5, concurrent=20), description="a switch")
    unknown: Band = Field(Band(bits_s=20_000, meter_bits_s=4_000, share=0.1, concurrent=1), description="nobody said")


class Firmware(BaseModel):
    """Firmware campaigns. What a campaign's signed terms allow can only lower what is set here."""

    bands: Bands = Bands()
    segments: dict[str, Band] = Field({}, description="the band of single segments, by name")
    groups: dict[str, Group] = Field({}, description="segments whose meters hear one address together, by name")
    batch_records: int = Field(500, ge=1, le=5_000)
    poll_s: float = Field(0.2, gt=0, description="between two looks at the clock while nothing comes")
    ahead_s: float = Field(30.0, ge=1, le=600, description="a transfer's job is sent so long before its time")
    restart_s: float = Field(120.0, ge=0, description="kept free before a window ends: the meter restarts with the image")
    answer_grace_s: float = Field(1_800.0, ge=60, description="past its deadline, before a job counts as unanswered")
    ping_every_s: float = Field(14_400.0, ge=600, description="a meter that is silent after activation is pinged so often")
    keep_s: float = Field(7_776_000.0, gt=0, description="ended campaigns stay in the books so long")
    transaction_timeout_s: float = Field(30.0, ge=1, description="an interrupted write is undone after this at the latest")


class DeadLetterLimit(BaseModel):
    """When dead letters stop a service."""

    share: float = Field(0.5, gt=0, le=1)
    window_s: float = 60.0
    minimum: int = Field(1_000, description="dead letters within the window below which nothing stops")


class Health(BaseModel):
    """The HTTP port for probes and metrics."""

    host: str = "127.0.0.1"
    port: int = Field(0, ge=-1, le=65_535, description="0 takes a free one, -1 is none")
    stuck_s: float = Field(60.0, description="no progress for so long is not alive")


class Log(BaseModel):
    """What is logged, to standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["json", "console"] = "json"


class Tracing(BaseModel):
    """Where OpenTelemetry spans go, and of which traces."""

    endpoint: str = Field("", description="an OTLP/HTTP collector, such as http://collector:4318; empty is no spans")
    sample: float = Field(
        0.01, ge=0, le=1, description="share of the traces, by their ids; one that somebody samples is followed"
    )
    timeout_s: float = Field(10.0, gt=0, description="for one export; what is not taken then is dropped")


class Settings(BaseSettings):
    """Everything that can be set."""

    model_config = SettingsConfigDict(
        env_prefix="HES_", env_nested_delimiter="__", extra="ignore", frozen=True, hide_input_in_errors=True
    )

    environment: str = Field("local", description="named in decisions, so that one environment's approval is not another's")
    topology: str = Field("", description="topology.yaml; empty takes the one that ships")
    kafka: Kafka = Kafka()
    registry: Registry = Registry()
    clickhouse: ClickHouse = ClickHouse()
    gateway: Gateway = Gateway()
    split: Split = Split()
    commands: Commands = Commands()
    schedules: Schedules = Schedules()
    gaps: Gaps = Gaps()
    followup: Followup = Followup()
    firmware: Firmware = Firmware()
    oms: Oms = Oms()
    dead_letters: DeadLetterLimit = DeadLetterLimit()
    health: Health = Health()
    log: Log = Log()
    tracing: Tracing = Tracing()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the signature is pydantic's
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Order the sources: arguments, environment, mounted secrets, then the file."""
        file = Path(os.environ.get("HES_SETTINGS", "hes.toml"))
        return init_settings, env_settings, file_secret_settings, TomlConfigSettingsSource(settings_cls, toml_file=file)
