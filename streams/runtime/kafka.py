"""Kafka clients as every service wants them: an idempotent publisher that tells when a record is safe, and consumers
that commit only what they are told to.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import count
from typing import Any, NamedTuple

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer
from confluent_kafka.admin import AdminClient
from prometheus_client import Counter

from streams.runtime import metrics
from streams.runtime.errors import DeliveryError, FatalError
from streams.runtime.lag import EVERY_MS, tell_lag
from streams.runtime.settings import Kafka
from streams.runtime.tracing import Headers

Done = Callable[[Exception | None], None]
"""Called once for a record: with None when the broker has it, else with what went wrong. On the thread that polls."""


class Outgoing(NamedTuple):
    """A record ready to be sent."""

    topic: str
    key: str | bytes | None
    value: bytes | None
    headers: Headers | None = None


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
        self._producer = Producer(
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
            | overrides,
            logger=logging.getLogger("librdkafka"),
        )

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
        self._producer.poll(0)

    def flush(self) -> None:
        """Wait until the broker has everything; `DeliveryError` where it has not, after the delivery timeout."""
        left = self._producer.flush(self._timeout + 5)
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
        self._producer.flush(self._timeout)

    def __len__(self) -> int:
        return len(self._producer)

    def _poll(self) -> None:
        while not self._stop.is_set():
            self._producer.poll(0.1)

    def _produce(self, record: Outgoing, delivered: Callable[[KafkaError | None, Message], None]) -> None:
        topic, key, value, headers = record
        waited = 0.0
        while True:
            try:
                self._producer.produce(topic, value, key, headers=headers, on_delivery=delivered)
            except BufferError:
                self._producer.poll(0.1)
                waited += 0.1
                if waited > self._timeout:
                    raise DeliveryError(f"{topic}: the queue to Kafka stayed full for {self._timeout:.0f} s") from None
            except KafkaException as error:
                raise self._translated(topic, error.args[0]) from error
            else:
                return

    def _reported(self, error: KafkaError | None, topic: str) -> Exception | None:
        """Count a delivery report; what went wrong, if anything."""
        if error is None:
            _acknowledged(topic).inc()
            return None
        metrics.DELIVERY_FAILURES.labels(topic).inc()
        return self._translated(topic, error)

    @staticmethod
    def _translated(topic: str, error: KafkaError) -> Exception:
        if error.fatal():
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
    """A consumer that commits nothing by itself, starts a new group at the beginning, and assigns by range."""
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
        "stats_cb": tell_lag,
    }
    if settings.instance_id:
        config["group.instance.id"] = f"{settings.instance_id}-{group}"
    return Consumer(config | overrides, logger=logging.getLogger("librdkafka"))


def values_of(messages: Sequence[Message]) -> tuple[list[Message], list[KafkaError]]:
    """Messages that hold a record, apart from what librdkafka reports as an error in their place."""
    records, errors = [], []
    for message in messages:
        error = message.error()
        if error is None:
            records.append(message)
        elif error.code() != KafkaError._PARTITION_EOF:  # noqa: SLF001 - the constant's public name
            errors.append(error)
    return records, errors
