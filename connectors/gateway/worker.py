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

from connectors.gateway.addresses import dials_in
from connectors.gateway.conversation import apdu_pushes
from connectors.gateway.deliveries import Deliveries, Then
from connectors.gateway.emit import Emitter, Outgoing, TooLargeError
from connectors.gateway.errors import JobError
from connectors.gateway.intake import Ticket
from connectors.gateway.jobs import Grant, Jobs, Task
from connectors.gateway.keystore import KeyStore
from connectors.gateway.lines import Line, Lines
from connectors.gateway.mapping import segment_alarm
from connectors.gateway.operations import Found, Order, Shapes, order_of
from connectors.gateway.pipeline import Pipeline
from connectors.gateway.reservations import Ask, Counting, Reservations
from connectors.gateway.results import result_of
from connectors.gateway.retries import Failure, failure_of, pause_ms
from connectors.gateway.segments import Segments
from connectors.gateway.visit import Connect, Stages, Visit, expiry
from connectors.protocols.dlms.errors import DlmsError
from connectors.protocols.dlms.template import Template
from schemas.codec import CodecError
from schemas.records import Alarm, Meter, Record, SessionFrames
from streams.runtime import metrics
from streams.runtime.clock import Clock
from streams.runtime.offsets import Partition
from streams.runtime.settings import Gateway

_PAUSE_MS, _LINE_PAUSE_MS = 2_000, 200
_LOOKS, _LOOK_AGAIN_MS = 5, 1_000
_DELIVER_AGAIN_MS = 2_000
_ALARMING = ("peer-authentication", "peer-title", "cipher-authentication", "cipher-policy", "cipher-counter")
"""What a visit ends in where somebody else may be at the meter's place."""


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
    lines: Lines
    counters: Reservations


