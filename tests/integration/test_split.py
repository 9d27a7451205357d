"""The splitter on a real Kafka: what passes, what is refused, and what a kill in mid-batch costs."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Iterator

import pytest

from connectors.cli import context
from connectors.cli.bench.split import count, fill
from connectors.cli.bench.stack import bench_stack, service
from connectors.cli.topics import decoded, read_topic
from connectors.local.home import Home
from schemas.records import Alarm, CommandAck, CommandState, DeadLetter, IntervalReadings, JobResult, Meter, Outcome, Record
from streams.runtime.kafka import Publisher, admin_client
from streams.runtime.settings import Settings
from streams.runtime.tracing import header, headers_of

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("jvm"), pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def running(jvm: None) -> Iterator[tuple[Settings, Home]]:
    with bench_stack(lambda _: None) as stack:
        yield stack


def send(settings: Settings, topic: str, *values: Record | bytes, key: str = "m1") -> None:
    codec, publisher = context.codec(settings), Publisher(settings.kafka, "test")
    for value in values:
        record = value if not isinstance(value, bytes) else Meter()
        headers = headers_of(record, source="test", at_ms=1, replay_id="r1")
        publisher.send(topic, key, value if isinstance(value, bytes) else codec.encode(value), headers)
    publisher.flush()


def wait_for(settings: Settings, topic: str, records: int) -> None:
    admin, until = admin_client(settings.kafka), time.monotonic() + 60
    while count(admin, topic) < records:
        assert time.monotonic() < until, f"{topic} has {count(admin, topic)} records, not {records}"
        time.sleep(0.05)


def test_poison_is_named_and_the_rest_goes_on(running: tuple[Settings, Home]) -> None:
    settings, home = running
    cut = context.codec(settings).encode(JobResult(id="cut"))[:8]
    bad = [b"", b"junk", b"\0\0\0\xff\xff\x01", cut]
    good: list[Record] = [Alarm(id="a1"), JobResult(id="j1", outcome=Outcome.DONE), Alarm(id="a2")]
    send(settings, "hes.events.urgent", good[0], *bad, good[1], Meter(id="no event"), good[2])
    with service("split", settings, home):
        wait_for(settings, "hes.dead-letters", 5)
        wait_for(settings, "hes.alarms", 2)
        wait_for(settings, "hes.command-acks", 1)
    letters = [record for _, record in decoded(settings, read_topic(settings, "hes.dead-letters"))]
    assert all(isinstance(letter, DeadLetter) for letter in letters)
    codes = Counter(letter.code for letter in letters if isinstance(letter, DeadLetter))
    assert codes == {"avro-framing": 2, "avro-unknown-schema": 1, "avro-body": 1, "record-unexpected": 1}
    assert min(letter.data for letter in letters if isinstance(letter, DeadLetter)) == b""
    alarms = list(decoded(settings, read_topic(settings, "hes.alarms")))
    assert [record.id for _, record in alarms if isinstance(record, Alarm)] == ["a1", "a2"]
    assert all(header(message.headers(), "replay-id") == "r1" for message, _ in alarms)
    ((_, ack),) = decoded(settings, read_topic(settings, "hes.command-acks"))
    assert isinstance(ack, CommandAck)
    assert ack.state is CommandState.DONE


def test_killed_in_mid_stream_nothing_is_lost_and_bytes_are_the_same(running: tuple[Settings, Home]) -> None:
    settings, home = running
    records = 6_000
    fill(settings, records, 96, 1)
    sent = {message.key(): message.value() for message in read_topic(settings, "hes.events.bulk")}
    assert len(sent) == records
    for kill_at in (1, records // 3):
        with service("split", settings, home) as worker:
            wait_for(settings, "hes.readings.intervals", kill_at)
            assert worker.running is not None
            os.kill(worker.running.pid, signal.SIGKILL)
    with service("split", settings, home):
        wait_for(settings, "hes.readings.intervals", records)
        until = time.monotonic() + 60
        while (passed := _passed(settings)).keys() != sent.keys():
            assert time.monotonic() < until, f"{len(sent.keys() - passed.keys())} records are missing"
            time.sleep(0.5)
    assert passed == sent


def _passed(settings: Settings) -> dict[object, bytes | None]:
    found: dict[object, bytes | None] = {}
    for message, record in decoded(settings, read_topic(settings, "hes.readings.intervals")):
        assert isinstance(record, IntervalReadings)
        found[message.key()] = message.value()
    return found


def test_by_faust_it_is_the_same(running: tuple[Settings, Home]) -> None:
    settings, home = running
    before = {topic: count(admin_client(settings.kafka), topic) for topic in ("hes.alarms", "hes.dead-letters")}
    send(settings, "hes.events.urgent", Alarm(id="f1"), b"junk", Alarm(id="f2"))
    with service("split", settings, home, {"HES_SPLIT__ENGINE": "faust"}):
        wait_for(settings, "hes.alarms", before["hes.alarms"] + 2)
        wait_for(settings, "hes.dead-letters", before["hes.dead-letters"] + 1)
    alarms = list(decoded(settings, read_topic(settings, "hes.alarms")))[-2:]
    assert [record.id for _, record in alarms if isinstance(record, Alarm)] == ["f1", "f2"]
    assert all(header(message.headers(), "replay-id") == "r1" for message, _ in alarms)
