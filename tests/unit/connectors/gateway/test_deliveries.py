from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import pytest

from connectors.gateway.conversation import octets_pushes
from connectors.gateway.deliveries import Deliveries
from connectors.gateway.emit import MAX_RECORD, Emitter, Lanes, TooLargeError
from connectors.gateway.pipeline import Push
from schemas.records import DeadLetter, Meter, Record, RegisterReadings, SessionFrames
from streams.runtime.clock import ManualClock
from streams.runtime.dead_letters import DeadLetters
from streams.runtime.errors import DeliveryError, FatalError
from streams.runtime.kafka import Done, Outgoing, Publisher
from tests.unit.connectors.gateway.builders import ENDPOINT, NOW, meter, pipeline, reading, wrapped
from tests.unit.streams.fakes import CODEC


class HeldPublisher:
    """Keeps what is sent, and says that it is delivered when told."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, Any, bytes, dict[str, Any]]] = []
        self.waiting: list[Done] = []
        self.refuses: Exception | None = None

    def send(self, topic: str, key: Any, value: bytes, headers: Any = None, done: Done | None = None) -> None:
        if self.refuses is not None:
            raise self.refuses
        self.sent.append((topic, key, value, dict(headers or ())))
        if done is not None:
            self.waiting.append(done)

    def send_all(self, records: Sequence[Outgoing], done: Done) -> None:
        """As Kafka's: one report for all of them, once each has been reported."""
        left, failures = [len(records)], list[Exception]()

        def reported(error: Exception | None) -> None:
            left[0] -= 1
            failures.extend([error] if error is not None else [])
            if not left[0]:
                done(failures[0] if failures else None)

        for record in records:
            try:
                self.send(record.topic, record.key, record.value or b"", record.headers, reported)
            except DeliveryError as error:
                reported(error)

    def deliver(self, count: int = 1_000, error: Exception | None = None) -> None:
        """Let the oldest reports go."""
        now, self.waiting = self.waiting[:count], self.waiting[count:]
        for done in now:
            done(error)

    def records(self, topic: str = "") -> list[Record]:
        return [CODEC.decode(value) for name, _, value, _ in self.sent if topic in ("", name)]


def emitter(publisher: HeldPublisher, deliveries: Deliveries, lanes: Lanes | None = None) -> Emitter:
    real = cast("Publisher", publisher)
    return Emitter(real, CODEC, DeadLetters(real, CODEC, "gateway", ManualClock(NOW)), deliveries, lanes=lanes)


class Reports(list[Exception | None]):
    """What was told."""

    def then(self, error: Exception | None) -> None:
        self.append(error)


@pytest.fixture
async def deliveries() -> Deliveries:
    return Deliveries(asyncio.get_running_loop(), 4, 1_000)


async def turn() -> None:
    """Let the loop run what was scheduled."""
    await asyncio.sleep(0)
    await asyncio.sleep(0)


async def test_a_group_ends_with_its_last_record(deliveries: Deliveries) -> None:
    told = Reports()
    group = deliveries.group(3, 10, told.then)
    for _ in range(2):
        group.done(None)
    await turn()
    assert told == []
    group.done(None)
    await turn()
    assert told == [None]
    assert (deliveries.groups, deliveries.octets) == (0, 0)


async def test_one_failure_fails_the_group_once_all_are_reported(deliveries: Deliveries) -> None:
    told, failure = Reports(), DeliveryError("no")
    group = deliveries.group(3, 10, told.then)
    for error in (None, failure, DeliveryError("later")):
        group.done(error)
    await turn()
    assert told == [failure]


async def test_reports_from_other_threads_end_on_the_loop(deliveries: Deliveries) -> None:
    told: list[bool] = []
    loop = asyncio.get_running_loop()
    groups = [deliveries.group(1, 1, lambda _: told.append(asyncio.get_running_loop() is loop)) for _ in range(50)]
    await asyncio.gather(*(loop.run_in_executor(None, group.done, None) for group in groups))
    await turn()
    assert told == [True] * 50


@pytest.mark.parametrize(("count", "size", "lasts"), [(4, 1, 2), (2, 500, 1)], ids=["by-groups", "by-octets"])
async def test_it_is_full_at_the_limit_and_open_again_at_half_of_it(
    deliveries: Deliveries, count: int, size: int, lasts: int
) -> None:
    turns: list[bool] = []
    deliveries.watch(turns.append)
    groups = [deliveries.group(1, size, lambda _: None) for _ in range(count)]
    assert turns == [True]
    for group in groups[: count - lasts - 1]:
        group.done(None)
    await turn()
    assert turns == [True]
    groups[count - lasts - 1].done(None)
    await turn()
    assert turns == [True, False]
    assert not deliveries.full


async def test_a_producer_that_can_go_on_no_more_is_told_of() -> None:
    fatal: list[Exception] = []
    deliveries = Deliveries(asyncio.get_running_loop(), 4, 1_000, fatal.append)
    error = FatalError("fenced")
    deliveries.group(1, 1, lambda _: None).done(error)
    await turn()
    assert fatal == [error]


