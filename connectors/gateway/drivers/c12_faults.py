"""What the errors of the C12 room mean to a job: whether it is tried again, who is told, and whether the meter goes on."""

from __future__ import annotations

from connectors.gateway.errors import JobError
from connectors.protocols.c12.errors import C12Error, FramingError, PeerError
from connectors.protocols.c12.responses import ISSS, NETR, NETT, RNO, SGERR, SME, UAT

_HARMLESS = ("table-", "profile-", "procedure-")
"""What the meter said does not fit: it answers the next job all the same."""
_ALARMING = frozenset(("c1222-authentication", "c1222-replay", "c1222-policy", "peer-authentication"))
"""What a visit ends in where somebody else may be at the meter's place."""
_SESSION_ENDED = frozenset((ISSS, NETR, NETT, RNO, SGERR, SME, UAT))
"""Responses after which nothing that is asked next would be answered otherwise."""


def c12_fault(error: Exception) -> JobError | None:
    """See `port.Driver.fault`."""
    if not isinstance(error, C12Error):
        return None
    # Octets of somebody else's session, or lost ones: a new connection begins clean.
    retry = error.retry if isinstance(error, PeerError) else isinstance(error, FramingError)
    refused = isinstance(error, PeerError) and error.code == "psem-response" and error.response not in _SESSION_ENDED
    harmless = refused or error.code.startswith(_HARMLESS)
    return JobError(error.code, error.detail, retry=retry, alarm=error.code in _ALARMING, harmless=harmless)
