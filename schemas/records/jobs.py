"""Jobs: the work of the gateways, a piece a meter, and how it ended."""

from __future__ import annotations

from dataclasses import field
from enum import StrEnum

from schemas.records.fields import Millis
from schemas.records.meters import Network
from schemas.values import value_class


class Cause(StrEnum):
    """Why a reading was taken or a job exists."""

    UNKNOWN = "UNKNOWN"
    SCHEDULED = "SCHEDULED"
    ON_DEMAND = "ON_DEMAND"
    BACKFILL = "BACKFILL"
    PUSH = "PUSH"
    FOLLOW_UP = "FOLLOW_UP"
    FIRMWARE = "FIRMWARE"


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


@value_class
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


@value_class
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
