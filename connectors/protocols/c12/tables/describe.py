"""A table as a tree of fields, for people."""

from __future__ import annotations

from connectors.protocols.c12.tables.model import Table
from connectors.protocols.c12.tables.reading import Element
from connectors.protocols.c12.tables.times import TableTime
from connectors.protocols.c12.tables.values import MASKED, Record, Value
from connectors.protocols.c12.tree import Node

MAX_ITEMS = 64
"""Items of an array that are shown one by one; the others are counted."""


def describe(table: Table, data: bytes, offset: int = 0) -> Node:
    """The fields of a table with what they mean and where they stand. `data` are the octets that it was decoded from,
    `offset` where they begin in a message. Secrets are asterisks, in value and octets.
    """
    declaration = table.declaration
    children = [_node(child, data, offset) for child in table.element.children]
    if table.rest:
        at = table.element.size
        children.append(Node("not declared", table.rest.hex().upper(), table.rest, (), offset + at))
    name = f"table {declaration.number} {declaration.name}"
    shown = b"*" * len(data) if _secret(table.element) else data
    return Node(name, declaration.title, shown, tuple(children), offset)


def _secret(element: Element) -> bool:
    return element.secret or any(_secret(child) for child in element.children)


def _node(element: Element, data: bytes, offset: int) -> Node:
    octets = data[element.at : element.at + element.size]
    if _secret(element):
        octets = b"*" * len(octets)
    if isinstance(element.value, Record) and not element.children:
        bits = tuple(
            Node(name or "not named", _text(value), b"", (), offset + element.at) for name, value in element.value.items()
        )
        return Node(element.name, _flags(element.value), octets, bits, offset + element.at)
    children = tuple(_node(child, data, offset) for child in element.children[:MAX_ITEMS])
    text = _text(element.value)
    if isinstance(element.value, tuple):
        more = len(element.children) - MAX_ITEMS
        text = f"{len(element.value)} items" + (f", {more} not shown" if more > 0 else "")
    return Node(element.name, text, octets, children, offset + element.at)


def _flags(value: Record) -> str:
    return ", ".join(name for name, bit in value.items() if bit is True)


def _text(value: Value) -> str:  # noqa: PLR0911 - one arm for each kind of value
    match value:
        case Record() | tuple():
            return ""
        case bool():
            return "true" if value else "false"
        case bytes():
            return value.hex().upper()
        case str():
            return value if value == MASKED else repr(value.rstrip(" \0"))[1:-1]
        case frozenset():
            return _ranges(sorted(value))
        case TableTime() | None:
            return str(value or "none")
        case _:
            return str(value)


def _ranges(numbers: list[int]) -> str:
    """Numbers with runs drawn together: "0 to 8, 11, 12"."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    parts = (f"{run[0]} to {run[-1]}" if len(run) > 2 else ", ".join(map(str, run)) for run in runs)
    return ", ".join(parts)