class Worker:
    """Takes jobs, visits meters. Also the `visit.Host` of its visits."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._jobs = Jobs()
        self._segments = Segments(tools.settings)
        self._hand: dict[tuple[Partition, int], Task] = {}
        """Jobs that are under way or whose results are, by where their records stand."""
        self._woken = False
        self._shapes = Shapes()
        self._visits: dict[Visit, asyncio.Task[None]] = {}
        self._urgent = 0
        """How many of the visits were begun for what is urgent."""
        self._again: list[tuple[int, int, Sequence[Outgoing], Callable[[], None]]] = []
        self._order = count()
        self._undelivered = 0
        self._stopping = False
        self._log = structlog.get_logger("worker")
        self.settings = tools.settings
        self.clock = tools.clock
        self.keys = tools.keys
        self.connect = tools.connect
        self.title = bytes.fromhex(tools.settings.system_title)

    @property
    def busy(self) -> bool:
        """Whether visits are under way, or results that Kafka does not have."""
        return bool(self._visits or self._undelivered)

    def take(self, tickets: Sequence[Ticket]) -> None:
        """Jobs came."""
        now = self.clock.now_ms()
        limit = now + round(self.settings.job_timeout_s * 1000)
        for ticket in tickets:
            known = self._hand.get((ticket.partition, ticket.offset))
            if known is not None and known.job.id == ticket.job.id:
                # The partition was away and came back while the job was under way: it is done once.
                known.ticket, known.lost = ticket, False
                continue
            deadline = ticket.job.deadline
            late = max(limit, (ticket.job.not_before or 0) + limit - now)
            self._add(Task(ticket, now, late if deadline is None else deadline), now)
        self._wake()

    def revoked(self, partitions: set[Partition]) -> None:
        """Other workers own these partitions now. What waits is dropped, visits under way end as they do: their results
        change nothing twice, and what of them fails is the new owner's to try again.
        """
        self._jobs.drop(partitions)
        for task in self._hand.values():
            task.lost = task.lost or task.ticket.partition in partitions
        self._tools.counters.release({number for _, number in partitions})

    def share(self, share: float) -> None:
        """How much of all partitions, and so of each segment's pace, is this worker's: 0 to 1."""
        if share > 0:
            self._segments.share(share)

    def dialled_in(self, meter_id: str) -> None:
        """A meter can be visited on the connection that it made."""
        self._jobs.unpark(meter_id, self.clock.now_ms())
        self._wake()

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
        self._visit_next()
        metrics.JOBS_WAITING.set(len(self._jobs))
        metrics.SEGMENTS_SHUT.set(self._segments.shut)

    def drain(self) -> None:
        """Open no more sessions and begin no more jobs; what is under way goes on."""
        self._stopping = True

    async def abandon(self) -> None:
        """Give up what is under way; it is read again by whoever comes next."""
        running = list(self._visits.values())
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def counting(self, task: Task, meter: Meter, client: int, ask: Ask | None) -> Counting:
        """See `visit.Host`."""
        return await self._tools.counters.counting(task.ticket.partition[1], meter, client, ask)

    def doubt(self, counting: Counting) -> None:
        """See `visit.Host`."""
        self._tools.counters.doubt(counting)

    def next_order(self, meter: Meter) -> tuple[Task, Order] | None:
        """See `visit.Host`."""
        while not self._stopping and (task := self._jobs.take(meter.id)) is not None:
            now = self.clock.now_ms()
            self._hand[task.ticket.partition, task.ticket.offset] = task
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
        if error is not None and failure_of(error) is Failure.RETRYABLE:
            if task.lost or self._stopping:
                self.keep(frames)
                self._let_go(task)
                return  # its offset stays: whoever has the partition next tries again
            if self._again_later(task, error, now):
                self.keep(frames)
                return
        if isinstance(error, DlmsError) and error.code in _ALARMING:
            self._suspect(task, error)
        self._conclude(task, error, found, stages, frames)

    def alarm(self, meter: Meter, code: str, detail: str) -> None:
        """Tell that somebody may be at a meter's place."""
        self._raise(self._tools.pipeline.alarm_once(meter, code, detail, self.clock.now_ms()))

    def _again_later(self, task: Task, error: Exception, now: int) -> bool:
        """Put a job back, if there is time and it was not tried too often."""
        if isinstance(error, JobError) and error.code == "counter-unavailable":
            task.tries -= 1  # nobody asked the meter anything
        if task.tries >= self.settings.attempts:
            return False
        settings = self.settings
        pause = pause_ms(max(1, task.tries), settings.retry_first_s, settings.retry_longest_s, self._tools.chance)
        if now + pause >= task.expires_at:
            return False
        self._log.info("job-retried", job=task.job.id, meter=task.job.meter_id, tries=task.tries, reason=str(error))
        self._let_go(task)
        self._add(task, now, not_before=now + pause)
        return True

    def _suspect(self, task: Task, error: DlmsError) -> None:
        meter = self._tools.pipeline.directory.get(task.job.meter_id)
        if meter is not None and not task.ticket.replay_id:
            self.alarm(meter, error.code, error.detail)

    def _raise(self, alarms: Sequence[Alarm]) -> None:
        for alarm in alarms:
            self._deliver(self._encoded((alarm,), alarm.meter_id, None), lambda: None)

    def _add(self, task: Task, now: int, *, not_before: int = 0) -> None:
        meter = self._tools.pipeline.directory.get(task.job.meter_id)
        self._jobs.add(task, now, self._segments.of(meter), not_before=not_before)
        if dials_in(meter) and self._tools.lines.get(task.job.meter_id) is None:
            self._jobs.park(task.job.meter_id)

    def _let_go(self, task: Task) -> None:
        self._hand.pop((task.ticket.partition, task.ticket.offset), None)

    def unreachable(self, meter: Meter, error: Exception) -> None:
        """See `visit.Host`: each job that is due for the meter is charged with the try."""
        now = self.clock.now_ms()
        waiting = []
        while (task := self._jobs.take(meter.id)) is not None:
            task.tries += 1
            self._hand[task.ticket.partition, task.ticket.offset] = task
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

    def _wake(self) -> None:
        """Have meters visited before the next tick."""
        if not self._woken and not self._stopping:
            self._woken = True
            asyncio.get_running_loop().call_soon(self._visit_next)

    def _visit_next(self) -> None:
        self._woken = False
        if self._stopping or self._tools.deliveries.full:
            return
        now_ms, most = self.clock.now_ms(), self.settings.sessions
        for_one = most - max(1, most // 10) if most > 1 else 1  # each lane leaves some to the other
        while len(self._visits) < most:
            bulk = len(self._visits) - self._urgent < for_one
            grant = self._jobs.next_grant(now_ms, urgent=self._urgent < for_one, bulk=bulk)
            if grant is None:
                return
            meter = self._tools.pipeline.directory.get(grant.meter_id)
            if meter is None:
                self._cancel(grant, now_ms)
                self._look_again(grant.meter_id, now_ms)
                continue
            line = self._tools.lines.get(meter.id) if dials_in(meter) else None
            if dials_in(meter) and (line is None or not line.free):
                if line is None:
                    self._jobs.park(meter.id)
                self._cancel(grant, now_ms, until=now_ms + _LINE_PAUSE_MS)
                continue
            self._visit(grant, meter, line)

    def _visit(self, grant: Grant, meter: Meter, line: Line | None) -> None:
        visit = Visit(self, meter, line)
        running = asyncio.get_running_loop().create_task(visit.run())
        self._visits[visit] = running
        self._urgent += grant.urgent
        metrics.SESSIONS.set(len(self._visits))
        running.add_done_callback(lambda done: self._over(visit, grant, cancelled=done.cancelled()))

    def _over(self, visit: Visit, grant: Grant, *, cancelled: bool) -> None:
        del self._visits[visit]
        self._urgent -= grant.urgent
        metrics.SESSIONS.set(len(self._visits))
        now = self.clock.now_ms()
        if grant.segment.told(now, visit.meter.id, probe=grant.probe, reached=visit.reached):
            shut = grant.segment.shut
            metrics.BREAKER_CHANGES.labels("open" if shut else "closed").inc()
            self._log.warning("segment", name=grant.segment.name, shut=shut, meter=visit.meter.id)
            self._raise((segment_alarm(visit.meter, now, shut=shut),))
        self._jobs.rest(grant, now, now + _PAUSE_MS if visit.failed else 0)
        if not cancelled:
            self._wake()

    def _cancel(self, grant: Grant, now_ms: int, until: int = 0) -> None:
        """A visit that was granted does not take place."""
        grant.segment.told(now_ms, grant.meter_id, probe=grant.probe, reached=None)
        grant.segment.unspend()
        self._jobs.rest(grant, now_ms, until)

    def _look_again(self, meter_id: str, now_ms: int) -> None:
        """A meter may have been imported a moment before its job was written: wait for hes.meters a little."""
        while (task := self._jobs.take(meter_id)) is not None:
            task.looks += 1
            if task.looks <= _LOOKS:
                self._add(task, now_ms, not_before=now_ms + _LOOK_AGAIN_MS)
                continue
            error = JobError("job-unknown-meter", f"no meter {meter_id!r} is registered; import it, then redrive the job")
            self._conclude(task, error, Found(), Stages(now_ms), None, refuse=True)

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
        self._jobs.done(task)
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
            self._let_go(task)
            if refuse and isinstance(error, JobError):
                self._tools.offsets.refuse(error.code, error.detail, task.ticket)
            else:
                self._tools.offsets.finish(task.ticket)

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


def _answer(octets: bytes, reply: Callable[[bytes], None]) -> Then:
    def then(error: Exception | None) -> None:
        if error is None and octets:
            reply(octets)

    return then
