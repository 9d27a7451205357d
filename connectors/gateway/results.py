"""How a job ended, as a record. Pure."""

from __future__ import annotations

from connectors.gateway.errors import JobError
from connectors.gateway.jobs import Task
from connectors.gateway.operations import Found
from connectors.gateway.visit import Stages
from connectors.protocols.dlms.errors import DlmsError
from schemas.ids import event_id
from schemas.records import JobResult, Meter, Outcome

_OUTCOMES = {"job-expired": Outcome.EXPIRED}


def result_of(
    task: Task, meter: Meter | None, error: Exception | None, found: Found, stages: Stages, now_ms: int
) -> JobResult:
    """How a job ended. The id follows from the job, the attempt and the outcome."""
    job = task.job
    code, detail = fault_of(error)
    outcome = Outcome.DONE if error is None else _OUTCOMES.get(code, Outcome.FAILED)
    known = meter or Meter()
    return JobResult(
        id=event_id("JobResult", job.id, job.attempt, outcome.value, code),
        job_id=job.id,
        meter_id=job.meter_id,
        segment=known.segment,
        network=known.network,
        operation=job.operation,
        cause=job.cause,
        caused_by=job.caused_by,
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
    )


def fault_of(error: Exception | None) -> tuple[str, str]:
    """Code and sentence of what went wrong."""
    if error is None:
        return "", ""
    if isinstance(error, DlmsError | JobError):
        return error.code, error.detail
    return "internal", f"{type(error).__name__} in this release; the log has its traceback"
