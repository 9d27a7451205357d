"""What the board shows: counters from the services' own metrics, lag from Kafka, latency from the acknowledgements."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from confluent_kafka import OFFSET_END, Consumer, KafkaException, TopicPartition
from prometheus_client.parser import text_string_to_metric_families

from connectors.cli.demo.stage import SERVICES, Stage
from connectors.cli.topics import Span, decoded, read_topic
from schemas.records import Cause, CommandAck
from schemas.topology import load
from streams.runtime.kafka import new_consumer
from streams.runtime.settings import Kafka

_LATENCIES_KEPT = 100
_WINDOW_S = 5.0
_PATIENCE_S = 10.0
_IN_GROUPS = {"gateway": "hes.jobs.", "oms": "hes.alarms"}
"""How the topics begin that a service reads in its group; all else it reads whole, in none."""


@dataclass(slots=True)
class Snapshot:
    """One look at the running system."""

    at_s: float = 0.0
    registered: int = 0
    discovered: int = 0
    reads: float = 0.0  # jobs ended
    reads_failed: float = 0.0
    pushes: float = 0.0
    connections: float = 0.0
    intervals: float = 0.0  # rows stored
    registers: float = 0.0
    alarms: float = 0.0
    outages: float = 0.0
    tampers: float = 0.0
    dead_letters: Mapping[str, float] = field(default_factory=dict)
    rates: Mapping[str, float] = field(default_factory=dict)  # a second, over the last few seconds
    latency_ms: tuple[int, int, int] | None = None  # on demand: how many, p50, p99
    lag: Mapping[str, int] = field(default_factory=dict)  # by topic, all groups


_RATED = ("reads", "pushes", "intervals", "alarms")


class Watch:
    """Looks at a stage now and then. `start` follows what cannot be asked for at once."""

    def __init__(self, stage: Stage, monotonic: Callable[[], float]) -> None:
        self._stage = stage
        self._monotonic = monotonic
        self._latencies: deque[int] = deque(maxlen=_LATENCIES_KEPT)
        self._lag: dict[str, int] = {}
        self._lags = Lags(stage.settings.kafka)
        self._asking = threading.Lock()
        self._history: deque[Snapshot] = deque()
        self._began = monotonic()
        self._ended = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Follow acknowledgements and lag on threads that end with the process."""
        for target in (self._follow_acks, self._follow_lag):
            self._threads.append(threading.Thread(target=target, name=target.__name__, daemon=True))
            self._threads[-1].start()

    def stop(self) -> None:
        """End what `start` began."""
        self._ended.set()
        for thread in self._threads:
            thread.join()
        self._lags.close()

    def look(self) -> Snapshot:
        """How it stands now."""
        gateway, split, sink, oms, fraud = map(self._metrics, ("gateway", "split", "clickhouse", "oms", "fraud"))
        snapshot = Snapshot(
            at_s=self._monotonic() - self._began,
            registered=len(self._stage.meters),
            discovered=round(gateway.total("hes_records_out_total", topic="hes.meters")),
            reads=gateway.total("hes_gateway_jobs_total"),
            reads_failed=gateway.total("hes_gateway_jobs_total") - gateway.total("hes_gateway_jobs_total", outcome="DONE"),
            pushes=gateway.total("hes_gateway_pushes_total"),
            connections=gateway.total("hes_gateway_connections"),
            intervals=sink.total("hes_rows_stored_total", table="intervals"),
            registers=sink.total("hes_rows_stored_total", table="registers"),
            alarms=split.total("hes_records_out_total", topic="hes.alarms"),
            outages=oms.total("hes_records_out_total", topic="oms.outages"),
            tampers=fraud.total("hes_records_out_total", topic="fraud.tampers"),
            dead_letters=_sum(m.by("hes_dead_letters_total", "code") for m in (gateway, split, sink, oms, fraud)),
            latency_ms=_percentiles(list(self._latencies)),
            lag=self.lag(),
        )
        snapshot.rates = self._rates(snapshot)
        return snapshot

    def drained(self, topics: str = "") -> bool:
        """Whether every group has read all there is on topics of this prefix, by a look of its own; not while Kafka, or the
        leader of a partition, does not say.
        """
        try:
            with self._asking:
                self._lag = self._lags.by_topic()
        except KafkaException:
            return False
        return bool(self._lag) and not any(lag for topic, lag in self._lag.items() if topic.startswith(topics))

    def lag(self) -> dict[str, int]:
        """Records that were not read at the last look, by topic."""
        return dict(self._lag)

    def _rates(self, now: Snapshot) -> dict[str, float]:
        self._history.append(now)
        while len(self._history) > 2 and self._history[0].at_s < now.at_s - _WINDOW_S:
            self._history.popleft()
        first = self._history[0]
        passed = max(now.at_s - first.at_s, 0.001)
        return {name: max(0.0, getattr(now, name) - getattr(first, name)) / passed for name in _RATED}

    def _metrics(self, service: str) -> _Metrics:
        child = self._stage.services.get(service)
        return _Metrics(child.get("/metrics") or "" if child else "")

    def _follow_acks(self) -> None:
        with contextlib.suppress(Exception):  # a board without latency is still a board
            messages = read_topic(self._stage.settings, "hes.command-acks", Span(follow=True, ended=self._ended.is_set))
            for _, ack in decoded(self._stage.settings, messages):
                if isinstance(ack, CommandAck) and ack.cause is Cause.ON_DEMAND:
                    stages = (ack.queue_ms, ack.connect_ms, ack.associate_ms, ack.read_ms)
                    self._latencies.append(sum(stage or 0 for stage in stages))

    def _follow_lag(self) -> None:
        while not self._ended.wait(1.0):
            with contextlib.suppress(KafkaException), self._asking:
                self._lag = self._lags.by_topic()


