"""The books of a service on Kafka: everything that one batch causes, in one transaction, by whoever opened them last.

The transactional id is always the same. Opening fences every writer before, in Kafka itself, undoes what it left half
written, and only then reads what is there. So a worker that was paused and replaced cannot write, however late it wakes
up, and the audit chain goes on from its one end.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import takewhile
from typing import Any

import structlog
from confluent_kafka import OFFSET_BEGINNING, KafkaError, KafkaException, Message, Producer, TopicPartition

from schemas.codec import CodecError
from schemas.records import AuditEntry, CampaignStop, Job, Record
from schemas.signatures import Signer, entry_hash, signed
from streams.runtime.authority.chain import Link, link_of
from streams.runtime.errors import FatalError, TemporaryError, TooLargeError
from streams.runtime.kafka import client_config, is_fenced, new_consumer, too_large
from streams.runtime.service import Runtime
from streams.runtime.transactions import Out, Transactions

__all__ = ["AUDIT", "Books", "FencedError", "Out", "translated"]

_RECORDS, _WAIT_S = 5_000, 0.05
_PATIENCE_S, _ABORT_S = 30.0, 5.0
_LOOK_BACK = 1_000
AUDIT = "hes.audit"


class FencedError(TemporaryError):
    """Another worker has opened the books since."""


class Books:
    """Open from its making until `close`, or until anything fails: then it is of no use any more.

    `topic` is the compacted one of a single partition that says where everything stands, `chain` the service's audit chain.
    With a `signer`, jobs that carry a request are released by its signature (`verify_release`), and campaigns' stops signed.
    """

    def __init__(self, runtime: Runtime, topic: str, chain: str, timeout_s: float, signer: Signer | None = None) -> None:
        self._runtime = runtime
        self._signer = signer
        self._topic = topic
        self._chain = chain
        self._log = structlog.get_logger("books")
        kafka = runtime.settings.kafka
        config: dict[str, Any] = {
            "client.id": f"{runtime.group}-ledger",
            "transactional.id": f"{runtime.group}{kafka.group_suffix}-ledger",
            "transaction.timeout.ms": round(timeout_s * 1000),
            "partitioner": "murmur2_random",
            "compression.type": "lz4",
            "linger.ms": 0,
            # A transaction right behind another is refused until the first one's marks are written: 17 ms instead of 40.
            "retry.backoff.ms": 10,
            "retry.backoff.max.ms": 100,
        }
        self._producer = Producer(client_config(kafka) | config, logger=logging.getLogger("librdkafka"))
        self._transactions = Transactions(runtime, self._producer, self._encoded)
        ends: dict[str, Any] = {"enable.partition.eof": True, "isolation.level": "read_committed", "fetch.wait.max.ms": 20}
        # librdkafka wants a group's name also where no group is joined.
        self._reader = new_consumer(kafka, f"{runtime.group}-ledger", **ends)
        self._hidden = False
        """Whether what was read to its end last has more, which a transaction hides that has not ended."""
        try:
            with translated():
                self._producer.init_transactions(_PATIENCE_S)
        except TemporaryError:
            self.close()
            raise

    def write(self, outs: Sequence[Out]) -> None:
        """All of it or nothing; a dead letter in place of each record that is too large for Kafka. `FencedError` where
        somebody else has the books, `TemporaryError` where nobody can tell; in either case this ledger, and whatever memory
        led to it, is to be thrown away.
        """
        try:
            with translated():
                self._transactions.write(outs)
        except (TemporaryError, TooLargeError):
            self.close()
            raise

    def close(self) -> None:
        """Undo what is half written, where that is still ours to undo."""
        self._reader.close()
        with suppress(KafkaException):
            self._producer.abort_transaction(_ABORT_S)

    def read(self) -> list[Record]:
        """The books: the latest record of each key. What cannot be read is logged and passed over."""
        latest: dict[bytes, Message] = {}
        for message in self.all(self._topic):
            latest[message.key() or b""] = message
        found = [self._decoded(message) for message in latest.values() if message.value() is not None]
        return [record for record in found if record is not None]

    def all(self, topic: str, start: int = OFFSET_BEGINNING) -> Iterator[Message]:
        """Everything on a topic of one partition, up to its present end. One topic after the other.

        Then it is not fetched any more: all that is written here would come back, and an idle reader asks fifty times a
        second.
        """
        try:
            yield from self._up_to_its_end(topic, start)
        finally:
            with suppress(RuntimeError):  # closed meanwhile
                self._reader.unassign()

    def _up_to_its_end(self, topic: str, start: int) -> Iterator[Message]:
        part = TopicPartition(topic, 0, start)
        self._reader.assign([part])
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
                    high = self._reader.get_watermark_offsets(part, cached=True)[1]
                    self._hidden = high > (message.offset() or 0)
                    return
                elif error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                    raise FatalError(f"there is no topic {topic}; run `hes topology apply`")
                else:
                    raise TemporaryError(f"{topic}: {error.str()}")

    def end_of_chain(self, known: Link) -> Link:
        """Where the service's audit chain ends: where the books say, if hes.audit has that entry; without books, its last
        sound entry.

        `FatalError` where hes.audit does not have what the books say: it was truncated, or made anew. `TemporaryError` where
        that cannot be told yet, since another service's transaction hides the end.
        """
        with translated():
            low, start = self._reader.get_watermark_offsets(TopicPartition(AUDIT, 0), _PATIENCE_S)
        end: int | None = None
        while end is None or end > low:
            start = max(low, start - _LOOK_BACK)
            entries = [self._decoded(message) for message in self._span(AUDIT, start, end)]
            if self._hidden and not known.sequence:
                break
            for entry in reversed(entries):
                if not isinstance(entry, AuditEntry) or entry.chain != self._chain or entry_hash(entry) != entry.hash:
                    continue
                if not known.sequence or link_of(entry) == known:
                    return link_of(entry)
            end = start
        if self._hidden:
            raise TemporaryError(f"the end of {AUDIT} stands behind a transaction of another service that has not ended")
        if known.sequence:
            raise FatalError(
                f"{AUDIT} does not hold entry {known.sequence}, which the books name as the last: "
                "it was truncated or made anew; `hes audit verify` tells, and somebody has to decide"
            )
        return Link()

    def _encoded(self, record: Record) -> bytes:
        signer = self._signer
        if signer is not None and (isinstance(record, CampaignStop) or (isinstance(record, Job) and record.request)):
            return signed(self._runtime.codec, record, self._runtime.settings.environment, signer)
        return self._runtime.codec.encode(record)

    def _span(self, topic: str, start: int, end: int | None) -> list[Message]:
        messages = self.all(topic, start)
        return list(messages if end is None else takewhile(lambda message: (message.offset() or 0) < end, messages))

    def _decoded(self, message: Message) -> Record | None:
        try:
            return self._runtime.codec.decode(message.value())
        except CodecError as error:
            where = {"topic": message.topic(), "offset": message.offset()}
            self._log.warning("record-unread", code=error.code, reason=str(error), **where)
            return None


class translated:  # noqa: N801 - a context manager, used as a function
    """librdkafka's errors as ours."""

    def __enter__(self) -> None:
        """Nothing to do."""

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, KafkaException):
            cause = error.args[0]
            if is_fenced(cause):
                raise FencedError(f"another worker has the books: {cause.str()}") from error
            if too_large(cause):
                raise TooLargeError(f"a record of the books: {cause.str()}; raise max.message.bytes of its topic") from error
            raise TemporaryError(f"the books cannot be written: {cause.str()}") from error
