"""A clock that was read: right, to be set, or for a person to look at. Pure.

Only readings of the clock itself say how late it is now; what registers were captured at may long be over.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from schemas.records import RegisterReadings
from streams.followup.policy import Clocks

_CLOCK = re.compile(r"0\.\d{1,3}\.1\.0\.0\.255")
"""The clock, of any channel."""


@dataclass(frozen=True, slots=True)
class Drift:
    """What is to be done about a clock."""

    ms: int
    """The meter's time less ours: a clock that is fast has it positive."""
    window: int
    sets: bool
    code: str
    """Of the alarm, where it is not set."""
    why: str


def drift_of(reading: RegisterReadings, clocks: Clocks, fresh_ms: int, now: int) -> Drift | None:
    """What a reading says of its meter's clock; None where it says nothing, nothing is wrong, or it is too old."""
    if not reading.meter_time_given or not 0 <= now - reading.read_at <= fresh_ms:
        return None
    if len(reading.registers) != 1 or not _CLOCK.fullmatch(reading.registers[0].obis):
        return None
    drift = reading.captured_at - reading.read_at
    if abs(drift) <= clocks.tolerance_ms:
        return None
    window = reading.read_at // clocks.window_ms
    seconds = f"clock of meter {reading.meter_id} is {abs(drift) / 1_000:.0f} s {'fast' if drift > 0 else 'slow'}"
    if abs(drift) > clocks.furthest_ms:
        why = (
            f"{seconds}, further than the {clocks.furthest_ms // 1_000} s within which it is set without a person: find out "
            "why (time zone, battery), then have it set by a signed SET_CLOCK command"
        )
        return Drift(drift, window, sets=False, code="clock-far", why=why)
    if clocks.sets:
        return Drift(drift, window, sets=True, code="clock-drift", why=seconds)
    why = f"{seconds}, and the policy of follow-up leaves it to people: have it set by a signed SET_CLOCK command"
    return Drift(drift, window, sets=False, code="clock-drift", why=why)
