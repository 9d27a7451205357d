"""Typed mirror of `schemas/*.avsc`: one frozen class a record, one `StrEnum` an enum.

`tests/unit/schemas/test_records.py` proves that classes and files are equal, field for field. A field is added at the end,
with a default; an enum symbol is added after the others; nothing is removed or renamed (FULL_TRANSITIVE).

Times are `Millis`: integer milliseconds since 1970-01-01T00:00Z. On the wire they carry `timestamp-millis`, so other
consumers see instants; here they stay integers, which is what ClickHouse and numpy want.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated

Millis = Annotated[int, "timestamp-millis"]
"""Milliseconds since the epoch, UTC."""

Scalar = int | float | str | None
"""A meter's own value: an integer, a float, a text (octets as upper-case hex), or absent."""


class IdentityKind(StrEnum):
    """What a meter may present to say who it is."""

    UNKNOWN = "UNKNOWN"
    SYSTEM_TITLE = "SYSTEM_TITLE"  # 8 octets as upper-case hex
    LOGICAL_DEVICE_NAME = "LOGICAL_DEVICE_NAME"  # COSEM 0.0.42.0.0.255
    SERIAL = "SERIAL"  # device id 1, 0.0.96.1.0.255
    AP_TITLE = "AP_TITLE"  # C12.22
    ENDPOINT = "ENDPOINT"  # host, or host:port, that it speaks from


class UtilityKind(StrEnum):
    """What the meter measures."""

    UNKNOWN = "UNKNOWN"
    ELECTRICITY = "ELECTRICITY"
    WATER = "WATER"
    GAS = "GAS"
    HEAT = "HEAT"


class Protocol(StrEnum):
    """The application protocol that a meter speaks."""

    UNKNOWN = "UNKNOWN"
    DLMS = "DLMS"
    C1218 = "C1218"
    C1222 = "C1222"


class Transport(StrEnum):
    """What the bytes on a connection are wrapped in."""

    UNKNOWN = "UNKNOWN"
    WRAPPER = "WRAPPER"  # IEC 62056-47
    HDLC = "HDLC"  # IEC 62056-46
    MBUS = "MBUS"  # EN 13757-2 long frames
    RAW = "RAW"  # bare APDUs


class Network(StrEnum):
    """The access network, which decides pacing and deadlines."""

    UNKNOWN = "UNKNOWN"
    NB_IOT = "NB_IOT"
    RF_MESH = "RF_MESH"
    PLC_PRIME = "PLC_PRIME"
    PLC_G3 = "PLC_G3"
    LORAWAN = "LORAWAN"
    ETHERNET = "ETHERNET"


class MeterState(StrEnum):
    """Where a meter is in its life."""

    UNKNOWN = "UNKNOWN"
    INSTALLED = "INSTALLED"
    DISCOVERED = "DISCOVERED"  # it spoke, nobody had registered it
    NORMAL = "NORMAL"
    LOST = "LOST"
    RETIRED = "RETIRED"
    EXCHANGED = "EXCHANGED"


class SessionKind(StrEnum):
    """Who opened the conversation."""

    UNKNOWN = "UNKNOWN"
    PUSH = "PUSH"
    PULL = "PULL"


class Direction(StrEnum):
    """Which way a frame went."""

    UNKNOWN = "UNKNOWN"
    FROM_METER = "FROM_METER"
    TO_METER = "TO_METER"


class Cause(StrEnum):
    """Why a reading was taken or a job exists."""

    UNKNOWN = "UNKNOWN"
    SCHEDULED = "SCHEDULED"
    ON_DEMAND = "ON_DEMAND"
    BACKFILL = "BACKFILL"
    PUSH = "PUSH"
    FOLLOW_UP = "FOLLOW_UP"
    FIRMWARE = "FIRMWARE"


class AlarmKind(StrEnum):
    """What an alarm is about. The tamper kinds start with TAMPER."""

    UNKNOWN = "UNKNOWN"
    OUTAGE = "OUTAGE"
    RESTORATION = "RESTORATION"
    TAMPER_COVER = "TAMPER_COVER"
    TAMPER_TERMINAL = "TAMPER_TERMINAL"
    TAMPER_MAGNET = "TAMPER_MAGNET"
    TAMPER_BYPASS = "TAMPER_BYPASS"
    TAMPER_REVERSE_FLOW = "TAMPER_REVERSE_FLOW"
    TAMPER_OTHER = "TAMPER_OTHER"
    VOLTAGE = "VOLTAGE"
    CLOCK = "CLOCK"
    COMMUNICATION = "COMMUNICATION"
    SECURITY = "SECURITY"
    FIRMWARE = "FIRMWARE"
    DEVICE = "DEVICE"


class Severity(StrEnum):
    """How soon somebody should look."""

    UNKNOWN = "UNKNOWN"
    INFO = "INFO"
    WARNING = "WARNING"
    CRITICAL = "CRITICAL"


