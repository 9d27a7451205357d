"""What fraud detection is told of an alarm: pure, so the same alarm always becomes the same event with the same id."""

from __future__ import annotations

from schemas.codec import expect
from schemas.ids import event_id
from schemas.records import Alarm, Record, TamperEvent
from streams.runtime.router import Outgoing

SOURCE = "hes.alarms"
TOPIC = "fraud.tampers"


def tamper(record: Record) -> Outgoing | None:
    """The fraud event of a tamper alarm; None for every other alarm."""
    alarm = expect(record, Alarm)
    if not alarm.kind.startswith("TAMPER"):
        return None
    event = TamperEvent(
        id=event_id("TamperEvent", alarm.id),
        meter_id=alarm.meter_id,
        kind=alarm.kind,
        severity=alarm.severity,
        occurred_at=alarm.occurred_at,
        code=alarm.code,
        code_table=alarm.code_table,
        transformer=alarm.transformer,
        feeder=alarm.feeder,
        alarm_id=alarm.id,
    )
    return Outgoing(TOPIC, alarm.meter_id, event, alarm.occurred_at)
