"""What the OMS is told of an alarm: pure, so the same alarm always becomes the same event with the same id."""

from __future__ import annotations

from schemas.codec import expect
from schemas.ids import event_id
from schemas.records import Alarm, AlarmKind, OutageEvent, OutageKind, Record
from streams.runtime.router import Outgoing

SOURCE = "hes.alarms"
TOPIC = "oms.outages"
_KINDS = {AlarmKind.OUTAGE: OutageKind.OUTAGE, AlarmKind.RESTORATION: OutageKind.RESTORATION}
_OWN_WORD = 1.0
"""A meter that tells of its own supply is believed; the confidence of an event grouped from neighbours is lower."""


def outage(record: Record) -> Outgoing | None:
    """The OMS event of an outage or restoration alarm; None for every other alarm.

    Keyed by transformer, so that what happens behind one transformer stays in order; by meter where it is not known.
    """
    alarm = expect(record, Alarm)
    if (kind := _KINDS.get(alarm.kind)) is None:
        return None
    event = OutageEvent(
        id=event_id("OutageEvent", alarm.id),
        kind=kind,
        meters=(alarm.meter_id,),
        transformer=alarm.transformer,
        feeder=alarm.feeder,
        first_time=alarm.occurred_at,
        last_time=alarm.occurred_at,
        confidence=_OWN_WORD,
        life_support=alarm.life_support,
        alarms=(alarm.id,),
    )
    return Outgoing(TOPIC, alarm.transformer or alarm.meter_id, event, alarm.occurred_at)
