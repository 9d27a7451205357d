"""The books on Kafka: everything that one batch causes, in one transaction, by whoever opened the books last.

The transactional id is always the same. Opening fences every writer before, in Kafka itself, undoes what it left half
written, and only then reads what is there. So a worker that was paused and replaced cannot write, however late it wakes
up, and the audit chain goes on from its one end.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any

import structlog
from confluent_kafka import OFFSET_BEGINNING, KafkaError, KafkaException, Message, Producer, TopicPartition

from schemas.codec import CodecError
from schemas.records import AuditEntry, CommandCase, CommandLedger, CommandStatus, Job, Record
from schemas.signatures import Signer, entry_hash, signed
from streams.commands.output import AUDIT, STATES, Out
from streams.runtime import metrics
from streams.runtime.authority.chain import Link, link_of
from streams.runtime.errors import DeliveryError, FatalError, TemporaryError
from streams.runtime.kafka import client_config, new_consumer
from streams.runtime.service import Runtime
from streams.runtime.tracing import headers_of

_RECORDS, _WAIT_S = 5_000, 0.05
_PATIENCE_S, _ABORT_S = 30.0, 5.0
_LOOK_BACK = 1_000
_FENCED = (
    KafkaError._FENCED,  # noqa: SLF001 - the constant's public name
    KafkaError.PRODUCER_FENCED,
    KafkaError.INVALID_PRODUCER_EPOCH,
)
Books = CommandCase | CommandStatus | CommandLedger


class FencedError(TemporaryError):
    """Another worker has opened the books since."""


class Ledger:
    """Open from its making until `close`, or until anything fails: then it is of no use any more."""

    def __init__(self, runtime: Runtime, signer: Signer | None = None) -> None:
        self._runtime = runtime
        self._signer = signer
        self._log = structlog.get_logger("ledger")
        kafka = runtime.settings.kafka
        config: dict[str, Any] = {
            "client.id": "hes-commands-ledger",
            "transactional.id": f"{runtime.group}{kafka.group_suffix}-ledger",
            "transaction.timeout.ms": round(runtime.settings.commands.transaction_timeout_s * 1000),
            "partitioner": "murmur2_random",
            "compression.type": "lz4",
            "linger.ms": 0,
        }
        self._producer = Producer(client_config(kafka) | config, logger=logging.getLogger("librdkafka"))
        ends: dict[str, Any] = {"enable.partition.eof": True, "isolation.level": "read_committed", "fetch.wait.max.ms": 20}
        # librdkafka wants a group's name also where no group is joined.
        self._reader = new_consumer(kafka, f"{runtime.group}-ledger", **ends)
        try:
            with _translated():
                self._producer.init_transactions(_PATIENCE_S)
        except TemporaryError:
            self.close()
            raise

    def write(self, outs: Sequence[Out]) -> None:
        """All of it or nothing. `FencedError` where somebody else has the books, `TemporaryError` where nobody can tell;
        in either case this ledger, and whatever memory led to it, is to be thrown away.
        """
        failed: list[KafkaError] = []

        def delivered(error: KafkaError | None, message: Message) -> None:
            if error is not None:
                failed.append(error)
            else:
                metrics.RECORDS_OUT.labels(message.topic()).inc()

        try:
            with _translated():
                self._producer.begin_transaction()
                for out in outs:
                    self._produce(out, delivered)
                self._producer.commit_transaction(_PATIENCE_S)
        except TemporaryError:
            self.close()
            raise
        if failed:
            raise FatalError(f"Kafka committed a transaction and reported {failed[0].str()}")

    def close(self) -> None:
        """Undo what is half written, where that is still ours to undo."""
        self._reader.close()
        with suppress(KafkaException):
            self._producer.abort_transaction(_ABORT_S)

    def read(self) -> list[Books]:
        """The books: the latest record of each key. What cannot be read is logged and passed over."""
        latest: dict[bytes, Message] = {}
        for message in self.all(STATES):
            latest[message.key() or b""] = message
        found = [self._decoded(message) for message in latest.values() if message.value() is not None]
        return [record for record in found if isinstance(record, Books)]

    def all(self, topic: str, start: int = OFFSET_BEGINNING) -> Iterator[Message]:
        """Everything on a topic of one partition, up to its present end. One topic after the other."""
        self._reader.assign([TopicPartition(topic, 0, start)])
        heard = self._runtime.clock.monotonic()
        while True:
            self._runtime.health.progress()
            messages = self._reader.consume(_RECORDS, _WAIT_S)
            now = self._runtime.clock.monotonic()
            if messages:
                heard = now
            elif now - heard > _PATIENCE_S:
                raise TemporaryError(f"{topic} was silent for {_PATIENCE_S:.0f} s")
            for message in messages:
                error = message.error()
                if error is None:
                    yield message
                elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - the constant's public name
                    return
                elif error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                    raise FatalError(f"there is no topic {topic}; run `hes topology apply`")
                else:
                    raise TemporaryError(f"{topic}: {error.str()}")

    def end_of_chain(self, known: Link) -> Link:
        """Where the audit chain ends: where the books say, if hes.audit has that entry; without books, its last sound entry.

        `FatalError` where hes.audit does not have what the books say: it was truncated, or made anew.
        """
        with _translated():
            low, high = self._reader.get_watermark_offsets(TopicPartition(AUDIT, 0), _PATIENCE_S)
        start = high
        while start > low:
            end, start = start, max(low, start - _LOOK_BACK)
            entries = [self._decoded(message) for message in self._span(AUDIT, start, end)]
            for entry in reversed(entries):
                if not isinstance(entry, AuditEntry) or entry.chain or entry_hash(entry) != entry.hash:
                    continue
                if not known.sequence or link_of(entry) == known:
                    return link_of(entry)
        if known.sequence:
            raise FatalError(
                f"{AUDIT} does not hold entry {known.sequence}, which the books name as the last: "
                "it was truncated or made anew; `hes audit verify` tells, and somebody has to decide"
            )
        return Link()

    def _produce(self, out: Out, delivered: Callable[[KafkaError | None, Message], None]) -> None:
        record = out.record
        headers = None
        if record is not None:
            at = getattr(record, "at", 0) or self._runtime.clock.now_ms()
            headers = headers_of(record, source=self._runtime.service, at_ms=at, parent=out.parent)
        value = None if record is None else self._encoded(record)
        until = self._runtime.clock.monotonic() + _PATIENCE_S
        while True:
            try:
                self._producer.produce(out.topic, key=out.key, value=value, headers=headers, on_delivery=delivered)
            except BufferError:
                if self._runtime.clock.monotonic() > until:
                    raise DeliveryError(f"{out.topic}: the queue to Kafka stayed full for {_PATIENCE_S:.0f} s") from None
                self._producer.poll(0.1)
            else:
                return

    def _encoded(self, record: Record) -> bytes:
        """A record's value; the job of a command that acts is released by a signature, where there is a key for it."""
        runtime = self._runtime
        if self._signer is not None and isinstance(record, Job) and record.request:
            return signed(runtime.codec, record, runtime.settings.environment, self._signer)
        return runtime.codec.encode(record)

    def _span(self, topic: str, start: int, end: int) -> list[Message]:
        return [message for message in self.all(topic, start) if (message.offset() or 0) < end]

    def _decoded(self, message: Message) -> object:
        try:
            return self._runtime.codec.decode(message.value())
        except CodecError as error:
            where = {"topic": message.topic(), "offset": message.offset()}
            self._log.warning("record-unread", code=error.code, reason=str(error), **where)
            return None


class _translated:  # noqa: N801 - a context manager, used as a function
    """librdkafka's errors as ours."""

    def __enter__(self) -> None:
        """Nothing to do."""

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, KafkaException):
            cause = error.args[0]
            if cause.code() in _FENCED:
                raise FencedError(f"another worker has the books of commands: {cause.str()}") from error
            raise TemporaryError(f"the books of commands cannot be written: {cause.str()}") from error
