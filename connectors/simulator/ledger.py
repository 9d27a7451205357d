"""The truth file: what a fleet held and sent, one JSON object a line. Only checks read it.

Each line has `t`. `interval`: a row of the load profile that a meter holds (meter, channel, end ms, raw). `push`: one push,
written when it is finished: confirmed true (the head-end answered), false (given up at the end), or null (its transport
has no confirmation, or its bytes are wrong on purpose).
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from connectors.simulator.plan import MeterPlan
from connectors.simulator.truth import QUARTER_MS

BAD = ("bad-", "garbage", "unknown-")
"""How the names of pushes start that no head-end can turn into events."""


def sha256(content: bytes) -> str:
    """The digest as the truth file writes it."""
    return hashlib.sha256(content).hexdigest()


@dataclass(slots=True)
class PushEntry:
    """One push as the truth file states it."""

    push_id: int
    meter: str
    what: str
    sent_at: int  # ms: the first attempt
    meter_time: int  # ms: what the telegram says
    values: Sequence[tuple[str, int | str]]
    sha256: str  # of the plain APDU; of the bytes where they are wrong on purpose
    transport: str
    attempts: int = 0
    confirmed: bool | None = None
    wire: list[str] = field(default_factory=list)  # SHA-256 of the bytes of each attempt


@dataclass(frozen=True, slots=True)
class Truth:
    """The truth file, read back by a check."""

    intervals: dict[tuple[str, str, int], int]  # (meter, channel, end ms) → raw
    pushes: tuple[PushEntry, ...]  # in the order in which they were finished

    @classmethod
    def read(cls, path: Path) -> Truth:
        """All of a truth file. A last line that a killed fleet left unfinished is left out."""
        intervals: dict[tuple[str, str, int], int] = {}
        pushes = []
        with path.open(encoding="utf-8") as file:
            for text in file:
                if not text.endswith("\n"):
                    break
                line = json.loads(text)
                kind = line.pop("t")
                if kind == "interval":
                    intervals[line["meter"], line["channel"], line["end"]] = line["raw"]
                elif kind == "push":
                    pushes.append(PushEntry(**line | {"values": [(obis, raw) for obis, raw in line["values"]]}))
        return cls(intervals, tuple(pushes))


class Ledger:
    """Appends to the truth file and counts."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("w", encoding="utf-8")
        self.pushes: Counter[str] = Counter()  # by what
        self.confirmed = self.unconfirmed = self.lost = self.resent = 0
        self.intervals = 0
        self.relay_moves = 0

    def __enter__(self) -> Ledger:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Flush and close."""
        if not self._file.closed:
            self._file.flush()
            self._file.close()

    def write_intervals(self, fleet: Iterable[MeterPlan], start: int, end: int) -> None:
        """Every row whose interval ends in [start, end), of both channels."""
        first = -(-start // QUARTER_MS) * QUARTER_MS
        for plan in fleet:
            lines = [
                f'{{"t":"interval","meter":"{plan.id}","channel":"{channel}","end":{at},"raw":{plan.row(channel, at)}}}\n'
                for channel in plan.channels
                for at in range(first, end, QUARTER_MS)
            ]
            self._file.writelines(lines)
            self.intervals += len(lines) // 2
        self._file.flush()

    def write_push(self, entry: PushEntry) -> None:
        """Append a finished push and flush."""
        line = {"t": "push"} | {name: getattr(entry, name) for name in PushEntry.__slots__}
        self._file.write(json.dumps(line, separators=(",", ":")) + "\n")
        self._file.flush()
        self.pushes[entry.what] += 1
        self.resent += max(entry.attempts - 1, 0)
        if entry.confirmed is None:
            self.unconfirmed += 1
        elif entry.confirmed:
            self.confirmed += 1
        else:
            self.lost += 1

    def write_relay(self, meter: str, at: int, *, connected: bool) -> None:
        """Append a move of a meter's relay and flush."""
        line = {"t": "relay", "meter": meter, "at": at, "connected": connected}
        self._file.write(json.dumps(line, separators=(",", ":")) + "\n")
        self._file.flush()
        self.relay_moves += 1

    def summary(self) -> dict[str, object]:
        """Counts, for the last line on stdout."""
        bad = sum(count for what, count in self.pushes.items() if what.startswith(BAD))
        return {
            "intervals": self.intervals,
            "pushes": sum(self.pushes.values()),
            "confirmed": self.confirmed,
            "unconfirmed": self.unconfirmed,
            "not_confirmed": self.lost,
            "resent": self.resent,
            "bad": bad,
            "by_kind": dict(sorted(self.pushes.items())),
        }
