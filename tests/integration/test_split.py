"""The splitter on a real Kafka: what passes, what is refused, and what a kill in mid-batch costs."""

from __future__ import annotations

import os
import signal
import struct
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing

import pytest
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient

from connectors.cli import context
from connectors.cli.bench.split import count, fill
from connectors.cli.bench.stack import bench_stack, service
from connectors.cli.topics import decoded, read_topic
from connectors.clickhouse.errors import RefusedError, TableError
from connectors.clickhouse.store import open_store
from connectors.local.home import Home
from schemas.records import (
    Alarm,
    Channel,
    CommandAck,
    CommandState,
    DeadLetter,
    IntervalReadings,
    JobResult,
    Meter,
    Outcome,
    Record,
)
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


THING = '{"type": "record", "name": "other.Thing", "fields": [{"name": "n", "type": "long"}]}'
OF_NO_LENGTH = '{"type": "record", "name": "hes.Alarm", "fields": [{"name": "id", "type": "null"}]}'
NOT_OURS = {
    "of another system": Schema(THING, "AVRO"),
    "no record": Schema('{"type": "array", "items": "long"}', "AVRO"),
    "of no length": Schema(OF_NO_LENGTH, "AVRO"),
    "no Avro": Schema('{"type": "object", "properties": {"id": {"type": "string"}}}', "JSON"),
}
"""Schemas that a registry holds and that are of no record of ours."""
URGENT, BULK = "hes.events.urgent", "hes.events.bulk"
UNRESOLVED = [
    (URGENT, "Alarm", '{"name": "kind", "type": "double"}', struct.pack("<d", 1.5), "clickhouse"),
    (URGENT, "JobResult", '{"name": "outcome", "type": {"type": "map", "values": "long"}}', b"\0", "split"),
    (BULK, "IntervalReadings", '{"name": "rows", "type": "string"}', b"\x04ab", "clickhouse"),
    (BULK, "IntervalReadings", '{"name": "channels", "type": "string"}', b"\x04cd", "clickhouse"),
    (
        BULK,
        "RegisterReadings",
        '{"name": "registers", "type": {"type": "array", "items": "int"}}',
        b"\x02\x04\0",
        "clickhouse",
    ),
]
"""Schemas that name a record of ours and have a field that ours cannot be resolved with, a body that is whole by them, and
who finds out: the splitter reads results only, what else it passes on by its name.
"""


def foreign(settings: Settings, name: str, schema: Schema) -> bytes:
    """What comes before a body that was written by a schema of somebody else's, under a subject of their own."""
    with SchemaRegistryClient({"url": settings.registry.url}) as client:
        return b"\0" + int(client.register_schema(f"foreign-{name}", schema)).to_bytes(4)


def day(number: int) -> IntervalReadings:
    channel = Channel("1.0.1.8.0.255", unit="Wh", scaler=0, longs=tuple(range(number, number + 4)))
    return IntervalReadings(
        id=f"d{number}", meter_id=f"d{number}", source="7/1.0.99.1.0.255/2", first_end=1_772_323_200_000, period_s=900,
        rows=4, channels=(channel,), read_at=1_772_409_600_000,
    )  # fmt: skip


def stored(settings: Settings) -> tuple[int, int]:
    """How many alarms of meter u and rows of profiles of meters d… are there; none before the sink has made its tables."""
    database = settings.clickhouse.database
    alarms = f"SELECT uniqExact(id) FROM {database}.alarms WHERE meter_id = 'u'"  # noqa: S608 - a name of ours
    rows = f"SELECT count() FROM {database}.intervals FINAL WHERE startsWith(meter_id, 'd')"  # noqa: S608 - a name of ours
    with closing(open_store(settings.clickhouse)) as store:
        try:
            return int(store.query(alarms).rows[0][0]), int(store.query(rows).rows[0][0])
        except (TableError, RefusedError):
            return 0, 0


def test_schemas_that_cannot_be_resolved_are_named_and_the_rest_is_stored(running: tuple[Settings, Home]) -> None:
    settings, home = running
    bad = {
        foreign(settings, name, schema) + b"\x02" + topic.encode(): ("split", "avro-unknown-schema", topic)
        for name, schema in NOT_OURS.items()
        for topic in (URGENT, BULK)
    }
    for topic, name, field, body, finder in UNRESOLVED:
        schema = Schema(f'{{"type": "record", "name": "hes.{name}", "fields": [{field}]}}', "AVRO")
        bad[foreign(settings, f"{name}-{body.hex()}", schema) + body] = (finder, "avro-body", topic)
    good: dict[str, list[Record]] = {
        URGENT: [Alarm(id=f"u{number}", meter_id="u") for number in range(20)],
        BULK: [day(number) for number in range(20)],
    }
    for lane, records in good.items():
        poison = [value for value, (_, _, topic) in bad.items() if topic == lane]
        for number, record in enumerate(records):  # one of each between two that are well
            send(settings, lane, record, *poison[number : number + 1])
    named: dict[bytes, tuple[str, str]] = {}
    wanted = {value: (finder, code) for value, (finder, code, _) in bad.items()}
    with service("split", settings, home), service("clickhouse", settings, home):
        until, there = time.monotonic() + 120, (0, 0)
        while there != (20, 20 * 4) or named != wanted:
            assert time.monotonic() < until, f"{there} are stored, not named are {wanted.items() - named.items()}"
            time.sleep(0.2)
            there = stored(settings)
            named = {
                letter.data: (letter.service, letter.code)
                for _, letter in decoded(settings, read_topic(settings, "hes.dead-letters"))
                if isinstance(letter, DeadLetter) and letter.data in bad
            }
