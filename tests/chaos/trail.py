"""Where what is missing got lost: the way of a meter's load profile by the places that it passed, and ends of topics that
went back, which no topic may do.
"""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Self

from confluent_kafka import OFFSET_END, Consumer, KafkaException, TopicPartition

from connectors.cli.demo.reconcile import Truth
from connectors.cli.topics import decoded, read_topic
from connectors.clickhouse.store import open_store
from schemas.records import IntervalReadings, Job, JobResult, Operation, Outcome
from schemas.topology import load
from streams.runtime.kafka import new_consumer
from streams.runtime.settings import Kafka, Settings

_EVERY_S, _PATIENCE_S = 1.0, 5.0


@dataclass(slots=True)
class Trail:
    """Of one meter's load profile: where each record of it stands, `topic-partition@offset`."""

    jobs: list[str] = field(default_factory=list)
    results: list[str] = field(default_factory=list)
    events: list[str] = field(default_factory=list)
    behind: list[str] = field(default_factory=list)
    rows: int = 0
    of: int = 0

    def __str__(self) -> str:
        steps = (("job", self.jobs), ("result", self.results), ("event", self.events), ("behind split", self.behind))
        found = ", ".join(f"{name} {' and '.join(where) or 'nowhere'}" for name, where in steps)
        return f"{found}, {self.rows} of {self.of} rows"


_STEPS: Mapping[str, Callable[[Trail], list[str]]] = {
    "hes.jobs.bulk": lambda trail: trail.jobs,
    "hes.events.urgent": lambda trail: trail.results,
    "hes.events.bulk": lambda trail: trail.events,
    "hes.readings.intervals": lambda trail: trail.behind,
}


def trails(given: Settings, truth: Truth) -> dict[str, Trail]:
    """The trails of meters that ClickHouse has not every interval of."""
    held = Counter(meter for meter, _, _ in truth.intervals)
    stored = _stored(given)
    found = {meter: Trail(rows=stored.get(meter, 0), of=of) for meter, of in held.items() if stored.get(meter, 0) != of}
    if not found:
        return {}
    for topic, step in _STEPS.items():
        for meter, what in _passed(given, topic):
            if (trail := found.get(meter)) is not None:
                step(trail).append(what)
    return found


def _passed(given: Settings, topic: str) -> Iterator[tuple[str, str]]:
    for message, record in decoded(given, read_topic(given, topic)):
        where = f"{topic}-{message.partition()}@{message.offset()}"
        if isinstance(record, Job) and record.operation is Operation.READ_PROFILE:
            yield record.meter_id, where
        elif isinstance(record, JobResult) and record.operation is Operation.READ_PROFILE:
            told = "" if record.outcome is Outcome.DONE else f" {record.code}: {record.detail}"
            yield record.meter_id, f"{where} {record.outcome}{told}"
        elif isinstance(record, IntervalReadings):
            yield record.meter_id, where


def _stored(given: Settings) -> Mapping[str, int]:
    store = open_store(given.clickhouse)
    try:
        sql = f"SELECT meter_id, count() AS n FROM {given.clickhouse.database}.intervals FINAL GROUP BY meter_id"  # noqa: S608 - names are ours
        return {meter: int(count) for meter, count in store.query(sql).rows}
    finally:
        store.close()


class Ends:
    """Looks at the ends of all topics on a thread, until it is left: what was acknowledged must stay."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, int], int] = {}
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        self.went_back: list[str] = []
        """Partitions that held less than before, and how much."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self._thread is not None:
            self._thread.join()

    def watch(self, settings: Kafka) -> None:
        """Begin, if it was not begun."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._look, args=[settings], name="ends", daemon=True)
            self._thread.start()

    def told(self, ends: Mapping[tuple[str, int], int]) -> None:
        """Take note of where topics end now."""
        for (topic, number), end in ends.items():
            before = self._seen.get((topic, number), 0)
            if end < before:
                self.went_back.append(f"{topic}-{number} from {before} to {end}")
            self._seen[topic, number] = end

    def _look(self, settings: Kafka) -> None:
        consumer = new_consumer(settings, "hes-chaos-ends")
        try:
            last = False
            while not last:
                last = self._over.wait(_EVERY_S)
                with contextlib.suppress(KafkaException):  # Kafka is away: that is what this is about
                    self.told(_ends(consumer))
        finally:
            consumer.close()


def _ends(consumer: Consumer) -> dict[tuple[str, int], int]:
    known = consumer.list_topics(timeout=_PATIENCE_S).topics
    parts = [(name, part) for name in load().topics.keys() & known.keys() for part in known[name].partitions]
    found = consumer.offsets_for_times([TopicPartition(*part, OFFSET_END) for part in parts], timeout=_PATIENCE_S)
    return {(part.topic, part.partition): part.offset for part in found if part.error is None and part.offset >= 0}
