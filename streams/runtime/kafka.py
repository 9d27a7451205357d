"""Kafka clients as every service wants them: an idempotent publisher that tells when a record is safe, and consumers
that commit only what they are told to.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from itertools import count
from typing import Any, NamedTuple

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from prometheus_client import Counter

from streams.runtime import metrics
from streams.runtime.errors import DeliveryError, FatalError, TooLargeError
from streams.runtime.lag import EVERY_MS, tell_lag
from streams.runtime.settings import Kafka
from streams.runtime.tracing import Headers

Delivered = Callable[[KafkaError | None, Message], None]
"""librdkafka's report on a record."""
Done = Callable[[Exception | None], None]
"""Called once for a record: with None when the broker has it, else with what went wrong. On the thread that polls."""


class Outgoing(NamedTuple):
    """A record ready to be sent."""

    topic: str
    key: str | bytes | None
    value: bytes | None
    headers: Headers | None = None


_FENCED = (
    KafkaError._FENCED,  # noqa: SLF001 - the constant's public name
    KafkaError.PRODUCER_FENCED,
    KafkaError.INVALID_PRODUCER_EPOCH,
)

Instead = Callable[[Outgoing, str], Outgoing | None]
"""Given a record that is too large for Kafka, and Kafka's words: what is written in its place. On the thread that polls."""


def too_large(error: KafkaError) -> bool:
    """Whether a record is refused for its size: by librdkafka at once, or by the broker. Trying again cannot help."""
    return bool(error.code() == KafkaError.MSG_SIZE_TOO_LARGE)


def client_config(settings: Kafka) -> dict[str, Any]:
    """What every librdkafka client of ours is given."""
    config: dict[str, Any] = {
        "bootstrap.servers": settings.bootstrap,
        "security.protocol": settings.security_protocol,
        "socket.keepalive.enable": True,
        "reconnect.backoff.ms": 100,
        "reconnect.backoff.max.ms": 5_000,
    }
    if settings.ca_file:
        config["ssl.ca.location"] = settings.ca_file
    if settings.security_protocol.startswith("SASL"):
        config["sasl.mechanism"] = settings.sasl_mechanism
        config["sasl.username"] = settings.sasl_username
        config["sasl.password"] = settings.sasl_password.get_secret_value()
    return config


def admin_client(settings: Kafka) -> AdminClient:
    """An admin client; commands that inspect or change topics take it."""
    return AdminClient(client_config(settings), logger=logging.getLogger("librdkafka"))


