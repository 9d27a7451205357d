"""The association with the meter: opened when it is needed, again where the meter ended it, and closed in good manners."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from connectors.cli.failure import CANNOT_CONNECT, DONE_WITH_FAILURES, CommandError, usage
from connectors.cli.probe.access import Access, Addresses
from connectors.cli.probe.address import Target
from connectors.cli.probe.advice import advice, on_opening
from connectors.cli.probe.driver import Wire, connect
from connectors.cli.probe.report import Report
from connectors.cli.probe.trace import Trace
from connectors.protocols.dlms.association import Associated, Association, Conformance, associate, release
from connectors.protocols.dlms.client_apdus import Session, T
from connectors.protocols.dlms.errors import DlmsError, PeerError
from connectors.protocols.dlms.hdlc_link import HdlcLink
from connectors.protocols.dlms.invocation_counter import read_invocation_counter
from connectors.protocols.dlms.security import MemoryCounter
from connectors.protocols.dlms.short_names import ShortNames
from connectors.protocols.dlms.speaking import spoken

_PARTING_S = 3.0
_REOPENINGS = 3
_LOST = ("link-timeout", "link-refused", "link-state", "peer-closed", "cipher-counter")
"""Codes after which a session is no use any more, beside those of framing."""
_LISTS = Conformance.MULTIPLE_REFERENCES
_COUNTERS = ("0.0.43.1.0.255", "0.0.43.1.1.255", "0.0.43.1.2.255", "0.0.43.1.3.255")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Who is visited, and how."""

    target: Target
    addresses: Addresses
    access: Access
    timeout_s: float
    counter: int | None = None
    """Where our invocation counters begin; None: have the meter say it."""
    counter_obis: str = ""
    """Where the meter says it; "": wherever it may be."""
    trace: Callable[[str], None] | None = None
    own_title: bool = False
    """Whether our system title was made up for this session: then no counter under it was ever used."""


@dataclass(slots=True)
class _Open:
    wire: Wire
    config: Association
    link: Associated | None = field(default=None)

    def run(self, session: Session[T]) -> T:
        return self.wire.run(spoken(session, self.config, self.link))

    def part(self) -> None:
        goodbye = None if self.link is None else spoken(release(self.config), self.config, self.link)
        self.wire.part(goodbye, _PARTING_S)


