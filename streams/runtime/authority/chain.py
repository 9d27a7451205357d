"""The audit chain: each entry holds the hash of the one before, so that none can be changed, left out or put in unseen.

Each fenced writer has a chain of its own on hes.audit, told by `AuditEntry.chain`: two writers could not agree on one end.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
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
    chain: str = ""


def linked(entry: AuditEntry, after: Link) -> AuditEntry:
    """The entry as the next of the chain. Its id follows from where it stands and what it states."""
    name = f"{entry.chain}-{after.sequence + 1:012d}" if entry.chain else f"{after.sequence + 1:012d}"
    placed = replace(entry, sequence=after.sequence + 1, previous_hash=after.hash, id=name)
    return replace(placed, hash=entry_hash(placed))


def link_of(entry: AuditEntry) -> Link:
    """Where a chain ends whose last entry this is."""
    return Link(entry.sequence, entry.hash)


def walk(entries: Iterable[AuditEntry], start: Link = START, chain: str = "") -> Iterator[Link | Break]:
    """The links of one chain, one an entry, until the first break, which is the last that comes."""
    for _, found in walk_all((entry for entry in entries if entry.chain == chain), {chain: start}):
        yield found


def walk_all(entries: Iterable[AuditEntry], starts: Mapping[str, Link] = {}) -> Iterator[tuple[str, Link | Break]]:
    """The links of all chains as they come, each with its chain, until the first break, which is the last that comes."""
    ends = dict(starts)
    for entry in entries:
        at = ends.get(entry.chain, START)
        what = _broken(entry, at)
        if what:
            yield entry.chain, Break(at.sequence + 1, what, entry.chain)
            return
        ends[entry.chain] = link_of(entry)
        yield entry.chain, ends[entry.chain]


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
