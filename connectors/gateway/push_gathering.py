"""Pushes of many connections, written together while there are many: what Kafka costs, it costs by the batch of a partition,
and pushes that are written a moment apart are batches of their own. Where there are few, or one has an alarm, nothing waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from connectors.gateway.deliveries import Deliveries, Then
from connectors.gateway.emit import Emitter
from connectors.gateway.pipeline import Push
from schemas.records import Alarm

WINDOW_S = 0.04
"""A push of readings waits for others so long at most; the meter is acknowledged that much later."""
_MANY = 100
"""With so many pushes that Kafka does not have yet, more are sure to come within the window."""
_MOST = 512
"""So many do not wait for more."""


class PushGathering:
    """Takes pushes that have events and nothing else, and writes them in the order in which they came. On the event loop."""

    def __init__(self, emitter: Emitter, deliveries: Deliveries) -> None:
        self._emitter = emitter
        self._deliveries = deliveries
        self._pushes: list[Push] = []
        self._waiting: list[tuple[int, Then]] = []
        """How many pushes were added together, and who is to be told of them."""
        self._timer: asyncio.TimerHandle | None = None

    @property
    def busy(self) -> bool:
        """Whether pushes wait for others."""
        return self._deliveries.groups >= _MANY

    def add(self, pushes: Sequence[Push], then: Then) -> None:
        """Pushes of one connection; `then` is called once, when Kafka has all of them or one of them failed."""
        self._pushes += pushes
        self._waiting.append((len(pushes), then))
        urgent = any(isinstance(event, Alarm) for push in pushes for event in push.events)
        if urgent or not self.busy or len(self._pushes) >= _MOST:
            self.flush()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(WINDOW_S, self.flush)

    def flush(self) -> None:
        """Write what was gathered; to be called before anything that must not overtake it."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        pushes, self._pushes = self._pushes, []
        waiting, self._waiting = self._waiting, []
        if pushes:
            self._write(pushes, waiting)

    def _write(self, pushes: Sequence[Push], waiting: Sequence[tuple[int, Then]]) -> None:
        def then(error: Exception | None) -> None:
            for _, one in waiting:
                one(error)

        try:
            if self._emitter.push_all(pushes, then):
                return
        except Exception as error:  # noqa: BLE001 - whatever it is, nothing is written, and who waits must be told
            then(error)
            return
        if len(waiting) > 1:  # one of them cannot be encoded: it is not to hold the others up
            start = 0
            for count, one in waiting:
                self._write(pushes[start : start + count], [(count, one)])
                start += count
            return
        each = _Each(len(pushes), then)
        for push in pushes:
            self._emitter.push(push, each.settle)


class _Each:
    """Tells once of pushes that are written each by itself."""

    __slots__ = ("_failure", "_left", "_then")

    def __init__(self, left: int, then: Then) -> None:
        self._left = left
        self._then = then
        self._failure: Exception | None = None

    def settle(self, error: Exception | None) -> None:
        self._failure = self._failure or error
        self._left -= 1
        if not self._left:
            self._then(self._failure)
