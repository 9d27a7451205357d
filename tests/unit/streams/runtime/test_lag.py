from __future__ import annotations

import json
from typing import Any

import pytest

from streams.runtime import metrics
from streams.runtime.lag import tell_lag


@pytest.mark.parametrize(
    ("partitions", "expected"),
    [
        ({"0": {"consumer_lag": 3}, "1": {"consumer_lag": 4}}, 7),
        ({"0": {"consumer_lag": 3}, "1": {"consumer_lag": -1}}, 3),
        ({"0": {"consumer_lag": 3}, "-1": {"consumer_lag": 9}}, 3),
        ({}, 0),
        ({"0": {}}, 0),
    ],
    ids=["sum", "not ours", "librdkafka's own", "nothing assigned", "not told"],
)
def test_lag_is_what_the_partitions_of_this_process_lack(partitions: dict[str, Any], expected: int) -> None:
    tell_lag(json.dumps({"topics": {"t": {"partitions": partitions}}}))
    assert metrics.LAG.labels("t")._value.get() == expected


def test_a_producers_statistics_say_nothing() -> None:
    tell_lag(json.dumps({"type": "producer"}))
