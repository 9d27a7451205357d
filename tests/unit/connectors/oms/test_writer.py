"""Batches on a thread of their own, and who waits for whom."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

import pytest

from connectors.oms.core import Out
from connectors.oms.lanes import Lane
from connectors.oms.writer import Batch, Writer
from streams.runtime.clock import ManualClock
from streams.runtime.errors import TemporaryError

BOUND_S = 60.0


class Topic:
    """Takes a batch whenever it is told to."""

    def __init__(self, *, fails_at: str = "") -> None:
        self.begun = threading.Semaphore(0)
        self.go = threading.Semaphore(0)
        self.keys: list[str] = []
        self._fails_at = fails_at

    def write(self, outs: Sequence[Out]) -> None:
        self.begun.release()
        assert self.go.acquire(timeout=BOUND_S)
        if outs[0].key == self._fails_at:
            raise TemporaryError("Kafka is away")
        self.keys.append(outs[0].key)


def batch(key: str) -> Batch:
    return Batch([Out("topic", key, None)], {key: 1}, [], 0.0)


def test_the_next_is_wanted_when_one_is_written() -> None:
    topic = Topic()
    writer = Writer(topic.write, ManualClock())
    free = [writer.free]
    writer.submit(batch("a"))
    assert topic.begun.acquire(timeout=BOUND_S)
    free.append(writer.free)
    writer.submit(batch("b"))
    assert writer.written() == []
    topic.go.release()
    assert topic.begun.acquire(timeout=BOUND_S)
    free.append(writer.free)
    assert [one.batch.positions for one in writer.written()] == [{"a": 1}]
    topic.go.release()
    until = time.monotonic() + BOUND_S
    while not writer.free and time.monotonic() < until:
        pass
    assert [*free, writer.free] == [True, False, False, True]
    writer.close()
    assert topic.keys == ["a", "b"]


def test_after_one_that_cannot_be_written_none_is() -> None:
    topic = Topic(fails_at="b")
    writer = Writer(topic.write, ManualClock())
    for key in "abc":
        writer.submit(batch(key))
        topic.go.release()
    with pytest.raises(TemporaryError, match="away"):  # noqa: PT012 - whoever works looks until it is told
        while True:
            writer.written()
    writer.close()
    assert topic.keys == ["a"]


def test_what_waits_at_the_end_is_not_written() -> None:
    topic = Topic()
    writer = Writer(topic.write, ManualClock())
    writer.submit(batch("a"))
    assert topic.begun.acquire(timeout=BOUND_S)
    writer.submit(batch("b"))
    closing = threading.Thread(target=writer.close)
    closing.start()
    while not writer._over:  # that it has begun to close cannot be seen from outside
        pass
    topic.go.release()
    closing.join(BOUND_S)
    assert topic.keys == ["a"]


def test_a_key_waits_from_when_it_first_came() -> None:
    lane = Lane(100)
    lane.add("a", 1_000, "trace")
    lane.add("b", 1_040)
    lane.add("a", 1_090, "later")
    assert (lane.wait_ms(1_030), lane.take(1_099)) == (70, {})
    assert lane.take(1_100) == {"a": "trace"}
    assert lane.wait_ms(1_100) == 40
    lane.add("a", 1_120)
    lane.drop({"b": ""})
    assert (lane.wait_ms(1_130), lane.wait_ms(9_999)) == (90, 0)
    assert lane.take(9_999) == {"a": ""}
    assert lane.wait_ms(9_999) is None


def test_whoever_has_nearly_waited_is_taken_along() -> None:
    lane = Lane(100, early_ms=50)
    for key, at in (("a", 1_000), ("b", 1_050), ("c", 1_051)):
        lane.add(key, at)
    assert (lane.wait_ms(1_049), lane.take(1_049)) == (51, {})
    assert lane.take(1_100) == {"a": "", "b": ""}
    assert lane.wait_ms(1_100) == 51


def test_a_clock_that_is_set_back_holds_nobody_up() -> None:
    lane = Lane(100)
    lane.add("a", 5_000)
    assert lane.wait_ms(4_000) == 0
    assert lane.take(4_000) == {"a": ""}
