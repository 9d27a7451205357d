"""A record that Kafka does not take for its size: a dead letter in its place, and the rest goes on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import pytest
from confluent_kafka import KafkaError, KafkaException

from connectors.oms import core
from connectors.oms.books import OutageBooks
from schemas.records import Alarm, DeadLetter, Record
from streams.runtime import books, metrics
from streams.runtime.books import Books, FencedError, Out
from streams.runtime.clock import ManualClock
from streams.runtime.dead_letters import CODES, TOO_LARGE, TOPIC, DeadLetters
from streams.runtime.errors import DeliveryError, TemporaryError, TooLargeError
from streams.runtime.kafka import Outgoing, Publisher
from streams.runtime.settings import Kafka
from streams.split.forward import Forwarder
from tests.unit.streams.fake_producer import SIZE, SKIPPED, FakeProducer
from tests.unit.streams.fakes import CODEC, fake_runtime

FENCED = KafkaError(KafkaError.PRODUCER_FENCED)
LIMIT = 2_000
BIG, HUGE, SMALL = b"b" * 5_000, b"h" * 1_200_000, b"s"


class Published:
    """A publisher, what it writes to, and a service that takes what failed again."""

    def __init__(self, limits: dict[str, int], cls: Callable[..., Publisher] = Publisher) -> None:
        self.publisher = cls(Kafka(bootstrap="127.0.0.1:1", delivery_timeout_s=0.3), "test")
        self.many, self.single = FakeProducer(limits), FakeProducer(limits, single=True)
        self.publisher._producer, self.publisher._single = cast("Any", self.many), cast("Any", self.single)
        DeadLetters(self.publisher, CODEC, "gateway", ManualClock(7))

    def send(self, *records: tuple[str, bytes]) -> int:
        """How often all of it had to be sent."""
        for tries in range(1, 5):
            self.many.taken.clear()
            self.single.taken.clear()
            try:
                for topic, value in records:
                    self.publisher.send(topic, b"m1", value)
                self.publisher.flush()
            except DeliveryError as error:
                assert "takes less than a batch" in str(error)  # noqa: PT017 - of each of several
            else:
                return tries
        pytest.fail("it never was sent")

    @property
    def written(self) -> list[tuple[str, bytes]]:
        return [(topic, value) for topic, _, value in (*self.many.taken, *self.single.taken) if topic != TOPIC]

    @property
    def letters(self) -> list[DeadLetter]:
        octets = [value for topic, _, value in (*self.many.taken, *self.single.taken) if topic == TOPIC]
        return [letter for value in octets if isinstance(letter := CODEC.decode(value), DeadLetter)]


@pytest.mark.parametrize("cls", [Publisher, Forwarder])
@pytest.mark.parametrize(
    ("value", "limits", "tries"),
    [(BIG, {"b": LIMIT}, 2), (HUGE, {}, 1)],
    ids=["the-topic-allows-less", "more-than-any-record"],
)
def test_a_dead_letter_stands_in_its_place_and_the_rest_goes_on(
    value: bytes, limits: dict[str, int], tries: int, cls: Callable[..., Publisher]
) -> None:
    before = metrics.DEAD_LETTERS.labels(TOO_LARGE)._value.get()
    there = Published(limits, cls)
    assert there.send(("a", SMALL), ("b", b"1"), ("b", value), ("b", b"2"), ("c", SMALL)) == tries
    assert sorted(there.written) == [("a", SMALL), ("b", b"1"), ("b", b"2"), ("c", SMALL)]
    (letter,) = there.letters
    assert (letter.service, letter.code, letter.topic) == ("gateway", TOO_LARGE, "b")
    assert (letter.partition, letter.key) == (-1, b"m1")
    assert letter.data == value[:900_000]
    assert (f"{len(value):,} octets for b: " in letter.detail, "max.message.bytes" in letter.detail) == (True, True)
    assert ("first octets of 1,200,000" in letter.detail) == (value is HUGE)
    assert metrics.DEAD_LETTERS.labels(TOO_LARGE)._value.get() == before + 1


def test_many_that_are_too_large_together_are_none_too_large(capsys: pytest.CaptureFixture[str]) -> None:
    there = Published({"b": LIMIT})
    records = [("b", b"%d" % number * 900) for number in range(4)]
    assert (there.send(*records), there.letters) == (2, [])
    assert (sorted(there.written), there.send(*records)) == (sorted(records), 1)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("value", [BIG, HUGE], ids=["by-the-broker", "by-the-client"])
def test_who_waits_for_a_report_has_it_when_the_letter_is_there(value: bytes) -> None:
    there = Published({"b": LIMIT})
    there.publisher._narrow.add("b")
    told: list[Exception | None] = []
    there.publisher.send("b", "m1", value, done=told.append)
    records = [Outgoing("a", b"m1", SMALL), Outgoing("b", b"m2", value), Outgoing("c", b"m1", SMALL)]
    there.publisher.send_all(records, told.append)
    assert told == []
    there.publisher.flush()
    assert (told, len(there.letters), len(there.publisher)) == ([None, None], 2, 0)


def test_a_letter_that_is_too_large_itself_is_shortened() -> None:
    there = Published({"b": LIMIT, TOPIC: 20_000})
    assert there.send(("b", BIG * 10)) == 3
    (letter,) = there.letters
    assert (letter.data, "its first octets only" in letter.detail) == ((BIG * 10)[:10_000], True)


@pytest.mark.parametrize("why", ["not-even-a-short-one", "no-room-within-a-report"])
def test_where_nothing_can_be_written_in_its_place_the_process_ends(why: str) -> None:
    there = Published({"b": LIMIT, TOPIC: 100 if why == "not-even-a-short-one" else LIMIT * 1_000})
    there.publisher._narrow |= {"b", TOPIC} if why == "not-even-a-short-one" else {"b"}
    there.many.full = why == "no-room-within-a-report"
    with pytest.raises(TooLargeError, match=r"raise its max\.message\.bytes"):
        there.send(("b", BIG))
    assert (there.written, there.letters) == ([], [])


@pytest.mark.parametrize("value", [BIG, HUGE], ids=["by-the-broker", "by-the-client"])
def test_without_dead_letters_it_is_no_error_that_passes(value: bytes) -> None:
    there = Published({"b": LIMIT})
    there.publisher.instead = None
    told: list[Exception | None] = []
    there.publisher.send_all([Outgoing("b", b"m1", value)], told.append)
    there.publisher.flush()
    (failure,) = told
    assert isinstance(failure, TooLargeError)
    assert not isinstance(failure, TemporaryError)


class Reader:
    def close(self) -> None:
        """Nothing to let go."""


def opened(monkeypatch: pytest.MonkeyPatch, limits: dict[str, int], cls: type[Books] = Books) -> tuple[Books, FakeProducer]:
    producer = FakeProducer(limits)
    cast("Any", producer).init_transactions = lambda _timeout: None
    monkeypatch.setattr(books, "Producer", lambda *_, **__: producer)
    monkeypatch.setattr(books, "new_consumer", lambda *_, **__: Reader())
    runtime, _, _ = fake_runtime("commands")
    return cls(replace(runtime), "hes.command-states", "", 10.0), producer


def alarm(octets: int) -> Record:
    return Alarm(id="a", detail="x" * octets)


SIZED, AGAIN = SIZE.name(), SKIPPED.name()


@pytest.mark.parametrize(
    ("octets", "limits", "calls"),
    [
        pytest.param(5_000, {"b": LIMIT}, [SIZED, AGAIN, SIZED, AGAIN, "commit"], id="the-topic-allows-less"),
        pytest.param(1_200_000, {}, ["commit"], id="more-than-any-record"),
    ],
)
def test_a_transaction_goes_on_with_a_letter_in_its_place(
    monkeypatch: pytest.MonkeyPatch, octets: int, limits: dict[str, int], calls: list[str]
) -> None:
    ledger, producer = opened(monkeypatch, limits)
    small = alarm(1)
    ledger.write([Out("a", "1", small), Out("b", "2", small), Out("b", "3", alarm(octets)), Out("b", "4", None)])
    written = sorted((key, topic) for topic, key, _ in producer.taken)
    assert written == [("1", "a"), ("2", "b"), ("3", TOPIC), ("4", "b")]
    assert producer.calls == calls
    letter = producer.letter()
    assert (letter.service, letter.code, letter.topic, letter.key) == ("commands", TOO_LARGE, "b", b"3")
    assert letter.data == CODEC.encode(alarm(octets))[:900_000]
    ledger.write([Out("b", "5", small)])
    assert producer.taken[-1][1] == "5"


def test_a_transaction_that_fails_while_it_is_written_goes_on_with_a_letter_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seen with a real broker: the next record is refused then, since the transaction is no more, and why is told later."""
    ledger, producer = opened(monkeypatch, {"b": LIMIT})
    producer.eager = True
    ledger.write([Out("b", "1", alarm(1)), Out("b", "2", alarm(5_000)), Out("b", "3", alarm(1)), Out("a", "4", alarm(1))])
    assert [(key, topic) for topic, key, _ in producer.taken] == [("1", "b"), ("2", TOPIC), ("3", "b"), ("4", "a")]
    assert set(producer.calls) == {SIZED, AGAIN, "commit"}


