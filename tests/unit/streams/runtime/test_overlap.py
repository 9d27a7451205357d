"""The overlapped loop on a consumer in memory: what is committed, when, and what never is."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from confluent_kafka import Message, TopicPartition

from streams.runtime import overlap
from streams.runtime.clock import ManualClock
from streams.runtime.errors import DeliveryError, TemporaryError
from streams.runtime.overlap import Limits, OverlappedLoop
from streams.runtime.service import Runtime
from tests.unit.streams.fakes import FakeMessage, FakePublisher, fake_runtime

TOPIC = "hes.alarms"
PATIENCE_S = 10.0
IDLE = 100


class Numbered(FakeMessage):
    def error(self) -> None:
        return None

    def __len__(self) -> int:
        return len(self.data or b"")


@dataclass
class FakeConsumer:
    """Gives what it was given, and asks the service to stop once all of it is committed, or nothing comes for long."""

    clock: ManualClock
    stop: Callable[[], None]
    waiting: deque[Any] = field(default_factory=deque)
    total: int = 0
    idle: int = 0
    committed: list[int] = field(default_factory=list)
    paused: int = 0
    resumed: int = 0
    sought: list[int] = field(default_factory=list)
    closed: bool = False
    ours: bool = True
    callbacks: dict[str, Any] = field(default_factory=dict)

    def subscribe(self, _topics: Sequence[str], **callbacks: Any) -> None:
        self.callbacks = callbacks
        callbacks["on_assign"](self, self.assignment())

    def consume(self, records: int, timeout: float) -> list[Any]:
        self.clock.advance(timeout)
        if self.paused > self.resumed:
            return []
        if not self.waiting:
            self.idle += 1
            if self.total in self.committed or self.idle > IDLE:
                self.stop()
            threading.Event().wait(0.001)  # lets the threads go on
        return [self.waiting.popleft() for _ in range(min(records, len(self.waiting)))]

    def assignment(self) -> list[TopicPartition]:
        return [TopicPartition(TOPIC, 0)] if self.ours else []

    def pause(self, _partitions: Sequence[TopicPartition]) -> None:
        self.paused = self.resumed + 1

    def resume(self, _partitions: Sequence[TopicPartition]) -> None:
        self.resumed = self.paused

    def seek(self, place: TopicPartition) -> None:
        self.sought.append(place.offset)

    def commit(self, *, offsets: Sequence[TopicPartition], asynchronous: bool) -> None:
        assert not asynchronous
        self.committed += [place.offset for place in offsets]

    def close(self) -> None:
        self.closed = True


@dataclass
class World:
    runtime: Runtime
    publisher: FakePublisher
    consumer: FakeConsumer

    def run(self, *handles: Callable[[Sequence[Message]], None], records: int = 10, octets: int = 1_000) -> None:
        OverlappedLoop(self.runtime, [TOPIC], handles, Limits(records, octets, 1.0)).run()


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    runtime, publisher, clock = fake_runtime()
    consumer = FakeConsumer(clock, runtime.stopping.set)
    monkeypatch.setattr(overlap, "new_consumer", lambda *_, **__: consumer)
    monkeypatch.setattr(overlap, "BACKOFF_S", (0.0,))
    return World(runtime, publisher, consumer)


def put(world: World, count: int, octets: int = 1) -> None:
    world.consumer.total = count
    world.consumer.waiting += [Numbered(b"x" * octets, at) for at in range(count)]


def offsets(messages: Sequence[Message]) -> list[int | None]:
    return [message.offset() for message in messages]


@pytest.mark.parametrize(
    ("records", "octets", "expected"),
    [(10, 1_000, [10, 10, 5]), (100, 1_000, [25]), (100, 100, [25])],
    ids=["by records", "by time", "octets are looked at between chunks"],
)
def test_batches_end_by_records_octets_or_time(world: World, records: int, octets: int, expected: list[int]) -> None:
    put(world, 25, octets=40)
    taken: list[int] = []
    world.run(lambda messages: taken.append(len(messages)), records=records, octets=octets)
    assert taken == expected
    assert world.consumer.committed[-1] == 25
    assert world.publisher.flushed == len(expected)
    assert world.consumer.closed


def test_with_one_handle_batches_are_handled_in_order(world: World) -> None:
    put(world, 50)
    taken: list[int | None] = []
    world.run(lambda messages: taken.extend(offsets(messages)))
    assert taken == list(range(50))
    assert world.consumer.committed == sorted(world.consumer.committed)


def test_a_batch_that_is_done_before_an_earlier_one_is_committed_after_it(world: World) -> None:
    put(world, 20)
    second_done = threading.Event()
    first_saw_no_commit: list[bool] = []

    def handle(messages: Sequence[Message]) -> None:
        if messages[0].offset() == 0:
            assert second_done.wait(PATIENCE_S)
            first_saw_no_commit.append(world.consumer.committed == [])
        else:
            second_done.set()

    world.run(handle, handle)
    assert first_saw_no_commit == [True]
    assert world.consumer.committed[-1] == 20


def test_what_is_down_for_a_while_is_tried_again_and_nothing_is_committed_before(world: World) -> None:
    put(world, 10)
    tries: list[int] = []

    def handle(messages: Sequence[Message]) -> None:
        tries.append(len(world.consumer.committed))
        if len(tries) < 4:
            raise TemporaryError("away")

    world.run(handle)
    assert tries == [0, 0, 0, 0]
    assert world.consumer.committed == [10]


def test_a_stop_while_something_is_down_commits_neither_that_batch_nor_any_after_it(world: World) -> None:
    put(world, 30)

    def handle(messages: Sequence[Message]) -> None:
        if messages[0].offset() == 10:
            world.runtime.stopping.set()
            raise TemporaryError("away")

    world.run(handle, handle)
    assert set(world.consumer.committed) <= {10}


def test_an_error_that_nobody_expects_ends_the_loop_without_a_commit(world: World) -> None:
    put(world, 10)

    def handle(_messages: Sequence[Message]) -> None:
        raise KeyError("a bug")

    with pytest.raises(KeyError):
        world.run(handle)
    assert world.consumer.committed == []
    assert world.consumer.closed


def test_a_record_that_kafka_did_not_take_fails_every_batch_beside_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    put(world, 20)
    both = threading.Barrier(2, timeout=PATIENCE_S)
    seen: list[int | None] = []
    failures = iter([DeliveryError("lost")])

    def flush() -> None:
        for error in failures:
            raise error

    monkeypatch.setattr(world.publisher, "flush", flush)

    def handle(messages: Sequence[Message]) -> None:
        if len(seen) < 2:
            seen.append(messages[0].offset())
            both.wait()  # both are handled before either is flushed: whose record was lost cannot be known
        else:
            seen.append(messages[0].offset())

    world.run(handle, handle)
    assert sorted(number for number in seen if number is not None) == [0, 0, 10, 10]
    assert world.consumer.committed[-1] == 20


def test_while_what_is_outside_is_slow_nothing_more_is_consumed(world: World) -> None:
    put(world, 60)
    go = threading.Event()
    most: list[int] = []

    def pause(_partitions: Sequence[TopicPartition]) -> None:
        most.append(60 - len(world.consumer.waiting))
        world.consumer.paused = world.consumer.resumed + 1
        go.set()

    world.consumer.pause = pause  # type: ignore[method-assign]  # the fake's own
    # Time passes while the loop waits for room.
    monotonic = world.runtime.clock.monotonic
    ticks = iter(range(10**9))
    world.runtime.clock.monotonic = lambda: monotonic() + next(ticks) * 0.05  # type: ignore[method-assign]  # likewise

    def handle(_messages: Sequence[Message]) -> None:
        go.wait(PATIENCE_S)

    world.run(handle)
    assert most
    assert most[0] == 20  # one batch is handled, one is ready
    assert world.consumer.committed[-1] == 60
    assert world.consumer.paused == world.consumer.resumed


def test_what_belongs_to_another_worker_by_now_is_not_committed(world: World) -> None:
    put(world, 10)

    def handle(_messages: Sequence[Message]) -> None:
        world.consumer.ours = False

    world.run(handle)
    assert world.consumer.committed == []


def test_a_rebalance_waits_for_what_is_under_way_and_commits_it(world: World) -> None:
    put(world, 10)
    loop = OverlappedLoop(world.runtime, [TOPIC], [lambda _messages: None], Limits(10, 1_000, 1.0))
    consume = world.consumer.consume

    def then_revoke(records: int, timeout: float) -> list[Any]:
        found = consume(records, timeout)
        if not found:
            assert loop.owns(TOPIC, 0)
            world.consumer.callbacks["on_revoke"](world.consumer, world.consumer.assignment())
            assert world.consumer.committed == [10]
            assert not loop.owns(TOPIC, 0)
        return found

    world.consumer.consume = then_revoke  # type: ignore[method-assign]  # the fake's own
    loop.run()
    assert world.consumer.committed == [10]


@pytest.mark.parametrize(
    ("instance", "member", "expected"),
    [("", "bulk", None), ("w1", "bulk", "w1-hes-test-bulk"), ("w1", "", None)],
    ids=["no static membership", "two loops in a process", "one loop"],
)
def test_loops_of_one_process_are_members_of_their_own(
    monkeypatch: pytest.MonkeyPatch, instance: str, member: str, expected: str | None
) -> None:
    runtime, _, _ = fake_runtime()
    kafka = runtime.settings.kafka.model_copy(update={"instance_id": instance})
    runtime = replace(runtime, settings=runtime.settings.model_copy(update={"kafka": kafka}))
    given: dict[str, Any] = {}
    monkeypatch.setattr(overlap, "new_consumer", lambda *_, **more: given.update(more))
    OverlappedLoop(runtime, [TOPIC], [lambda _messages: None], Limits(1, 1, 1.0), member=member)
    assert given.get("group.instance.id") == expected
