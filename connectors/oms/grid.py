"""Where each meter hangs, as hes.meters has it: a million meters in some 110 MB.

Counts per transformer and feeder are kept up as meters come and go, so that asking costs nothing in a storm.
"""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from collections.abc import Sequence

import structlog
from confluent_kafka import Message

from connectors.oms.core import Where
from schemas.records import Meter, MeterState
from streams.runtime.follow import Follower, read_records
from streams.runtime.service import Runtime

TOPIC = "hes.meters"
_GONE = (MeterState.RETIRED, MeterState.EXCHANGED, MeterState.DISCOVERED)


class Grid:
    """Meters by id, for several threads at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._meters: dict[str, Where] = {}
        self._shared: dict[Where, Where] = {}
        self._premises: Counter[str] = Counter()
        self._transformers: dict[str, Counter[str]] = defaultdict(Counter)
        self._moved: set[str] = set()

    def __len__(self) -> int:
        return len(self._meters)

    def where(self, meter: str) -> Where | None:
        """Where a meter hangs; None where it is not registered."""
        return self._meters.get(meter)

    def premises(self, transformer: str) -> int:
        """How many living meters hang below a transformer; 0 where nobody knows."""
        return self._premises.get(transformer, 0)

    def transformers(self, feeder: str) -> int:
        """How many transformers with living meters a feeder has; 0 where nobody knows."""
        return len(self._transformers.get(feeder, ()))

    def take_moved(self) -> set[str]:
        """Meters that moved, came to life or ceased to since the last call."""
        if not self._moved:
            return set()
        with self._lock:
            moved, self._moved = self._moved, set()
            return moved

    def apply(self, meter_id: str, meter: Meter | None) -> None:
        """Take over a meter as it is now, or its end."""
        with self._lock:
            before = self._meters.get(meter_id)
            place = None if meter is None else _place(meter)
            if place == before:
                return
            if before is not None:
                self._count(before, -1)
                self._moved.add(meter_id)
            if place is None:
                del self._meters[meter_id]
            else:
                self._meters[meter_id] = self._shared.setdefault(place, place)
                self._count(place, 1)

    def _count(self, place: Where, step: int) -> None:
        if not place.lives or not place.transformer:
            return
        self._premises[place.transformer] += step
        if not self._premises[place.transformer]:
            del self._premises[place.transformer]
        if place.feeder:
            below = self._transformers[place.feeder]
            below[place.transformer] += step
            if not below[place.transformer]:
                del below[place.transformer]


def _place(meter: Meter) -> Where:
    return Where(meter.transformer, meter.feeder, meter.life_support, meter.state not in _GONE)


class GridFollower(Follower):
    """Keeps a grid as hes.meters has it."""

    def __init__(self, runtime: Runtime, grid: Grid) -> None:
        super().__init__(runtime, TOPIC, self._apply)
        self._service = runtime
        self._grid = grid

    def _apply(self, messages: Sequence[Message]) -> None:
        for key, record, _ in read_records(self._service, messages):
            if record is None or isinstance(record, Meter):
                self._grid.apply(key, record)
            else:
                structlog.get_logger("follow").warning("record-unexpected", topic=TOPIC, record=type(record).__name__)
