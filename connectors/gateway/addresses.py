"""Where a meter is reached: what its `endpoint` in the registry says.

tcp://host:port    udp://host:port    IPv6 in brackets: tcp://[2001:db8::7]:4059    dial-in: the meter connects to us
serial:/dev/ttyUSB0?rate=9600: a port of this machine

Some schemes have the port that their protocol is known by: c1222://host (TCP), c1222+udp://host. c1218://host:port is TCP.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import parse_qs, urlsplit

from connectors.gateway.errors import JobError
from schemas.records import Meter

DIAL_IN = "dial-in"
ENDPOINTS = "tcp://host:port, udp://host:port, dial-in or serial:/dev/ttyUSB0?rate=9600"
"""How endpoints are written, for whoever wrote one that is none."""
SERIAL = "serial"
_SCHEMES: dict[str, tuple[str, int | None]] = {
    "tcp": ("tcp", None),
    "udp": ("udp", None),
    "c1218": ("tcp", None),
    "c1222": ("tcp", 1153),
    "c1222+udp": ("udp", 1153),
}
"""To the transport, and the port where none is given."""
_RATE = "9600"


@dataclass(frozen=True, slots=True)
class Address:
    """Scheme `tcp` or `udp`; `dial-in` without host and port; `serial` with the device as host and the rate as port."""

    scheme: str
    host: str = ""
    port: int = 0

    def __str__(self) -> str:
        if self.scheme == DIAL_IN:
            return DIAL_IN
        if self.scheme == SERIAL:
            return self.host
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def address_of(meter: Meter) -> Address:
    """The address of a meter. Raises `JobError`."""
    if not meter.endpoint:
        raise JobError("meter-no-endpoint", f"meter {meter.id} has no endpoint; it can push, but it cannot be read")
    address = _parsed(meter.endpoint)
    if address is None:
        raise JobError(
            "endpoint-unsupported", f"meter {meter.id} has the endpoint {meter.endpoint!r}; {ENDPOINTS} is expected"
        )
    return address


def is_address(endpoint: str) -> bool:
    """Whether an endpoint is one that `address_of` takes."""
    return _parsed(endpoint) is not None


@lru_cache(maxsize=8_192)
def _parsed(endpoint: str) -> Address | None:
    if endpoint == DIAL_IN:
        return Address(DIAL_IN)
    try:
        parts = urlsplit(endpoint)
        if parts.scheme == SERIAL:
            rate = parse_qs(parts.query).get("rate", [_RATE])[0]
            return Address(SERIAL, parts.path, int(rate)) if parts.path.startswith("/") and not parts.netloc else None
        scheme, usual = _SCHEMES.get(parts.scheme, ("", None))
        host, port = parts.hostname, parts.port or usual
    except ValueError:
        return None
    return Address(scheme, host, port) if scheme and host and port else None


def dials_in(meter: Meter | None) -> bool:
    """Whether a meter can only be visited when it has connected."""
    return meter is not None and meter.endpoint == DIAL_IN
