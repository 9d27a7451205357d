"""How an outage stands at a time, from what its meters said. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Set
from typing import NamedTuple

from connectors.oms.grouping import Gone, Group
from connectors.oms.likelihood import STEPS_MS, likeliest
from connectors.oms.marks import Interruption
from schemas.records import OutageDuration, OutageScope, OutageStatus
from streams.runtime.settings import Oms


class Facts(NamedTuple):
    """What decides the status of an outage."""

    history: bool
    affected: int
    out: int  # and not flapping
    flapping: int
    silent: bool  # nothing was heard for `expire_s`


STATUS: tuple[tuple[OutageStatus, Callable[[Facts], bool]], ...] = (
    (OutageStatus.HISTORIC, lambda facts: facts.history),
    (OutageStatus.FLAPPING, lambda facts: not facts.out and facts.flapping > 0),
    (OutageStatus.RESTORED, lambda facts: not facts.out),
    (OutageStatus.EXPIRED, lambda facts: facts.silent),
    (OutageStatus.OPEN, lambda facts: facts.out + facts.flapping == facts.affected),
    (OutageStatus.PARTLY_RESTORED, lambda _: True),
)
"""The status of an outage is the first whose condition holds."""


def status_of(facts: Facts) -> OutageStatus:
    """By the table."""
    return next(status for status, holds in STATUS if holds(facts))


OVER = (OutageStatus.RESTORED, OutageStatus.EXPIRED, OutageStatus.HISTORIC, OutageStatus.MERGED, OutageStatus.WITHDRAWN)
_LOOKS_MS = STEPS_MS[1:]
_NOBODY: frozenset[str] = frozenset()
_ROBUST = 3
"""So many clocks make a median worth more than the earliest of them."""


class Standing(NamedTuple):
    """What a revision states, but for lists."""

    status: OutageStatus
    scope: OutageScope
    confidence: float
    duration: OutageDuration
    affected: int
    out: int
    flapping: frozenset[str]
    known: int
    first_time: int
    last_time: int
    next_look: int
    """When time alone may change it, milliseconds since the epoch."""


def standing(group: Group, known: int, now: int, rules: Oms, gone: Gone) -> Standing:
    """How a group stands at `now`, with `known` premises below its transformer (0: nobody knows)."""
    if group.all_out and not gone and not group.history:
        return _all_out(group, known, now, rules)
    flapping, quiet_at = _flapping(group, now, rules)
    out = len(out_of(group, gone) - flapping) if flapping else len(out_of(group, gone))
    heard = group.heard
    facts = Facts(group.history, len(group.last_of), out, len(flapping), now - heard >= rules.expire_s * 1_000)
    status = status_of(facts)
    # What is over says no more than what was heard until then.
    until = heard if status in OVER else now
    scope, confidence = likeliest(len(group.last_of), known, until - group.began, rules)
    duration, sustained_at = _duration(group, status, now, rules)
    looks = [quiet_at] if flapping else []
    if status in OVER:
        looks.append(heard + round(rules.keep_s * 1_000))
    else:
        looks.append(heard + round(rules.expire_s * 1_000))
        if duration is OutageDuration.UNKNOWN:
            looks.append(sustained_at)
    if status not in OVER:
        looks += [group.began + step for step in _LOOKS_MS if group.began + step > now][:1]
    return Standing(
        status=status,
        scope=scope,
        confidence=confidence,
        duration=duration,
        affected=len(group.last_of),
        out=out,
        flapping=flapping,
        known=known,
        first_time=_first_time(group),
        last_time=group.last_time,
        next_look=min(looks),
    )


def _all_out(group: Group, known: int, now: int, rules: Oms) -> Standing:
    """The same of an outage of which nobody is back: in a storm nearly all are, and are looked at with every few alarms."""
    expires, sustained_at = group.heard + round(rules.expire_s * 1_000), group.began + round(rules.sustained_s * 1_000) + 1
    expired, sustained = now >= expires, now >= sustained_at
    affected = len(group.last_of)
    since = (group.heard if expired else now) - group.began
    scope, confidence = likeliest(affected, known, since, rules)
    step = bisect_right(_LOOKS_MS, since)
    look = expires if sustained else min(expires, sustained_at)
    if expired:
        look = group.heard + round(rules.keep_s * 1_000)
    elif step < len(_LOOKS_MS):
        look = min(look, group.began + _LOOKS_MS[step])
    firsts = group.onsets
    return Standing(
        OutageStatus.EXPIRED if expired else OutageStatus.OPEN,
        scope,
        confidence,
        OutageDuration.SUSTAINED if sustained else OutageDuration.UNKNOWN,
        affected,
        affected,
        _NOBODY,
        known,
        firsts[(affected - 1) // 2] if affected >= _ROBUST else firsts[0],
        group.last_time,
        look,
    )


def out_of(group: Group, gone: Gone) -> Set[str]:
    """The meters that were not heard to be back."""
    if group.all_out and not gone:
        return group.last_of.keys()
    return {name for name, part in group.last_of.items() if part.is_out and name not in gone}


def _flapping(group: Group, now: int, rules: Oms) -> tuple[frozenset[str], int]:
    """Meters that go on and off again and again, and when the first of them will have been quiet for long enough."""
    if len(group.parts) == len(group.last_of) or group.history:
        return frozenset(), 0
    of: dict[str, list[Interruption]] = defaultdict(list)
    for part in group.parts:
        of[part.meter].append(part)
    flap = round(rules.flap_s * 1_000)
    found, quiet_at = set(), 0
    for meter, parts in of.items():
        begins = sorted(part.began for part in parts if part.onset is not None)
        if any(late - early <= flap for early, late in zip(begins, begins[rules.flaps - 1 :], strict=False)):
            quiet = max(mark.arrived for part in parts for mark in part.marks) + flap
            if now < quiet:
                found.add(meter)
                quiet_at = min(quiet_at or quiet, quiet)
    return frozenset(found), quiet_at


def _first_time(group: Group) -> int:
    """When supply was lost: the median of when each meter first lost it, where enough of them say so."""
    firsts = group.onsets
    if not firsts:
        return min(part.began for part in group.parts)
    if len(group.parts) > len(group.last_of):
        of: dict[str, int] = {}
        for part in group.parts:
            if part.onset is not None:
                of[part.meter] = min(of.get(part.meter, part.onset.at), part.onset.at)
        firsts = sorted(of.values())
    return firsts[(len(firsts) - 1) // 2] if len(firsts) >= _ROBUST else firsts[0]


def _duration(group: Group, status: OutageStatus, now: int, rules: Oms) -> tuple[OutageDuration, int]:
    """By the longest interruption of a meter, on its own clock; and from when on one that goes on is a sustained one."""
    limit = round(rules.sustained_s * 1_000)
    longest = max((p.end.at - p.onset.at for p in group.parts if p.end is not None and p.onset is not None), default=None)
    oldest = min((part.arrived for part in group.parts if part.is_out), default=now) if not group.history else now
    if now - oldest > limit or (longest or 0) > limit:
        return OutageDuration.SUSTAINED, 0
    if status in OVER and longest is not None:
        return OutageDuration.MOMENTARY, 0
    return OutageDuration.UNKNOWN, oldest + limit + 1
