"""What campaigns want written, in the order in which it came to be."""

from __future__ import annotations

from dataclasses import dataclass

from schemas.ids import event_id
from schemas.records import (
    CampaignState,
    Cause,
    CommandAck,
    CommandState,
    Job,
    Operation,
    Priority,
)
from schemas.signatures import digest
from streams.firmware.campaign import Case
from streams.firmware.states import Meter
from streams.runtime.authority.paper import Paper as AuditedPaper
from streams.runtime.authority.paper import Reason
from streams.runtime.authority.refusals import Refusal

ACKS, CAMPAIGNS = "hes.command-acks", "hes.campaigns"
URGENT, BULK = "hes.jobs.urgent", "hes.jobs.bulk"
CHAIN = "firmware"
"""The name of the audit chain that campaigns write."""
SELF = "hes-firmware"
"""The actor of what nobody did but time, and what meters showed."""
_STATES = {
    CampaignState.DRAFT: CommandState.AWAITING_APPROVAL,
    CampaignState.APPROVED: CommandState.APPROVED,
    CampaignState.CANARY: CommandState.SENT,
    CampaignState.WAVES: CommandState.SENT,
    CampaignState.PAUSED: CommandState.QUEUED,
    CampaignState.DONE: CommandState.DONE,
}
_ENDS = {
    "campaign-cancelled": CommandState.CANCELLED,
    "request-expired": CommandState.EXPIRED,
    "decision-missing": CommandState.EXPIRED,
}
_PING_S = 600


@dataclass(frozen=True, slots=True)
class Why(Reason):
    """What made something happen."""

    actor: str = SELF


def because(refusal: Refusal, value: bytes | None, actor: str = "") -> Why:
    """A refusal as what made something happen, by whoever claims to have written the value."""
    claimed = f"claimed:{actor[:200]}" if actor else SELF
    return Why(claimed, refusal.code, refusal.detail, digest(value or b""))


class Paper(AuditedPaper):
    """Acknowledgements beside the audit chain of campaigns."""

    chain = CHAIN

    def stand(self, case: Case, why: Why) -> None:
        """Acknowledge where a campaign stands, and enter it into the chain: after each step, and only then."""
        self._acknowledge(case.id, state_of(case), why)
        self.audit(f"campaign-{case.state.lower()}", case.id, why)

    def note(self, case: Case, what: str, why: Why) -> None:
        """Say that something about a campaign was refused, or taken in; it stands where it stood."""
        self._acknowledge(case.id, state_of(case), why)
        self.audit(what, case.id, why)

    def turn_away(self, campaign_id: str, why: Why) -> None:
        """Say that a request does not become a campaign. Nothing is remembered of it."""
        self._acknowledge(campaign_id, CommandState.REJECTED, why)
        self.audit("request-refused", campaign_id, why)

    def _acknowledge(self, campaign_id: str, state: CommandState, why: Why) -> None:
        now = self._now_ms()
        ack = CommandAck(
            id=event_id("CommandAck", campaign_id, state, why.code, why.digest, why.detail),
            command_id=campaign_id,
            operation=Operation.FIRMWARE_TRANSFER,
            cause=Cause.FIRMWARE,
            state=state,
            code=why.code,
            detail=why.detail,
            at=now,
        )
        self.put(ACKS, campaign_id, ack)


def state_of(case: Case) -> CommandState:
    """Where a campaign stands, in the words of commands."""
    if case.state in (CampaignState.HALTED, CampaignState.REJECTED):
        bad = CommandState.FAILED if case.state is CampaignState.HALTED else CommandState.REJECTED
        return _ENDS.get(case.code, bad)
    if case.state is CampaignState.DONE and case.code:
        return CommandState.FAILED
    return _STATES[case.state]


def transfer_job(case: Case, index: int, start: int, deadline: int, now: int) -> Job:
    """The job that brings a meter the image: the request's own parameters, and everything that proves it."""
    request, attempt = case.asked.request, case.attempts[index]
    return Job(
        id=case.job_id(index, attempt),
        meter_id=case.meters[index],
        operation=Operation.FIRMWARE_TRANSFER,
        parameters=request.parameters,
        priority=Priority.FIRMWARE,
        issued_at=now,
        not_before=start,
        deadline=deadline,
        attempt=attempt,
        cause=Cause.FIRMWARE,
        caused_by=case.id,
        request=case.asked.value,
        decisions=tuple(case.decisions),
        target_proof=case.proof(index),
    )


def ping_job(case: Case, index: int, number: int, now: int) -> Job:
    """The job that asks whether a silent meter is there."""
    meter_id = case.meters[index]
    return Job(
        id=event_id("Job", case.id, case.asked.digest, meter_id, "ping", case.attempts[index], number),
        meter_id=meter_id,
        operation=Operation.PING,
        priority=Priority.FOLLOW_UP,
        issued_at=now,
        deadline=now + _PING_S * 1000,
        attempt=number,
        cause=Cause.FIRMWARE,
        caused_by=case.id,
    )


def left_over(case: Case) -> str:
    """The code of a campaign that has ended: empty where every meter that takes part reports the version."""
    counts = case.counts()
    bad = counts[Meter.FAILED] + counts[Meter.SILENT]
    return "campaign-partial" if bad else ""
