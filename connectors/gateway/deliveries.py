"""What waits for Kafka: groups of records that something depends on, and the signal to stop taking more.

Delivery reports come on the publisher's thread (or on any that sends). They are collected and handed to the event loop with
one wake-up for many, so nothing here but `Group.done` runs outside the loop.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from streams.runtime import metrics
from streams.runtime.errors import FatalError

Then = Callable[[Exception | None], None]
"""Called on the loop, once: with None when Kafka has every record of a group, else with the first failure."""


class Group:
    """Records that are one effect: `done` is to be given to the publisher for each of them."""

    __slots__ = ("_deliveries", "_failure", "_left", "_then", "size")

    def __init__(self, deliveries: Deliveries, records: int, size: int, then: Then) -> None:
        self._deliveries = deliveries
        self._left = records
        self._failure: Exception | None = None
        self._then = then
        self.size = size

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
    """All groups under way. `full` turns true at the limit of groups or octets and false again at half of it.

    `fatal` is called, on the loop, where the publisher can go on no more: the process has to end.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        max_groups: int,
        max_octets: int,
        fatal: Callable[[Exception], None] | None = None,
    ) -> None:
        self._loop = loop
        self._fatal = fatal
        self._max_groups = max_groups
        self._max_octets = max_octets
        self._reports: deque[tuple[Group, Exception | None]] = deque()
        self._woken = False
        self._watchers: list[Callable[[bool], None]] = []
        self.groups = 0
        self.octets = 0
        self.full = False

    def watch(self, watcher: Callable[[bool], None]) -> None:
        """Have `watcher(full)` called whenever `full` changes."""
        self._watchers.append(watcher)

    def group(self, records: int, size: int, then: Then) -> Group:
        """A group of `records` (at least one) with `size` octets in all, about to be sent."""
        group = Group(self, records, size, then)
        self.groups += 1
        self.octets += size
        metrics.UNACKNOWLEDGED.set(self.groups)
        if not self.full and (self.groups >= self._max_groups or self.octets >= self._max_octets):
            self._turn(full=True)
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
                self.groups -= 1
                self.octets -= group.size
                group.end()
        metrics.UNACKNOWLEDGED.set(self.groups)
        if self.full and self.groups <= self._max_groups // 2 and self.octets <= self._max_octets // 2:
            self._turn(full=False)

    def _turn(self, *, full: bool) -> None:
        self.full = full
        for watcher in self._watchers:
            watcher(full)
