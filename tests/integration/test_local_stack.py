"""The stack as users have it: real parts, stopped, killed and left in every way."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient

from connectors.local.home import Home, Running, load_state
from connectors.local.process import alive
from connectors.local.stack import Endpoints, LocalStack, running_endpoints

TOPIC, SUBJECT = "local.stack", "local.stack.Record"
TABLE = "CREATE TABLE IF NOT EXISTS held (n UInt64) ENGINE = MergeTree ORDER BY n"


def clickhouse(url: str, statement: str) -> str:
    """What ClickHouse answers."""
    with urllib.request.urlopen(f"{url}/", statement.encode(), timeout=10) as answer:
        return str(answer.read().decode())


def write(at: Endpoints, number: int) -> int:
    """One record, one schema version, one row, each acknowledged; the schema's id."""
    admin = AdminClient({"bootstrap.servers": at.kafka})
    if TOPIC not in admin.list_topics(timeout=10).topics:
        admin.create_topics([NewTopic(TOPIC, 1, 1)])[TOPIC].result(10)
    errors: list[object] = []

    def delivered(error: object, _message: Message) -> None:
        errors.append(error)

    producer = Producer({"bootstrap.servers": at.kafka, "enable.idempotence": True})
    producer.produce(TOPIC, str(number), on_delivery=delivered)
    assert producer.flush(10) == 0
    assert errors == [None]
    clickhouse(at.clickhouse, TABLE)
    clickhouse(at.clickhouse, f"INSERT INTO held FORMAT CSV\n{number}\n")
    with SchemaRegistryClient({"url": at.registry}) as client:
        return int(client.register_schema(SUBJECT, schema(number)))


def schema(number: int) -> Schema:
    """A record with so many optional fields."""
    fields = [{"name": f"f{n}", "type": ["null", "long"], "default": None} for n in range(number)]
    return Schema(json.dumps({"type": "record", "name": "Record", "fields": fields}), "AVRO")


def read(at: Endpoints) -> tuple[list[int], list[int], list[int]]:
    """All records, all rows, and all schema ids in the order of their versions."""
    consumer = Consumer({"bootstrap.servers": at.kafka, "group.id": "local-stack", "enable.auto.commit": False})
    consumer.assign([TopicPartition(TOPIC, 0, 0)])
    _, end = consumer.get_watermark_offsets(TopicPartition(TOPIC, 0), timeout=10)
    records: list[int] = []
    while len(records) < end:
        message = consumer.poll(10)
        assert message is not None
        assert message.error() is None
        records.append(int(message.value() or b""))
    consumer.close()
    rows = [int(line) for line in clickhouse(at.clickhouse, "SELECT n FROM held ORDER BY n").split()]
    with SchemaRegistryClient({"url": at.registry}) as client:
        ids = [int(client.get_version(SUBJECT, version).schema_id or 0) for version in client.get_versions(SUBJECT)]
    return records, rows, ids


def processes(home: Path) -> dict[str, Running]:
    """What a home's state says runs."""
    return dict(load_state(Home.of(home)).processes)


@pytest.fixture
def home(jvm: None, stack: LocalStack, tmp_path: Path) -> Iterator[Path]:
    """A home of the test's own, stopped at its end whatever happens; what is fetched is there since `stack` runs."""
    yield tmp_path / "home"
    LocalStack(tmp_path / "home").down()


def test_the_shared_stack_serves(stack: LocalStack, kafka: str, registry_url: str, clickhouse_url: str) -> None:
    at = Endpoints(kafka, registry_url, clickhouse_url)
    assert running_endpoints(stack.home.root) == at
    assert [status.state for status in stack.status()] == ["running"] * 3
    schema_id = write(at, 1)
    assert read(at) == ([1], [1], [schema_id])


def test_a_topic_that_is_not_declared_is_not_created(kafka: str) -> None:
    admin = AdminClient({"bootstrap.servers": kafka})
    admin.list_topics("misspelt", timeout=10)
    assert "misspelt" not in admin.list_topics(timeout=10).topics


