"""PSEM requests as values (ANSI C12.18, 5.2.2; C12.21, 5.2.2; C12.22, 5.3.2.4): a code, and the fields that follow it.

The services of C12.22's network (resolve, trace, register, deregister) are not here: they have no meaning on a C12.18 link.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from connectors.protocols.c12.errors import DecodeError
from connectors.protocols.c12.octets import number, padded, table_data

BAUDS = (0, 300, 600, 1200, 2400, 4800, 9600, 14400, 19200, 28800, 57600, 38400, 115200, 128000, 256000)
"""Rates by their code in negotiate; 0 is "defined elsewhere"."""

USER_SIZE, PASSWORD_SIZE = 10, 20
_MAX_INDICES, _MAX_BAUDS = 9, 11


class _Bare:
    """A service that is only its code."""

    __slots__ = ()

    def fields(self) -> bytes:
        """What follows the code."""
        return b""


@dataclass(frozen=True, slots=True)
class Identify(_Bare):
    """Who are you, and which standard do you speak?"""

    code: ClassVar[int] = 0x20


@dataclass(frozen=True, slots=True)
class Terminate(_Bare):
    """End the session at once, in whatever state it is."""

    code: ClassVar[int] = 0x21


@dataclass(frozen=True, slots=True)
class Disconnect(_Bare):
    """C12.22: leave the network segment."""

    code: ClassVar[int] = 0x22


@dataclass(frozen=True, slots=True)
class Logoff(_Bare):
    """End what logon began; the link stays."""

    code: ClassVar[int] = 0x52


@dataclass(frozen=True, slots=True)
class ReadDefault(_Bare):
    """Read the table that the meter gives without being told which."""

    code: ClassVar[int] = 0x3E


@dataclass(frozen=True, slots=True)
class ReadFull:
    """Read a whole table. Manufacturer tables are 2048 and above."""

    table: int
    code: ClassVar[int] = 0x30

    def fields(self) -> bytes:
        """What follows the code."""
        return number(self.table, 2, "table")


@dataclass(frozen=True, slots=True)
class ReadIndex:
    """Read `count` elements from the one that `indices` (one to nine) name."""

    table: int
    indices: tuple[int, ...]
    count: int

    @property
    def code(self) -> int:
        """31 to 39: how many indices there are."""
        return 0x30 + _index_count(self.indices)

    def fields(self) -> bytes:
        """What follows the code."""
        return number(self.table, 2, "table") + _indices(self.indices) + number(self.count, 2, "element count")


@dataclass(frozen=True, slots=True)
class ReadOffset:
    """Read `count` octets from `offset`."""

    table: int
    offset: int
    count: int
    code: ClassVar[int] = 0x3F

    def fields(self) -> bytes:
        """What follows the code."""
        return number(self.table, 2, "table") + number(self.offset, 3, "offset") + number(self.count, 2, "octet count")


@dataclass(frozen=True, slots=True)
class WriteFull:
    """Write a whole table. `sum` is what came as its checksum; None is the right one."""

    table: int
    data: bytes
    sum: int | None = None
    code: ClassVar[int] = 0x40

    def fields(self) -> bytes:
        """What follows the code."""
        return number(self.table, 2, "table") + table_data(self.data, self.sum)


@dataclass(frozen=True, slots=True)
class WriteIndex:
    """Write elements from the one that `indices` (one to nine) name."""

    table: int
    indices: tuple[int, ...]
    data: bytes
    sum: int | None = None

    @property
    def code(self) -> int:
        """41 to 49: how many indices there are."""
        return 0x40 + _index_count(self.indices)

    def fields(self) -> bytes:
        """What follows the code."""
        return number(self.table, 2, "table") + _indices(self.indices) + table_data(self.data, self.sum)


@dataclass(frozen=True, slots=True)
class WriteOffset:
    """Write octets from `offset`."""

    table: int
    offset: int
    data: bytes
    sum: int | None = None
    code: ClassVar[int] = 0x4F

    def fields(self) -> bytes:
        """What follows the code."""
        return number(self.table, 2, "table") + number(self.offset, 3, "offset") + table_data(self.data, self.sum)


@dataclass(frozen=True, slots=True)
class Logon:
    """Who asks. `idle_s` is C12.22's: how long the session may be idle; C12.18 and C12.21 have no such field (None)."""

    user_id: int
    user: bytes
    """Up to ten octets; filled up with spaces."""
    idle_s: int | None = None
    code: ClassVar[int] = 0x50

    def fields(self) -> bytes:
        """What follows the code."""
        idle = b"" if self.idle_s is None else number(self.idle_s, 2, "idle time-out")
        return number(self.user_id, 2, "user id") + padded(self.user, USER_SIZE, b" ", "user") + idle


