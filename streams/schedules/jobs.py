"""A slice of a plan to its jobs. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from schemas.ids import event_id
from schemas.records import Cause, Job, PlanSlice, Priority, Schedule
from streams.schedules.rules import RANGES

_LEAST_PATIENCE_MS = 600_000


def job_id(schedule_id: str, at: int, meter_id: str) -> str:
    """The id of the job by which a meter is read for a tick. Whoever plans it, however often, it is this one."""
    return event_id("Job", "scheduled", schedule_id, at, meter_id)


def jobs_of(piece: PlanSlice, *, starts_at: int, haste: float, now: int) -> Iterator[Job]:
    """The jobs of a slice that starts at a time, at `haste` times its pace.

    Rows of a range end after `since` and at `at` at the latest: so ranges of ticks that follow each other touch, and no
    interval is in two of them. A job is good until its window closes, and then for half a window more.
    """
    schedule = piece.schedule
    ranged = schedule.operation in RANGES
    for meter_id, offset in zip(piece.meters, piece.offsets, strict=True):
        not_before = starts_at + round(offset / haste)
        yield Job(
            id=job_id(schedule.id, piece.at, meter_id),
            meter_id=meter_id,
            operation=schedule.operation,
            objects=schedule.objects,
            from_time=piece.since + 1_000 if ranged else None,
            to_time=piece.at + 1_000 if ranged else None,
            parameters=schedule.parameters,
            priority=Priority.SCHEDULED if schedule.priority is Priority.UNKNOWN else schedule.priority,
            issued_at=now,
            not_before=not_before,
            deadline=max(piece.closes_at, not_before) + patience_ms(schedule),
            cause=Cause.SCHEDULED,
            caused_by=schedule.id,
        )


def patience_ms(schedule: Schedule) -> int:
    """How long a job may still be done when its window has closed."""
    return max(schedule.window_s * 1_000 // 2, _LEAST_PATIENCE_MS)
