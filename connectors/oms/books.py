"""The books of outages: as those of other services, and quicker where thousands of records make one transaction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from confluent_kafka import KafkaError, Message

from connectors.oms.core import STATES, Out
from schemas.records import OutageEvent, OutageState, Record
from streams.runtime import metrics
from streams.runtime.books import Books, translated
from streams.runtime.errors import DeliveryError, FatalError, TemporaryError
from streams.runtime.tracing import Headers, headers_of

_PATIENCE_S = 30.0


class OutageBooks(Books):
    """Records of one kind are encoded together; states, which nobody else reads, go without headers."""

    def write_all(self, outs: Sequence[Out]) -> None:
        """As `write`."""
        values = self._all_encoded(outs)
        now = self._runtime.clock.now_ms()
        failed: list[KafkaError] = []

        def delivered(error: KafkaError | None, _message: Message) -> None:
            if error is not None:
                failed.append(error)

        try:
            with translated():
                self._producer.begin_transaction()
                for out, value in zip(outs, values, strict=True):
                    headers: Headers | None = None
                    if out.topic != STATES and out.record is not None:
                        headers = headers_of(out.record, source=self._runtime.service, at_ms=now, parent=out.parent)
                    try:
                        self._producer.produce(out.topic, value, out.key, on_delivery=delivered, headers=headers)
                    except BufferError:
                        self._wait_and_produce(out, value, headers)
                self._producer.commit_transaction(_PATIENCE_S)
        except TemporaryError:
            self.close()
            raise
        if failed:
            raise FatalError(f"Kafka committed a transaction and reported {failed[0].str()}")
        for topic, count in Counter(out.topic for out in outs).items():
            metrics.RECORDS_OUT.labels(topic).inc(count)

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

    def _wait_and_produce(self, out: Out, value: bytes | None, headers: Headers | None) -> None:
        until = self._runtime.clock.monotonic() + _PATIENCE_S
        while self._runtime.clock.monotonic() < until:
            self._producer.poll(0.1)
            try:
                self._producer.produce(out.topic, value, out.key, headers=headers)
            except BufferError:
                continue
            return
        raise DeliveryError(f"{out.topic}: the queue to Kafka stayed full for {_PATIENCE_S:.0f} s")