def kill(running: Running) -> None:
    """kill -9, and wait until it is gone."""
    os.kill(running.pid, signal.SIGKILL)
    while alive(running):
        pass


def test_data_ids_and_ports_outlive_every_end(home: Path) -> None:
    with LocalStack(home) as stack:
        at = stack.up()
        ids = [write(at, number) for number in (1, 2, 3)]
        assert stack.down()
        assert stack.up() == at
        assert read(at) == ([1, 2, 3], [1, 2, 3], ids)

        ids.append(write(at, 4))
        for running in processes(home).values():
            kill(running)
        assert stack.up() == at
        assert read(at) == ([1, 2, 3, 4], [1, 2, 3, 4], ids)

        ids.append(write(at, 5))
        stack.down()
        with ExitStack() as held:
            for port in load_state(stack.home).ports.values():
                held.enter_context(socket.create_server(("127.0.0.1", port)))
            moved = stack.up()
        assert not {moved.kafka, moved.registry, moved.clickhouse} & {at.kafka, at.registry, at.clickhouse}
        ids.append(write(moved, 6))
        assert len(set(ids)) == 6
        assert read(moved) == ([1, 2, 3, 4, 5, 6], [1, 2, 3, 4, 5, 6], ids)


def test_parts_killed_come_back_and_the_rest_is_left_alone(home: Path) -> None:
    with LocalStack(home) as stack:
        at = stack.up()
        schema_id = write(at, 1)
        before = processes(home)
        for part in ("kafka", "registry"):
            kill(before[part])
        assert running_endpoints(home) is None
        assert stack.up() == at
        after = processes(home)
        assert {name for name in before if before[name] != after[name]} == {"kafka", "registry"}
        assert read(at) == ([1], [1], [schema_id])


HOLD = """
import signal, sys
from pathlib import Path
from connectors.local.stack import LocalStack
with LocalStack(Path(sys.argv[1])) as stack:
    stack.up()
    print("up", flush=True)
    signal.pause()
"""

LEAVE = """
import sys
from pathlib import Path
from connectors.local.stack import LocalStack
LocalStack(Path(sys.argv[1])).up(detach=True)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=["ctrl-c", "killed"])
def test_nothing_is_left_behind_however_the_parent_ends(home: Path, number: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(home)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"up\n"
        left = processes(home)
        assert len(left) == 3
        assert all(alive(running) for running in left.values())
        parent.send_signal(number)
        parent.wait(30)
    while any(alive(running) for running in left.values()):
        pass  # the test's own time limit ends this


def test_ctrl_c_while_starting_leaves_nothing(home: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLD, str(home)], stderr=subprocess.DEVNULL) as parent:
        while not (left := processes(home)):
            pass
        parent.send_signal(signal.SIGINT)
        assert parent.wait(30) != 0
    assert processes(home) == {}
    assert not any(alive(running) for running in left.values())


def test_two_starts_at_once_make_one_stack_that_outlives_both(home: Path) -> None:
    starts = [subprocess.Popen([sys.executable, "-c", LEAVE, str(home)]) for _ in range(2)]
    assert [start.wait(100) for start in starts] == [0, 0]
    at = running_endpoints(home)
    assert at is not None
    commands = [content(path) for path in Path("/proc").glob("[0-9]*/cmdline")]
    assert len([command for command in commands if str(home).encode() in command and b"kafka.Kafka" in command]) == 1
    left = processes(home)
    with LocalStack(home) as other:
        assert other.up() == at
    schema_id = write(at, 1)
    assert read(at) == ([1], [1], [schema_id])
    assert LocalStack(home).down()
    assert not any(alive(running) for running in left.values())


def content(path: Path) -> bytes:
    """A file that may be gone by now."""
    try:
        return path.read_bytes()
    except OSError:
        return b""