async def test_the_publisher_is_polled_while_something_waits_for_kafka() -> None:
    told, polls = Reports(), list[int]()
    ended = asyncio.Event()

    def poll() -> None:
        polls.append(deliveries.groups)
        group.done(None)

    def then(error: Exception | None) -> None:
        told.then(error)
        ended.set()

    deliveries = Deliveries(asyncio.get_running_loop(), 4, 1_000, poll=poll)
    group = deliveries.group(1, 1, then, 3)
    await asyncio.wait_for(ended.wait(), 10)
    assert (told, polls, deliveries.groups) == ([None], [3], 0)


async def test_a_group_counts_as_many_effects_as_it_has(deliveries: Deliveries) -> None:
    group = deliveries.group(1, 1, lambda _: None, 4)
    assert (deliveries.groups, deliveries.full) == (4, True)
    group.done(None)
    await turn()
    assert (deliveries.groups, deliveries.full) == (0, False)


def pushed(*meters: Meter, data: bytes = b"", replay_id: str = "") -> Push:
    (push,) = octets_pushes(pipeline(*meters), data or wrapped(reading()), ENDPOINT, NOW, replay_id)
    return push


async def test_a_push_is_told_of_when_kafka_has_all_of_it(deliveries: Deliveries) -> None:
    publisher, told = HeldPublisher(), Reports()
    emitter(publisher, deliveries).push(pushed(meter()), told.then)
    assert [(topic, key) for topic, key, _, _ in publisher.sent] == [("hes.frames", b"m1"), ("hes.events.bulk", b"m1")]
    publisher.deliver(1)
    await turn()
    assert told == []
    publisher.deliver(1)
    await turn()
    assert told == [None]


async def test_an_unknown_meters_push_is_frames_a_letter_and_an_announcement(deliveries: Deliveries) -> None:
    publisher, told = HeldPublisher(), Reports()
    push = pushed()
    emitter(publisher, deliveries).push(push, told.then)
    assert push.announced is not None
    assert {(topic, key) for topic, key, _, _ in publisher.sent} == {
        ("hes.frames", ENDPOINT.encode()),
        ("hes.meters", push.announced.id.encode()),
        ("hes.dead-letters", ENDPOINT.encode()),
    }
    (letter,) = publisher.records("hes.dead-letters")
    assert isinstance(letter, DeadLetter)
    assert (letter.code, letter.data, letter.endpoint) == ("meter-unknown", wrapped(reading()), ENDPOINT)
    publisher.deliver(2)
    await turn()
    assert told == []
    publisher.deliver()
    await turn()
    assert told == [None]


async def test_all_records_of_a_push_are_one_trace_and_carry_the_mark_of_a_replay(deliveries: Deliveries) -> None:
    publisher = HeldPublisher()
    emitter(publisher, deliveries).push(pushed(meter(), replay_id="r1"), lambda _: None, frames=False)
    ((topic, _, _, headers),) = publisher.sent
    assert (topic, headers["replay-id"], headers["ce_type"]) == ("hes.events.bulk", b"r1", b"hes.RegisterReadings")
    emitter(publisher, deliveries).push(pushed(meter()), lambda _: None)
    assert len({sent[3]["traceparent"].split(b"-")[1] for sent in publisher.sent[1:]}) == 1


async def test_what_is_too_large_for_a_record_is_a_letter_with_all_its_octets(
    deliveries: Deliveries, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("connectors.gateway.emit.MAX_RECORD", 180)
    publisher = HeldPublisher()
    large = pushed(meter(), data=wrapped(reading()))
    # The frames fit, the readings do not.
    monkeypatch.setattr(Emitter, "_of_push", _without_readings(Emitter._of_push))
    emitter(publisher, deliveries).push(large, lambda _: None)
    (letter,) = publisher.records("hes.dead-letters")
    assert isinstance(letter, DeadLetter)
    assert (letter.code, letter.data) == ("record-oversized", wrapped(reading()))
    assert not publisher.records("hes.events.bulk")


def _without_readings(original: Any) -> Any:
    def of_push(self: Emitter, push: Push, trace: str, *, frames: bool) -> Any:
        if any(isinstance(event, RegisterReadings) for event in push.events):
            raise TooLargeError(f"more than {MAX_RECORD}")
        return original(self, push, trace, frames=False)

    return of_push


async def test_a_queue_that_stays_full_fails_the_push(deliveries: Deliveries) -> None:
    publisher, told = HeldPublisher(), Reports()
    publisher.refuses = DeliveryError("full")
    emitter(publisher, deliveries).push(pushed(), told.then)
    await turn()
    assert told == [publisher.refuses]
    assert deliveries.groups == 0


async def test_a_part_of_a_telegram_is_not_written(deliveries: Deliveries) -> None:
    publisher, told = HeldPublisher(), Reports()
    emitter(publisher, deliveries).push(Push(ENDPOINT, NOW, SessionFrames(), waits=True), told.then)
    assert (publisher.sent, told) == ([], [None])
