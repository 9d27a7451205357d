"""When a schedule is due: cron expressions in a time zone, on days of 23 and 25 hours too.

The rules are Debian cron's. An expression that names its hours (`30 2 * * *`) is due once a day: where the clock jumps over
its time it is due right after, where the clock shows it twice the first time counts. One with a wildcard or a step in its
hours or minutes (`*/15 * * * *`) goes by the hours as they pass, so that it never pauses and never does anything twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

_MOST = 256
"""Characters of an expression."""


def cron_problem(expression: str, zone: str) -> str:
    """Why an expression or zone cannot be used, with the mend; empty where it can."""
    try:
        _zone(zone)
    except ValueError:
        return f"{zone!r} is no IANA time zone; write one such as Europe/Vienna or UTC"
    if len(expression) > _MOST or len(expression.split()) != 5:
        return f"{expression[:40]!r} is no cron expression: minute, hour, day, month, weekday, such as 0 */4 * * *"
    try:
        next(CronSim(expression, datetime(2024, 1, 1, tzinfo=UTC)))
    except CronSimError as error:
        return f"{expression!r} is no cron expression: {str(error).lower()}"
    except StopIteration:
        return f"{expression!r} is never due"
    return ""


def due_after(expression: str, zone: str, after: int) -> Iterator[int]:
    """Every time an expression is due after a time, in milliseconds, rising. `ValueError` where `cron_problem` finds one."""
    last = after
    try:
        for moment in CronSim(expression, _local(zone, after)):
            # In the hour that comes twice, and right behind the one that is skipped, it may name the same time again.
            at = round(moment.timestamp()) * 1_000
            if at > last:
                last = at
                yield at
    except CronSimError as error:
        raise ValueError(f"{expression!r}: {error}") from error


def due_before(expression: str, zone: str, before: int) -> int | None:
    """The last time an expression was due before a time; None where it never was."""
    # Not backwards: the library's reverse order does not know the rules for skipped hours in every case.
    for days in (1, 8, 32, 367, 367 * 5):
        found = None
        for at in due_after(expression, zone, before - days * 86_400_000):
            if at >= before:
                break
            found = at
        if found is not None:
            return found
    return None


def local_day(zone: str, at: int) -> int:
    """The day that a time falls on in a zone, as days since 1970-01-01."""
    return _local(zone, at).date().toordinal() - _EPOCH


def _local(zone: str, at: int) -> datetime:
    return datetime.fromtimestamp(at / 1_000, _zone(zone))


@lru_cache(maxsize=256)
def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name or "UTC")
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f"{name!r} is no IANA time zone") from error


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC).date().toordinal()
