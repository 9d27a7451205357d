"""Records that a real broker finds too large: a dead letter in their place, and everything else is written."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator

import pytest
from confluent_kafka.admin import NewTopic

from connectors.cli.commands import dead_letters
from connectors.cli.redrive import REDRIVEN
from connectors.cli.topics import Span, read_topic
from connectors.gateway.fenced_topic import FencedTopic
from connectors.oms import core
from connectors.oms.books import OutageBooks
from schemas.records import Alarm, DeadLetter
from streams.runtime.books import Books, Out
from streams.runtime.dead_letters import TOO_LARGE, TOPIC, DeadLetters
from streams.runtime.errors import TemporaryError, TooLargeError
from streams.runtime.kafka import Publisher, admin_client
from streams.runtime.meters import MeterDirectory
from streams.runtime.service import Runtime, open_runtime
from streams.runtime.settings import Kafka, Registry, Settings
from streams.runtime.tracing import pairs_of
from streams.schedules.core import Core
from streams.schedules.ledger import Ledger
from streams.split.forward import Forwarder
from tests.integration.gateway_bench import Cluster, Tap, open_cluster
from tests.unit.connectors.cli import typed

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]
LIMIT = 20_000


@pytest.fixture(scope="module")
def cluster(kafka: str, registry_url: str) -> Cluster:
    return open_cluster(kafka, registry_url)


@pytest.fixture
def topic(cluster: Cluster) -> str:
    """One that takes less in a record than others."""
    return created(cluster, f"narrow-{uuid.uuid4().hex[:8]}", LIMIT)


def created(cluster: Cluster, name: str, limit: int) -> str:
    admin = admin_client(Kafka(bootstrap=cluster.kafka))
    for done in admin.create_topics([NewTopic(name, 1, 1, config={"max.message.bytes": str(limit)})]).values():
        done.result(60)
    return name


@pytest.fixture
def runtime(cluster: Cluster, topic: str) -> Iterator[Runtime]:
    settings = Settings(
        kafka=Kafka(bootstrap=cluster.kafka, group_suffix=f"-{topic}"), registry=Registry(url=cluster.registry)
    )
    made = open_runtime("commands", settings)
    yield made
    made.publisher.close()


def noise(octets: int) -> str:
    """What no compression makes small enough."""
    return "".join(uuid.uuid4().hex for _ in range(octets // 32))


class Look:
    """What stands on a topic, and the dead letters of it."""

    def __init__(self, cluster: Cluster, topic: str) -> None:
        self._topic = topic
        self._tap = Tap(cluster, topic, TOPIC)

    @property
    def ids(self) -> list[str]:
        return [record.id for name, record in self._tap.seen if name == self._topic and isinstance(record, Alarm)]

    @property
    def letters(self) -> list[DeadLetter]:
        return [letter for letter in self._tap.of(DeadLetter) if letter.topic == self._topic]

    def all_of(self, records: int) -> None:
        self._tap.until(lambda: len(self.ids) + len(self.letters) >= records, f"{records} records of {self._topic}")

    def close(self) -> None:
        self._tap.close()


@pytest.fixture
def look(cluster: Cluster, topic: str) -> Iterator[Look]:
    made = Look(cluster, topic)
    yield made
    made.close()


def once_more(publisher: Publisher, topic: str, values: list[bytes]) -> None:
    """Send until all is taken, as services do."""
    until = time.monotonic() + 120
    while True:
        try:
            for value in values:
                publisher.send(topic, "m", value)
            publisher.flush()
        except TemporaryError:
            assert time.monotonic() < until
        else:
            return


@pytest.mark.parametrize("cls", [Publisher, Forwarder])
def test_the_rest_of_what_was_sent_is_there(runtime: Runtime, topic: str, look: Look, cls: type[Publisher]) -> None:
    publisher = cls(runtime.settings.kafka, "test-too-large")
    DeadLetters(publisher, runtime.codec, "split", runtime.clock)
    alarms = [Alarm(id="first", meter_id="m"), Alarm(id="wide", meter_id="m", detail=noise(3 * LIMIT))]
    alarms += [Alarm(id="huge", meter_id="m", detail=noise(1_500_000)), Alarm(id="last", meter_id="m")]
    together = [Alarm(id=f"many {number}", meter_id="m", detail=noise(LIMIT // 4)) for number in range(8)]
    once_more(publisher, topic, [runtime.codec.encode(alarm) for alarm in (*alarms, *together)])
    publisher.close()
    look.all_of(len(alarms) + len(together))
    assert set(look.ids) == {"first", "last", *(alarm.id for alarm in together)}
    wide, huge = sorted({letter.id: letter for letter in look.letters}.values(), key=lambda letter: len(letter.data))
    assert (wide.code, huge.code) == (TOO_LARGE, TOO_LARGE)
    assert runtime.codec.decode(wide.data) == alarms[1]
    assert (len(huge.data), "first octets" in huge.detail) == (900_000, True)


def written(books: Books, topic: str, *records: Alarm) -> None:
    if isinstance(books, OutageBooks):
        books.write_all([core.Out(topic, "m", record) for record in records])
    else:
        books.write([Out(topic, "m", record) for record in records])


@pytest.mark.parametrize("cls", [Books, OutageBooks])
def test_a_transaction_is_written_with_a_letter_and_the_books_stay_open(
    runtime: Runtime, topic: str, look: Look, cls: type[Books]
) -> None:
    books = cls(runtime, "hes.command-states", "", 10.0)
    wide, huge = Alarm(id="wide", detail=noise(3 * LIMIT)), Alarm(id="huge", detail=noise(1_500_000))
    for number, alarm in enumerate((wide, huge)):
        written(books, topic, Alarm(id=f"before {number}"), alarm, Alarm(id=f"after {number}"))
    written(books, topic, Alarm(id="later"))
    books.close()
    look.all_of(7)
    assert look.ids == ["before 0", "after 0", "before 1", "after 1", "later"]
    assert sorted(len(letter.data) for letter in look.letters) == [len(runtime.codec.encode(wide)), 900_000]
    assert {(letter.code, letter.service, letter.key) for letter in look.letters} == {(TOO_LARGE, "commands", b"m")}


def test_a_plan_is_written_with_a_letter_and_the_planner_goes_on(runtime: Runtime, topic: str, look: Look) -> None:
    ledger = Ledger(runtime)
    ledger.open(Core(MeterDirectory(), lambda _network, _segment: 0.0, runtime.settings.schedules))
    wide = Alarm(id="wide", detail=noise(3 * LIMIT))
    many = [Alarm(id=f"many {number}", detail=noise(LIMIT // 4)) for number in range(8)]
    ledger.write([(topic, "m", record) for record in (Alarm(id="first"), wide, *many)])
    ledger.write([(topic, "m", Alarm(id="later"))])
    ledger.close()
    look.all_of(11)
    assert look.ids == ["first", *(record.id for record in many), "later"]
    (letter,) = look.letters
    assert (letter.code, runtime.codec.decode(letter.data)) == (TOO_LARGE, wide)


def test_of_what_a_worker_reserves_none_is_written_where_one_is_too_large(runtime: Runtime, topic: str, look: Look) -> None:
    fenced = FencedTopic(runtime, topic, "narrow")
    writer = fenced.open(0, lambda _: None)
    many = [(f"m{number}", Alarm(id=f"many {number}", detail=noise(LIMIT // 4))) for number in range(8)]
    fenced.write(writer, many)
    for octets in (3 * LIMIT, 1_500_000):
        with pytest.raises(TooLargeError, match=r"raise its max\.message\.bytes"):
            fenced.write(writer, [("a", Alarm(id="left out")), ("b", Alarm(id="wide", detail=noise(octets)))])
    fenced.write(writer, [("c", Alarm(id="later"))])
    fenced.close(writer)
    look.all_of(9)
    assert look.ids == [*(alarm.id for _, alarm in many), "later"]
    assert look.letters == []


def test_a_record_that_no_letter_holds_is_redriven_from_where_it_stands(
    runtime: Runtime, cluster: Cluster, topic: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    wide, service, kafka = created(cluster, f"wide-{topic}", 2_000_000), f"of {topic}", Kafka(bootstrap=cluster.kafka)
    value = noise(1_200_000).encode()
    publisher = Publisher(kafka, "test-redrive", **{"message.max.bytes": 2_000_000})
    once_more(publisher, wide, [b"before", value])
    letters = DeadLetters(publisher, runtime.codec, service, runtime.clock)
    letters.put_record("avro-framing", "?", wide, 0, 1, b"m", value, [("a", b"1")])
    letters.put_record("avro-framing", "?", wide, 0, 99, b"m", value + b"gone", [])
    letters.put_record("avro-framing", "?", wide, 0, 0, b"m", b"before", [("b", b"2")])
    letters.put_record("avro-framing", "?", topic, 0, 0, b"m", noise(3 * LIMIT).encode(), [])
    publisher.flush()
    publisher.close()
    monkeypatch.setenv("HES_KAFKA__BOOTSTRAP", cluster.kafka)
    monkeypatch.setenv("HES_REGISTRY__URL", cluster.registry)
    hes = typed.typing(dead_letters.register, monkeypatch, capsys)
    counts = {"chosen": 4, "fetched": 1, "left_out": 1}
    ran = hes("dead-letters", "redrive", "--service", service, "--dry-run", "--format", "json")
    assert (ran.rows, ran.exit_code) == ([counts | {"to_topics": 0, "decoded": 0, "failed": 0}], 1)
    ran = hes("dead-letters", "redrive", "--service", service, "--format", "json")
    assert (ran.rows, ran.exit_code) == ([counts | {"to_topics": 2, "decoded": 0, "failed": 1}], 1)
    assert f"the record is no longer at {wide}/0/99: retention or compaction has removed it" in ran.err
    assert f"{topic}: Broker: Message size too large; raise its max.message.bytes" in ran.err
    there = list(read_topic(Settings(kafka=kafka), wide, Span(offsets={0: 2})))
    # The headers are those of the record where it stands: it has none.
    names = {message.value(): [name for name, _ in pairs_of(message.headers())] for message in there}
    assert names == {value: [REDRIVEN], b"before": ["b", REDRIVEN]}