class Operation(StrEnum):
    """What a job or a command asks of a meter."""

    UNKNOWN = "UNKNOWN"
    READ_REGISTERS = "READ_REGISTERS"
    READ_PROFILE = "READ_PROFILE"
    READ_EVENT_LOG = "READ_EVENT_LOG"
    READ_CLOCK = "READ_CLOCK"
    PING = "PING"
    DISCONNECT = "DISCONNECT"
    RECONNECT = "RECONNECT"
    ARM_FOR_RECONNECTION = "ARM_FOR_RECONNECTION"
    LIMIT = "LIMIT"
    SET_CLOCK = "SET_CLOCK"
    SET_CALENDAR = "SET_CALENDAR"
    SET_PARAMETER = "SET_PARAMETER"
    ROTATE_KEY = "ROTATE_KEY"
    FIRMWARE_TRANSFER = "FIRMWARE_TRANSFER"


class Priority(StrEnum):
    """Which work a gateway takes first, highest first."""

    UNKNOWN = "UNKNOWN"
    ON_DEMAND = "ON_DEMAND"
    FOLLOW_UP = "FOLLOW_UP"
    SCHEDULED = "SCHEDULED"
    FIRMWARE = "FIRMWARE"


class Outcome(StrEnum):
    """How a job ended."""

    UNKNOWN = "UNKNOWN"
    DONE = "DONE"
    FAILED = "FAILED"
    EXPIRED = "EXPIRED"
    CANCELLED = "CANCELLED"
    OUTCOME_UNKNOWN = "OUTCOME_UNKNOWN"  # the relay may or may not have moved


class CommandState(StrEnum):
    """Where a command stands."""

    UNKNOWN = "UNKNOWN"
    RECEIVED = "RECEIVED"
    REJECTED = "REJECTED"
    AWAITING_APPROVAL = "AWAITING_APPROVAL"
    APPROVED = "APPROVED"
    QUEUED = "QUEUED"
    SENT = "SENT"
    DONE = "DONE"
    FAILED = "FAILED"
    EXPIRED = "EXPIRED"
    CANCELLED = "CANCELLED"
    OUTCOME_UNKNOWN = "OUTCOME_UNKNOWN"


class Verdict(StrEnum):
    """What a meter operator decided."""

    UNKNOWN = "UNKNOWN"
    APPROVE = "APPROVE"
    REJECT = "REJECT"
    CANCEL = "CANCEL"
    PAUSE = "PAUSE"  # a firmware campaign sends nothing until it is resumed
    RESUME = "RESUME"


class OutageKind(StrEnum):
    """Whether supply was lost or came back."""

    UNKNOWN = "UNKNOWN"
    OUTAGE = "OUTAGE"
    RESTORATION = "RESTORATION"


class OutageScope(StrEnum):
    """How much of the grid an outage takes."""

    UNKNOWN = "UNKNOWN"
    PREMISE = "PREMISE"
    SECTION = "SECTION"  # several premises below one transformer, by a cause of their own
    TRANSFORMER = "TRANSFORMER"
    FEEDER = "FEEDER"


class OutageStatus(StrEnum):
    """How an outage stands."""

    UNKNOWN = "UNKNOWN"
    OPEN = "OPEN"
    PARTLY_RESTORED = "PARTLY_RESTORED"
    RESTORED = "RESTORED"
    FLAPPING = "FLAPPING"  # on and off again and again; held back until it is quiet
    MERGED = "MERGED"  # it is part of another outage
    WITHDRAWN = "WITHDRAWN"  # what was heard since says that it is none
    EXPIRED = "EXPIRED"  # nothing was heard for so long that supply is taken to be back
    HISTORIC = "HISTORIC"  # it was over long before it was told, such as in an event log


class OutageDuration(StrEnum):
    """Of an interruption, as IEEE 1366 tells them apart: sustained is longer than five minutes."""

    UNKNOWN = "UNKNOWN"
    MOMENTARY = "MOMENTARY"
    SUSTAINED = "SUSTAINED"


class CampaignState(StrEnum):
    """Where a firmware campaign stands."""

    UNKNOWN = "UNKNOWN"
    DRAFT = "DRAFT"
    APPROVED = "APPROVED"
    CANARY = "CANARY"
    WAVES = "WAVES"
    PAUSED = "PAUSED"
    HALTED = "HALTED"
    DONE = "DONE"
    REJECTED = "REJECTED"  # nobody approved it, or somebody said no


class ControlKind(StrEnum):
    """What a control does to commands."""

    UNKNOWN = "UNKNOWN"
    FREEZE = "FREEZE"  # nothing that moves a relay or changes a meter is done
    HOLD = "HOLD"  # customers who are not cut off, such as in extreme weather
    AUTHORIZATION = "AUTHORIZATION"  # stands for the decision on each request, such as for prepayment


