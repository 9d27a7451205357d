"""A meter's tables: what is declared, what table 0 says, and which tables were read so far."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from connectors.protocols.c12.errors import DecodeError
from connectors.protocols.c12.tables.catalog import STANDARD
from connectors.protocols.c12.tables.config import GenConfig, config_of, read_config
from connectors.protocols.c12.tables.context import Context
from connectors.protocols.c12.tables.decade0 import GEN_CONFIG
from connectors.protocols.c12.tables.declarations import MANUFACTURER, Catalog, Declaration
from connectors.protocols.c12.tables.layouts import encode, expressions_of, size
from connectors.protocols.c12.tables.reading import Element, Reader
from connectors.protocols.c12.tables.values import Record

_TABLE = re.compile(r"\b([A-Za-z_]\w*)\.")

MAX_DECODED = 1 << 20
"""Octets of a table that are taken apart field by field; load profiles are longer and have `profile` for it."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table out of its octets."""

    declaration: Declaration
    element: Element
    rest: bytes = b""
    """Octets after the last field that is declared."""

    @property
    def value(self) -> Record:
        """The fields."""
        if not isinstance(self.element.value, Record):
            raise TypeError(self.element)
        return self.element.value


@dataclass(frozen=True, slots=True)
class Model:
    """What is known of one meter. `known` holds tables by number; table 0 is always among them."""

    config: GenConfig
    known: Mapping[int, Record] = field(default_factory=lambda: MappingProxyType({}))
    catalog: Catalog = field(default=STANDARD, repr=False)

    @classmethod
    def of(cls, table0: bytes, catalog: Catalog = STANDARD) -> Model:
        """From the octets of table 0. Raises DecodeError as `config.read_config`."""
        return cls(read_config(table0), catalog=catalog)

    def learned(self, number: int, fields: Record) -> Model:
        """The same with one table more; a table 0 replaces the configuration."""
        if number == 0:
            return replace(self, config=config_of(fields), known=MappingProxyType(dict(self.known)))
        return replace(self, known=MappingProxyType({**self.known, number: fields}))

    def with_octets(self, number: int, data: bytes) -> Model:
        """The same with a table read. Raises DecodeError as `decode_table`."""
        return self.learned(number, decode_table(number, data, self).value)

    def table(self, number: int) -> Record:
        """A table that was read. Raises DecodeError "table-prerequisite" where it was not."""
        if number == 0:
            return self.config.record
        try:
            return self.known[number]
        except KeyError:
            detail = f"table {number} ({_name(self, number)}) is needed and was not read: read it first"
            raise DecodeError("table-prerequisite", detail) from None

    def has(self, number: int) -> bool:
        """Whether a table was read."""
        return number == 0 or number in self.known

    def declaration(self, number: int) -> Declaration:
        """How a table is made. Raises DecodeError "table-unknown"."""
        try:
            return self.catalog.tables[number]
        except KeyError:
            raise _undeclared(number) from None

    def context(self) -> Context:
        """To read or write fields of this meter with."""
        tables = {
            self.catalog.tables[number].name: fields
            for number, fields in self.known.items()
            if number in self.catalog.tables
        }
        return Context(self.config.formats, {**tables, GEN_CONFIG.name: self.config.record})


def _undeclared(number: int) -> DecodeError:
    whose = f"manufacturer table {number - MANUFACTURER}" if number >= MANUFACTURER else f"table {number}"
    return DecodeError("table-unknown", f"{whose} is not declared: add a declaration to the template")


def _name(model: Model, number: int) -> str:
    declaration = model.catalog.tables.get(number)
    return declaration.name if declaration else "not declared"


