"""Records that a real broker finds too large: a dead letter in their place, and everything else is written."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator

import pytest
from confluent_kafka.admin import NewTopic

from connectors.oms import core
from connectors.oms.books import OutageBooks
from schemas.records import Alarm, DeadLetter
from streams.runtime.books import Books, Out
from streams.runtime.dead_letters import TOO_LARGE, TOPIC, DeadLetters
from streams.runtime.errors import TemporaryError
from streams.runtime.kafka import Publisher, admin_client
from streams.runtime.service import Runtime, open_runtime
from streams.runtime.settings import Kafka, Registry, Settings
from streams.split.forward import Forwarder
from tests.integration.gateway_bench import Cluster, Tap, open_cluster

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]
LIMIT = 20_000


@pytest.fixture(scope="module")
def cluster(kafka: str, registry_url: str) -> Cluster:
    return open_cluster(kafka, registry_url)


@pytest.fixture
def topic(cluster: Cluster) -> str:
    """One that takes less in a record than others."""
    name = f"narrow-{uuid.uuid4().hex[:8]}"
    admin = admin_client(Kafka(bootstrap=cluster.kafka))
    for done in admin.create_topics([NewTopic(name, 1, 1, config={"max.message.bytes": str(LIMIT)})]).values():
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
