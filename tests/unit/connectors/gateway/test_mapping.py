from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from connectors.gateway.mapping import events_of, security_alarm
from connectors.protocols.dlms.errors import DecodeError
from connectors.protocols.dlms.push import read_push
from connectors.protocols.dlms.telegram import PushedProfile, Telegram, TelegramValue
from connectors.templates.loader import load_templates
from schemas.records import Alarm, AlarmKind, IntervalReadings, RegisterReadings, Severity
from tests.unit.connectors.gateway.builders import (
    ENERGY,
    NOW,
    TIME,
    TIME_MS,
    long,
    meter,
    named,
    notification,
    reading,
    text,
)

TEMPLATES = load_templates()
IDIS, GENERIC = TEMPLATES["idis"], TEMPLATES["generic"]
METER = meter(feeder="F1", transformer="T1", segment="S1", life_support=True)
ALARM = "0.0.97.98.0.255"
WITH_DEVIATION = TIME[:9] + (-120).to_bytes(2, "big", signed=True) + b"\x80"


def read(*elements: bytes, time: bytes = TIME) -> Telegram:
    return read_push(notification(*elements, time=time), lambda _: None)


def test_values_become_registers_with_the_meters_time() -> None:
    (made,) = events_of(read_push(reading(time=WITH_DEVIATION), lambda _: None), METER, GENERIC, NOW)
    assert isinstance(made, RegisterReadings)
    assert (made.captured_at, made.meter_time_given, made.deviation, made.clock_status) == (
        TIME_MS - 7_200_000,
        True,
        -120,
        0x80,
    )
    assert [(r.obis, r.value, r.scaler, r.unit) for r in made.registers] == [
        ("0.0.96.1.0.255", "84895126", None, ""),
        (ENERGY, 1234, 0, "Wh"),
    ]
    assert made.read_at == NOW


@pytest.mark.parametrize("zone", ["", "Europe/Vienna", "America/New_York", "No/Where"])
def test_a_time_without_deviation_is_in_the_meters_zone(zone: str) -> None:
    (made,) = events_of(read_push(reading(), lambda _: None), replace(METER, time_zone=zone), GENERIC, NOW)
    assert isinstance(made, RegisterReadings)
    known = ZoneInfo(zone if zone not in ("", "No/Where") else "UTC")
    assert made.captured_at == datetime(2023, 4, 1, 14, 48, 47, tzinfo=known).timestamp() * 1000


def test_without_any_time_it_is_the_time_of_receipt() -> None:
    (made,) = events_of(read_push(reading(time=b""), lambda _: None), METER, GENERIC, NOW)
    assert isinstance(made, RegisterReadings)
    assert (made.captured_at, made.meter_time_given, made.deviation) == (NOW, False, None)


TIMED, UNTIMED = read_push(reading(), lambda _: None), read_push(reading(time=b""), lambda _: None)


@pytest.mark.parametrize(
    ("one", "at", "other", "then", "same"),
    [
        pytest.param(TIMED, NOW, TIMED, NOW + 5, True, id="with-a-time-receipt-does-not-matter"),
        pytest.param(UNTIMED, NOW, UNTIMED, NOW + 5, False, id="without-it-does"),
        pytest.param(
            replace(UNTIMED, invocation_counter=7),
            NOW,
            replace(UNTIMED, invocation_counter=7),
            NOW + 5,
            True,
            id="a-counter-stands-for-the-time",
        ),
        pytest.param(
            replace(UNTIMED, invocation_counter=7),
            NOW,
            replace(UNTIMED, invocation_counter=8),
            NOW,
            False,
            id="another-counter",
        ),
    ],
)
def test_the_id_is_a_function_of_what_is_stated(one: Telegram, at: int, other: Telegram, then: int, same: bool) -> None:
    assert (events_of(one, METER, GENERIC, at)[0].id == events_of(other, METER, GENERIC, then)[0].id) is same


