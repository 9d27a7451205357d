"""What jobs come to, on its way to Kafka: what was read, then how it ended, then the offset, which waits for frames too.

What Kafka does not take is sent again, as often as it takes, with the same ids. On the event loop.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import count
from typing import Protocol

import structlog

from connectors.gateway.directory import Directory
from connectors.gateway.drivers.port import Found
from connectors.gateway.emit import Emitter, Outgoing, Statement, TooLargeError
from connectors.gateway.errors import JobError
from connectors.gateway.intake import Ticket
from connectors.gateway.jobs import Task
from connectors.gateway.results import outcome_of, result_of
from connectors.gateway.visit import Stages
from schemas.codec import CodecError
from schemas.records import Alarm, Outcome, Record, SessionFrames
from streams.runtime import metrics
from streams.runtime.clock import Clock

_DELIVER_AGAIN_MS = 2_000


class Offsets(Protocol):
    """Where finished jobs go."""

    def finish(self, ticket: Ticket) -> None:
        """Kafka has everything that the job caused."""

    def refuse(self, code: str, detail: str, ticket: Ticket) -> None:
        """The job's record is to become a dead letter, and then to be finished."""


@dataclass(slots=True, eq=False)
class Conclusion:
    """How a job ended."""

    task: Task
    error: JobError | None
    found: Found
    stages: Stages
    refuse: bool = False
    """Whether its record becomes a dead letter, too."""


class Outcomes:
    """Everything that Kafka is to have of jobs. `gone` is told of each whose offset is let go."""

    def __init__(
        self, clock: Clock, emitter: Emitter, directory: Directory, offsets: Offsets, gone: Callable[[Task], None]
    ) -> None:
        self._clock = clock
        self._emitter = emitter
        self._directory = directory
        self._offsets = offsets
        self._gone = gone
        self._unframed: dict[Task, Callable[[], None]] = {}
        """Jobs of which nothing but frames is missing in Kafka, and what is to be done then."""
        self._again: list[tuple[int, int, Sequence[Outgoing], Callable[[], None]]] = []
        self._order = count()
        self._log = structlog.get_logger("worker")
        self.undelivered = 0
        """Groups of records that Kafka does not have."""

    def tick(self, now_ms: int) -> None:
        """Send again what Kafka did not take."""
        while self._again and self._again[0][0] <= now_ms:
            _, _, outgoing, then = heappop(self._again)
            self._deliver(outgoing, then)

    def conclude(self, ended: Sequence[Conclusion]) -> None:
        """Write what was read, then how it ended, then let the offset go; of many jobs at once."""
        now = self._clock.now_ms()
        try:
            encoded = self._emitter.encode_all([self._stated(item, now) for item in ended], now)
        except (CodecError, TooLargeError) as failure:
            if len(ended) > 1:
                for item in ended:
                    self.conclude((item,))
                return
            code = failure.code if isinstance(failure, CodecError) else "record-oversized"
            item = ended[0]
            item.error, item.found = JobError(code, str(failure)), Found()
            encoded = self._emitter.encode_all([self._stated(item, now)], now)
        for item, (result, *readings) in zip(ended, encoded, strict=True):
            self._tell(item, result, readings)

    def _stated(self, item: Conclusion, now: int) -> Statement:
        """The result, and before it in time what was read."""
        task, found = item.task, item.found
        ticket, meter = task.ticket, self._directory.get(task.job.meter_id)
        result = result_of(task, meter, item.error, found, item.stages, now)
        return Statement((result, *found.readings), task.job.meter_id, ticket.trace, ticket.replay_id)

    def _tell(self, item: Conclusion, result: Outgoing, readings: Sequence[Outgoing]) -> None:
        task, error = item.task, item.error
        outcome = Outcome.DONE if error is None else outcome_of(error)
        metrics.JOBS.labels(outcome.value, "" if error is None else error.code).inc()
        metrics.JOB_SECONDS.observe((self._clock.now_ms() - item.stages.started_at) / 1000)

        def finish() -> None:
            self._gone(task)
            if item.refuse and error is not None:
                self._offsets.refuse(error.code, error.detail, task.ticket)
            else:
                self._offsets.finish(task.ticket)

        def told() -> None:
            if task.unframed:
                self._unframed[task] = finish
            else:
                finish()

        if readings:
            self._deliver(readings, lambda: self._deliver((result,), told))
        else:
            self._deliver((result,), told)

    def framed(self, task: Task, frames: SessionFrames) -> None:
        """The frames of one of a job's tries."""

        def kept() -> None:
            task.unframed -= 1
            if not task.unframed and (finish := self._unframed.pop(task, None)) is not None:
                finish()

        if frames.frames:
            self._deliver(self._encoded((frames,), frames.meter_id, task.ticket), kept)
        else:
            kept()

    def keep(self, frames: SessionFrames) -> None:
        """Frames for which no offset waits."""
        if frames.frames:
            self._deliver(self._encoded((frames,), frames.meter_id, None), lambda: None)

    def alarm(self, alarms: Sequence[Alarm]) -> None:
        """What the gateway itself wants known."""
        for alarm in alarms:
            self._deliver(self._encoded((alarm,), alarm.meter_id, None), lambda: None)

    def _encoded(self, records: Sequence[Record], key: str, ticket: Ticket | None) -> list[Outgoing]:
        trace, replay_id = ("", "") if ticket is None else (ticket.trace, ticket.replay_id)
        return self._emitter.encode(records, key, self._clock.now_ms(), trace, replay_id)

    def _deliver(self, outgoing: Sequence[Outgoing], then: Callable[[], None]) -> None:
        """Send until Kafka has it, then go on."""
        self.undelivered += 1

        def reported(error: Exception | None) -> None:
            self.undelivered -= 1
            if error is None:
                then()
                return
            self._log.warning("result-not-delivered", records=len(outgoing), reason=str(error))
            heappush(self._again, (self._clock.now_ms() + _DELIVER_AGAIN_MS, next(self._order), outgoing, then))

        self._emitter.send(outgoing, reported)
