"""The services that only C12.22 has: register, deregister, resolve, trace; the others are `services` (ANSI C12.22, 5.3.2.4).

The four functions below read and write both kinds, and are what C12.22 code uses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from connectors.protocols.c12 import requests, responses, services
from connectors.protocols.c12.errors import DecodeError
from connectors.protocols.c12.octets import Octets, number
from connectors.protocols.c12.responses import OK
from connectors.protocols.c12.titles import ApTitle, read

DEREGISTER, RESOLVE, TRACE, REGISTER = 0x24, 0x25, 0x26, 0x27

NODE_TYPES = ("relay", "master relay", "host", "notification host", "authentication host", "end device", "reserved")
"""Bits 0 to 6 of a registration's node type; bit 7 says that a domain pattern follows."""

CONNECTION_TYPES = (
    "broadcast and multicast",
    "message acceptance window",
    "playback rejection",
    "reserved",
    "connectionless mode",
    "accepts connectionless",
    "connection mode",
    "accepts connections",
)
"""Bits of a registration's connection type; of its answer, where bit 0 is "direct messaging available"."""

RELAY, MASTER_RELAY, HOST, NOTIFICATION_HOST, AUTHENTICATION_HOST, END_DEVICE = (1 << bit for bit in range(6))
_PATTERN = 0x80
_CLASS = 4
_MOST_HOPS = 64
_SECURITY = b"\x51"


@dataclass(frozen=True, slots=True)
class Register:
    """A node asks for its place in the network."""

    node_type: int
    """Bits of `NODE_TYPES`; the pattern's is made here."""
    connection_type: int
    device_class: bytes
    """Four octets, the end of an object identifier: the manufacturer's."""
    title: ApTitle
    """The title that it has or wants; empty where it has none yet."""
    serial: ApTitle
    """The electronic serial number."""
    native_address: bytes
    period_s: int
    """How long at most until it registers again."""
    pattern: bytes | None = None
    """What it wants to be notified of."""
    code: ClassVar[int] = REGISTER

    def fields(self) -> bytes:
        """What follows the code."""
        if len(self.device_class) != _CLASS:
            raise DecodeError("psem-malformed", f"a device class of {len(self.device_class)} octets: it has {_CLASS}")
        flags = self.node_type & ~_PATTERN | (_PATTERN if self.pattern is not None else 0)
        head = number(flags, 1, "node type") + number(self.connection_type, 1, "connection type")
        names = self.title.encode() + self.serial.encode()
        address = number(len(self.native_address), 1, "address length") + self.native_address
        pattern = b"" if self.pattern is None else number(len(self.pattern), 1, "pattern length") + self.pattern
        return head + self.device_class + names + address + number(self.period_s, 3, "registration period") + pattern


@dataclass(frozen=True, slots=True)
class Deregister:
    """A node gives its place up."""

    title: ApTitle
    code: ClassVar[int] = DEREGISTER

    def fields(self) -> bytes:
        """What follows the code."""
        return self.title.encode()


@dataclass(frozen=True, slots=True)
class Resolve:
    """Under which native address is this title reached?"""

    title: ApTitle
    code: ClassVar[int] = RESOLVE

    def fields(self) -> bytes:
        """What follows the code."""
        return self.title.encode()


@dataclass(frozen=True, slots=True)
class Trace:
    """Which relays lead to a title? Each adds its own on the way."""

    titles: tuple[ApTitle, ...]
    code: ClassVar[int] = TRACE

    def fields(self) -> bytes:
        """What follows the code."""
        return b"".join(title.encode() for title in self.titles)


