"""The desk: what operators, systems and gateways hand in, and what it does to a command; the rest is the machine's."""

from __future__ import annotations

from schemas.codec import CodecError, expect
from schemas.records import CommandDecision, CommandRequest, CommandState, JobResult, Operation, Verdict
from schemas.signatures import digest
from streams.commands.case import Case
from streams.commands.machine import Machine, because
from streams.commands.output import STATES, Why
from streams.commands.states import OUTCOMES, Event, step
from streams.runtime.authority import refusals
from streams.runtime.authority.kinds import cuts
from streams.runtime.authority.refusals import Pending, Refusal, RefusedError
from streams.runtime.authority.targets import Place
from streams.runtime.authority.verify import Around, Asked, Scope, check_fresh, examine, judge, verify_decided, vote

_LARGEST_CASE = 700_000
"""Octets of meter ids, below what one Kafka record holds."""
DOUBTFUL = frozenset(refusals.CODES) - {"frozen", "protected", "outside-hours"}
"""What a gateway refuses and does not keep: the job is refused again, as long as it holds, and not for ever."""
_MOST_DOUBTED = 50
_MOST_CAMPAIGNS, _LONGEST_ID = 1_000, 200


class Desk(Machine):
    """Takes in records as their bytes. What cannot be used is said and is on the chain, and moves nothing."""

    def operator(self, value: bytes | None) -> None:
        """A record of hes.operators."""
        found = self._around.operators.apply(value)
        if isinstance(found, Refusal):
            self.paper.audit("operator-refused", "hes.operators", because(found, value))
            return
        what = "operator-revoked" if found.revoked else "operator-accepted"
        detail = f"version {found.version}, roles {', '.join(found.roles)}"
        self.paper.audit(what, found.id, Why("root", detail=detail, digest=digest(value or b"")))

    def control(self, value: bytes | None) -> None:
        """A record of hes.controls."""
        found = self._around.controls.apply(value, self._clock.now_ms())
        if isinstance(found, Refusal):
            self.paper.audit("control-refused", "hes.controls", because(found, value))
            return
        what = f"{found.kind.lower()}-{'lifted' if found.lifted else 'set'}"
        self.paper.audit(what, found.id, Why(found.issued_by, detail=found.reason, digest=digest(value or b"")))

    def request(self, value: bytes | None) -> None:
        """A record of hes.commands."""
        if self._is_campaign(value):
            return
        now = self._clock.now_ms()
        try:
            asked = examine(self._around, value, now)
            known = self._cases.get(asked.request.id)
            if known is None:
                check_fresh(self._around, asked, now)
        except RefusedError as error:
            self._turn_away(error.refusal, value)
            return
        by = _actor(asked)
        if known is not None:
            same = known.asked.digest == asked.digest
            code = "command-replayed" if same else "command-id-taken"
            detail = f"{refusals.CODES[code]}; it changes nothing: ask anew, with an id of its own"
            self.paper.note(known, "request-refused", Why(by, code, detail, asked.digest))
            return
        meters = self._meters.resolve(asked.request.target)
        case = Case(asked, meters if sum(map(len, meters)) <= _LARGEST_CASE else (), now)
        self._cases[case.id] = case
        self.paper.put(STATES, f"case/{case.id}", case.as_case())
        self._step(case, Event.TAKEN, Why(by, detail=asked.request.reason, digest=asked.digest))

    def decision(self, value: bytes | None) -> None:
        """A record of hes.command-decisions."""
        now = self._clock.now_ms()
        case: Case | None = None
        name = ""
        try:
            decision = _decision(self._around, value)
            name, case = decision.decided_by, self._cases.get(decision.command_id)
            if case is None and decision.command_id in self._campaigns:
                return
            case = _known(case, decision)
            asked = examine(self._around, case.asked.value, now)
            found = vote(self._around, asked, value, self._scope(case), now)
            why = Why(found.operator.id, detail=decision.reason, digest=digest(value or b""))
            if decision.verdict is Verdict.APPROVE:
                self._approve(case, asked, value or b"", why)
            else:
                self._take_back(case, decision.verdict, why)
        except RefusedError as error:
            why = because(error.refusal, value, name)
            if case is None:
                self.paper.audit("decision-refused", "hes.command-decisions", why)
            else:
                self.paper.note(case, "decision-refused", why)

    def result(self, result: JobResult, value: bytes) -> None:
        """A job's result, of whatever job. One that was not issued here, or is known, changes nothing."""
        if result.operation is Operation.FIRMWARE_TRANSFER:
            return
        if not self._end_job(result, value):
            if result.caused_by in self._open and result.code in DOUBTFUL:
                self._doubted = [*self._doubted, (result, value)][-_MOST_DOUBTED:]
            self._refused(result, value)

    def _is_campaign(self, value: bytes | None) -> bool:
        """Whether a request is for `streams/firmware` to judge. Decisions on it pass by, too; that it is none of ours is
        all that is remembered, and only of the latest: whoever floods the topic makes no more of it than noise on the chain.
        """
        try:
            request = expect(self._around.codec.decode(value), CommandRequest)
        except CodecError:
            return False
        if request.operation is not Operation.FIRMWARE_TRANSFER:
            return False
        if len(request.id) <= _LONGEST_ID and request.id not in self._campaigns:
            self._campaigns = [*self._campaigns, request.id][-_MOST_CAMPAIGNS:]
        return True

    def _look_again(self) -> None:
        """At refusals that were not believed: a gateway may know a moment earlier who was revoked."""
        doubted, self._doubted = self._doubted, []
        for result, value in doubted:
            if result.caused_by in self._open and not self._end_job(result, value):
                self._doubted.append((result, value))

    def _end_job(self, result: JobResult, value: bytes) -> bool:
        """End the job that a result is of; false, and nothing has changed, where there is none that it could end."""
        case = self._cases.get(result.caused_by)
        index = None if case is None else case.index(result.meter_id)
        if case is None or index is None or result.job_id != case.job_id(result.meter_id, result.attempt):
            return False
        event = OUTCOMES.get(result.outcome)
        moved = None if event is None else step(case.job(index), event)
        if moved is None or not self._is_believed(case, index, result):
            return False
        case.set_job(index, moved[0])
        self._touched[case.id] = case
        if result.code and not case.code:
            case.code, case.detail = result.code, f"meter {result.meter_id}: {result.detail}"
        self._finish(case, Why("hes-gateway", digest=digest(value), result=result if case.meter_id else None))
        return True

    def _is_believed(self, case: Case, index: int, result: JobResult) -> bool:
        """Whether what a job was refused for holds for the command.

        Whoever can write to a jobs topic can give a copy of a job other decisions and have it refused. So what the gateway
        does not keep, and the job itself may therefore still be done in spite of, must hold for the decisions in the books
        too; and what may have been done already it does not undo.
        """
        if result.code not in DOUBTFUL:
            return True
        place = self._meters.get(result.meter_id)
        if place is None or case.job(index) is CommandState.OUTCOME_UNKNOWN:
            return False
        scope = Scope((place,), whole=False, proof=self._jobs.proof(case, index))
        found = verify_decided(self._around, case.asked.value, case.decisions, scope, self._clock.now_ms())
        return isinstance(found, Refusal) and found.code == result.code

    def _refused(self, result: JobResult, value: bytes) -> None:
        """A job that no command issued, or issued once and not again: what the gateway refused it for is on the chain."""
        if result.code in refusals.CODES:
            why = Why("hes-gateway", result.code, f"meter {result.meter_id}: {result.detail}", digest(value))
            self.paper.audit("job-refused", result.job_id, why)

    def _judge(self, case: Case) -> None:
        now = self._clock.now_ms()
        try:
            self._check_target(case)
            places = self._places(case)
            self._decide(case, case.asked, places, now)
        except RefusedError as error:
            self._step(case, Event.REFUSED, because(error.refusal, case.asked.value))

    def _check_target(self, case: Case) -> None:
        request, rules = case.request, case.asked.rules
        found = case.meters or self._meters.resolve(request.target)
        if missing := sorted(set(request.target.meters) - set(found)):
            more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
            what = f"not known or not in service: {', '.join(missing[:3])}{more}; leave them out"
            raise RefusedError("target-unknown", what)
        meters = len(found)
        if not meters:
            raise RefusedError("target-empty", "the target means no meter that is known and in service; name another")
        if meters > rules.meters or not case.meters:
            raise RefusedError(
                "target-too-large", f"the target means {meters} meters, the policy allows {rules.meters}; take fewer"
            )

    def _decide(self, case: Case, asked: Asked, places: list[Place], now: int) -> None:
        """Approved, waiting or `RefusedError`."""
        found = judge(self._around, asked, case.decisions, Scope(places), now)
        standing = None
        if isinstance(found, Pending) and not case.decisions:
            standing = self._around.controls.authorizing(asked.request, places, now)
        if isinstance(found, Pending) and standing is None:
            detail = f"decisions missing: {found.missing}, by {' or '.join(found.roles)}"
            self._step(case, Event.UNDECIDED, Why(detail=detail, digest=asked.digest))
            return
        by = Why(detail="as the policy allows", digest=asked.digest)
        if standing is not None:
            control, value = standing
            by = Why(control.issued_by, detail=f"authorization {control.id}", digest=digest(value))
        if cuts(asked.kind):
            self._openings.take(self._around.policy, places, now, None if standing is None else standing[0])
        if standing is not None:
            case.decisions.append(standing[1])
        self._step(case, Event.PERMITTED, by)

    def _approve(self, case: Case, asked: Asked, value: bytes, why: Why) -> None:
        if case.state is not CommandState.AWAITING_APPROVAL:
            raise RefusedError("decision-too-late", f"the command is {case.state}; there is nothing to decide")
        now = self._clock.now_ms()
        if now >= self._decide_by(case):
            raise RefusedError(
                "decision-late", f"{why.actor}'s decision came outside the time for it; ask for the command again"
            )
        case.decisions.append(value)
        try:
            found = judge(self._around, asked, case.decisions, self._scope(case), now)
            if not isinstance(found, Pending) and cuts(asked.kind):
                self._openings.take(self._around.policy, self._places(case), now)
        except RefusedError as error:
            if error.refusal.code == "decision-repeated":
                case.decisions.pop()
                raise
            # The decision is good; the command may not be done all the same.
            self._step(case, Event.REFUSED, because(error.refusal, value, why.actor))
            return
        if isinstance(found, Pending):
            self._touched[case.id] = case
            detail = f"{why.actor} approved; decisions missing: {found.missing}, by {' or '.join(found.roles)}"
            self.paper.note(case, "decision-accepted", Why(why.actor, detail=detail, digest=why.digest))
        else:
            self._step(case, Event.PERMITTED, why)

    def _take_back(self, case: Case, verdict: Verdict, why: Why) -> None:
        if verdict not in (Verdict.REJECT, Verdict.CANCEL):
            raise RefusedError("decision-unreadable", f"{verdict} is for campaigns; approve, reject or cancel a command")
        if verdict is Verdict.REJECT:
            why = Why(why.actor, "decision-rejected", f"{why.actor}: {why.detail}", why.digest)
            done = case.state is CommandState.AWAITING_APPROVAL and self._step(case, Event.REFUSED, why)
        else:
            why = Why(why.actor, "command-cancelled", f"{why.actor}: {why.detail}", why.digest)
            done = self._stop(case, Event.CANCELLED, CommandState.CANCELLED, why)
        if not done:
            raise RefusedError("decision-too-late", f"the command is {case.state}; that cannot be taken back any more")

    def _turn_away(self, refusal: Refusal, value: bytes | None) -> None:
        try:
            request = expect(self._around.codec.decode(value), CommandRequest)
        except CodecError:
            request = CommandRequest()
        why = because(refusal, value, request.requested_by)
        known = self._cases.get(request.id)
        if known is not None:
            self.paper.note(known, "request-refused", why)
        else:
            self.paper.turn_away(request.id[:200], why, request.operation)

    def _places(self, case: Case) -> list[Place]:
        return [place for place in map(self._meters.get, case.meters) if place is not None]

    def _scope(self, case: Case) -> Scope:
        return Scope(self._places(case))


def _decision(around: Around, value: bytes | None) -> CommandDecision:
    try:
        return expect(around.codec.decode(value), CommandDecision)
    except CodecError as error:
        raise RefusedError("decision-unreadable", str(error)) from error


def _known(case: Case | None, decision: CommandDecision) -> Case:
    if case is None:
        what = f"there is no command {decision.command_id!r}; `hes commands list` shows them"
        raise RefusedError("decision-unknown-command", what)
    return case


def _actor(asked: Asked) -> str:
    """Who asks, and whether that is proven."""
    return asked.request.requested_by if asked.signer is not None else f"unsigned:{asked.request.requested_by}"
