"""Rows of a meter's event log as alarms: each code with its meaning, as the template's tables have it. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, tzinfo

from connectors.gateway.mapping import alarm_record
from connectors.protocols.dlms.alarms import alarm_fact
from connectors.protocols.dlms.objects.event_log import EventLog, Extra
from connectors.protocols.dlms.template import AlarmTable, Template
from schemas.ids import Part
from schemas.records import Alarm, Meter


def log_alarms(log: EventLog, meter: Meter, template: Template, zone: tzinfo | None, read_at: int) -> tuple[Alarm, ...]:
    """An alarm for each row with a code. The id is that of the same event pushed: who reads a log again, or after the push,
    says nothing new. A row without a time is told from the next of the same content by how many came before it.
    """
    seen: Counter[Part] = Counter()
    alarms = []
    for event in log.events:
        if event.code is None:
            continue
        table = template.push.events.get(event.code_obis) or AlarmTable(event.code_obis, {})
        fact = alarm_fact(table, event.code, event.time, event.code_obis)
        extras = "; ".join(_words(extra) for extra in event.extras if extra.value is not None)
        at = None if event.time is None else event.time.to_utc_ms(zone or UTC)
        if at is not None:
            stated: tuple[str, Part] = ("time", at)
        else:
            content = (fact.code, extras)
            stated = ("row", (extras, seen[content]))
            seen[content] += 1
        fact = replace(fact, detail="; ".join(filter(None, (fact.detail, extras))))
        alarms.append(alarm_record(fact, meter, stated, at, read_at, f"7/{log.obis}/2"))
    return tuple(alarms)


def _words(extra: Extra) -> str:
    scaled = extra.value
    if extra.scaler and isinstance(scaled, int | float):
        scaled = round(scaled * 10**extra.scaler, max(0, -extra.scaler))
    return f"{extra.obis} {scaled} {extra.unit}".rstrip()
