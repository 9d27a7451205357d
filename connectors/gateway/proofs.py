"""Whether a job may move a relay or change a meter, asked of the job's own bytes: before anyone connects, and again just
before it is sent (rule 9: whoever can write to a jobs topic must not be able to cut anyone off).

Who is an operator, what is frozen or held and which campaigns were stopped, every worker reads for itself, operators first.
As long as it does not know all of that, commands wait; they are not refused. Before anyone is cut off it asks Kafka how far
there is to read, so that a freeze that was acknowledged before counts (`current`).
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from typing import Protocol

import structlog
from confluent_kafka import Message

from connectors.gateway.errors import JobError
from schemas.ids import event_id
from schemas.records import Job, Meter
from schemas.signatures import digest
from streams.runtime.authority.jobs import needs_proof, verify_job, verify_release
from streams.runtime.authority.pinned import pinned
from streams.runtime.authority.refusals import Proven, Refusal
from streams.runtime.authority.stops import HALTED, Stops
from streams.runtime.authority.stops import TOPIC as STOPS
from streams.runtime.authority.verify import Around
from streams.runtime.follow import Follower
from streams.runtime.service import Runtime

OPERATORS, CONTROLS = "hes.operators", "hes.controls"
FORGED = frozenset(
    ("unsigned", "signature-form", "signature-invalid", "request-unreadable", "environment-other", "operator-unknown",
     "operator-revoked", "operator-expired", "role-missing", "decision-unreadable", "decision-other-request",
     "decision-other-target", "decision-self", "decision-late", "decision-repeated", "decision-missing",
     "decision-rejected", "authorization-invalid", "job-unproven", "job-unreleased", "job-other", "job-misplaced",
     "job-replayed", "target-unknown", "argument-invalid", "kind-not-allowed")
)  # fmt: skip
"""Refusals that `streams/commands` would not have issued a job for: somebody else wrote it, or altered it."""
ANOTHERS = frozenset(
    ("unsigned", "signature-form", "signature-invalid", "request-unreadable", "decision-unreadable",
     "decision-other-request", "decision-other-target", "decision-self", "decision-late", "decision-repeated",
     "decision-missing", "decision-rejected", "job-unproven", "job-unreleased", "job-other", "job-misplaced", "job-replayed")
)  # fmt: skip
"""Those that no job of `streams/commands` can come to have: whatever command such a job names, it is none of its jobs, or a
copy of one that has ended.
"""
NOTHING_SENT = "; nothing was sent to the meter"
_MOST_REFUSED = 1_000
_CURRENT_S = 5.0
"""For Kafka to say where a topic ends, and for the follower to be there."""
Apply = Callable[[bytes], object]
"""Takes a record's value over; a `Refusal` where it does not."""


class Proofs(Protocol):
    """What the worker asks."""

    @property
    def ready(self) -> bool:
        """Whether operators and controls are known: before that, commands wait."""

    def proven(self, job: Job, meter: Meter, now_ms: int) -> Proven:
        """What proves the job. Raises `JobError` with the refusal's code."""

    def released(self, job: Job, value: bytes, now_ms: int) -> None:
        """Return where the service of commands, or of campaigns, wrote these bytes, or nobody asks. Raises `JobError`
        "job-unreleased".
        """

    def going(self, job: Job) -> None:
        """Return where the campaign of a job was neither paused nor halted since the job was issued; part of `proven`, and
        cheap. Raises `JobError` "campaign-halted".
        """

    async def current(self) -> None:
        """Return once `proven` knows every freeze, hold, stop and revocation that Kafka has had until now. Raises `JobError`
        "controls-behind" where that takes too long.
        """


def concerned(job: Job) -> bool:
    """Whether a job moves a relay or changes a meter: whatever is not known to be harmless."""
    return needs_proof(job)


def prove(around: Around, job: Job, meter: Meter, now_ms: int) -> Proven:
    """What proves the job. Raises `JobError` with the refusal's code."""
    found = verify_job(around, job, meter, now_ms)
    if isinstance(found, Refusal):
        raise refused(found.code, found.detail)
    # A result is told by its job's id, so nobody may make one up; whoever has the request's bytes knows it.
    if not names_itself(job):
        raise refused("job-other", f"job {job.id} has not the id that follows from its request, meter and attempt")
    return found


def names_itself(job: Job) -> bool:
    """Whether a command's job has the id that follows from its own request, command, meter and attempt."""
    return job.id == event_id("Job", job.caused_by, digest(job.request), job.meter_id, job.attempt)


