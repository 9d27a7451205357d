"""hes.ticks, hes.plans and hes.jobs.bulk, written in transactions under one transactional id.

Who opens the ledger fences every process that had it before, in Kafka itself, and only then reads what is there. So a
planner that was paused and replaced cannot write, however late it wakes up, and what it had begun is never seen.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

import structlog
from confluent_kafka import OFFSET_BEGINNING, KafkaError, KafkaException, Message, Producer, TopicPartition

from schemas.codec import CodecError
from schemas.records import PlanSlice, Tick
from streams.runtime.errors import DeliveryError, FatalError
from streams.runtime.kafka import client_config, is_fatal, is_fenced, new_consumer
from streams.runtime.service import Runtime
from streams.runtime.transactions import Out, Transactions
from streams.schedules.core import PLANS, TICKS, Core, Output

_PATIENCE_S = 30.0
_RECORDS, _WAIT_S = 2_000, 0.1


class Ledger:
    """Not for several threads at once."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._producer: Producer | None = None

    def open(self, core: Core) -> None:
        """Fence whoever had it, and hand what is there to a new core. `DeliveryError` where Kafka does not answer."""
        kafka = self._runtime.settings.kafka
        config: dict[str, Any] = {
            "client.id": "hes-schedules-planner",
            "transactional.id": f"{self._runtime.group}{kafka.group_suffix}-planner",
            "transaction.timeout.ms": 30_000,
            "partitioner": "murmur2_random",
            "linger.ms": 5,
            "compression.type": "lz4",
            "queue.buffering.max.kbytes": 262_144,
        }
        self._producer = Producer(client_config(kafka) | config, logger=logging.getLogger("librdkafka"))
        try:
            self._producer.init_transactions(_PATIENCE_S)
            self._read(core)
        except KafkaException as error:
            self._producer = None
            raise DeliveryError(f"the plans cannot be opened: {error}") from error

    def write(self, outputs: Iterable[Output]) -> None:
        """Write all or nothing, a dead letter in place of what is too large for Kafka; returns when Kafka has it.

        `DeliveryError` where nothing was written and trying again can help, `FatalError` where another process plans now.
        """
        if self._producer is None:
            raise DeliveryError("the plans are not open")
        try:
            Transactions(self._runtime, self._producer).write(Out(*output) for output in outputs)
        except (KafkaException, DeliveryError) as error:
            self._abort(self._producer, error)

    def close(self) -> None:
        """Let it go."""
        self._producer = None

    def _abort(self, producer: Producer, error: KafkaException | DeliveryError) -> None:
        cause = error.args[0]
        if isinstance(cause, KafkaError) and (is_fatal(cause) or is_fenced(cause)):
            raise FatalError(f"another process has taken the planning over: {cause.str()}") from error
        try:
            producer.abort_transaction(_PATIENCE_S)
        except KafkaException as failure:
            raise FatalError(f"a transaction can be neither finished nor aborted: {failure}") from failure
        raise DeliveryError(f"nothing was planned or sent: {error}") from error

    def _read(self, core: Core) -> None:
        ends: dict[str, Any] = {"enable.partition.eof": True, "isolation.level": "read_committed"}
        consumer = new_consumer(self._runtime.settings.kafka, f"{self._runtime.group}-reads", **ends)
        behind = {TICKS, PLANS}
        try:
            consumer.assign([TopicPartition(topic, 0, OFFSET_BEGINNING) for topic in sorted(behind)])
            until = self._runtime.clock.monotonic() + _PATIENCE_S
            while behind:
                messages = consumer.consume(_RECORDS, _WAIT_S)
                self._runtime.health.progress()
                for message in messages:
                    error = message.error()
                    if error is None:
                        self._note(core, message)
                    elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - the constant's public name
                        behind.discard(message.topic() or "")
                    elif is_fatal(error) or error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                        raise KafkaException(error)
                now = self._runtime.clock.monotonic()
                if messages:
                    until = now + _PATIENCE_S
                elif now >= until:
                    raise DeliveryError(f"{', '.join(sorted(behind))} were silent for {_PATIENCE_S:.0f} s")
        finally:
            consumer.close()

    def _note(self, core: Core, message: Message) -> None:
        key = (message.key() or b"").decode("utf-8", "replace")
        try:
            record = None if message.value() is None else self._runtime.codec.decode(message.value())
        except CodecError as error:
            structlog.get_logger("schedules").warning(
                "record-unread", topic=message.topic(), code=error.code, reason=str(error)
            )
            return
        if message.topic() == PLANS and (record is None or isinstance(record, PlanSlice)):
            core.recover_slice(key, record)
        elif message.topic() == TICKS and isinstance(record, Tick):
            core.recover_tick(record)
