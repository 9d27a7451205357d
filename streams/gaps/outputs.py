"""What the book finds, as records: backfill jobs, alarms. Pure."""

from __future__ import annotations

from datetime import UTC, datetime

from schemas.ids import event_id
from schemas.records import Alarm, AlarmKind, Cause, Job, Priority, Schedule, Severity
from streams.gaps.book import Ask, GivenUp
from streams.gaps.grid import DAY_S
from streams.runtime.meters import Known

CODES = {
    "gap-given-up": "intervals of a meter's day did not come, however often they were asked for; the day stays incomplete"
}
"""Codes of alarms in the code table `hes-gaps`, with their meaning."""
TABLE = "hes-gaps"


def backfill_jobs(ask: Ask, schedule: Schedule, *, not_before: int, deadline_ms: int, now: int) -> list[Job]:
    """A job for each range that a meter lacks, by selective access. The same attempt at the same range is one job."""
    step = schedule.period_s * 1_000
    jobs = []
    for first, last in ask.ranges:
        start, end = first * step + 1_000, (last + 1) * step + 1_000  # rows end behind the first and at the second
        jobs.append(
            Job(
                id=event_id("Job", "backfill", ask.schedule_id, ask.meter_id, start, end, ask.attempt),
                meter_id=ask.meter_id,
                operation=schedule.operation,
                objects=schedule.objects,
                from_time=start,
                to_time=end,
                parameters=schedule.parameters,
                priority=Priority.SCHEDULED,
                issued_at=now,
                not_before=not_before,
                deadline=not_before + deadline_ms,
                cause=Cause.BACKFILL,
                caused_by=ask.schedule_id,
            )
        )
    return jobs


def alarm_of(given: GivenUp, known: Known | None, now: int) -> Alarm:
    """The alarm of a day that is given up; the same day is one alarm, however often it is told."""
    day = datetime.fromtimestamp(given.day * DAY_S, UTC).date().isoformat()
    detail = (
        f"meter {given.meter_id}: {given.missing} intervals of {day} (UTC) that {given.schedule_id} expects did not come, "
        f"asked for {given.asked} times; `hes read` may still get them, where the meter has them"
    )
    return Alarm(
        id=event_id("Alarm", TABLE, given.schedule_id, given.meter_id, given.day),
        meter_id=given.meter_id,
        kind=AlarmKind.COMMUNICATION,
        severity=Severity.WARNING,
        occurred_at=(given.day + 1) * DAY_S * 1_000,
        received_at=now,
        code="gap-given-up",
        code_table=TABLE,
        feeder="" if known is None else known.feeder,
        transformer="" if known is None else known.transformer,
        segment="" if known is None else known.segment,
        life_support=known is not None and known.life_support,
        source=given.schedule_id,
        detail=detail,
    )
