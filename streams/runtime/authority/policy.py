"""Which kind of command needs what: the policy as values, read from YAML by `policy_file`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from streams.runtime.authority.targets import Place

AREAS = ("all", "feeder", "transformer", "segment")
"""What a daily limit may count by."""
CONTROLS = ("freeze", "lift-freeze", "hold", "lift-hold", "authorize", "withdraw")
"""What may be done to all commands."""


@dataclass(frozen=True, slots=True)
class Hours:
    """When a kind of command may be begun, in the policy's time zone."""

    days: frozenset[int]
    """0 is Monday."""
    start: int
    """Minutes after midnight."""
    end: int
    """Likewise, not included."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What a kind of command needs."""

    signed: bool
    requested_by: tuple[str, ...]
    """Roles, any of which is enough; empty only where nothing is signed."""
    decided_by: tuple[str, ...]
    decisions: int
    expires_ms: int
    """Nothing is begun so long after the request."""
    meters: int
    """In one command."""
    hours: Hours | None


@dataclass(frozen=True, slots=True)
class Policy:
    """Who may do what, and how much of it."""

    time_zone: str
    fresh_ms: int
    skew_ms: int
    decide_ms: int
    kinds: Mapping[str, Kind]
    protects: bool
    limits: Mapping[str, int]
    """Meters a day, by area."""
    openings_a_minute: int
    controls: Mapping[str, tuple[str, ...]]
    """Roles, by what is done."""
    authorization_ms: int
    authorization_most: int

    def local(self, now_ms: int) -> datetime:
        """A time in the policy's zone."""
        return datetime.fromtimestamp(now_ms / 1000, UTC).astimezone(ZoneInfo(self.time_zone))

    def day(self, now_ms: int) -> str:
        """The day that limits count by, such as 2026-03-01."""
        return self.local(now_ms).date().isoformat()

    def is_open(self, kind: Kind, now_ms: int) -> bool:
        """Whether it is an hour for this kind of command. A night (from 22:00 to 06:00) belongs to the day it began."""
        if kind.hours is None:
            return True
        hours, local = kind.hours, self.local(now_ms)
        minute, day = local.hour * 60 + local.minute, local.weekday()
        if hours.start < hours.end:
            return day in hours.days and hours.start <= minute < hours.end
        return (day in hours.days and minute >= hours.start) or ((day - 1) % 7 in hours.days and minute < hours.end)


def areas_of(place: Place) -> dict[str, str]:
    """The areas that a meter counts in, with their names; a meter that hangs nowhere known counts in `all` alone."""
    named = {"feeder": place.feeder, "transformer": place.transformer, "segment": place.segment}
    return {"all": ""} | {area: name for area, name in named.items() if name}
