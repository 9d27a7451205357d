"""How many images go to a segment's meters at once, and how fast: what reading needs is not theirs. Times are passed in.

    taken from the queue ─▶ enter: a place ─▶ blocks, each paid for by a pause ─▶ leave
                               └─▶ no place: waits in the segment's line ─▶ tick: back into the queue as places come free

A transfer holds one of its segment's sessions, so that a concentrator or a cell never sees more of them than its pace says,
and transfers never hold more than half. Octets are those on the line, both ways: of each segment by the share of its band
that firmware may take (the settings of `firmware`, by which campaigns plan), and of all that this worker sends. A worker
takes the share of both that it takes of the partitions.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from connectors.gateway.jobs import Task
from connectors.gateway.segments import Segment
from streams.runtime.settings import Band, Firmware

_LEAST_S = 0.1
"""Shorter pauses are saved up: a pause takes a turn of the worker's clock, which is about as long."""
_EVERY_MS = 1_000
_MANY = 1_000_000


@dataclass(slots=True, eq=False)
class _Floor:
    """What is under way in a segment."""

    segment: Segment
    band: Band | None
    """None where the segment is nobody's."""
    inside: set[Task] = field(default_factory=set)
    line: deque[Task] = field(default_factory=deque)
    free_at: float = 0.0
    """Milliseconds: until then its octets are spent."""

    @property
    def places(self) -> int:
        """How many more may begin."""
        if self.band is None:
            return _MANY
        most = min(self.band.concurrent, self.segment.pace.sessions // 2)
        return max(1, round(most * self.segment.share)) - len(self.inside)

    @property
    def octets_per_s(self) -> float:
        """What of its band is for this worker's transfers; 0 where there is no limit."""
        return 0.0 if self.band is None else self.band.bits_s / 8 * self.band.share * self.segment.share


class Transfers:
    """All transfers of a worker."""

    def __init__(self, settings: Firmware, octets_per_s: int) -> None:
        self._settings = settings
        self._octets_per_s = octets_per_s
        self._free_at = 0.0
        self._floors: dict[Segment, _Floor] = {}
        self._of: dict[Task, _Floor] = {}
        self._look_at = 0

    def enter(self, task: Task, segment: Segment) -> bool:
        """Take a place for a job; where there is none it waits in line, and is given back by `due`."""
        if task in self._of:
            return True
        floor = self._floor(segment)
        if floor.places <= 0:
            floor.line.append(task)
            return False
        floor.inside.add(task)
        self._of[task] = floor
        return True

    def leave(self, task: Task) -> None:
        """The job's try has ended."""
        floor = self._of.pop(task, None)
        if floor is not None:
            floor.inside.discard(task)

    def due(self, now_ms: int) -> list[Task]:
        """Jobs for which there are places now, to be put among the others again; now and then."""
        if now_ms < self._look_at:
            return []
        self._look_at = now_ms + _EVERY_MS
        found: list[Task] = []
        for segment, floor in list(self._floors.items()):
            for task in [task for task in floor.inside if task.closed]:  # its partition went elsewhere
                self.leave(task)
            places = floor.places
            while floor.line and places > 0:
                task = floor.line.popleft()
                if not task.closed:
                    found.append(task)
                    places -= 1
            if not floor.inside and not floor.line and floor.free_at <= now_ms:
                del self._floors[segment]
        return found

    def spend(self, segment: Segment, octets: int, now_ms: int) -> float:
        """How long to pause for octets that went over the line, seconds."""
        floor = self._floor(segment)
        self._free_at = max(self._free_at, now_ms) + 1_000 * octets / self._octets_per_s
        if floor.octets_per_s:
            floor.free_at = max(floor.free_at, now_ms) + 1_000 * octets / floor.octets_per_s
        owed = (max(self._free_at, floor.free_at) - now_ms) / 1_000
        return owed if owed >= _LEAST_S else 0.0

    def _floor(self, segment: Segment) -> _Floor:
        floor = self._floors.get(segment)
        if floor is None:
            settings = self._settings
            network: Band = getattr(settings.bands, segment.network.value.lower())
            band = settings.segments.get(segment.name, network) if segment.name else None
            floor = self._floors[segment] = _Floor(segment, band)
        return floor
