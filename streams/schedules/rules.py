"""What a schedule may say. The command line asks before it writes one, the service before it follows one."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import asdict
from itertools import islice, pairwise

from schemas.records import Operation, Schedule, Target
from streams.schedules.cron import cron_problem, due_after

CODES = {"schedule-invalid": "a schedule on hes.schedules that cannot be followed; the detail says what to mend"}
"""What the service refuses, with its meaning."""

EVERYONE = "*"
"""As a group: every living meter."""
RANGES = (Operation.READ_PROFILE, Operation.READ_EVENT_LOG)
"""Operations that read what has gathered since the tick before."""
OPERATIONS = (*RANGES, Operation.READ_REGISTERS, Operation.READ_CLOCK, Operation.PING)
"""What may be done without anybody's decision."""
_PERIODS = (60, 300, 600, 900, 1_200, 1_800, 3_600, 7_200, 14_400, 21_600, 43_200, 86_400)
_ID = re.compile(r"[a-z0-9]([a-z0-9._-]{0,62}[a-z0-9])?")
_DAY_S = 86_400
_LEAST_WINDOW_S = 60
_SOON = 50
_MOST_ASKED, _MOST_NAMED = 50_000, 900_000
"""Octets: so that jobs, and a tick with all of its schedule, fit Kafka's usual limit of a record."""


def problems(schedule: Schedule) -> list[str]:
    """All that is wrong with a schedule, each with its mend; empty where it can be followed."""
    found = []
    if not _ID.fullmatch(schedule.id):
        found.append(f"id {schedule.id[:70]!r}: 1 to 64 of a-z 0-9 . _ -, beginning and ending with a letter or digit")
    cron = cron_problem(schedule.cron, schedule.time_zone)
    if cron:
        found.append(f"cron: {cron}")
    if schedule.operation not in OPERATIONS:
        found.append(f"operation {schedule.operation}: a schedule only reads; take one of {', '.join(OPERATIONS)}")
    if schedule.target == Target():
        found.append(
            f'target: names nobody; name meters, groups, segments, transformers or feeders, or groups: ["{EVERYONE}"]'
        )
    if not _LEAST_WINDOW_S <= schedule.window_s <= _DAY_S:
        found.append(f"window_s {schedule.window_s}: {_LEAST_WINDOW_S} to {_DAY_S} seconds")
    if schedule.period_s and schedule.period_s not in _PERIODS:
        found.append(f"period_s {schedule.period_s}: a part of a day that meters keep profiles in, such as 900, or 0")
    if schedule.period_s and schedule.operation is not Operation.READ_PROFILE:
        found.append("period_s: only the intervals of a profile are counted; leave it out")
    if not 0 <= schedule.lookback_s <= 90 * _DAY_S or not 0 <= schedule.grace_s <= 7 * _DAY_S:
        found.append("lookback_s or grace_s: 0 to 90 days, and 0 to 7 days")
    asked = _octets(schedule.objects, schedule.parameters, schedule.parameters.values())
    if asked > _MOST_ASKED:
        found.append(f"objects and parameters: {asked:,} octets, {_MOST_ASKED:,} are allowed; each job carries them")
    named = _octets(*asdict(schedule.target).values(), (schedule.description,))
    if named > _MOST_NAMED:
        mend = "name groups, segments, transformers or feeders, not each meter"
        found.append(f"target and description: {named:,} octets, {_MOST_NAMED:,} are allowed; {mend}")
    return found


def _octets(*texts: Iterable[str]) -> int:
    return sum(len(text.encode()) for each in texts for text in each)


def warnings(schedule: Schedule, now: int) -> list[str]:
    """What is probably not meant, though it can be followed."""
    soon = list(islice(due_after(schedule.cron, schedule.time_zone, now), _SOON))
    least = min((later - sooner for sooner, later in pairwise(soon)), default=None)
    if least is not None and least < schedule.window_s * 1_000:
        return [
            f"its window of {schedule.window_s} s is longer than the {least // 1_000} s to the next time: reads will overlap"
        ]
    return []
