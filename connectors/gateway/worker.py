"""Jobs to visits, visits to results: what is read goes to hes.events.bulk, how it ended to hes.events.urgent, then
the offset.

Everything runs on the event loop and is moved by `tick`. Nothing is finished before Kafka has what it caused; what
Kafka does not take is sent again, as often as it takes, with the same ids.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import count
from typing import Protocol

import structlog

from connectors.gateway.conversation import apdu_pushes
from connectors.gateway.deliveries import Deliveries, Then
from connectors.gateway.emit import Emitter, Outgoing, TooLargeError
from connectors.gateway.errors import JobError
from connectors.gateway.intake import Ticket
from connectors.gateway.jobs import Jobs, Task
from connectors.gateway.keystore import KeyStore
from connectors.gateway.operations import Found, Order, Shapes, order_of
from connectors.gateway.pipeline import Pipeline
from connectors.gateway.visit import Connect, Stages, Visit, expiry
from connectors.protocols.dlms.errors import DlmsError, FramingError, PeerError
from connectors.protocols.dlms.template import Template
from schemas.codec import CodecError
from schemas.ids import event_id
from schemas.records import JobResult, Meter, Outcome, Record, SessionFrames
from streams.runtime import metrics
from streams.runtime.clock import Clock
from streams.runtime.offsets import Partition
from streams.runtime.settings import Gateway

_PAUSE_MS, _LONGEST_PAUSE_MS = 2_000, 60_000
_LOOKS, _LOOK_AGAIN_MS = 5, 1_000
_DELIVER_AGAIN_MS = 2_000
_OUTCOMES = {"job-expired": Outcome.EXPIRED}


class Offsets(Protocol):
    """Where finished jobs go."""

    def finish(self, ticket: Ticket) -> None:
        """Kafka has everything that the job caused."""

    def refuse(self, code: str, detail: str, ticket: Ticket) -> None:
        """The job's record is to become a dead letter, and then to be finished."""


@dataclass(frozen=True, slots=True)
class Tools:
    """What a worker works with."""

    settings: Gateway
    clock: Clock
    keys: KeyStore
    templates: Mapping[str, Template]
    pipeline: Pipeline
    emitter: Emitter
    deliveries: Deliveries
    offsets: Offsets
    connect: Connect
    chance: Callable[[], float]
    """Between 0 and 1, for jitter."""