@dataclass(frozen=True, slots=True)
class Identity:
    """One identity that a meter may present."""

    kind: IdentityKind = IdentityKind.UNKNOWN
    value: str = ""


@dataclass(frozen=True, slots=True)
class Meter:
    """What the head-end knows of one meter; on `hes.meters`, keyed by `id`."""

    id: str = ""
    identities: tuple[Identity, ...] = ()
    vendor: str = ""
    model: str = ""
    utility: UtilityKind = UtilityKind.UNKNOWN
    protocol: Protocol = Protocol.UNKNOWN
    network: Network = Network.UNKNOWN
    segment: str = ""  # concentrator, cell or mesh collector
    endpoint: str = ""  # where it is reached: tcp://host:port; empty where it only pushes
    template: str = ""
    key_ref: str = ""  # a name in the key store, never a key
    feeder: str = ""
    transformer: str = ""
    time_zone: str = ""  # IANA name
    life_support: bool = False
    groups: tuple[str, ...] = ()
    state: MeterState = MeterState.UNKNOWN
    exchanged_for: str = ""
    firmware: str = ""
    updated_at: Millis = 0


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame as it was on the wire, secrets masked."""

    direction: Direction = Direction.UNKNOWN
    at: Millis = 0
    data: bytes = b""


@dataclass(frozen=True, slots=True)
class SessionFrames:
    """The raw bytes of one session or push, in order."""

    id: str = ""
    meter_id: str = ""  # empty while unknown
    endpoint: str = ""
    protocol: Protocol = Protocol.UNKNOWN
    transport: Transport = Transport.UNKNOWN
    kind: SessionKind = SessionKind.UNKNOWN
    job_id: str = ""
    started_at: Millis = 0
    ended_at: Millis = 0
    frames: tuple[Frame, ...] = ()


@dataclass(frozen=True, slots=True)
class Channel:
    """One column of a profile. Exactly one of the four value columns is filled, one entry a row."""

    obis: str = ""  # A.B.C.D.E.F
    attribute: int = 2
    unit: str = ""  # symbol of IEC 62056-62 table "unit"; empty where the meter gives none
    scaler: int | None = None  # value = raw * 10**scaler; null where the meter gives none
    longs: tuple[int, ...] = ()
    nullable_longs: tuple[int | None, ...] = ()  # only where a row lacks a value
    doubles: tuple[float, ...] = ()  # NaN where a row lacks a value
    texts: tuple[str, ...] = ()  # octets as upper-case hex; empty where a row lacks a value


@dataclass(frozen=True, slots=True)
class IntervalReadings:
    """A load profile as read: rows of intervals by channels, in columns.

    Row i ends at `first_end + i * period_s * 1000`, or at `ends[i]` where `ends` is not empty (irregular rows).
    `deviations`, `clock_statuses` and `statuses` are empty (not given), of one entry (holds for every row), or of one a row.
    """

    id: str = ""
    meter_id: str = ""
    source: str = ""  # class/OBIS/attribute, such as 7/1.0.99.1.0.255/2
    first_end: Millis = 0
    period_s: int = 0
    ends: tuple[Millis, ...] = ()
    rows: int = 0
    channels: tuple[Channel, ...] = ()
    deviations: tuple[int, ...] = ()  # minutes, local to UTC, as the meter sent it
    clock_statuses: tuple[int, ...] = ()  # COSEM clock status; bit 7 is daylight saving
    statuses: tuple[int, ...] = ()  # the profile's own status channel (AMR status)
    read_at: Millis = 0  # when the head-end had the bytes: the version of what is stated
    cause: Cause = Cause.UNKNOWN
    job_id: str = ""


@dataclass(frozen=True, slots=True)
class Register:
    """One register's value."""

    obis: str = ""
    attribute: int = 2
    unit: str = ""
    scaler: int | None = None
    value: Scalar = None


@dataclass(frozen=True, slots=True)
class RegisterReadings:
    """Registers captured at one time."""

    id: str = ""
    meter_id: str = ""
    source: str = ""
    captured_at: Millis = 0  # the meter's time in UTC; read_at where the meter gave none
    meter_time_given: bool = False
    deviation: int | None = None
    clock_status: int | None = None
    registers: tuple[Register, ...] = ()
    read_at: Millis = 0
    cause: Cause = Cause.UNKNOWN
    job_id: str = ""