class Publisher:
    """An idempotent producer. `send` never blocks for long, `flush` returns only when everything sent is acknowledged.

    Keys are placed by murmur2, as Java and aiokafka place them: one meter, one partition, whoever writes.
    """

    def __init__(self, settings: Kafka, client_id: str, **overrides: Any) -> None:
        self._timeout = settings.delivery_timeout_s
        self._failed: Exception | None = None
        self._stop = threading.Event()
        self._poller: threading.Thread | None = None
        self.instead: Instead | None = None
        """Of records that are too large: so the rest goes on. Without it such a record is a `TooLargeError`."""
        self._narrow: set[str] = set()
        """Topics that take less than a batch: their records go one by one, so that one is not refused for others."""
        self._config: dict[str, Any] = (
            client_config(settings)
            | {
                "client.id": client_id,
                "enable.idempotence": True,
                "partitioner": "murmur2_random",
                "linger.ms": 5,
                "compression.type": "lz4",
                "batch.size": 1_000_000,
                "queue.buffering.max.messages": 200_000,
                "queue.buffering.max.kbytes": 262_144,
                "delivery.timeout.ms": round(self._timeout * 1000),
            }
            | overrides
        )
        self._producer = Producer(self._config, logger=logging.getLogger("librdkafka"))
        self._single: Producer | None = None

    def send(
        self,
        topic: str,
        key: str | bytes | None,
        value: bytes | None,
        headers: Headers | None = None,
        done: Done | None = None,
    ) -> None:
        """Queue a record. While the local queue is full it waits, up to the delivery timeout, then raises `DeliveryError`.

        Without `done`, a failure is raised by the next `flush`.
        """

        def delivered(error: KafkaError | None, message: Message) -> None:
            failure = self._reported(error, message.topic() or topic)
            if done is not None:
                done(failure)
            elif failure is not None:
                self._failed = self._failed or failure

        self._produce(Outgoing(topic, key, value, headers), delivered)
        self._producer.poll(0)

    def send_all(self, records: Sequence[Outgoing], done: Done) -> None:
        """Queue records (at least one) that are one effect: `done` is called once, when all of them have been reported, with
        None or the first failure; one that cannot be queued has failed. Reports come when somebody polls.
        """
        together = _Together(self._reported, len(records), done)
        for record in records:
            try:
                self._produce(record, together)
            except Exception as error:  # noqa: BLE001 - whatever it is, the record is not sent, and who waits must be told
                together.report(error)

    def poll(self) -> None:
        """Serve delivery reports that have come, on this thread."""
        self._poll_both(0)

    def flush(self) -> None:
        """Wait until the broker has everything; `DeliveryError` where it has not, after the delivery timeout."""
        # Letters of what is refused one by one go with the others.
        left = self._flush_single(self._timeout + 5) + self._producer.flush(self._timeout + 5)
        failed, self._failed = self._failed, None
        if failed is not None:
            raise failed
        if left:
            raise DeliveryError(f"{left} records were not acknowledged by Kafka within {self._timeout:.0f} s")

    def start_polling(self) -> None:
        """Serve delivery reports from a thread of its own, for services that do not call `flush`."""
        self._poller = threading.Thread(target=self._poll, name="publisher", daemon=True)
        self._poller.start()

    def close(self) -> None:
        """Stop polling, after a last attempt to deliver what is queued."""
        self._stop.set()
        if self._poller is not None:
            self._poller.join()
        self._flush_single(self._timeout)
        self._producer.flush(self._timeout)

    def __len__(self) -> int:
        return len(self._producer) + (0 if self._single is None else len(self._single))

    def _poll(self) -> None:
        while not self._stop.is_set():
            self._poll_both(0.1)

    def _poll_both(self, wait_s: float) -> None:
        if self._single is not None:
            self._single.poll(0)
        self._producer.poll(wait_s)

    def _flush_single(self, wait_s: float) -> int:
        return 0 if self._single is None else self._single.flush(wait_s)

    def _one_by_one(self) -> Producer:
        if self._single is None:
            config = {**self._config, "batch.num.messages": 1, "client.id": f"{self._config['client.id']}-single"}
            self._single = Producer(config, logger=logging.getLogger("librdkafka"))
        return self._single

    def _produce(self, record: Outgoing, delivered: Delivered) -> None:
        waited = 0.0
        while True:
            topic = record.topic
            try:
                self._produce_now(record, delivered)
            except BufferError:
                self._poll_both(0.1)
                waited += 0.1
                if waited > self._timeout:
                    raise DeliveryError(f"{topic}: the queue to Kafka stayed full for {self._timeout:.0f} s") from None
            except KafkaException as error:
                other = self._in_place_of(record, error.args[0])
                if other is None:
                    raise self._translated(topic, error.args[0]) from error
                record = other
            else:
                return

    def _in_place_of(self, record: Outgoing, error: KafkaError) -> Outgoing | None:
        return self.instead(record, error.str()) if self.instead is not None and too_large(error) else None

    def _alone(self, delivered: Delivered, error: KafkaError | None, message: Message) -> None:
        """The report on a record that was sent by itself: where the broker finds it too large, something else is written in
        its place, and reported.
        """
        if error is not None and too_large(error):
            other = self._in_place_of(Outgoing(message.topic() or "", message.key(), message.value()), error)
            try:
                if other is not None:
                    self._produce_now(other, delivered)
                    return
            except (BufferError, KafkaException):
                pass  # nobody can wait within a report: the process ends, and begins again
            error = KafkaError(error.code(), error.str(), fatal=True)
        delivered(error, message)

    def _produce_now(self, record: Outgoing, delivered: Delivered) -> None:
        topic, key, value, headers = record
        alone = topic in self._narrow
        producer, report = (self._one_by_one(), partial(self._alone, delivered)) if alone else (self._producer, delivered)
        producer.produce(topic, value, key, headers=headers, on_delivery=report)

    def _reported(self, error: KafkaError | None, topic: str) -> Exception | None:
        """Count a delivery report; what went wrong, if anything."""
        if error is None:
            _acknowledged(topic).inc()
            return None
        metrics.DELIVERY_FAILURES.labels(topic).inc()
        if too_large(error) and not error.fatal() and self.instead is not None:
            self._narrow.add(topic)
            return DeliveryError(f"{topic} takes less than a batch: {error.str()}; its records are sent one by one now")
        return self._translated(topic, error)

    @staticmethod
    def _translated(topic: str, error: KafkaError) -> Exception:
        if too_large(error):
            return TooLargeError(f"{topic}: {error.str()}; raise its max.message.bytes, or write less in one record")
        if is_fatal(error):
            return FatalError(f"{topic}: the producer can go on no more: {error.str()}")
        return DeliveryError(f"{topic}: Kafka did not take a record: {error.str()}")


