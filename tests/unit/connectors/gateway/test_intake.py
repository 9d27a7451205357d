from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from connectors.gateway.bad_records import BadRecords
from connectors.gateway.intake import BULK, URGENT, Intake, Ticket, read_job
from connectors.gateway.meters_feed import read_changes
from schemas.codec import Codec
from schemas.records import Alarm, Job, Meter, Operation
from schemas.registry import MemoryRegistry, RegistryError
from streams.runtime.settings import Gateway, Settings
from tests.unit.connectors.gateway.builders import meter
from tests.unit.streams.fakes import CODEC, FakeMessage, fake_message, fake_runtime

JOB = Job(id="j1", meter_id="m1", operation=Operation.PING)


class FakeConsumer:
    """Gives batches, notes commits and pauses. What is committed without waiting is answered by the next poll."""

    def __init__(self) -> None:
        self.batches: list[list[Message]] = []
        self.commits: list[dict[tuple[str, int], int]] = []
        self.asked: list[dict[tuple[str, int], int]] = []
        """Commits without an answer."""
        self.paused: set[tuple[str, int]] = set()
        self.answer: Callable[[KafkaError | None, list[TopicPartition]], None] | None = None
        self.refuses = False
        self.silent = False

    def poll(self, _timeout: float) -> Message | None:
        while self.asked and self.answer is not None and not self.silent:
            offsets = self.asked.pop(0)
            if not self.refuses:
                self.commits.append(offsets)
            parts = [TopicPartition(*partition, offset) for partition, offset in offsets.items()]
            self.answer(KafkaError(KafkaError._TRANSPORT) if self.refuses else None, parts)
        return self.batches[0].pop(0) if self.batches and self.batches[0] else None

    def consume(self, _count: int, _timeout: float) -> list[Message]:
        return self.batches.pop(0) if self.batches else []

    def commit(self, offsets: Sequence[TopicPartition], asynchronous: bool) -> None:
        named = {(part.topic, part.partition): part.offset for part in offsets}
        if asynchronous:
            self.asked.append(named)
        elif self.refuses:
            raise KafkaException(KafkaError(KafkaError._TRANSPORT))
        else:
            self.commits.append(named)

    def assignment(self) -> list[TopicPartition]:
        return [TopicPartition(topic, number) for topic in (URGENT, BULK) for number in (0, 1)]

    def pause(self, parts: Sequence[TopicPartition]) -> None:
        self.paused |= {(part.topic, part.partition) for part in parts}

    def resume(self, parts: Sequence[TopicPartition]) -> None:
        self.paused -= {(part.topic, part.partition) for part in parts}


class FakeBad:
    """Dead letters, in a list."""

    def __init__(self) -> None:
        self.put_so_far: list[str] = []

    def put(self, code: str, detail: str, _message: Message) -> None:
        assert detail
        self.put_so_far.append(code)


class Bench:
    """An intake turned by hand."""

    def __init__(self, limit: int = 100) -> None:
        runtime, _, self.clock = fake_runtime("gateway")
        runtime = type(runtime)(
            **{name: getattr(runtime, name) for name in runtime.__dataclass_fields__}
            | {"settings": Settings(gateway=Gateway(max_queued_jobs=limit))}
        )
        self.bad = FakeBad()
        self.tickets: list[Ticket] = []
        self.revoked: list[set[tuple[str, int]]] = []
        self.consumer = FakeConsumer()
        self.intake = Intake(runtime, cast("BadRecords", self.bad), self.tickets.extend, self.revoked.append, lambda _: None)
        self.consumer.answer = self.intake._committed

    def turn(self, *messages: Message) -> None:
        self.clock.advance(0.1)
        self.consumer.batches = [list(messages)]
        self.intake._turn(cast("Consumer", self.consumer))

    def answered(self) -> list[dict[tuple[str, int], int]]:
        """What was committed, once the broker has had its say."""
        self.turn()
        return self.consumer.commits

    def revoke(self, *parts: tuple[str, int]) -> None:
        self.intake._on_revoke(cast("Consumer", self.consumer), [TopicPartition(*part) for part in parts])