def answers(job: Job, code: str) -> bool:
    """Whether how a job ended may be told to the command that it names. What somebody made up, or made of another job, says
    nothing of it; what it may still have had exchanged (its decisions), the service of commands looks at for itself.
    """
    return code not in ANOTHERS and (not concerned(job) or names_itself(job))


def refused(code: str, detail: str) -> JobError:
    """A refusal as the end of a job."""
    return JobError(code, f"{detail}{NOTHING_SENT}", alarm=code in FORGED)


class Authority:
    """See `Proofs`: hes.operators and hes.controls, followed."""

    def __init__(self, runtime: Runtime) -> None:
        settings = runtime.settings
        found = pinned(settings.commands, "authority", "nothing that changes a meter is done")
        self.policy = found.policy
        self._runtime = runtime
        self._around = found.around(runtime.codec, settings.environment)
        self._operators, self._controls = self._around.operators, self._around.controls
        self._releasers = tuple(name.strip() for name in settings.commands.releasers.split(",") if name.strip())
        self._stops = Stops(runtime.codec, settings.environment, self._operators, self._releasers)
        self._refused: list[tuple[Apply, bytes]] = []
        self._lock = threading.Lock()
        self._following = [Follower(runtime, OPERATORS, self._operators_came)]
        self._log = structlog.get_logger("authority")
        self._following_then = (
            Follower(runtime, CONTROLS, self._controls_came),
            Follower(runtime, STOPS, self._stops_came),
        )

    @property
    def around(self) -> Around:
        """What is believed, for others that judge by it."""
        return self._around

    @property
    def ready(self) -> bool:
        """See `Proofs`."""
        return len(self._following) > 1 and all(follower.caught_up for follower in self._following_then)

    def proven(self, job: Job, meter: Meter, now_ms: int) -> Proven:
        """See `Proofs`."""
        proven = prove(self._around, job, meter, now_ms)
        self.going(job)
        return proven

    def going(self, job: Job) -> None:
        """See `Proofs`."""
        stop = self._stops.voiding(job)
        if stop is not None:
            what = "halted" if stop.final else "paused"
            why = f"{stop.code}: {stop.detail}" if stop.code else stop.detail
            raise refused(HALTED, f"campaign {stop.id} was {what} after job {job.id} was issued: {why}")

    def released(self, job: Job, value: bytes, now_ms: int) -> None:
        """See `Proofs`. Campaigns' jobs, too: their proofs hold for weeks, also after a halt, and only what is signed here
        says until when the job does.
        """
        refusal = verify_release(self._around, value, self._releasers, now_ms)
        if refusal is not None:
            raise refused(refusal.code, f"job {job.id}: {refusal.detail}")

    async def current(self) -> None:
        """See `Proofs`."""
        for follower in list(self._following):
            if not await asyncio.to_thread(follower.reaches_end, _CURRENT_S):
                why = (
                    "operators, controls or stops were not read to the end in time, so nobody could say whether it is frozen"
                )
                raise JobError("controls-behind", f"{why}; nothing was sent", retry=True, harmless=True)

    def start(self) -> None:
        """Begin to read."""
        self._following[0].start()

    def check(self) -> None:
        """To be called now and then: raises what ended a thread, and goes on to the rest once operators are known."""
        for follower in self._following:
            follower.check()
        if len(self._following) == 1 and self._following[0].caught_up:
            for follower in self._following_then:
                self._following.append(follower)
                follower.start()

    def stop(self) -> None:
        """Stop reading."""
        for follower in self._following:
            follower.stop()

    def _operators_came(self, messages: Sequence[Message]) -> None:
        for message in messages:
            found = self._operators.apply(message.value())
            if isinstance(found, Refusal):
                self._log.warning("operator-refused", code=found.code, reason=found.detail, offset=message.offset())
        with self._lock:
            again, self._refused = self._refused, []
        self._apply(again)

    def _controls_came(self, messages: Sequence[Message]) -> None:
        self._apply([(self._apply_control, message.value() or b"") for message in messages])

    def _stops_came(self, messages: Sequence[Message]) -> None:
        self._apply([(self._stops.apply, value) for message in messages if (value := message.value()) is not None])

    def _apply_control(self, value: bytes) -> object:
        return self._controls.apply(value, self._runtime.clock.now_ms())

    def _apply(self, values: Sequence[tuple[Apply, bytes]]) -> None:
        """Each in its order. One that is refused is tried again when operators come: its signer may be on its way."""
        with self._lock:
            for apply, value in values:
                found = apply(value)
                if isinstance(found, Refusal):
                    self._log.warning("control-refused", code=found.code, reason=found.detail)
                    self._refused = [*self._refused, (apply, value)][-_MOST_REFUSED:]
