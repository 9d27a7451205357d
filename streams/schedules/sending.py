"""Planned slices, and what becomes of each: a state machine as a table. Pure.

A slice is sent a little before its first job's time. Slices that are overdue, since nobody was there to send them, are not
sent all at once: each tick's plan goes on where it stopped, a fifth faster than planned, until it is on time again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from schemas.records import PlanSlice

HASTE = 1.2
"""How much faster than planned a plan goes that is behind."""
_ON_TIME_MS = 1_000


class State(StrEnum):
    """Where a slice stands."""

    UNKNOWN = "UNKNOWN"
    PLANNED = "PLANNED"
    SENT = "SENT"
    DROPPED = "DROPPED"


class Event(StrEnum):
    """What may happen to a slice."""

    PLAN = "PLAN"
    SEND = "SEND"
    DROP = "DROP"


TABLE: dict[tuple[State, Event], State] = {
    (State.UNKNOWN, Event.PLAN): State.PLANNED,
    (State.PLANNED, Event.SEND): State.SENT,
    (State.PLANNED, Event.DROP): State.DROPPED,
}
"""Whatever is not here changes nothing. SENT and DROPPED are the end: what is known of such a slice is forgotten."""


@dataclass(frozen=True, slots=True)
class Start:
    """A slice that is to be sent now."""

    piece: PlanSlice
    at: int
    haste: float


@dataclass(slots=True)
class _Row:
    """The slices of one tick that are not sent, latest first."""

    pieces: list[PlanSlice] = field(default_factory=list)
    free_at: int = 0
    sorted: bool = True


class Sending:
    """All slices that are planned."""

    def __init__(self) -> None:
        self._states: dict[str, State] = {}
        self._rows: dict[str, _Row] = {}

    def __len__(self) -> int:
        return len(self._states)

    def state(self, slice_id: str) -> State:
        """Where a slice stands; UNKNOWN also for one that has come to its end."""
        return self._states.get(slice_id, State.UNKNOWN)

    def happen(self, event: Event, piece: PlanSlice) -> bool:
        """Let something happen to a slice; false, and nothing is changed, where the table does not have it."""
        state = TABLE.get((self.state(piece.id), event))
        if state is None:
            return False
        if state is State.PLANNED:
            self._states[piece.id] = state
            row = self._rows.setdefault(piece.tick_id, _Row())
            row.pieces.append(piece)
            row.sorted = False
        else:
            del self._states[piece.id]
        return True

    def sent(self, start: Start) -> None:
        """A slice was sent: the next of its tick may follow when it is through."""
        if self.happen(Event.SEND, start.piece):
            row = self._rows[start.piece.tick_id]
            following = self._next(row)
            if following is not None:
                row.free_at = start.at + round((following.first_at - start.piece.first_at) / start.haste)

    def forget(self, slice_id: str) -> None:
        """Somebody else has sent or dropped a slice."""
        self._states.pop(slice_id, None)

    def due(self, now: int, ahead_ms: int) -> Start | None:
        """The slice to be sent next, where one is due within `ahead_ms`."""
        for tick_id, row in list(self._rows.items()):
            piece = self._next(row)
            if piece is None:
                del self._rows[tick_id]
                continue
            start = max(piece.first_at, row.free_at)
            if start > now + ahead_ms:
                continue
            if start < now - _ON_TIME_MS and row.free_at <= now:
                start = now
            return Start(piece, start, HASTE if start > piece.first_at + _ON_TIME_MS else 1.0)
        return None

    def pending(self) -> list[PlanSlice]:
        """Every slice that is planned."""
        return [piece for row in self._rows.values() for piece in row.pieces if piece.id in self._states]

    def lag_ms(self, now: int) -> int:
        """How long the slice that is most overdue should have been sent."""
        firsts = [piece.first_at for row in self._rows.values() if (piece := self._next(row)) is not None]
        return max(0, now - min(firsts, default=now))

    def _next(self, row: _Row) -> PlanSlice | None:
        if not row.sorted:
            row.pieces.sort(key=lambda piece: (piece.first_at, piece.number), reverse=True)
            row.sorted = True
        while row.pieces and row.pieces[-1].id not in self._states:
            row.pieces.pop()
        return row.pieces[-1] if row.pieces else None
