"""A circuit breaker: a segment that answers nobody is left alone, and then tried with one session at a time. Pure.

    closed ──so many different meters in a row──▶ open ──time──▶ half-open ──missed──▶ open, for twice as long
       ▲                                            └── a session begun before ──┐        └── reached ──┐
       └─────────────────────────────── reached ────────────────────────────────┴────────────────────────┘

Only a meter that was reached when it was last tried tells something of its segment by being missed. So those that are
dead open nothing, however many they are, and however often they are what is left to be tried.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType


class State(Enum):
    """Whether sessions are begun."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


class Event(Enum):
    """What happens to a breaker."""

    REACHED = "reached"
    MISSED = "missed"
    TRIPPED = "tripped"
    COOLED = "cooled"


TABLE: Mapping[tuple[State, Event], State] = MappingProxyType(
    {
        (State.CLOSED, Event.REACHED): State.CLOSED,
        (State.CLOSED, Event.MISSED): State.CLOSED,
        (State.CLOSED, Event.TRIPPED): State.OPEN,
        (State.OPEN, Event.REACHED): State.CLOSED,
        (State.OPEN, Event.MISSED): State.OPEN,
        (State.OPEN, Event.COOLED): State.HALF_OPEN,
        (State.HALF_OPEN, Event.REACHED): State.CLOSED,
        (State.HALF_OPEN, Event.MISSED): State.OPEN,
    }
)
"""What follows; what is not here cannot happen."""


@dataclass(frozen=True, slots=True)
class Rules:
    """When to open, and for how long; milliseconds."""

    failures: int
    open_ms: int
    longest_ms: int


@dataclass(slots=True)
class Breaker:
    """The breaker of one segment. Times are passed in, milliseconds."""

    rules: Rules
    state: State = State.CLOSED
    until: int = 0
    """While open: when it may be tried."""
    probing: bool = False
    """While half-open: whether the one session is under way."""
    _missed: int = 0
    _away: set[str] = field(default_factory=set)
    """Meters that were missed when they were last tried."""
    _times: int = 0

    def begins(self, now: int) -> bool:
        """Whether a session may begin."""
        if self.state is State.OPEN and now >= self.until:
            self._become(Event.COOLED)
        return self.state is State.CLOSED or (self.state is State.HALF_OPEN and not self.probing)

    def begin(self) -> bool:
        """A session begins that may; whether it is the one that tries."""
        self.probing = self.state is State.HALF_OPEN
        return self.probing

    def reached(self, meter_id: str) -> bool:
        """A meter answered; true where that closes the breaker."""
        before = self.state
        self._become(Event.REACHED)
        self._away.discard(meter_id)
        self._missed = self._times = 0
        self.probing = False
        return before is not State.CLOSED

    def missed(self, now: int, meter_id: str, *, probe: bool) -> bool:
        """A meter could not be reached; true where that opens a breaker that was closed."""
        known = meter_id in self._away
        self._away.add(meter_id)
        if self.state is State.CLOSED:
            self._become(Event.MISSED)
            self._missed += not known
            if self._missed < self.rules.failures:
                return False
            self._become(Event.TRIPPED)
            self._open(now)
            return True
        if self.state is State.OPEN or probe:  # of what began before it opened the second try tells nothing new
            self._become(Event.MISSED)
        if probe:
            self._open(now)
        return False

    def untold(self, *, probe: bool) -> None:
        """A session ended before it could tell anything."""
        self.probing = self.probing and not probe

    def _open(self, now: int) -> None:
        self.until = now + min(self.rules.longest_ms, self.rules.open_ms << min(self._times, 16))
        self._times += 1
        self.probing = False
        self._missed = 0

    def _become(self, event: Event) -> None:
        self.state = TABLE[self.state, event]
