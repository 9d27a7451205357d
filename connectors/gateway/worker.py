"""Jobs to visits, visits to results: what is read goes to hes.events.bulk, how it ended to hes.events.urgent, then
the offset.

Everything runs on the event loop and is moved by `tick`. Nothing is finished before Kafka has what it caused; what
Kafka does not take is sent again, as often as it takes, with the same ids.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass
from heapq import heappop, heappush, heapreplace
from itertools import count
from typing import Any

import structlog

from connectors.gateway.addresses import dials_in
from connectors.gateway.deeds import Commands, unknown
from connectors.gateway.deliveries import Deliveries, Then
from connectors.gateway.drivers.port import Driver, Found, Order
from connectors.gateway.drivers.table import Drivers, driver_of
from connectors.gateway.emit import Emitter
from connectors.gateway.errors import JobError
from connectors.gateway.finishing import Ended, finish_all
from connectors.gateway.intake import Ticket
from connectors.gateway.jobs import Grant, Jobs, Rank, Task
from connectors.gateway.lines import Line, Lines
from connectors.gateway.mapping import segment_alarm
from connectors.gateway.outcomes import Conclusion, Offsets, Outcomes
from connectors.gateway.pipeline import Pipeline, Push
from connectors.gateway.proofs import concerned
from connectors.gateway.reservations import Reservations
from connectors.gateway.results import outcome_of
from connectors.gateway.retries import Failure, failure_of, pause_ms
from connectors.gateway.segments import Segments
from connectors.gateway.visit import Connect, Stages, Visit, expiry
from schemas.records import Meter, Outcome
from streams.runtime import metrics
from streams.runtime.clock import Clock
from streams.runtime.offsets import Partition
from streams.runtime.settings import Gateway

_PAUSE_MS, _LINE_PAUSE_MS = 2_000, 200
_LOOKS, _LOOK_AGAIN_MS = 5, 1_000
_ADMIT_AGAIN_MS = 1_000
_CAPPED = "openings-capped"
_CAPPED_PAUSE_MS = 3_000
_UNASKED = frozenset(("counter-unavailable", "intent-unavailable", _CAPPED))
"""Failures in which nobody asked the meter anything: they do not count as tries."""
_SOONEST_S = 0.02


@dataclass(frozen=True, slots=True)
class Tools:
    """What a worker works with."""

    settings: Gateway
    clock: Clock
    drivers: Drivers
    pipeline: Pipeline
    emitter: Emitter
    deliveries: Deliveries
    offsets: Offsets
    connect: Connect
    chance: Callable[[], float]
    """Between 0 and 1, for jitter."""
    lines: Lines
    counters: Reservations
    commands: Commands | None = None
    """None where nothing is done that moves a relay or changes a meter."""


class Worker:
    """Takes jobs, visits meters, whatever they speak. Also the `visit.Host` of its visits."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._jobs = Jobs()
        self._segments = Segments(tools.settings)
        self._hand: dict[tuple[Partition, int], Task] = {}
        """Jobs that are under way or whose results are, by where their records stand."""
        self._woken = False
        self._visits: dict[Visit, asyncio.Task[None]] = {}
        self._looks: list[tuple[float, int, Visit, Grant]] = []
        """When to look at which visit: with 10,000 open at once, not at each of them at each tick."""
        self._number = count()
        self._urgent = 0
        """How many of the visits were begun for what is urgent."""
        self._ended: list[Ended] = []
        """Jobs whose visits are done with them, until a turn of the loop is over: then they are finished together."""
        self._outcomes = Outcomes(tools.clock, tools.emitter, tools.pipeline.directory, tools.offsets, self._let_go)
        self.framed, self.keep = self._outcomes.framed, self._outcomes.keep
        """See `visit.Host`."""
        self._unadmitted: list[tuple[int, Task]] = []
        """Commands of which it is not known yet whether they were sent before, and when to ask (again)."""
        self._unsettled: list[tuple[int, Conclusion]] = []
        """Commands that have ended and of which Kafka does not have it, and when to tell it again."""
        self._settling: set[asyncio.Task[None]] = set()
        self._stopping = False
        self._log = structlog.get_logger("worker")
        self.settings = tools.settings
        self.clock = tools.clock
        self.connect = tools.connect

    @property
    def busy(self) -> bool:
        """Whether visits are under way, or results that Kafka does not have."""
        return bool(self._visits or self._ended or self._settling or self._unsettled or self._outcomes.undelivered)

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
            task = Task(ticket, now, late if deadline is None else deadline)
            if concerned(ticket.job):
                self._unadmitted.append((now, task))
            else:
                self._add(task, now)
        self._admit_all(now)
        self._wake()

    def revoked(self, partitions: set[Partition]) -> None:
        """Other workers own these partitions now. What waits is dropped, visits under way end as they do: their results
        change nothing twice, and what of them fails is the new owner's to try again.
        """
        self._jobs.drop(partitions)
        for _, task in self._unadmitted:
            task.closed = task.closed or task.ticket.partition in partitions
        if self._tools.commands is not None:
            self._tools.commands.release({number for _, number in partitions})
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
        while self._looks and self._looks[0][0] <= now:
            _, number, visit, grant = self._looks[0]
            if visit in self._visits:
                later = max(visit.tick(now, now_ms), now + _SOONEST_S)
                self._jobs.hears(grant, visit.silent_s(now))
                heapreplace(self._looks, (later, number, visit, grant))
            else:
                heappop(self._looks)
        self._admit_all(now_ms)
        due, self._unsettled = self._unsettled, []
        for at, item in due:
            if at <= now_ms:
                self._spawn(self._settle(item))
            else:
                self._unsettled.append((at, item))
        for task in self._jobs.expired(now_ms):
            self._conclude(task, expiry(task), now_ms)
        self._outcomes.tick(now_ms)
        self._visit_next()
        metrics.JOBS_WAITING.set(len(self._jobs))
        metrics.SEGMENTS_SHUT.set(self._segments.shut)

    def drain(self) -> None:
        """Open no more sessions and begin no more jobs; what is under way goes on."""
        self._stopping = True

    async def abandon(self) -> None:
        """Give up what is under way; it is read again by whoever comes next."""
        running = [*self._visits.values(), *self._settling]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    def next_order(self, meter: Meter, driver: Driver, above: Rank | None = None) -> tuple[Task, Order] | None:
        """See `visit.Host`."""
        while not self._stopping and (task := self._jobs.take(meter.id, above)) is not None:
            now = self.clock.now_ms()
            self._hand[task.ticket.partition, task.ticket.offset] = task
            if now >= task.expires_at:
                self._conclude(task, expiry(task), now)
                continue
            try:
                if task.deed is not None:
                    task.deed.prove(meter)
                order = driver.order(task.job, meter)
            except JobError as error:
                if not (error.retry and self._again_later(task, error, now)):
                    self._tell_forged(task, error)
                    self._conclude(task, error, now)
                continue
            task.tries += 1
            task.unframed += 1
            return task, order
        return None

    def waits(self, meter: Meter, above: Rank) -> bool:
        """See `visit.Host`."""
        return not self._stopping and self._jobs.waits(meter.id, above)

    def ended(self, driver: Driver, task: Task, error: JobError | None, found: Found, stages: Stages) -> None:
        """See `visit.Host`."""
        if not self._ended:
            asyncio.get_running_loop().call_soon(self._finish)
        self._ended.append(Ended(task, error, found, stages, driver=driver))

    def _finish(self) -> None:
        """Make readings of what ended, many jobs at once, and conclude them."""
        ended, self._ended = self._ended, []
        by_driver: dict[Driver, list[Ended]] = {}
        for item in ended:
            if item.found.raw:
                by_driver.setdefault(item.driver, []).append(item)
        for driver, items in by_driver.items():
            finish_all(driver, items)
        self._end([item for item in ended if self._over_with(item)])

    def _over_with(self, item: Ended) -> bool:
        """Whether a job has ended for good; if not, it is tried again by us, or by whoever has its partition next."""
        now, task, error = self.clock.now_ms(), item.task, item.error
        looks = task.deed is not None and task.deed.unsettled and error is not None and error.code != "outcome-unknown"
        if error is not None and (looks or failure_of(error) is Failure.RETRYABLE):
            if task.lost or self._stopping:
                self._let_go(task)
                return False  # its offset stays
            if looks:
                self._give_time(task, now)
            if self._again_later(task, error, now):
                return False
        if error is not None and error.alarm and task.deed is None:
            self._suspect(task, error)
        elif error is not None:
            self._tell_forged(task, error)
        self._jobs.done(task)
        return True

    def alarm(self, meter: Meter, code: str, detail: str) -> None:
        """Tell that somebody may be at a meter's place."""
        self._outcomes.alarm(self._tools.pipeline.alarm_once(meter, code, detail, self.clock.now_ms()))

    def _again_later(self, task: Task, error: JobError, now: int) -> bool:
        """Put a job back, if there is time and it was not tried too often."""
        if error.code in _UNASKED:
            task.tries = max(0, task.tries - 1)
        if task.tries >= self.settings.attempts:
            return False
        settings = self.settings
        pause = pause_ms(max(1, task.tries), settings.retry_first_s, settings.retry_longest_s, self._tools.chance)
        if error.code == _CAPPED:
            pause = max(pause, _CAPPED_PAUSE_MS)
        if now + pause >= task.expires_at:
            return False
        self._log.info("job-retried", job=task.job.id, meter=task.job.meter_id, tries=task.tries, reason=str(error))
        self._let_go(task)
        self._add(task, now, not_before=now + pause)
        return True

    def _suspect(self, task: Task, error: JobError) -> None:
        meter = self._tools.pipeline.directory.get(task.job.meter_id)
        if meter is not None and not task.ticket.replay_id:
            self.alarm(meter, error.code, error.detail)

    def _add(self, task: Task, now: int, *, not_before: int = 0) -> None:
        meter = self._tools.pipeline.directory.get(task.job.meter_id)
        self._jobs.add(task, now, self._segments.of(meter), not_before=not_before)
        if dials_in(meter) and self._tools.lines.get(task.job.meter_id) is None:
            self._jobs.park(task.job.meter_id)

    def _conclude(self, task: Task, error: JobError, now_ms: int, *, refuse: bool = False) -> None:
        """A job ends without a visit."""
        self._jobs.done(task)
        self._end((Conclusion(task, error, Found(), Stages(now_ms), refuse),))

    def _end(self, ended: Sequence[Conclusion]) -> None:
        """Tell how jobs ended; of commands, hes.intents has it first."""
        self._outcomes.conclude([item for item in ended if item.task.deed is None])
        for item in ended:
            if item.task.deed is not None:
                self._spawn(self._settle(item))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._settling.add(task)
        task.add_done_callback(self._settling.discard)

    def _admit_all(self, now: int) -> None:
        """Ask of commands whether they were sent before; they wait while nobody can tell."""
        commands = self._tools.commands
        if not self._unadmitted or self._stopping or not (commands is None or commands.ready):
            return
        waiting, self._unadmitted = self._unadmitted, []
        for at, task in waiting:
            if task.closed:
                continue
            if commands is None:
                self._conclude(task, JobError("operation-unsupported", "this gateway gives no commands"), now)
            elif at > now:
                self._unadmitted.append((at, task))
            else:
                self._spawn(self._admit(commands, task))

    async def _admit(self, commands: Commands, task: Task) -> None:
        """A command takes its place among the jobs, is told again how it ended, or is refused."""
        ticket = task.ticket
        try:
            deed = await commands.admit(task.job, ticket.partition, ticket.offset)
        except JobError as error:
            now = self.clock.now_ms()
            if error.retry:
                self._unadmitted.append((now + _ADMIT_AGAIN_MS, task))
            elif not task.closed:
                self._tell_forged(task, error)
                self._conclude(task, error, now)
            return
        except Exception:  # noqa: BLE001 - a bug: the command waits, and nobody says that it ended
            self._log.exception("command-not-admitted", job=task.job.id)
            self._unadmitted.append((self.clock.now_ms() + _ADMIT_AGAIN_MS, task))
            return
        if task.closed:
            return
        task.deed = deed
        now = self.clock.now_ms()
        if deed.ended is not None:
            self._end((Conclusion(task, None, Found(), Stages(now)),))
            return
        if deed.unsettled:
            self._give_time(task, now)
        self._add(task, now)
        self._wake()

    async def _settle(self, item: Conclusion) -> None:
        """Have hes.intents keep how a command ended, and tell it then; nobody is told what it does not have."""
        task, deed, found = item.task, item.task.deed, item.found
        if deed is None:
            raise RuntimeError("only commands are settled")
        if item.error is not None and deed.unsettled and item.error.code != "outcome-unknown":
            item.error = unknown(f"it was sent, or may have been, and nobody can tell what came of it: {item.error.detail}")
        meter = self._tools.pipeline.directory.get(task.job.meter_id)
        if item.error is not None and meter is not None:
            with suppress(JobError):
                deed.prove(meter)  # what was never visited has not been proven yet
        outcome, code, detail = Outcome.DONE, "", found.detail
        if item.error is not None:
            outcome, code, detail = outcome_of(item.error), item.error.code, item.error.detail
        try:
            kept = await deed.settle(outcome, code, detail, found.before, found.after)
        except Exception as error:  # noqa: BLE001 - whatever it is, nobody is told what hes.intents does not have
            self._log.warning("command-not-settled", job=task.job.id, meter=task.job.meter_id, reason=str(error))
            if task.lost or self._stopping:
                self._let_go(task)  # whoever has the partition now reads back
            else:
                self._unsettled.append((self.clock.now_ms() + _ADMIT_AGAIN_MS, item))
            return
        if kept is not None:
            done = kept.outcome is Outcome.DONE
            item.error = None if done else JobError(kept.code, kept.detail)
            found.before, found.after, found.detail = kept.before, kept.after, kept.detail
        self._outcomes.conclude((item,))

    def _give_time(self, task: Task, now: int) -> None:
        """Whatever deadline a command had: what came of it is to be found out."""
        if not task.looking:
            task.looking, task.tries = True, 0
            task.expires_at = max(task.expires_at, now + round(self.settings.job_timeout_s * 1000))

    def _tell_forged(self, task: Task, error: JobError) -> None:
        """Somebody writes jobs who may not, or altered one."""
        if concerned(task.job) and error.alarm:
            detail = f"job {task.job.id} ({task.job.operation}): {error.code}: {error.detail}"
            self._suspect(task, JobError("command-forged", detail))

    def _let_go(self, task: Task) -> None:
        self._hand.pop((task.ticket.partition, task.ticket.offset), None)

    def unreachable(self, driver: Driver, meter: Meter, error: JobError) -> None:
        """See `visit.Host`: each job that is due for the meter is charged with the try."""
        now = self.clock.now_ms()
        while (task := self._jobs.take(meter.id)) is not None:
            task.tries += 1
            self._hand[task.ticket.partition, task.ticket.offset] = task
            self.ended(driver, task, error, Found(), Stages(now))

    def unsolicited(self, pushes: Sequence[Push], reply: Callable[[bytes], None]) -> None:
        """See `visit.Host`: they take the way of every push."""
        for push in pushes:
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
            try:
                driver = driver_of(meter, self._tools.drivers)
            except JobError as error:
                self._cancel(grant, now_ms)
                self._refuse(meter.id, error, now_ms)
                continue
            line = self._tools.lines.get(meter.id) if dials_in(meter) else None
            if dials_in(meter) and (line is None or not line.free):
                if line is None:
                    self._jobs.park(meter.id)
                self._cancel(grant, now_ms, until=now_ms + _LINE_PAUSE_MS)
                continue
            self._visit(grant, driver, meter, line)

    def _refuse(self, meter_id: str, error: JobError, now_ms: int) -> None:
        """No visit can do what waits for this meter."""
        while (task := self._jobs.take(meter_id)) is not None:
            self._conclude(task, error, now_ms)

    def _visit(self, grant: Grant, driver: Driver, meter: Meter, line: Line | None) -> None:
        visit = Visit(self, driver, meter, line)
        running = asyncio.get_running_loop().create_task(visit.run())
        self._visits[visit] = running
        heappush(self._looks, (self.clock.monotonic(), next(self._number), visit, grant))
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
            self._outcomes.alarm((segment_alarm(visit.meter, now, shut=shut),))
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
            self._conclude(task, error, now_ms, refuse=True)


def _answer(octets: bytes, reply: Callable[[bytes], None]) -> Then:
    def then(error: Exception | None) -> None:
        if error is None and octets:
            reply(octets)

    return then
