"""Which offset may be committed when records are finished out of order."""

from __future__ import annotations

from collections import OrderedDict

Partition = tuple[str, int]
"""Topic and partition number."""


class Watermarks:
    """Per partition, the lowest offset not yet finished. Records must be started in offset order, as Kafka gives them."""

    def __init__(self) -> None:
        self._open: dict[Partition, OrderedDict[int, bool]] = {}
        self._next: dict[Partition, int] = {}

    def start(self, partition: Partition, offset: int) -> None:
        """Note a record that was taken."""
        self._open.setdefault(partition, OrderedDict())[offset] = False

    def finish(self, partition: Partition, offset: int) -> None:
        """Note that what a record caused is acknowledged; unknown records (of a revoked partition) are passed over."""
        pending = self._open.get(partition)
        if pending is None or offset not in pending:
            return
        pending[offset] = True
        while pending:
            first, done = next(iter(pending.items()))
            if not done:
                return
            del pending[first]
            self._next[partition] = first + 1

    def take(self) -> dict[Partition, int]:
        """The offsets to commit (the next to be read) that rose since the last call."""
        risen, self._next = self._next, {}
        return risen

    def forget(self, partition: Partition) -> None:
        """Drop a partition that another worker owns now."""
        self._open.pop(partition, None)
        self._next.pop(partition, None)

    def pending(self) -> int:
        """How many records were taken and are not finished in order."""
        return sum(map(len, self._open.values()))
