"""The gateway as a process of its own on a real Kafka: started, killed and looked at by the tests."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from connectors.cli.topics import watermarks
from connectors.cli.topology_ops import apply
from connectors.gateway.keystore import FileKeyStore, MeterKeys
from schemas.codec import Codec
from schemas.records import DeadLetter, Job, Meter, Record
from schemas.registry import RemoteRegistry
from schemas.topology import load
from streams.runtime.kafka import Publisher, admin_client, new_consumer
from streams.runtime.settings import Kafka

MASTER = bytes(range(32))
PATIENCE_S = 60.0
_LEADERLESS = (KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE)
_RUN = "import connectors.gateway.service as s, streams.runtime.settings as t, sys; sys.exit(s.main(t.Settings()))"
R = TypeVar("R")


@dataclass
class Cluster:
    """Kafka and the registry with the whole topology applied."""

    kafka: str
    registry: str
    codec: Codec
    publisher: Publisher

    def put_meters(self, meters: Iterable[Meter]) -> None:
        for item in meters:
            self.publisher.send("hes.meters", item.id, self.codec.encode(item))
        self.publisher.flush()

    def put_jobs(self, jobs: Iterable[Job], topic: str = "hes.jobs.bulk") -> None:
        for item in jobs:
            self.publisher.send(topic, item.meter_id, self.codec.encode(item))
        self.publisher.flush()

    def put(self, topic: str, key: str, value: bytes) -> None:
        self.publisher.send(topic, key, value)
        self.publisher.flush()


def open_cluster(kafka: str, registry_url: str) -> Cluster:
    """Apply the topology, which changes nothing where it is applied."""
    settings = Kafka(bootstrap=kafka)
    with closing(RemoteRegistry(registry_url)) as registry:
        apply(load(), admin_client(settings), registry, replication=1)
    return Cluster(kafka, registry_url, Codec(RemoteRegistry(registry_url)), Publisher(settings, "tests"))


class Tap:
    """What is written to topics from now on."""

    def __init__(self, cluster: Cluster, *topics: str) -> None:
        self._codec = cluster.codec
        self._consumer: Consumer = new_consumer(Kafka(bootstrap=cluster.kafka), f"tap-{uuid.uuid4().hex}")
        self._consumer.assign(_ends(self._consumer, topics))
        self.seen: list[tuple[str, Record]] = []

    def look(self, wait_s: float = 0.2) -> list[tuple[str, Record]]:
        """Everything so far."""
        for message in self._consumer.consume(500, wait_s):
            if message.error() is None:
                self.seen.append((message.topic() or "", self._codec.decode(message.value())))
        return self.seen

    def of(self, kind: type[R]) -> list[R]:
        return [record for _, record in self.seen if isinstance(record, kind)]

    def until(self, enough: Callable[[], bool], what: str, patience_s: float = PATIENCE_S) -> None:
        """Look until it is enough; a test that waits in vain says what it has."""
        end = time.monotonic() + patience_s
        while not enough():
            assert time.monotonic() < end, f"{what} did not come; seen: {[record for _, record in self.seen][-5:]}"
            self.look()

    def letters(self) -> list[str]:
        return [letter.code for letter in self.of(DeadLetter)]

    def close(self) -> None:
        self._consumer.close()


def _ends(consumer: Consumer, topics: Sequence[str]) -> list[TopicPartition]:
    known = consumer.list_topics(timeout=30).topics
    parts = [TopicPartition(topic, number) for topic in topics for number in known[topic].partitions]
    return [TopicPartition(part.topic, part.partition, _end(consumer, part)) for part in parts]


def _end(consumer: Consumer, part: TopicPartition) -> int:
    """Where a partition ends; a topic made a moment ago has no leader for a moment."""
    until = time.monotonic() + PATIENCE_S
    while True:
        try:
            return watermarks(consumer, part)[1]
        except KafkaException as error:
            if error.args[0].code() not in _LEADERLESS or time.monotonic() > until:
                raise
            time.sleep(0.1)


@dataclass
class GatewayProcess:
    """A gateway under the test's control. Its group begins at the end of the jobs topics, so that tests do not meet."""

    cluster: Cluster
    home: Path
    settings: dict[str, str] = field(default_factory=dict)
    suffix: str = field(default_factory=lambda: f"-{uuid.uuid4().hex[:8]}")
    log: list[dict[str, Any]] = field(default_factory=list)
    process: subprocess.Popen[str] | None = None
    run: tuple[str, ...] = ("-c", _RUN)

    def keys(self, keys: dict[str, MeterKeys]) -> None:
        FileKeyStore.open(self.home / "keys.json", MASTER).put_many(keys)

    def skip_old_jobs(self) -> None:
        """Begin with the jobs that come from now on."""
        self.skip_old("hes-gateway", "hes.jobs.urgent", "hes.jobs.bulk")

    def skip_old(self, group: str, *topics: str, said: str | None = None) -> None:
        """Commit the present ends of topics for a group, and with them what it keeps there."""
        consumer = new_consumer(Kafka(bootstrap=self.cluster.kafka, group_suffix=self.suffix), group)
        ends = _ends(consumer, topics)
        if said is not None:
            ends = [TopicPartition(end.topic, end.partition, end.offset, said) for end in ends]
        consumer.commit(offsets=ends, asynchronous=False)
        consumer.close()

    def start(self) -> None:
        """Start it, and wait until it listens."""
        given = {
            "HES_KAFKA__BOOTSTRAP": self.cluster.kafka,
            "HES_KAFKA__GROUP_SUFFIX": self.suffix,
            "HES_KAFKA__SESSION_TIMEOUT_S": "6",
            "HES_REGISTRY__URL": self.cluster.registry,
            "HES_GATEWAY__TCP_PORT": "0",
            "HES_GATEWAY__UDP_PORT": "0",
            "HES_GATEWAY__KEY_FILE": str(self.home / "keys.json"),
            "HES_GATEWAY__MASTER_KEY": MASTER.hex(),
        }
        self.log = []
        self.process = subprocess.Popen(
            [sys.executable, *self.run], stderr=subprocess.PIPE, text=True, env=os.environ | given | self.settings
        )
        threading.Thread(target=self._read, args=(self.process,), daemon=True).start()
        self.wait_for("listening")

    def wait_for(self, event: str) -> dict[str, Any]:
        end = time.monotonic() + PATIENCE_S
        while True:
            found = next((line for line in list(self.log) if line.get("event") == event), None)
            if found is not None:
                return found
            assert self.process is not None
            assert self.process.poll() is None, f"the gateway ended with {self.process.returncode}: {self.log[-5:]}"
            assert time.monotonic() < end, f"{event!r} was not logged: {self.log[-5:]}"
            time.sleep(0.05)

    @property
    def tcp_port(self) -> int:
        return int(self.wait_for("listening")["tcp_port"])

    @property
    def udp_port(self) -> int:
        return int(self.wait_for("listening")["udp_port"])

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.tcp_port), timeout=PATIENCE_S)

    def kill(self) -> None:
        """As the kernel kills it."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait(PATIENCE_S)

    def terminate(self) -> int:
        """As the orchestrator stops it; its exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE_S)

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stderr is not None
        with process.stderr as lines:
            for line in lines:
                try:
                    found = json.loads(line)
                except ValueError:
                    found = line
                self.log.append(found if isinstance(found, dict) else {"event": line})


@contextmanager
def running(
    cluster: Cluster, home: Path, keys: dict[str, MeterKeys] | None = None, **settings: str
) -> Iterator[GatewayProcess]:
    """A gateway that runs, and is gone afterwards."""
    named = {f"HES_GATEWAY__{name.upper()}": value for name, value in settings.items()}
    gateway = GatewayProcess(cluster, home, named)
    gateway.keys(keys or {})
    gateway.skip_old_jobs()
    gateway.start()
    try:
        yield gateway
    finally:
        gateway.kill()
