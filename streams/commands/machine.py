"""The machine: steps commands through their table, issues their jobs at their pace, and ends them when their time is over.

It knows no Kafka. Its state is what `ledger` has read back plus what it has handled since; where writing fails, it is thrown
away with all that it believes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Protocol

from schemas.records import CommandCase, CommandLedger, CommandState, CommandStatus, JobResult, Record, Target
from schemas.signatures import digest
from streams.commands.case import Case
from streams.commands.issue import Jobs
from streams.commands.limits import Openings
from streams.commands.output import SELF, STATES, Paper, Why
from streams.commands.states import Action, Event, step
from streams.runtime.authority.chain import START, Link
from streams.runtime.authority.kinds import acts
from streams.runtime.authority.refusals import Refusal, RefusedError
from streams.runtime.authority.verify import Around, check_allowed, recall
from streams.runtime.clock import Clock
from streams.runtime.meters import Known
from streams.runtime.settings import Commands

_LOOK_MS, _SWEEP_MS = 500, 60_000
_FOR_ALL = ("request-expired", "frozen", "outside-hours")
"""Refusals that hold for all jobs of a command that are not issued yet."""


class Meters(Protocol):
    """What the desk asks of the meter directory."""

    def get(self, meter_id: str) -> Known | None:
        """What is known of a meter."""

    def resolve(self, target: Target) -> tuple[str, ...]:
        """The meters in service that a target means, sorted."""


class Machine(ABC):
    """All commands that have not ended, and those that ended lately. On one thread."""

    def __init__(self, around: Around, meters: Meters, settings: Commands, clock: Clock, link: Link = START) -> None:
        self._around = around
        self._meters = meters
        self._settings = settings
        self._clock = clock
        self._jobs = Jobs(settings.deadlines)
        self._cases: dict[str, Case] = {}
        self._open: dict[str, Case] = {}
        self._queued: dict[str, Case] = {}
        self._touched: dict[str, Case] = {}
        self._openings = Openings()
        self._campaigns: list[str] = []
        self._tokens, self._filled_at = 0.0, clock.monotonic()
        self._looked_at = self._swept_at = 0
        self._doubted: list[tuple[JobResult, bytes]] = []
        self.paper = Paper(clock.now_ms, link)
        self._actions: dict[Action, Callable[[Case], None]] = {
            Action.JUDGE: self._judge,
            Action.PLAN: self._plan,
            Action.ISSUE: self._issue_now,
        }

    def __len__(self) -> int:
        return len(self._cases)

    @property
    def open(self) -> int:
        """How many have not ended."""
        return len(self._open)

    def restore(self, records: Iterable[Record]) -> None:
        """Take over what the books say: the latest record of each key."""
        cases: dict[str, CommandCase] = {}
        states: dict[str, CommandStatus] = {}
        for record in records:
            if isinstance(record, CommandCase):
                cases[record.id] = record
            elif isinstance(record, CommandStatus):
                states[record.id] = record
            elif isinstance(record, CommandLedger):
                self._openings, self._campaigns = Openings(record.openings), list(record.campaigns)
        for name in cases.keys() & states.keys():
            asked = replace(recall(self._around, cases[name].request), expires=cases[name].expires)
            case = self._cases[name] = Case.restored(asked, cases[name], states[name])
            self._file(case)
        self._touched.clear()

    def case(self, name: str) -> Case | None:
        """A command, where it is known."""
        return self._cases.get(name)

    def tick(self) -> None:
        """What time does: deadlines, pacing, forgetting. To be called often; most calls do nothing."""
        now = self._clock.now_ms()
        self._fill_tokens()
        for case in list(self._queued.values()):
            before = case.sent
            self._issue_now(case)
            if case.sent != before and case.id in self._queued:
                # To the back of the queue: paced commands take turns.
                self._queued[case.id] = self._queued.pop(case.id)
        if now - self._looked_at >= _LOOK_MS:
            self._looked_at = now
            self._look_again()
            for case in list(self._open.values()):
                self._look_at_the_clock(case, now)
        if now - self._swept_at >= _SWEEP_MS:
            self._swept_at = now
            self._forget(now)

    def write_books(self, positions: dict[str, int]) -> None:
        """Put the state of every command that was touched, and the ledger, on paper. Last, before paper is taken."""
        for case in self._touched.values():
            self.paper.put(STATES, f"status/{case.id}", case.as_status())
        self._touched.clear()
        link = self.paper.link
        ledger = CommandLedger(
            positions, link.sequence, link.hash, self._openings.counts(), self._clock.now_ms(), tuple(self._campaigns)
        )
        self.paper.put(STATES, "ledger", ledger)

    @abstractmethod
    def _judge(self, case: Case) -> None:
        """Hold a command that was just taken against the policy, and take the step that follows."""

    @abstractmethod
    def _look_again(self) -> None:
        """See to results that could not be used when they came."""

    def _step(self, case: Case, event: Event, why: Why) -> bool:
        """Take a step, say so, and do what follows. False where the table has none: nothing has changed then."""
        found = step(case.state, event)
        if found is None:
            return False
        case.state, action = found
        case.updated_at = self._clock.now_ms()
        if why.code or action is Action.CLOSE:
            case.code, case.detail = why.code, why.detail
        self._file(case)
        self.paper.stand(case, why)
        if action in self._actions:
            self._actions[action](case)
        return True

    def _stop(self, case: Case, event: Event, rest: CommandState, why: Why) -> bool:
        """Issue no more jobs. Where none was issued the command ends at once, else when those that were have ended."""
        if case.state is CommandState.QUEUED and case.sent:
            for index in range(case.sent, len(case.meters)):
                case.set_job(index, rest)
            case.stopped = True
            return self._step(case, Event.ISSUED, why) and self._finish(case, why)
        return self._step(case, event, why)

    def _plan(self, case: Case) -> None:
        case.outcomes = bytearray(b"q" * len(case.meters))
        self._step(case, Event.PLANNED, Why(detail=f"jobs: {len(case.meters)}", digest=case.asked.digest))

    def _issue_now(self, case: Case) -> None:
        """Put as many jobs on their lane as are due and the pace allows."""
        now = self._clock.now_ms()
        urgent = len(case.meters) <= self._settings.urgent_meters
        if case.request.not_before is not None and now < case.request.not_before:
            return
        allowed = len(case.meters) if urgent else int(self._tokens)
        while case.sent < len(case.meters) and allowed > 0 and case.state is CommandState.QUEUED:
            try:
                place = self._in_service(case.meters[case.sent])
                check_allowed(self._around, case.asked, (place,), now)
            except RefusedError as error:
                if not self._withhold(case, error.refusal):
                    return
                continue
            job = self._jobs.job(case, case.sent, place.network, now, urgent=urgent)
            self.paper.job(job, urgent=urgent)
            case.set_job(case.sent, CommandState.SENT)
            until = (job.deadline or now) + round(self._settings.answer_grace_s * 1000)
            case.answer_by = max(case.answer_by or 0, until)
            case.sent += 1
            allowed -= 1
            self._tokens -= 0 if urgent else 1
            self._touched[case.id] = case
        if case.sent == len(case.meters) and case.state is CommandState.QUEUED:
            self._step(case, Event.ISSUED, Why(detail=f"jobs: {case.counts()[CommandState.SENT]}", digest=case.asked.digest))
            self._finish(case, Why())

    def _in_service(self, meter_id: str) -> Known:
        place = self._meters.get(meter_id)
        if place is None or not place.lives:
            raise RefusedError("target-unknown", f"meter {meter_id} is not in service any more; leave it out")
        return place

    def _withhold(self, case: Case, refusal: Refusal) -> bool:
        """A job that may not be issued now; whether to go on with the next. A command of one meter is refused with it."""
        why = because(refusal, case.asked.value)
        event, rest = Event.REFUSED, CommandState.REJECTED
        if refusal.code == "request-expired":
            event, rest = Event.LAPSED, CommandState.EXPIRED
        if case.sent == 0 and (len(case.meters) == 1 or refusal.code in _FOR_ALL):
            self._step(case, event, why)
            return False
        if refusal.code in _FOR_ALL:
            self._stop(case, event, rest, why)
            return False
        case.set_job(case.sent, rest)
        case.code, case.detail = case.code or refusal.code, case.detail or refusal.detail
        case.sent += 1
        self._touched[case.id] = case
        return True

    def _finish(self, case: Case, why: Why) -> bool:
        """End a command whose jobs have all ended."""
        event = case.result()
        if event is None or case.state not in (CommandState.SENT, CommandState.OUTCOME_UNKNOWN):
            return True
        code = "" if event is Event.DONE else case.code or "command-partial"
        detail = why.result.detail if why.result is not None else case.summary()
        if case.code and why.result is None:
            detail = f"{case.summary()}; {case.detail}"
        self._step(case, event, Why(why.actor, code, detail, why.digest, why.result))
        return True

    def _look_at_the_clock(self, case: Case, now: int) -> None:
        if case.state is CommandState.AWAITING_APPROVAL and now >= self._decide_by(case):
            self._step(case, Event.LAPSED, Why(code="decision-missing", detail="nobody decided in time; ask for it again"))
        elif case.state is CommandState.QUEUED and now >= case.asked.expires:
            lapsed = Why(
                code="request-expired", detail="its time was over before all its jobs were issued; ask for it again"
            )
            self._stop(case, Event.LAPSED, CommandState.EXPIRED, lapsed)
        elif case.state is CommandState.SENT and case.answer_by is not None and now >= case.answer_by:
            self._give_up(case)

    def _decide_by(self, case: Case) -> int:
        return min(case.request.requested_at + self._around.policy.decide_ms, case.asked.expires)

    def _give_up(self, case: Case) -> None:
        event = Event.UNANSWERED if acts(case.asked.kind) else Event.OVERDUE
        for index in range(len(case.meters)):
            if moved := step(case.job(index), event):
                case.set_job(index, moved[0])
        case.code, case.detail = (
            case.code or "job-unanswered",
            case.detail or "no result came in time; read the meter's state",
        )
        self._touched[case.id] = case
        self._finish(case, Why())

    def _forget(self, now: int) -> None:
        around = self._around.policy
        for case in list(self._cases.values()):
            keep_s = self._settings.keep_s if acts(case.asked.kind) else self._settings.keep_reads_s
            # A request may be replayed while it is fresh: until then its id is known.
            keep_ms = max(round(keep_s * 1000), around.fresh_ms + 2 * around.skew_ms)
            if case.ended and now - case.updated_at >= keep_ms:
                del self._cases[case.id]
                self._touched.pop(case.id, None)
                self.paper.put(STATES, f"case/{case.id}", None)
                self.paper.put(STATES, f"status/{case.id}", None)

    def _file(self, case: Case) -> None:
        """Note that a command was touched, and where it belongs."""
        self._touched[case.id] = case
        for drawer, belongs in ((self._open, not case.ended), (self._queued, case.state is CommandState.QUEUED)):
            if belongs:
                drawer[case.id] = case
            else:
                drawer.pop(case.id, None)

    def _fill_tokens(self) -> None:
        now, rate = self._clock.monotonic(), self._settings.jobs_per_s
        self._tokens = min(max(1.0, rate), self._tokens + (now - self._filled_at) * rate)
        self._filled_at = now


def because(refusal: Refusal, value: bytes | None, actor: str = "") -> Why:
    """A refusal as what made something happen, by whoever claims to have written the value."""
    claimed = f"claimed:{actor[:200]}" if actor else SELF
    return Why(claimed, refusal.code, refusal.detail, digest(value or b""))
