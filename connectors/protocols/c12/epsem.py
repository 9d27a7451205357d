"""The EPSEM: a control octet, perhaps an end-device class, a list of services, perhaps a MAC (ANSI C12.22, 5.3.3).

    control | [class, 4 octets] | length service | length service | … | [padding] | [MAC, 4 octets]

The control octet: bits 0-1 response control, 2-3 security mode, 4 class there, 5 proxy used, 6 recovery session, 7 always 1.
A length of zero ends the list; what follows it is padding. Where the mode is ciphered all but control and MAC is.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum

from connectors.protocols.c12 import ber
from connectors.protocols.c12.errors import DecodeError

MAC, ED_CLASS = 4, 4
"""Octets of a MAC and of an end-device class."""

_CLASS_THERE, _PROXY, _RECOVERY, _ALWAYS = 0x10, 0x20, 0x40, 0x80
_MOST_SERVICES = 1024


class Mode(IntEnum):
    """How a message is protected."""

    CLEAR = 0
    AUTHENTICATED = 1
    CIPHERED = 2


class Respond(IntEnum):
    """When the node that is asked shall answer."""

    ALWAYS = 0
    ON_EXCEPTION = 1
    NEVER = 2


@dataclass(frozen=True, slots=True)
class Control:
    """The control octet."""

    mode: Mode = Mode.CLEAR
    respond: Respond = Respond.ALWAYS
    classed: bool = False
    """Whether an end-device class stands before the services."""
    proxy: bool = False
    recovery: bool = False

    def encode(self) -> int:
        """The octet."""
        flags = (self.classed and _CLASS_THERE) | (self.proxy and _PROXY) | (self.recovery and _RECOVERY)
        return _ALWAYS | flags | self.mode << 2 | self.respond


@dataclass(frozen=True, slots=True)
class Body:
    """What a control octet is followed by, once it is in clear."""

    services: tuple[bytes, ...] = field(repr=False)
    ed_class: bytes | None = None
    padding: bytes = field(default=b"", repr=False)


def control_of(octet: int) -> Control:
    """The control octet's meaning. Raises DecodeError "c1222-epsem" for a value that is reserved."""
    respond, mode = octet & 0x03, octet >> 2 & 0x03
    if not octet & _ALWAYS:
        raise DecodeError("c1222-epsem", f"EPSEM control {octet:02X}: bit 7 is always set, so this is no EPSEM")
    if respond == 3 or mode == 3:
        what = "response control" if respond == 3 else "security mode"
        raise DecodeError("c1222-epsem", f"EPSEM control {octet:02X}: {what} 3 is reserved")
    return Control(Mode(mode), Respond(respond), bool(octet & _CLASS_THERE), bool(octet & _PROXY), bool(octet & _RECOVERY))


def split(information: bytes) -> tuple[Control, bytes, bytes]:
    """Control, body (enciphered where the mode says so) and MAC, which is empty in clear. Raises DecodeError."""
    if not information:
        raise DecodeError("c1222-epsem", "user information without an EPSEM: not even its control octet is there")
    control = control_of(information[0])
    if control.mode is Mode.CLEAR:
        return control, information[1:], b""
    if len(information) < 1 + MAC:
        raise DecodeError("c1222-epsem", f"an EPSEM of {len(information)} octets: secured ones end with a MAC of {MAC}")
    return control, information[1:-MAC], information[-MAC:]


def body_of(control: Control, octets: bytes) -> Body:
    """Class and services of a body in clear. Raises DecodeError "c1222-epsem"."""
    ed_class, at = None, 0
    if control.classed:
        if len(octets) < ED_CLASS:
            raise DecodeError("c1222-epsem", f"an end-device class has {ED_CLASS} octets, {len(octets)} are there")
        ed_class, at = octets[:ED_CLASS], ED_CLASS
    services: list[bytes] = []
    while at < len(octets):
        size, start = ber.read_length(octets, at)
        if size == 0:
            return Body(tuple(services), ed_class, octets[at:])
        if start + size > len(octets):
            detail = f"service {len(services) + 1} announces {size} octets, {len(octets) - start} are there"
            raise DecodeError("c1222-epsem", detail)
        if len(services) == _MOST_SERVICES:
            raise DecodeError("c1222-epsem", f"more than {_MOST_SERVICES} services in one message")
        services.append(octets[start : start + size])
        at = start + size
    return Body(tuple(services), ed_class)


def encode_body(body: Body) -> bytes:
    """The octets of a body in clear; ValueError where a service is empty or a class has not four octets."""
    if body.ed_class is not None and len(body.ed_class) != ED_CLASS:
        raise ValueError(f"an end-device class of {len(body.ed_class)} octets: it has {ED_CLASS}")
    if not all(body.services):
        raise ValueError("an empty service would end the list")
    services = b"".join(ber.length(len(service)) + service for service in body.services)
    return (body.ed_class or b"") + services + body.padding
