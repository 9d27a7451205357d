"""Lists and rings of entries: self reads, logs, blocks of load profiles (C12.19, LIST_STATUS_BFLD)."""

from __future__ import annotations

from connectors.protocols.c12.errors import DecodeError
from connectors.protocols.c12.tables.values import Record


def oldest_first(newest: int, valid: int, total: int, *, ascending: bool) -> list[int]:
    """The elements of the valid entries. In ascending order an entry's elder stands before it, in descending order behind
    it, and the array's ends meet; a list that is no ring yet is the same.
    """
    step = -1 if ascending else 1
    return [(newest + step * age) % total for age in reversed(range(valid))]


def valid_entries(fields: Record, entries: str) -> list[tuple[int, Record]]:
    """The valid entries of a list table, oldest first, each with its element. Raises DecodeError "table-shape" where the
    list's own figures contradict each other.
    """
    items = fields.records(entries)
    valid, newest = fields.integer("NBR_VALID_ENTRIES"), fields.integer("LAST_ENTRY_ELEMENT")
    if valid > len(items) or (valid and newest >= len(items)):
        detail = f"{valid} valid entries, the newest is element {newest}, of {len(items)}: read the list again"
        raise DecodeError("table-shape", detail)
    order = fields.integer("ORDER")
    return [(at, items[at]) for at in oldest_first(newest, valid, len(items), ascending=order == 0)]
