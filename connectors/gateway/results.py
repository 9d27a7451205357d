"""How a job ended, as a record. Pure."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

from prometheus_client import Counter

from connectors.gateway.drivers.port import Found
from connectors.gateway.errors import JobError
from connectors.gateway.jobs import Task
from connectors.gateway.proofs import answers
from connectors.gateway.visit import Stages
from schemas.ids import event_id
from schemas.records import JobResult, Meter, Network, Outcome, Record
from streams.runtime import metrics
from streams.runtime.authority.stops import HALTED

_OUTCOMES = {
    "job-expired": Outcome.EXPIRED,
    "request-expired": Outcome.EXPIRED,
    HALTED: Outcome.CANCELLED,
    "outcome-unknown": Outcome.OUTCOME_UNKNOWN,
}


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
        caused_by=job.caused_by if answers(job, code) else "",
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


def learnt(meter: Meter | None, found: Found, now_ms: int) -> Meter | None:
    """What hes.meters is to have of a meter that told something of itself; None where it has that already."""
    if meter is None or not found.learnt:
        return None
    firmware, hardware = found.learnt.get("firmware", meter.firmware), found.learnt.get("hardware", meter.hardware)
    if meter.firmware_at and (firmware, hardware) == (meter.firmware, meter.hardware):
        return None
    return replace(meter, firmware=firmware, hardware=hardware, firmware_at=now_ms, updated_at=now_ms)


def tally(result: Record) -> None:
    """Count a result."""
    if not isinstance(result, JobResult):
        return
    _ended(result.outcome, result.code).inc()
    _ended_in(result.network, result.segment, result.outcome).inc()
    metrics.JOB_SECONDS.observe((result.finished_at - result.started_at) / 1000)
    if result.outcome is Outcome.DONE:
        times = (result.issued_at, result.started_at, result.connected_at, result.associated_at, result.finished_at)
        for stage, began, ended in zip(_STAGES, times, times[1:], strict=False):
            if began and ended is not None:
                stage.observe(max(0, ended - began) / 1000)


@lru_cache(maxsize=1_024)
def _ended(outcome: Outcome, code: str) -> Counter:
    """Looked up once, not for each job; likewise `_ended_in`."""
    return metrics.JOBS.labels(outcome.value, code)


@lru_cache(maxsize=16_384)
def _ended_in(network: Network, segment: str, outcome: Outcome) -> Counter:
    return metrics.SEGMENT_JOBS.labels(network.value, segment, outcome.value)


_STAGES = tuple(map(metrics.STAGE_SECONDS.labels, ("queue", "network", "association", "meter")))


def outcome_of(error: JobError) -> Outcome:
    """How a job ended that was not done."""
    return _OUTCOMES.get(error.code, Outcome.FAILED)
