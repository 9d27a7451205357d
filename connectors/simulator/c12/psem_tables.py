"""What a simulated meter knows, as octets: the seam between its link and whatever makes its tables."""

from __future__ import annotations

from collections.abc import Callable, Collection, MutableMapping
from typing import Protocol

from connectors.protocols.c12 import responses


class Refusal(Exception):  # noqa: N818 - a meter refuses, nothing is wrong with it
    """A response code other than OK."""

    def __init__(self, code: int) -> None:
        super().__init__(responses.name_of(code))
        self.code = code


class Tables(Protocol):
    """A meter's tables as octets. Each method raises `Refusal` with the response code."""

    def read(self, table: int) -> bytes:
        """All octets of a table."""

    def read_elements(self, table: int, indices: tuple[int, ...], count: int) -> bytes:
        """The octets of `count` elements from the one that `indices` name."""

    def write(self, table: int, offset: int, data: bytes) -> None:
        """Octets of a table, from `offset`. What a table does (a procedure) is done by the time this returns."""

    def write_elements(self, table: int, indices: tuple[int, ...], data: bytes) -> None:
        """The octets of elements from the one that `indices` name."""


class OctetTables:
    """Tables that are nothing but octets. Elements by index need a table's declaration, which is not here: refused."""

    def __init__(self, octets: MutableMapping[int, bytes], writable: Collection[int] = ()) -> None:
        self.octets = octets
        self.writable = writable
        self.written: Callable[[int], None] = lambda table: None  # noqa: ARG005 - a hook's signature
        """Called after a table was written."""

    def read(self, table: int) -> bytes:
        """See `Tables`."""
        if table not in self.octets:
            raise Refusal(responses.IAR)
        return self.octets[table]

    def read_elements(self, table: int, indices: tuple[int, ...], count: int) -> bytes:  # noqa: ARG002 - its signature
        """See `Tables`."""
        raise Refusal(responses.SNS)

    def write(self, table: int, offset: int, data: bytes) -> None:
        """See `Tables`. A table keeps its size, but one that is not there yet gets it by being written."""
        if table not in self.writable:
            raise Refusal(responses.IAR)
        before = self.octets.get(table, b"")
        if offset > len(before) or (before and offset + len(data) > len(before)):
            raise Refusal(responses.ONP)
        self.octets[table] = before[:offset] + data + before[offset + len(data) :]
        self.written(table)

    def write_elements(self, table: int, indices: tuple[int, ...], data: bytes) -> None:  # noqa: ARG002 - its signature
        """See `Tables`."""
        raise Refusal(responses.SNS)
