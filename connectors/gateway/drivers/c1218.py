"""C12.18 and C12.21 as the worker has them: logged on over a TCP connection or a serial port, tables read, logged off."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from connectors.gateway.drivers.c12_access import PsemAccess
from connectors.gateway.drivers.c12_faults import c12_fault
from connectors.gateway.drivers.c12_keys import C12Keys, keys_of
from connectors.gateway.drivers.c12_known import Known
from connectors.gateway.drivers.c12_operations import check, perform, steps
from connectors.gateway.drivers.c12_order import C12Order, order_of
from connectors.gateway.drivers.c12_relay import Means, act
from connectors.gateway.drivers.c1218_link import PsemMeterLink
from connectors.gateway.drivers.port import Deed, Found, Order, Way
from connectors.gateway.errors import JobError
from connectors.gateway.keystore import KeyStore
from connectors.gateway.pipeline import Push
from connectors.gateway.session import LinkTerms, MeterLink, Session
from connectors.protocols.c12 import c1221, psem_session
from connectors.protocols.c12.psem_session import Opened
from connectors.protocols.c12.requests import Negotiate
from connectors.templates.c12_template import C12Template
from schemas.records import Job, Meter
from schemas.records import Protocol as MeterProtocol
from streams.runtime.clock import Clock


@dataclass(frozen=True, slots=True)
class C1218Tools:
    """What the driver works with."""

    clock: Clock
    keys: KeyStore
    templates: Mapping[str, C12Template]
    known: Known


class C1218Driver:
    """See `port.Driver`."""

    protocol = MeterProtocol.C1218

    def __init__(self, tools: C1218Tools) -> None:
        self._tools = tools

    def order(self, job: Job, meter: Meter) -> C12Order:
        """See `port.Driver`."""
        order = order_of(job, meter, self._tools.templates, self._tools.clock.now_ms, self._tools.known)
        check(order)
        return order

    def call(self, order: Order) -> C1218Call:
        """See `port.Driver`."""
        own = own_order(order)
        return C1218Call(own.template, keys_of(own.meter, own.template, self._tools.keys, c1222=False), own.meter)

    def fault(self, error: Exception) -> JobError | None:
        """See `port.Driver`."""
        return c12_fault(error)

    def finish(self, founds: Sequence[Found]) -> list[JobError | None]:
        """See `port.Driver`: nothing is put aside."""
        return [None] * len(founds)

    def pushes(self, message: bytes, endpoint: str, received_at: int) -> list[Push]:  # noqa: ARG002 - a Driver's signature
        """See `port.Driver`: a C12.18 meter says nothing unasked."""
        return []


class C1218Call:
    """See `port.Call`. One session: identify, negotiate, log on, prove who we are."""

    def __init__(self, template: C12Template, keys: C12Keys, meter: Meter) -> None:
        self._template, self._keys, self._meter = template, keys, meter
        self._way: Way | None = None
        self._link: MeterLink | None = None
        self._access: PsemAccess | None = None
        self.tells_secret = keys.user.password is not None
        """See `port.Call`."""

    def link(self, terms: LinkTerms, *, datagrams: bool) -> MeterLink:
        """See `port.Call`."""
        if datagrams:
            detail = f"meter {self._meter.id} has a udp:// endpoint, and C12.18 runs over tcp:// or a serial port"
            raise JobError("endpoint-unsupported", detail)
        line = self._template.line
        return PsemMeterLink(terms, modem=line.c1221, rates=line.rates)

    async def open(self, way: Way) -> None:
        """See `port.Call`."""
        self._way = way
        self._link = await way.connected()
        opened = await self._link.drive(self._session())
        self._access = PsemAccess(opened.agreed)

    async def perform(self, order: Order, found: Found) -> None:
        """See `port.Call`."""
        if self._way is None or self._link is None or self._access is None:
            raise RuntimeError("a job on a call that is not open")
        own = own_order(order)
        for number, step in enumerate(steps(own, found)):
            if number:
                await self._way.rest(0)
            await self._link.drive(perform(step, self._access, own, found))

    async def act(self, order: Order, deed: Deed, found: Found) -> None:
        """See `port.Acts`."""
        if self._way is None or self._link is None or self._access is None:
            raise RuntimeError("a command on a call that is not open")
        link = self._link
        # A packet that is not acknowledged is sent again, and the meter can tell: the link's toggle and CRC see to it.
        await act(own_order(order), Means(self._access, link.drive, link.drive, self._way.rest), deed, found)

    async def close(self) -> None:
        """See `port.Call`."""
        if self._link is not None:
            await self._link.drive(psem_session.close_session())

    def _session(self) -> Session[Opened]:
        line, keys = self._template.line, self._keys
        propose = Negotiate(line.packet_size, line.packets, line.rates) if line.negotiate else None
        if line.c1221 or keys.des is not None:
            timings = c1221.TIMINGS if line.c1221 else None
            return c1221.open_session(keys.user, keys.des, propose, timings)
        return psem_session.open_session(keys.user, propose)


def own_order(order: Order) -> C12Order:
    """The order as a C12 driver made it."""
    if not isinstance(order, C12Order):
        raise TypeError(f"an order of another driver: {type(order).__name__}")
    return order