def test_alarm_bits_become_alarms_that_know_the_grid() -> None:
    telegram = read(named("0.0.96.1.0.255", text("84895126"), ""), named(ALARM, long(0b10_0000_0000_0010), ""))
    battery, fraud = events_of(telegram, METER, IDIS, NOW)
    assert isinstance(battery, Alarm)
    assert isinstance(fraud, Alarm)
    assert (battery.kind, battery.code, battery.code_table) == (AlarmKind.DEVICE, "1", "alarm-register-1")
    assert (fraud.kind, fraud.severity, fraud.code) == (AlarmKind.TAMPER_OTHER, Severity.CRITICAL, "13")
    assert (fraud.feeder, fraud.transformer, fraud.segment, fraud.life_support) == ("F1", "T1", "S1", True)
    assert (fraud.occurred_at, fraud.meter_time_given, fraud.received_at) == (TIME_MS, True, NOW)
    assert battery.id != fraud.id


def test_a_cleared_alarm_register_is_a_reading_not_silence() -> None:
    (made,) = events_of(read(named(ALARM, long(0), ""), named("0.0.96.1.0.255", text("84895126"), "")), METER, IDIS, NOW)
    assert isinstance(made, RegisterReadings)


def test_values_beside_an_alarm_are_kept() -> None:
    alarm, registers = events_of(read(named(ALARM, long(2), ""), named(ENERGY, long(5))), METER, IDIS, NOW)
    assert isinstance(alarm, Alarm)
    assert isinstance(registers, RegisterReadings)
    assert [item.obis for item in registers.registers] == [ENERGY]


def test_an_event_notification_is_an_alarm() -> None:
    apdu = b"\xc2\x00" + (1).to_bytes(2) + bytes((0, 0, 96, 11, 0, 255)) + b"\x02" + b"\x11\x01"
    made = events_of(read_push(apdu, lambda _: None), METER, GENERIC, NOW)
    assert [(item.kind, item.code) for item in made if isinstance(item, Alarm)] == [(AlarmKind.OUTAGE, "1")]


def test_nothing_named_is_no_event() -> None:
    assert events_of(replace(TIMED, values=()), METER, GENERIC, NOW) == ()


CLOCK = TelegramValue("0.0.1.0.0.255", None, class_id=8)
STATUS = TelegramValue("0.0.96.10.1.255", None, class_id=1)
IMPORT = TelegramValue(ENERGY, None, class_id=3, scaler=0, unit="Wh")


def profile(times: list[int | None], columns: tuple[TelegramValue, ...] = (CLOCK, STATUS, IMPORT)) -> Telegram:
    """A push of a load profile with these minutes after TIME, None where the row leaves the clock out."""
    base = TIMED.meter_time
    assert base is not None
    at = [
        None if minutes is None else replace(base, local=base.local.replace(minute=0, hour=minutes // 60))
        for minutes in times
    ]
    rows = tuple((None, n % 2, 100 + n)[: len(columns)] for n in range(len(times)))
    return replace(TIMED, values=(), profiles=(PushedProfile("1.0.99.1.0.255", columns, rows, tuple(at)),))


def test_a_pushed_profile_is_interval_readings() -> None:
    (made,) = events_of(profile([0, 60, 120]), METER, GENERIC, NOW)
    assert isinstance(made, IntervalReadings)
    assert (made.source, made.rows, made.period_s, made.ends) == ("7/1.0.99.1.0.255/2", 3, 3600, ())
    assert made.statuses == (0, 1, 0)
    assert [(item.obis, item.unit, item.longs) for item in made.channels] == [(ENERGY, "Wh", (100, 101, 102))]


def test_rows_without_a_time_follow_the_last_one_that_has_it() -> None:
    (made,) = events_of(profile([0, None, None]), METER, GENERIC, NOW)
    assert isinstance(made, IntervalReadings)
    assert (made.period_s, made.rows, made.ends) == (900, 3, ())


def test_rows_that_cannot_be_placed_are_refused() -> None:
    with pytest.raises(DecodeError) as caught:
        events_of(profile([None, 60]), METER, GENERIC, NOW)
    assert caught.value.code == "profile-clock"


def test_a_profile_without_rows_says_nothing() -> None:
    assert events_of(profile([]), METER, GENERIC, NOW) == ()


def test_a_security_alarm_is_one_for_one_attempt() -> None:
    one = security_alarm(METER, "counter-replayed", "why", NOW, 7, b"octets")
    assert one.id == security_alarm(METER, "counter-replayed", "why", NOW + 9, 7, b"octets").id
    assert one.id != security_alarm(METER, "counter-replayed", "why", NOW, 8, b"octets").id
    assert (one.kind, one.severity, one.transformer) == (AlarmKind.SECURITY, Severity.CRITICAL, "T1")