@dataclass(frozen=True, slots=True)
class Alarm:
    """Something a meter, or the gateway about a meter, wants known now."""

    id: str = ""
    meter_id: str = ""
    kind: AlarmKind = AlarmKind.UNKNOWN
    severity: Severity = Severity.UNKNOWN
    occurred_at: Millis = 0  # the meter's time in UTC; received_at where the meter gave none
    meter_time_given: bool = False
    received_at: Millis = 0
    code: str = ""
    code_table: str = ""  # which table the code is of, such as 0.0.96.11.0.255 or idis-alarm-1
    event_type: str = ""  # IEC 61968-9 type, such as 3.26.0.85
    feeder: str = ""
    transformer: str = ""
    segment: str = ""
    life_support: bool = False
    source: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Job:
    """One piece of work for one meter, on a lane of `hes.jobs`."""

    id: str = ""
    meter_id: str = ""
    operation: Operation = Operation.UNKNOWN
    objects: tuple[str, ...] = ()  # class/OBIS/attribute; empty means what the template says
    from_time: Millis | None = None  # inclusive
    to_time: Millis | None = None  # exclusive
    parameters: dict[str, str] = field(default_factory=dict)
    priority: Priority = Priority.UNKNOWN
    issued_at: Millis = 0
    not_before: Millis | None = None
    deadline: Millis | None = None
    attempt: int = 1
    cause: Cause = Cause.UNKNOWN
    caused_by: str = ""  # command, schedule or campaign id
    request: bytes = b""  # the signed CommandRequest, where rule 9 asks
    decisions: tuple[bytes, ...] = ()  # the signed CommandDecisions, likewise
    target_proof: tuple[bytes, ...] = ()  # from the meter to the decisions' target_root, where they have one
    signature: bytes = b""  # of the service of commands over all of it, where it has a key (commands.release_key_file)


@dataclass(frozen=True, slots=True)
class JobResult:
    """How a job ended, on `hes.events.urgent`."""

    id: str = ""
    job_id: str = ""
    meter_id: str = ""
    segment: str = ""
    network: Network = Network.UNKNOWN
    operation: Operation = Operation.UNKNOWN
    cause: Cause = Cause.UNKNOWN
    caused_by: str = ""
    attempt: int = 1
    outcome: Outcome = Outcome.UNKNOWN
    code: str = ""  # stable error code; empty when done
    detail: str = ""
    issued_at: Millis = 0
    started_at: Millis = 0
    connected_at: Millis | None = None
    associated_at: Millis | None = None
    finished_at: Millis = 0
    rows: int = 0  # rows or values read
    events: tuple[str, ...] = ()  # ids of the readings and alarms it produced
    before: str = ""  # relay or parameter state read before
    after: str = ""


@dataclass(frozen=True, slots=True)
class Target:
    """Which meters a command or schedule is for; what is filled is combined with AND."""

    meters: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    segments: tuple[str, ...] = ()
    transformers: tuple[str, ...] = ()
    feeders: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CommandRequest:
    """What an operator or a system asks for, on `hes.commands`."""

    id: str = ""
    target: Target = Target()
    operation: Operation = Operation.UNKNOWN
    objects: tuple[str, ...] = ()
    from_time: Millis | None = None
    to_time: Millis | None = None
    parameters: dict[str, str] = field(default_factory=dict)
    requested_by: str = ""
    requested_at: Millis = 0
    reason: str = ""
    priority: Priority = Priority.UNKNOWN
    not_before: Millis | None = None
    expires: Millis | None = None
    signature: bytes = b""
    environment: str = ""  # the only one that it is meant for


@dataclass(frozen=True, slots=True)
class CommandDecision:
    """A meter operator's decision on exactly one request."""

    id: str = ""
    command_id: str = ""
    request_digest: bytes = b""  # SHA-256 of the exact request bytes
    meters: tuple[str, ...] = ()  # the target as resolved
    environment: str = ""
    verdict: Verdict = Verdict.UNKNOWN
    decided_by: str = ""
    decided_at: Millis = 0
    reason: str = ""
    signature: bytes = b""
    target_root: bytes = b""  # root of the hash tree over the target as resolved, where `meters` would be too long


@dataclass(frozen=True, slots=True)
class CommandAck:
    """Where a command, or the job it caused, stands, on `hes.command-acks`."""

    id: str = ""
    command_id: str = ""  # what caused the job: a command, schedule or campaign id
    job_id: str = ""
    meter_id: str = ""
    segment: str = ""
    network: Network = Network.UNKNOWN
    operation: Operation = Operation.UNKNOWN
    cause: Cause = Cause.UNKNOWN
    attempt: int = 1
    state: CommandState = CommandState.UNKNOWN
    code: str = ""
    detail: str = ""
    at: Millis = 0
    queue_ms: int | None = None  # issued to started
    connect_ms: int | None = None  # started to connected
    associate_ms: int | None = None
    read_ms: int | None = None  # associated to finished
    rows: int = 0
    before: str = ""
    after: str = ""
    command_ms: int | None = None  # requested to issued
    pipeline_ms: int | None = None  # finished to this acknowledgement


@dataclass(frozen=True, slots=True)
class Operator:
    """Who may ask and decide, on `hes.operators`, signed by the root key that the settings pin."""

    id: str = ""
    name: str = ""
    roles: tuple[str, ...] = ()
    public_key: bytes = b""  # Ed25519
    valid_from: Millis = 0
    valid_to: Millis | None = None
    revoked: bool = False
    signature: bytes = b""
    version: int = 0  # the highest of an id counts