@pytest.mark.parametrize("eager", [False, True], ids=["at-the-end", "while-it-is-written"])
def test_the_books_of_outages_go_on_with_a_letter_too(monkeypatch: pytest.MonkeyPatch, eager: bool) -> None:
    ledger, producer = opened(monkeypatch, {"b": LIMIT}, OutageBooks)
    producer.eager = eager
    outs = [core.Out("b", str(number), alarm(octets)) for number, octets in enumerate((1, 5_000, 1))]
    assert isinstance(ledger, OutageBooks)
    ledger.write_all([*outs, core.Out("a", "3", alarm(1))])
    assert sorted((key, topic) for topic, key, _ in producer.taken) == [("0", "b"), ("1", TOPIC), ("2", "b"), ("3", "a")]


def test_a_transaction_of_many_that_are_too_large_together_is_written_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    ledger, producer = opened(monkeypatch, {"b": LIMIT})
    ledger.write([Out("b", str(number), alarm(900)) for number in range(4)])
    assert ([key for _, key, _ in producer.taken], producer.calls) == (["0", "1", "2", "3"], [SIZED, AGAIN, "commit"])


def test_books_that_cannot_write_a_letter_either_end_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    ledger, producer = opened(monkeypatch, {"b": LIMIT, TOPIC: 100})
    with pytest.raises(TooLargeError, match=r"hes\.dead-letters does not take a letter either"):
        ledger.write([Out("b", "m1", alarm(5_000))])
    assert producer.taken == []