class Worker:
    """Takes jobs, visits meters. Also the `visit.Host` of its visits."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._jobs = Jobs()
        self._shapes = Shapes()
        self._visits: dict[Visit, asyncio.Task[None]] = {}
        self._again: list[tuple[int, int, Sequence[Outgoing], Callable[[], None]]] = []
        self._order = count()
        self._undelivered = 0
        self._stopping = False
        self._log = structlog.get_logger("worker")
        self.settings = tools.settings
        self.clock = tools.clock
        self.keys = tools.keys
        self.connect = tools.connect

    @property
    def busy(self) -> bool:
        """Whether visits are under way, or results that Kafka does not have."""
        return bool(self._visits or self._undelivered)

    def take(self, tickets: Sequence[Ticket]) -> None:
        """Jobs came."""
        now = self.clock.now_ms()
        limit = now + round(self.settings.job_timeout_s * 1000)
        for ticket in tickets:
            deadline = ticket.job.deadline
            late = max(limit, (ticket.job.not_before or 0) + limit - now)
            self._jobs.add(Task(ticket, now, late if deadline is None else deadline), now)

    def revoked(self, partitions: set[Partition]) -> None:
        """Other workers own these partitions now. Visits under way end as they do; their results change nothing twice."""
        self._jobs.drop(partitions)

    def tick(self) -> None:
        """Everything that time brings; several times a second."""
        now, now_ms = self.clock.monotonic(), self.clock.now_ms()
        for visit in tuple(self._visits):
            visit.tick(now, now_ms)
        for task in self._jobs.expired(now_ms):
            self._conclude(task, expiry(task), Found(), Stages(now_ms), None)
        while self._again and self._again[0][0] <= now_ms:
            _, _, outgoing, then = heappop(self._again)
            self._deliver(outgoing, then)
        if not self._stopping and not self._tools.deliveries.full:
            self._visit_next(now_ms)

    def drain(self) -> None:
        """Open no more sessions and begin no more jobs; what is under way goes on."""
        self._stopping = True

    async def abandon(self) -> None:
        """Give up what is under way; it is read again by whoever comes next."""
        running = list(self._visits.values())
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    def next_order(self, meter: Meter) -> tuple[Task, Order] | None:
        """See `visit.Host`."""
        while not self._stopping and (task := self._jobs.take(meter.id)) is not None:
            now = self.clock.now_ms()
            if now >= task.expires_at:
                self._conclude(task, expiry(task), Found(), Stages(now), None)
                continue
            try:
                order = order_of(task.job, meter, self._tools.templates, self.clock.now_ms, self._shapes)
            except JobError as error:
                self._conclude(task, error, Found(), Stages(now), None)
                continue
            task.tries += 1
            return task, order
        return None

    def ended(self, task: Task, error: Exception | None, found: Found, stages: Stages, frames: SessionFrames) -> None:
        """See `visit.Host`."""
        now = self.clock.now_ms()
        if error is not None and _retryable(error) and task.tries < self.settings.attempts and not self._stopping:
            pause = self._pause(task.tries)
            if now + pause < task.expires_at:
                self._log.info("job-retried", job=task.job.id, meter=task.job.meter_id, tries=task.tries, reason=str(error))
                self.keep(frames)
                self._jobs.add(task, now, not_before=now + pause)
                return
        if self._stopping and error is not None and _retryable(error):
            self.keep(frames)
            return  # its offset stays: the next worker tries again
        self._conclude(task, error, found, stages, frames)

    def unreachable(self, meter: Meter, error: Exception) -> None:
        """See `visit.Host`: each job that is due for the meter is charged with the try."""
        now = self.clock.now_ms()
        waiting = []
        while (task := self._jobs.take(meter.id)) is not None:
            task.tries += 1
            waiting.append(task)
        for task in waiting:
            self.ended(task, error, Found(), Stages(now), SessionFrames())

    def keep(self, frames: SessionFrames) -> None:
        """See `visit.Host`: no offset waits for these."""
        if frames.frames:
            self._deliver(self._encoded((frames,), frames.meter_id, None), lambda: None)

    def unsolicited(self, apdu: bytes, endpoint: str, reply: Callable[[bytes], None]) -> None:
        """See `visit.Host`: it takes the way of every push."""
        for push in apdu_pushes(self._tools.pipeline, apdu, endpoint, self.clock.now_ms()):
            self._tools.emitter.push(push, _answer(push.reply, reply))

    def _visit_next(self, now_ms: int) -> None:
        most = self.settings.sessions
        for_bulk = most - max(1, most // 10) if most > 1 else 1  # some stay free for what is urgent
        while len(self._visits) < most:
            meter_id = self._jobs.next_meter(now_ms, bulk=len(self._visits) < for_bulk)
            if meter_id is None:
                return
            meter = self._tools.pipeline.directory.get(meter_id)
            if meter is None:
                self._look_again(meter_id, now_ms)
                continue
            visit = Visit(self, meter)
            running = asyncio.get_running_loop().create_task(visit.run())
            self._visits[visit] = running
            metrics.SESSIONS.set(len(self._visits))
            running.add_done_callback(lambda _, visit=visit: self._over(visit))  # type: ignore[misc]  # a default binds it now

    def _over(self, visit: Visit) -> None:
        del self._visits[visit]
        metrics.SESSIONS.set(len(self._visits))
        now = self.clock.now_ms()
        self._jobs.rest(visit.meter.id, now, now + _PAUSE_MS if visit.failed else 0)

    def _look_again(self, meter_id: str, now_ms: int) -> None:
        """A meter may have been imported a moment before its job was written: wait for hes.meters a little."""
        while (task := self._jobs.take(meter_id)) is not None:
            task.looks += 1
            if task.looks <= _LOOKS:
                self._jobs.add(task, now_ms, not_before=now_ms + _LOOK_AGAIN_MS)
                continue
            error = JobError("job-unknown-meter", f"no meter {meter_id!r} is registered; import it, then redrive the job")
            self._conclude(task, error, Found(), Stages(now_ms), None, refuse=True)
        self._jobs.rest(meter_id, now_ms)

    def _conclude(
        self,
        task: Task,
        error: Exception | None,
        found: Found,
        stages: Stages,
        frames: SessionFrames | None,
        *,
        refuse: bool = False,
    ) -> None:
        """Write what was read, then how it ended, then let the offset go."""
        ticket = task.ticket
        try:
            outgoing = self._encoded(found.readings, task.job.meter_id, ticket)
        except (CodecError, TooLargeError) as failure:
            code = failure.code if isinstance(failure, CodecError) else "record-oversized"
            error, found, outgoing = JobError(code, str(failure)), Found(), []
        if frames is not None and frames.frames:
            outgoing += self._encoded((frames,), task.job.meter_id, ticket)
        meter = self._tools.pipeline.directory.get(task.job.meter_id)
        result = result_of(task, meter, error, found, stages, self.clock.now_ms())
        metrics.JOBS.labels(result.outcome.value, result.code).inc()
        metrics.JOB_SECONDS.observe((result.finished_at - result.started_at) / 1000)

        def finish() -> None:
            if refuse and isinstance(error, JobError):
                self._tools.offsets.refuse(error.code, error.detail, ticket)
            else:
                self._tools.offsets.finish(ticket)

        def tell() -> None:
            self._deliver(self._encoded((result,), task.job.meter_id, ticket), finish)

        if outgoing:
            self._deliver(outgoing, tell)
        else:
            tell()

    def _encoded(self, records: Sequence[Record], key: str, ticket: Ticket | None) -> list[Outgoing]:
        trace, replay_id = ("", "") if ticket is None else (ticket.trace, ticket.replay_id)
        return self._tools.emitter.encode(records, key, self.clock.now_ms(), trace, replay_id)

    def _deliver(self, outgoing: Sequence[Outgoing], then: Callable[[], None]) -> None:
        """Send until Kafka has it, then go on."""
        self._undelivered += 1

        def reported(error: Exception | None) -> None:
            self._undelivered -= 1
            if error is None:
                then()
                return
            self._log.warning("result-not-delivered", records=len(outgoing), reason=str(error))
            heappush(self._again, (self.clock.now_ms() + _DELIVER_AGAIN_MS, next(self._order), outgoing, then))

        self._tools.emitter.send(outgoing, reported)

    def _pause(self, tries: int) -> int:
        """Twice as long each time, spread by half either way, so that a cell that comes back is not met by all at once."""
        pause = min(_LONGEST_PAUSE_MS, _PAUSE_MS << min(tries - 1, 10))
        return round(pause * (0.5 + self._tools.chance()))


def result_of(
    task: Task, meter: Meter | None, error: Exception | None, found: Found, stages: Stages, now_ms: int
) -> JobResult:
    """How a job ended. The id follows from the job, the attempt and the outcome."""
    job = task.job
    code, detail = fault_of(error)
    outcome = Outcome.DONE if error is None else _OUTCOMES.get(code, Outcome.FAILED)
    known = meter or Meter()
    return JobResult(
        id=event_id("JobResult", job.id, job.attempt, outcome.value, code),
        job_id=job.id,
        meter_id=job.meter_id,
        segment=known.segment,
        network=known.network,
        operation=job.operation,
        cause=job.cause,
        caused_by=job.caused_by,
        attempt=job.attempt,
        outcome=outcome,
        code=code,
        detail=detail or found.detail,
        issued_at=job.issued_at,
        started_at=stages.started_at,
        connected_at=stages.connected_at,
        associated_at=stages.associated_at,
        finished_at=now_ms,
        rows=found.rows,
        events=tuple(reading.id for reading in found.readings),
    )


def fault_of(error: Exception | None) -> tuple[str, str]:
    """Code and sentence of what went wrong."""
    if error is None:
        return "", ""
    if isinstance(error, DlmsError | JobError):
        return error.code, error.detail
    return "internal", f"{type(error).__name__} in this release; the log has its traceback"


def _retryable(error: Exception) -> bool:
    if isinstance(error, JobError | PeerError):
        return error.retry
    return isinstance(error, FramingError)  # octets of somebody else's session: a new connection begins clean


def _answer(octets: bytes, reply: Callable[[bytes], None]) -> Then:
    def then(error: Exception | None) -> None:
        if error is None and octets:
            reply(octets)

    return then
