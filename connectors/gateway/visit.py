"""One visit to a meter: connect (or take the connection that it made), open a call, do its jobs one after another, leave.

A task a visit, which waits for whole sessions; the round trips within them are callbacks (`session`). What goes wrong
before the call is open holds for every job that waits for the meter, what goes wrong after it for the job at hand. How the
meter's protocol is spoken is the driver's (`drivers.port`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol

from connectors.gateway.addresses import DIAL_IN, Address, address_of
from connectors.gateway.drivers.port import Acts, Call, Driver, Found, Order
from connectors.gateway.errors import JobError
from connectors.gateway.jobs import Rank, Task
from connectors.gateway.lines import Line
from connectors.gateway.pipeline import Push
from connectors.gateway.retries import fault_in, tells_of_network
from connectors.gateway.session import SELDOM_S, LinkTerms, MeterLink
from schemas.ids import event_id
from schemas.records import Meter, SessionFrames, SessionKind, Transport
from streams.runtime.clock import Clock
from streams.runtime.settings import Gateway

Connect = Callable[[Callable[[], MeterLink], Address], Awaitable[Any]]
"""Opens a TCP connection, or a connected UDP socket, with a protocol; raises OSError."""


_RESTING_S = 0.2
"""How often a pause is looked at: with hundreds of images under way at once, not at each tick."""


@dataclass(slots=True)
class Stages:
    """When a job reached what, milliseconds."""

    started_at: int
    connected_at: int | None = None
    associated_at: int | None = None


@dataclass(slots=True)
class _Rest:
    """A pause within a job."""

    until: float
    above: Rank
    woken: asyncio.Future[None]


class Host(Protocol):
    """What a visit needs of the worker that sends it."""

    settings: Gateway
    clock: Clock
    connect: Connect

    def next_order(self, meter: Meter, driver: Driver, above: Rank | None = None) -> tuple[Task, Order] | None:
        """The meter's next job (of those that go before `above`), checked; None where there is none, or the worker stops."""

    def waits(self, meter: Meter, above: Rank) -> bool:
        """Whether the meter has a job that goes before `above`."""

    def paced(self, meter: Meter, octets: int) -> float:
        """How long to pause for octets of an image that went over the line, seconds."""

    def ended(self, driver: Driver, task: Task, error: JobError | None, found: Found, stages: Stages) -> None:
        """A job is done, or this try of it failed; its frames follow."""

    def framed(self, task: Task, frames: SessionFrames) -> None:
        """The frames of a job, once for each time that `next_order` gave it: its offset waits until they are written."""

    def unreachable(self, driver: Driver, meter: Meter, error: JobError) -> None:
        """What stopped a job stops every other that waits for the meter, too."""

    def keep(self, frames: SessionFrames) -> None:
        """Frames to be written that belong to no result."""

    def unsolicited(self, pushes: list[Push], reply: Callable[[bytes], None]) -> None:
        """The meter pushed something between its answers."""


