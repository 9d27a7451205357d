"""What a failure means for its job: is it worth another try, and when? One table, and a pause with full jitter."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from enum import Enum

import structlog

from connectors.gateway.drivers.port import Driver
from connectors.gateway.errors import JobError


class Failure(Enum):
    """Classes of failure."""

    RETRYABLE = "retryable"
    """The network, or a meter that is busy: another time it may be well."""
    FINAL = "final"
    """Another try ends as this one did."""
    EXPIRED = "expired"
    """There is no time for another try."""


_EXPIRED = ("job-expired", "job-timeout")
CAPPED = "openings-capped"
_CAPPED_PAUSE_MS = 3_000
_UNASKED = frozenset(("counter-unavailable", "intent-unavailable", "controls-behind", CAPPED))
_REACHED_NOBODY = ("connect-refused", "connect-timeout", "answer-timeout", "link-timeout")


def failure_of(error: JobError) -> Failure:
    """The class of what went wrong."""
    if error.code in _EXPIRED:
        return Failure.EXPIRED
    return Failure.RETRYABLE if error.retry else Failure.FINAL


def tells_of_network(error: JobError) -> bool:
    """Whether a session that failed so, without an octet from the meter, says something of its segment."""
    return error.code in _REACHED_NOBODY


def fault_in(driver: Driver, error: Exception, meter_id: str) -> JobError:
    """What went wrong, in the worker's terms; a bug goes into the log."""
    fault = error if isinstance(error, JobError) else driver.fault(error)
    if fault is not None:
        return fault
    text = "".join(traceback.format_exception(error))  # without locals: they may hold a password
    structlog.get_logger("visit").error("internal", meter=meter_id, traceback=text)
    return JobError("internal", f"{type(error).__name__} in this release; the log has its traceback")


def costs_a_try(error: JobError) -> bool:
    """Whether a failure counts as a try: not where nobody asked the meter anything, nor where something was gained."""
    return error.code not in _UNASKED and not error.gained


def pause_ms(error: JobError, tries: int, first_s: float, longest_s: float, chance: Callable[[], float]) -> int:
    """How long to wait after `tries` in vain: anything up to `first_s`, twice as much each time (full jitter), so that a
    cell that comes back is not met by all its meters' jobs at once. Where a cap held it up, long enough for the cap to move.
    """
    most = min(longest_s, first_s * float(1 << min(tries - 1, 30)))
    return max(int(most * 1_000 * chance()), _CAPPED_PAUSE_MS if error.code == CAPPED else 0)
