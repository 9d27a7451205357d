from __future__ import annotations

from datetime import UTC, datetime

import pytest

from connectors.gateway.drivers.dlms_events import log_alarms
from connectors.gateway.mapping import alarm_record
from connectors.protocols.dlms.alarms import alarm_fact
from connectors.protocols.dlms.cosem import MeterTime
from connectors.protocols.dlms.objects.event_log import Event, EventLog, Extra
from connectors.protocols.dlms.template import AlarmSpec, AlarmTable, PushTemplate, Template
from schemas.records import AlarmKind, Severity
from tests.unit.connectors.gateway.builders import NOW, meter

LOG, CODES = "0.0.99.98.1.255", "0.0.96.11.1.255"
TABLE = AlarmTable("fraud", {40: AlarmSpec("TAMPER_COVER", "CRITICAL", "3.12.29.212", "terminal cover removed")})
TEMPLATE = Template("t", push=PushTemplate(events={CODES: TABLE}))
AT = MeterTime("", datetime(2026, 3, 1, 12, 0), -60, 0)
AT_MS = int(datetime(2026, 3, 1, 11, 0, tzinfo=UTC).timestamp() * 1000)
VOLTAGE = Extra("1.0.32.7.0.255", 2, 2513, -1, "V")


def event(code: int | None = 40, time: MeterTime | None = AT, *extras: Extra) -> Event:
    return Event(time, code, CODES, extras)


def test_a_code_has_its_meaning_and_the_id_of_the_same_event_pushed() -> None:
    known = meter("m1")
    (made,) = log_alarms(EventLog(LOG, (event(),)), known, TEMPLATE, None, NOW)
    assert (made.kind, made.severity, made.code, made.code_table) == (
        AlarmKind.TAMPER_COVER, Severity.CRITICAL, "40", "fraud",
    )  # fmt: skip
    assert (made.occurred_at, made.meter_time_given, made.received_at) == (AT_MS, True, NOW)
    assert (made.source, made.detail) == (f"7/{LOG}/2", "terminal cover removed")
    pushed = alarm_record(alarm_fact(TABLE, 40, AT, CODES), known, ("time", AT_MS), AT_MS, NOW + 5, "push")
    assert made.id == pushed.id


def test_what_a_row_holds_besides_is_in_the_detail() -> None:
    (made,) = log_alarms(EventLog(LOG, (event(40, AT, VOLTAGE),)), meter("m1"), TEMPLATE, None, NOW)
    assert made.detail == "terminal cover removed; 1.0.32.7.0.255 251.3 V"


def test_an_unknown_code_is_told_all_the_same_and_a_row_without_one_is_no_alarm() -> None:
    (made,) = log_alarms(EventLog(LOG, (event(99), event(None))), meter("m1"), TEMPLATE, None, NOW)
    assert (made.kind, made.code) == (AlarmKind.UNKNOWN, "99")


@pytest.mark.parametrize("extras", [(), (VOLTAGE,)], ids=["bare", "with-values"])
def test_rows_without_a_time_are_told_apart_and_read_again_are_the_same(extras: tuple[Extra, ...]) -> None:
    log = EventLog(LOG, (event(40, None, *extras),) * 2 + (event(41, None),))
    first, again = (log_alarms(log, meter("m1"), TEMPLATE, None, NOW + later) for later in (0, 500))
    assert len({made.id for made in first}) == 3
    assert [made.id for made in first] == [made.id for made in again]
    assert not first[0].meter_time_given
