"""What follow-up writes, as records. Pure; each id is a function of what the record is about and its window."""

from __future__ import annotations

from schemas.ids import event_id
from schemas.records import (
    Alarm,
    AlarmKind,
    Cause,
    CommandAck,
    CommandRequest,
    Job,
    Operation,
    Priority,
    RegisterReadings,
    Severity,
    Target,
)
from streams.followup.budgets import Area
from streams.followup.errors import TABLE
from streams.followup.policy import OPERATIONS, Act, Clocks, Rule
from streams.runtime.meters import Known

JOBS, EVENTS, COMMANDS = "hes.jobs.urgent", "hes.events.urgent", "hes.commands"


def job_id(rule: Rule, meter_id: str, alarm: Alarm) -> str:
    """The id of the job that follows an alarm at a meter."""
    return event_id("Job", "follow-up", rule.name, meter_id, alarm.received_at // rule.window_ms)


def job_of(rule: Rule, meter_id: str, alarm: Alarm, *, now: int, deadline_ms: int) -> Job:
    """The job that follows an alarm; of one rule, meter and window there is one."""
    logs = rule.act is Act.READ_EVENT_LOG
    # The meter's own time, where it gave one: its log is written by it.
    since = alarm.occurred_at - rule.look_back_ms if logs and rule.look_back_ms else None
    return Job(
        id=job_id(rule, meter_id, alarm),
        meter_id=meter_id,
        operation=OPERATIONS[rule.act],
        from_time=since,
        priority=Priority.FOLLOW_UP,
        issued_at=now,
        deadline=now + deadline_ms,
        cause=Cause.FOLLOW_UP,
        caused_by=alarm.id,
    )


def storm_alarm(area: Area, place: Known, window: int, now: int) -> Alarm:
    """The alarm of an area whose budget is spent, told of the meter that was left out first; of one window there is one."""
    what, name = area
    whose = f"{what} {name}" if name else "the whole network"
    return Alarm(
        id=event_id("Alarm", TABLE, "followup-storm", what, name, window),
        meter_id=place.id,
        kind=AlarmKind.COMMUNICATION,
        severity=Severity.WARNING,
        occurred_at=now,
        received_at=now,
        code="followup-storm",
        code_table=TABLE,
        feeder=place.feeder if what in ("feeder", "transformer") else "",
        transformer=place.transformer if what == "transformer" else "",
        segment=place.segment if what == "segment" else "",
        detail=f"{whose}: more alarms than are followed up in a minute; the rest is left out. Look at `hes tail alarms`, "
        "and raise budgets in followup.policy_file where the network bears more",
    )


def unanswered_alarm(kind: AlarmKind, ack: CommandAck, place: Known, rule: Rule) -> Alarm:
    """The alarm of a meter that did not answer a ping; of one job there is one."""
    return Alarm(
        id=event_id("Alarm", TABLE, "meter-unanswered", ack.job_id),
        meter_id=ack.meter_id,
        kind=kind,
        severity=Severity.WARNING,
        occurred_at=ack.at,
        received_at=ack.at,
        code="meter-unanswered",
        code_table=TABLE,
        feeder=place.feeder,
        transformer=place.transformer,
        segment=place.segment,
        life_support=place.life_support,
        source=rule.name,
        detail=f"meter {ack.meter_id} did not answer the ping of rule {rule.name} ({ack.state}, {ack.code}): {ack.detail}",
    )


def drift_alarm(code: str, reading: RegisterReadings, place: Known, window: int, why: str) -> Alarm:
    """The alarm of a clock that a person has to look at."""
    return Alarm(
        id=event_id("Alarm", TABLE, code, reading.meter_id, window),
        meter_id=reading.meter_id,
        kind=AlarmKind.CLOCK,
        severity=Severity.WARNING,
        occurred_at=reading.read_at,
        received_at=reading.read_at,
        code=code,
        code_table=TABLE,
        feeder=place.feeder,
        transformer=place.transformer,
        segment=place.segment,
        life_support=place.life_support,
        source=reading.source,
        detail=why,
    )


def set_clock_request(
    reading: RegisterReadings, window: int, clocks: Clocks, *, operator: str, environment: str, why: str, expires_ms: int
) -> CommandRequest:
    """The request to set a clock, to be signed. The same reading always makes the same one."""
    bounds = {"limit_s": str(clocks.furthest_ms // 1_000)} | ({"may_cross": "true"} if clocks.crosses else {})
    return CommandRequest(
        id=event_id("CommandRequest", "follow-up", "set-clock", reading.meter_id, window)[:16],
        target=Target(meters=(reading.meter_id,)),
        operation=Operation.SET_CLOCK,
        parameters=bounds,
        requested_by=operator,
        requested_at=reading.read_at,
        reason=why,
        priority=Priority.FOLLOW_UP,
        expires=reading.read_at + expires_ms,
        environment=environment,
    )
