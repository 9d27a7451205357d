"""What waits for Kafka: groups of records that something depends on, and the signal to stop taking more.

Delivery reports come when the loop polls for them, or on another thread that does. They are collected and handed to the
event loop with one wake-up for many, so nothing here but `Group.done` runs outside the loop.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from streams.runtime import metrics
from streams.runtime.errors import FatalError

_POLL_S = 0.002

Then = Callable[[Exception | None], None]
"""Called on the loop, once: with None when Kafka has every record of a group, else with the first failure."""


class Group:
    """Records that belong together: `done` is to be called as often as was said."""

    __slots__ = ("_deliveries", "_failure", "_left", "_then", "effects", "size")

    def __init__(self, deliveries: Deliveries, reports: int, size: int, then: Then, effects: int) -> None:
        self._deliveries = deliveries
        self._left = reports
        self._failure: Exception | None = None
        self._then = then
        self.size = size
        self.effects = effects

    def done(self, error: Exception | None) -> None:
        """A delivery report; from any thread."""
        self._deliveries.report(self, error)

    def settle(self, error: Exception | None) -> bool:
        """Count a report, on the loop; true with the last one."""
        self._failure = self._failure or error
        self._left -= 1
        return self._left == 0

    def end(self) -> None:
        """Tell who waits."""
        self._then(self._failure)


class Deliveries:
    """All groups under way. `full` turns true at the limit of effects or octets and false again at half of it.

    `fatal` is called, on the loop, where the publisher can go on no more: the process has to end. `poll` is called on the
    loop while groups are under way, to serve the publisher's reports. A thread of its own for these would wait for the
    interpreter with each of them, and the loop for it.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        max_groups: int,
        max_octets: int,
        fatal: Callable[[Exception], None] | None = None,
        poll: Callable[[], None] | None = None,
    ) -> None:
        self._loop = loop
        self._fatal = fatal
        self._poll = poll
        self._polling = False
        self._max_groups = max_groups
        self._max_octets = max_octets
        self._reports: deque[tuple[Group, Exception | None]] = deque()
        self._woken = False
        self._watchers: list[Callable[[bool], None]] = []
        self.groups = 0
        """Effects that Kafka does not have: pushes, results of jobs."""
        self.octets = 0
        self.full = False

    def watch(self, watcher: Callable[[bool], None]) -> None:
        """Have `watcher(full)` called whenever `full` changes."""
        self._watchers.append(watcher)

    def group(self, reports: int, size: int, then: Then, effects: int = 1) -> Group:
        """A group with `size` octets in all, about to be sent, of which there will be so many reports (at least one)."""
        group = Group(self, reports, size, then, effects)
        self.groups += effects
        self.octets += size
        metrics.UNACKNOWLEDGED.set(self.groups)
        if not self.full and (self.groups >= self._max_groups or self.octets >= self._max_octets):
            self._turn(full=True)
        if self._poll is not None and not self._polling:
            self._polling = True
            self._loop.call_later(_POLL_S, self._look)
        return group

    def report(self, group: Group, error: Exception | None) -> None:
        """Take a delivery report, from any thread."""
        self._reports.append((group, error))
        if not self._woken:
            self._woken = True
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                self._loop.call_soon_threadsafe(self._drain)

    def _drain(self) -> None:
        self._woken = False
        while self._reports:
            group, error = self._reports.popleft()
            if isinstance(error, FatalError) and self._fatal is not None:
                self._fatal(error)
            if group.settle(error):
                self.groups -= group.effects
                self.octets -= group.size
                group.end()
        metrics.UNACKNOWLEDGED.set(self.groups)
        if self.full and self.groups <= self._max_groups // 2 and self.octets <= self._max_octets // 2:
            self._turn(full=False)

    def _look(self) -> None:
        self._polling = self.groups > 0
        if self._poll is not None and self._polling:
            self._loop.call_later(_POLL_S, self._look)
            self._woken = True  # what is reported now is taken at once
            self._poll()
            self._drain()

    def _turn(self, *, full: bool) -> None:
        self.full = full
        for watcher in self._watchers:
            watcher(full)
