"""Who is next in a segment: the meters of one campaign in one segment and time zone."""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import dataclass, field

from schemas.records import Network
from streams.firmware.campaign import Case
from streams.firmware.order import rank
from streams.firmware.states import Meter
from streams.firmware.windows import Windows

_BEGUN = (Meter.PARTLY, Meter.RETRY)


@dataclass(slots=True, eq=False)
class Lane:
    """A queue: first who is due again, in the order of their times, then who waits, wave by wave."""

    case: Case
    network: Network
    segment: str
    zone: str
    windows: Windows
    waiting: list[int] = field(default_factory=list)
    """The next one last."""
    again: list[tuple[int, int]] = field(default_factory=list)
    """Seconds since 1970 from which on a meter is due, and the meter; a heap."""
    awake_at: int | None = None
    """When it is looked at next, milliseconds; None where something must happen before."""

    @property
    def key(self) -> tuple[str, str, str, int, str]:
        """Lanes take their turns in this order, the same after a restart."""
        return self.network.value, self.segment, self.zone, self.case.received_at, self.case.id

    def next(self, now_s: int) -> int | None:
        """Who is next; None where nobody is."""
        while self.again:
            due, index = self.again[0]
            if not comes_again(self.case, index) or self.case.times[index] != due:
                heapq.heappop(self.again)
            elif due <= now_s:
                return index
            else:
                break
        while self.waiting:
            index = self.waiting[-1]
            meter = self.case.meter(index)
            if meter is Meter.WAITING or comes_again(self.case, index):
                return index if self.case.waves_of[index] <= self.case.wave else None
            self.waiting.pop()
        return None

    def taken(self, index: int) -> None:
        """The next one was taken."""
        if self.waiting and self.waiting[-1] == index:
            self.waiting.pop()

    def due(self) -> int | None:
        """When somebody is due again, milliseconds."""
        return self.again[0][0] * 1000 if self.again else None

    def put_again(self, index: int) -> None:
        """A meter that was begun with comes again, at the time that the case has of it."""
        heapq.heappush(self.again, (self.case.times[index], index))


def comes_again(case: Case, index: int) -> bool:
    """Whether a meter was begun with, and another job follows."""
    meter = case.meter(index)
    return meter in _BEGUN or (meter is Meter.VERIFIED and not case.ends_verified)


def fill(lane: Lane, members: Iterable[int]) -> None:
    """A lane as it must be by where its meters stand. Whoever belongs to a later wave waits for it, also where he was begun
    with before activation had its time.
    """
    case, waiting = lane.case, []
    lane.again = []
    for index in members:
        if comes_again(case, index) and case.waves_of[index] <= case.wave:
            lane.again.append((case.times[index], index))
        elif case.meter(index) is Meter.WAITING or comes_again(case, index):
            waiting.append(index)
    heapq.heapify(lane.again)
    waiting.sort(key=lambda index: (case.waves_of[index], rank(case.id, case.meters[index])), reverse=True)
    lane.waiting = waiting