@dataclass(frozen=True, slots=True)
class Schedule:
    """What to read and when, on `hes.schedules`."""

    id: str = ""
    cron: str = ""
    time_zone: str = ""
    target: Target = Target()
    operation: Operation = Operation.UNKNOWN
    objects: tuple[str, ...] = ()
    parameters: dict[str, str] = field(default_factory=dict)
    priority: Priority = Priority.UNKNOWN
    window_s: int = 0
    enabled: bool = False
    updated_at: Millis = 0
    description: str = ""
    active_from: Millis = 0  # ticks before it are none of this schedule's
    lookback_s: int = 0  # how far back each read of a range goes; 0 is to the tick before
    period_s: int = 0  # length of the intervals that the range must be full of; 0 where only the read itself is watched
    grace_s: int = 0  # after a window, before what is missing is asked for again; 0 takes the setting


@dataclass(frozen=True, slots=True)
class Tick:
    """A schedule's time has come, on `hes.ticks`: what was planned for it, and for how many."""

    id: str = ""
    schedule: Schedule = Schedule()  # as it was then
    at: Millis = 0  # when it was due
    since: Millis = 0  # when the tick before was due: what is read in ranges is read from here
    missed: int = 0  # earlier ticks that this one makes up for, after a stop
    planned_at: Millis = 0
    opens_at: Millis = 0  # the first job's time
    closes_at: Millis = 0  # the window's end
    meters: int = 0
    unplaced: int = 0  # meters for which their segments have no room in the window
    slices: int = 0


@dataclass(frozen=True, slots=True)
class PlanSlice:
    """The jobs of a short part of a tick's window, on `hes.plans` until they are sent; a tombstone then."""

    id: str = ""
    tick_id: str = ""
    schedule: Schedule = Schedule()
    at: Millis = 0
    since: Millis = 0
    closes_at: Millis = 0
    number: int = 0
    first_at: Millis = 0
    meters: tuple[str, ...] = ()
    offsets: tuple[int, ...] = ()  # milliseconds after first_at, one a meter, rising


@dataclass(frozen=True, slots=True)
class GapWatch:
    """What one schedule expects of a meter, and what arrived, day by day. Octets of 0 at the end are not written."""

    schedule_id: str = ""
    slot_s: int = 0  # what a bit stands for
    expected_from: Millis = 0
    first_day: int = 0  # UTC, as days since 1970-01-01
    arrived: bytes = b""  # a bit a slot, the first of a day is the lowest bit of its first octet; days begin with an octet
    asked: bytes = b""  # an octet a day: how often it was asked for; the highest bit is set where it was given up
    asked_at: tuple[int, ...] = ()  # milliseconds since the epoch, one a day; empty where none was asked for


@dataclass(frozen=True, slots=True)
class MeterGaps:
    """Which intervals and reads of a meter arrived, on `hes.gaps`: the memory of the service that fills gaps."""

    meter_id: str = ""
    watches: tuple[GapWatch, ...] = ()
    at: Millis = 0


@dataclass(frozen=True, slots=True)
class ReadSuccess:
    """What a schedule got of a segment's meters on a day, as far as one partition's meters go; the newest counts."""

    id: str = ""
    day: int = 0  # of the schedule's time zone, as days since 1970-01-01
    schedule_id: str = ""
    segment: str = ""
    network: Network = Network.UNKNOWN
    partition: int = -1
    period_s: int = 0  # what is counted: intervals of this length, or reads where it is 0
    meters: int = 0
    complete: int = 0  # meters of which everything arrived
    expected: int = 0
    arrived: int = 0
    given_up: int = 0
    at: Millis = 0


@dataclass(frozen=True, slots=True)
class Campaign:
    """A firmware campaign, on `hes.campaigns`."""

    id: str = ""
    image: str = ""  # name in the image store
    image_digest: bytes = b""  # SHA-256
    vendor: str = ""
    model: str = ""
    from_versions: tuple[str, ...] = ()
    to_version: str = ""
    target: Target = Target()
    state: CampaignState = CampaignState.UNKNOWN
    parameters: dict[str, str] = field(default_factory=dict)
    updated_at: Millis = 0
    manifest_signature: bytes = b""
    request: bytes = b""  # the signed CommandRequest that proposed it
    decisions: tuple[bytes, ...] = ()  # the signed CommandDecisions that approved it
    target_root: bytes = b""  # root of the hash tree over all its meters, in order
    meters: int = 0  # that the target means
    size: int = 0  # octets of the image
    received_at: Millis = 0
    expires: Millis = 0  # no transfer is begun after this
    began_at: Millis | None = None  # the first transfer
    ended_at: Millis | None = None
    code: str = ""  # why it stands where it stands, where that is not plain
    detail: str = ""
    wave: int = 0  # 0 is the canary
    waves: int = 0  # how many there are, without the canary
    activating: bool = False  # where activation has a time of its own: that it has come
    wave_done_at: Millis | None = None  # when enough meters of the wave had ended; the next one waits from then on
    steered_at: Millis = 0  # of the last decision that paused, resumed or halted it
    counts: dict[str, int] = field(default_factory=dict)  # meters by state
    codes: tuple[str, ...] = ()  # what `CampaignProgress.codes` counts into, from 1
    ends: tuple[Millis, ...] = ()  # when it is expected to end: the tenth, fiftieth and ninetieth percentile, as planned


