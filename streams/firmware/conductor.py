"""Who is sent what, when: all lanes of all campaigns, each looked at when something can have changed there. Pure.

Where two campaigns want the same segment, the one that was proposed first goes first.

A lane sleeps until its window opens, until its segment's hour has room, until a transfer there ends, or until a wave
opens; so half a million meters cost what happens to them, and nothing by the second.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

from schemas.records import Network
from streams.firmware.budgets import Budget, Budgets, Limits, reserve_of
from streams.firmware.campaign import Case
from streams.firmware.fleet import Fleet, Kind
from streams.firmware.lanes import Lane, comes_again, fill
from streams.firmware.states import OUT, SENDS, Meter
from streams.firmware.windows import Span, Windows
from streams.runtime.settings import Firmware

ACTIVATION_OCTETS = 2_000
"""What it takes to activate an image that is in the meter: association, reading, one action, reading again."""
Place = tuple[Network, str]


@dataclass(frozen=True, slots=True)
class Booking:
    """What was booked for a transfer whose job is out."""

    budget: Budget
    start: int
    end: int
    rate: float
    exact: bool = True
    """False where the end is not known any more: then nothing is given back."""


@dataclass(frozen=True, slots=True)
class Slot:
    """When a job may do its work."""

    start: int
    end: int
    """Up to where it is booked."""
    deadline: int


Send = Callable[[Case, int, Slot], int | None]
"""Sends a meter's job. None where it is sent; else when to look again: at once (0) where this meter needs none."""


