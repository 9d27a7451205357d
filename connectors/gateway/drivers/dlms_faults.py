"""What the errors of the DLMS room mean to a job: whether it is tried again, who is told, and whether the meter goes on."""

from __future__ import annotations

from connectors.gateway.errors import JobError
from connectors.protocols.dlms.errors import DlmsError, FramingError, PeerError

_HARMLESS = frozenset(
    ("peer-access", "peer-action", "peer-state", "peer-exception", "dlms-time", "object-shape", "object-value",
     "profile-shape", "profile-clock")
)  # fmt: skip
"""A meter that answers so answers the next job all the same."""
_ALARMING = frozenset(("peer-authentication", "peer-title", "cipher-authentication", "cipher-policy", "cipher-counter"))
"""What a visit ends in where somebody else may be at the meter's place."""


def dlms_fault(error: Exception) -> JobError | None:
    """See `port.Driver.fault`."""
    if not isinstance(error, DlmsError):
        return None
    # Octets of somebody else's session, or lost ones: a new connection begins clean.
    retry = error.retry if isinstance(error, PeerError) else isinstance(error, FramingError)
    return JobError(error.code, error.detail, retry=retry, alarm=error.code in _ALARMING, harmless=error.code in _HARMLESS)
