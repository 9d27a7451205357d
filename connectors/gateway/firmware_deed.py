"""An image on its way to one meter, as a deed: what hes.intents keeps of it, so that another worker goes on where one ended.

    nothing ─▶ (forgotten) ─▶ initiate ─▶ initiated ──blocks, verified──▶ ordered ─▶ activate ─▶ restart ─▶ settled
                                              └── a later job of the same image resumes ──┘  └─▶ looked at

One record a meter, not one a command: which image was the last that this head-end initiated there. A meter need not say of
which image its blocks are, and blocks of two images must never be mixed, so it is forgotten before another is initiated,
and kept after. Unlike other commands a transfer may be repeated: nothing is refused because it was done before. That the
image is to be activated is kept before it is ordered: a meter that does not come back may be lost, and must not be taken
for one that could not be reached.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from connectors.gateway.deeds import LONGEST_S, Deed, unregistered
from connectors.gateway.errors import JobError
from connectors.gateway.intents import unavailable
from connectors.gateway.proofs import NOTHING_SENT
from connectors.gateway.reservations import FencedError
from schemas.records import CommandIntent, Job, Meter, Operation, Outcome
from streams.runtime.authority.refusals import Proven
from streams.runtime.authority.stops import HALTED

if TYPE_CHECKING:
    from connectors.gateway.deeds import Commands
    from connectors.gateway.drivers.port import Found

LAST = b"firmware"
"""In place of a request's digest: no digest is of eight octets."""
UNFINISHED = "firmware-unfinished"
INITIATED, ORDERED, SETTLED = "initiated", "ordered", "settled"
_PROVE_EVERY_MS = 30_000
"""How often a transfer under way is proven again: by then a freeze stops it. A stop of its campaign does at once."""
_LOOK_EVERY_MS = 15_000
_TIMES_UP = ("job-expired", "job-timeout")


