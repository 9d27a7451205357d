"""Tables of a meter as a model of it: what others are sized and explained by first, all of them in few exchanges."""

from __future__ import annotations

from collections.abc import Iterable

from connectors.gateway.drivers.c12_access import Access, Part
from connectors.gateway.session import Session
from connectors.protocols.c12.errors import DecodeError
from connectors.protocols.c12.tables.declarations import Catalog
from connectors.protocols.c12.tables.model import Model, needed_for, size_of

SOURCES = (12, 13, 14, 15, 16)
"""What sources of data are; a meter need not have all of them."""
CLOCK, OFFSET, CALENDAR, CLOCK_STATE = 52, 53, 54, 55
_TIME_LIMITS = 51


def learn(access: Access, model: Model | None, tables: Iterable[int], catalog: Catalog) -> Session[Model]:
    """The model with these tables, and those that size them, as far as it does not know them.

    Raises DecodeError: "table-not-listed" where the meter has no such table, "table-size" where one has not the octets that
    its declaration and the tables that size it say.
    """
    if model is None:
        (octets,) = yield from access.read([Part(0)])
        model = Model.of(octets, catalog)
    wanted = tuple(dict.fromkeys(tables))
    first = dict.fromkeys(number for table in wanted for number in needed_for(table, catalog) if number not in wanted)
    model = yield from _read(access, model, first)
    while late := [table for table in wanted if not model.has(table)]:
        # A table may size another that is wanted, too: what can be sized by now goes first.
        ready = [table for table in late if all(model.has(number) for number in needed_for(table, catalog))]
        model = yield from _read(access, model, ready or late[:1])
    return model


def again(access: Access, model: Model, tables: Iterable[int]) -> Session[Model]:
    """The model with these tables as they are now."""
    return (yield from _read(access, model, tables, known=True))


def listed(model: Model, tables: Iterable[int]) -> tuple[int, ...]:
    """Those of the tables that the meter has."""
    return tuple(table for table in tables if table in model.config.tables)


def clock_tables(model: Model, *, zone: bool) -> tuple[int, ...]:
    """The tables that say what the meter's clock keeps and, where its zone is not known, what that is."""
    shows = listed(model, (CLOCK,)) or (listed(model, (CLOCK_STATE,)) if _TIME_LIMITS in model.config.tables else ())
    own = listed(model, (OFFSET, CALENDAR)) if not zone and _TIME_LIMITS in model.config.tables else ()
    return shows + own


def _read(access: Access, model: Model, tables: Iterable[int], *, known: bool = False) -> Session[Model]:
    """Tables whose sizes are known, at once."""
    wanted = [table for table in tables if known or not model.has(table)]
    if not wanted:
        return model
    parts = []
    for table in wanted:
        if table not in model.config.tables:
            detail = f"table {table} is not in the meter's table 0: take it out of the job or the template"
            raise DecodeError("table-not-listed", detail)
        parts.append(Part(table, _size(table, model)))
    octets = yield from access.read(parts)
    for table, data in zip(wanted, octets, strict=True):
        model = model.with_octets(table, data)
    return model


def _size(table: int, model: Model) -> int | None:
    """Octets of a table; None where its own fields size it."""
    try:
        return size_of(table, model)
    except DecodeError as error:
        if error.code != "table-prerequisite":
            raise
        return None
