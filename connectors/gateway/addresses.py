"""Where a meter is reached: what its `endpoint` in the registry says.

tcp://host:port    udp://host:port    IPv6 in brackets: tcp://[2001:db8::7]:4059    dial-in: the meter connects to us
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from connectors.gateway.errors import JobError
from schemas.records import Meter

DIAL_IN = "dial-in"
_SCHEMES = ("tcp", "udp")


@dataclass(frozen=True, slots=True)
class Address:
    """Scheme `tcp` or `udp`, or `dial-in` without host and port."""

    scheme: str
    host: str = ""
    port: int = 0

    def __str__(self) -> str:
        if self.scheme == DIAL_IN:
            return DIAL_IN
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def address_of(meter: Meter) -> Address:
    """The address of a meter. Raises `JobError`."""
    if not meter.endpoint:
        raise JobError("meter-no-endpoint", f"meter {meter.id} has no endpoint; it can push, but it cannot be read")
    if meter.endpoint == DIAL_IN:
        return Address(DIAL_IN)
    try:
        parts = urlsplit(meter.endpoint)
        scheme, host, port = parts.scheme, parts.hostname, parts.port
    except ValueError:
        scheme, host, port = "", None, None
    if scheme not in _SCHEMES or not host or not port:
        detail = (
            f"meter {meter.id} has the endpoint {meter.endpoint!r}; tcp://host:port, udp://host:port or dial-in is expected"
        )
        raise JobError("endpoint-unsupported", detail)
    return Address(scheme, host, port)


def dials_in(meter: Meter | None) -> bool:
    """Whether a meter can only be visited when it has connected."""
    return meter is not None and meter.endpoint == DIAL_IN
