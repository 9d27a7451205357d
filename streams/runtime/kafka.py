"""Kafka clients as every service wants them: an idempotent publisher that tells when a record is safe, and consumers
that commit only what they are told to.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer
from confluent_kafka.admin import AdminClient

from streams.runtime import metrics
from streams.runtime.errors import DeliveryError, FatalError
from streams.runtime.settings import Kafka
from streams.runtime.tracing import Headers

Done = Callable[[Exception | None], None]
"""Called once for a record: with None when the broker has it, else with what went wrong. On the poller's thread."""


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

    def __init__(self, settings: Kafka, client_id: str) -> None:
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
            },
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
            self._delivered(error, message.topic() or topic, done)

        waited = 0.0
        while True:
            try:
                self._producer.produce(topic, key=key, value=value, headers=headers, on_delivery=delivered)
            except BufferError:
                self._producer.poll(0.1)
                waited += 0.1
                if waited > self._timeout:
                    raise DeliveryError(f"{topic}: the queue to Kafka stayed full for {self._timeout:.0f} s") from None
            except KafkaException as error:
                raise self._translated(topic, error.args[0]) from error
            else:
                self._producer.poll(0)
                return

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

    def _delivered(self, error: KafkaError | None, topic: str, done: Done | None) -> None:
        if error is None:
            metrics.RECORDS_OUT.labels(topic).inc()
            if done is not None:
                done(None)
            return
        metrics.DELIVERY_FAILURES.labels(topic).inc()
        failure = self._translated(topic, error)
        if done is not None:
            done(failure)
        else:
            self._failed = self._failed or failure

    @staticmethod
    def _translated(topic: str, error: KafkaError) -> Exception:
        if error.fatal():
            return FatalError(f"{topic}: the producer can go on no more: {error.str()}")
        return DeliveryError(f"{topic}: Kafka did not take a record: {error.str()}")


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
