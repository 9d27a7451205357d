"""What a protocol offers so that the worker visits its meters, and what a visit offers to it.

    job ─▶ Driver.order ─▶ Driver.call ─▶ Call.open ─▶ Call.perform … Call.perform ─▶ Call.close
            checked          keys looked    Way.connected()   once a job              leave, in good manners
            raises JobError  up, JobError   └─▶ Call.link: a new MeterLink for the visit's socket

A driver is made once a worker, a call once a visit. What a driver's sessions raise is the protocol's own; `Driver.fault`
says what it means. The worker sees `JobError` only, and takes everything else for a bug.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from connectors.gateway.errors import JobError
from connectors.gateway.pipeline import Push
from connectors.gateway.session import LinkTerms, MeterLink
from schemas.records import Alarm, IntervalReadings, Job, Meter, RegisterReadings
from schemas.records import Protocol as MeterProtocol

Reading = IntervalReadings | RegisterReadings | Alarm


@dataclass(slots=True)
class Found:
    """What a job brought so far: kept also where the rest fails."""

    readings: list[Reading] = field(default_factory=list)
    """Records to be written."""
    rows: int = 0
    detail: str = ""
    """A sentence for the result of a job that ended well, such as which of its objects were refused."""
    before: str = ""
    """The relay's or parameter's state before a command, in words; likewise `after` it."""
    after: str = ""
    learnt: dict[str, str] = field(default_factory=dict)
    """What the meter told of itself that the registry keeps: its `firmware` and `hardware`, as far as they were read."""
    raw: list[Any] = field(default_factory=list)
    """What is still to be made into readings, after the visit and with that of other jobs: see `Driver.finish`."""


class Order(Protocol):
    """A job with all that is needed to do it; a driver's own class has more."""

    @property
    def job(self) -> Job:
        """What is asked."""

    @property
    def meter(self) -> Meter:
        """Of whom."""


class Way(Protocol):
    """The way to the meter, as a call has it from its visit."""

    partition: int
    """Of hes.jobs and hes.counters: whoever has the partition counts for the meter's keys."""

    async def connected(self) -> MeterLink:
        """The connection: made with `Call.link` when first asked for, and again where the meter closed it. Raises
        `JobError`.
        """

    async def rest(self, seconds: float) -> None:
        """A pause within a job that takes long: more urgent jobs of the meter are done on the same call meanwhile, and then
        the rest of the time passes. `seconds` 0 returns at once where there are none. Raises `JobError` when the job's time
        is over or the connection is lost, and what the call raises where it broke under another job.
        """

    def spent(self, octets: int) -> float:
        """So many octets of an image went over the line: how long to rest, seconds, so that others have their share."""


class Call(Protocol):
    """One visit to one meter. All methods but `link` may raise `JobError` and what `Driver.fault` knows."""

    tells_secret: bool
    """Whether whoever answers is told a password in clear: not without knowing who it is."""

    def link(self, terms: LinkTerms, *, datagrams: bool) -> MeterLink:
        """The asyncio protocol for a connection that is about to be made, or of a line that is lent."""

    async def open(self, way: Way) -> None:
        """Everything before the first job: connect (`way.connected()`), associate or log on."""

    async def perform(self, order: Order, found: Found) -> None:
        """Do a job; what is read is put into `found` as it comes."""

    async def close(self) -> None:
        """Take leave: what goes wrong here matters to nobody."""


class Deed(Protocol):
    """A command as its driver has it: proven and, once `intend` returns, durable. See `deeds`."""

    @property
    def unsettled(self) -> bool:
        """Whether it may have been sent before: then it is never sent again, the state is read and judged."""

    @property
    def before(self) -> str:
        """The state before it was sent, where it was."""

    async def intend(self, before: str) -> None:
        """Ask for the proofs again and keep the intent, with the state before. Nothing may be sent where this raises."""

    def still(self) -> None:
        """To be called in the same breath as the octets go: in the session, with nothing between. Raises `JobError`."""

    def known(self) -> None:
        """To be called where it is certain what came of it."""


@runtime_checkable
class Installing(Deed, Protocol):
    """A deed that brings an image to a meter, over as many jobs as it takes. See `firmware_deed`."""

    heard: str
    """The version that the meter told last after the order to activate; set by the driver."""
    progress: str
    """What is in the meter, in words; likewise."""
    sent: int
    """Blocks that the meter took, in all tries of the job; likewise."""
    orders: int
    """How often this worker ordered the activation."""

    async def recall(self) -> None:
        """Look up what is known, before anything is asked. Raises `JobError`, as all that follow."""

    def begun(self) -> bool:
        """Whether the job's image was the last that was initiated at the meter."""

    async def forget(self) -> None:
        """To be called before an image is initiated: from now on nobody knows of which image the meter's blocks are."""

    async def keep(self) -> None:
        """To be called after it was."""

    def gains(self, missing: int) -> bool:
        """To be told of what the meter lacks when blocks are about to be sent: whether that is less than it was."""

    def permitted(self) -> None:
        """To be called between blocks: whether the campaign goes on, and, now and then, for the proofs again. `JobError`."""

    def ordered(self, restart_s: int, back_s: int) -> None:
        """To be called as the activation is ordered: how long the meter is left alone, and by when it must be back."""


@runtime_checkable
class Acts(Protocol):
    """A call of a protocol by which commands can be given."""

    async def act(self, order: Order, deed: Deed, found: Found) -> None:
        """Do a command: state before, `deed.intend`, `deed.still`, octets, state after; both states are put into `found`.
        Raises as `Call`, and `deeds.unknown` where it cannot be told what came of it.
        """


class Driver(Protocol):
    """How one protocol is spoken."""

    protocol: MeterProtocol

    def order(self, job: Job, meter: Meter) -> Order:
        """A job, checked before anyone connects. Raises `JobError`, "operation-unsupported" where it is not done at all."""

    def call(self, order: Order) -> Call:
        """A visit that begins with this order: keys are looked up, nothing is sent. Raises `JobError`."""

    def fault(self, error: Exception) -> JobError | None:
        """What an error of the protocol means to a job; None where it is none of the protocol's, so a bug."""

    def finish(self, founds: Sequence[Found]) -> list[JobError | None]:
        """Make readings of what jobs have put aside (`Found.raw`, which is to be empty then), many jobs at once; and what is
        wrong with each. May raise what `fault` knows, or a bug: then it is called again for each job by itself.
        """

    def pushes(self, message: bytes, endpoint: str, received_at: int) -> list[Push]:
        """What a message that came unasked within a session comes to; see `MeterLink.unasked`."""


class Conversation(Protocol):
    """What one connection on which meters push has to remember; made by a `Hear`."""

    @property
    def pending(self) -> int:
        """Octets that wait for more, all told."""

    @property
    def blocks(self) -> int:
        """Those of them that are whole datagrams' parts of something longer."""

    def feed(self, data: bytes, received_at: int) -> list[Push]:
        """What came to an end with these octets of a stream."""

    def datagram(self, data: bytes, received_at: int) -> list[Push]:
        """Likewise of a datagram."""

    def take_replies(self) -> bytes:
        """What the link wants back at once, whatever becomes of the content."""

    def close(self, received_at: int) -> list[Push]:
        """Nothing more will come: what is not whole is refused."""


Hear = Callable[[str], Conversation]
"""A conversation with an endpoint, `host:port`."""


@dataclass(frozen=True, slots=True)
class Door:
    """Where meters of one protocol push: a port each of TCP and UDP, 0 for a free one, negative for none."""

    protocol: MeterProtocol
    hear: Hear
    tcp_port: int = -1
    udp_port: int = -1
