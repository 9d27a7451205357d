"""One visit to a meter: connect (or take the connection that it made), associate, do its jobs one after another, release.

A task a visit, which waits for whole sessions; the round trips within them are callbacks (`session`). What goes wrong
before the association stands holds for every job that waits for the meter, what goes wrong after it for the job at
hand.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import structlog

from connectors.gateway.access import Access, access_of
from connectors.gateway.addresses import DIAL_IN, Address, address_of
from connectors.gateway.datagrams import DatagramLink
from connectors.gateway.errors import JobError
from connectors.gateway.jobs import Task
from connectors.gateway.keystore import KeyStore
from connectors.gateway.lines import Line
from connectors.gateway.operations import Found, Order, perform
from connectors.gateway.reservations import Ask, Counting
from connectors.gateway.retries import tells_of_network
from connectors.gateway.session import MeterLink
from connectors.protocols.dlms.association import Associated, Association, associate, release
from connectors.protocols.dlms.client_apdus import Session
from connectors.protocols.dlms.errors import DlmsError
from connectors.protocols.dlms.framing.wrapper import pack
from connectors.protocols.dlms.invocation_counter import read_invocation_counter
from connectors.protocols.dlms.security import secured
from schemas.ids import event_id
from schemas.records import Meter, SessionFrames, SessionKind, Transport
from schemas.records import Protocol as MeterProtocol
from streams.runtime.clock import Clock
from streams.runtime.settings import Gateway

Connect = Callable[[Callable[[], MeterLink], Address], Awaitable[Any]]
"""Opens a TCP connection, or a connected UDP socket, with a protocol; raises OSError."""

_HARMLESS = ("peer-access", "peer-exception", "dlms-time", "profile-shape", "profile-clock")
"""A meter that answers so answers the next job all the same."""


@dataclass(slots=True)
class Stages:
    """When a job reached what, milliseconds."""

    started_at: int
    connected_at: int | None = None
    associated_at: int | None = None


class Host(Protocol):
    """What a visit needs of the worker that sends it."""

    settings: Gateway
    clock: Clock
    keys: KeyStore
    connect: Connect
    title: bytes
    """Our system title."""

    async def counting(self, task: Task, meter: Meter, client: int, ask: Ask | None) -> Counting:
        """The invocation counters of a meter's key; see `Reservations.counting`."""

    def doubt(self, counting: Counting) -> None:
        """The meter did not take our counters, or something else."""

    def next_order(self, meter: Meter) -> tuple[Task, Order] | None:
        """The meter's next job, checked; None where there is none, or the worker stops."""

    def ended(self, task: Task, error: Exception | None, found: Found, stages: Stages, frames: SessionFrames) -> None:
        """A job is done, or this try of it failed."""

    def unreachable(self, meter: Meter, error: Exception) -> None:
        """What stopped a job stops every other that waits for the meter, too."""

    def keep(self, frames: SessionFrames) -> None:
        """Frames to be written that belong to no result."""

    def unsolicited(self, apdu: bytes, endpoint: str, reply: Callable[[bytes], None]) -> None:
        """The meter pushed something between its answers."""


