"""A client's session over PSEM services (ANSI C12.18, 5.1): identify, negotiate, log on, read and write tables, leave.

A session is a generator. It yields the octets of a service to send and is sent the octets of the answer; it yields `b""` to
wait for one more answer, and it is sent `b""` (`CLOSED`) where the connection ended. The link below (`psem_link`) sees to
packets, repeats and time; what goes wrong comes out of the driver's `send` as a `C12Error`.

    opened = yield from open_session(user)
    table = yield from read_whole(1, opened.agreed)
    yield from close_session()
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field
from typing import TypeAlias, TypeVar

from connectors.protocols.c12.errors import DecodeError, PeerError
from connectors.protocols.c12.octets import intact
from connectors.protocols.c12.psem_timing import DEFAULTS, Agreed, agreed_by
from connectors.protocols.c12.requests import (
    Identify,
    Logoff,
    Logon,
    Negotiate,
    ReadFull,
    ReadIndex,
    ReadOffset,
    Request,
    Security,
    Terminate,
    Wait,
    Write,
    WriteFull,
    WriteOffset,
)
from connectors.protocols.c12.responses import ONP, RSTL, SNS, Done, Identified, Refused, Response, TableData, refused
from connectors.protocols.c12.services import decode_response, encode_request

T = TypeVar("T")

Session: TypeAlias = Generator[bytes, bytes, T]
"""Yields services to send, is sent answers that came, returns T."""

CLOSED = b""
"""Sent into a session in place of an answer: the connection has ended."""

_READ_OVERHEAD, _WRITE_OVERHEAD = 4, 9
"""Octets of a read response, and of an offset write request, that are not the table's."""
_MAX_PART = 0xFFFF


@dataclass(frozen=True, slots=True)
class User:
    """Who logs on. Without a password no security service is sent: some meters let everybody read."""

    number: int = 2
    name: str = ""
    password: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Opened:
    """A session that may read: who answered, and what was negotiated."""

    identified: Identified
    agreed: Agreed = DEFAULTS


PROPOSED = Negotiate(packet_size=1024, packets=8)
"""What a client asks for where its template says nothing: no meter must grant it."""


def open_session(user: User, propose: Negotiate | None = PROPOSED) -> Session[Opened]:
    """Identify, negotiate, log on and show the password. Without `propose`, or where the meter does not negotiate, the
    defaults hold: one packet of 64 octets.
    """
    identified = yield from identify()
    agreed = yield from negotiate(propose)
    yield from log_on(user)
    if user.password is not None:
        yield from call(Security(user.password), "security")
    return Opened(identified, agreed)


def identify() -> Session[Identified]:
    """Ask who is there. A bare OK first is the repeated answer of an earlier session: the next answer is waited for."""
    octets = yield encode_request(Identify())
    if octets == b"\0":
        octets = yield b""
    response = _answer(octets, Identify(), "identify")
    return _of(response, Identified, "identify")


def negotiate(propose: Negotiate | None) -> Session[Agreed]:
    """Agree on packets; a meter that does not know the service leaves the defaults."""
    if propose is None:
        return DEFAULTS
    octets = yield encode_request(propose)
    response = _decoded(octets, propose, "negotiate")
    if response == Refused(SNS):
        return DEFAULTS
    _accepted(response, "negotiate")
    return agreed_by(DEFAULTS, encode_request(propose), octets)


def log_on(user: User) -> Session[None]:
    """Say who asks."""
    name = user.name.encode("latin-1", "replace")
    yield from call(Logon(user.number, name), f"logon of user {user.number}")


def read_table(table: int, offset: int | None = None, count: int | None = None) -> Session[bytes]:
    """A table's octets: all of them, or `count` from `offset` (fewer where the table ends). Only what the meter sent with
    the right checksum.
    """
    if offset is None and count is None:
        return (yield from _read(ReadFull(table), f"table {table}", _MAX_PART))
    start, size = offset or 0, _MAX_PART if count is None else count
    return (yield from _read(ReadOffset(table, start, size), f"table {table}, {size} octets from {start}", size))


