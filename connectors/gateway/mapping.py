"""What a telegram says, as events of its meter. Pure.

Ids follow from what is stated: meter, object, content, and when: the meter's own time, else the invocation counter, else the
time of receipt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, tzinfo
from functools import lru_cache
from itertools import pairwise

from connectors.gateway.readings import Moment, Origin, Rows, channel, interval_readings, register, register_readings
from connectors.gateway.zones import zone_for
from connectors.protocols.dlms.alarms import AlarmFact, alarms_of
from connectors.protocols.dlms.cosem import LOGICAL_DEVICE_NAME, MeterTime
from connectors.protocols.dlms.errors import DecodeError
from connectors.protocols.dlms.telegram import PushedProfile, Telegram, TelegramValue, is_clock
from connectors.protocols.dlms.template import Template
from schemas.ids import Part, event_id
from schemas.records import Alarm, AlarmKind, Cause, Channel, IntervalReadings, Meter, RegisterReadings, Scalar, Severity

Event = IntervalReadings | RegisterReadings | Alarm

CODE_TABLE = "hes-gateway"
"""Code table of the alarms that the gateway raises itself; `errors.ALARM_CODES` are its codes."""
_SECURITY_TYPE = "3.12.1.258"  # IEC 61968-9: electric meter, security, access, unauthorized


def events_of(telegram: Telegram, meter: Meter, template: Template, received_at: int) -> tuple[Event, ...]:
    """Alarms first, then profiles, then registers; empty where the telegram says nothing. Raises `DecodeError`
    "profile-clock" where rows of a profile cannot be placed in time.
    """
    zone = zone_for(meter, template) or UTC
    facts = alarms_of(telegram, template.push)
    alarms = tuple(_alarm(fact, telegram, meter, zone, received_at) for fact in facts)
    profiles = tuple(
        readings for profile in telegram.profiles for readings in _intervals(profile, meter, template, zone, received_at)
    )
    values: Sequence[TelegramValue] = telegram.values
    if alarms or profiles:
        spoken = {fact.obis for fact in facts}
        values = [value for value in values if value.obis not in spoken]
        if not any(_measures(value, template) for value in values):
            return alarms + profiles
    if not values:
        return ()
    return (*alarms, *profiles, _registers(telegram, values, meter, zone, received_at))


def security_alarm(meter: Meter, code: str, detail: str, received_at: int, *stated: Part) -> Alarm:
    """What the gateway itself wants known of a meter. `stated` makes the id: the same attempt twice is one alarm."""
    alarm = own_alarm(meter, code, detail, received_at, *stated)
    return replace(alarm, kind=AlarmKind.SECURITY, severity=Severity.CRITICAL, event_type=_SECURITY_TYPE)


def own_alarm(
    meter: Meter, code: str, detail: str, at: int, *stated: Part, table: str = CODE_TABLE, source: str = "gateway"
) -> Alarm:
    """What the gateway tells of talking to a meter, by a code of a table of its own. `stated` makes the id, as above."""
    return Alarm(
        id=event_id("Alarm", meter.id, table, code, *stated),
        meter_id=meter.id,
        kind=AlarmKind.COMMUNICATION,
        severity=Severity.INFO,
        occurred_at=at,
        received_at=at,
        code=code,
        code_table=table,
        feeder=meter.feeder,
        transformer=meter.transformer,
        segment=meter.segment,
        life_support=meter.life_support,
        source=source,
        detail=detail,
    )


def segment_alarm(meter: Meter, at: int, *, shut: bool) -> Alarm:
    """That the segment of a meter, the last that was tried, is reached by nobody, or again."""
    code, word = ("segment-unreachable", "cannot be reached") if shut else ("segment-reachable", "can be reached again")
    detail = f"segment {meter.segment} ({meter.network}) {word}, as tried last with meter {meter.id}"
    alarm = own_alarm(meter, code, detail, at, meter.segment, at)
    # It is of the segment: that somebody depends on this one meter says nothing of it.
    return replace(alarm, severity=Severity.CRITICAL if shut else Severity.INFO, life_support=False)


def _measures(value: TelegramValue, template: Template) -> bool:
    """Whether a value is worth a record of its own beside alarms or a profile: names, clocks, cleared alarms are not."""
    push = template.push
    named = value.obis == LOGICAL_DEVICE_NAME or value.obis in push.serials
    return not (named or is_clock(value.obis) or value.obis in push.alarms or value.obis in push.events)


def _when(time: MeterTime | None, telegram: Telegram, zone: tzinfo, received_at: int) -> tuple[str, int]:
    if time is not None:
        return "time", _utc_ms(time, zone)
    if telegram.invocation_counter is not None:
        return "counter", telegram.invocation_counter
    return "received", received_at


@lru_cache(maxsize=4_096)
def _utc_ms(time: MeterTime, zone: tzinfo) -> int:
    """The meters of a fleet push at the same times."""
    return time.to_utc_ms(zone)


def _registers(
    telegram: Telegram, values: Sequence[TelegramValue], meter: Meter, zone: tzinfo, received_at: int
) -> RegisterReadings:
    time = telegram.clock
    stated = _when(time, telegram, zone, received_at)
    moment = Moment(received_at, given=False, stated=stated)
    if time is not None:
        moment = Moment(stated[1], given=True, stated=stated, deviation=time.deviation, clock_status=time.status)
    return register_readings(
        Origin(meter.id, telegram.source, received_at, Cause.PUSH),
        moment,
        tuple(register(value.obis, value.attribute, value.unit or "", value.scaler, value.raw) for value in values),
    )


def _alarm(fact: AlarmFact, telegram: Telegram, meter: Meter, zone: tzinfo, received_at: int) -> Alarm:
    when = _when(fact.time, telegram, zone, received_at)
    return alarm_record(fact, meter, when, None if fact.time is None else when[1], received_at, telegram.source)


def alarm_record(
    fact: AlarmFact, meter: Meter, stated: tuple[str, Part], occurred_at: int | None, received_at: int, source: str
) -> Alarm:
    """An alarm of a meter. `stated` is when, as the id has it; `occurred_at` None is a meter that told no time."""
    return Alarm(
        id=event_id("Alarm", meter.id, fact.obis, fact.code_table, fact.code, stated),
        meter_id=meter.id,
        kind=AlarmKind(fact.kind),
        severity=Severity(fact.severity),
        occurred_at=received_at if occurred_at is None else occurred_at,
        meter_time_given=occurred_at is not None,
        received_at=received_at,
        code=fact.code,
        code_table=fact.code_table,
        event_type=fact.event_type,
        feeder=meter.feeder,
        transformer=meter.transformer,
        segment=meter.segment,
        life_support=meter.life_support,
        source=source,
        detail=fact.detail,
    )


def _intervals(
    profile: PushedProfile, meter: Meter, template: Template, zone: tzinfo, received_at: int
) -> tuple[IntervalReadings, ...]:
    if not profile.rows:
        return ()
    period_s = template.pull.load_period_s if profile.obis == template.pull.load_profile else 0
    ends = _ends(profile, zone, period_s)
    columns = list(zip(*profile.rows, strict=True))
    channels: list[Channel] = []
    statuses: tuple[int, ...] = ()
    for what, values in zip(profile.columns, columns, strict=True):
        if is_clock(what.obis):
            continue
        if _is_status(what.obis) and not statuses and (numbers := _integers(values)) is not None:
            statuses = numbers
        else:
            channels.append(channel(what.obis, what.attribute, what.unit or "", what.scaler, values))
    rows = Rows(
        ends,
        _step(ends) or period_s,
        tuple(channels),
        [-0x8000 if time is None or time.deviation is None else time.deviation for time in profile.times],
        [255 if time is None or time.status is None else time.status for time in profile.times],
        statuses,
    )
    return interval_readings(Origin(meter.id, f"7/{profile.obis}/2", received_at, Cause.PUSH), rows)


def _ends(profile: PushedProfile, zone: tzinfo, period_s: int) -> list[int]:
    ends: list[int] = []
    for row, time in enumerate(profile.times):
        if time is not None:
            ends.append(time.to_utc_ms(zone))
        elif ends and period_s:
            ends.append(ends[-1] + period_s * 1000)
        else:
            why = "has no time, and there is none to count on from; have the meter push its clock along"
            raise DecodeError("profile-clock", f"row {row} of the pushed profile {profile.obis} {why}")
    return ends


def _step(ends: list[int]) -> int:
    """The period that the rows keep, in seconds; 0 where they keep none."""
    steps = {later - earlier for earlier, later in pairwise(ends)}
    step = steps.pop() if len(steps) == 1 else 0
    return step // 1000 if step > 0 and step % 1000 == 0 else 0


def _is_status(obis: str) -> bool:
    groups = obis.split(".")
    return groups[0] == "0" and groups[2:4] == ["96", "10"]


def _integers(values: tuple[Scalar, ...]) -> tuple[int, ...] | None:
    numbers = tuple(value for value in values if isinstance(value, int) and abs(value) < 1 << 63)
    return numbers if len(numbers) == len(values) else None
