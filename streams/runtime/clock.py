"""Time, injected: what waits or stamps takes a `Clock`, so that a test of six weeks takes seconds."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Wall time for stamps, monotonic time for waits."""

    def now_ms(self) -> int:
        """Milliseconds since the epoch, UTC."""

    def monotonic(self) -> float:
        """Seconds that never go backwards."""


class SystemClock:
    """The machine's own time."""

    def now_ms(self) -> int:
        """Milliseconds since the epoch, UTC."""
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        """Seconds that never go backwards."""
        return time.monotonic()


class ManualClock:
    """A clock that moves when told."""

    def __init__(self, now_ms: int = 0) -> None:
        self._now_ms = now_ms
        self._monotonic = 0.0

    def now_ms(self) -> int:
        """Milliseconds since the epoch, UTC."""
        return self._now_ms

    def monotonic(self) -> float:
        """Seconds that never go backwards."""
        return self._monotonic

    def advance(self, seconds: float) -> None:
        """Move both times on."""
        self._now_ms += round(seconds * 1000)
        self._monotonic += seconds


def iso(ms: int) -> str:
    """A time as ISO 8601 in UTC with milliseconds, such as 2026-03-01T00:15:00.000Z."""
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
