"""The desk: what operators and gateways hand in, and what it does to a campaign; the rest is the machine's."""

from __future__ import annotations

import re
from collections import Counter

from schemas.codec import CodecError, expect
from schemas.records import (
    CampaignState,
    CommandDecision,
    CommandRequest,
    FirmwareManifest,
    JobResult,
    Operation,
    Outcome,
    Verdict,
)
from schemas.signatures import digest
from streams.firmware.campaign import Case, Image
from streams.firmware.fleet import LEFT_OUT, SKIPS, Kind, why_not
from streams.firmware.images import sound_manifest
from streams.firmware.machine import Machine
from streams.firmware.order import waves_of
from streams.firmware.output import CAMPAIGNS, Why, because
from streams.firmware.plan import Plan, plan
from streams.firmware.states import Event, Meter, Turn
from streams.runtime.authority import refusals
from streams.runtime.authority.refusals import Pending, RefusedError
from streams.runtime.authority.stops import HALTED
from streams.runtime.authority.terms import Terms, terms_of
from streams.runtime.authority.verify import Asked, check_fresh, examine, judge, vote
from streams.runtime.clock import iso
from streams.runtime.image_book import ImageError

_BY_CODE = {
    "firmware-unfinished": Event.CUT,
    "firmware-refused": Event.BARRED,
    "firmware-version": Event.BARRED,
    "firmware-unfit": Event.UNFIT,
    "firmware-silent": Event.WENT_SILENT,
    "image-missing": Event.HELD,
    "image-invalid": Event.HELD,
    HALTED: Event.HELD,
}
"""What a job that is not done says of its meter; another code says that the job brought nothing."""
_HOLDS = frozenset(
    ("frozen", "outside-hours", "request-expired", "operator-revoked", "operator-expired", "operator-unknown",
     "role-missing", "root-missing", "target-unknown", "kind-not-allowed", "job-unreleased")
)  # fmt: skip
"""What a gateway may refuse a job of ours for. Any other refusal is of a job that somebody else wrote, or altered."""
_READS = frozenset(
    (Operation.READ_REGISTERS, Operation.READ_PROFILE, Operation.READ_EVENT_LOG, Operation.READ_CLOCK, Operation.PING)
)
_LONGEST_REQUEST = 300_000
"""Octets: the books have a request and its target in one record, which must stay below a megabyte."""
_BLOCKS = re.compile(r"(\d{1,9}) ?(?:/|of) ?(\d{1,9})")


