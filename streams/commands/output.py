"""What the desk wants written, in the order in which it came to be."""

from __future__ import annotations

from dataclasses import dataclass

from schemas.ids import event_id
from schemas.records import CommandAck, CommandState, Job, JobResult, Operation
from streams.commands.case import Case
from streams.runtime.authority.paper import Paper as AuditedPaper
from streams.runtime.authority.paper import Reason

ACKS, STATES = "hes.command-acks", "hes.command-states"
URGENT, BULK = "hes.jobs.urgent", "hes.jobs.bulk"
SELF = "hes-commands"
"""The actor of what nobody did but time."""


@dataclass(frozen=True, slots=True)
class Why(Reason):
    """What made something happen."""

    actor: str = SELF
    result: JobResult | None = None
    """The one job's result, where the command has one job."""


class Paper(AuditedPaper):
    """Jobs and acknowledgements beside the audit chain."""

    def job(self, job: Job, *, urgent: bool) -> None:
        """Write a job on its lane."""
        self.put(URGENT if urgent else BULK, job.meter_id, job)

    def stand(self, case: Case, why: Why) -> None:
        """Acknowledge where a command stands, and enter it into the chain: after each step, and only then."""
        self._acknowledge(case, why)
        self.audit(f"command-{_words(case.state)}", case.id, why)

    def note(self, case: Case, what: str, why: Why) -> None:
        """Say that something about a command was refused, or taken in; it stands where it stood."""
        self._acknowledge(case, why)
        self.audit(what, case.id, why)

    def turn_away(self, command_id: str, why: Why, operation: Operation = Operation.UNKNOWN) -> None:
        """Say that a request does not become a command. Nothing is remembered of it: whoever made it up took no id from
        whoever has a right to it.
        """
        now = self._now_ms()
        ack = CommandAck(
            id=event_id("CommandAck", command_id, CommandState.REJECTED, why.code, why.digest),
            command_id=command_id,
            operation=operation,
            state=CommandState.REJECTED,
            code=why.code,
            detail=why.detail,
            at=now,
        )
        self.put(ACKS, command_id, ack)
        self.audit("request-refused", command_id, why)

    def _acknowledge(self, case: Case, why: Why) -> None:
        now, result, request = self._now_ms(), why.result or JobResult(), case.request
        ended = why.result is not None
        ack = CommandAck(
            id=event_id("CommandAck", case.id, case.state, why.code, why.digest, why.detail),
            command_id=case.id,
            meter_id=case.meter_id,
            segment=result.segment,
            network=result.network,
            operation=request.operation,
            state=case.state,
            code=why.code,
            detail=why.detail,
            at=now,
            queue_ms=_between(result.issued_at, result.started_at),
            connect_ms=_between(result.started_at, result.connected_at),
            associate_ms=_between(result.connected_at, result.associated_at),
            read_ms=_between(result.associated_at, result.finished_at),
            rows=result.rows,
            before=result.before,
            after=result.after,
            command_ms=_between(request.requested_at, result.issued_at),
            pipeline_ms=_between(result.finished_at, now) if ended else None,
        )
        self.put(ACKS, case.meter_id or case.id, ack)


def _words(state: CommandState) -> str:
    return state.lower().replace("_", "-")


def _between(start: int | None, end: int | None) -> int | None:
    return None if not start or not end else max(0, end - start)
