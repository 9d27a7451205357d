"""Jobs to visits, visits to results: what is read goes to hes.events.bulk, how it ended to hes.events.urgent, then
the offset.

Everything runs on the event loop and is moved by `tick`. Nothing is finished before Kafka has what it caused; what
Kafka does not take is sent again, as often as it takes, with the same ids.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import structlog

from connectors.gateway.addresses import dials_in
from connectors.gateway.commanding import CommandsInHand
from connectors.gateway.deeds import Commands, unregistered
from connectors.gateway.deliveries import Deliveries, Then
from connectors.gateway.drivers.port import Driver, Found, Order
from connectors.gateway.drivers.table import Drivers, driver_of
from connectors.gateway.emit import Emitter
from connectors.gateway.errors import JobError
from connectors.gateway.finishing import Ended, finish_all
from connectors.gateway.gathering import Gathering
from connectors.gateway.group_sending import Groups
from connectors.gateway.intake import Ticket
from connectors.gateway.jobs import Grant, Jobs, Rank, Task
from connectors.gateway.lines import Lines
from connectors.gateway.mapping import segment_alarm
from connectors.gateway.outcomes import Conclusion, Offsets, Outcomes
from connectors.gateway.pipeline import Pipeline, Push
from connectors.gateway.proofs import FORGED, concerned
from connectors.gateway.reservations import Reservations
from connectors.gateway.retries import CAPPED, Failure, costs_a_try, failure_of, pause_ms
from connectors.gateway.segments import Segments
from connectors.gateway.transfers import Transfers
from connectors.gateway.visit import Connect, Stages, Visit, expiry
from connectors.gateway.visits import Visits
from schemas.records import Meter, Operation
from streams.runtime import metrics
from streams.runtime.clock import Clock
from streams.runtime.offsets import Partition
from streams.runtime.settings import Firmware, Gateway

_PAUSE_MS, _LINE_PAUSE_MS = 2_000, 200
_LOOKS, _LOOK_AGAIN_MS = 5, 1_000


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
    firmware: Firmware = field(default_factory=Firmware)
    groups: Groups | None = None
    """None where no blocks are sent to many meters at once."""


class Worker:
    """Takes jobs, visits meters, whatever they speak. Also the `visit.Host` of its visits."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._jobs = Jobs()
        self._segments = Segments(tools.settings)
        self._transfers = Transfers(tools.firmware, tools.settings.transfer_octets_per_s)
        self._hand: dict[tuple[Partition, int], Task] = {}
        """Jobs that are under way or whose results are, by where their records stand."""
        self._woken = False
        self._visits = Visits(tools.clock, tools.settings.sessions, self._over)
        self._ended = Gathering(self._finish, self._visits.much)
        """Jobs whose visits are done with them: they are finished together."""
        self._outcomes = Outcomes(
            tools.clock, tools.emitter, tools.pipeline.directory, tools.offsets, self.let_go, self._visits.much
        )
        self.framed, self.keep = self._outcomes.framed, self._outcomes.keep
        """See `visit.Host`."""
        self._commands = CommandsInHand(tools.clock, tools.commands, tools.settings.job_timeout_s, self)
        self.stopping = False
        """See `commanding.Host`."""
        self._log = structlog.get_logger("worker")
        self.settings = tools.settings
        self.clock = tools.clock
        self.connect = tools.connect

    @property
    def busy(self) -> bool:
        """Whether visits are under way, or results that Kafka does not have."""
        return bool(self._visits or self._ended or self._commands.busy or self._outcomes.busy)

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
                self._commands.take(task, now)
            else:
                self._add(task, now)
        self._commands.admit_all(now)
        self._wake()

    def revoked(self, partitions: set[Partition]) -> None:
        """Other workers own these partitions now. What waits is dropped, visits under way end as they do: their results
        change nothing twice, and what of them fails is the new owner's to try again.
        """
        self._jobs.drop(partitions)
        self._commands.revoked(partitions)
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
        now_ms = self.clock.now_ms()
        self._visits.tick(self._jobs.hears)
        self._commands.tick(now_ms)
        if self._tools.groups is not None:
            self._tools.groups.tick(now_ms)
        for task in self._transfers.due(now_ms):
            self._add(task, now_ms)
        for task in self._jobs.expired(now_ms):
            self.conclude(task, task.capped or expiry(task), now_ms)
        self._ended.tick()
        self._outcomes.tick(now_ms)
        self._wake()
        metrics.SESSIONS.set(len(self._visits))
        metrics.JOBS_WAITING.set(len(self._jobs))
        metrics.SEGMENTS_SHUT.set(self._segments.shut)

    def drain(self) -> None:
        """Open no more sessions and begin no more jobs; what is under way goes on."""
        self.stopping = True

    async def abandon(self) -> None:
        """Give up what is under way; it is read again by whoever comes next."""
        running = [*self._visits.running, *self._commands.running]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    def next_order(self, meter: Meter, driver: Driver, above: Rank | None = None) -> tuple[Task, Order] | None:
        """See `visit.Host`."""
        while not self.stopping and (task := self._jobs.take(meter.id, above)) is not None:
            now = self.clock.now_ms()
            self._hand[task.ticket.partition, task.ticket.offset] = task
            if now >= task.expires_at:
                self.conclude(task, task.capped or expiry(task), now)
                continue
            try:
                if task.deed is not None:
                    task.deed.prove(meter)
                order = driver.order(task.job, meter)
            except JobError as error:
                if not (error.retry and self._again_later(task, error, now)):
                    self.tell_forged(task, error)
                    self.conclude(task, error, now)
                continue
            firmware = task.job.operation is Operation.FIRMWARE_TRANSFER
            if firmware and not self._transfers.enter(task, self._segments.of(meter)):
                task.under_way = False
                self._hand.pop((task.ticket.partition, task.ticket.offset))
                continue
            task.tries += 1
            task.unframed += 1
            return task, order
        return None

    def waits(self, meter: Meter, above: Rank) -> bool:
        """See `visit.Host`."""
        return not self.stopping and self._jobs.waits(meter.id, above)

    def ended(self, driver: Driver, task: Task, error: JobError | None, found: Found, stages: Stages) -> None:
        """See `visit.Host`."""
        self._ended.add(Ended(task, error, found, stages, driver=driver), urgent=task.ticket.urgent)

    def _finish(self, ended: Sequence[Ended]) -> None:
        """Make readings of what ended, many jobs at once, and conclude them."""
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
            if task.lost or self.stopping:
                self.let_go(task)
                return False  # its offset stays
            if looks:
                self._commands.give_time(task, now)
            if self._again_later(task, error, now):
                return False
        if error is not None and error.alarm and error.code not in FORGED:
            self._suspect(task, error)
        elif error is not None:
            self.tell_forged(task, error)
        self._jobs.done(task)
        return True

    def alarm(self, meter: Meter, code: str, detail: str) -> None:
        """Tell that somebody may be at a meter's place."""
        self._outcomes.alarm(self._tools.pipeline.alarm_once(meter, code, detail, self.clock.now_ms()))

    def _again_later(self, task: Task, error: JobError, now: int) -> bool:
        """Put a job back, if there is time and it was not tried too often."""
        tireless = task.deed is not None and task.deed.tireless(now)
        if tireless or not costs_a_try(error):
            task.tries = max(0, task.tries - 1)
        if task.tries >= self.settings.attempts and not tireless:
            return False
        settings = self.settings
        pause = pause_ms(error, max(1, task.tries), settings.retry_first_s, settings.retry_longest_s, self._tools.chance)
        if task.deed is not None:
            pause = max(pause, task.deed.pause_ms(now))
        if now + pause >= task.expires_at:
            return False
        task.capped = error if error.code == CAPPED else None
        self._log.info("job-retried", job=task.job.id, meter=task.job.meter_id, tries=task.tries, reason=str(error))
        self.let_go(task)
        self._add(task, now, not_before=now + pause)
        return True

    def _suspect(self, task: Task, error: JobError) -> None:
        meter = self.meter_of(task)
        if meter is not None and not task.ticket.replay_id:
            self.alarm(meter, error.code, error.detail)

    def _add(self, task: Task, now: int, *, not_before: int = 0) -> None:
        meter = self.meter_of(task)
        self._jobs.add(task, now, self._segments.of(meter), not_before=not_before)
        if dials_in(meter) and self._tools.lines.get(task.job.meter_id) is None:
            self._jobs.park(task.job.meter_id)

    def meter_of(self, task: Task) -> Meter | None:
        """See `commanding.Host`."""
        return self._tools.pipeline.directory.get(task.job.meter_id)

    def admitted(self, task: Task, now_ms: int) -> None:
        """See `commanding.Host`."""
        self._add(task, now_ms)
        self._wake()

    def tell(self, ended: Sequence[Conclusion]) -> None:
        """See `commanding.Host`."""
        self._outcomes.conclude(ended)

    def conclude(self, task: Task, error: JobError, now_ms: int, *, refuse: bool = False) -> None:
        """See `commanding.Host`: of every job."""
        self._jobs.done(task)
        self._end((Conclusion(task, error, Found(), Stages(now_ms), refuse),))

    def _end(self, ended: Sequence[Conclusion]) -> None:
        """Tell how jobs ended; of commands, hes.intents has it first."""
        self._outcomes.conclude([item for item in ended if item.task.deed is None])
        for item in ended:
            if item.task.deed is not None:
                self._commands.settle(item)

    def tell_forged(self, task: Task, error: JobError) -> None:
        """See `commanding.Host`."""
        if concerned(task.job) and error.alarm:
            detail = f"job {task.job.id} ({task.job.operation}): {error.code}: {error.detail}"
            self._suspect(task, JobError("command-forged", detail))

    def paced(self, meter: Meter, octets: int) -> float:
        """See `visit.Host`."""
        return self._transfers.spend(self._segments.of(meter), octets, self.clock.now_ms())

    def let_go(self, task: Task) -> None:
        """See `commanding.Host`: of every job that somebody else goes on with, or that is over."""
        self._transfers.leave(task)
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
        if not self._woken and not self.stopping:
            self._woken = True
            asyncio.get_running_loop().call_soon(self._visit_next)

    def _visit_next(self) -> None:
        self._woken = False
        if self.stopping or self._tools.deliveries.full:
            return
        now_ms, visits = self.clock.now_ms(), self._visits
        visits.turn()
        while not visits.full:
            grant = self._jobs.next_grant(now_ms, urgent=visits.takes_urgent, bulk=visits.takes_bulk)
            if grant is None:
                if visits.rests:
                    self._wake()
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
            visits.begin(Visit(self, driver, meter, line), grant)

    def _refuse(self, meter_id: str, error: JobError, now_ms: int) -> None:
        """No visit can do what waits for this meter."""
        while (task := self._jobs.take(meter_id)) is not None:
            self.conclude(task, error, now_ms)

    def _over(self, visit: Visit, grant: Grant, cancelled: bool) -> None:
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
            self.conclude(task, unregistered(meter_id), now_ms, refuse=True)


def _answer(octets: bytes, reply: Callable[[bytes], None]) -> Then:
    def then(error: Exception | None) -> None:
        if error is None and octets:
            reply(octets)

    return then