class Visit:
    """One meter, one association at a time. Use it as a context manager: it parts from the meter whatever happens."""

    def __init__(self, plan: Plan, report: Report) -> None:
        self._plan, self._report = plan, report
        self._open: _Open | None = None
        self._counter: MemoryCounter | None = None
        self._names: ShortNames | None = None
        self._openings = 0
        self._lists = True

    def __enter__(self) -> Visit:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    @property
    def words(self) -> str:
        """Who asks whom."""
        return f"client {self._plan.addresses.client}, server {self._plan.addresses.server}"

    def begin(self) -> None:
        """Associate. Raises CommandError where that fails: nothing else can be done then."""
        self._associated()

    def attempt(self, what: str, tried: str, session: Callable[[Associated], Session[T]]) -> T | None:
        """What a session returns; None where it failed, which is reported.

        The next attempt opens the association again where this one lost it. A meter that hangs up on a list of attributes
        is asked once more, for each alone.
        """
        now = self._associated()
        assert now.link is not None  # noqa: S101 - `_associated` sees to it
        self._report.doing(what)
        granted = _LISTS in now.link.conformance
        try:
            return now.run(session(now.link))
        except DlmsError as error:
            if now.wire.ended or error.code in _LOST or error.code.startswith("frame-"):
                self._close()
            if error.code == "peer-closed" and granted and _LISTS not in now.link.conformance:
                self._lists = False
                self._report.doing("the meter hung up on a list of attributes: each is asked for alone from now on")
            else:
                self._report.failed(what, tried, error, advice(error))
                return None
        finally:
            self._names = now.link.names
            if now.config.channel is not None and self._counter is not None:
                self._counter.heard = now.config.channel.heard
        return self.attempt(what, tried, session)

    def _associated(self) -> _Open:
        if self._open is not None and self._open.wire.ended:
            self._close()
        if self._open is not None:
            return self._open
        self._openings += 1
        if self._openings > 1 + _REOPENINGS:
            raise CommandError(
                f"the meter ended the association {_REOPENINGS + 1} times",
                mend="ask for less at once, or leave out what it ends on",
            )
        plan = self._plan
        counter = self._counted()
        config = plan.access.association(counter)
        self._open = self._connected(plan.addresses.client, config, first=self._openings == 1)
        self._report.doing(f"associate: {self.words}, {plan.access.words}")
        try:
            self._open.link = self._open.run(associate(config))
        except DlmsError as error:
            raise self._refused("association", f"AARQ of {self.words}, {plan.access.words}", error) from error
        self._open.link.names = self._names
        if not self._lists:
            self._open.link.conformance &= ~_LISTS
        if self._openings == 1:
            self._tell(self._open.link, config)
        return self._open

    def _connected(self, client: int, config: Association, *, first: bool) -> _Open:
        plan = self._plan
        self._report.doing(f"connect to {plan.target}")
        began = time.monotonic()
        try:
            link = plan.addresses.link(client, plan.timeout_s)
        except DlmsError as error:  # an HDLC address that does not fit
            raise usage(error.detail, "check --server, --physical and --address-octets") from error
        made = connect(plan.target, plan.timeout_s)
        trace = None if plan.trace is None else Trace(plan.trace, hdlc=plan.addresses.hdlc)
        now = _Open(Wire(made, plan.target, link, trace), config)
        self._open = now
        try:
            now.wire.open()
        except DlmsError as error:
            raise self._refused("link", f"to open {plan.addresses.words(client)}", error) from error
        if first:
            agreed = link.agreed if isinstance(link, HdlcLink) else None
            self._report.fact(
                "connection",
                str(plan.target),
                framing="HDLC" if agreed else "wrapper",
                ms=round((time.monotonic() - began) * 1000),
                frame_octets=agreed and [agreed.max_transmit, agreed.max_receive],
                window=agreed and [agreed.window_transmit, agreed.window_receive],
            )
        return now

    def _counted(self) -> MemoryCounter | None:
        """Our invocation counters: from what is given, else from above what the meter says it has heard."""
        plan = self._plan
        if not plan.access.counted or self._counter is not None:
            return self._counter
        if plan.counter is not None:
            self._report.fact("invocation counter", plan.counter, source="--counter")
            self._counter = MemoryCounter(plan.counter)
            return self._counter
        client = plan.addresses.public_client
        names = (plan.counter_obis,) if plan.counter_obis else _COUNTERS
        found: dict[str, int] = {}
        self._report.doing(f"read the invocation counter as the public client, {client}")
        refusal: DlmsError | None = None
        public = self._connected(client, plan.access.public, first=False)
        try:
            public.link = public.run(associate(public.config))
            for name in names:
                try:
                    found[name] = public.run(read_invocation_counter(public.link, name))
                except PeerError as error:
                    refusal = refusal or error
                    if error.code not in ("peer-access", "peer-exception"):
                        break
        except DlmsError as error:
            refusal = error
        finally:
            self._close()
        if not found:
            raise self._uncounted(client, names, refusal)
        name = next(iter(found))
        others = {obis: value for obis, value in found.items() if obis != name}
        self._report.fact(
            "invocation counter",
            found[name] + 1,
            source=f"{name} is {found[name]}, read by client {client}",
            others=[f"{obis} is {value}" for obis, value in others.items()] or None,
        )
        if not plan.own_title:
            self._report.doing(
                "whoever else uses this system title must read the meter's counter again before it speaks to it"
            )
        self._counter = MemoryCounter(found[name] + 1)
        return self._counter

    def _uncounted(self, client: int, names: tuple[str, ...], error: DlmsError | None) -> CommandError:
        tried = f"GET {', '.join(f'1/{name}/2' for name in names)} as client {client} without authentication"
        error = error or PeerError("peer-access", "the meter has no invocation counter to read")
        mend = (
            "give --counter N, above the last that any client used with this key: the head-end's counters tell; "
            "or --public-client, --counter-obis where the meter has others"
        )
        self._report.failed("invocation counter", tried, error, mend, last=True)
        return CommandError(f"our invocation counter is not known: tried {tried}; {error.detail}", mend=mend)

    def _tell(self, link: Associated, config: Association) -> None:
        title = link.system_title
        link = link.short or link
        ours = config.channel.title.hex().upper() if config.channel is not None else None
        self._report.fact(
            "association",
            f"{self.words}, {self._plan.access.words}",
            services=[_service(flag) for flag in Conformance if flag in link.conformance],
            negotiated=None if link.negotiated else "no: the meter did not say, so what was proposed is shown",
            largest_request=link.max_send_pdu or None,
            our_system_title=ours,
            system_title=title.hex().upper() if title is not None else None,
        )

    def _refused(self, what: str, tried: str, error: DlmsError) -> CommandError:
        """The end of the command, since there is no association."""
        plan = self._plan
        heard = self._open.wire.heard if self._open is not None else b""
        mend = on_opening(error, plan.target, plan.access, heard, hdlc=plan.addresses.hdlc)
        self._report.failed(what, tried, error, mend, last=True)
        code = CANNOT_CONNECT if error.code == "link-timeout" and not heard else DONE_WITH_FAILURES
        return CommandError(f"{what} failed: tried {tried}; {error.detail}", mend=mend, exit_code=code)

    def _close(self) -> None:
        now, self._open = self._open, None
        if now is None:
            return
        if now.link is not None and not now.wire.ended:
            self._report.doing("release and close")
        if now.wire.unasked:
            self._report.doing(f"the meter pushed {now.wire.unasked} notifications meanwhile, which were passed over")
        now.part()


def _service(flag: Conformance) -> str:
    return (flag.name or str(int(flag))).lower().replace("_", "-")
