"""A meter's history and event logs as rings of entries (C12.19, tables 74 and 76)."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from connectors.simulator.c12.kinds import C12Kind
from connectors.simulator.c12.layout import ARGUMENT, LOG_ENTRIES
from connectors.simulator.c12.packing import id_b, ltime, number

EMPTY, POWER_DOWN, POWER_UP, TIME_BEFORE, TIME_AFTER, PROCEDURE, DEMAND_RESET = 0, 1, 2, 5, 6, 9, 20
CLOCK_ERROR, LOW_POTENTIAL, TAMPER, REVERSE_ROTATION, CONTROL_POINT = 42, 45, 47, 48, 49
"""The standard's event codes."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What happened, by the meter's clock."""

    seconds: int
    code: int
    user: int = 0
    argument: bytes = b""


@dataclass(slots=True)
class Ring:
    """The newest entries; older ones were overwritten."""

    entries: deque[tuple[int, Entry]] = field(default_factory=lambda: deque(maxlen=LOG_ENTRIES))
    count: int = 0
    unread: int = 0

    def add(self, entry: Entry) -> int:
        """Log it; its sequence number."""
        self.count += 1
        self.entries.append((self.count, entry))
        self.unread = min(self.unread + 1, LOG_ENTRIES)
        return self.count

    def table(self, kind: C12Kind) -> bytes:
        """All of table 74 or 76, whose entries are laid out alike here; a sequence number has one place."""
        places = {(number_ - 1) % LOG_ENTRIES: packed(number_, entry, kind) for number_, entry in self.entries}
        empty = packed(0, Entry(0, EMPTY), kind)
        newest = (self.count - 1) % LOG_ENTRIES if self.count else 0
        overflow = 2 if self.count > LOG_ENTRIES else 0
        head = bytes((1 << 2 | overflow,)) + number(len(self.entries), 2) + number(newest, 2) + number(self.count, 4)
        return head + number(self.unread, 2) + b"".join(places.get(at, empty) for at in range(LOG_ENTRIES))


def notice(entries: list[tuple[int, Entry]], kind: C12Kind) -> bytes:
    """Table 76 with these entries and no others, as a meter takes its log along in a notification."""
    head = bytes((0,)) + number(len(entries), 2) + number(len(entries) - 1, 2) + number(entries[-1][0], 4)
    return head + number(len(entries), 2) + b"".join(packed(number_, entry, kind) for number_, entry in entries)


def packed(sequence: int, entry: Entry, kind: C12Kind) -> bytes:
    """One entry: time, sequence number, user, code, argument."""
    argument = entry.argument[:ARGUMENT].ljust(ARGUMENT, b"\0")
    return ltime(entry.seconds, kind) + number(sequence, 2) + number(entry.user, 2) + id_b(entry.code) + argument