class _Together:
    """What records sent together are reported to, on whatever threads."""

    __slots__ = ("_done", "_failure", "_last", "_reported", "_reports")

    def __init__(self, reported: Callable[[KafkaError | None, str], Exception | None], records: int, done: Done) -> None:
        self._reported = reported
        self._reports, self._last = count(1), records
        self._failure: Exception | None = None
        self._done = done

    def __call__(self, error: KafkaError | None, message: Message) -> None:
        self.report(self._reported(error, message.topic() or ""))

    def report(self, failure: Exception | None) -> None:
        """One more; the last one tells."""
        if failure is not None:
            self._failure = self._failure or failure
        if next(self._reports) == self._last:  # counted by the interpreter in one step, so that no thread comes between
            self._done(self._failure)


@lru_cache(maxsize=256)
def _acknowledged(topic: str) -> Counter:
    """Looked up once, not for each record."""
    return metrics.RECORDS_OUT.labels(topic)


def new_consumer(settings: Kafka, group: str, *, client_id: str = "", **overrides: Any) -> Consumer:
    """A consumer that commits nothing by itself, starts a new group at the beginning, and assigns by range.

    Its callbacks (of assignments, of commits) must not call `list_topics`, `poll` or `consume` of it: confluent_kafka then
    forgets the call that it was within, and its next callback aborts the process (`CallState_get: cs != NULL`).
    """
    config = client_config(settings) | {
        "group.id": group + settings.group_suffix,
        "client.id": client_id or group,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "earliest",
        "partition.assignment.strategy": "range",
        "session.timeout.ms": round(settings.session_timeout_s * 1000),
        "queued.max.messages.kbytes": 65_536,
        "statistics.interval.ms": EVERY_MS,
        "stats_cb": partial(tell_lag, group + settings.group_suffix),
    }
    if settings.instance_id:
        config["group.instance.id"] = f"{settings.instance_id}-{group}"
    return Consumer(config | overrides, logger=logging.getLogger("librdkafka"))


def hear_again(consumer: Consumer, partitions: list[TopicPartition]) -> None:
    """To be called with partitions that are being assigned, wherever a consumer pauses: librdkafka keeps a pause beyond a
    rebalance, so that a partition which was lost while it was paused, and comes back, would never be read again.
    """
    consumer.resume(partitions)


def is_fatal(error: KafkaError) -> bool:
    """Whether a client can go on no more, and only another process helps.

    Of an error that came in a message's place, or by a delivery report, `KafkaError.fatal` is false whatever it is: there
    librdkafka says it by the code.
    """
    return error.fatal() or error.code() == KafkaError._FATAL  # noqa: SLF001 - the constant's public name


def is_fenced(error: KafkaError) -> bool:
    """Whether somebody else has opened since what a producer writes in transactions."""
    return error.code() in _FENCED


def values_of(messages: Sequence[Message]) -> tuple[list[Message], list[KafkaError]]:
    """Messages that hold a record, apart from what librdkafka reports as an error in their place.

    `FatalError` where the consumer can go on no more: librdkafka says so once, and then nothing ever comes.
    """
    records, errors = [], []
    for message in messages:
        error = message.error()
        if error is None:
            records.append(message)
        elif is_fatal(error):
            raise FatalError(f"the consumer can go on no more: {error.str()}")
        elif error.code() != KafkaError._PARTITION_EOF:  # noqa: SLF001 - the constant's public name
            errors.append(error)
    return records, errors
