"""Pushes of many connections, written together while there are many: what Kafka costs, it costs by the batch of a partition,
and pushes that are written a moment apart are batches of their own. Where there are few, or one has an alarm, nothing waits,
unless it is a storm of them: then alarms wait for a moment too, and their frames, which nobody is waiting for, for longer.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from functools import partial

from connectors.gateway.deliveries import Deliveries, Then
from connectors.gateway.emit import Emitter, Outgoing, TooLargeError
from connectors.gateway.pipeline import Push
from schemas.codec import CodecError
from schemas.records import Alarm

WINDOW_S = 0.1
"""A push of readings waits for others so long at most; the meter is acknowledged that much later."""
STORM_WINDOW_S = 0.01
"""A push with an alarm likewise, in a storm."""
_STORM, _STORM_S = 50, 0.05
"""So many pushes with alarms within so long are one."""
_MANY, _MANY_S = 100, 0.1
"""With so many pushes within so long, or that Kafka does not have yet, more are sure to come within the window."""
_MOST = 2_048
"""So many do not wait for more."""
_AT_ONCE = 256
"""So many are encoded in one go, while more come: what a call costs is shared by then, and an alarm, which takes all along,
does not wait until all are encoded.
"""


class PushGathering:
    """Takes pushes that have events and nothing else, and writes them in the order in which they came. On the event loop."""

    def __init__(self, emitter: Emitter, deliveries: Deliveries) -> None:
        self._emitter = emitter
        self._deliveries = deliveries
        self._pushes: list[Push] = []
        self._waiting: list[tuple[int, Then]] = []
        """How many pushes were added together, and who is to be told of them."""
        self._timer: asyncio.TimerHandle | None = None
        self._outgoing: list[Outgoing] = []
        self._encoded: list[tuple[int, Then]] = []
        """What `_outgoing` is of, as in `_waiting`."""
        self._gathered = 0
        """Pushes that wait, encoded or not."""
        self._came: deque[float] = deque(maxlen=_MANY)
        """When the last pushes came."""
        self._alarmed: deque[float] = deque(maxlen=_STORM)
        """When the last pushes with alarms came."""
        self._stormy = False
        """Whether what was gathered has alarms of a storm."""

    @property
    def busy(self) -> bool:
        """Whether pushes wait for others."""
        if self._deliveries.groups >= _MANY:
            return True
        return len(self._came) == _MANY and asyncio.get_running_loop().time() - self._came[0] < _MANY_S

    def add(self, pushes: Sequence[Push], then: Then) -> None:
        """Pushes of one connection; `then` is called once, when Kafka has all of them or one of them failed."""
        self._pushes += pushes
        self._waiting.append((len(pushes), then))
        self._gathered += len(pushes)
        urgent = any(isinstance(event, Alarm) for push in pushes for event in push.events)
        storm = urgent and self._storms()
        waits = storm or (self.busy and not urgent)
        self._came.extend([asyncio.get_running_loop().time()] * len(pushes))
        if not waits or self._gathered >= _MOST:
            self.flush()
            return
        if len(self._pushes) >= _AT_ONCE:
            self._encode()
        if storm and not self._stormy:
            self._stormy = True
            self._flush_in(STORM_WINDOW_S)
        elif self._timer is None:
            self._flush_in(WINDOW_S)

    def flush(self) -> None:
        """Write what was gathered; to be called before anything that must not overtake it."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._encode()
        self._send()
        self._gathered, self._stormy = 0, False

    def _storms(self) -> bool:
        """Note a push with alarms; whether it is one of very many."""
        now = asyncio.get_running_loop().time()
        self._alarmed.append(now)
        return len(self._alarmed) == _STORM and now - self._alarmed[0] < _STORM_S

    def _flush_in(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(seconds, self.flush)

    def _encode(self) -> None:
        pushes, self._pushes = self._pushes, []
        waiting, self._waiting = self._waiting, []
        try:
            self._outgoing += self._emitter.encode_pushes(pushes)
            self._encoded += waiting
        except (CodecError, TooLargeError):  # one of them: it is not to hold the others up
            self._send()
            self._apart(pushes, waiting)
        except Exception as error:  # noqa: BLE001 - whatever it is, nothing is written, and who waits must be told
            _tell(waiting, error)

    def _send(self) -> None:
        outgoing, self._outgoing = self._outgoing, []
        waiting, self._encoded = self._encoded, []
        if not outgoing:
            return
        try:
            pushes = sum([count for count, _ in waiting])
            self._emitter.send_pushes(outgoing, partial(_tell, waiting), pushes, frames_wait=self._stormy)
        except Exception as error:  # noqa: BLE001 - as above
            _tell(waiting, error)

    def _apart(self, pushes: Sequence[Push], waiting: Sequence[tuple[int, Then]]) -> None:
        start = 0
        for count, then in waiting:
            each = _Each(count, then)
            for push in pushes[start : start + count]:
                self._emitter.push(push, each.settle)
            start += count


def _tell(waiting: Sequence[tuple[int, Then]], error: Exception | None) -> None:
    for _, then in waiting:
        then(error)


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