class Desk(Machine):
    """Takes in records as their bytes. What is not about firmware passes by: it is for `streams/commands` to judge."""

    def operator(self, value: bytes | None) -> None:
        """A record of hes.operators. What it does is on the chain of commands."""
        self._around.operators.apply(value)

    def control(self, value: bytes | None) -> None:
        """A record of hes.controls, likewise."""
        self._around.controls.apply(value, self._clock.now_ms())

    def request(self, value: bytes | None) -> None:
        """A record of hes.commands."""
        now = self._clock.now_ms()
        try:
            claimed = expect(self._around.codec.decode(value), CommandRequest)
        except CodecError:
            return
        if claimed.operation is not Operation.FIRMWARE_TRANSFER:
            return
        known = self._cases.get(claimed.id)
        try:
            asked = examine(self._around, value, now)
            if known is None:
                check_fresh(self._around, asked, now)
                self._propose(asked, now)
        except RefusedError as error:
            why = because(error.refusal, value, claimed.requested_by)
            if known is None:
                self.paper.turn_away(claimed.id[:200], why)
            else:
                self.paper.note(known, "request-refused", why)
            return
        if known is not None:
            code = "command-replayed" if known.asked.digest == asked.digest else "command-id-taken"
            detail = f"{refusals.CODES[code]}; it changes nothing: ask anew, with an id of its own"
            self.paper.note(known, "request-refused", Why(asked.request.requested_by, code, detail, asked.digest))

    def decision(self, value: bytes | None) -> None:
        """A record of hes.command-decisions."""
        now = self._clock.now_ms()
        try:
            decision = expect(self._around.codec.decode(value), CommandDecision)
        except CodecError:
            return
        case = self._cases.get(decision.command_id)
        if case is None:
            return
        try:
            asked = examine(self._around, case.asked.value, now)
            found = vote(self._around, asked, value, self.scope(case), now)
            why = Why(found.operator.id, detail=decision.reason, digest=digest(value or b""))
            _check_target(case, decision)
            if decision.verdict is Verdict.APPROVE:
                self._approve(case, asked, value or b"", why)
            else:
                self._steer(case, decision, why)
        except RefusedError as error:
            self.paper.note(case, "decision-refused", because(error.refusal, value, decision.decided_by))

    def result(self, result: JobResult, value: bytes) -> None:
        """A job's result, of whatever job: of campaigns' own, and of reads that show whether a meter still answers."""
        case = self._cases.get(result.caused_by)
        if result.operation is Operation.FIRMWARE_TRANSFER and result.code in refusals.CODES:
            self._job_refused(result, value)
        if case is None:
            self._hear(result)
            return
        index = case.index(result.meter_id)
        if index is None:
            return
        if result.operation is Operation.PING:
            if result.outcome is Outcome.DONE:
                self._answered(case, index)
        elif (
            result.job_id == case.job_id(index, result.attempt)
            and 0 < result.attempt <= case.attempts[index]
            and (result.code not in refusals.CODES or result.code in _HOLDS)
        ):
            self._transfer_ended(case, index, result)

    # Campaigns.

    def _propose(self, asked: Asked, now: int) -> None:
        """Make a draft of a request in good form; `RefusedError`."""
        terms = terms_of(asked.request.parameters)
        manifest = self._image(terms)
        meters = self._meters(asked)
        kinds = [self._fleet.kind(meter) for meter in meters]
        left = self._left_out(manifest, terms, kinds)
        out = Counter(filter(None, left))
        if out.total() == len(meters):
            code, _ = out.most_common(1)[0]
            raise RefusedError(code, f"no meter of the target can take part: {_told(out)}; choose others, or another image")
        taking = [kind for kind, code in zip(kinds, left, strict=True) if not code]
        ends = self._plan(asked, taking, manifest, terms, now)
        waves = waves_of(asked.request.id, meters, kinds, [not code for code in left], terms)
        case = Case(asked, terms, Image.of(manifest), meters, waves, now, asked.expires, ends=ends.ends)
        for index, code in enumerate(left):
            if code:
                case.move(index, Event.LEFT if code in SKIPS else Event.UNFIT, now // 1000, code)
        self._cases[case.id] = case
        case.touched = set(range(len(case.firsts)))
        for number, part in enumerate(case.as_meters()):
            self.paper.put(CAMPAIGNS, f"meters/{case.id}/{number}", part)
        self._conductor.add(case, now)
        detail = f"{asked.request.reason}; {len(taking)} of {len(meters)} meters take part; {_forecast(ends)}"
        if out:
            detail += f"; left out: {_told(out)}"
        self._turn(case, Turn.PROPOSED, Why(asked.request.requested_by, detail=detail, digest=asked.digest))

    def _image(self, terms: Terms) -> FirmwareManifest:
        """A campaign's image: there, and what its id names, before anybody decides; `RefusedError`."""
        found = sound_manifest(self._images, terms)
        try:
            self._images.data(terms.image)
        except ImageError as error:
            raise RefusedError(error.code, error.detail) from error
        return found

    def _meters(self, asked: Asked) -> tuple[str, ...]:
        target = asked.request.target
        if len(asked.value) > _LONGEST_REQUEST:
            what = f"the request has {len(asked.value)} octets, and each job carries it: name a group instead of meters"
            raise RefusedError("target-too-large", what)
        meters = self._fleet.resolve(target)
        if missing := sorted(set(target.meters) - set(meters)):
            more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
            what = f"not known or not in service: {', '.join(missing[:3])}{more}; leave them out"
            raise RefusedError("target-unknown", what)
        if not meters:
            raise RefusedError("target-empty", "the target means no meter that is known and in service; name another")
        if len(meters) > asked.rules.meters:
            raise RefusedError(
                "target-too-large",
                f"the target means {len(meters)} meters, the policy allows {asked.rules.meters}; take fewer",
            )
        return meters

    def _left_out(self, manifest: FirmwareManifest, terms: Terms, kinds: list[Kind]) -> list[str]:
        """Why each takes no part; empty where it does. Kinds are shared, so each is asked once."""
        known: dict[int, str] = {}
        for kind in kinds:
            if id(kind) not in known:
                code = why_not(manifest, terms, kind)
                if not code and not self._budgets.limits(kind.network, kind.segment, terms).possible:
                    code = "meter-network"
                known[id(kind)] = code
        return [known[id(kind)] for kind in kinds]

    def _plan(self, asked: Asked, taking: list[Kind], manifest: FirmwareManifest, terms: Terms, now: int) -> Plan:
        begin = max(now, asked.request.not_before or 0)
        found = plan(
            Counter(taking), manifest, terms, self._settings, begin,
            zone=self._around.policy.time_zone, meters_in=self._fleet.meters_in,
        )  # fmt: skip
        if found.ends[-1] > asked.expires:
            longest = f"{found.bound.network} {found.bound.segment} alone needs {found.bound.nights:.1f} nights"
            raise RefusedError(
                "campaign-too-long",
                f"{_forecast(found)}, and the request expires {iso(asked.expires)}: {longest}; "
                "take fewer meters, longer windows or a larger share",
            )
        return found

    def _approve(self, case: Case, asked: Asked, value: bytes, why: Why) -> None:
        if case.state is not CampaignState.DRAFT:
            raise RefusedError("decision-too-late", f"the campaign is {case.state}; there is nothing to approve")
        now = self._clock.now_ms()
        if now >= asked.request.requested_at + self._around.policy.decide_ms:
            raise RefusedError("decision-late", f"{why.actor}'s decision came outside the time for it; ask for it again")
        found = judge(self._around, asked, [*case.decisions, value], self.scope(case), now)
        case.decisions.append(value)
        if isinstance(found, Pending):
            self._changed[case.id] = case
            detail = f"{why.actor} approved; decisions missing: {found.missing}, by {' or '.join(found.roles)}"
            self.paper.note(case, "decision-accepted", Why(why.actor, detail=detail, digest=why.digest))
        else:
            self._turn(case, Turn.APPROVED, why)

    def _steer(self, case: Case, decision: CommandDecision, why: Why) -> None:
        """Reject, halt, pause or resume."""
        now, policy = self._clock.now_ms(), self._around.policy
        if not case.steered_at < decision.decided_at <= now + policy.skew_ms:
            raise RefusedError(
                "decision-outdated", f"{why.actor} decided before what counted last, or in the future; decide anew"
            )
        told = f"{why.actor}: {why.detail}"
        draft = case.state is CampaignState.DRAFT
        undecided = case.code == "canary-undecided"
        what, code = {
            Verdict.REJECT: (Turn.REFUSED, "decision-rejected"),
            Verdict.CANCEL: (Turn.REFUSED if draft else Turn.HALTED, "campaign-cancelled"),
            Verdict.PAUSE: (Turn.PAUSED, "campaign-paused"),
            Verdict.RESUME: (Turn.RESUMED, ""),
        }[decision.verdict]
        if not self._turn(case, what, Why(why.actor, code, told, why.digest)):
            raise RefusedError("decision-too-late", f"the campaign is {case.state}; that changes nothing there")
        case.steered_at = decision.decided_at
        if what is Turn.RESUMED and undecided:
            # Whoever resumes has looked at the canary, and answers for it.
            self.open_wave(case, now)

    # Meters.

    def _transfer_ended(self, case: Case, index: int, result: JobResult) -> None:
        now = self._clock.now_ms()
        at = min(result.finished_at or now, now)  # whatever clock said so: it is booked up to there
        if result.outcome is Outcome.DONE:
            installed = result.after == case.terms.version or (case.terms.installs and case.terms.activate_at is None)
            self.end_job(case, index, Event.INSTALLED if installed else Event.VERIFIED, at, "")
            return
        if result.attempt != case.attempts[index]:
            return
        event = _BY_CODE.get(result.code, Event.HELD if result.code in _HOLDS else Event.MISSED)
        if result.code == HALTED and case.meter(index) is Meter.SENT and self._further(case, index, result):
            event = Event.CUT
        elif event is Event.CUT and not self._further(case, index, result):
            event = Event.MISSED
        self.end_job(case, index, event, at, result.code or f"job-{result.outcome.lower()}")

    def _further(self, case: Case, index: int, result: JobResult) -> bool:
        """Note how much of the image is in the meter; whether that is more than before."""
        found = _BLOCKS.search(result.after) or _BLOCKS.search(result.detail)
        if found is None or not int(found[2]):
            return result.rows > 0
        share, before = min(99, 100 * int(found[1]) // int(found[2])), case.shares[index]
        case.shares[index] = share
        if share > before:
            case.failures[index] = 0
        return share > before or result.rows > 0

    def _answered(self, case: Case, index: int) -> None:
        """A meter that was silent is there: what it runs now, the next job reads."""
        if self._move(case, index, Event.ANSWERED, self._clock.now_ms()) is not None:
            self._conductor.again(case, index, self._clock.now_ms())

    def _hear(self, result: JobResult) -> None:
        """A read of a meter, asked for by anybody. Who answers is not silent any more, also where the campaign is over."""
        if result.operation not in _READS or result.outcome is Outcome.CANCELLED:
            return
        answered = result.outcome is Outcome.DONE
        for case in self._cases.values():
            index = case.index(result.meter_id)
            if index is None:
                continue
            since = case.times[index] * 1000
            if answered and result.started_at > since:
                self._answered(case, index)
            if result.operation is not Operation.PING and since < result.started_at <= since + case.terms.watch_ms:
                case.read(index, answered=answered)

    def _job_refused(self, result: JobResult, value: bytes) -> None:
        """What the gateway refused a job for, whoever wrote that job."""
        why = Why("hes-gateway", result.code, f"meter {result.meter_id}: {result.detail}", digest(value))
        self.paper.audit("job-refused", result.job_id, why)


def _check_target(case: Case, decision: CommandDecision) -> None:
    """`RefusedError` where somebody approves or resumes something else than all meters of the campaign."""
    if decision.verdict in (Verdict.APPROVE, Verdict.RESUME) and case.name != (decision.meters, decision.target_root):
        what = f"{decision.decided_by} decided on other meters than the campaign's; decide anew"
        raise RefusedError("decision-other-target", what)


def _told(out: Counter[str]) -> str:
    return "; ".join(f"{count} {code} ({LEFT_OUT[code]})" for code, count in out.most_common())


def _forecast(found: Plan) -> str:
    first, middle, last = (iso(at)[:10] for at in found.ends)
    return f"by the plan it ends {middle} ({first} to {last}), no sooner than {iso(found.bound.end)[:10]}"
