"""Dead letters for records that a consumer thread of the gateway cannot use, safe in Kafka when `put` returns."""

from __future__ import annotations

import threading

from confluent_kafka import Message

from streams.runtime.dead_letters import DeadLetters
from streams.runtime.kafka import Publisher
from streams.runtime.service import Runtime


class BadRecords:
    """A dead-letter writer with a producer of its own, made when it is first needed.

    The gateway's publisher never rests, so waiting for all it has sent would take for ever; this one has only dead letters.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._lock = threading.Lock()
        self._writer: tuple[Publisher, DeadLetters] | None = None

    def put(self, code: str, detail: str, message: Message) -> None:
        """Write a record that was consumed; returns when Kafka has it, `DeliveryError` where Kafka does not take it."""
        with self._lock:
            if self._writer is None:
                publisher = Publisher(self._runtime.settings.kafka, f"hes-{self._runtime.service}-bad-records")
                letters = DeadLetters(publisher, self._runtime.codec, self._runtime.service, self._runtime.clock)
                self._writer = publisher, letters
            publisher, letters = self._writer
            letters.put_message(code, detail, message)
            publisher.flush()
