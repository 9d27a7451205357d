"""Dead letters: whatever cannot be used keeps its bytes, a stable code and where it came from, and can be redriven."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import replace

import structlog
from confluent_kafka import Message

from schemas.codec import Codec
from schemas.ids import event_id
from schemas.records import DeadLetter
from streams.runtime import metrics
from streams.runtime.clock import Clock
from streams.runtime.errors import TooManyDeadLettersError
from streams.runtime.kafka import Done, Outgoing, Publisher
from streams.runtime.settings import DeadLetterLimit
from streams.runtime.tracing import REPLAY, TRACE, AnyHeaders, header, headers_of, pairs_of

TOPIC = "hes.dead-letters"
TOO_LARGE = "record-too-large"
CODES = {
    TOO_LARGE: "a record that a service made is larger than Kafka takes: raise max.message.bytes of its topic, redrive it"
}
"""Codes of every service, beside its own."""


class DeadLetters:
    """Writes to `hes.dead-letters`, and stops the service when most of what it takes ends there."""

    def __init__(
        self, publisher: Publisher, codec: Codec, service: str, clock: Clock, limit: DeadLetterLimit | None = None
    ) -> None:
        self._publisher = publisher
        self._codec = codec
        self._service = service
        self._clock = clock
        self._share = None if limit is None else _Share(limit)
        self._log = structlog.get_logger("dead-letters")
        publisher.instead = self._in_place_of

    def put(
        self,
        code: str,
        detail: str,
        data: bytes,
        *,
        endpoint: str = "",
        meter_id: str = "",
        key: bytes | None = None,
        replay_id: str = "",
        done: Done | None = None,
    ) -> str:
        """Write what came from outside Kafka; its id. The same bytes refused for the same reason are one dead letter."""
        letter_id = event_id("DeadLetter", self._service, code, meter_id or endpoint.rpartition(":")[0], data)
        letter = DeadLetter(
            id=letter_id,
            service=self._service,
            code=code,
            detail=detail,
            endpoint=endpoint,
            meter_id=meter_id,
            key=key,
            data=data,
            at=self._clock.now_ms(),
        )
        self._send(letter, (meter_id or endpoint).encode(), "", replay_id, done)
        return letter_id

    def put_message(self, code: str, detail: str, message: Message) -> str:
        """Write a record that this service consumed and cannot use; its id says where it stands and what it is."""
        topic, partition, offset = message.topic() or "", message.partition(), message.offset()
        partition, offset = -1 if partition is None else partition, -1 if offset is None else offset
        return self.put_record(code, detail, topic, partition, offset, message.key(), message.value(), message.headers())

    def put_record(
        self,
        code: str,
        detail: str,
        topic: str,
        partition: int,
        offset: int,
        key: bytes | str | None,
        value: bytes | None,
        headers: AnyHeaders,
    ) -> str:
        """Like `put_message`, for clients that have no `Message`."""
        key = key.encode() if isinstance(key, str) else key
        pairs = pairs_of(headers)
        letter_id = event_id("DeadLetter", self._service, code, topic, partition, offset, value or b"")
        letter = DeadLetter(
            id=letter_id,
            service=self._service,
            code=code,
            detail=detail,
            topic=topic,
            partition=partition,
            offset=offset,
            key=key,
            headers={name: _octets(value) for name, value in pairs},
            data=value or b"",
            at=self._clock.now_ms(),
        )
        self._send(letter, key, header(pairs, TRACE), header(pairs, REPLAY), None)
        return letter_id

    def passed(self, count: int) -> None:
        """Tell how many records went well: the other side of the share."""
        if self._share is not None:
            self._share.passed(self._clock.monotonic(), count)

    def _in_place_of(self, record: Outgoing, why: str) -> Outgoing | None:
        """The letter for a record that Kafka takes not in this size; for a letter itself, a shorter one."""
        if record.topic == TOPIC:
            shorter = self._shorter(record.value or b"")
            return None if shorter is None else self._outgoing(shorter, record.key)
        letter = too_large_letter(self._service, record, why, self._clock.now_ms())
        metrics.DEAD_LETTERS.labels(letter.code).inc()
        self._log.error(letter.code, topic=record.topic, id=letter.id, reason=letter.detail)
        return self._outgoing(letter, record.key)

    def _shorter(self, value: bytes) -> DeadLetter | None:
        letter = self._codec.decode(value)
        if not isinstance(letter, DeadLetter) or len(letter.data) <= _FEW_OCTETS:
            return None
        detail = f"{letter.detail} (its first octets only)"
        return replace(letter, data=letter.data[:_FEW_OCTETS], headers={}, detail=detail, cut=True)

    def _outgoing(self, letter: DeadLetter, key: bytes | str | None) -> Outgoing:
        headers = headers_of(letter, source=self._service, at_ms=letter.at)
        return Outgoing(TOPIC, key, self._codec.encode(letter), headers)

    def _send(self, letter: DeadLetter, key: bytes | None, parent: str, replay_id: str, done: Done | None) -> None:
        letter = fitting(letter)
        metrics.DEAD_LETTERS.labels(letter.code).inc()
        headers = headers_of(letter, source=self._service, at_ms=letter.at, parent=parent, replay_id=replay_id)
        self._publisher.send(TOPIC, key, self._codec.encode(letter), headers, done)
        if self._share is not None:
            self._share.failed(self._clock.monotonic(), letter.code)


def letter_of(service: str, code: str, detail: str, message: Message, at: int) -> DeadLetter:
    """The dead letter for a record that a service consumed, to be written with what else it causes."""
    topic, partition, offset = message.topic() or "", message.partition() or 0, message.offset() or 0
    value = message.value() or b""
    return fitting(
        DeadLetter(
            id=event_id("DeadLetter", service, code, topic, partition, offset, value),
            service=service,
            code=code,
            detail=detail,
            topic=topic,
            partition=partition,
            offset=offset,
            key=message.key(),
            data=value,
            at=at,
        )
    )


def too_large_letter(service: str, record: Outgoing, why: str, at: int) -> DeadLetter:
    """The dead letter for a record that a service made and Kafka takes not."""
    value, key = record.value or b"", record.key.encode() if isinstance(record.key, str) else record.key
    return fitting(
        DeadLetter(
            id=event_id("DeadLetter", service, TOO_LARGE, record.topic, key or b"", value),
            service=service,
            code=TOO_LARGE,
            detail=f"{len(value):,} octets for {record.topic}: {why}; where the topic's max.message.bytes is below "
            "1,048,588 raise it, and redrive this; a larger record is a fault of the service",
            topic=record.topic,
            partition=-1,
            offset=-1,
            key=key,
            data=value,
            at=at,
        )
    )


def fitting(letter: DeadLetter) -> DeadLetter:
    """A letter that fits Kafka's usual limit of a record: of more octets than that its first ones. The record itself still
    stands where the letter says.
    """
    if len(letter.data) <= _MOST_OCTETS and sum(map(len, letter.headers.values())) <= _MOST_HEADERS:
        return letter
    detail = f"{letter.detail} (the first octets of {len(letter.data):,}; headers are left out)"
    data, key = letter.data[:_MOST_OCTETS], (letter.key or b"")[:_MOST_KEY]
    return replace(letter, data=data, headers={}, key=key, detail=detail, cut=True)


_MOST_OCTETS, _MOST_HEADERS, _MOST_KEY = 900_000, 50_000, 1_000
_FEW_OCTETS = 10_000


class _Share:
    """Dead letters against all records within a sliding window."""

    def __init__(self, limit: DeadLetterLimit) -> None:
        self._limit = limit
        self._seen: deque[tuple[float, int, int]] = deque()  # at, passed, failed
        self._passed = self._failed = 0
        self._lock = threading.Lock()  # a loop may have several handles

    def passed(self, now: float, count: int) -> None:
        with self._lock:
            self._add(now, count, 0)

    def failed(self, now: float, code: str) -> None:
        with self._lock:
            self._add(now, 0, 1)
            limit, total = self._limit, self._passed + self._failed
        if self._failed > limit.minimum and self._failed > limit.share * total:
            raise TooManyDeadLettersError(
                f"{self._failed} of {total} records within {limit.window_s:.0f} s became dead letters, the last for {code}; "
                "that is rather the deploy than the data: roll back, or raise dead_letters.share"
            )

    def _add(self, now: float, passed: int, failed: int) -> None:
        self._seen.append((now, passed, failed))
        self._passed += passed
        self._failed += failed
        while self._seen and self._seen[0][0] < now - self._limit.window_s:
            _, passed, failed = self._seen.popleft()
            self._passed -= passed
            self._failed -= failed


def _octets(value: bytes | str | None) -> bytes:
    return value.encode() if isinstance(value, str) else value or b""
