"""Things that cost less together: gathered until a turn of the event loop is over or, where there is much to do, until they
are many or time has passed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")

MOST = 32
"""So many are worked on together at most: what numpy costs a call is shared, and the loop is not kept for long."""


class Gathering(Generic[T]):
    """Calls `work` with what was added. `patient` says whether it may wait for more to come: then until `tick`, or until
    there are `MOST`. On the event loop.
    """

    def __init__(self, work: Callable[[list[T]], None], patient: Callable[[], bool]) -> None:
        self._work = work
        self._patient = patient
        self._items: list[T] = []
        self._called = False

    def __len__(self) -> int:
        return len(self._items)

    def add(self, item: T, *, urgent: bool = False) -> None:
        """One more; what is `urgent` waits for the end of the turn at most, and takes the others along."""
        self._items.append(item)
        if not self._called and (urgent or len(self._items) >= MOST or not self._patient()):
            self._called = True
            asyncio.get_running_loop().call_soon(self._end)

    def tick(self) -> None:
        """Time has passed."""
        items, self._items = self._items, []
        for first in range(0, len(items), MOST):
            self._work(items[first : first + MOST])

    def _end(self) -> None:
        self._called = False
        self.tick()