class FirmwareDeed(Deed):
    """See `port.Installing`. `intent` is what is known of the meter's last image, by whichever campaign."""

    def __init__(self, commands: Commands, job: Job, partition: int, record: str) -> None:
        super().__init__(commands, job, partition, record)
        self.action = job.meter_id, LAST
        self.heard = ""
        """See `port.Installing`."""
        self.orders = 0
        """Likewise."""
        self.sent = 0
        """Likewise."""
        self.progress = ""
        """Likewise."""
        self._least: int | None = None
        self._image = job.parameters.get("image", "")
        self._again_at = 0
        self._until = 0
        self._asked_at = 0

    @property
    def unsettled(self) -> bool:
        """Whether this campaign ordered the activation, and nobody knows what came of it."""
        intent = self.intent
        ordered = intent is not None and intent.code == ORDERED and intent.command_id == self._job.caused_by
        return ordered and not self._known

    @property
    def ended(self) -> CommandIntent | None:
        """A transfer has never ended: the meter is asked."""
        return None

    def remember(self, intent: CommandIntent | None) -> None:
        """What is known from before; nothing is refused for it."""
        self.intent = intent

    async def recall(self) -> None:
        """See `port.Installing`."""
        self.intent = (await self._commands.intents.book(self._partition)).get(self.action)

    def prove(self, meter: Meter) -> Proven | None:
        """Before anyone connects; None where the meter is only looked at. Raises `JobError`, a refusal."""
        self._meter = meter
        return None if self.unsettled else self._prove(meter)

    def unproven(self, meter: Meter | None) -> JobError | None:
        """See `Deed`: what is known of the meter's last image proves nothing of this one."""
        if self._proven is not None or self.unsettled:
            return None
        if meter is None:
            return unregistered(self._job.meter_id)
        try:
            self.prove(meter)
        except JobError as refusal:
            return refusal
        return None

    def permitted(self) -> None:
        """See `port.Installing`."""
        try:
            self._commands.proofs.going(self._job)
            if self._meter is not None and self._commands.clock.now_ms() - self._asked_at >= _PROVE_EVERY_MS:
                self._prove(self._meter)
        except JobError as refusal:
            detail = f"{self.progress}; {refusal.detail.removesuffix(NOTHING_SENT)}"
            raise JobError(refusal.code, detail, alarm=refusal.alarm) from refusal

    def begun(self) -> bool:
        """See `port.Installing`."""
        intent = self.intent
        return (
            intent is not None and intent.code in (INITIATED, ORDERED) and bool(self._image) and intent.detail == self._image
        )

    async def forget(self) -> None:
        """See `port.Installing`."""
        if self.intent is not None and self.intent.code:
            await self._write("", "")

    async def keep(self) -> None:
        """See `port.Installing`."""
        await self._write(INITIATED, self._image)

    def gains(self, missing: int) -> bool:
        """See `port.Installing`."""
        gains = self._least is None or missing < self._least
        self._least = missing if gains else self._least
        return gains

    async def intend(self, before: str) -> None:
        """Before the activation is ordered: ask for the proofs again, by all that Kafka has, and have it keep the order.
        Nothing may be sent where this raises.
        """
        if self._meter is None:
            raise RuntimeError("an image is activated that was not proven")
        await self._commands.proofs.current()
        self._prove(self._meter)
        began = self._commands.clock.monotonic()
        await self._write(ORDERED, self._image, before)
        self._known = False
        self._sent_by = began + LONGEST_S

    def still(self) -> None:
        """As `Deed.still`; where it is too late nothing was sent, and it is ordered anew."""
        try:
            super().still()
        except JobError as error:
            if error.code != "command-too-late":
                raise
            raise JobError(error.code, error.detail, retry=True, harmless=True) from error

    def ordered(self, restart_s: int, back_s: int) -> None:
        """See `port.Installing`."""
        now = self._commands.clock.now_ms()
        self.orders += 1
        self._again_at, self._until = now + restart_s * 1_000, self._until or now + max(restart_s, back_s) * 1_000

    def tireless(self, now_ms: int) -> bool:
        """Whether the meter is looked for however often it was not found."""
        return self.unsettled and now_ms < self._until

    def pause_ms(self, now_ms: int) -> int:
        """How long it is left alone at least."""
        return max(self._again_at - now_ms, _LOOK_EVERY_MS) if self.unsettled else 0

    def time_ms(self, now_ms: int, usual_ms: int) -> int:
        """Until when it is looked for; `usual_ms` from now where another worker gave the order."""
        self._until = self._until or now_ms + usual_ms
        return self._until

    def told(self, error: JobError, found: Found) -> JobError:
        """How the job ended, of what stopped it last."""
        found.rows = max(found.rows, self.sent)
        found.before = found.before or self.before
        if not self.unsettled:
            if not self.progress or error.detail.startswith(self.progress):
                return error
            if error.code == HALTED:
                return JobError(HALTED, f"{self.progress}; {error.detail.removesuffix(NOTHING_SENT)}")
            if not (error.retry or error.code in _TIMES_UP):
                return error
            return JobError(UNFINISHED, f"{self.progress}; {error.code}: {error.detail}")
        if self.heard:
            found.after = self.heard
            return JobError(
                "firmware-version",
                f"the meter was told to activate the image and still reports {self.heard!r}: it may have gone back to the "
                "version before, ask the vendor",
            )
        detail = (
            f"the meter was told to activate the image and has not answered since: {error.detail}; ping it, send somebody"
        )
        return JobError("firmware-silent", detail)

    async def settle(self, outcome: Outcome, code: str, detail: str, before: str, after: str) -> None:  # noqa: ARG002 - as Deed has it
        """Have Kafka keep that the order is no longer open. Raises `FencedError`, `JobError` "intent-unavailable"."""
        intent = self.intent
        if intent is None or intent.code != ORDERED or intent.command_id != self._job.caused_by:
            return
        now = self._commands.clock.now_ms()
        ended = replace(intent, code=SETTLED, outcome=outcome, after=after, settled_at=now)
        book = await self._commands.intents.book(self._partition)
        await self._commands.intents.write(book, ended, book.get(self.action))
        self.intent = ended

    def _prove(self, meter: Meter) -> Proven:
        now = self._commands.clock.now_ms()
        self._proven = self._commands.proofs.proven(self._job, meter, now)
        self._asked_at = now
        return self._proven

    async def _write(self, code: str, image: str, before: str = "") -> None:
        book = await self._commands.intents.book(self._partition)
        intent = replace(self._blank(before), code=code, detail=image, at=self._commands.clock.now_ms())
        try:
            await self._commands.intents.write(book, intent, book.get(self.action))
        except FencedError as error:
            raise unavailable(str(error)) from error
        self.intent = intent


def deed_of(commands: Commands, job: Job, partition: int, record: str) -> Deed:
    """See `Commands.make`. Raises `JobError`, to be asked again, while images are not known yet."""
    if job.operation is not Operation.FIRMWARE_TRANSFER:
        return Deed(commands, job, partition, record)
    if commands.images is not None and not commands.images.caught_up:
        raise JobError("image-missing", "hes.images has not been read yet", retry=True)
    return FirmwareDeed(commands, job, partition, record)
