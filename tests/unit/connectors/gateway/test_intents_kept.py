"""How long hes.intents keeps what was sent: as long as a job of it may be read again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import pytest
from confluent_kafka import Message

from connectors.gateway.bad_records import BadRecords
from connectors.gateway.fenced_topic import Writer
from connectors.gateway.intent_ledger import IntentLedger
from schemas.records import CommandIntent, Outcome, Record
from streams.runtime.clock import ManualClock
from streams.runtime.errors import DeliveryError
from tests.unit.streams.fakes import CODEC, FakeMessage, fake_runtime

DAY_MS = 86_400_000
WRITER = Writer(3, cast("Any", None))


class Topic:
    """hes.intents, one partition of it."""

    def __init__(self, *intents: CommandIntent) -> None:
        self.messages = [
            FakeMessage(CODEC.encode(one), name=f"{one.meter_id}|{one.digest.hex()}".encode()) for one in intents
        ]
        self.written: list[tuple[str, Record | None]] = []

    def open(self, _partition: int, note: Callable[[Message], None]) -> Writer:
        for message in self.messages:
            note(cast("Message", message))
        return WRITER

    def write(self, _writer: Writer, records: Sequence[tuple[str, Record | None]]) -> None:
        self.written += records


def ledger(*, since_ms: int, outcome: Outcome) -> tuple[IntentLedger, Topic, CommandIntent]:
    """One intent, whose request proves nothing any more since then."""
    runtime, _, clock = fake_runtime("gateway")
    intent = CommandIntent(meter_id="m1", digest=b"\1\2", outcome=outcome, expires=clock.now_ms() - since_ms)
    found, topic = IntentLedger(runtime, cast("BadRecords", None)), Topic(intent)
    found._topic = cast("Any", topic)
    return found, topic, intent


@pytest.mark.parametrize("outcome", [Outcome.UNKNOWN, Outcome.DONE], ids=["may-have-been-sent", "was-done"])
@pytest.mark.parametrize(
    ("since_ms", "kept"),
    [(0, True), (7 * DAY_MS, True), (8 * DAY_MS - 1, True), (8 * DAY_MS, False)],
    ids=["now", "while-its-job-stands-on-its-topic", "a-day-more", "no-longer"],
)
def test_what_was_sent_is_known_as_long_as_its_job_may_come_again(since_ms: int, kept: bool, outcome: Outcome) -> None:
    found, topic, intent = ledger(since_ms=since_ms, outcome=outcome)
    opened = found.open(3)
    assert opened.intents == ({("m1", b"\1\2"): intent} if kept else {})
    assert topic.written == ([] if kept else [("m1|0102", None)])


def test_a_worker_that_runs_for_long_forgets_too() -> None:
    found, topic, intent = ledger(since_ms=-DAY_MS, outcome=Outcome.DONE)
    runtime = found._runtime
    opened = found.open(3)
    assert list(opened.intents.values()) == [intent]
    for days, keys in ((8, ["m2|03"]), (2, ["m1|0102", "m2|03"]), (0, ["m2|03"])):
        cast("ManualClock", runtime.clock).advance(days * DAY_MS / 1_000)
        topic.written.clear()
        found.write(opened, (CommandIntent(meter_id="m2", digest=b"\3"),))
        assert [key for key, _ in topic.written] == keys
    assert opened.intents == {}


def test_what_kafka_did_not_forget_is_not_forgotten() -> None:
    found, topic, intent = ledger(since_ms=0, outcome=Outcome.DONE)
    opened = found.open(3)
    cast("ManualClock", found._runtime.clock).advance(9 * DAY_MS / 1_000)

    def away(_writer: Writer, _records: object) -> None:
        raise DeliveryError("away")

    cast("Any", topic).write = away
    with pytest.raises(DeliveryError):
        found.write(opened, ())
    assert list(opened.intents.values()) == [intent]
