"""DLMS/COSEM as the worker has it: keys and counters looked up, association opened, jobs done over it, released."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial

import structlog

from connectors.gateway.access import Access, Trial, trials_of
from connectors.gateway.addresses import dials_in
from connectors.gateway.conversation import apdu_pushes
from connectors.gateway.datagrams import DatagramLink
from connectors.gateway.drivers.dlms_commands import Means, act, command_of
from connectors.gateway.drivers.dlms_faults import dlms_fault
from connectors.gateway.drivers.dlms_firmware import Line, install
from connectors.gateway.drivers.dlms_hdlc_link import HdlcMeterLink
from connectors.gateway.drivers.dlms_keys import KeyMeans, check_store, rotate, rotation_of
from connectors.gateway.drivers.dlms_lists import learning, withhold
from connectors.gateway.drivers.dlms_operations import check, perform
from connectors.gateway.drivers.dlms_order import DlmsOrder, GroupMeans
from connectors.gateway.drivers.dlms_profiles import finish
from connectors.gateway.drivers.dlms_shapes import Shapes
from connectors.gateway.drivers.dlms_trials import Trying, associate_by
from connectors.gateway.drivers.dlms_wrapper import WrapperFraming
from connectors.gateway.drivers.port import Deed, Found, Order, Way
from connectors.gateway.drivers.stepping import run_steps
from connectors.gateway.errors import JobError
from connectors.gateway.group_sending import Groups
from connectors.gateway.images import Images
from connectors.gateway.keystore import KeyStore
from connectors.gateway.pipeline import Pipeline, Push
from connectors.gateway.reservations import Counting, Reservations
from connectors.gateway.session import LinkTerms, MeterLink
from connectors.gateway.zones import zone_for, zone_of
from connectors.protocols.dlms.association import Associated, Association, associate, release
from connectors.protocols.dlms.client_apdus import Session, T
from connectors.protocols.dlms.errors import DlmsError
from connectors.protocols.dlms.hdlc_parameters import Parameters, Stations
from connectors.protocols.dlms.invocation_counter import read_invocation_counter
from connectors.protocols.dlms.quirks import proposed
from connectors.protocols.dlms.speaking import spoken
from connectors.protocols.dlms.template import Template
from schemas.records import Job, Meter, Operation
from schemas.records import Protocol as MeterProtocol
from streams.runtime.clock import Clock

_IN_CLEAR = Association()


@dataclass(frozen=True, slots=True)
class DlmsTools:
    """What the driver works with."""

    clock: Clock
    title: bytes
    """Our system title."""
    keys: KeyStore
    templates: Mapping[str, Template]
    pipeline: Pipeline
    counters: Reservations
    images: Images | None = None
    groups: Groups | None = None


class DlmsDriver:
    """See `port.Driver`."""

    protocol = MeterProtocol.DLMS

    def __init__(self, tools: DlmsTools) -> None:
        self._tools = tools
        self._shapes = Shapes()
        self._groups = None if tools.groups is None else GroupMeans(tools.groups, tools.keys, tools.title)

    def order(self, job: Job, meter: Meter) -> DlmsOrder:
        """See `port.Driver`."""
        tools = self._tools
        template = tools.templates.get(meter.template or "generic")
        if template is None:
            detail = f"meter {meter.id} names the template {meter.template!r}, which is not loaded"
            raise JobError("template-missing", detail)
        if meter.time_zone and zone_of(meter.time_zone) is None:
            detail = f"meter {meter.id} has the time zone {meter.time_zone!r}, which is no IANA name"
            raise JobError("time-zone-unknown", detail)
        zone = zone_for(meter, template)
        now_ms = tools.clock.now_ms
        order = DlmsOrder(job, meter, template, zone, now_ms, self._shapes, tools.images, self._groups)
        if job.operation is Operation.ROTATE_KEY:
            check_store(rotation_of(order), tools.keys)
        else:
            check(order)
        return order

    def call(self, order: Order) -> DlmsCall:
        """See `port.Driver`."""
        return DlmsCall(self._tools, _own(order))

    def fault(self, error: Exception) -> JobError | None:
        """See `port.Driver`."""
        return dlms_fault(error)

    def finish(self, founds: Sequence[Found]) -> list[JobError | None]:
        """See `port.Driver`."""
        return finish(founds)

    def pushes(self, message: bytes, endpoint: str, received_at: int) -> list[Push]:
        """See `port.Driver`."""
        return apdu_pushes(self._tools.pipeline, message, endpoint, received_at)


class DlmsCall:
    """See `port.Call`. One association; before it one of the public client where our counters are to be checked."""

    def __init__(self, tools: DlmsTools, order: DlmsOrder) -> None:
        self._tools = tools
        self._meter, self._template, self._shapes = order.meter, order.template, order.shapes
        self._pull = order.template.pull
        tools.keys.refresh()
        # Before anyone connects: a missing key is nothing to bother the meter with.
        self._trials = trials_of(order.meter, self._pull, tools.keys, tools.title)
        self._trial: Trial | None = None
        self._asked: list[int | None] = []
        """What the meter told the public client, once it was asked."""
        self._counting: Counting | None = None
        self._config = _IN_CLEAR
        self._associated: Associated | None = None
        self._framing: WrapperFraming | None = None
        self._link: MeterLink | None = None
        self._way: Way | None = None
        if self._pull.transport == "HDLC":
            self._check_hdlc()
        self.tells_secret = self._trials[0].access.tells_secret
        """See `port.Call`."""

    def link(self, terms: LinkTerms, *, datagrams: bool) -> MeterLink:
        """See `port.Call`."""
        pull = self._pull
        if pull.transport == "HDLC":
            size, window = pull.hdlc_information, pull.hdlc_window
            return HdlcMeterLink(self._stations, Parameters(size, size, window, window), terms)
        self._framing = WrapperFraming(pull.client, pull.server)
        return (DatagramLink if datagrams else MeterLink)(self._framing, terms)

    async def open(self, way: Way) -> None:
        """See `port.Call`."""
        self._way = way
        self._trial = await associate_by(self._trials, self._trying)

    @property
    def _trying(self) -> Trying:
        return Trying(self._meter, self._tools.keys, self._attempt, self._hang_up)

    async def _attempt(self, trial: Trial) -> None:
        """An association by the keys of `trial`."""
        way, access, counters = self._way, trial.access, self._tools.counters
        if way is None:
            raise RuntimeError("an association on a call that is not open")
        self._config, self._associated, self._counting = _IN_CLEAR, None, None
        if access.counted:
            ask = partial(self._ask, way, access) if access.pull.counter is not None else None
            client = access.pull.client
            self._counting = await counters.counting(
                way.partition, self._meter, client, ask, mark=trial.mark, after=trial.after
            )
        try:
            await self._reach(way, access.pull.client)
            self._config = access.association(self._counting)
            if self._template.quirks:
                conformance = proposed(self._template.quirks, self._config.conformance)
                self._config = replace(self._config, conformance=conformance)
            self._associated = await self._drive(associate(self._config))
            now_ms = self._tools.clock.now_ms()
            self._associated.names = self._shapes.names(self._meter, now_ms)
            withhold(self._associated, self._shapes, self._meter, now_ms)
        except Exception:
            if self._counting is not None:
                counters.doubt(self._counting)
            raise

    def _hang_up(self) -> None:
        """Part with a connection on which nothing more is to be said; a meter that dialled in keeps its own."""
        link = self._link
        if link is not None and not dials_in(self._meter):
            link.close()
            link.lost = True

    def _open(self) -> Associated:
        if self._associated is None:
            raise RuntimeError("a job on a call that is not open")
        return self._associated

    async def _again(self) -> tuple[Associated, Trial]:
        """Another association, by whichever keys hold now. Raises `JobError`."""
        tools = self._tools
        self._hang_up()
        self._associated, self._asked = None, []
        try:
            self._trials = trials_of(self._meter, self._pull, tools.keys, tools.title)
            trial = self._trial = await associate_by(self._trials, self._trying)
        except DlmsError as error:
            raise _ending(error) from error
        return self._open(), trial

    async def perform(self, order: Order, found: Found) -> None:
        """See `port.Call`."""
        if self._associated is None or self._way is None:
            raise RuntimeError("a job on a call that is not open")
        link, known = self._associated, self._associated.names
        try:
            with self._learning(link):
                await run_steps(perform(link, _own(order), found), self._drive, self._way.rest)
        finally:
            if link.names is not None and link.names is not known:
                self._shapes.keep_names(self._meter, link.names, self._tools.clock.now_ms())

    async def act(self, order: Order, deed: Deed, found: Found) -> None:
        """See `port.Acts`."""
        link, way, own = self._associated, self._way, _own(order)
        if link is None or way is None:
            raise RuntimeError("a command on a call that is not open")
        if own.job.operation is Operation.ROTATE_KEY and self._trial is not None:
            means = KeyMeans(link, self._trial, self._drive, self._drive_once, self._again, self._tools.keys)
            await rotate(rotation_of(own), means, deed, found)
            return
        if own.job.operation is Operation.FIRMWARE_TRANSFER:
            await install(own, Line(link, self._drive, self._drive_once, way, lambda: self._link), deed, found)
            return
        with self._learning(link):
            await act(command_of(own), Means(link, self._drive, self._drive_once, way.rest), deed, found)

    def _learning(self, link: Associated) -> AbstractContextManager[None]:
        return learning(link, self._shapes, self._meter, self._tools.clock.now_ms())

    async def close(self) -> None:
        """See `port.Call`."""
        try:
            await self._drive(release(self._config))
        finally:
            if isinstance(self._link, HdlcMeterLink):
                await self._link.leave()

    async def _drive_once(self, session: Session[T]) -> T:
        """As `_drive`; a datagram that is not answered is not sent again, since it may have been obeyed."""
        link = self._link
        if not isinstance(link, DatagramLink):
            return await self._drive(session)
        link.repeats = False
        try:
            return await self._drive(session)
        finally:
            link.repeats = True

    async def _ask(self, way: Way, access: Access) -> int | None:
        """The meter's own count of our invocations, as the public client may read it in clear."""
        if not self._asked:
            self._asked.append(await self._ask_once(way, access))
        return self._asked[0]

    async def _ask_once(self, way: Way, access: Access) -> int | None:
        await self._reach(way, self._pull.public_client)
        self._config = access.public
        try:
            self._associated = await self._drive(associate(self._config))
            told: int = await self._drive(read_invocation_counter(self._associated, self._pull.counter or ""))
            await self._drive(release())
        except DlmsError as error:
            log = structlog.get_logger("visit")
            log.warning("counter-not-told", meter=self._meter.id, code=error.code, reason=error.detail)
            return None
        finally:
            self._config, self._associated = _IN_CLEAR, None
        return told

    async def _reach(self, way: Way, client: int) -> None:
        """The connection as `client` has it, again where the meter closed it after the public client."""
        link = self._link = await way.connected()
        if isinstance(link, HdlcMeterLink):
            await link.enter(client)
        elif self._framing is not None:
            self._framing.address(client)

    def _check_hdlc(self) -> None:
        """Raises `JobError` where the addresses do not fit, or the endpoint is one of datagrams."""
        if self._meter.endpoint.startswith("udp:"):
            detail = (
                f"meter {self._meter.id} has a udp:// endpoint, and its template {self._template.name!r} HDLC: use tcp://"
            )
            raise JobError("endpoint-unsupported", detail)
        try:
            self._stations(self._pull.client).server_octets()
        except DlmsError as error:
            detail = f"the template {self._template.name!r} of meter {self._meter.id} contradicts itself: {error.detail}"
            raise JobError("template-contradictory", detail) from None

    def _stations(self, client: int) -> Stations:
        pull = self._pull
        return Stations(client, pull.server, pull.hdlc_physical, pull.hdlc_octets)

    async def _drive(self, session: Session[T]) -> T:
        """The result of a session over the link, through the channel where there is one."""
        link, channel, counting = self._link, self._config.channel, self._counting
        if link is None:
            raise RuntimeError("a session without a connection")
        session = spoken(session, self._config, self._associated)
        if channel is None or counting is None:
            return await link.drive(session)
        try:
            result = await link.drive(session)
            counting.answered()
            return result
        finally:
            counting.heard = max(counting.heard, channel.heard)


def _ending(error: DlmsError) -> JobError:
    """What ends a call, too: there is no association any more on which the meter could go on."""
    fault = dlms_fault(error)
    if fault is None:
        raise TypeError(f"no error of DLMS: {type(error).__name__}")
    return JobError(fault.code, fault.detail, retry=fault.retry, alarm=fault.alarm)


def _own(order: Order) -> DlmsOrder:
    if not isinstance(order, DlmsOrder):
        raise TypeError(f"an order of another driver: {type(order).__name__}")
    return order
