"""Reservations of invocation counters in memory, as hes.counters keeps them: fencing included."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from connectors.gateway.counter_ledger import later
from connectors.gateway.reservations import FencedError, Key, Opened
from schemas.records import CounterReservation, CountersSeen
from streams.runtime.errors import TooLargeError


@dataclass
class Shared:
    """What all workers see."""

    reserved: dict[int, dict[Key, int]] = field(default_factory=dict)
    owners: dict[int, Opened] = field(default_factory=dict)
    written: list[CounterReservation] = field(default_factory=list)
    seen: dict[Key, CountersSeen] = field(default_factory=dict)


class FakeLedger:
    """One worker's way to it. `failing` are raised one after another; "after" an exception means that it was written all
    the same.
    """

    def __init__(self, shared: Shared | None = None) -> None:
        self.shared = shared or Shared()
        self.failing: list[tuple[Exception, bool]] = []
        self.too_large: set[str] = set()
        """Meters whose reservations Kafka takes not in their size."""
        self.transactions = 0

    def open(self, partition: int) -> Opened:
        opened = Opened(partition, dict(self.shared.reserved.get(partition, {})), seen=dict(self.shared.seen))
        self.shared.owners[partition] = opened
        return opened

    def reserve(self, opened: Opened, records: Sequence[CounterReservation]) -> None:
        partition = opened.partition
        if self.shared.owners.get(partition) is not opened:
            raise FencedError("another has it")
        if any(record.meter_id in self.too_large for record in records):
            raise TooLargeError("hes.counters does not take it; raise its max.message.bytes")
        failure, written = self.failing.pop(0) if self.failing else (None, True)
        if written:
            self.transactions += 1
            for record in records:
                self.shared.written.append(record)
                kept = self.shared.reserved.setdefault(partition, {})
                key = record.meter_id, record.key_ref
                assert record.reserved >= kept.get(key, 0)
                kept[key] = record.reserved
                if record.seen.mark:
                    self.shared.seen[key] = later(self.shared.seen.get(key, record.seen), record.seen)
        if failure is not None:
            raise failure

    def close(self, opened: Opened) -> None:
        if self.shared.owners.get(opened.partition) is opened:
            del self.shared.owners[opened.partition]
