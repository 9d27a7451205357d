"""The end of an audit chain on a real broker, while another service is in the middle of writing to the same topic."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest
from confluent_kafka import Producer

from schemas.records import AuditEntry
from streams.runtime.authority.chain import Link, link_of, linked
from streams.runtime.books import AUDIT, Books, Out
from streams.runtime.errors import FatalError, TemporaryError
from streams.runtime.service import Runtime, open_runtime
from streams.runtime.settings import Kafka, Registry, Settings
from tests.integration.gateway_bench import Cluster, open_cluster

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def cluster(kafka: str, registry_url: str) -> Cluster:
    return open_cluster(kafka, registry_url)


@pytest.fixture
def runtime(cluster: Cluster) -> Iterator[Runtime]:
    kafka = Kafka(bootstrap=cluster.kafka, group_suffix=f"-{uuid.uuid4().hex[:8]}")
    made = open_runtime("commands", Settings(kafka=kafka, registry=Registry(url=cluster.registry)))
    yield made
    made.publisher.close()


@pytest.fixture
def other(cluster: Cluster, runtime: Runtime) -> Iterator[Producer]:
    """In a transaction with an entry of its own, which is undone in the end."""
    name = runtime.settings.kafka.group_suffix
    made = Producer({"bootstrap.servers": cluster.kafka, "transactional.id": f"other{name}"})
    made.init_transactions(60)
    made.begin_transaction()
    made.produce(AUDIT, runtime.codec.encode(linked(AuditEntry(chain=f"other{name}"), Link())), "other")
    assert made.flush(60) == 0
    yield made
    made.abort_transaction(60)


@pytest.fixture
def opened(runtime: Runtime) -> Callable[[], Books]:
    """The books of a chain of the test's own."""
    return lambda: Books(runtime, "hes.command-states", runtime.settings.kafka.group_suffix, 60.0)


def test_a_chain_whose_end_another_transaction_hides_was_not_truncated(
    runtime: Runtime, opened: Callable[[], Books], other: Producer
) -> None:
    entry = linked(AuditEntry(action="tested", chain=runtime.settings.kafka.group_suffix), Link())
    with closing(opened()) as books:
        books.write([Out(AUDIT, "s", entry)])
    with closing(opened()) as books:
        for known in (link_of(entry), Link()):
            with pytest.raises(TemporaryError, match=r"hes\.audit .* transaction"):
                books.end_of_chain(known)
        other.abort_transaction(60)
        other.begin_transaction()
        assert [books.end_of_chain(known) for known in (link_of(entry), Link())] == [link_of(entry)] * 2
        with pytest.raises(FatalError, match="truncated or made anew"):
            books.end_of_chain(Link(7, entry.hash))


def test_books_that_were_read_are_not_fetched_any_more(opened: Callable[[], Books]) -> None:
    with closing(opened()) as books:
        books.read()
        assert books._reader.assignment() == []
