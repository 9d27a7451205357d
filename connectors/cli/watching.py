"""Records as they come, from the moment that it is set up: what a command waits for after it has asked."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from types import TracebackType
from typing import Any, TypeVar

from confluent_kafka import Consumer, KafkaException, TopicPartition

from connectors.cli import context
from connectors.cli.failure import CommandError, unreachable
from connectors.cli.topics import watermarks
from schemas.codec import Codec, CodecError
from schemas.records import Record
from schemas.registry import RegistryError
from streams.runtime.errors import FatalError, TemporaryError
from streams.runtime.kafka import Publisher, client_config, values_of
from streams.runtime.settings import Settings
from streams.runtime.tracing import headers_of

T = TypeVar("T")
_METADATA_S = 10.0


class Watch:
    """Follows topics from their end at the time it was made. To be made before what it waits for is asked."""

    def __init__(self, given: Settings, topics: Sequence[str], codec: Codec) -> None:
        self._codec = codec
        config: dict[str, Any] = {
            "group.id": "hes-cli",
            "client.id": "hes-cli",
            "enable.auto.commit": False,
            "fetch.wait.max.ms": 20,
        }
        # Made before anything is asked: its first words with Kafka take longer than all that follows.
        self._publisher = Publisher(given.kafka, "hes-cli", **{"linger.ms": 0})  # nothing comes that it could wait for
        self._consumer = Consumer(client_config(given.kafka) | config, logger=logging.getLogger("librdkafka"))
        try:
            self._consumer.assign([part for topic in topics for part in self._ends(topic)])
        except KafkaException as error:
            self._consumer.close()
            raise unreachable(f"Kafka at {given.kafka.bootstrap} does not answer: {error.args[0].str()}") from error

    def __enter__(self) -> Watch:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._consumer.close()

    def send(self, topic: str, key: str, record: Record, value: bytes) -> None:
        """Write one record, and wait until Kafka has it."""
        try:
            self._publisher.send(topic, key, value, headers_of(record, source="cli", at_ms=time.time_ns() // 1_000_000))
            self._publisher.flush()
        except TemporaryError as error:
            raise unreachable(str(error)) from error
        except FatalError as error:
            raise CommandError(str(error)) from error

    def records(self, seconds: float, keys: Collection[str] = ()) -> Iterator[tuple[Record, bytes]]:
        """Records with their values as they come, with one of these keys where some are given, until the time is over."""
        wanted = {key.encode() for key in keys}
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            for message in values_of([m for m in (self._consumer.poll(min(left, 0.5)),) if m is not None])[0]:
                value = message.value()
                if value is None or (wanted and message.key() not in wanted):
                    continue
                try:
                    yield self._codec.decode(value), value
                except CodecError:
                    continue
                except RegistryError as error:
                    raise unreachable(str(error)) from error

    def first(self, seconds: float, wanted: Callable[[Record], T | None]) -> T | None:
        """What `wanted` makes of the first record of which it makes something; None where none comes in time."""
        return next((found for record, _ in self.records(seconds) if (found := wanted(record)) is not None), None)

    def _ends(self, topic: str) -> list[TopicPartition]:
        found = self._consumer.list_topics(topic, timeout=_METADATA_S).topics[topic]
        if found.error is not None or not found.partitions:
            raise CommandError(f"there is no topic {topic}", mend="`hes topology apply` makes it")
        parts = [TopicPartition(topic, number) for number in found.partitions]
        return [TopicPartition(topic, part.partition, watermarks(self._consumer, part)[1]) for part in parts]


def encoded(given: Settings) -> Codec:
    """A codec that can write; the registry is asked at once, so that its absence is said before anything else."""
    codec = context.codec(given)
    try:
        from schemas.records import CommandRequest  # noqa: PLC0415 - the cheapest question that there is

        codec.id_of(CommandRequest)
    except RegistryError as error:
        raise unreachable(str(error)) from error
    return codec
