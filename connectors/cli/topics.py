"""Reading a topic as a command does: no group, no commits, from where it is asked, to its end or for ever."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, Consumer, KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from connectors.cli.failure import unreachable, usage
from connectors.cli.output import say
from schemas.codec import Codec, CodecError
from schemas.records import Record
from schemas.registry import RegistryError
from streams.runtime.kafka import client_config, is_fatal, values_of
from streams.runtime.settings import Settings

_T = TypeVar("_T")
_FIRST_WORD_S = 5.0
_PATIENCE_S = 10.0
_WAIT_S = 0.2
_SILENCE_S = 30.0
_ELECTING = (KafkaError.LEADER_NOT_AVAILABLE, KafkaError.NOT_LEADER_FOR_PARTITION)
"""What a partition answers while it gets a leader; librdkafka calls neither retriable."""


@dataclass(frozen=True, slots=True)
class Span:
    """What of a topic to read. Times are milliseconds since the epoch; None is from the start, or to the present end."""

    start_ms: int | None = None
    end_ms: int | None = None
    follow: bool = False
    from_end: bool = False
    offsets: Mapping[int, int] = field(default_factory=dict)
    """Where to begin in a partition, which counts before everything else."""
    partitions: frozenset[int] | None = None
    """Only these; None is all."""
    ended: Callable[[], bool] = bool
    """Asked now and then while following; true ends it."""


def read_topic(given: Settings, topic: str, span: Span = Span()) -> Iterator[Message]:
    """Messages of a topic, in order per partition. Ends where the end was when it began, unless it follows."""
    broker = _Broker(given.kafka.bootstrap)
    consumer = Consumer(_config(given) | {"error_cb": broker.failed}, logger=logging.getLogger("librdkafka"))
    try:
        parts = [part for part in _partitions(consumer, given, topic) if span.partitions is None or part in span.partitions]
        ends = {part: watermarks(consumer, TopicPartition(topic, part))[1] for part in parts}
        starts = _starts(consumer, topic, parts, span)
        consumer.assign(starts)
        yield from _follow(consumer, span, broker) if span.follow else _until(consumer, starts, ends, span)
    except KafkaException as error:
        raise unreachable(f"Kafka at {given.kafka.bootstrap} does not answer: {error.args[0].str()}") from error
    finally:
        consumer.close()


@dataclass(frozen=True, slots=True)
class Extent:
    """What a partition holds."""

    records: int
    since: int | None
    """The time since when all that was written is there; None where nothing was deleted yet."""


def extents(given: Settings, topic: str) -> dict[int, Extent]:
    """What each partition of a topic holds."""
    consumer = Consumer(_config(given), logger=logging.getLogger("librdkafka"))
    try:
        found: dict[int, Extent] = {}
        for part in _partitions(consumer, given, topic):
            low, high = watermarks(consumer, TopicPartition(topic, part))
            since = None
            if 0 < low < high:
                consumer.assign([TopicPartition(topic, part, low)])
                messages, _ = values_of(consumer.consume(1, _PATIENCE_S))
                since = messages[0].timestamp()[1] if messages else None
            found[part] = Extent(high - low, since)
    except KafkaException as error:
        raise unreachable(f"Kafka at {given.kafka.bootstrap} does not answer: {error.args[0].str()}") from error
    finally:
        consumer.close()
    return found


def decoded(given: Settings, messages: Iterator[Message]) -> Iterator[tuple[Message, Record | CodecError]]:
    """Messages with their records, or with why they are none."""
    from connectors.cli.context import codec  # noqa: PLC0415 - context imports the local stack, which reading does not need

    ours: Codec = codec(given)
    for message in messages:
        try:
            yield message, ours.decode(message.value())
        except CodecError as error:
            yield message, error
        except RegistryError as error:
            raise unreachable(str(error)) from error


def tell_unread(topic: str, unread: Sequence[CodecError]) -> None:
    """Say how many records of a topic are none of ours, where any are: whoever wrote them is not `hes`."""
    if unread:
        count = f"{len(unread)} records" if len(unread) > 1 else "a record"
        say(f"[yellow]note[/]: left out {count} on {topic} that cannot be read; the first: {unread[0]}")
        say(f"  try: `hes dead-letters list`, and find out who else may write to {topic}")


def watermarks(consumer: Consumer, part: TopicPartition) -> tuple[int, int]:
    """The first offset of a partition and the next to be written; waits for a leader that is only just elected."""
    return _once_led(lambda: consumer.get_watermark_offsets(part, timeout=_PATIENCE_S))


def ends(admin: AdminClient, topics: Iterable[str]) -> dict[TopicPartition, int]:
    """The next offset of every partition of these topics; waits likewise."""
    known = admin.list_topics(timeout=_PATIENCE_S).topics
    parts = [TopicPartition(topic, number) for topic in topics for number in known[topic].partitions]
    latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]  # upstream gives it no types

    def ask() -> dict[TopicPartition, int]:
        return {part: int(end.result().offset) for part, end in admin.list_offsets(dict.fromkeys(parts, latest)).items()}

    return _once_led(ask)


def _once_led(ask: Callable[[], _T]) -> _T:
    until = time.monotonic() + _SILENCE_S
    while True:
        try:
            return ask()
        except KafkaException as error:
            passing = error.args[0].retriable() or error.args[0].code() in _ELECTING
            if not passing or time.monotonic() > until:
                raise
            time.sleep(0.1)


def _config(given: Settings) -> dict[str, Any]:
    ours = {"group.id": "hes-cli", "enable.auto.commit": False, "enable.partition.eof": True, "client.id": "hes-cli"}
    return client_config(given.kafka) | ours


def _partitions(consumer: Consumer, given: Settings, topic: str) -> list[int]:
    found = consumer.list_topics(topic, timeout=_FIRST_WORD_S).topics.get(topic)
    if found is None or found.error is not None:
        raise usage(f"there is no topic {topic} on {given.kafka.bootstrap}", "`hes topology apply` creates it")
    return sorted(found.partitions)


def _starts(consumer: Consumer, topic: str, parts: list[int], span: Span) -> list[TopicPartition]:
    if span.start_ms is not None:
        wanted = [TopicPartition(topic, part, span.start_ms) for part in parts]
        starts = list(consumer.offsets_for_times(wanted, timeout=_PATIENCE_S))
    else:
        starts = [TopicPartition(topic, part, OFFSET_END if span.from_end else OFFSET_BEGINNING) for part in parts]
    return [TopicPartition(topic, start.partition, span.offsets.get(start.partition, start.offset)) for start in starts]


def _follow(consumer: Consumer, span: Span, broker: _Broker) -> Iterator[Message]:
    while not span.ended():
        messages, _ = values_of(_come(consumer, 500))
        broker.tell(heard=bool(messages))
        yield from messages


class _Broker:
    """Tells whoever follows a topic that nothing comes because nobody answers. Ours alone: librdkafka tries for ever."""

    def __init__(self, bootstrap: str) -> None:
        self._bootstrap = bootstrap
        self._away = self._told = False

    def failed(self, error: KafkaError) -> None:
        """librdkafka's, from within a poll."""
        self._away = self._away or error.code() == KafkaError._ALL_BROKERS_DOWN  # noqa: SLF001 - the constant's public name

    def tell(self, *, heard: bool) -> None:
        """Say what has changed since it was said last."""
        self._away = self._away and not heard
        if self._away == self._told:
            return
        self._told = self._away
        what = "does not answer; this goes on where it was as soon as it does" if self._away else "answers again"
        say(f"Kafka at {self._bootstrap} {what}")


