from __future__ import annotations

import json
from typing import Any

import pytest
from prometheus_client import REGISTRY

from streams.runtime import metrics
from streams.runtime.lag import Lags, tell_lag

SECOND = 1_000_000
ONE, OTHER = "hes-one", "hes-other"


def said(name: str, lag: int, at: int = 0, topic: str = "t") -> str:
    topics = {topic: {"partitions": {"0": {"consumer_lag": lag}}}}
    return json.dumps({"name": name, "ts": at * SECOND, "topics": topics})


def gauge(group: str, topic: str = "t") -> float | None:
    """None where nothing is told."""
    return REGISTRY.get_sample_value("hes_lag_records", {"topic": topic, "group": group})


@pytest.fixture
def lags() -> Lags:
    metrics.LAG.clear()
    return Lags()


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
def test_lag_is_what_the_partitions_of_this_process_lack(lags: Lags, partitions: dict[str, Any], expected: int) -> None:
    lags.tell(ONE, json.dumps({"topics": {"t": {"partitions": partitions}}}))
    assert gauge(ONE) == expected


def test_consumers_of_several_groups_do_not_hide_one_another(lags: Lags) -> None:
    """Who waits for its turn reads nothing, and who works reads the same topic."""
    lags.tell(ONE, said("a", 70_000))
    lags.tell(OTHER, said("b", 0))
    assert (gauge(ONE), gauge(OTHER)) == (70_000, 0)


def test_consumers_of_one_group_are_added_up(lags: Lags) -> None:
    for name, lag in (("a", 5), ("b", 7), ("a", 2)):
        lags.tell(ONE, said(name, lag))
    assert gauge(ONE) == 9


def test_a_consumer_that_is_closed_is_forgotten(lags: Lags) -> None:
    lags.tell(ONE, said("a", 5, at=100))
    lags.tell(ONE, said("b", 7, at=114))
    assert gauge(ONE) == 12
    lags.tell(ONE, said("b", 7, at=116))
    assert gauge(ONE) == 7
    lags.tell(OTHER, said("c", 1, at=132))
    assert (gauge(ONE), gauge(OTHER)) == (None, 1)


def test_each_topic_has_its_own(lags: Lags) -> None:
    lags.tell(ONE, said("a", 5))
    lags.tell(ONE, said("a", 6, topic="u"))
    assert (gauge(ONE), gauge(ONE, "u")) == (5, 6)


def test_a_producers_statistics_say_nothing(lags: Lags) -> None:
    lags.tell(ONE, json.dumps({"type": "producer"}))
    assert gauge(ONE) is None


def test_the_process_has_one_for_all() -> None:
    metrics.LAG.clear()
    tell_lag(ONE, said("a", 3))
    assert gauge(ONE) == 3
    metrics.LAG.clear()