class Visit:
    """A meter being visited; `tick` is to be called several times a second."""

    def __init__(self, host: Host, meter: Meter, line: Line | None = None) -> None:
        self._host = host
        self._line = line
        self._link: MeterLink | None = None
        self._counting: Counting | None = None
        self._config = Association()
        self._task: Task | None = None
        self._stages = Stages(0)
        self._began = host.clock.now_ms()
        self._parts = 0
        self._endpoint = ""
        self.meter = meter
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
        try:
            link, associated = await self._associate(task, order)
        except Exception as error:  # noqa: BLE001 - the job is told; a bug in one visit must not take the others along
            self.failed = True
            if not self._answered and tells_of_network(error):
                self.reached = False
            if self._counting is not None:
                self._host.doubt(self._counting)
            self._fail(task, error, Found())
            self._host.unreachable(self.meter, error)
        else:
            self._stages.associated_at = self._host.clock.now_ms()
            await self._work(link, associated, ordered)
        finally:
            self._close()

    def tick(self, now: float, now_ms: int) -> None:
        """Notice what is overdue: the job as a whole, or an answer."""
        if self._link is None:
            return
        if self._task is not None and now_ms >= self._task.expires_at:
            self._link.fail(expiry(self._task))
        else:
            self._link.tick(now)

    @property
    def _answered(self) -> bool:
        return self._link is not None and self._link.answered

    async def _associate(self, task: Task, order: Order) -> tuple[MeterLink, Associated]:
        # Before anyone connects: a missing key is nothing to bother the meter with.
        access = access_of(self.meter, order.template.pull, self._host.keys, self._host.title)
        if access.counted:
            ask = partial(self._ask, access, task) if access.pull.counter is not None else None
            self._counting = await self._host.counting(task, self.meter, access.pull.client, ask)
        link = await self._opened(access, task)
        self._config = access.association(self._counting)
        return link, await self._drive(link, associate(self._config))

    async def _ask(self, access: Access, task: Task) -> int | None:
        """The meter's own count of our invocations, as the public client may read it in clear."""
        link = await self._opened(access, task)
        link.client = access.pull.public_client
        try:
            associated = await self._drive(link, associate(Association()))
            told: int = await self._drive(link, read_invocation_counter(associated, access.pull.counter or ""))
            await self._drive(link, release())
        except DlmsError as error:
            log = structlog.get_logger("visit")
            log.warning("counter-not-told", meter=self.meter.id, code=error.code, reason=error.detail)
            return None
        finally:
            link.client = access.pull.client
        return told

    async def _opened(self, access: Access, task: Task) -> MeterLink:
        """The connection, again where the meter closed it after the public client."""
        link = self._link
        return link if link is not None and not link.lost else await self._open(access, task)

    async def _open(self, access: Access, task: Task) -> MeterLink:
        address = address_of(self.meter)
        settings, clock, pull = self._host.settings, self._host.clock, access.pull
        given = (clock, pull.client, pull.server, settings.answer_timeout_s, self._pushed, self._spill)
        if address.scheme == DIAL_IN:
            link = self._take_line(MeterLink(*given), access)
        else:
            self._endpoint = str(address)
            make = partial(DatagramLink, patience_s=settings.datagram_retry_s) if address.scheme == "udp" else MeterLink
            link = make(*given)
            await self._connect(link, address, task)
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

    def _take_line(self, link: MeterLink, access: Access) -> MeterLink:
        line = self._line
        if line is None or not line.free:
            raise JobError("connection-lost", f"meter {self.meter.id} dialled in and has hung up", retry=True)
        if access.tells_secret and not line.proven:
            detail = (
                f"{line.endpoint} says it is meter {self.meter.id} and has not shown it: it would be told the password. "
                "Register its address as an identity, have it cipher its pushes, or use high level security"
            )
            raise JobError("line-unproven", detail)
        self._endpoint = line.endpoint
        line.lend(link)
        return link

    async def _work(self, link: MeterLink, associated: Associated, ordered: tuple[Task, Order] | None) -> None:
        while ordered is not None:
            task, order = ordered
            found = Found()
            try:
                await self._drive(link, perform(associated, order, found))
            except Exception as error:  # noqa: BLE001 - as above
                self._fail(task, error, found)
                if link.lost or not isinstance(error, DlmsError) or error.code not in _HARMLESS:
                    self.failed = True
                    return
            else:
                self._end(task, None, found)
            ordered = None if link.lost else self._next()
            if ordered is not None:
                now = self._host.clock.now_ms()
                self._stages = Stages(now, now, now)
        if not link.lost:
            try:
                await self._drive(link, release(self._config))
            except (DlmsError, JobError):
                self.failed = self._line is not None  # what comes on it now is no push
                return  # all is read; how the meter takes its leave does not matter

    async def _drive(self, link: MeterLink, session: Session[Any]) -> Any:
        """The result of a session over the link."""
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

        def then(result: Any, error: Exception | None) -> None:
            if future.done():
                return
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)

        channel = self._config.channel
        link.run(session if channel is None else secured(session, channel), then)
        result = await future
        if self._counting is not None and channel is not None:
            self._counting.answered()
        return result

    def _next(self) -> tuple[Task, Order] | None:
        ordered = self._host.next_order(self.meter)
        if ordered is not None:
            self._task = ordered[0]
            self._stages = Stages(self._host.clock.now_ms())
        return ordered

    def _fail(self, task: Task, error: Exception, found: Found) -> None:
        if not isinstance(error, DlmsError | JobError):
            text = "".join(traceback.format_exception(error))  # without locals: they may hold a password
            structlog.get_logger("visit").error("internal", meter=self.meter.id, traceback=text)
        self._end(task, error, found)

    def _end(self, task: Task, error: Exception | None, found: Found) -> None:
        self._task = None
        self._host.ended(task, error, found, self._stages, self._frames(task.job.id))

    def _close(self) -> None:
        if self._link is not None:
            rest = self._frames("")
            if rest.frames:
                self._host.keep(rest)
            if self._link.answered:
                self.reached = True
            if self._line is not None and self.failed:
                self._link.abort()
            self._link.close()
        if self._counting is not None and self._config.channel is not None:
            self._counting.heard = max(self._counting.heard, self._config.channel.heard)

    def _pushed(self, source: int, destination: int, apdu: bytes) -> None:
        if self._line is not None:
            self._line.pushed(pack(source, destination, apdu))
        elif self._link is not None:
            self._host.unsolicited(apdu, self._endpoint, self._link.reply)

    def _spill(self) -> None:
        self._host.keep(self._frames("" if self._task is None else self._task.job.id))

    def _frames(self, job_id: str) -> SessionFrames:
        """The frames since the last call, as a part of the session."""
        frames = () if self._link is None else self._link.take_frames()
        self._parts += 1
        now = self._host.clock.now_ms()
        return SessionFrames(
            id=event_id("SessionFrames", "PULL", self.meter.id, self._began, self._parts),
            meter_id=self.meter.id,
            endpoint=self._endpoint,
            protocol=MeterProtocol.DLMS,
            transport=Transport.WRAPPER,
            kind=SessionKind.PULL,
            job_id=job_id,
            started_at=frames[0].at if frames else now,
            ended_at=frames[-1].at if frames else now,
            frames=frames,
        )


def expiry(task: Task) -> JobError:
    """Why a job ends before it is done."""
    why = f": {task.why}" if task.why else ""
    if task.job.deadline is not None and task.expires_at >= task.job.deadline:
        return JobError("job-expired", f"the deadline passed after {task.tries} tries{why}")
    return JobError("job-timeout", f"not done in the time that a job without a deadline has, after {task.tries} tries{why}")
