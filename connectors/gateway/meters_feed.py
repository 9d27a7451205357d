"""hes.meters into the directory: every worker reads the whole topic by itself, without a group and without commits."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import structlog
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, Message, TopicPartition

from connectors.gateway.bad_records import BadRecords
from connectors.gateway.directory import Change
from schemas.codec import Codec, CodecError
from schemas.records import Meter
from schemas.registry import RegistryError
from streams.runtime.errors import FatalError
from streams.runtime.kafka import is_fatal, new_consumer
from streams.runtime.service import Runtime

TOPIC = "hes.meters"
_RECORDS, _WAIT_S = 2_000, 0.2


class MetersFeed:
    """A thread that reads hes.meters from its beginning and hands changes on.

    `deliver` is called on the thread; `caught_up` is set once all that was there at the start has been delivered;
    `failed` is called once, with what ended the thread, unless it was asked to stop.
    """

    def __init__(
        self, runtime: Runtime, bad: BadRecords, deliver: Callable[[list[Change]], None], failed: Callable[[Exception], None]
    ) -> None:
        self._runtime = runtime
        self._bad = bad
        self._deliver = deliver
        self._failed = failed
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="meters", daemon=True)
        self._log = structlog.get_logger("meters")
        self.caught_up = threading.Event()
        self.moved_at = runtime.clock.monotonic()
        """When the thread last showed that it lives."""

    @property
    def running(self) -> bool:
        """Whether the thread was started and has not ended."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def stop(self) -> None:
        """Stop reading and wait for it."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        try:
            # librdkafka wants a group's name also where no group is joined.
            ends: dict[str, Any] = {"enable.partition.eof": True}
            consumer = new_consumer(self._runtime.settings.kafka, "hes-gateway-meters", **ends)
            try:
                self._read(consumer, self._assign(consumer))
            finally:
                consumer.close()
        except Exception as error:  # noqa: BLE001 - whatever ends the thread must end the process, by its main thread
            self._failed(error)

    def _assign(self, consumer: Consumer) -> set[int]:
        topic = consumer.list_topics(TOPIC, timeout=30).topics[TOPIC]
        if topic.error is not None or not topic.partitions:
            raise FatalError(f"there is no topic {TOPIC}; run `hes topology apply`")
        consumer.assign([TopicPartition(TOPIC, partition, OFFSET_BEGINNING) for partition in topic.partitions])
        return set(topic.partitions)

    def _read(self, consumer: Consumer, behind: set[int]) -> None:
        while not self._stop.is_set():
            self.moved_at = self._runtime.clock.monotonic()
            records: list[Message] = []
            for message in consumer.consume(_RECORDS, _WAIT_S):
                error = message.error()
                if error is None:
                    records.append(message)
                elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - the constant's public name
                    behind.discard(message.partition())
                elif is_fatal(error):
                    raise FatalError(f"the consumer of {TOPIC} can go on no more: {error.str()}")
                else:
                    self._log.warning("kafka", reason=error.str(), code=error.name())
            if records:
                self._deliver(self._changes(records))
            if not behind and not self.caught_up.is_set():
                self.caught_up.set()

    def _changes(self, records: Sequence[Message]) -> list[Change]:
        while True:
            try:
                changes, bad = read_changes(records, self._runtime.codec)
            except RegistryError as error:
                self._log.warning("registry", reason=str(error))
                self.moved_at = self._runtime.clock.monotonic()
                if self._stop.wait(1.0):
                    return []
            else:
                break
        for code, detail, message in bad:
            self._bad.put(code, detail, message)
        return changes


def read_changes(records: Sequence[Message], codec: Codec) -> tuple[list[Change], list[tuple[str, str, Message]]]:
    """Records of hes.meters as changes, and those that are none with a code and a sentence.

    `RegistryError` where the registry is away: nothing is decided then.
    """
    changes: list[Change] = []
    bad: list[tuple[str, str, Message]] = []
    for message in records:
        key, value = message.key() or b"", message.value()
        meter_id = key.decode("utf-8", "replace")
        if value is None:
            changes.append(Change(meter_id, None))
            continue
        try:
            meter = codec.decode(value)
        except CodecError as error:
            bad.append((error.code, str(error), message))
            continue
        if not isinstance(meter, Meter):
            bad.append(("record-unexpected", f"a {type(meter).__name__} on {TOPIC}", message))
        elif meter.id != meter_id:
            bad.append(("key-mismatch", f"the key {meter_id!r} is not the meter's id {meter.id!r}", message))
        else:
            changes.append(Change(meter_id, meter))
    return changes, bad