def needed_for(number: int, catalog: Catalog = STANDARD) -> tuple[int, ...]:
    """The tables that must be read before a table can be, in order; table 0 goes without saying.

    Raises DecodeError "table-unknown" where one of them is not declared.
    """
    numbers = {declaration.name: declaration.number for declaration in catalog.tables.values()}
    found: dict[int, None] = {}

    def visit(at: int, path: frozenset[int]) -> None:
        if at not in catalog.tables:
            raise _undeclared(at)
        names = {name for text in expressions_of(catalog.tables[at].layout) for name in _TABLE.findall(text)}
        for name in sorted(names - {GEN_CONFIG.name}):
            other = numbers.get(name)
            if other is None:
                raise DecodeError("table-unknown", f"table {at} depends on {name}, which is not declared")
            if other not in path:
                visit(other, path | {other})
                found[other] = None

    visit(number, frozenset((number,)))
    return tuple(found)


def decode_table(number: int, data: bytes, model: Model) -> Table:
    """A table out of its octets.

    Raises DecodeError: "table-unknown" where it is not declared, "table-prerequisite" where a table that sizes it was not
    read, "table-size" where the octets are fewer or more than the declaration says, "table-value" or "table-format" where
    a field cannot be read.
    """
    declaration = model.declaration(number)
    if len(data) > MAX_DECODED:
        raise DecodeError("table-size", f"table {number}: {len(data)} octets, the most is {MAX_DECODED}: read it in parts")
    reader = Reader(data, model.context())
    try:
        element = reader.read(declaration.name, declaration.layout)
    except DecodeError as error:
        raise DecodeError(error.code, f"table {number}: {error.detail}") from None
    rest = data[reader.at :]
    if rest and not declaration.extensible:
        detail = f"table {number}: {len(data)} octets, {reader.at} were expected: the tables that size it are out of date"
        raise DecodeError("table-size", detail)
    return Table(declaration, element, rest)


def encode_table(number: int, fields: Record, model: Model, rest: bytes = b"") -> bytes:
    """The octets of a table, the opposite of `decode_table`. Raises DecodeError: "table-value" where a field is missing,
    too many or does not fit, and as `decode_table`.
    """
    declaration = model.declaration(number)
    if rest and not declaration.extensible:
        raise DecodeError("table-size", f"table {number} has no octets after its last field: give none")
    try:
        return encode(declaration.layout, fields, model.context()) + rest
    except DecodeError as error:
        raise DecodeError(error.code, f"table {number}: {error.detail}") from None


def size_of(number: int, model: Model) -> int:
    """Octets of a table by its declaration; without those that an extensible one may add.

    Raises DecodeError: "table-not-listed" where table 0 does not list it, else as `decode_table`.
    """
    if number not in model.config.tables:
        raise DecodeError("table-not-listed", f"table {number} is not in the meter's table 0: take it out of the template")
    context = model.context()
    context.frames.append(model.known.get(number, model.config.record if number == 0 else {}))
    try:
        return size(model.declaration(number).layout, context)
    except DecodeError as error:
        raise DecodeError(error.code, f"table {number}: {error.detail}") from None


def elements_at(number: int, data: bytes, offset: int, model: Model) -> tuple[Element, ...]:
    """The fields that lie wholly in a part of a table, as partial reads and writes by offset carry it.

    Raises DecodeError as `decode_table`; fields outside the part are not looked at.
    """
    whole, end = size_of(number, model), offset + len(data)
    if offset < 0 or end > whole:
        detail = f"table {number}: octets {offset} to {end} of {whole}: another table, or the sizes are out of date"
        raise DecodeError("table-size", detail)
    if len(data) > MAX_DECODED:
        raise DecodeError("table-size", f"table {number}: {len(data)} octets, the most is {MAX_DECODED}: read it in parts")
    reader = Reader(data, model.context(), part=range(offset, end))
    declaration = model.declaration(number)
    return tuple(_within(reader.read(declaration.name, declaration.layout), offset, end))


def _within(element: Element, start: int, end: int) -> list[Element]:
    if start <= element.at and element.at + element.size <= end and element.size:
        return [element]
    if element.at >= end or element.at + element.size <= start:
        return []
    return [found for child in element.children for found in _within(child, start, end)]