@dataclass(frozen=True, slots=True)
class Registered:
    """What a registration was given."""

    title: ApTitle
    delay_s: int
    """How long to wait before the first message."""
    period_s: int
    """When to register again at the latest."""
    flags: int
    """Bits of `CONNECTION_TYPES`; bit 0 is "direct messaging available"."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """The native address that was asked for."""

    native_address: bytes


@dataclass(frozen=True, slots=True)
class Traced:
    """The way, first relay first."""

    titles: tuple[ApTitle, ...]


NetworkRequest = Register | Deregister | Resolve | Trace
Request = requests.Request | NetworkRequest
"""Every request that a C12.22 message may carry."""
Response = responses.Response | Registered | Resolved | Traced
"""Every response."""


def encode_request(request: Request) -> bytes:
    """The octets of a request. Raises DecodeError "psem-malformed" where a field does not fit."""
    return bytes((request.code,)) + request.fields()


def encode_response(response: Response) -> bytes:
    """The octets of a response. Raises DecodeError "psem-malformed" where a field does not fit."""
    match response:
        case Registered(title, delay_s, period_s, flags):
            times = number(delay_s, 2, "registration delay") + number(period_s, 3, "registration period")
            return bytes((OK,)) + title.encode() + times + number(flags, 1, "registration flags")
        case Resolved(address):
            return bytes((OK,)) + number(len(address), 1, "address length") + address
        case Traced(titles):
            return bytes((OK,)) + b"".join(title.encode() for title in titles)
    return services.encode_response(response)


def decode_request(octets: bytes) -> Request:
    """A request out of its octets. Raises DecodeError."""
    if not octets or octets[0] not in (REGISTER, DEREGISTER, RESOLVE, TRACE):
        return services.decode_request(octets)
    code = octets[0]
    if code == TRACE:
        return Trace(_titles(octets, 1))
    if code == REGISTER:
        return _register(octets)
    title, end = read(octets, 1)
    _ended(octets, end)
    return Deregister(title) if code == DEREGISTER else Resolve(title)


def decode_response(octets: bytes, request: int | None) -> Response:
    """A response out of its octets, as the answer to the request of that code. Raises DecodeError.

    A refused trace carries the way up to where it ended: `traced` reads it.
    """
    if not octets or octets[0] != OK or request not in (REGISTER, RESOLVE, TRACE):
        return services.decode_response(octets, request)
    if request == TRACE:
        return Traced(_titles(octets, 1))
    if request == RESOLVE:
        data = Octets(octets[1:], "response to resolve")
        address = data.take(data.number(1, "address length"), "native address")
        data.end()
        return Resolved(address)
    title, end = read(octets, 1)
    data = Octets(octets[end:], "response to register")
    delay, period = data.number(2, "registration delay"), data.number(3, "registration period")
    found = Registered(title, delay, period, data.number(1, "registration flags"))
    data.end()
    return found


def answered(requests: Sequence[bytes], responses: Sequence[bytes]) -> tuple[bytes, ...]:
    """For each response the request that it answers, as far as there is one.

    They are in the same order, and a refusal may end them early. A node may leave out what it says to security: the
    standard's own example does, meters do not.
    """
    refused = any(response[:1] != b"\0" for response in responses)
    if len(responses) < len(requests) and not refused:
        others = tuple(request for request in requests if request[:1] != _SECURITY)
        if len(others) == len(responses):
            return others
    return tuple(requests[: len(responses)])


def traced(response: responses.Refused) -> tuple[ApTitle, ...]:
    """The way that a refused trace came."""
    return _titles(response.rest, 0)


def flags_text(names: tuple[str, ...], value: int) -> str:
    """The names of the bits that are set."""
    return ", ".join(name for bit, name in enumerate(names) if value >> bit & 1) or "none"


def _register(octets: bytes) -> Register:
    head = Octets(octets[1:], "register")
    node_type, connection_type = head.number(1, "node type"), head.number(1, "connection type")
    device_class = head.take(_CLASS, "device class")
    title, at = read(octets, 1 + head.at)
    serial, at = read(octets, at)
    data = Octets(octets[at:], "register")
    address = data.take(data.number(1, "address length"), "native address")
    period = data.number(3, "registration period")
    pattern = data.take(data.number(1, "pattern length"), "domain pattern") if node_type & _PATTERN else None
    data.end()
    return Register(node_type & ~_PATTERN, connection_type, device_class, title, serial, address, period, pattern)


def _titles(octets: bytes, at: int) -> tuple[ApTitle, ...]:
    found: list[ApTitle] = []
    while at < len(octets):
        if len(found) == _MOST_HOPS:
            raise DecodeError("psem-malformed", f"trace: more than {_MOST_HOPS} titles")
        title, at = read(octets, at)
        found.append(title)
    return tuple(found)


def _ended(octets: bytes, end: int) -> None:
    if end != len(octets):
        raise DecodeError("psem-malformed", f"request {octets[0]:02X}: {len(octets) - end} octets behind its title")
