"""No loop goes deaf: two ways in which one was a member of its group, said that it lived, and read nothing ever after.

librdkafka keeps a pause over a rebalance: who waited for a broker that was away, lost the partitions meanwhile and got them
back, read them no more. And an error that came in a message's place is never `fatal()`, whatever it says: who was fenced, by
itself even, where a broker that had just come back took its second request to join for another process, went on polling.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from queue import SimpleQueue
from typing import Any, cast

import pytest
from confluent_kafka import Consumer, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from connectors.gateway.bad_records import BadRecords
from connectors.gateway.intake import Intake
from streams.gaps.service import GapFinder
from streams.runtime.clock import SystemClock
from streams.runtime.consumer import BatchLoop
from streams.runtime.errors import FatalError
from streams.runtime.kafka import new_consumer, values_of
from streams.runtime.overlap import Limits, OverlappedLoop
from streams.runtime.service import Runtime
from streams.runtime.settings import Kafka
from tests.unit.streams.fakes import fake_runtime

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("jvm"), pytest.mark.timeout(300)]

PATIENCE_S = 120.0
TOPIC = "pauses"

Assigned = Callable[[Consumer, list[TopicPartition]], None]


def nothing(*_: Any) -> None:
    return None


def intake(runtime: Runtime) -> Assigned:
    return Intake(runtime, cast("BadRecords", None), nothing, nothing, nothing)._on_assign


LOOPS: dict[str, Callable[[Runtime], Assigned]] = {
    "overlapped": lambda runtime: OverlappedLoop(runtime, [TOPIC], [nothing], Limits(1, 1, 1.0))._assigned,
    "batches": lambda runtime: BatchLoop(runtime, [TOPIC], nothing, records=1, wait_s=1.0)._assigned,
    "gateway's jobs": intake,
    "gaps": lambda runtime: GapFinder(runtime)._assigned,
}


@pytest.fixture(scope="module")
def written(kafka: str) -> Kafka:
    """A topic with one record."""
    admin = AdminClient({"bootstrap.servers": kafka})
    admin.create_topics([NewTopic(TOPIC, 1, 1)])[TOPIC].result(60)
    producer = Producer({"bootstrap.servers": kafka})
    producer.produce(TOPIC, b"one", b"k")
    assert producer.flush(PATIENCE_S) == 0
    return Kafka(bootstrap=kafka)


def until(consumer: Consumer, done: Callable[[list[Message]], bool]) -> None:
    """Poll until what came so far is as wanted."""
    came: list[Message] = []
    end = time.monotonic() + PATIENCE_S
    while not done(came):
        assert time.monotonic() < end, f"nothing more came in {PATIENCE_S:.0f} s; {consumer.assignment()}"
        came += values_of(consumer.consume(10, 0.1))[0]


@pytest.mark.parametrize("loop", LOOPS.values(), ids=LOOPS)
def test_what_was_lost_while_paused_is_read_when_it_comes_back(written: Kafka, loop: Callable[[Runtime], Assigned]) -> None:
    runtime, _, _ = fake_runtime()
    assigned = loop(runtime)
    consumer = new_consumer(written, f"pauses-{id(assigned)}")
    try:
        consumer.subscribe([TOPIC], on_assign=assigned)
        until(consumer, bool)
        consumer.pause(consumer.assignment())
        consumer.unsubscribe()
        until(consumer, lambda _: not consumer.assignment())
        consumer.resume(consumer.assignment())  # as a loop does when it is done waiting: of nothing
        consumer.subscribe([TOPIC], on_assign=assigned)
        until(consumer, bool)
    finally:
        consumer.close()


RUNS: dict[str, Callable[[Runtime], Callable[[], None]]] = {
    "overlapped": lambda runtime: OverlappedLoop(runtime, [TOPIC], [nothing], Limits(1, 1, 1.0)).run,
    "batches": lambda runtime: BatchLoop(runtime, [TOPIC], nothing, records=1, wait_s=1.0).run,
}


@pytest.mark.parametrize("loop", RUNS.values(), ids=RUNS)
def test_who_is_fenced_ends(written: Kafka, loop: Callable[[Runtime], Callable[[], None]]) -> None:
    runtime, _, _ = fake_runtime(f"fenced-{id(loop)}")
    kafka = written.model_copy(update={"instance_id": "one"})
    runtime = replace(runtime, settings=runtime.settings.model_copy(update={"kafka": kafka}), clock=SystemClock())
    ended: SimpleQueue[Exception] = SimpleQueue()
    run = loop(runtime)

    def live() -> None:
        try:
            run()
        except FatalError as error:
            ended.put(error)

    living = threading.Thread(target=live)
    living.start()
    consumer = new_consumer(kafka, runtime.group)
    try:
        until(consumer, lambda _: runtime.health.answer("/health/ready")[0] == 200)
        consumer.subscribe([TOPIC])
        until(consumer, lambda _: bool(consumer.assignment()))
        assert "fenced" in str(ended.get(timeout=PATIENCE_S))
    finally:
        runtime.stopping.set()
        living.join()
        consumer.close()
