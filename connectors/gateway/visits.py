"""The visits that are under way: the room for more of them, and when to look at which. On the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from heapq import heappop, heappush, heapreplace
from itertools import count

from connectors.gateway.jobs import Grant
from connectors.gateway.visit import Visit
from streams.runtime.clock import Clock

_SOONEST_S = 0.02
_MANY = 32
HANDFUL = 4
"""Visits of the bulk lane that are begun in one turn of the event loop. In the long run a turn then has the work of so many
to do, however many meters wait: what is urgent waits as many such turns as its meter has answers to give.
"""


class Visits:
    """At most `most` at once. `over` is told when one has ended, and whether it was cancelled."""

    def __init__(self, clock: Clock, most: int, over: Callable[[Visit, Grant, bool], None]) -> None:
        self._clock = clock
        self._most = most
        self._for_one = most - max(1, most // 10) if most > 1 else 1  # each lane leaves some to the other
        self._over = over
        self._running: dict[Visit, asyncio.Task[None]] = {}
        self._looks: list[tuple[float, int, Visit, Grant]] = []
        """When to look at which visit: with 10,000 open at once, not at each of them at each tick."""
        self._number = count()
        self._urgent = 0
        """How many of the visits were begun for what is urgent."""
        self._begun = 0
        """How many of the others in this turn of the loop."""

    def __len__(self) -> int:
        return len(self._running)

    @property
    def full(self) -> bool:
        """Whether there is room for no more."""
        return len(self._running) >= self._most

    @property
    def takes_urgent(self) -> bool:
        """Whether what is urgent has room left of what it may take."""
        return self._urgent < self._for_one

    @property
    def takes_bulk(self) -> bool:
        """Whether what is not urgent has, and this turn of the loop has not had its handful."""
        return len(self._running) - self._urgent < self._for_one and not self.rests

    @property
    def rests(self) -> bool:
        """Whether what is not urgent, and waits, is to go on in the loop's next turn."""
        return self._begun >= HANDFUL

    @property
    def running(self) -> list[asyncio.Task[None]]:
        """All of them, as tasks."""
        return list(self._running.values())

    def much(self) -> bool:
        """Whether there are so many that more of them will end soon."""
        return len(self._running) > _MANY

    def turn(self) -> None:
        """Another turn of the loop."""
        self._begun = 0

    def begin(self, visit: Visit, grant: Grant) -> None:
        """Have a meter visited."""
        running = asyncio.get_running_loop().create_task(visit.run())
        self._running[visit] = running
        heappush(self._looks, (self._clock.monotonic(), next(self._number), visit, grant))
        self._urgent += grant.urgent
        self._begun += not grant.urgent
        running.add_done_callback(lambda done: self._end(visit, grant, cancelled=done.cancelled()))

    def tick(self, hears: Callable[[Grant, float], None]) -> None:
        """Time has passed: each visit that is due is told, and `hears` for how many seconds it has been silent."""
        now, now_ms = self._clock.monotonic(), self._clock.now_ms()
        while self._looks and self._looks[0][0] <= now:
            _, number, visit, grant = self._looks[0]
            if visit in self._running:
                later = max(visit.tick(now, now_ms), now + _SOONEST_S)
                hears(grant, visit.silent_s(now))
                heapreplace(self._looks, (later, number, visit, grant))
            else:
                heappop(self._looks)

    def _end(self, visit: Visit, grant: Grant, *, cancelled: bool) -> None:
        del self._running[visit]
        self._urgent -= grant.urgent
        self._over(visit, grant, cancelled)
