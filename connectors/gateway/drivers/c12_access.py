"""A meter's tables over either protocol: parts of tables in, their octets out, in as few exchanges as the protocol allows.

C12.18 reads one part after the other; C12.22 reads several in one message. What an answer cannot hold is read in smaller
parts. A part of fewer octets than were asked for is "table-size": the tables that size it are out of date.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from connectors.gateway.session import Session
from connectors.protocols.c12.c1222_services import Request
from connectors.protocols.c12.c1222_session import Client, all_ok
from connectors.protocols.c12.errors import DecodeError, PeerError
from connectors.protocols.c12.octets import intact
from connectors.protocols.c12.psem_session import read_elements, read_table, write_table
from connectors.protocols.c12.psem_timing import Agreed
from connectors.protocols.c12.requests import Read, ReadFull, ReadIndex, ReadOffset, WriteFull
from connectors.protocols.c12.responses import ONP, RSTL, SGNP, TableData

_OVERHEAD = 4
_MOST = 0xFFFF
_SMALLEST = 16
_TOO_MUCH = (ONP, RSTL, SGNP)


@dataclass(frozen=True, slots=True)
class Part:
    """A table, or a part of one: octets from `offset`, or `count` elements from the one that `indices` name."""

    table: int
    size: int | None = None
    """Octets, as far as they are known; with an offset they must be."""
    offset: int | None = None
    indices: tuple[int, ...] = ()
    count: int = 0

    def __str__(self) -> str:
        if self.offset is not None:
            return f"table {self.table}, {self.size} octets from {self.offset}"
        if self.indices:
            return f"table {self.table}, {self.count} elements from {'.'.join(map(str, self.indices))}"
        return f"table {self.table}"


class Access(Protocol):
    """A session that may read."""

    def read(self, parts: Sequence[Part]) -> Session[list[bytes]]:
        """The octets of each part, in their order. Raises PeerError, DecodeError."""

    def write(self, table: int, data: bytes) -> Session[None]:
        """Write a whole table."""


class PsemAccess:
    """C12.18 and C12.21: `agreed` is what was negotiated."""

    def __init__(self, agreed: Agreed) -> None:
        self._most = min(agreed.capacity - _OVERHEAD, _MOST)

    def read(self, parts: Sequence[Part]) -> Session[list[bytes]]:
        """See `Access`."""
        found: list[bytes] = []
        for part in parts:
            found += [(yield from self._read(part))]
        return found

    def write(self, table: int, data: bytes) -> Session[None]:
        """See `Access`."""
        yield from write_table(table, data)

    def _read(self, part: Part) -> Session[bytes]:
        if part.indices:
            return fitting(part, (yield from read_elements(part.table, part.indices, part.count)))
        if part.offset is None and (part.size is None or part.size <= self._most):
            return (yield from read_table(part.table))
        octets = b""
        for piece in pieces(part, self._most):
            octets += fitting(piece, (yield from read_table(piece.table, piece.offset, piece.size)))
        return octets


class MessageAccess:
    """C12.22: at most `services` reads and `most` octets in one answer; `before` goes ahead of them in every message."""

    def __init__(self, client: Client, services: int, most: int, before: Sequence[Request] = ()) -> None:
        self._client = client
        self._services = services
        self._most = most
        self._before = tuple(before)

    def read(self, parts: Sequence[Part]) -> Session[list[bytes]]:
        """See `Access`."""
        found = [b""] * len(parts)
        for group in self._grouped(parts):
            octets = yield from self._read([piece for _, piece in group])
            for (place, _), data in zip(group, octets, strict=True):
                found[place] += data
        return found

    def write(self, table: int, data: bytes) -> Session[None]:
        """See `Access`."""
        yield from self._exchange([WriteFull(table, data)], f"write of table {table}")

    def _grouped(self, parts: Sequence[Part]) -> Iterator[list[tuple[int, Part]]]:
        """Pieces with the place of the part that they are of, as many as fit one answer."""
        group: list[tuple[int, Part]] = []
        size = 0
        for place, part in enumerate(parts):
            for piece in pieces(part, self._most):
                more = piece.size or 0
                if group and (len(group) == self._services or size + more > self._most):
                    yield group
                    group, size = [], 0
                group.append((place, piece))
                size += more
        if group:
            yield group

    def _read(self, group: Sequence[Part]) -> Session[list[bytes]]:
        try:
            subject = str(group[0]) if len(group) == 1 else f"tables {', '.join(str(part.table) for part in group)}"
            responses = yield from self._exchange([_request(part) for part in group], subject)
        except PeerError as error:
            if error.response not in _TOO_MUCH:
                raise
            return (yield from self._smaller(group, error))
        return [fitting(part, _octets(part, response)) for part, response in zip(group, responses, strict=True)]

    def _smaller(self, group: Sequence[Part], error: PeerError) -> Session[list[bytes]]:
        """Each part by itself; one alone in halves, where its size is known."""
        if len(group) > 1:
            found = []
            for part in group:
                found += yield from self._read([part])
            return found
        part = group[0]
        if part.indices or not part.size or part.size <= _SMALLEST:
            raise error
        self._most = min(self._most, (part.size + 1) // 2)
        octets = b""
        for piece in pieces(replace(part, offset=part.offset or 0), self._most):
            octets += (yield from self._read([piece]))[0]
        return [octets]

    def _exchange(self, requests: list[Request], subject: str) -> Session[list[object]]:
        asked = [*self._before, *requests]
        responses = yield from self._client.request(asked)
        return list(all_ok(responses, asked, subject)[len(self._before) :])


def pieces(part: Part, most: int) -> Iterator[Part]:
    """A part as pieces of at most so many octets; itself, where it fits or nobody knows its size."""
    if part.indices or part.size is None or part.size <= most:
        yield part
        return
    start = part.offset or 0
    for at in range(start, start + part.size, most):
        yield replace(part, offset=at, size=min(most, start + part.size - at))


def fitting(part: Part, octets: bytes) -> bytes:
    """The octets, if they are as many as were asked for. Raises DecodeError "table-size"."""
    if part.size is not None and len(octets) != part.size and (part.offset is not None or part.indices):
        detail = f"{part}: the meter gave {len(octets)} octets: the tables that size it are out of date, or were changed"
        raise DecodeError("table-size", detail)
    return octets


def _request(part: Part) -> Read:
    if part.indices:
        return ReadIndex(part.table, part.indices, part.count)
    if part.offset is None:
        return ReadFull(part.table)
    return ReadOffset(part.table, part.offset, part.size or 0)


def _octets(part: Part, response: object) -> bytes:
    if not isinstance(response, TableData):
        raise PeerError("peer-unexpected", f"{part}: the meter answered {type(response).__name__}: try again", retry=True)
    if not intact(response.data, response.sum):
        detail = f"{part}: the checksum is not that of its {len(response.data)} octets: read again"
        raise DecodeError("psem-checksum", detail)
    return response.data