def test_a_transaction_of_very_many_that_are_too_large_is_written_too(monkeypatch: pytest.MonkeyPatch) -> None:
    ledger, producer = opened(monkeypatch, {"b": LIMIT})
    ledger.write([Out("b", "small", alarm(1)), *(Out("b", str(number), alarm(5_000)) for number in range(100))])
    assert [topic for topic, _, _ in producer.taken].count(TOPIC) == 100
    assert [key for topic, key, _ in producer.taken if topic == "b"] == ["small"]
    assert len(producer.calls) < 40


def test_books_that_are_refused_whatever_they_write_end_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    ledger, producer = opened(monkeypatch, {})

    def refuses(_timeout: float) -> None:
        raise KafkaException(SKIPPED)

    cast("Any", producer).commit_transaction = refuses
    with pytest.raises(TooLargeError, match="1 records were refused 40 times"):
        ledger.write([Out("b", "m1", alarm(1))])
    assert producer.taken == []


def test_who_was_fenced_writes_no_letter(monkeypatch: pytest.MonkeyPatch) -> None:
    ledger, producer = opened(monkeypatch, {})

    def fenced(_timeout: float) -> None:
        raise KafkaException(FENCED)

    cast("Any", producer).commit_transaction = fenced
    with pytest.raises(FencedError):
        ledger.write([Out("b", "m1", alarm(1))])


def test_the_code_is_told_with_what_to_do() -> None:
    assert "max.message.bytes" in CODES[TOO_LARGE]