class _Metrics:
    """A service's metrics, summed over labels."""

    def __init__(self, text: str) -> None:
        self._samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]

    def total(self, name: str, **labels: str) -> float:
        return sum(s.value for s in self._samples if s.name == name and labels.items() <= s.labels.items())

    def by(self, name: str, label: str) -> dict[str, float]:
        return _sum({s.labels[label]: s.value} for s in self._samples if s.name == name)


class Lags:
    """How far the groups of services are behind.

    Asked by consumers that join no group: librdkafka's admin client aborts the process where the broker goes away while it
    is asked for offsets. For one thread at a time.
    """

    def __init__(self, settings: Kafka, services: Iterable[str] = SERVICES) -> None:
        self._settings = settings
        self._services = {name: load().services[name] for name in services}
        self._consumers: dict[str, Consumer] = {}

    def by_topic(self) -> dict[str, int]:
        """Records not yet committed; what was never committed counts whole. `KafkaException` where Kafka is away."""
        lag: dict[str, int] = {}
        for name, service in self._services.items():
            if name not in self._consumers:
                self._consumers[name] = new_consumer(self._settings, service.group_id, **{"group.instance.id": ""})
            consumer = self._consumers[name]
            known = consumer.list_topics(timeout=_PATIENCE_S).topics
            topics = [topic for topic in service.consumes if topic.startswith(_IN_GROUPS.get(name, ""))]
            parts = [TopicPartition(topic, number) for topic in topics for number in known[topic].partitions]
            done = {(part.topic, part.partition): part.offset for part in consumer.committed(parts, timeout=_PATIENCE_S)}
            latest = [TopicPartition(part.topic, part.partition, OFFSET_END) for part in parts]
            for part in consumer.offsets_for_times(latest, timeout=_PATIENCE_S):
                if part.error is not None:
                    raise KafkaException(part.error)
                behind = part.offset - max(0, done[part.topic, part.partition])
                lag[part.topic] = lag.get(part.topic, 0) + max(0, behind)
        return lag

    def close(self) -> None:
        """Part from Kafka."""
        for consumer in self._consumers.values():
            consumer.close()
        self._consumers.clear()


def _sum(parts: Iterable[Mapping[str, float]]) -> dict[str, float]:
    total: dict[str, float] = {}
    for part in parts:
        for name, value in part.items():
            total[name] = total.get(name, 0) + value
    return total


def _percentiles(values: list[int]) -> tuple[int, int, int] | None:
    if not values:
        return None
    values.sort()
    return len(values), values[len(values) // 2], values[min(len(values) - 1, len(values) * 99 // 100)]
