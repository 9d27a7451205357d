"""Groups of meters that hear one address: settings of `firmware.groups`, by the name of the network segment."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, Field, model_validator

_LINK_LOCAL = 2
"""The scope of IPv6 multicast addresses that mean nothing without an interface."""


def parse_address(text: str) -> tuple[IPv4Address | IPv6Address, int]:
    """Address and port of "udp://239.192.0.7:4059" or "udp://[ff15::7]:4059". ValueError, with what is expected."""
    try:
        parts = urlsplit(text)
        host, port = ip_address(parts.hostname or ""), parts.port
    except ValueError:
        raise ValueError(_expected(text)) from None
    if parts.scheme != "udp" or not port or parts.path or parts.query or parts.fragment or parts.username is not None:
        raise ValueError(_expected(text))
    if host.is_unspecified:
        raise ValueError(f"{host} is nobody's address: write that of a group, of a concentrator, or a directed broadcast")
    if isinstance(host, IPv6Address) and host.is_multicast and not host.scope_id and host.packed[1] & 0x0F <= _LINK_LOCAL:
        raise ValueError(f"{host} is of one link: write the interface behind it, such as udp://[{host}%eth0]:{port}")
    return host, port


def _expected(text: str) -> str:
    return (
        f"{text[:80]!r} is no group: udp://ADDRESS:PORT is expected, such as udp://239.192.0.7:4059 or "
        "udp://[ff15::7]:4059; an address, no name"
    )


def _address(text: str) -> str:
    parse_address(text)
    return text


class Group(BaseModel):
    """Where image blocks for all meters of a segment are sent once; the address alone will do."""

    address: Annotated[str, AfterValidator(_address)] = Field(
        description="udp://ADDRESS:PORT: multicast, directed broadcast, or a concentrator that repeats what it gets"
    )
    hops: int = Field(8, ge=1, le=255, description="routers that a datagram may pass")
    interface: str = Field("", description="multicast: our own IPv4 address there, or the interface's name for IPv6")
    client: int = Field(102, ge=0, le=65_535, description="the pre-established client's address")
    station: int = Field(127, ge=0, le=65_535, description="the address of all stations")
    security: Literal["ciphered", "plain"] = Field(
        "ciphered", description="under the broadcast key, authenticated and encrypted; plain: anybody can send blocks"
    )
    gather_s: float = Field(30.0, ge=0, description="how long meters are waited for after the first one")
    meters: int = Field(50, ge=2, description="with so many it begins at once")
    rounds: int = Field(2, ge=1, le=10, description="how often what two meters lack is sent, before each gets its own")
    gap_s: float = Field(5.0, ge=0, description="after a round, before meters are asked what they have")

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, given: Any) -> Any:
        return {"address": given} if isinstance(given, str) else given
