"""A table's declaration: its name and what its octets are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from connectors.protocols.c12.tables.layouts import Member, RecordType, When

MANUFACTURER = 2048
"""Number of the first manufacturer table; standard tables are below."""


@dataclass(frozen=True, slots=True)
class Declaration:
    """One table."""

    number: int
    name: str
    """As expressions name it, such as ACT_LP_TBL."""
    title: str
    layout: RecordType
    extensible: bool = False
    """Whether later editions of the standard, or makers, append fields: surplus octets are kept and not an error."""


def table(number: int, name: str, title: str, *members: Member | When, extensible: bool = False) -> Declaration:
    """A declaration."""
    return Declaration(number, name, title, RecordType(members), extensible)


@dataclass(frozen=True, slots=True)
class ProcedureDeclaration:
    """One procedure: what is given to it and what it answers."""

    number: int
    title: str
    request: RecordType
    response: RecordType


@dataclass(frozen=True, slots=True)
class EventDeclaration:
    """One event code. `kind` and `severity` are names of the records' enums; an empty kind is no alarm."""

    name: str
    kind: str = ""
    severity: str = "INFO"
    event_type: str = ""
    """IEC 61968-9 end device event type; empty where none fits."""


@dataclass(frozen=True, slots=True)
class Catalog:
    """All that is declared for a type of meter."""

    tables: Mapping[int, Declaration]
    procedures: Mapping[int, ProcedureDeclaration] = field(default_factory=dict)
    events: Mapping[int, EventDeclaration] = field(default_factory=dict)
    """Manufacturers' are from `MANUFACTURER` on, as with tables."""

    def extended(self, other: Catalog) -> Catalog:
        """Both; what the other declares goes before."""
        return Catalog(
            {**self.tables, **other.tables}, {**self.procedures, **other.procedures}, {**self.events, **other.events}
        )
