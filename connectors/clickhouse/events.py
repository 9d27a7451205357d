"""Registers, alarms, acknowledgements and read success to the rows of their tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from connectors.clickhouse.columns import Column, Runs
from connectors.clickhouse.intervals import (
    MAX_ROWS,
    MAX_TEXT,
    RowError,
    Words,
    channel_name,
    check_names,
    check_scaler,
    check_version,
)
from schemas.records import Alarm, CommandAck, ReadSuccess, RegisterReadings

_FIRST_MS, _LAST_MS = -2_208_988_800_000, 10_413_791_999_999  # DateTime64: 1900-01-01 to 2299-12-31

_ALARM_TEXTS = (
    "id",
    "meter_id",
    "kind",
    "severity",
    "code",
    "code_table",
    "event_type",
    "feeder",
    "transformer",
    "segment",
    "source",
    "detail",
)
_ACK_TEXTS = (
    "id",
    "command_id",
    "job_id",
    "meter_id",
    "segment",
    "network",
    "operation",
    "cause",
    "state",
    "code",
    "detail",
    "before",
    "after",
)


_SUCCESS_NUMBERS = ("period_s", "meters", "complete", "expected", "arrived", "given_up")


def check_registers(reading: RegisterReadings) -> None:
    """`RowError` readings-names, readings-columns or readings-range, as for intervals."""
    if len(reading.registers) > MAX_ROWS:
        raise RowError("readings-columns", f"{len(reading.registers)} registers; {MAX_ROWS} are allowed")
    check_names(reading.meter_id, reading.source, reading.job_id)
    check_version(reading.read_at)
    _check_time(reading.captured_at)
    _check_within("deviation", reading.deviation, -(2**15), 2**15 - 1)
    _check_within("clock_status", reading.clock_status, 0, 0xFF)
    for register in reading.registers:
        if not register.obis or len(register.obis) > MAX_TEXT or len(register.unit) > MAX_TEXT:
            raise RowError("readings-names", f"OBIS {register.obis[:40]!r}, unit {register.unit[:40]!r}: empty, or too long")
        check_scaler(register.scaler)


def register_columns(readings: Sequence[RegisterReadings]) -> dict[str, Column]:
    """The columns of `registers` for records that passed `check_registers`; empty where they have no registers."""
    pairs = [(reading, register) for reading in readings for register in reading.registers]
    if not pairs:
        return {}
    values = [register.value for _, register in pairs]
    return {
        "meter_id": _runs(reading.meter_id for reading, _ in pairs),
        "channel": _runs(channel_name(register.obis, register.attribute) for _, register in pairs),
        "ts": _times(reading.captured_at for reading, _ in pairs),
        "meter_time_given": np.array([reading.meter_time_given for reading, _ in pairs], np.uint8),
        "value_int": _nullable([value if isinstance(value, int) else None for value in values], np.int64),
        "value_float": _nullable([value if isinstance(value, float) else None for value in values], np.float64),
        "value_text": [value if isinstance(value, str) else "" for value in values],
        "scaler": _nullable([register.scaler for _, register in pairs], np.int8),
        "unit": _runs(register.unit for _, register in pairs),
        "source": _runs(reading.source for reading, _ in pairs),
        "clock_status": _nullable([reading.clock_status for reading, _ in pairs], np.uint8),
        "deviation": _nullable([reading.deviation for reading, _ in pairs], np.int16),
        "cause": _runs(reading.cause for reading, _ in pairs),
        "job_id": _runs(reading.job_id for reading, _ in pairs),
        "id": _runs(reading.id for reading, _ in pairs),
        "version": np.array([reading.read_at for reading, _ in pairs], np.uint64),
    }


def check_alarm(alarm: Alarm) -> None:
    """`RowError` as for readings; an alarm without a meter is one about the head-end itself, and stands."""
    check_version(alarm.received_at)
    _check_time(alarm.occurred_at)
    _check_time(alarm.received_at)


def alarm_columns(alarms: Sequence[Alarm]) -> dict[str, Column]:
    """The columns of `alarms`."""
    columns: dict[str, Column] = {name: _runs(getattr(alarm, name) for alarm in alarms) for name in _ALARM_TEXTS}
    columns["ts"] = _times(alarm.occurred_at for alarm in alarms)
    columns["received_at"] = _times(alarm.received_at for alarm in alarms)
    columns["meter_time_given"] = np.array([alarm.meter_time_given for alarm in alarms], np.uint8)
    columns["life_support"] = np.array([alarm.life_support for alarm in alarms], np.uint8)
    columns["version"] = np.array([alarm.received_at for alarm in alarms], np.uint64)
    return columns


def check_ack(ack: CommandAck) -> None:
    """`RowError` as for readings."""
    check_version(ack.at)
    _check_time(ack.at)


def ack_columns(acks: Sequence[CommandAck]) -> dict[str, Column]:
    """The columns of `command_acks`."""
    columns: dict[str, Column] = {name: _runs(getattr(ack, name) for ack in acks) for name in _ACK_TEXTS}
    for name in ("queue_ms", "connect_ms", "associate_ms", "read_ms"):
        columns[name] = _nullable([getattr(ack, name) for ack in acks], np.int64)
    columns["attempt"] = np.array([ack.attempt for ack in acks], np.int64)
    columns["rows"] = np.array([ack.rows for ack in acks], np.int64)
    columns["ts"] = _times(ack.at for ack in acks)
    columns["version"] = np.array([ack.at for ack in acks], np.uint64)
    return columns


def check_success(success: ReadSuccess) -> None:
    """`RowError` as for readings."""
    check_version(success.at)
    _check_time(success.at)
    _check_within("day", success.day, 0, 2**16 - 1)
    _check_within("partition", success.partition, -1, 2**31 - 1)


def success_columns(records: Sequence[ReadSuccess]) -> dict[str, Column]:
    """The columns of `schedule_figures`."""
    texts = ("id", "schedule_id", "segment", "network")
    columns: dict[str, Column] = {name: _runs(getattr(record, name) for record in records) for name in texts}
    columns["day"] = np.array([record.day for record in records], np.uint16)
    columns["partition"] = np.array([record.partition for record in records], np.int32)
    for name in _SUCCESS_NUMBERS:
        columns[name] = np.array([getattr(record, name) for record in records], np.int64)
    columns["ts"] = _times(record.at for record in records)
    columns["version"] = np.array([record.at for record in records], np.uint64)
    return columns


def _check_time(ms: int) -> None:
    if not _FIRST_MS <= ms <= _LAST_MS:
        raise RowError("readings-range", f"{ms} ms since 1970 is outside of the years 1900 to 2299")


def _check_within(name: str, value: int | None, low: int, high: int) -> None:
    if value is not None and not low <= value <= high:
        raise RowError("readings-range", f"{name} {value}; {low} to {high} is allowed")


def _runs(texts: Iterable[str]) -> Runs:
    words = Words()
    numbers = np.array([words.number(text) for text in texts], np.int64)
    return words.runs(numbers, np.ones(len(numbers), np.int64))


def _times(ms: Iterable[int]) -> npt.NDArray[Any]:
    return np.array(list(ms), np.int64).view("datetime64[ms]")


def _nullable(values: Sequence[float | None], dtype: Any) -> npt.NDArray[Any]:
    return np.ma.MaskedArray(
        np.array([0 if value is None else value for value in values], dtype), [value is None for value in values]
    )