class Conductor:
    """All lanes. `send` is called for each job."""

    def __init__(self, fleet: Fleet, budgets: Budgets, settings: Firmware, zone: str, send: Send) -> None:
        self._fleet = fleet
        self._budgets = budgets
        self._ahead = round(settings.ahead_s * 1000)
        self._restart = round(settings.restart_s * 1000)
        self._zone = zone
        self._send = send
        self._lanes: dict[str, dict[tuple[Network, str, str], Lane]] = {}
        self._by_place: dict[Place, list[Lane]] = defaultdict(list)
        self._heap: list[tuple[int, tuple[str, str, str, int, str], int, Lane]] = []
        self._made = 0
        self._bookings: dict[tuple[str, int], Booking] = {}
        self._windows: dict[tuple[str, str], Windows] = {}

    def add(self, case: Case, now: int) -> None:
        """Take up a campaign, or all of its lanes anew; transfers that are out are booked where they are not yet."""
        self.drop(case)
        members: dict[tuple[Network, str, str], list[int]] = defaultdict(list)
        for index, meter_id in enumerate(case.meters):
            meter = case.meter(index)
            if meter in OUT or meter is Meter.WAITING or comes_again(case, index):
                kind = self._fleet.kind(meter_id)
                members[kind.network, kind.segment, kind.time_zone].append(index)
        for indexes in members.values():
            lane = self._lane(case, self._fleet.kind(case.meters[indexes[0]]))
            fill(lane, indexes)
            for index in indexes:
                if case.meter(index) in OUT and (case.id, index) not in self._bookings:
                    self._rebook(lane, index)
        self.wake(case, now)

    def drop(self, case: Case) -> None:
        """Forget its lanes. What is booked stays booked until the jobs end."""
        for lane in self._lanes.pop(case.id, {}).values():
            lane.awake_at = None
            self._by_place[lane.network, lane.segment].remove(lane)

    def wake(self, case: Case, now: int) -> None:
        """Look at all lanes of a campaign: it goes on, or its next wave is open."""
        for lane in self._lanes.get(case.id, {}).values():
            self._wake_at(lane, now)

    def ended(self, case: Case, index: int, at: int, now: int) -> None:
        """A job has ended: its segment has room, and its budget back what was not used. The meter may come again."""
        booking = self._bookings.pop((case.id, index), None)
        if booking is not None:
            booking.budget.open -= 1
            if booking.exact or at > booking.end:
                booking.budget.settle(booking.end, max(booking.start, at), booking.rate)
            self._budgets.touch(booking.budget)
            for lane in self._by_place[booking.budget.network, booking.budget.segment]:
                self._wake_at(lane, now)
        self.again(case, index, now)

    def again(self, case: Case, index: int, now: int) -> None:
        """A meter comes again, where it does."""
        if case.over or not comes_again(case, index):
            return
        lane = self._lane(case, self._fleet.kind(case.meters[index]))
        lane.put_again(index)
        self._wake_at(lane, now)

    def window(self, case: Case, index: int, at: int) -> Span:
        """The window of a meter that is open, or the next one."""
        return self._windows_of(case, self._fleet.kind(case.meters[index]).time_zone).at(at)

    def turn(self, now: int) -> None:
        """Send what is due, lane by lane in an order that does not hang on when each went to sleep."""
        due = []
        while self._heap and self._heap[0][0] <= now:
            at, _, _, lane = heapq.heappop(self._heap)
            if lane.awake_at == at:
                lane.awake_at = None
                due.append(lane)
        for lane in sorted(due, key=lambda lane: lane.key):
            self._look(lane, now)

    def next_at(self) -> int | None:
        """When something is due next, as far as time alone decides."""
        return self._heap[0][0] if self._heap else None

    def _look(self, lane: Lane, now: int) -> None:
        """Send in a lane as long as there is room and somebody is next; then sleep."""
        if lane.case.state not in SENDS:
            return
        limits = self._budgets.limits(lane.network, lane.segment, lane.case.terms)
        again: int | None = 0
        while again == 0 and limits.possible:
            again = self._one(lane, limits, now)
        if again:
            self._wake_at(lane, max(again, now + 1))

    def _one(self, lane: Lane, limits: Limits, now: int) -> int | None:
        """Send one job; when to look again, at once (0), or when something happens (None)."""
        budget, span = self._budgets.of(lane.network, lane.segment), lane.windows.at(now)
        if span.start > now + self._ahead:
            return span.start - self._ahead
        at = max(now, span.start)
        index = lane.next(at // 1000)
        if index is None or budget.open >= limits.concurrent:
            return lane.due() if index is None else None
        slot = self._slot(lane, index, budget, limits, at, span)
        if slot is None:
            return lane.windows.at(span.end).start - self._ahead
        if slot.start > now + self._ahead:
            return slot.start - self._ahead
        return self._begin(lane, index, slot, budget, limits)

    def _begin(self, lane: Lane, index: int, slot: Slot, budget: Budget, limits: Limits) -> int:
        """Send a meter's job; when to look again, at once (0)."""
        later = self._send(lane.case, index, slot)
        if later is not None:
            return later
        lane.taken(index)
        budget.open += 1
        budget.book(slot.start, slot.end, limits.octets_a_ms)
        self._budgets.touch(budget)
        self._bookings[lane.case.id, index] = Booking(budget, slot.start, slot.end, limits.octets_a_ms)
        return 0

    def _slot(self, lane: Lane, index: int, budget: Budget, limits: Limits, at: int, span: Span) -> Slot | None:
        octets = octets_left(lane.case, index)
        start = budget.fit(at, self._last(lane, span), octets, limits)
        if start is not None:
            return Slot(start, start + lasts(octets, limits), span.end)
        if self._holds(lane, span, octets, limits):
            return None
        # No night holds it: as much as there is room for, and the rest in other nights.
        part = budget.stretch(at, span.end, octets, limits)
        return None if part is None else Slot(*part, part[1])

    def _last(self, lane: Lane, span: Span) -> int:
        """When a transfer must have ended: the meter then still has to restart within the window."""
        return span.end if lane.case.ends_verified else span.end - self._restart

    def _holds(self, lane: Lane, span: Span, octets: int, limits: Limits) -> bool:
        """Whether a window that nobody else uses holds the transfer as a whole."""
        return Budget(lane.network, lane.segment).fit(span.start, self._last(lane, span), octets, limits) is not None

    def _rebook(self, lane: Lane, index: int) -> None:
        """What the books hold of a job that is out: its octets are in its segment's hours already."""
        budget = self._budgets.of(lane.network, lane.segment)
        limits = self._budgets.limits(lane.network, lane.segment, lane.case.terms)
        start = lane.case.times[index] * 1000
        octets, span = octets_left(lane.case, index), lane.windows.at(start)
        whole = self._holds(lane, span, octets, limits)
        end = start + lasts(octets, limits) if whole else span.end
        budget.open += 1
        self._bookings[lane.case.id, index] = Booking(budget, start, end, limits.octets_a_ms, exact=whole)

    def _lane(self, case: Case, kind: Kind) -> Lane:
        key = kind.network, kind.segment, kind.time_zone
        lanes = self._lanes.setdefault(case.id, {})
        lane = lanes.get(key)
        if lane is None:
            lane = lanes[key] = Lane(case, *key, self._windows_of(case, kind.time_zone))
            self._by_place[kind.network, kind.segment].append(lane)
        return lane

    def _windows_of(self, case: Case, zone: str) -> Windows:
        key = case.id, zone
        found = self._windows.get(key)
        if found is None:
            found = self._windows[key] = Windows(zone, case.terms.windows, self._zone)
        return found

    def _wake_at(self, lane: Lane, at: int) -> None:
        if lane.awake_at is None or at < lane.awake_at:
            lane.awake_at = at
            self._made += 1
            heapq.heappush(self._heap, (at, lane.key, self._made, lane))


def octets_left(case: Case, index: int) -> int:
    """What bringing a meter the rest of the image may take, for sure."""
    if case.meter(index) in (Meter.VERIFIED, Meter.ACTIVATING) or case.shares[index] >= 100:
        return ACTIVATION_OCTETS
    return reserve_of(round(case.image.size * (100 - case.shares[index]) / 100), case.terms.loss) + ACTIVATION_OCTETS


def lasts(octets: int, limits: Limits) -> int:
    """How long so many octets take at a meter's rate, milliseconds."""
    return -int(-octets // limits.octets_a_ms)