def _come(consumer: Consumer, most: int) -> list[Message]:
    """What has come, as soon as anything has: to ask for many at once is to wait for as many."""
    first = consumer.poll(_WAIT_S)
    return [] if first is None else [first, *consumer.consume(most - 1, 0)]


def _from_broker(message: Message) -> bool:
    error = message.error()
    return error is None or error.code() == KafkaError._PARTITION_EOF  # noqa: SLF001 - the constant's public name


def _until(consumer: Consumer, starts: list[TopicPartition], ends: dict[int, int], span: Span) -> Iterator[Message]:
    open_parts = {part.partition for part in starts}
    heard = time.monotonic()
    while open_parts:
        messages = _come(consumer, 1_000)
        if any(_from_broker(message) for message in messages):
            heard = time.monotonic()
        elif time.monotonic() - heard > _SILENCE_S:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))  # noqa: SLF001 - the constant's public name
        for message in messages:
            part, offset, error = message.partition() or 0, message.offset() or 0, message.error()
            if error is not None:
                # Compaction may have left nothing up to the end, so the broker's own word counts, not the last offset seen.
                if error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - the constant's public name
                    open_parts.discard(part)
                elif is_fatal(error):
                    raise KafkaException(error)
                continue
            if part in open_parts and offset < ends[part] and (span.end_ms is None or message.timestamp()[1] < span.end_ms):
                yield message
            if offset >= ends[part] - 1:
                open_parts.discard(part)
