"""Typed mirror of `schemas/*.avsc`, one frozen class a record, one `StrEnum` an enum.

A module has one subject, with its enums and the parts of its records; everybody imports from here. A class is the value of a
Kafka record if `Record`, below, names it; then it has a file.

`tests/unit/schemas/test_records.py` proves that classes and files are equal, field for field. A field is added at the end,
with a default; an enum symbol is added after the others; nothing is removed or renamed (FULL_TRANSITIVE).

Times are `Millis`: integer milliseconds since 1970-01-01T00:00Z. On the wire they carry `timestamp-millis`, so other
consumers see instants; here they stay integers, which is what ClickHouse and numpy want.
"""

from __future__ import annotations

from schemas.records.alarms import Alarm, AlarmKind, Severity, TamperEvent
from schemas.records.audit import AuditEntry, DeadLetter
from schemas.records.commands import (
    CommandAck,
    CommandCase,
    CommandDecision,
    CommandLedger,
    CommandRequest,
    CommandState,
    CommandStatus,
    Control,
    ControlKind,
    Operator,
    Verdict,
)
from schemas.records.fields import Millis, Scalar
from schemas.records.firmware import (
    Campaign,
    CampaignBudget,
    CampaignLedger,
    CampaignMeters,
    CampaignProgress,
    CampaignState,
    CampaignStop,
    FirmwareManifest,
    FirmwarePart,
)
from schemas.records.gaps import GapWatch, MeterGaps, ReadSuccess
from schemas.records.jobs import Cause, Job, JobResult, Operation, Outcome, Priority
from schemas.records.meters import Identity, IdentityKind, Meter, MeterState, Network, Protocol, Target, UtilityKind
from schemas.records.outages import (
    OutageDuration,
    OutageEvent,
    OutageJournal,
    OutageKind,
    OutageLedger,
    OutageScope,
    OutageState,
    OutageStatus,
    OutageTold,
)
from schemas.records.readings import Channel, IntervalReadings, Register, RegisterReadings
from schemas.records.reservations import CommandIntent, CounterReservation, CountersSeen, Opening
from schemas.records.schedules import PlanSlice, Schedule, Tick
from schemas.records.sessions import Direction, Frame, SessionFrames, SessionKind, Transport

__all__ = [
    "RECORDS",
    "Alarm",
    "AlarmKind",
    "AuditEntry",
    "Campaign",
    "CampaignBudget",
    "CampaignLedger",
    "CampaignMeters",
    "CampaignProgress",
    "CampaignState",
    "CampaignStop",
    "Cause",
    "Channel",
    "CommandAck",
    "CommandCase",
    "CommandDecision",
    "CommandIntent",
    "CommandLedger",
    "CommandRequest",
    "CommandState",
    "CommandStatus",
    "Control",
    "ControlKind",
    "CounterReservation",
    "CountersSeen",
    "DeadLetter",
    "Direction",
    "FirmwareManifest",
    "FirmwarePart",
    "Frame",
    "GapWatch",
    "Identity",
    "IdentityKind",
    "IntervalReadings",
    "Job",
    "JobResult",
    "Meter",
    "MeterGaps",
    "MeterState",
    "Millis",
    "Network",
    "Opening",
    "Operation",
    "Operator",
    "OutageDuration",
    "OutageEvent",
    "OutageJournal",
    "OutageKind",
    "OutageLedger",
    "OutageScope",
    "OutageState",
    "OutageStatus",
    "OutageTold",
    "Outcome",
    "PlanSlice",
    "Priority",
    "Protocol",
    "ReadSuccess",
    "Record",
    "Register",
    "RegisterReadings",
    "Scalar",
    "Schedule",
    "SessionFrames",
    "SessionKind",
    "Severity",
    "TamperEvent",
    "Target",
    "Tick",
    "Transport",
    "UtilityKind",
    "Verdict",
]

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
    | OutageJournal
    | OutageLedger
    | CampaignStop
)
"""Whatever may be the value of a Kafka record."""

RECORDS: dict[str, type[Record]] = {cls.__name__: cls for cls in Record.__args__}
"""Every record by its name."""
