"""What C12 tables say, as records: profiles, registers, clocks, logs. Pure.

Ids follow from what is stated, so who reads a table again, or a log after a notification of its entry, says nothing new.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, tzinfo
from typing import Any

import numpy as np

from connectors.gateway.drivers.c12_order import source_of
from connectors.gateway.readings import Moment, Origin, Rows, channel, interval_readings, register, register_readings
from connectors.protocols.c12.tables.clock import Clock
from connectors.protocols.c12.tables.declarations import MANUFACTURER
from connectors.protocols.c12.tables.events import Event
from connectors.protocols.c12.tables.profile import Profile
from connectors.protocols.c12.tables.profile_channels import ProfileChannel
from connectors.protocols.c12.tables.registers import Registers, RegisterValue
from connectors.protocols.c12.tables.times import TableTime
from connectors.protocols.c12.tables.values import Record
from schemas.ids import Part, event_id
from schemas.records import Alarm, AlarmKind, Channel, IntervalReadings, Meter, Register, RegisterReadings, Severity

CLOCK_OBIS = "0.0.1.0.0.255"
EVENT_OBIS, EVENT_WORDS_OBIS = "0.0.96.11.0.255", "0.0.96.11.1.255"
"""Of an entry of a log that is no alarm: its code, and what it says in words."""

STANDARD_CODES = "c12.19"
"""Code table of the standard's events; of a maker's it is followed by the template's name."""

_DST = 0x80
_WITH_TIME = 5
"""The attribute under which the time of a maximum or minimum stands, as IEC 62056-6-2's extended registers have it."""
_MOST_WORDS = 1_000


def profile_readings(
    profile: Profile, origin: Origin, start: int | None = None, end: int | None = None
) -> tuple[IntervalReadings, ...]:
    """Rows that end from `start` on and before `end`."""
    ends = profile.ends
    wanted = np.ones(len(ends), np.bool_)
    if start is not None:
        wanted &= ends >= start
    if end is not None:
        wanted &= ends < end
    rows = Rows(
        ends[wanted].tolist(),
        profile.period_s,
        tuple(_channel(column, wanted) for column in profile.channels),
        statuses=() if profile.statuses is None else profile.statuses[wanted].tolist(),
    )
    return interval_readings(origin, rows)


def channel_names(profile: Profile) -> str:
    """The channels as C12.19 names them."""
    return _words(f"{column.obis} {column.source.name}" for column in profile.channels)


def _channel(column: ProfileChannel, wanted: np.ndarray[Any, np.dtype[np.bool_]]) -> Channel:
    values, missing = column.values[wanted], column.missing[wanted]
    empty = Channel(column.obis, 2, column.unit, column.scaler)
    if missing.any() or values.dtype == np.object_:
        found = [None if lacks else value for value, lacks in zip(values.tolist(), missing.tolist(), strict=True)]
        return channel(column.obis, 2, column.unit, column.scaler, found)
    numbers = tuple(values.tolist())
    return replace(empty, doubles=numbers) if values.dtype.kind == "f" else replace(empty, longs=numbers)


def registers_readings(found: Registers, origin: Origin, now: Moment) -> RegisterReadings:
    """Registers captured at one time; `now` is when, where the table does not say."""
    moment = now
    if found.captured_at is not None:
        moment = Moment(found.captured_at, given=True, stated=("time", found.captured_at))
    registers = []
    for value in found.values:
        registers.append(register(value.obis, 2, value.unit, value.scaler, value.value))
        if value.at is not None:
            registers.append(register(value.obis, _WITH_TIME, "", None, iso(value.at)))
    return register_readings(origin, moment, tuple(registers))


def register_names(values: Iterable[RegisterValue]) -> str:
    """The registers as C12.19 names them."""
    return _words(dict.fromkeys(f"{value.obis} {value.name}, {value.told}" for value in values))


