"""How a job ended, as a record. Pure."""

from __future__ import annotations

from connectors.gateway.drivers.port import Found
from connectors.gateway.errors import JobError
from connectors.gateway.jobs import Task
from connectors.gateway.proofs import ANOTHERS
from connectors.gateway.visit import Stages
from schemas.ids import event_id
from schemas.records import JobResult, Meter, Outcome

_OUTCOMES = {"job-expired": Outcome.EXPIRED, "outcome-unknown": Outcome.OUTCOME_UNKNOWN}


def result_of(
    task: Task, meter: Meter | None, error: JobError | None, found: Found, stages: Stages, now_ms: int
) -> JobResult:
    """How a job ended. The id follows from the job, the attempt and the outcome."""
    job = task.job
    code, detail = ("", "") if error is None else (error.code, error.detail)
    outcome = Outcome.DONE if error is None else outcome_of(error)
    known = meter or Meter()
    return JobResult(
        id=event_id("JobResult", job.id, job.attempt, outcome.value, code),
        job_id=job.id,
        meter_id=job.meter_id,
        segment=known.segment,
        network=known.network,
        operation=job.operation,
        cause=job.cause,
        # A job that somebody else made up must not end the command that it names.
        caused_by="" if code in ANOTHERS else job.caused_by,
        attempt=job.attempt,
        outcome=outcome,
        code=code,
        detail=detail or found.detail,
        issued_at=job.issued_at,
        started_at=stages.started_at,
        connected_at=stages.connected_at,
        associated_at=stages.associated_at,
        finished_at=now_ms,
        rows=found.rows,
        events=tuple(reading.id for reading in found.readings),
        before=found.before,
        after=found.after,
    )


def outcome_of(error: JobError) -> Outcome:
    """How a job ended that was not done."""
    return _OUTCOMES.get(error.code, Outcome.FAILED)
