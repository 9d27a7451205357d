"""Event logs from gurux' server and from scripted buffers; what their codes mean by template."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from gurux_dlms import GXDateTime
from gurux_dlms.enums import DataType

from connectors.protocols.dlms.association import Conformance
from connectors.protocols.dlms.client import Span
from connectors.protocols.dlms.errors import DecodeError
from connectors.protocols.dlms.get import ByEntry, datetime_octets
from connectors.protocols.dlms.objects.event_log import Extra, parse_event_log, read_event_log
from connectors.protocols.dlms.profile_shape import Column, ProfileShape, Rules
from connectors.templates.loader import load_templates
from tests.unit.connectors.protocols.dlms.gurux_meter import clock, data, drive, profile
from tests.unit.connectors.protocols.dlms.objects.gurux_objects import ObjectMeter

OSLO = ZoneInfo("Europe/Oslo")
MIDNIGHT = 1668121200000  # 2022-11-11T00:00+01:00
HOUR = 3_600_000
LOG, CODE = "0.0.99.98.0.255", "0.0.96.11.0.255"
SHAPE = ProfileShape(LOG, (Column(8, "0.0.1.0.0.255", 2), Column(1, CODE, 2)), 0)
CODES = (1, 2, 4, 5, 40, 250)


def meter() -> ObjectMeter:
    time = clock(GXDateTime(datetime(2022, 11, 12, tzinfo=UTC)))
    code = data(CODE, 0, DataType.UINT8)
    rows = []
    for i, number in enumerate(CODES):
        at = datetime_octets(MIDNIGHT + i * HOUR, OSLO)
        rows.append((at, b"\x02\x02\x09\x0c" + at + bytes((0x11, number))))
    return ObjectMeter([time, code, profile(LOG, [(time, 2), (code, 2)], rows, 0)])


def test_the_whole_log_of_gurux() -> None:
    peer = meter()
    log, shape = drive(read_event_log(peer.link(), LOG, rules=Rules(OSLO)), peer.exchange)
    assert shape == SHAPE
    assert [event.code for event in log.events] == list(CODES)
    assert [event.time and event.time.iso for event in log.events][:2] == [
        "2022-11-11T00:00:00+01:00",
        "2022-11-11T01:00:00+01:00",
    ]


@pytest.mark.parametrize(
    ("select", "codes"),
    [
        pytest.param(Span(MIDNIGHT + HOUR, MIDNIGHT + 3 * HOUR), (2, 4, 5), id="range"),
        pytest.param(ByEntry(5, 6), (40, 250), id="entries"),
    ],
)
def test_part_of_it(select: Span | ByEntry, codes: tuple[int, ...]) -> None:
    peer = meter()
    log, _ = drive(read_event_log(peer.link(), SHAPE, select, Rules(OSLO)), peer.exchange)
    assert tuple(event.code for event in log.events) == codes
    assert len(peer.requests) == 2


def test_without_selective_access_it_is_cut_here() -> None:
    peer = meter()
    link = peer.link()
    link.conformance &= ~Conformance.SELECTIVE_ACCESS
    log, _ = drive(read_event_log(link, SHAPE, Span(MIDNIGHT, MIDNIGHT), Rules(OSLO)), peer.exchange)
    assert [event.code for event in log.events] == [1]


def test_alarms_by_template() -> None:
    peer = meter()
    log, _ = drive(read_event_log(peer.link(), SHAPE, rules=Rules(OSLO)), peer.exchange)
    facts = log.alarms(load_templates()["idis"].push.events)
    assert [(fact.kind, fact.severity, fact.code, fact.event_type) for fact in facts] == [
        ("OUTAGE", "CRITICAL", "1", "3.26.0.85"),
        ("RESTORATION", "INFO", "2", "3.26.0.216"),
        ("CLOCK", "INFO", "4", "3.36.116.14"),
        ("CLOCK", "INFO", "5", "3.36.116.24"),
        ("TAMPER_TERMINAL", "CRITICAL", "40", "3.12.29.212"),
        ("UNKNOWN", "WARNING", "250", ""),
    ]
    assert {fact.obis for fact in facts} == {LOG}
    assert facts[0].time is not None


def buffer(*rows: str) -> bytes:
    return bytes.fromhex(f"01 {len(rows):02X} " + " ".join(rows))


AT = "09 0C 07 E6 0B 0B 05 00 00 00 FF FF C4 00"
NEVER = "09 0C FF FF FF FF FF FF FF FF FF 80 00 FF"


def test_an_event_without_a_time_is_an_event() -> None:
    log = parse_event_log(buffer(f"02 02 {NEVER} 11 06", "02 02 00 11 07", f"02 02 {AT} 11 08"), SHAPE)
    assert [(event.code, event.time and event.time.iso) for event in log.events] == [
        (6, None),
        (7, None),
        (8, "2022-11-11T00:00:00+01:00"),
    ]


def test_extra_columns_and_no_code() -> None:
    outages = ProfileShape("1.0.99.97.0.255", (Column(8, "0.0.1.0.0.255", 2), Column(3, "0.0.96.7.19.255", 2, 0, 0, "s")), 0)
    log = parse_event_log(buffer(f"02 02 {AT} 06 00 00 01 2C"), outages)
    (event,) = log.events
    assert (event.code, event.code_obis, event.extras) == (None, "", (Extra("0.0.96.7.19.255", 2, 300, 0, "s"),))
    assert log.alarms({}) == ()


@pytest.mark.parametrize(
    ("octets", "code"),
    [
        pytest.param("11 05", "profile-shape", id="a-number"),
        pytest.param("01 01 11 05", "profile-shape", id="row-is-a-number"),
        pytest.param(f"01 01 02 01 {AT}", "profile-shape", id="other-columns"),
        pytest.param(f"01 01 02 02 {AT} 11", "dlms-truncated", id="cut-short"),
    ],
)
def test_refused(octets: str, code: str) -> None:
    with pytest.raises(DecodeError) as raised:
        parse_event_log(bytes.fromhex(octets), SHAPE)
    assert raised.value.code == code


def test_nothing() -> None:
    assert parse_event_log(b"\0", SHAPE).events == parse_event_log(b"\1\0", SHAPE).events == ()
