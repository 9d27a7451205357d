"""Lag as librdkafka counts it, for `hes_lag_records`: how many records of each topic a process has yet to take."""

from __future__ import annotations

import json

from streams.runtime import metrics

EVERY_MS = 5_000
"""How often librdkafka tells its statistics."""


def tell_lag(statistics: str) -> None:
    """Set the gauge from a consumer's statistics (librdkafka, STATISTICS.md). Called within `poll` and `consume`."""
    for name, topic in json.loads(statistics).get("topics", {}).items():
        lags = [part.get("consumer_lag", -1) for number, part in topic.get("partitions", {}).items() if number != "-1"]
        # -1: not fetched by this process, or nothing was read yet.
        metrics.LAG.labels(name).set(sum(lag for lag in lags if lag > 0))