class OkMessage(FakeMessage):
    def error(self) -> None:
        return None


def message(offset: int, lane: str = BULK, record: Any = JOB) -> Message:
    data = record if isinstance(record, bytes | None) else CODEC.encode(record)
    return cast("Message", OkMessage(data, offset, lane))


def test_offsets_are_committed_up_to_the_first_job_that_is_not_finished() -> None:
    bench = Bench()
    bench.turn(*(message(n) for n in range(3)))
    first, second, third = bench.tickets
    bench.intake.finish(second)
    bench.turn()
    assert bench.consumer.commits == []
    bench.intake.finish(first)
    bench.turn()
    bench.intake.finish(third)
    bench.turn()
    assert bench.answered() == [{(BULK, 0): 2}, {(BULK, 0): 3}]


def test_a_refused_commit_is_made_again() -> None:
    bench = Bench()
    bench.turn(message(0))
    bench.intake.finish(bench.tickets[0])
    bench.consumer.refuses = True
    bench.turn()
    bench.turn()
    bench.consumer.refuses = False
    assert bench.answered() == []
    bench.clock.advance(1)
    bench.turn()
    assert bench.answered() == [{(BULK, 0): 1}]


def test_jobs_are_taken_while_a_commit_is_on_its_way_and_no_other_overtakes_it() -> None:
    bench = Bench()
    bench.consumer.silent = True
    bench.turn(message(0))
    for offset in (1, 2):
        bench.intake.finish(bench.tickets[-1])
        bench.turn(message(offset))
    assert [ticket.offset for ticket in bench.tickets] == [0, 1, 2]
    assert (bench.consumer.asked, bench.consumer.commits) == ([{(BULK, 0): 1}], [])
    bench.consumer.silent = False
    bench.turn()
    assert bench.answered() == [{(BULK, 0): 1}, {(BULK, 0): 2}]


def test_what_was_asked_and_not_answered_is_committed_with_the_rest_before_a_partition_goes() -> None:
    bench = Bench()
    bench.consumer.silent = True
    bench.turn(message(0), message(1), message(0, URGENT))
    urgent, first, second = bench.tickets
    for ticket in (urgent, first):
        bench.intake.finish(ticket)
    bench.turn()
    bench.intake.finish(second)
    bench.revoke((BULK, 0))
    assert bench.consumer.commits == [{(BULK, 0): 2, (URGENT, 0): 1}]


def test_what_is_urgent_is_handed_on_before_bulk_jobs_that_came_before_it() -> None:
    bench = Bench()
    bench.turn(message(0), message(1), message(7, URGENT))
    assert [ticket.partition[0] for ticket in bench.tickets] == [URGENT, BULK, BULK]
    for ticket in bench.tickets:
        bench.intake.finish(ticket)
    bench.turn()
    assert bench.answered() == [{(URGENT, 0): 8, (BULK, 0): 2}]


BAD: list[Any] = [
    pytest.param(b"nonsense", "avro-framing", id="no-avro"),
    pytest.param(None, "avro-framing", id="tombstone"),
    pytest.param(CODEC.encode(JOB)[:9], "avro-body", id="cut"),
    pytest.param(b"\0\0\0\x03\xe7abc", "avro-unknown-schema", id="unknown-schema"),
    pytest.param(Alarm(id="a"), "job-unsupported", id="another-record"),
    pytest.param(Job(id="", meter_id="m1", operation=Operation.PING), "job-unsupported", id="no-id"),
    pytest.param(Job(id="j", meter_id="", operation=Operation.PING), "job-unsupported", id="no-meter"),
    pytest.param(Job(id="j", meter_id="m1"), "job-unsupported", id="no-operation"),
]


