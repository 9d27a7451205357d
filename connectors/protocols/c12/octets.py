"""Fields in and out of the octets of one PSEM service: each length is checked before anything is taken."""

from __future__ import annotations

from connectors.protocols.c12.errors import DecodeError


class Octets:
    """The octets of `what`, read from the front."""

    __slots__ = ("_at", "_data", "_what")

    def __init__(self, data: bytes, what: str) -> None:
        self._data, self._what, self._at = data, what, 0

    @property
    def left(self) -> int:
        """How many octets are left."""
        return len(self._data) - self._at

    @property
    def at(self) -> int:
        """How many octets were read."""
        return self._at

    def take(self, size: int, field: str) -> bytes:
        """`size` octets. Raises DecodeError "psem-truncated"."""
        if size > self.left:
            detail = (
                f"{self._what}: {field} needs {size} octets, {self.left} are left: the line loses octets, or another service"
            )
            raise DecodeError("psem-truncated", detail)
        self._at += size
        return self._data[self._at - size : self._at]

    def number(self, size: int, field: str) -> int:
        """A number of `size` octets, highest first: PSEM's own fields do not follow the byte order of table 0."""
        return int.from_bytes(self.take(size, field), "big")

    def rest(self) -> bytes:
        """All that is left."""
        return self.take(self.left, "rest")

    def end(self) -> None:
        """Nothing may be left. Raises DecodeError "psem-malformed"."""
        if self.left:
            detail = f"{self._what}: {self.left} octets too many: another service, or of another standard than is thought"
            raise DecodeError("psem-malformed", detail)


def number(value: int, size: int, field: str) -> bytes:
    """`value` as `size` octets. Raises DecodeError "psem-malformed" where it does not fit."""
    if not 0 <= value < 1 << 8 * size:
        raise DecodeError("psem-malformed", f"{field} {value} is not within 0…{(1 << 8 * size) - 1}")
    return value.to_bytes(size, "big")


def padded(octets: bytes, size: int, fill: bytes, field: str) -> bytes:
    """`octets` filled up to `size`. Raises DecodeError "psem-malformed" where they are more."""
    if len(octets) > size:
        raise DecodeError("psem-malformed", f"{field} of {len(octets)} octets: at most {size}")
    return octets.ljust(size, fill)


def checksum(data: bytes) -> int:
    """A table's checksum: the two's complement of the sum of its octets."""
    return -sum(data) & 0xFF


def intact(data: bytes, came: int | None) -> bool:
    """Whether `came` is the checksum of a table's octets; None stands for the right one."""
    return came is None or came == checksum(data)


def table_data(data: bytes, sum_: int | None = None) -> bytes:
    """A table as read responses and write requests carry it: count, octets, checksum."""
    return number(len(data), 2, "octet count") + data + bytes((checksum(data) if sum_ is None else sum_ & 0xFF,))
