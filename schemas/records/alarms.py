"""Alarms, and the tampers among them as fraud detection wants them."""

from __future__ import annotations

from enum import StrEnum

from schemas.records.fields import Millis
from schemas.values import value_class


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


@value_class
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


@value_class
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
