"""hes.counters as the ledger of reserved invocation counters.

A reservation lies in the partition of the meter's jobs, whatever its key, so that who owns the jobs owns the counters; see
`fenced_topic`.
"""

from __future__ import annotations

from collections.abc import Sequence

from confluent_kafka import Message

from connectors.gateway.bad_records import BadRecords
from connectors.gateway.fenced_topic import FencedTopic
from connectors.gateway.reservations import Key, Opened
from schemas.codec import CodecError
from schemas.records import CounterReservation, CountersSeen
from streams.runtime.service import Runtime

TOPIC = "hes.counters"


class CounterLedger:
    """See `reservations.Ledger`."""

    def __init__(self, runtime: Runtime, bad: BadRecords) -> None:
        self._codec = runtime.codec
        self._bad = bad
        self._topic = FencedTopic(runtime, TOPIC, "counters")

    def open(self, partition: int) -> Opened:
        """See `reservations.Ledger`."""
        reserved: dict[Key, int] = {}
        seen: dict[Key, CountersSeen] = {}
        writer = self._topic.open(partition, lambda message: self._note(message, reserved, seen))
        return Opened(partition, reserved, writer, seen)

    def reserve(self, opened: Opened, records: Sequence[CounterReservation]) -> None:
        """See `reservations.Ledger`."""
        keyed = [("|".join((record.meter_id, str(record.client), record.key_ref)), record) for record in records]
        self._topic.write(opened.writer, keyed)

    def close(self, opened: Opened) -> None:
        """See `reservations.Ledger`."""
        self._topic.close(opened.writer)

    def _note(self, message: Message, reserved: dict[Key, int], seen: dict[Key, CountersSeen]) -> None:
        value = message.value()
        if value is None:
            return
        try:
            record = self._codec.decode(value)
        except CodecError as error:
            self._bad.put(error.code, str(error), message)
            return
        if not isinstance(record, CounterReservation):
            self._bad.put("record-unexpected", f"a {type(record).__name__} on {TOPIC}", message)
            return
        key = record.meter_id, record.key_ref
        reserved[key] = max(reserved.get(key, 0), record.reserved)
        if record.seen.mark:
            seen[key] = later(seen.get(key, record.seen), record.seen)


def later(before: CountersSeen, after: CountersSeen) -> CountersSeen:
    """What two records of one key, in the order in which they were written, say together: a key has one for each client."""
    if before.mark != after.mark:
        return after
    return CountersSeen(after.mark, max(before.meter, after.meter), max(before.ours, after.ours))
