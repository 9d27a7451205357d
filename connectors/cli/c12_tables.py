"""Tables of C12.19 in octets that were listened to: what was seen of a meter so far explains what comes next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from connectors.protocols.c12.errors import C12Error
from connectors.protocols.c12.tables.catalog import STANDARD
from connectors.protocols.c12.tables.declarations import Catalog
from connectors.protocols.c12.tables.describe import describe
from connectors.protocols.c12.tables.model import Model, Table, decode_table, elements_at
from connectors.protocols.c12.tables.procedures import INITIATE, RESPONSE, read_request, read_result
from connectors.protocols.c12.tables.reading import Element
from connectors.protocols.c12.tables.values import Record
from connectors.protocols.c12.tree import Node

_NUMBER = 0x0FFF  # and whose it is; the bits above say that a write is pending
_PENDING = 0x1000
_UNKNOWN = frozenset(("table-prerequisite", "table-unknown", "table-not-listed"))
"""Not the octets' fault: somebody listened to a part of the conversation only."""
_TEXTS = (1, 5, 6)
"""Tables of the standard that table 0 says little about: the byte order of nothing, and whether texts are BCD."""
_USUAL_0 = bytes((0b0000_0010, 0b0000_0001, 0)) + bytes(4) + bytes((2, 0, 0, 0, 2, 0, 1, 0, 0, 0, 0, 0, 0b0110_0010, 0))
"""A table 0 as most meters begin theirs: lowest octet first, texts of seven bits, identifications as text."""
_USUAL = "as most meters have it: its table 0 was not seen"


class SeenTables:
    """The tables of one meter, as a `TableReader`: what it is shown it learns from, so show messages in their order."""

    def __init__(self, catalog: Catalog = STANDARD, assumed: Mapping[int, bytes] | None = None) -> None:
        """`assumed` are octets of tables of such a meter, by which it is read until its own were seen."""
        self._model: Model | None = None
        self._catalog = catalog
        for number, octets in sorted((assumed or {}).items()):
            self._learn(number, octets)

    def __call__(self, number: int, data: bytes, at: int) -> Sequence[Node]:
        """The fields of a table's first octets that stand at `at`; else why there are none."""
        if number & _PENDING:
            return ()
        number &= _NUMBER
        self._learn(number, data)
        if self._model is not None:
            return self._fields(self._model, number, data, at)
        if number not in _TEXTS:
            return (Node("not taken apart", "table 0 of the meter was not seen", offset=at),)
        try:
            found = _part(Model.of(_USUAL_0, self._catalog), number, data)
        except C12Error as error:
            return (Node("not taken apart", f"{error.code}: {error.detail}", offset=at),)
        shown = describe(found, data, at)
        return (replace(shown, value=f"{shown.value}, {_USUAL}"),)

    def _learn(self, number: int, data: bytes) -> None:
        """A table seen whole; what cannot be read is no reason to forget what was."""
        try:
            if number == 0:
                known = self._model.known if self._model is not None else {}
                self._model = replace(Model.of(data, self._catalog), known=known)
            elif self._model is not None:
                self._model = self._model.with_octets(number, data)
        except C12Error:
            return

    def _fields(self, model: Model, number: int, data: bytes, at: int) -> Sequence[Node]:
        try:
            found = _procedure(model, number, data) if number in (INITIATE, RESPONSE) else _part(model, number, data)
        except C12Error as error:
            name = "not taken apart" if error.code in _UNKNOWN else "error"
            return (Node(name, f"{error.code}: {error.detail}", offset=at),)
        return (describe(found, data, at),)


def _part(model: Model, number: int, data: bytes) -> Table:
    """A table, or as much of it as its first octets are: it may have been read in part."""
    try:
        return decode_table(number, data, model)
    except C12Error as error:
        if error.code != "table-size":
            raise
        try:
            elements = elements_at(number, data, 0, model)
        except C12Error:
            raise error from None
    end = max((element.at + element.size for element in elements), default=0)
    whole = Element(model.declaration(number).name, 0, end, Record({}), elements)
    return Table(model.declaration(number), whole, data[end:])


def _procedure(model: Model, number: int, data: bytes) -> Table:
    """Table 7 or 8 with the procedure's own fields behind those that every procedure has."""
    table = decode_table(number, data, model)
    if number == INITIATE:
        request = read_request(data, model)
        more, rest = request.parameters, request.rest
    else:
        result = read_result(data, model)
        more, rest = result.response, result.rest
    if more is None or not more.size:
        return table
    children = (*table.element.children, more)
    return Table(table.declaration, replace(table.element, size=table.element.size + more.size, children=children), rest)
