"""What the desk wants written, in the order in which it came to be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from schemas.ids import event_id
from schemas.records import AuditEntry, CommandAck, CommandState, Job, JobResult, Operation, Record
from streams.commands.case import Case
from streams.runtime.authority.chain import START, Link, link_of, linked
from streams.runtime.books import AUDIT, Out

ACKS, STATES = "hes.command-acks", "hes.command-states"
URGENT, BULK = "hes.jobs.urgent", "hes.jobs.bulk"
SELF = "hes-commands"
"""The actor of what nobody did but time."""


@dataclass(frozen=True, slots=True)
class Why:
    """What made something happen."""

    actor: str = SELF
    code: str = ""
    detail: str = ""
    digest: bytes = b""
    """Of the record that did."""
    result: JobResult | None = None
    """The one job's result, where the command has one job."""


class Paper:
    """Collects what is to be written; the audit chain goes on from `link`."""

    def __init__(self, now_ms: Callable[[], int], link: Link = START) -> None:
        self._now_ms = now_ms
        self._outs: list[Out] = []
        self.link = link
        self.parent = ""
        """The trace of what is being handled."""

    def __len__(self) -> int:
        return len(self._outs)

    def take(self) -> list[Out]:
        """All that was collected since the last time."""
        outs, self._outs = self._outs, []
        return outs

    def put(self, topic: str, key: str, record: Record | None) -> None:
        """Write a record."""
        self._outs.append(Out(topic, key, record, self.parent))

    def audit(self, action: str, subject: str, why: Why) -> None:
        """Write the next entry of the chain."""
        entry = AuditEntry(
            at=self._now_ms(),
            actor=why.actor,
            action=action,
            subject=subject,
            detail=why.detail,
            code=why.code,
            digest=why.digest,
        )
        entry = linked(entry, self.link)
        self.link = link_of(entry)
        self.put(AUDIT, subject, entry)

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
