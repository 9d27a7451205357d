"""People with keys, a commands service, and what it wrote: for tests of commands on a real Kafka."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

from confluent_kafka import OFFSET_BEGINNING, TopicPartition

from connectors.cli import context
from schemas.codec import CodecError
from schemas.records import CommandAck, CommandRequest, CommandState, Job, JobResult, Meter, MeterState, Record
from schemas.signatures import digest, public_key, signed
from streams.runtime.kafka import Publisher, new_consumer, values_of
from streams.runtime.settings import Settings
from streams.runtime.tracing import headers_of
from tests.unit.streams.runtime.authority.builders import ROOT, key

R = TypeVar("R")
PATIENCE_S = 60.0
READ = ("hes.command-acks", "hes.jobs.urgent", "hes.jobs.bulk", "hes.audit", "hes.command-states", "hes.dead-letters")
ENVIRONMENT = {
    "HES_COMMANDS__ROOT_KEY": public_key(ROOT).hex(),
    "HES_ENVIRONMENT": "test",
    "HES_KAFKA__SESSION_TIMEOUT_S": "6",
    "HES_COMMANDS__TRANSACTION_TIMEOUT_S": "5",
    # Whoever comes after a kill is the same member, and need not wait until the one before is given up.
    "HES_KAFKA__INSTANCE_ID": "test",
}


class Rig:
    """Writes as operators do, and reads what came of it."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.codec = context.codec(settings)
        self._publisher = Publisher(settings.kafka, "test")
        quick: dict[str, Any] = {"fetch.wait.max.ms": 20}
        self._consumer = new_consumer(settings.kafka, "test", **quick)
        self._consumer.assign(
            [
                TopicPartition(topic, number, OFFSET_BEGINNING)
                for topic in READ
                for number in self._consumer.list_topics(topic, timeout=30).topics[topic].partitions
            ]
        )
        self._seen: dict[str, list[tuple[tuple[int, int], Record | CodecError]]] = {topic: [] for topic in READ}

    def send(self, topic: str, name: str, value: bytes | Record) -> None:
        record = None if isinstance(value, bytes) else value
        octets = value if isinstance(value, bytes) else self.codec.encode(value)
        headers = None if record is None else headers_of(record, source="test", at_ms=1)
        self._publisher.send(topic, name, octets, headers)
        self._publisher.flush()

    def sign(self, record: Any, by: str) -> bytes:
        return signed(self.codec, record, "test", ROOT if by == "root" else key(by))

    def meters(self, *names: str, **fields: Any) -> None:
        whole: dict[str, Any] = {"feeder": "F1", "transformer": "T1", "segment": "S1", "state": MeterState.NORMAL}
        for name in names:
            self.send("hes.meters", name, Meter(id=name, **(whole | fields)))

    def ask(self, record: CommandRequest) -> bytes:
        value = self.sign(record, record.requested_by) if record.requested_by != "unsigned" else self.codec.encode(record)
        self.send("hes.commands", record.id, value)
        return value

    def records(self, topic: str, kind: type[R]) -> list[R]:
        """Everything on a topic that has come so far, by partition and offset."""
        while messages := values_of(self._consumer.consume(1_000, 0.1))[0]:
            for message in messages:
                where = (message.partition() or 0, message.offset() or 0)
                try:
                    record: Record | CodecError = self.codec.decode(message.value())
                except CodecError as error:
                    record = error
                self._seen[message.topic() or ""].append((where, record))
        found = sorted(self._seen[topic], key=lambda item: item[0])
        return [record for _, record in found if isinstance(record, kind)]

    def close(self) -> None:
        self._consumer.close()

    def acks(self, command: str) -> list[CommandAck]:
        return [ack for ack in self.records("hes.command-acks", CommandAck) if ack.command_id == command]

    def jobs(self, command: str) -> list[Job]:
        lanes = ("hes.jobs.urgent", "hes.jobs.bulk")
        return [job for lane in lanes for job in self.records(lane, Job) if job.caused_by == command]

    def until(self, what: str, found: Callable[[], Any]) -> Any:
        end = time.monotonic() + PATIENCE_S
        while not (value := found()):
            assert time.monotonic() < end, f"{what} did not come"
            time.sleep(0.02)
        return value

    def state(self, command: str, wanted: CommandState, code: str = "") -> CommandAck:
        def found() -> CommandAck | None:
            return next((ack for ack in self.acks(command) if ack.state is wanted and code in ("", ack.code)), None)

        ack = self.until(f"{command} {wanted} {code}", found)
        assert isinstance(ack, CommandAck)
        return ack

    def answer(self, job: Job, **fields: Any) -> None:
        whole: dict[str, Any] = {
            "id": f"r-{job.id}",
            "job_id": job.id,
            "meter_id": job.meter_id,
            "operation": job.operation,
            "caused_by": job.caused_by,
            "issued_at": job.issued_at,
            "started_at": job.issued_at + 1,
            "finished_at": job.issued_at + 2,
        }
        self.send("hes.events.urgent", job.meter_id, JobResult(**(whole | fields)))

    @staticmethod
    def digest(value: bytes) -> bytes:
        return digest(value)
