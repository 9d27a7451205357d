"""Records written all or none, whatever Kafka finds too large among them.

    all at once ─▶ committed
         └─▶ a batch is refused for its size ─▶ undone ─▶ again, what is for its topic one by one ─▶ committed
                                                              └─▶ who is refused then is too large by himself

After a refusal librdkafka counts on from what the broker never had: the broker says so when that partition is written to
next, and the transaction after that begins a new count.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

import structlog
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from schemas.records import Record
from streams.runtime import metrics
from streams.runtime.dead_letters import TOPIC as DEAD_LETTERS
from streams.runtime.dead_letters import too_large_letter
from streams.runtime.errors import DeliveryError, FatalError, TooLargeError
from streams.runtime.kafka import Outgoing, too_large
from streams.runtime.service import Runtime
from streams.runtime.tracing import headers_of

_PATIENCE_S = 30.0
_TRIES = 40


@dataclass(frozen=True, slots=True)
class Out:
    """One record to write; without one, a tombstone."""

    topic: str
    key: str
    record: Record | None
    parent: str = ""
    """The trace that it belongs to."""


class Transactions:
    """By a producer whose transactions were initialised. All go to `partition`, where it is given. With `letters` a dead
    letter is written in place of a record that is too large; without, none of it is written.
    """

    def __init__(
        self,
        runtime: Runtime,
        producer: Producer,
        encode: Callable[[Record], bytes] | None = None,
        *,
        letters: bool = True,
        partition: int = -1,
    ) -> None:
        self._runtime = runtime
        self._producer = producer
        self._encode = encode or runtime.codec.encode
        self._letters = letters
        self._partition = partition
        self._log = structlog.get_logger("transactions")

    def write(self, records: Iterable[Out]) -> None:
        """All of it or nothing; returns when Kafka has it. `TooLargeError` where a record, or its letter, is too large, and
        what encoding raises: nothing is open then. KafkaException and `DeliveryError` of what else went wrong leave the
        transaction open.
        """
        outs = list(records)
        alone: set[str] = set()
        taken: set[int] = set()
        for tries in range(_TRIES):
            self._runtime.health.progress()
            refused, error = self._transact(outs, alone, taken)
            if error is None:
                return
            if tries == _TRIES // 2:  # so many that nobody can wait for each: of those, letters
                refused = {at for at, out in enumerate(outs) if out.topic in alone} - taken
            for at in refused:
                if outs[at].topic in alone:
                    outs[at] = self._in_place_of(outs[at], error)
            unsaid = not refused and too_large(error)
            alone |= {out.topic for out in outs} if unsaid else {outs[at].topic for at in refused}
        raise TooLargeError(f"{len(outs)} records were refused {_TRIES} times for the size of some; raise max.message.bytes")

    def _transact(self, outs: Sequence[Out], alone: Collection[str], taken: set[int]) -> tuple[set[int], KafkaError | None]:
        """Write all of it. Where that was undone since the broker found records too large: which, and its words. What the
        broker took is added to `taken`.
        """
        made = [self._outgoing(out) for out in outs]  # what cannot be encoded leaves no transaction open
        failed: dict[int, KafkaError] = {}
        halted = False

        def delivered(at: int, error: KafkaError | None, _message: Message) -> None:
            if error is not None:
                failed[at] = error
            else:
                taken.add(at)

        self._producer.begin_transaction()
        try:
            for at, out in enumerate(outs):
                if out.topic in alone:
                    self._producer.flush(_PATIENCE_S)
                halted = not self._produce(out, made[at], partial(delivered, at))
                if out.topic in alone:
                    self._producer.flush(_PATIENCE_S)
                if failed or halted:
                    break
            self._producer.commit_transaction(_PATIENCE_S)
        except TooLargeError:
            self._producer.abort_transaction(_PATIENCE_S)
            raise
        except KafkaException as error:
            cause: KafkaError = error.args[0]
            if (
                not any(map(too_large, (cause, *failed.values())))
                and cause.code() != KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER
            ):
                raise
            self._producer.abort_transaction(_PATIENCE_S)
            self._producer.poll(0)  # of some it may be reported only now
            refused = {at for at, each in failed.items() if too_large(each)}
            return refused, failed[min(refused)] if refused else cause
        if failed or halted:
            said = ", ".join(error.str() for error in failed.values()) or "that it had failed"
            raise FatalError(f"Kafka committed a transaction and reported {said}")
        for topic, count in Counter(out.topic for out in outs).items():
            metrics.RECORDS_OUT.labels(topic).inc(count)
        return set(), None

    def _produce(self, out: Out, made: Outgoing, delivered: Callable[[KafkaError | None, Message], None]) -> bool:
        """False where the transaction has failed already, by a record before: its commit says why."""
        topic, key, value, headers = made
        until = self._runtime.clock.monotonic() + _PATIENCE_S
        while True:
            try:
                self._producer.produce(topic, value, key, self._partition, headers=headers, on_delivery=delivered)
            except BufferError:
                if self._runtime.clock.monotonic() > until:
                    raise DeliveryError(f"{topic}: the queue to Kafka stayed full for {_PATIENCE_S:.0f} s") from None
                self._producer.poll(0.1)
            except KafkaException as error:
                if error.args[0].code() == KafkaError._STATE:  # noqa: SLF001 - the constant's public name
                    return False
                if not too_large(error.args[0]):
                    raise
                letter = self._in_place_of(out, error.args[0])
                return self._produce(letter, self._outgoing(letter), delivered)
            else:
                self._producer.poll(0)
                return True

    def _outgoing(self, out: Out) -> Outgoing:
        record = out.record
        if record is None:
            return Outgoing(out.topic, out.key, None)
        at = getattr(record, "at", 0) or self._runtime.clock.now_ms()
        headers = headers_of(record, source=self._runtime.service, at_ms=at, parent=out.parent)
        return Outgoing(out.topic, out.key, self._encode(record), headers)

    def _in_place_of(self, out: Out, error: KafkaError) -> Out:
        """The dead letter for a record that is too large. `TooLargeError` for a letter, and where none is to be written."""
        if out.topic == DEAD_LETTERS:
            raise TooLargeError(f"{DEAD_LETTERS} does not take a letter either: {error.str()}; raise its max.message.bytes")
        record = self._outgoing(out)
        if not self._letters:
            what = f"{out.topic} does not take {len(record.value or b''):,} octets"
            raise TooLargeError(f"{what}: {error.str()}; raise its max.message.bytes")
        letter = too_large_letter(self._runtime.service, record, error.str(), self._runtime.clock.now_ms())
        metrics.DEAD_LETTERS.labels(letter.code).inc()
        self._log.error(letter.code, topic=out.topic, key=out.key, id=letter.id, reason=letter.detail)
        return Out(DEAD_LETTERS, out.key, letter, out.parent)
