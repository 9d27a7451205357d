"""The audit chain: each entry holds the hash of the one before, so that none can be changed, left out or put in unseen."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from schemas.records import AuditEntry
from schemas.signatures import entry_hash

GENESIS = bytes(32)
"""What the first entry names as the hash before it."""


@dataclass(frozen=True, slots=True)
class Link:
    """Where the chain ends: the sequence and hash of its last entry."""

    sequence: int = 0
    hash: bytes = GENESIS


START = Link()
"""Of a chain that has no entry yet."""


@dataclass(frozen=True, slots=True)
class Break:
    """Where a chain does not hold."""

    sequence: int
    """Expected there."""
    what: str


def linked(entry: AuditEntry, after: Link) -> AuditEntry:
    """The entry as the next of the chain. Its id follows from where it stands and what it states."""
    placed = replace(entry, sequence=after.sequence + 1, previous_hash=after.hash, id=f"{after.sequence + 1:012d}")
    return replace(placed, hash=entry_hash(placed))


def link_of(entry: AuditEntry) -> Link:
    """Where a chain ends whose last entry this is."""
    return Link(entry.sequence, entry.hash)


def walk(entries: Iterable[AuditEntry], start: Link = START) -> Iterator[Link | Break]:
    """The links of a chain, one an entry, until the first break, which is the last that comes."""
    at = start
    for entry in entries:
        what = _broken(entry, at)
        if what:
            yield Break(at.sequence + 1, what)
            return
        at = link_of(entry)
        yield at


def _broken(entry: AuditEntry, at: Link) -> str:
    if entry_hash(entry) != entry.hash:
        return f"entry {entry.sequence} ({entry.action} {entry.subject}) was altered: its hash is not that of what it states"
    if entry.sequence > at.sequence + 1:
        return f"entries {at.sequence + 1} to {entry.sequence - 1} are missing"
    if entry.sequence <= at.sequence:
        return f"entry {entry.sequence} ({entry.action} {entry.subject}) stands a second time; it was put in"
    if entry.previous_hash != at.hash:
        return f"entry {entry.sequence} ({entry.action} {entry.subject}) does not follow the one before; one was replaced"
    return ""
