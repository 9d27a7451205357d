"""One visit to a meter: connect, associate, do its jobs one after another, release.

A task a visit, which waits for whole sessions; the round trips within them are callbacks (`session`). What goes wrong
before the association stands holds for every job that waits for the meter, what goes wrong after it for the job at
hand.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import urlsplit

import structlog

from connectors.gateway.errors import JobError, KeyStoreError
from connectors.gateway.jobs import Task
from connectors.gateway.keystore import KeyStore
from connectors.gateway.operations import Found, Order, perform
from connectors.gateway.session import MeterLink
from connectors.protocols.dlms.association import Associated, Association, associate, release
from connectors.protocols.dlms.client_apdus import Session
from connectors.protocols.dlms.errors import DlmsError
from connectors.protocols.dlms.template import PullTemplate
from schemas.ids import event_id
from schemas.records import Meter, SessionFrames, SessionKind, Transport
from schemas.records import Protocol as MeterProtocol
from streams.runtime.clock import Clock
from streams.runtime.settings import Gateway

Connect = Callable[[Callable[[], MeterLink], str, int], Awaitable[Any]]
"""Opens a TCP connection with a protocol; raises OSError."""

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

    def __init__(self, host: Host, meter: Meter) -> None:
        self._host = host
        self._link: MeterLink | None = None
        self._task: Task | None = None
        self._stages = Stages(0)
        self._began = host.clock.now_ms()
        self._parts = 0
        self._endpoint = ""
        self.meter = meter
        self.failed = False
        """Whether the meter should rest before it is visited again."""

    async def run(self) -> None:
        """The whole visit. Raises nothing but cancellation."""
        ordered = self._next()
        if ordered is None:
            return
        task, order = ordered
        try:
            link = await self._open(order, task)
            associated = await self._drive(link, associate(self._association(order.template.pull)))
        except Exception as error:  # noqa: BLE001 - the job is told; a bug in one visit must not take the others along
            self.failed = True
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

    async def _open(self, order: Order, task: Task) -> MeterLink:
        host, port = address_of(self.meter)
        self._endpoint = f"{host}:{port}"
        self._association(
            order.template.pull
        )  # before anyone connects: a missing password is nothing to bother the meter with
        settings, clock, pull = self._host.settings, self._host.clock, order.template.pull
        link = MeterLink(clock, pull.client, pull.server, settings.answer_timeout_s, self._pushed, self._spill)
        patience = min(settings.connect_timeout_s, max(0.0, (task.expires_at - clock.now_ms()) / 1000))
        try:
            async with asyncio.timeout(patience):
                await self._host.connect(lambda: link, host, port)
        except TimeoutError:
            if clock.now_ms() >= task.expires_at:
                raise expiry(task) from None
            detail = f"{self._endpoint} did not accept a connection within {patience:.0f} s"
            raise JobError("connect-timeout", detail, retry=True) from None
        except OSError as error:
            why = error.strerror or type(error).__name__
            raise JobError("connect-refused", f"{self._endpoint} cannot be reached: {why}", retry=True) from None
        self._link = link
        self._stages.connected_at = clock.now_ms()
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
                await self._drive(link, release())
            except (DlmsError, JobError):
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

        link.run(session, then)
        return await future

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
            self._link.close()

    def _association(self, pull: PullTemplate) -> Association:
        if pull.auth == "none":
            return Association()
        if pull.auth != "low":
            detail = f"the template asks for authentication {pull.auth!r}; none and low are supported"
            raise JobError("operation-unsupported", detail)
        try:
            found = self._host.keys.get(self.meter.key_ref) if self.meter.key_ref else None
        except KeyStoreError as error:
            raise JobError("key-missing", str(error)) from None
        if found is None or found.password is None:
            detail = f"no password under {self.meter.key_ref!r} for meter {self.meter.id}; import the meter's keys"
            raise JobError("key-missing", detail)
        return Association(password=found.password)

    def _pushed(self, apdu: bytes) -> None:
        if self._link is not None:
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


def address_of(meter: Meter) -> tuple[str, int]:
    """Host and port of a meter. Raises `JobError`."""
    if not meter.endpoint:
        raise JobError("meter-no-endpoint", f"meter {meter.id} has no endpoint; it can push, but it cannot be read")
    try:
        parts = urlsplit(meter.endpoint)
        scheme, host, port = parts.scheme, parts.hostname, parts.port
    except ValueError:
        scheme, host, port = "", None, None
    if scheme != "tcp" or not host or not port:
        detail = f"meter {meter.id} has the endpoint {meter.endpoint!r}; tcp://host:port is expected"
        raise JobError("endpoint-unsupported", detail)
    return host, port


def expiry(task: Task) -> JobError:
    """Why a job ends before it is done."""
    if task.job.deadline is not None and task.expires_at >= task.job.deadline:
        return JobError("job-expired", f"the deadline passed after {task.tries} tries")
    return JobError("job-timeout", f"not done in the time that a job without a deadline has, after {task.tries} tries")