@dataclass(frozen=True, slots=True)
class CampaignMeters:
    """Some of a campaign's meters, on `hes.campaigns`: what does not change any more."""

    id: str = ""  # of the campaign
    number: int = 0  # of the slice, from 0; slices are in the order of the meters
    meters: tuple[str, ...] = ()
    waves: bytes = b""  # an octet a meter: the wave that it belongs to


@dataclass(frozen=True, slots=True)
class CampaignProgress:
    """Where the meters of a slice stand, on `hes.campaigns`; everything is in the order of the slice's meters."""

    id: str = ""
    number: int = 0
    states: bytes = b""  # a letter of streams/firmware/states.py each
    attempts: bytes = b""  # an octet each: jobs that were sent
    failures: bytes = b""  # an octet each: jobs that brought nothing, in a row
    codes: bytes = b""  # an octet each: why, as an index into `Campaign.codes` that begins with 1; 0: nothing was wrong
    shares: bytes = b""  # an octet each: percent of the image that is in the meter
    reads: bytes = b""  # an octet each: scheduled reads missed since the activation; 255: one was answered
    times: bytes = b""  # four octets each, little endian, seconds since 1970: when it came to be so, or is due again
    at: Millis = 0


@dataclass(frozen=True, slots=True)
class CampaignBudget:
    """What campaigns have taken of a segment's hours, on `hes.campaigns`."""

    network: Network = Network.UNKNOWN
    segment: str = ""
    hours: tuple[int, ...] = ()  # since 1970
    octets: tuple[int, ...] = ()  # of each


@dataclass(frozen=True, slots=True)
class CampaignLedger:
    """Up to where everything is in the books of campaigns, on `hes.campaigns`, written together with what it counts."""

    positions: dict[str, int] = field(default_factory=dict)  # topic/partition: the next offset to read
    sequence: int = 0  # of the last AuditEntry of the chain
    hash: bytes = b""  # likewise
    at: Millis = 0


@dataclass(frozen=True, slots=True)
class CountersSeen:
    """How far both counters of a key had come when it was last looked; they only rise while the key is the same."""

    mark: str = ""  # tells the key from others, and nothing of it; empty: nothing was seen
    meter: int = -1  # highest of the meter's own that came authenticated
    ours: int = -1  # highest of ours that the meter answered


@dataclass(frozen=True, slots=True)
class CounterReservation:
    """Highest invocation counter that may have been used for a key, on `hes.counters`; it only rises."""

    meter_id: str = ""
    client: int = 0  # client SAP
    key_ref: str = ""
    reserved: int = 0
    owner: str = ""
    at: Millis = 0
    seen: CountersSeen = CountersSeen()


@dataclass(frozen=True, slots=True)
class OutageEvent:
    """One revision of an outage as the OMS wants it, on `oms.outages`: the latest of an outage says how it stands.

    Every alarm is named by exactly one revision. Lists hold at most 1,000 entries: more alarms make further revisions, more
    meters are only counted, and an outage of a feeder names transformers and their outages instead of meters and alarms.
    """

    id: str = ""
    kind: OutageKind = OutageKind.UNKNOWN  # what the alarms of this revision say; without any, how the outage stands
    meters: tuple[str, ...] = ()  # all that lost supply in this outage, the first 1,000 by name
    transformer: str = ""
    feeder: str = ""
    first_time: Millis = 0  # supply was lost: the median by the meters' clocks where three or more tell, else the earliest
    last_time: Millis = 0  # of the latest alarm
    confidence: float = 0.0  # 0 to 1: that the scope is right
    life_support: bool = False
    alarms: tuple[str, ...] = ()  # ids of the alarms that this revision tells of for the first time
    outage_id: str = ""  # the same for all revisions of an outage
    revision: int = 0  # from 1
    status: OutageStatus = OutageStatus.UNKNOWN
    scope: OutageScope = OutageScope.UNKNOWN
    duration: OutageDuration = OutageDuration.UNKNOWN
    reason: str = ""  # why it is told: alarms, confidence, sustained, flapping, settled, merged, replay and so on
    premises_known: int = 0  # premises below it; 0 where nobody knows
    premises_affected: int = 0  # that lost supply, as far as they told
    premises_out: int = 0  # of these, not heard to be back
    premises_flapping: int = 0  # of these, on and off again and again
    meters_back: tuple[str, ...] = ()  # of `meters`, those heard to be back, the first 1,000 by name
    life_support_out: tuple[str, ...] = ()  # not heard to be back, where somebody's life depends on supply
    transformers: tuple[str, ...] = ()  # FEEDER: which are out or were, the first 1,000 by name
    transformers_known: int = 0  # FEEDER: on the feeder; 0 where nobody knows
    outages: tuple[str, ...] = ()  # FEEDER: the outages of its transformers
    parent: str = ""  # the feeder's outage that this one is part of
    merged_into: str = ""  # MERGED: the outage that goes on
    told_at: Millis = 0