class Visit:
    """A meter being visited, and the way to it (`drivers.port.Way`); `tick` is to be called several times a second."""

    def __init__(self, host: Host, driver: Driver, meter: Meter, line: Line | None = None) -> None:
        self._host = host
        self._driver = driver
        self._line = line
        self._call: Call | None = None
        self._link: MeterLink | None = None
        self._task: Task | None = None
        self._talk: Task | None = None
        """Whose frames are being kept: the last job's until the next begins, so that taking leave is part of it."""
        self._stages = Stages(0)
        self._rest: _Rest | None = None
        self._began = host.clock.now_ms()
        self._silent_since = host.clock.monotonic()
        self._spoken = False
        """Whether the meter spoke on a connection before."""
        self._parts = 0
        self._endpoint = ""
        self.meter = meter
        self.partition = 0
        """See `port.Way`."""
        self.failed = False
        """Whether the meter should rest before it is visited again."""
        self.reached: bool | None = None
        """Whether the meter said anything; None where nobody can tell."""

    async def run(self) -> None:
        """The whole visit. Raises nothing but cancellation."""
        ordered = self._next()
        if ordered is None:
            return
        task, order = ordered
        self.partition = task.ticket.partition[1]
        try:
            call = self._call = self._driver.call(order)
            await call.open(self)
        except Exception as error:  # noqa: BLE001 - the job is told; a bug in one visit must not take the others along
            fault = self._fault(error)
            self.failed = True
            if not self._answered and tells_of_network(fault):
                self.reached = False
            self._end(task, fault, Found())
            self._host.unreachable(self._driver, self.meter, fault)
        else:
            self._stages.associated_at = self._host.clock.now_ms()
            await self._work(call, ordered)
        finally:
            self._close()

    def tick(self, now: float, now_ms: int) -> float:
        """Notice what is overdue: the job as a whole, an answer, or the end of a pause. Returns when to look again."""
        task, rest = self._task, self._rest
        overdue = task is not None and now_ms >= task.expires_at
        if rest is not None:
            if overdue or self._gone or now >= rest.until or self._host.waits(self.meter, rest.above):
                self._wake(rest)
            return min(max(rest.until, now), now + _RESTING_S)
        if self._link is None:
            return now + SELDOM_S
        if overdue and task is not None:
            self._link.fail(expiry(task))
        else:
            self._link.tick(now)
        return min(self._link.due(now), now + SELDOM_S)

    def silent_s(self, now: float) -> float:
        """How long the meter has not said a whole message in this visit; 0 once it has."""
        return 0.0 if self._spoken or (self._link is not None and self._link.spoken) else now - self._silent_since

    async def connected(self) -> MeterLink:
        """See `port.Way`."""
        link = self._link
        return link if link is not None and not link.lost else await self._open()

    def spent(self, octets: int) -> float:
        """See `port.Way`."""
        return self._host.paced(self.meter, octets)

    async def rest(self, seconds: float) -> None:
        """See `port.Way`."""
        task, until = self._task, self._host.clock.monotonic() + seconds
        if task is None or self._call is None:
            raise RuntimeError("a pause within no job")
        while True:
            if self._gone:
                raise JobError("connection-lost", "the meter closed the connection during a pause of the job", retry=True)
            if self._host.clock.now_ms() >= task.expires_at:
                raise expiry(task)
            await self._meanwhile(self._call, task)
            if self._host.clock.monotonic() >= until:
                return
            rest = self._rest = _Rest(until, task.rank, asyncio.get_running_loop().create_future())
            try:
                await rest.woken
            finally:
                self._rest = None

    @property
    def _answered(self) -> bool:
        return self._link is not None and self._link.answered

    @property
    def _gone(self) -> bool:
        return self._link is None or self._link.lost

    async def _meanwhile(self, call: Call, task: Task) -> None:
        """Do the meter's jobs that go before the one at hand."""
        stages = self._stages
        while (ordered := self._host.next_order(self.meter, self._driver, task.rank)) is not None:
            self._spill()  # what was said for the long job is its own
            self._talk = ordered[0]
            now = self._host.clock.now_ms()
            self._task, self._stages = ordered[0], Stages(now, now, now)
            try:
                fault = await self._do(call, *ordered)
            finally:
                self._talks_of(task)
                self._task, self._stages = task, stages
            if fault is not None and not fault.harmless:
                detail = f"another job ended the association meanwhile: {fault.detail}"
                raise JobError("connection-lost", detail, retry=True)

    async def _open(self) -> MeterLink:
        if self._call is None or self._task is None:
            raise RuntimeError("a connection for no call")
        if self._link is not None:
            self._spoken = self._spoken or self._link.spoken
            self._spill()  # of the connection that ended
        address = address_of(self.meter)
        settings, clock = self._host.settings, self._host.clock
        terms = LinkTerms(clock, settings.answer_timeout_s, self._unasked, self._spill, settings.datagram_retry_s)
        link = self._call.link(terms, datagrams=address.scheme == "udp")
        if address.scheme == DIAL_IN:
            self._take_line(self._call, link)
        else:
            self._endpoint = str(address)
            await self._connect(link, address, self._task)
        self._link = link
        self._stages.connected_at = clock.now_ms()
        return link

    async def _connect(self, link: MeterLink, address: Address, task: Task) -> None:
        settings, clock = self._host.settings, self._host.clock
        patience = min(settings.connect_timeout_s, max(0.0, (task.expires_at - clock.now_ms()) / 1000))
        try:
            async with asyncio.timeout(patience):
                await self._host.connect(lambda: link, address)
        except TimeoutError:
            if clock.now_ms() >= task.expires_at:
                raise expiry(task) from None
            detail = f"{self._endpoint} did not accept a connection within {patience:.0f} s"
            raise JobError("connect-timeout", detail, retry=True) from None
        except OSError as error:
            why = error.strerror or type(error).__name__
            raise JobError("connect-refused", f"{self._endpoint} cannot be reached: {why}", retry=True) from None

    def _take_line(self, call: Call, link: MeterLink) -> None:
        line = self._line
        if line is None or not line.free:
            raise JobError("connection-lost", f"meter {self.meter.id} dialled in and has hung up", retry=True)
        if call.tells_secret and not line.proven:
            detail = (
                f"{line.endpoint} says it is meter {self.meter.id} and has not shown it: it would be told the password. "
                "Register its address as an identity, have it cipher its pushes, or use high level security"
            )
            raise JobError("line-unproven", detail)
        self._endpoint = line.endpoint
        line.lend(link)

    async def _work(self, call: Call, ordered: tuple[Task, Order] | None) -> None:
        while ordered is not None:
            fault = await self._do(call, *ordered)
            if fault is not None and (self._gone or not fault.harmless):
                self.failed = True
                return
            ordered = None if self._gone else self._next()
            if ordered is not None:
                now = self._host.clock.now_ms()
                self._stages = Stages(now, now, now)
        if not self._gone:
            try:
                await call.close()
            except Exception as error:  # noqa: BLE001 - all is read: how the meter takes its leave does not matter
                self._fault(error)
                self.failed = self._line is not None  # what comes on it now is no push

    async def _do(self, call: Call, task: Task, order: Order) -> JobError | None:
        """A job to its end; what went wrong."""
        found, fault = Found(), None
        try:
            if task.deed is None:
                await call.perform(order, found)
            else:
                await _acting(call).act(order, task.deed, found)
        except Exception as error:  # noqa: BLE001 - as in run
            fault = self._fault(error)
        self._end(task, fault, found)
        return fault

    def _next(self) -> tuple[Task, Order] | None:
        ordered = self._host.next_order(self.meter, self._driver)
        if ordered is not None:
            self._talks_of(ordered[0])
            self._task = ordered[0]
            self._stages = Stages(self._host.clock.now_ms())
        return ordered

    def _talks_of(self, task: Task | None) -> None:
        """From now on frames are another job's."""
        before, self._talk = self._talk, task
        if before is not None:
            self._host.framed(before, self._frames(before.job.id))

    def _fault(self, error: Exception) -> JobError:
        return fault_in(self._driver, error, self.meter.id)

    def _end(self, task: Task, fault: JobError | None, found: Found) -> None:
        self._task = None
        self._host.ended(self._driver, task, fault, found, self._stages)

    def _close(self) -> None:
        self._talks_of(None)
        # Both know the visit: without this the collector would have to find out that nobody needs them.
        link, self._link, self._call = self._link, None, None
        if link is None:
            return
        if link.answered:
            self.reached = True
        if self._line is not None and self.failed:
            link.abort()
        link.close()

    def _wake(self, rest: _Rest) -> None:
        if not rest.woken.done():
            rest.woken.set_result(None)

    def _unasked(self, frame: bytes, message: bytes) -> None:
        if self._line is not None:
            self._line.pushed(frame)
        elif self._link is not None:
            pushes = self._driver.pushes(message, self._endpoint, self._host.clock.now_ms())
            self._host.unsolicited(pushes, self._link.reply)

    def _spill(self) -> None:
        self._host.keep(self._frames("" if self._talk is None else self._talk.job.id))

    def _frames(self, job_id: str) -> SessionFrames:
        """The frames since the last call, as a part of the session."""
        frames = () if self._link is None else self._link.take_frames()
        self._parts += 1
        now = self._host.clock.now_ms()
        return SessionFrames(
            id=event_id("SessionFrames", "PULL", self.meter.id, self._began, self._parts),
            meter_id=self.meter.id,
            endpoint=self._endpoint,
            protocol=self._driver.protocol,
            transport=Transport.UNKNOWN if self._link is None else self._link.transport,
            kind=SessionKind.PULL,
            job_id=job_id,
            started_at=frames[0].at if frames else now,
            ended_at=frames[-1].at if frames else now,
            frames=frames,
        )


def _acting(call: Call) -> Acts:
    if not isinstance(call, Acts):
        raise JobError("operation-unsupported", "no commands are given by this protocol; nothing was sent to the meter")
    return call


def expiry(task: Task) -> JobError:
    """Why a job ends before it is done."""
    why = f": {task.why}" if task.why else ""
    if task.job.deadline is not None and task.expires_at >= task.job.deadline:
        return JobError("job-expired", f"the deadline passed after {task.tries} tries{why}")
    return JobError("job-timeout", f"not done in the time that a job without a deadline has, after {task.tries} tries{why}")
