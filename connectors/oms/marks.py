"""What one alarm says of one meter's supply, and what a meter's alarms together say: its interruptions. Pure.

Two times matter. Within a meter the order is that of the meter's own clock, since a last gasp may come in after the
restoration. Between meters it is the arrival at the head-end, since meters' clocks disagree.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from schemas.ids import event_id
from schemas.records import AlarmKind
from streams.runtime.settings import Oms

_AHEAD_MS = 5_000
"""No alarm happens after it has arrived; a clock that says so is wrong, but for this much."""
_CREDIBLE_MS = 400 * 86_400_000
"""A meter that tells something older has lost its clock."""
REPEAT_MS = 60_000
"""What a meter says again within this time, of another event object or by another way, is the same said twice."""


class Mark(NamedTuple):
    """One alarm, as far as grouping goes. Times are in milliseconds since the epoch."""

    alarm: str
    meter: str
    lost: bool  # else supply came back
    at: int  # by the meter's clock, where that may be believed
    arrived: int
    life_support: bool = False


class Said(Protocol):
    """What an alarm says, as far as grouping goes: an `Alarm`, or what `alarms` reads of one."""

    @property
    def id(self) -> str:
        """As of `Alarm`, as are the others."""

    @property
    def meter_id(self) -> str:
        """The meter."""

    @property
    def kind(self) -> AlarmKind:
        """What it is about."""

    @property
    def occurred_at(self) -> int:
        """The meter's time."""

    @property
    def meter_time_given(self) -> bool:
        """Whether the meter gave it."""

    @property
    def received_at(self) -> int:
        """When the head-end had it."""

    @property
    def transformer(self) -> str:
        """Where the meter hangs."""

    @property
    def feeder(self) -> str:
        """Likewise."""

    @property
    def life_support(self) -> bool:
        """Whether somebody's life depends on it."""


def mark_of(alarm: Said, *, life_support: bool, fallback_ms: int) -> Mark | None:
    """The mark of an alarm; None where it is not about supply. `fallback_ms` stands for an arrival that nobody noted.

    An octet of 0 in a name, which parts the names in the state, becomes a space.
    """
    if alarm.kind is AlarmKind.OUTAGE:
        lost = True
    elif alarm.kind is AlarmKind.RESTORATION:
        lost = False
    else:
        return None
    arrived = alarm.received_at or fallback_ms
    at = alarm.occurred_at if alarm.meter_time_given else arrived
    if not arrived - _CREDIBLE_MS <= at <= arrived + _AHEAD_MS:
        at = arrived
    name = alarm.id or event_id("Alarm", alarm.meter_id, str(alarm.kind), at)
    meter = alarm.meter_id or "-"
    if "\0" in name or "\0" in meter:
        name, meter = name.replace("\0", " "), meter.replace("\0", " ")
    return Mark(name, meter, lost, min(at, arrived), arrived, life_support)


@dataclass(slots=True)
class Interruption:
    """Supply lost and back, as one meter tells it. Without `onset` its last gasp was lost, without `end` it is out."""

    meter: str
    onset: Mark | None = None
    end: Mark | None = None
    marks: list[Mark] = field(default_factory=list)
    superseded: bool = False
    """Whether the meter lost supply again since: it had it back, and nobody heard."""

    @property
    def arrived(self) -> int:
        """When the head-end first heard of it."""
        return min(mark.arrived for mark in self.marks)

    @property
    def began(self) -> int:
        """When it began, as far as is known."""
        return self.marks[0].at

    @property
    def is_out(self) -> bool:
        """Whether the meter has not been heard to be back."""
        return self.end is None and not self.superseded


def by_meter_time(mark: Mark) -> tuple[int, int, bool, str]:
    """The order of a meter's marks."""
    return mark.at, mark.arrived, not mark.lost, mark.alarm


def interruptions(marks: Sequence[Mark]) -> list[Interruption]:
    """The interruptions of one meter, in order; the same whatever the order of the marks."""
    if len(marks) == 1:
        mark = marks[0]
        return [Interruption(mark.meter, mark if mark.lost else None, None if mark.lost else mark, [mark])]
    found: list[Interruption] = []
    current: Interruption | None = None
    for mark in sorted(marks, key=by_meter_time):
        if current is not None and _says_again(current, mark):
            current.marks.append(mark)
        elif not mark.lost and current is not None and current.end is None:
            current.end = mark
            current.marks.append(mark)
        else:
            if current is not None and current.end is None:
                current.superseded = True
            current = Interruption(mark.meter, mark if mark.lost else None, None if mark.lost else mark, [mark])
            found.append(current)
    return found


def _says_again(current: Interruption, mark: Mark) -> bool:
    """A meter cannot gasp twice without supply in between; but it can say one thing by two event objects."""
    if mark.lost:
        return current.end is None and current.onset is not None and mark.at - current.onset.at <= REPEAT_MS
    return current.end is not None and mark.at - current.end.at <= REPEAT_MS


def is_history(interruption: Interruption, rules: Oms) -> bool:
    """Whether it was told so late that it says nothing of now."""
    return all(mark.arrived - mark.at > rules.late_s * 1_000 for mark in interruption.marks)
