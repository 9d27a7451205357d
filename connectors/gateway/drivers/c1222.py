"""C12.22 as the worker has it: messages over TCP or UDP, protected as the meter's template says, logged on where it asks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from connectors.gateway.datagrams import DatagramLink
from connectors.gateway.drivers.c12_access import MessageAccess
from connectors.gateway.drivers.c12_faults import c12_fault
from connectors.gateway.drivers.c12_keys import C12Keys, keys_of
from connectors.gateway.drivers.c12_known import Known
from connectors.gateway.drivers.c12_operations import check, perform, steps
from connectors.gateway.drivers.c12_order import C12Order, order_of
from connectors.gateway.drivers.c12_relay import Means, act
from connectors.gateway.drivers.c1218 import own_order
from connectors.gateway.drivers.c1222_framing import AcseFraming, MessageDatagramLink, MessageLink
from connectors.gateway.drivers.c1222_numbers import Numbers, Windows
from connectors.gateway.drivers.port import Deed, Found, Order, Way
from connectors.gateway.errors import JobError
from connectors.gateway.keystore import KeyStore
from connectors.gateway.pipeline import Push
from connectors.gateway.session import LinkTerms, MeterLink, Session
from connectors.protocols.c12.c1222_services import Request
from connectors.protocols.c12.c1222_session import Client, Node, all_ok
from connectors.protocols.c12.epsem import Mode
from connectors.protocols.c12.errors import C12Error
from connectors.protocols.c12.requests import Identify, Logoff, Logon, Security
from connectors.protocols.c12.titles import C1222_CONTEXT, ApTitle, title
from connectors.templates.c12_template import C12Template
from schemas.records import IdentityKind, Job, Meter, Operation
from schemas.records import Protocol as MeterProtocol
from streams.runtime.clock import Clock


@dataclass(frozen=True, slots=True)
class C1222Tools:
    """What the driver works with."""

    clock: Clock
    title: ApTitle
    """Ours."""
    keys: KeyStore
    templates: Mapping[str, C12Template]
    known: Known
    numbers: Numbers
    windows: Windows
    pushes: Callable[[bytes, str, int], list[Push]]
    """What a whole message comes to that came unasked: message, endpoint, time."""


class C1222Driver:
    """See `port.Driver`."""

    protocol = MeterProtocol.C1222

    def __init__(self, tools: C1222Tools) -> None:
        self._tools = tools

    def order(self, job: Job, meter: Meter) -> C12Order:
        """See `port.Driver`."""
        order = order_of(job, meter, self._tools.templates, self._tools.clock.now_ms, self._tools.known)
        check(order)
        title_of(meter)
        return order

    def call(self, order: Order) -> C1222Call:
        """See `port.Driver`."""
        own = own_order(order)
        return C1222Call(self._tools, own, keys_of(own.meter, own.template, self._tools.keys, c1222=True))

    def fault(self, error: Exception) -> JobError | None:
        """See `port.Driver`."""
        return c12_fault(error)

    def finish(self, founds: Sequence[Found]) -> list[JobError | None]:
        """See `port.Driver`: nothing is put aside."""
        return [None] * len(founds)

    def pushes(self, message: bytes, endpoint: str, received_at: int) -> list[Push]:
        """See `port.Driver`."""
        return self._tools.pushes(message, endpoint, received_at)


class C1222Call:
    """See `port.Call`."""

    def __init__(self, tools: C1222Tools, order: C12Order, keys: C12Keys) -> None:
        self._tools, self._template = tools, order.template
        terms, logon = order.template.messages, order.template.logon
        node = Node(
            title_of(order.meter),
            tools.title,
            terms.mode,
            keys.eax.get(terms.key_id),
            terms.key_id,
            base=terms.base,
            context=C1222_CONTEXT if terms.context else None,
            ed_class=terms.ed_class,
            largest=terms.largest,
            short=terms.short,
        )
        windows = tools.windows.of(order.template)
        self._client = Client(node, tools.numbers.invocation, tools.numbers.iv, windows)
        user = keys.user
        self._logon: list[Request] = []
        if logon.c1222 != "NONE":
            self._logon.append(Logon(user.number, user.name.encode("latin-1", "replace"), logon.idle_s))
            if user.password is not None:
                self._logon.append(Security(user.password, user.number))
        before = self._logon if logon.c1222 == "MESSAGE" else []
        self._access = MessageAccess(self._client, terms.services, terms.answer, before)
        self._session = logon.c1222 == "SESSION"
        self._way: Way | None = None
        self._link: MeterLink | None = None
        self.tells_secret = terms.mode is not Mode.CIPHERED and user.password is not None
        """See `port.Call`."""

    def link(self, terms: LinkTerms, *, datagrams: bool) -> MeterLink:
        """See `port.Call`."""
        framing = AcseFraming(self._tools.clock, self._template.messages.base)
        return MessageDatagramLink(framing, terms) if datagrams else MessageLink(framing, terms)

    async def open(self, way: Way) -> None:
        """See `port.Call`."""
        self._way = way
        self._link = await way.connected()
        if self._session:
            responses = await self._link.drive(self._client.request(self._logon))
            all_ok(responses, self._logon, "logon")

    async def perform(self, order: Order, found: Found) -> None:
        """See `port.Call`."""
        if self._way is None or self._link is None:
            raise RuntimeError("a job on a call that is not open")
        own = own_order(order)
        if own.job.operation is Operation.PING and not self._session:
            asked = (Identify(),)
            all_ok(await self._link.drive(self._client.request(asked)), asked, "identify")
        for number, step in enumerate(steps(own, found)):
            if number:
                await self._way.rest(0)
            await self._link.drive(perform(step, self._access, own, found))

    async def act(self, order: Order, deed: Deed, found: Found) -> None:
        """See `port.Acts`."""
        if self._way is None or self._link is None:
            raise RuntimeError("a command on a call that is not open")
        link = self._link
        await act(own_order(order), Means(self._access, link.drive, self._drive_once, self._way.rest), deed, found)

    async def _drive_once(self, session: Session[Any]) -> Any:
        """A datagram that is not answered is not sent again, since it may have been obeyed."""
        link = self._link
        if link is None:
            raise RuntimeError("a command on a call that is not open")
        if not isinstance(link, DatagramLink):
            return await link.drive(session)
        link.repeats = False
        try:
            return await link.drive(session)
        finally:
            link.repeats = True

    async def close(self) -> None:
        """See `port.Call`."""
        if self._link is not None and self._session:
            await self._link.drive(self._client.request((Logoff(),)))


def title_of(meter: Meter) -> ApTitle:
    """The application title of a meter. Raises `JobError` "c1222-title-unknown", "c1222-title"."""
    text = next((identity.value for identity in meter.identities if identity.kind is IdentityKind.AP_TITLE), None)
    if text is None:
        detail = f"meter {meter.id} has no application title: import it (column ap_title), or wait until it registers"
        raise JobError("c1222-title-unknown", detail)
    try:
        return title(text)
    except C12Error as error:
        raise JobError(error.code, f"meter {meter.id}: {error.detail}") from None