@dataclass(frozen=True, slots=True)
class TamperEvent:
    """A tamper as fraud detection wants it, on `fraud.tampers`."""

    id: str = ""
    meter_id: str = ""
    kind: AlarmKind = AlarmKind.UNKNOWN
    severity: Severity = Severity.UNKNOWN
    occurred_at: Millis = 0
    code: str = ""
    code_table: str = ""
    transformer: str = ""
    feeder: str = ""
    alarm_id: str = ""


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """Who did what, chained by hash, on `hes.audit`."""

    id: str = ""
    sequence: int = 0
    at: Millis = 0
    actor: str = ""
    action: str = ""
    subject: str = ""
    detail: str = ""
    previous_hash: bytes = b""
    hash: bytes = b""
    code: str = ""  # why something was refused or failed
    digest: bytes = b""  # SHA-256 of the record that this is about, as it stood on its topic
    chain: str = ""  # whose chain it is an entry of: each fenced writer has one of its own; empty: that of commands


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """What could not be parsed, authenticated, mapped or delivered, with its bytes, on `hes.dead-letters`."""

    id: str = ""
    service: str = ""
    code: str = ""  # stable, one of docs/errors.md
    detail: str = ""  # what happened and what to do next, for a person
    topic: str = ""  # where it was consumed; empty where it came from a socket
    partition: int = -1
    offset: int = -1
    endpoint: str = ""
    meter_id: str = ""
    key: bytes | None = None
    headers: dict[str, bytes] = field(default_factory=dict)
    data: bytes = b""
    at: Millis = 0


@dataclass(frozen=True, slots=True)
class Control:
    """What holds for all commands or for some meters until it is lifted or expires, on `hes.controls`; it is signed."""

    id: str = ""  # the latest of an id counts
    kind: ControlKind = ControlKind.UNKNOWN
    lifted: bool = False
    target: Target = Target()  # empty: all meters
    operations: tuple[Operation, ...] = ()  # AUTHORIZATION: which it covers
    holder: str = ""  # AUTHORIZATION: the operator whose requests it covers
    most_per_day: int = 0  # AUTHORIZATION: meters
    issued_by: str = ""
    issued_at: Millis = 0
    expires: Millis | None = None
    reason: str = ""
    environment: str = ""
    signature: bytes = b""


@dataclass(frozen=True, slots=True)
class CommandCase:
    """A command as it was taken, on `hes.command-states`: what does not change any more."""

    id: str = ""
    request: bytes = b""  # the signed CommandRequest
    meters: tuple[str, ...] = ()  # the target as resolved, sorted
    received_at: Millis = 0
    expires: Millis = 0  # nothing is begun after this


@dataclass(frozen=True, slots=True)
class CommandStatus:
    """Where a command stands, on `hes.command-states`."""

    id: str = ""
    state: CommandState = CommandState.UNKNOWN
    code: str = ""
    detail: str = ""
    decisions: tuple[bytes, ...] = ()  # the signed CommandDecisions, or the Control that stands for them
    sent: int = 0  # jobs that were issued, in the order of the meters
    outcomes: bytes = b""  # of each meter: a letter of streams/commands/states.py
    stopped: bool = False  # no more jobs are issued
    answer_by: Millis | None = None  # after this, a job without a result has an unknown outcome
    updated_at: Millis = 0


@dataclass(frozen=True, slots=True)
class CommandLedger:
    """Up to where everything is in the books, on `hes.command-states`, written together with what it counts."""

    positions: dict[str, int] = field(default_factory=dict)  # topic/partition: the next offset to read
    sequence: int = 0  # of the last AuditEntry
    hash: bytes = b""  # likewise
    openings: dict[str, int] = field(default_factory=dict)  # day/area/name: meters whose supply may have been cut
    at: Millis = 0
    campaigns: tuple[str, ...] = ()  # ids of the latest requests that are not commands' to decide: firmware