def read_elements(table: int, indices: tuple[int, ...], count: int) -> Session[bytes]:
    """`count` elements of a table from the one that `indices` name (C12.19, 7.2)."""
    where = ".".join(map(str, indices))
    return (yield from _read(ReadIndex(table, indices, count), f"table {table}, {count} elements from {where}", _MAX_PART))


def read_whole(table: int, agreed: Agreed, size: int | None = None) -> Session[bytes]:
    """A whole table. Where its `size` is known and the meter cannot send it at once, in parts by offset."""
    part = min(agreed.capacity - _READ_OVERHEAD, _MAX_PART)
    if size is None or size <= part:
        try:
            return (yield from read_table(table))
        except PeerError as error:
            if size is None or error.response not in (ONP, RSTL):
                raise
    found = bytearray()
    while len(found) < size:
        more = yield from read_table(table, len(found), min(part, size - len(found)))
        if not more:
            detail = (
                f"table {table}: {len(found)} octets where {size} were expected: its sizes in table 0 or its limits changed"
            )
            raise DecodeError("psem-malformed", detail)
        found += more
    return bytes(found)


def write_table(table: int, data: bytes, offset: int | None = None) -> Session[None]:
    """Write a whole table, or octets of it from `offset`."""
    write: Write = WriteFull(table, data) if offset is None else WriteOffset(table, offset, data)
    yield from call(write, f"write of table {table}")


def write_whole(table: int, data: bytes, agreed: Agreed) -> Session[None]:
    """Write a whole table, in parts by offset where it does not fit what was negotiated."""
    part = min(agreed.capacity - _WRITE_OVERHEAD, _MAX_PART)
    if len(data) <= part:
        yield from write_table(table, data)
        return
    for at in range(0, len(data), part):
        yield from write_table(table, data[at : at + part], at)


def stay(seconds: int) -> Session[None]:
    """Ask the meter to keep the session without traffic for so long, once."""
    yield from call(Wait(seconds), "wait")


def close_session(*, logged_on: bool = True) -> Session[None]:
    """Log off and terminate. Nothing is raised for what the meter says to it: it forgets the session anyway."""
    for service in (Logoff(), Terminate()) if logged_on else (Terminate(),):
        if (yield encode_request(service)) == CLOSED:
            return


def call(request: Request, subject: str) -> Session[Response]:
    """One service and its answer. Raises PeerError "psem-response" for any but OK, and "peer-closed"."""
    octets = yield encode_request(request)
    return _answer(octets, request, subject)


def _read(request: ReadFull | ReadOffset | ReadIndex, subject: str, limit: int) -> Session[bytes]:
    response = _of((yield from call(request, subject)), TableData, subject)
    if not intact(response.data, response.sum):
        raise DecodeError(
            "psem-checksum", f"{subject}: the checksum is not that of its {len(response.data)} octets: read again"
        )
    if len(response.data) > limit:
        raise DecodeError(
            "psem-malformed", f"{subject}: the meter sent {len(response.data)} octets: terminate and begin again"
        )
    return response.data


def _answer(octets: bytes, request: Request, subject: str) -> Response:
    return _accepted(_decoded(octets, request, subject), subject)


def _decoded(octets: bytes, request: Request, subject: str) -> Response:
    if octets == CLOSED:
        raise PeerError("peer-closed", f"{subject}: the connection ended before the meter answered: try again", retry=True)
    return decode_response(octets, request.code)


def _accepted(response: Response, subject: str) -> Response:
    if isinstance(response, Refused):
        raise refused(response.response, subject)
    if isinstance(response, Done) and response.rest:
        detail = f"{subject}: {len(response.rest)} octets after the OK, where none belong: terminate and begin again"
        raise PeerError("peer-unexpected", detail, retry=True)
    return response


def _of(response: Response, kind: type[T], subject: str) -> T:
    if not isinstance(response, kind):
        detail = f"{subject}: the meter answered {type(response).__name__}: terminate and begin again"
        raise PeerError("peer-unexpected", detail, retry=True)
    return response