def moment_of(fields: Record, clock: Clock, read_at: int) -> Moment:
    """The time of the meter's clock (tables 52 and 55); without one, that of reading."""
    time = fields.get("CLOCK_CALENDAR")
    if not isinstance(time, TableTime) or time.seconds is None:
        return unknown_moment(read_at)
    daylight = fields.record("TIME_DATE_QUAL").flag("DST_FLAG")
    at = 1000 * clock.to_utc(time.seconds, daylight=daylight)
    return Moment(at, given=True, stated=("time", at), clock_status=_DST * daylight)


def unknown_moment(read_at: int) -> Moment:
    """Without the meter's time the content alone is stated: when it was read must not make another statement of it."""
    return Moment(read_at, given=False, stated=("content", 0))


def clock_readings(moment: Moment, zone: tzinfo, origin: Origin) -> RegisterReadings:
    """The clock itself, as local time."""
    shown = iso(moment.at, zone) if moment.given else None
    return register_readings(origin, moment, (register(CLOCK_OBIS, 2, "", None, shown),))


def iso(at: int, zone: tzinfo = UTC) -> str:
    """A time in UTC, milliseconds, as text."""
    return datetime.fromtimestamp(at / 1000, UTC).astimezone(zone).isoformat(timespec="seconds")


def log_records(
    events: Sequence[Event], meter: Meter, origin: Origin, codes: str, *, doubt: str = ""
) -> list[Alarm | RegisterReadings]:
    """Entries of a log: an alarm where somebody should know, else a reading. `codes` names the maker's code table.

    `doubt` says why nothing may come of them: such alarms are for information, whatever they say. An entry without a time is
    told from the next of the same content by how many came before it.
    """
    seen: Counter[Part] = Counter()
    found: list[Alarm | RegisterReadings] = []
    for event in events:
        if event.code == 0:
            continue  # no event
        content = (event.code, event.argument.hex())
        stated: tuple[str, Part] = ("time", event.at) if event.at is not None else ("row", (*content, seen[content]))
        seen[content] += event.at is None
        if event.declaration.kind:
            found.append(_alarm(event, meter, origin, codes, stated, doubt))
        else:
            found.append(_entry(event, origin))
    return found


def _alarm(event: Event, meter: Meter, origin: Origin, codes: str, stated: tuple[str, Part], doubt: str) -> Alarm:
    declared, table = event.declaration, STANDARD_CODES if event.code < MANUFACTURER else f"{STANDARD_CODES}-{codes}"
    user = f"by user {event.user}" if event.user else ""
    return Alarm(
        # Without the table: the history and the event log, and a notification, tell of one event, with as many octets of
        # argument as each has room for. What is doubtful must not stand in the way of what is proven later.
        id=event_id("Alarm", meter.id, table, event.code, _said(event), stated, *((doubt,) if doubt else ())),
        meter_id=meter.id,
        kind=AlarmKind(declared.kind),
        severity=Severity.INFO if doubt else Severity(declared.severity),
        occurred_at=origin.read_at if event.at is None else event.at,
        meter_time_given=event.at is not None,
        received_at=origin.read_at,
        code=str(event.code),
        code_table=table,
        event_type=declared.event_type,
        feeder=meter.feeder,
        transformer=meter.transformer,
        segment=meter.segment,
        life_support=meter.life_support,
        source=source_of(event.number),
        detail="; ".join(filter(None, (declared.name, event.detail, user, doubt))),
    )


def _entry(event: Event, origin: Origin) -> RegisterReadings:
    user = f"by user {event.user}" if event.user else ""
    words = "; ".join(filter(None, (event.declaration.name, event.detail or _said(event).hex(), user)))
    registers: tuple[Register, ...] = (
        register(EVENT_OBIS, 2, "", None, event.code),
        register(EVENT_WORDS_OBIS, 2, "", None, words),
    )
    moment = unknown_moment(origin.read_at)
    if event.at is not None:
        moment = Moment(event.at, given=True, stated=("time", event.at))
    return register_readings(replace(origin, source=source_of(event.number)), moment, registers)


def _said(event: Event) -> bytes:
    return event.argument.rstrip(b"\0")


def _words(names: Iterable[str]) -> str:
    text = "; ".join(names)
    return text if len(text) <= _MOST_WORDS else text[:_MOST_WORDS] + "…"
