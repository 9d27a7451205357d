"""Commands: what is asked and decided, by whom, what restrains it, and the books of the service that keeps them."""

from __future__ import annotations

from dataclasses import field
from enum import StrEnum

from schemas.records.fields import Millis
from schemas.records.jobs import Cause, Operation, Priority
from schemas.records.meters import Network, Target
from schemas.values import value_class


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


class ControlKind(StrEnum):
    """What a control does to commands."""

    UNKNOWN = "UNKNOWN"
    FREEZE = "FREEZE"  # nothing that moves a relay or changes a meter is done
    HOLD = "HOLD"  # customers who are not cut off, such as in extreme weather
    AUTHORIZATION = "AUTHORIZATION"  # stands for the decision on each request, such as for prepayment


@value_class
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


@value_class
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


@value_class
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


@value_class
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


@value_class
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


@value_class
class CommandCase:
    """A command as it was taken, on `hes.command-states`: what does not change any more."""

    id: str = ""
    request: bytes = b""  # the signed CommandRequest
    meters: tuple[str, ...] = ()  # the target as resolved, sorted
    received_at: Millis = 0
    expires: Millis = 0  # nothing is begun after this


@value_class
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


@value_class
class CommandLedger:
    """Up to where everything is in the books, on `hes.command-states`, written together with what it counts."""

    positions: dict[str, int] = field(default_factory=dict)  # topic/partition: the next offset to read
    sequence: int = 0  # of the last AuditEntry
    hash: bytes = b""  # likewise
    openings: dict[str, int] = field(default_factory=dict)  # day/area/name: meters whose supply may have been cut
    at: Millis = 0
    campaigns: tuple[str, ...] = ()  # ids of the latest requests that are not commands' to decide: firmware
