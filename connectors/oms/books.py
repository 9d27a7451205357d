"""The books of outages: as those of other services, and quicker where thousands of records make one transaction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from confluent_kafka import KafkaError, KafkaException, Message

from connectors.oms.core import Out
from connectors.oms.states import TOPIC as STATES
from schemas.records import OutageEvent, OutageState, Record
from streams.runtime import books as runtime_books
from streams.runtime import metrics
from streams.runtime.books import Books, translated
from streams.runtime.errors import DeliveryError, FatalError, TemporaryError, TooLargeError
from streams.runtime.kafka import too_large
from streams.runtime.tracing import Headers, headers_of

Delivered = Callable[[KafkaError | None, Message], None]
_PATIENCE_S = 30.0


class OutageBooks(Books):
    """Records of one kind are encoded together; states, which nobody else reads, go without headers."""

    def write_all(self, outs: Sequence[Out]) -> None:
        """As `write`."""
        try:
            with translated():
                if not self._at_once(outs):
                    self._producer.abort_transaction(_PATIENCE_S)
                    self.write([runtime_books.Out(*out) for out in outs])
                    return
        except (TemporaryError, TooLargeError):
            self.close()
            raise
        for topic, count in Counter(out.topic for out in outs).items():
            metrics.RECORDS_OUT.labels(topic).inc(count)

    def _at_once(self, outs: Sequence[Out]) -> bool:
        """One transaction; false, and it is still to be undone, where the broker found some of it too large."""
        values = self._all_encoded(outs)
        now = self._runtime.clock.now_ms()
        failed: list[KafkaError] = []

        def delivered(error: KafkaError | None, _message: Message) -> None:
            if error is not None:
                failed.append(error)

        self._producer.begin_transaction()
        try:
            for out, value in zip(outs, values, strict=True):
                headers: Headers | None = None
                if out.topic != STATES and out.record is not None:
                    headers = headers_of(out.record, source=self._runtime.service, at_ms=now, parent=out.parent)
                self._produce_soon(out, value, headers, delivered)
            self._producer.commit_transaction(_PATIENCE_S)
        except KafkaException as error:
            # Refused while more is handed over: what is next is in no transaction any more, and why is told later.
            halted = error.args[0].code() == KafkaError._STATE  # noqa: SLF001 - the constant's public name
            if halted or any(too_large(each) for each in (*failed, error.args[0])):
                return False
            raise
        if failed:
            raise FatalError(f"Kafka committed a transaction and reported {failed[0].str()}")
        return True

    def _all_encoded(self, outs: Sequence[Out]) -> list[bytes | None]:
        codec = self._runtime.codec
        together: dict[type, list[Record]] = {OutageEvent: [], OutageState: []}
        for out in outs:
            if type(out.record) in together and out.record is not None:
                together[type(out.record)].append(out.record)
        ready = {kind: iter(codec.encode_all(records)) for kind, records in together.items()}
        return [
            None
            if out.record is None
            else next(ready[type(out.record)])
            if type(out.record) in ready
            else codec.encode(out.record)
            for out in outs
        ]

    def _produce_soon(self, out: Out, value: bytes | None, headers: Headers | None, delivered: Delivered) -> None:
        until = self._runtime.clock.monotonic() + _PATIENCE_S
        while True:
            try:
                self._producer.produce(out.topic, value, out.key, on_delivery=delivered, headers=headers)
            except BufferError:
                if self._runtime.clock.monotonic() > until:
                    raise DeliveryError(f"{out.topic}: the queue to Kafka stayed full for {_PATIENCE_S:.0f} s") from None
                self._producer.poll(0.1)
            else:
                return
