"""Whether a schedule is due: a table of what was, what is and what was missed. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from schemas.records import Schedule, Tick
from streams.schedules.cron import due_after, due_before


@dataclass(frozen=True, slots=True)
class Due:
    """A schedule's time has come."""

    at: int
    since: int
    missed: int = 0
    forgotten: bool = False
    """Whether times before `since` were missed too, too long ago to be made up for."""


def due(schedule: Schedule, last: Tick | None, now: int, catch_up_ms: int) -> Due | None:
    """The tick to be taken now; None where there is none.

    Times that were missed (nobody was there to tick) become one tick, the latest, that reads from where the last one ended:
    a meter is not asked twice for what one read gives. Beyond `catch_up_ms` nothing is made up for.
    """
    if not schedule.enabled:
        return None
    begun = schedule.active_from or schedule.updated_at
    start = max(last.at if last is not None else 0, begun)
    forgotten = start < now - catch_up_ms
    times = []
    for at in due_after(schedule.cron, schedule.time_zone, max(start, now - catch_up_ms)):
        if at > now:
            break
        times.append(at)
    if not times:
        return None
    at = times[-1]
    if last is not None and last.at >= begun:
        since = max(last.at, at - catch_up_ms)
    else:
        before = due_before(schedule.cron, schedule.time_zone, times[0])
        since = times[0] if before is None else max(before, at - catch_up_ms)
        forgotten = False
    if schedule.lookback_s:
        since = min(since, at - schedule.lookback_s * 1_000)
    return Due(at, since, len(times) - 1, forgotten and since > start)


def next_due(schedule: Schedule, last: Tick | None, now: int) -> int | None:
    """When a schedule is due next, at the earliest; None where it is not enabled or never due again."""
    if not schedule.enabled:
        return None
    start = max(last.at if last is not None else 0, schedule.active_from or schedule.updated_at)
    return next(due_after(schedule.cron, schedule.time_zone, max(start, now)), None)
