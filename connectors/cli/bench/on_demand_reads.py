"""Reads on demand as people and systems ask for them, and when what they waited for was there.

They are asked for at fixed times, whatever became of those before, so that a read that takes long does not hide what others
would have waited. Every second one is asked for as `hes read` asks, the others by a Kafka client with nothing but its
defaults.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from confluent_kafka import Producer

from connectors.cli.asking import ACKS, COMMANDS, ENDED
from connectors.cli.bench.worker_rig import DAY
from connectors.cli.failure import CommandError
from connectors.cli.watching import Watch
from schemas.codec import Codec
from schemas.records import CommandAck, CommandRequest, CommandState, IntervalReadings, Operation, Target
from schemas.signatures import digest
from streams.commands.case import job_id
from streams.runtime.settings import Settings

READINGS = "hes.readings.intervals"
STAGES = ("command", "queue", "connect", "associate", "read", "pipeline", "delivery")
"""Asked to issued, issued to started, the visit's own three, finished to acknowledged, acknowledged to seen."""
WAYS = ("hes read", "plain producer")
_LOOK_S = 0.1


@dataclass(slots=True, eq=False)
class Asked:
    """One read; times in nanoseconds of this process's clock, 0 while what they are of is not there."""

    id: str
    meter: str
    way: str
    at: int
    ack: CommandAck | None = None
    acked_at: int = 0
    read_at: int = 0
    given_up_at: int = 0

    @property
    def over(self) -> bool:
        """Whether nothing more is waited for."""
        return self.ack is not None and (bool(self.read_at) or self.ack.state is not CommandState.DONE)

    @property
    def failed(self) -> str:
        """Why it did not come to a reading: a code, "unanswered", or nothing."""
        if self.ack is None:
            return "unanswered"
        return "" if self.ack.state is CommandState.DONE else self.ack.code or self.ack.state.value

    def acknowledged_ms(self) -> float:
        """From asking to the acknowledgement, or to where it was given up."""
        return ((self.acked_at or self.given_up_at) - self.at) / 1e6

    def reading_ms(self) -> float:
        """From asking to the reading, or to where it was given up."""
        return ((self.read_at or self.given_up_at) - self.at) / 1e6

    def stages_ms(self) -> dict[str, float]:
        """What the acknowledgement says of each stage, and what is left of the whole."""
        known = {stage: float(getattr(self.ack, f"{stage}_ms", None) or 0) for stage in STAGES[:-1]}
        return known | {"delivery": max(0.0, self.acknowledged_ms() - sum(known.values()))}


@dataclass(slots=True)
class Reads:
    """Asks and listens. Use as a context manager; a thread listens meanwhile."""

    settings: Settings
    codec: Codec
    meters: Sequence[str]
    _watch: Watch = field(init=False)
    _plain: Producer = field(init=False)
    _open: dict[str, Asked] = field(default_factory=dict)
    """Reads that are not over, by the ids of their commands and of their jobs."""
    _asked: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread = field(init=False)
    _failed: Exception | None = None

    def __enter__(self) -> Self:
        self._watch = Watch(self.settings, [ACKS, READINGS], self.codec)
        log = logging.getLogger("librdkafka")
        self._plain = Producer({"bootstrap.servers": self.settings.kafka.bootstrap}, logger=log)
        self._plain.list_topics(COMMANDS, timeout=10)
        self._thread = threading.Thread(target=self._listen, name="reads", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join()
        self._plain.flush(_LOOK_S)
        self._watch.__exit__(kind, error, trace)

    def during(self, seconds: float, every_s: float) -> list[Asked]:
        """Ask at a steady rate for so long; what was asked, over or not."""
        asked, began = [], time.monotonic()
        for number in range(round(seconds / every_s)):
            while (left := began + number * every_s - time.monotonic()) > 0:
                time.sleep(left)
            asked.append(self._ask())
            if self._failed is not None:
                raise CommandError(f"acknowledgements are not heard any more: {self._failed}") from self._failed
        return asked

    def settle(self, asked: Sequence[Asked], patience_s: float) -> None:
        """Wait until they are over, or so long; what is not over then is given up, and counts with the time it was given."""
        until = time.monotonic() + patience_s
        while time.monotonic() < until and not all(read.over for read in asked):
            time.sleep(_LOOK_S)
        now = time.time_ns()
        for read in asked:
            if not read.over:
                read.given_up_at = now
        self._open.clear()

    def _ask(self) -> Asked:
        meter, way = self.meters[self._asked % len(self.meters)], WAYS[self._asked % len(WAYS)]
        self._asked += 1
        at = time.time_ns()
        request = CommandRequest(
            id=f"bench-{at}",
            target=Target(meters=(meter,)),
            operation=Operation.READ_PROFILE,
            from_time=DAY[0],
            to_time=DAY[1],
            requested_by="bench",
            requested_at=at // 1_000_000,
            environment=self.settings.environment,
            reason="hes bench on-demand",
        )
        value = self.codec.encode(request)
        read = Asked(request.id, meter, way, at)
        self._open[request.id] = self._open[job_id(request.id, digest(value), meter)] = read
        if way == WAYS[0]:
            self._watch.send(COMMANDS, request.id, request, value)
        else:
            self._plain.produce(COMMANDS, value, request.id)
            self._plain.poll(0)
        return read

    def _listen(self) -> None:
        # Acknowledgements have the meter's id as their key; one that refuses a request has the command's, and is not heard.
        keys = set(self.meters)
        try:
            while not self._stop.is_set():
                for record, _ in self._watch.records(_LOOK_S, keys):
                    self._heard(record, time.time_ns())
        except Exception as error:  # noqa: BLE001 - whatever ends this thread is raised where its answer is asked for
            self._failed = error

    def _heard(self, record: object, now: int) -> None:
        if isinstance(record, IntervalReadings):
            if (read := self._open.get(record.job_id)) is not None and not read.read_at:
                read.read_at = now
        elif isinstance(record, CommandAck) and not record.job_id and record.state in ENDED:
            read = self._open.get(record.command_id)
            if read is not None and read.ack is None:
                read.acked_at, read.ack = now, record


def rows_of(asked: Sequence[Asked]) -> Iterator[dict[str, object]]:
    """A row for each stage: how many reads, and the percentiles of its milliseconds. Reads that were given up count with the
    time that they were given; stages are known of those only that were done.
    """
    done = [read for read in asked if not read.failed]
    every = {"acknowledged": [read.acknowledged_ms() for read in asked], "reading there": [r.reading_ms() for r in asked]}
    for way in WAYS:
        every[f"acknowledged, {way}"] = [read.acknowledged_ms() for read in asked if read.way == way]
    for stage in STAGES:
        every[stage] = [read.stages_ms()[stage] for read in done]
    for stage, values in every.items():
        ordered = sorted(values)
        row: dict[str, object] = {"what": stage, "reads": len(ordered)}
        for name, percent in (("p50", 50), ("p95", 95), ("p99", 99), ("max", 100)):
            row[f"{name}_ms"] = round(ordered[-(-percent * len(ordered) // 100) - 1], 1) if ordered else None
        yield row