@dataclass(frozen=True, slots=True)
class Security:
    """The password, in the clear. C12.22 may name the user it is for."""

    password: bytes = field(repr=False)
    """Up to twenty octets; filled up with NUL. Where a meter's is filled up with spaces, give all twenty."""
    user_id: int | None = None
    code: ClassVar[int] = 0x51

    def fields(self) -> bytes:
        """What follows the code."""
        user = b"" if self.user_id is None else number(self.user_id, 2, "user id")
        return padded(self.password, PASSWORD_SIZE, b"\0", "password") + user


@dataclass(frozen=True, slots=True)
class Authenticate:
    """Proof of a key (C12.21): the key id and the enciphered ticket."""

    data: bytes = field(repr=False)
    """With the ticket it is enough to search for a DES key."""
    code: ClassVar[int] = 0x53

    def fields(self) -> bytes:
        """What follows the code."""
        return number(len(self.data), 1, "authentication length") + self.data


@dataclass(frozen=True, slots=True)
class Negotiate:
    """The largest packet, how many of them for one service, and the rates (of `BAUDS`) that the line may change to."""

    packet_size: int
    packets: int
    bauds: tuple[int, ...] = ()

    @property
    def code(self) -> int:
        """60 to 6B: how many rates there are."""
        if len(self.bauds) > _MAX_BAUDS:
            raise DecodeError("psem-malformed", f"{len(self.bauds)} rates: at most {_MAX_BAUDS}")
        return 0x60 + len(self.bauds)

    def fields(self) -> bytes:
        """What follows the code."""
        return (
            number(self.packet_size, 2, "packet size")
            + number(self.packets, 1, "number of packets")
            + b"".join(baud_code(baud) for baud in self.bauds)
        )


@dataclass(frozen=True, slots=True)
class Wait:
    """Keep the session open for so many seconds without traffic, once."""

    seconds: int
    code: ClassVar[int] = 0x70

    def fields(self) -> bytes:
        """What follows the code."""
        return number(self.seconds, 1, "seconds")


@dataclass(frozen=True, slots=True)
class Timings:
    """C12.21: how patient the link is, in seconds, and how often it repeats. Asked, and answered with what holds."""

    traffic_s: int
    octet_s: int
    answer_s: int
    retries: int
    code: ClassVar[int] = 0x71

    def fields(self) -> bytes:
        """What follows the code."""
        pairs = ((self.traffic_s, "traffic"), (self.octet_s, "octet"), (self.answer_s, "answer"), (self.retries, "retries"))
        return b"".join(number(value, 1, name) for value, name in pairs)


Read = ReadFull | ReadIndex | ReadOffset | ReadDefault
Write = WriteFull | WriteIndex | WriteOffset
Request = (
    Identify | Terminate | Disconnect | Read | Write | Logon | Security | Logoff | Authenticate | Negotiate | Wait | Timings
)


def baud_code(baud: int) -> bytes:
    """The code of a rate."""
    if baud not in BAUDS:
        raise DecodeError("psem-malformed", f"{baud} is no rate of C12.18: {', '.join(map(str, BAUDS[1:]))}")
    return bytes((BAUDS.index(baud),))


def _index_count(indices: tuple[int, ...]) -> int:
    if not 1 <= len(indices) <= _MAX_INDICES:
        raise DecodeError("psem-malformed", f"{len(indices)} indices: one to {_MAX_INDICES}")
    return len(indices)


def _indices(indices: tuple[int, ...]) -> bytes:
    return b"".join(number(index, 2, "index") for index in indices)
