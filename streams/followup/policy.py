"""What follows an alarm, as values, read from YAML by `policy_file`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from schemas.records import AlarmKind, Operation

AREAS = ("all", "feeder", "transformer", "segment")
"""What a budget counts by."""
_ANSWER_MS = 1_800_000


class Act(StrEnum):
    """What is done."""

    READ_EVENT_LOG = "read-event-log"
    READ_CLOCK = "read-clock"
    PING = "ping"
    PING_NEIGHBOURS = "ping-neighbours"


OPERATIONS = {
    Act.READ_EVENT_LOG: Operation.READ_EVENT_LOG,
    Act.READ_CLOCK: Operation.READ_CLOCK,
    Act.PING: Operation.PING,
    Act.PING_NEIGHBOURS: Operation.PING,
}
"""As a job says it. There is nothing among them that changes a meter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What follows alarms of some kinds."""

    name: str
    alarms: frozenset[AlarmKind]
    act: Act
    window_ms: int
    """However often a meter alarms within it, what follows is done once."""
    after_ms: int = 0
    most: int = 0
    """Meters below one transformer within a window; 0 is any number."""
    look_back_ms: int = 0
    """Of an event log, before the alarm."""
    unanswered: AlarmKind | None = None
    """The kind of the alarm where a ping is not answered; None where that is only acknowledged."""

    @property
    def answer_ms(self) -> int:
        """How long what became of a job is waited for, from when it is due."""
        return 0 if self.unanswered is None else _ANSWER_MS


@dataclass(frozen=True, slots=True, kw_only=True)
class Clocks:
    """What follows a clock that was read and is wrong."""

    tolerance_ms: int
    furthest_ms: int
    """Beyond it a person looks first: a clock that is far off has a reason."""
    sets: bool
    window_ms: int
    """A clock is set, or complained about, once in it."""
    crosses: bool = False
    """Whether it may be set across the end of an interval, which an alarm then marks; else that waits until it need not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """All that follow-up does."""

    fresh_ms: int
    """What reached the head-end longer ago causes nothing any more."""
    rules: tuple[Rule, ...]
    clocks: Clocks
    budgets: Mapping[str, int]
    """Jobs a minute by area; of `all`, and of each feeder, transformer and segment."""

    @property
    def horizon_ms(self) -> int:
        """How far back alarms still bear on what is done now."""
        return max((rule.window_ms + rule.after_ms + rule.answer_ms for rule in self.rules), default=0)