@pytest.mark.parametrize(("record", "code"), BAD)
def test_a_bad_record_is_a_dead_letter_and_the_next_is_taken(record: Any, code: str) -> None:
    bench = Bench()
    bench.turn(message(0, BULK, record), message(1))
    assert bench.bad.put_so_far == [code]
    assert [ticket.offset for ticket in bench.tickets] == [1]
    assert bench.answered() == [{(BULK, 0): 1}]


def test_a_refused_job_is_a_dead_letter_before_its_offset_goes() -> None:
    bench = Bench()
    bench.turn(message(0))
    bench.intake.refuse("job-unknown-meter", "why", bench.tickets[0])
    bench.turn()
    assert bench.bad.put_so_far == ["job-unknown-meter"]
    assert bench.answered() == [{(BULK, 0): 1}]


def test_a_lane_with_too_much_in_hand_is_paused_and_the_other_goes_on() -> None:
    bench = Bench(limit=4)
    bench.turn(*(message(n) for n in range(4)))
    assert bench.consumer.paused == {(BULK, 0), (BULK, 1)}
    bench.turn(message(0, URGENT))
    for ticket in bench.tickets[:2]:
        bench.intake.finish(ticket)
    bench.turn()
    assert bench.consumer.paused == set()


def test_a_quiet_intake_takes_nothing_and_still_commits() -> None:
    bench = Bench()
    bench.turn(message(0))
    bench.intake.quiet()
    bench.turn()
    assert bench.consumer.paused == {(topic, number) for topic in (URGENT, BULK) for number in (0, 1)}
    bench.intake.finish(bench.tickets[0])
    bench.turn()
    assert bench.answered() == [{(BULK, 0): 1}]


def test_a_lost_partition_is_committed_as_far_as_it_is_done_and_forgotten() -> None:
    bench = Bench()
    bench.turn(message(0), message(1), message(0, URGENT))
    urgent, first, second = bench.tickets
    bench.intake.finish(first)
    bench.revoke((BULK, 0))
    assert bench.consumer.commits == [{(BULK, 0): 1}]
    assert bench.revoked == [{(BULK, 0)}]
    bench.intake.finish(second)
    bench.intake.finish(urgent)
    bench.turn()
    assert bench.answered()[1:] == [{(URGENT, 0): 1}]


class AwayRegistry(MemoryRegistry):
    def schema_of(self, schema_id: int) -> str:  # noqa: ARG002 - the port's signature
        raise RegistryError("away", retry=True)


def test_while_the_registry_is_away_nothing_is_decided() -> None:
    with pytest.raises(RegistryError):
        read_job(message(0), (BULK, 0), 0, Codec(AwayRegistry()))
    with pytest.raises(RegistryError):
        read_changes([message(0, "hes.meters", meter())], Codec(AwayRegistry()))


def named(name: bytes, record: Any) -> Message:
    return fake_message(record, name=name) if record is not None else cast("Message", FakeMessage(None, name=name))


@pytest.mark.parametrize(
    ("key", "record", "change", "code"),
    [
        pytest.param(b"m1", meter(), ("m1", meter()), None, id="meter"),
        pytest.param(b"m1", None, ("m1", None), None, id="tombstone"),
        pytest.param(b"m2", meter(), None, "key-mismatch", id="another-key"),
        pytest.param(b"m1", Alarm(id="a"), None, "record-unexpected", id="another-record"),
        pytest.param(b"m1", b"nonsense", None, "avro-framing", id="no-avro"),
    ],
)
def test_records_of_the_meter_registry(
    key: bytes, record: Any, change: tuple[str, Meter | None] | None, code: str | None
) -> None:
    changes, bad = read_changes([named(key, record)], CODEC)
    assert [(item.meter_id, item.meter) for item in changes] == ([] if change is None else [change])
    assert [item[0] for item in bad] == ([] if code is None else [code])
