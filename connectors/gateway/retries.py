"""What a failure means for its job: is it worth another try, and when? One table, and a pause with full jitter. Pure."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

from connectors.gateway.errors import JobError
from connectors.protocols.dlms.errors import DlmsError, FramingError, PeerError


class Failure(Enum):
    """Classes of failure."""

    RETRYABLE = "retryable"
    """The network, or a meter that is busy: another time it may be well."""
    FINAL = "final"
    """Another try ends as this one did."""
    EXPIRED = "expired"
    """There is no time for another try."""


_EXPIRED = ("job-expired", "job-timeout")
_REACHED_NOBODY = ("connect-refused", "connect-timeout", "answer-timeout", "link-timeout")


def failure_of(error: Exception) -> Failure:
    """The class of what went wrong."""
    if isinstance(error, JobError):
        if error.code in _EXPIRED:
            return Failure.EXPIRED
        return Failure.RETRYABLE if error.retry else Failure.FINAL
    if isinstance(error, PeerError):
        return Failure.RETRYABLE if error.retry else Failure.FINAL
    # Octets of somebody else's session, or lost ones: a new connection begins clean.
    return Failure.RETRYABLE if isinstance(error, FramingError) else Failure.FINAL


def tells_of_network(error: Exception) -> bool:
    """Whether a session that failed so, without an octet from the meter, says something of its segment."""
    return isinstance(error, OSError | TimeoutError) or (
        isinstance(error, JobError | DlmsError) and error.code in _REACHED_NOBODY
    )


def pause_ms(tries: int, first_s: float, longest_s: float, chance: Callable[[], float]) -> int:
    """How long to wait after `tries` in vain: anything up to `first_s`, twice as much each time (full jitter), so that a
    cell that comes back is not met by all its meters' jobs at once.
    """
    most = min(longest_s, first_s * float(1 << min(tries - 1, 30)))
    return int(most * 1_000 * chance())
