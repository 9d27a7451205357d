"""A command on its way through this worker: admitted, proven twice, intended, sent at most once, settled.

Knows no protocol. A driver asks its deed just before it sends (`intend`, then `still` in the same breath as the octets),
says when it knows what came of it (`known`), and looks instead of sending where the deed is `unsettled`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from connectors.gateway.errors import JobError
from connectors.gateway.images import Images
from connectors.gateway.intents import Action, Intents, unavailable
from connectors.gateway.proofs import Proofs, concerned, refused
from connectors.gateway.relay import partition_of
from connectors.gateway.reservations import FencedError
from schemas.records import CommandIntent, Job, Meter, Outcome
from schemas.signatures import digest
from streams.runtime.authority.kinds import cuts
from streams.runtime.authority.refusals import Proven
from streams.runtime.clock import Clock
from streams.runtime.offsets import Partition

if TYPE_CHECKING:
    from connectors.gateway.drivers.port import Found

_CLAIM_S = 5.0
LONGEST_S = 2.0
"""Between the durable intent and the octets: a worker that was paused in between is too late, whatever it believes."""
_PASSING = frozenset(("frozen", "protected", "outside-hours"))
"""Refusals for what may be over tomorrow: the command has ended with them all the same, and is not done then."""
_KEPT_MS = 32 * 86_400_000
"""How long such an end is kept, since nobody can tell until when the request would prove something."""


class Claims(Protocol):
    """The cap on openings: see `openings.Openings`."""

    @property
    def caught_up(self) -> bool:
        """Whether earlier claims are known."""

    def free_in_ms(self, now_ms: int) -> int:
        """How long until a claim can be granted."""

    def claim(self, meter_id: str, digest: bytes, told: Callable[[bool], None]) -> Callable[[], None]:
        """Claim one; `told` may be called on any thread."""


@dataclass(frozen=True, slots=True)
class Commands:
    """What the deeds of a worker work with."""

    clock: Clock
    proofs: Proofs
    claims: Claims
    intents: Intents
    owner: str
    partitions: Callable[[], int]
    """How many a jobs topic has; 0 while nobody knows."""
    make: Callable[[Commands, Job, int, str], Deed] = lambda *given: Deed(*given)  # noqa: PLW0108 - Deed is defined below
    """The deed of a job that stands in a partition, in a record: `firmware_deed.deed_of` knows of images."""
    images: Images | None = None

    @property
    def ready(self) -> bool:
        """Whether commands can be judged: before that they wait."""
        return self.proofs.ready and self.claims.caught_up and self.partitions() > 0

    def concerned(self, job: Job) -> bool:
        """Whether a job is a command that moves a relay or changes a meter."""
        return concerned(job)

    async def admit(self, job: Job, partition: Partition, offset: int, value: bytes = b"") -> Deed:
        """What is known of a command already; `value` is the job as it stands on its topic. Raises `JobError`:
        "intent-unavailable" to be asked again, or a refusal.
        """
        self.proofs.released(job, value, self.clock.now_ms())
        lane, number = partition
        wanted = partition_of(job.meter_id, self.partitions())
        if number != wanted:
            raise refused("job-misplaced", f"job {job.id} stands in partition {number} of {lane}, its meter's is {wanted}")
        deed = self.make(self, job, number, f"{lane}/{number}/{offset}")
        deed.remember((await self.intents.book(number)).get(deed.action))
        return deed

    def release(self, partitions: set[int]) -> None:
        """See `Intents.release`."""
        self.intents.release(partitions)


class Deed:
    """One command to one meter. On the event loop."""

    def __init__(self, commands: Commands, job: Job, partition: int, record: str) -> None:
        self._commands = commands
        self._job = job
        self._partition = partition
        self._record = record
        self._meter: Meter | None = None
        self._proven: Proven | None = None
        self._sent_by = 0.0
        self._known = False
        self.intent: CommandIntent | None = None
        """What hes.intents has of it."""
        self.action: Action = job.meter_id, digest(job.request)
        """What it is known by."""

    @property
    def unsettled(self) -> bool:
        """Whether it may have been sent, and nobody knows what came of it: it is not sent again, only looked at."""
        return self.intent is not None and self.intent.outcome is Outcome.UNKNOWN and not self._known

    @property
    def ended(self) -> CommandIntent | None:
        """How it ended before."""
        return self.intent if self.intent is not None and self.intent.outcome is not Outcome.UNKNOWN else None

    @property
    def before(self) -> str:
        """The state before it was sent, where it was."""
        return "" if self.intent is None else self.intent.before

    def remember(self, intent: CommandIntent | None) -> None:
        """What is known from before. Raises `JobError` "job-replayed" where another record of a jobs topic had it."""
        if intent is not None and intent.outcome is not Outcome.UNKNOWN and intent.record != self._record:
            detail = (
                f"command {intent.command_id} ended at meter {intent.meter_id} ({intent.outcome}), by record {intent.record}"
            )
            raise refused("job-replayed", f"{detail}; ask for it anew")
        self.intent = intent

    def prove(self, meter: Meter) -> Proven | None:
        """Before anyone connects; None where nothing is sent any more. Raises `JobError`: a refusal, or "openings-capped" to
        be tried again.
        """
        if self.intent is not None:
            return None
        now = self._commands.clock.now_ms()
        self._meter = meter
        proven = self._proven = self._commands.proofs.proven(self._job, meter, now)
        if cuts(proven.kind) and self._commands.claims.free_in_ms(now) > 0:
            raise capped()
        return proven

    def unproven(self, meter: Meter | None) -> JobError | None:
        """Why nothing proves a command that has ended, where nothing does: whatever else it ended by may have been made up
        with it, such as a deadline that is over. What was never visited is asked now.
        """
        if self.intent is not None or self._proven is not None:
            return None
        if meter is None:
            return unregistered(self._job.meter_id)
        try:
            self.prove(meter)
        except JobError as refusal:
            return None if refusal.retry else refusal
        return None

    async def intend(self, before: str) -> None:
        """Have the intent in Kafka, with the state before; asks for proofs and the cap again. Nothing may be sent where this
        raises.
        """
        meter = self._meter
        proven = None if meter is None else self.prove(meter)
        if proven is None:
            raise RuntimeError("a command is sent that is not proven, or was sent")
        commands = self._commands
        if cuts(proven.kind) and meter is not None:
            await commands.proofs.current()
            commands.proofs.proven(self._job, meter, commands.clock.now_ms())
            await self._claim()
        began = commands.clock.monotonic()
        book = await commands.intents.book(self._partition)
        intent = replace(self._blank(before), at=commands.clock.now_ms())
        try:
            self.intent = await commands.intents.write(book, intent, None)
        except FencedError as error:
            raise unavailable(str(error)) from error
        self._sent_by = began + LONGEST_S

    def still(self) -> None:
        """In the same breath as the octets: still proven, still ours, and not too late. Raises `JobError`, and then nothing
        was sent, and that is known.
        """
        commands, meter = self._commands, self._meter
        if meter is None or self.intent is None:
            raise RuntimeError("a command is sent without an intent")
        self._known = True
        # By both clocks: a machine that sleeps may stop the one, and the other may be set back.
        slept = commands.clock.now_ms() - (self.intent.at or 0) > LONGEST_S * 1_000
        if slept or commands.clock.monotonic() > self._sent_by or not commands.intents.owns(self._partition):
            raise JobError("command-too-late", "this worker was held up, or replaced, before it sent it: nothing was sent")
        commands.proofs.proven(self._job, meter, commands.clock.now_ms())
        self._known = False

    def known(self) -> None:
        """What came of it is certain: the meter said so, or its state does."""
        self._known = True

    async def settle(self, outcome: Outcome, code: str, detail: str, before: str, after: str) -> CommandIntent | None:
        """Have Kafka keep how it ended; what counts in the end, which is another's word where another was first. None where
        nothing is kept, since nothing was proven. Raises `FencedError`, and `JobError` "intent-unavailable", also as long as
        another record of the command may have been sent.
        """
        if self.intent is None and self._proven is None and code not in _PASSING:
            return None
        commands = self._commands
        book = await commands.intents.book(self._partition)
        there = book.get(self.action) or self.intent
        if there is not None and there.outcome is not Outcome.UNKNOWN:
            return there
        ours = self.intent or self._blank(before)
        ended = replace(ours, outcome=outcome, code=code, detail=detail, after=after, settled_at=commands.clock.now_ms())
        self.intent = ended = await commands.intents.write(book, ended, self.intent)
        return ended

    def tireless(self, now_ms: int) -> bool:  # noqa: ARG002 - firmware's deed has a use for it
        """Whether it is tried however often it was in vain."""
        return False

    def pause_ms(self, now_ms: int) -> int:  # noqa: ARG002 - likewise
        """The shortest pause before it is tried again."""
        return 0

    def time_ms(self, now_ms: int, usual_ms: int) -> int:
        """Until when it is to be found out what came of it, where that takes `usual_ms`."""
        return now_ms + usual_ms

    def told(self, error: JobError, found: Found) -> JobError:  # noqa: ARG002 - likewise
        """How it ended, of what stopped it last."""
        if not self.unsettled or error.code == "outcome-unknown":
            return error
        return unknown(f"it was sent, or may have been, and nobody can tell what came of it: {error.detail}")

    async def _claim(self) -> None:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[bool] = loop.create_future()

        def told(granted: bool) -> None:
            with suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(_tell, answer, granted)

        forget = self._commands.claims.claim(*self.action, told)
        try:
            async with asyncio.timeout(_CLAIM_S):
                granted = await answer
        except TimeoutError:
            raise unavailable("no word of the claim to open a relay came from hes.openings") from None
        finally:
            forget()
        if not granted:
            raise capped()

    def _blank(self, before: str) -> CommandIntent:
        job, proven = self._job, self._proven
        return CommandIntent(
            meter_id=job.meter_id,
            digest=self.action[1],
            command_id=job.caused_by,
            job_id=job.id,
            operation=job.operation,
            record=self._record,
            owner=self._commands.owner,
            expires=self._commands.clock.now_ms() + _KEPT_MS if proven is None else proven.expires,
            before=before,
        )


def _tell(answer: asyncio.Future[bool], granted: bool) -> None:
    if not answer.done():
        answer.set_result(granted)


def capped() -> JobError:
    """As many relays as may be are opened in this minute."""
    detail = "as many supplies were cut in this minute as the policy allows (limits: openings-a-minute); nothing was sent"
    return JobError("openings-capped", detail, retry=True, harmless=True)


def unregistered(meter_id: str) -> JobError:
    """Nobody knows the meter, so nothing can be proven."""
    return JobError("job-unknown-meter", f"no meter {meter_id!r} is registered; import it, then redrive the job")


def unknown(why: str) -> JobError:
    """It was sent, or may have been, and nobody can tell what came of it."""
    return JobError("outcome-unknown", why, harmless=True)
