from __future__ import annotations

from dataclasses import replace

import pytest

from connectors.clickhouse.events import (
    ack_columns,
    alarm_columns,
    check_ack,
    check_alarm,
    check_registers,
    check_success,
    register_columns,
    success_columns,
)
from connectors.clickhouse.intervals import RowError
from schemas.records import Alarm, AlarmKind, CommandAck, CommandState, Network, ReadSuccess, Register, RegisterReadings
from tests.unit.connectors.clickhouse.fakes import rows_as_dicts

AT = 1_700_000_000_123
REGISTERS = RegisterReadings(
    id="r1",
    meter_id="m1",
    captured_at=AT,
    meter_time_given=True,
    deviation=-60,
    registers=(
        Register("1.0.1.8.0.255", 2, "Wh", 3, 2**62),
        Register("1.0.32.7.0.255", 5, "V", None, 230.5),
        Register("0.0.42.0.0.255", 2, "", None, "4B46"),
        Register("0.0.1.0.0.255"),
    ),
    read_at=AT + 1,
)


def test_a_register_keeps_its_type_and_what_is_absent_stays_absent() -> None:
    check_registers(REGISTERS)
    rows = rows_as_dicts(register_columns([REGISTERS]))
    assert [(row["channel"], row["value_int"], row["value_float"], row["value_text"], row["scaler"]) for row in rows] == [
        ("1.0.1.8.0.255", 2**62, None, "", 3),
        ("1.0.32.7.0.255/5", None, 230.5, "", None),
        ("0.0.42.0.0.255", None, None, "4B46", None),
        ("0.0.1.0.0.255", None, None, "", None),
    ]
    assert {(row["ts"], row["version"], row["deviation"], row["clock_status"], row["id"]) for row in rows} == {
        (AT, AT + 1, -60, None, "r1")
    }


def test_readings_without_registers_are_no_columns() -> None:
    assert register_columns([replace(REGISTERS, registers=())]) == {}


def test_an_alarm_and_an_acknowledgement_are_a_row_each() -> None:
    alarm = Alarm(id="a", meter_id="m1", kind=AlarmKind.OUTAGE, occurred_at=AT, received_at=AT + 5, life_support=True)
    ack = CommandAck(id="k", job_id="j", state=CommandState.DONE, at=AT, queue_ms=7, rows=96)
    (alarm_row,) = rows_as_dicts(alarm_columns([alarm]))
    (ack_row,) = rows_as_dicts(ack_columns([ack]))
    assert {name: alarm_row[name] for name in ("id", "kind", "ts", "received_at", "life_support", "version")} == {
        "id": "a",
        "kind": "OUTAGE",
        "ts": AT,
        "received_at": AT + 5,
        "life_support": 1,
        "version": AT + 5,
    }
    assert (ack_row["state"], ack_row["queue_ms"], ack_row["read_ms"], ack_row["rows"], ack_row["ts"]) == (
        "DONE",
        7,
        None,
        96,
        AT,
    )


@pytest.mark.parametrize(
    ("reading", "code"),
    [
        (replace(REGISTERS, meter_id=""), "readings-names"),
        (replace(REGISTERS, job_id="j" * 256), "readings-names"),
        (replace(REGISTERS, registers=(Register(""),)), "readings-names"),
        (replace(REGISTERS, registers=(Register("x"),) * 500_001), "readings-columns"),
        (replace(REGISTERS, registers=(Register("1.0.1.8.0.255", scaler=-129),)), "readings-range"),
        (replace(REGISTERS, captured_at=2**62), "readings-range"),
        (replace(REGISTERS, deviation=2**15), "readings-range"),
        (replace(REGISTERS, clock_status=-1), "readings-range"),
        (replace(REGISTERS, read_at=-5), "readings-range"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_registers_that_have_no_place_are_named(reading: RegisterReadings, code: str) -> None:
    with pytest.raises(RowError) as caught:
        check_registers(reading)
    assert caught.value.code == code


def test_read_success_is_a_row() -> None:
    success = ReadSuccess("s", 20_541, "profile", "dc-1", Network.PLC_G3, 3, 900, 10, 9, 960, 950, 5, AT)
    check_success(success)
    (row,) = rows_as_dicts(success_columns([success]))
    assert row == {
        "id": "s",
        "schedule_id": "profile",
        "segment": "dc-1",
        "network": "PLC_G3",
        "day": 20_541,
        "partition": 3,
        "period_s": 900,
        "meters": 10,
        "complete": 9,
        "expected": 960,
        "arrived": 950,
        "given_up": 5,
        "ts": AT,
        "version": AT,
    }


def test_times_out_of_range_are_named() -> None:
    with pytest.raises(RowError, match="1900 to 2299"):
        check_alarm(Alarm(occurred_at=-(2**60)))
    with pytest.raises(RowError, match="1900 to 2299"):
        check_ack(CommandAck(at=2**60))
    with pytest.raises(RowError, match="0 to 65535"):
        check_success(ReadSuccess(day=2**16))