@dataclass(frozen=True, slots=True)
class CommandIntent:
    """A command to one meter, on `hes.intents`: what is about to be sent, written before it is, and what came of it."""

    meter_id: str = ""
    digest: bytes = b""  # of the request's exact bytes; with the meter's id it names one action
    command_id: str = ""
    job_id: str = ""
    operation: Operation = Operation.UNKNOWN
    record: str = ""  # topic/partition/offset of the job
    owner: str = ""
    at: Millis | None = None  # when it was about to be sent; null: nothing was sent
    expires: Millis = 0  # from then on the request proves nothing any more, and this may be forgotten
    outcome: Outcome = Outcome.UNKNOWN  # UNKNOWN: nobody knows yet what came of it
    code: str = ""
    detail: str = ""
    before: str = ""
    after: str = ""
    settled_at: Millis | None = None


@dataclass(frozen=True, slots=True)
class Opening:
    """A claim to cut one supply, on `hes.openings`: their order says which are within the cap a minute."""

    id: str = ""
    meter_id: str = ""
    digest: bytes = b""  # as of its CommandIntent
    owner: str = ""
    at: Millis = 0
    environment: str = ""  # each has a cap of its own


@dataclass(frozen=True, slots=True)
class FirmwareManifest:
    """What a firmware image is and which meters it is for, on `hes.images`; signed by the operator who added it."""

    id: str = ""  # SHA-256 of the image, lower-case hex
    name: str = ""  # of the file that it was added from
    size: int = 0  # octets
    vendor: str = ""
    model: str = ""
    hardware: tuple[str, ...] = ()  # revisions that it is for; empty: any
    protocol: Protocol = Protocol.UNKNOWN
    templates: tuple[str, ...] = ()  # of meters that it is for; empty: any
    from_versions: tuple[str, ...] = ()  # which may be active before; empty: any
    to_version: str = ""  # what the meter reports afterwards
    identifier: bytes = b""  # image identifier, IEC 62056-6-2 class 18
    vendor_signature: bytes = b""  # what the meter shows for the image; empty: not compared
    checked: str = ""  # how the file was proven to be the manufacturer's
    parts: int = 0  # on the topic; 0 where it is fetched by URL
    part_size: int = 0  # octets of each but the last
    url: str = ""
    added_by: str = ""
    added_at: Millis = 0
    environment: str = ""
    signature: bytes = b""


@dataclass(frozen=True, slots=True)
class FirmwarePart:
    """A part of a firmware image, on `hes.images`."""

    image: str = ""
    number: int = 0  # from 0
    data: bytes = b""


@dataclass(frozen=True, slots=True)
class OutageTold:
    """How an outage was last told to the OMS."""

    outage_id: str = ""
    anchor: str = ""  # the alarm (of a feeder: the outage) that it was named after
    revision: int = 0
    status: OutageStatus = OutageStatus.UNKNOWN
    scope: OutageScope = OutageScope.UNKNOWN
    duration: OutageDuration = OutageDuration.UNKNOWN
    confidence: float = 0.0
    affected: int = 0
    out: int = 0
    flapping: int = 0
    first_time: Millis = 0
    last_time: Millis = 0
    opened_at: Millis = 0
    told_at: Millis = 0


@dataclass(frozen=True, slots=True)
class OutageState:
    """What is remembered of the alarms below one transformer, or of one feeder, on `hes.outage-states`; in parts."""

    key: str = ""  # transformer/NAME, meter/ID where the transformer is not known, feeder/NAME
    part: int = 0
    transformer: str = ""
    feeder: str = ""
    outages: tuple[OutageTold, ...] = ()  # of part 0
    meters: bytes = b""  # one an alarm, as are the columns that follow; parted by octets of 0, which costs a tenth of a list
    alarms: bytes = b""  # likewise
    marks: bytes = b""  # an octet each; bit 0: restoration, bit 1: told, bit 2: life support
    times: bytes = b""  # of the alarms: 8 octets each, big endian, milliseconds since the epoch
    arrivals: bytes = b""  # likewise, when the head-end had them
    at: Millis = 0


@dataclass(frozen=True, slots=True)
class OutageLedger:
    """Up to where hes.alarms is in the states, on `hes.outage-states`, written together with what it counts."""

    positions: dict[str, int] = field(default_factory=dict)  # topic/partition: the next offset to read
    at: Millis = 0


Record = (
    Meter
    | SessionFrames
    | IntervalReadings
    | RegisterReadings
    | Alarm
    | Job
    | JobResult
    | CommandRequest
    | CommandDecision
    | CommandAck
    | Operator
    | Schedule
    | Tick
    | PlanSlice
    | MeterGaps
    | ReadSuccess
    | Campaign
    | CounterReservation
    | OutageEvent
    | TamperEvent
    | AuditEntry
    | DeadLetter
    | Control
    | CommandCase
    | CommandStatus
    | CommandLedger
    | CommandIntent
    | Opening
    | FirmwareManifest
    | FirmwarePart
    | CampaignMeters
    | CampaignProgress
    | CampaignBudget
    | CampaignLedger
    | OutageState
    | OutageLedger
)
"""Whatever may be the value of a Kafka record."""

RECORDS: dict[str, type[Record]] = {cls.__name__: cls for cls in Record.__args__}
"""Every record by its name."""
