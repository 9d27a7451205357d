"""Lag as librdkafka counts it, for `hes_lag_records`: how many records of each topic a process has yet to take, by group.

A process may have several consumers of one topic: whoever waits for its turn and whoever works, or two of one group that
share its partitions. Each tells its own; those of one group are added up, and one that tells nothing any more is forgotten.
"""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field

from streams.runtime import metrics

EVERY_MS = 5_000
"""How often librdkafka tells its statistics."""
_SILENT_US = 3 * 1_000 * EVERY_MS
"""A consumer that has told nothing for so long is closed."""


@dataclass(frozen=True, slots=True)
class _Said:
    """What one consumer said last of a topic; `at` is librdkafka's own monotonic clock, microseconds."""

    lag: int
    at: int


@dataclass(slots=True)
class Lags:
    """What all consumers of the process have said. From any thread."""

    _said: dict[tuple[str, str], dict[str, _Said]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def tell(self, group: str, statistics: str) -> None:
        """Set the gauge from a consumer's statistics (librdkafka, STATISTICS.md). Called within `poll` and `consume`."""
        told = json.loads(statistics)
        name, now = str(told.get("name", "")), int(told.get("ts", 0))
        with self._lock:
            for topic, partitions in told.get("topics", {}).items():
                # Below 0: not fetched by this process, or nothing was read yet. Number -1 is librdkafka's own.
                parts = partitions.get("partitions", {}).items()
                lag = sum(max(0, part.get("consumer_lag", -1)) for number, part in parts if number != "-1")
                self._said.setdefault((group, topic), {})[name] = _Said(lag, now)
            self._forget(now)
            for (of, topic), said in self._said.items():
                metrics.LAG.labels(topic, of).set(sum(each.lag for each in said.values()))

    def _forget(self, now: int) -> None:
        for (group, topic), said in list(self._said.items()):
            for name in [name for name, each in said.items() if now - each.at > _SILENT_US]:
                del said[name]
            if not said:
                del self._said[group, topic]
                metrics.LAG.remove(topic, group)


_LAGS = Lags()
tell_lag = _LAGS.tell
