"""The key store in one encrypted file: SQLite, each entry sealed by itself (`key_entries`).

Opening it reads nothing but a check of the master key, however many entries there are: a million take no longer than ten.
A few entries are written in place, in one transaction. Many are written to a copy that then takes the file's place, so that
nobody who reads waits for an import. Writers wait for each other by a lock beside the file; the journal is of the kind that
readers on a read-only mount and on network file systems can do with.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from pathlib import Path
from typing import Any

from connectors.gateway.errors import KeyStoreError
from connectors.gateway.key_entries import Seal, pack, unpack
from connectors.gateway.key_file_format import (
    BUSY_S,
    CHANGE,
    ENTRY,
    connect,
    create,
    is_database,
    opened,
    plain_rows,
    replacing,
    stamp_of,
    translated,
)
from connectors.protocols.dlms.meter_keys import MeterKeys
from connectors.protocols.dlms.objects.security_setup import KeyEvent, KeyState, advance
from streams.runtime.clock import Clock, SystemClock

_LOOK_EVERY_S = 1.0
_MOST_RECENT = 65_536
"""Entries that are kept, sealed, since they were asked for."""
_FEW = 1_000
"""Entries that are written in place at once: a commit of so many takes milliseconds."""
_INSERT = {
    ENTRY: "INSERT OR REPLACE INTO entries VALUES (?, ?)",
    CHANGE: "INSERT OR REPLACE INTO changes VALUES (?, ?, ?, ?)",
}
_DELETE = "DELETE FROM changes WHERE ref = ?"
_UNASKED = object()
_OPEN = (KeyState.PENDING, KeyState.RECOVERED)
"""States in which the old keys are known to hold."""


@dataclass(frozen=True, slots=True)
class Pending:
    """New keys of a meter, and where their change stands."""

    keys: MeterKeys = field(repr=False)
    state: KeyState
    at: int
    """Since when, milliseconds."""


class FileKeyStore:
    """See `keystore.KeyStore` and `keystore.KeyChanges`. Threads may share one."""

    def __init__(self, path: Path, master_key: bytes, clock: Clock) -> None:
        self._path = path
        self._seal = Seal(master_key)
        self._clock = clock
        self._reader: sqlite3.Connection | None = None
        self._stamp: tuple[int, int, int] | None = None
        self._look_at = 0.0
        self._reading = threading.Lock()
        self._recent: dict[str, bytes] = {}
        self._under_way: dict[str, Any] = {}
        """Rows of changes since they were asked for; None where there is none, as with nearly every meter."""

    @classmethod
    def open(cls, path: str | Path, master_key: bytes, clock: Clock | None = None) -> FileKeyStore:
        """The store in `path`; an empty one where there is no file yet. `KeyStoreError` where it cannot be read."""
        store = cls(Path(path), master_key, clock or SystemClock())
        store._reopen()
        return store

    def get(self, ref: str) -> MeterKeys | None:
        """The keys under a reference. A missing one has the file looked at, at most once a second."""
        sealed = self._sealed(ref)
        if sealed is None and self.refresh():
            sealed = self._sealed(ref)
        return None if sealed is None else unpack(opened(self._path, self._seal, ENTRY, ref, sealed))

    def refresh(self) -> bool:
        """Whether the file changed; at most once a second. One that cannot be read leaves what is known."""
        now = self._clock.monotonic()
        if now < self._look_at:
            return False
        self._look_at = now + _LOOK_EVERY_S
        if stamp_of(self._path) == self._stamp:
            return False
        try:
            self._reopen()
        except KeyStoreError:
            return False
        return True

    def put_many(self, keys: Mapping[str, MeterKeys], *, over_made: bool = False) -> dict[str, tuple[str, ...]]:
        """Add entries, or what is given of them: all or, on an error, none. Others that write the same file are waited for.
        What is left as it was, see `kept`, by key reference; with `over_made` also keys that the gateway made are replaced.

        KeyStoreError where keys belong to another meter already.
        """
        with self._locked():
            self._reopen()
            left = {ref: names for ref, value in keys.items() if (names := self.kept(ref, value, over_made=over_made))}
            merged = {ref: self._merged(ref, value, left.get(ref, ())) for ref, value in keys.items()}
            rows = [(ref, self._seal.sealed(ENTRY, ref, pack(value))) for ref, value in merged.items()]
            self._write([(_INSERT[ENTRY], rows)])
        return left

    def kept(self, ref: str, keys: MeterKeys, *, over_made: bool = False) -> tuple[str, ...]:
        """Names of keys that stay, though `keys` has others: the gateway made them, and only the meter has them too; or they
        are being changed.
        """
        held, change = self.get(ref), self.pending(ref)
        if held is None:
            return ()
        changing = change is not None and change.state is not KeyState.LOST
        stays = keys.given if changing else () if over_made else held.made.split()
        return tuple(name for name in keys.given if name in stays and getattr(keys, name) != getattr(held, name))

    def owner(self, ref: str) -> str:
        """The id of the meter whose keys are under a reference; "" where there are none, or nobody said."""
        held = self.get(ref)
        return "" if held is None else held.meter

    def pending(self, ref: str) -> Pending | None:
        """See `keystore.KeyChanges`."""
        row = self._under_way.get(ref, _UNASKED)
        if row is _UNASKED:
            kept = self._under_way  # a file that is read anew meanwhile has another
            if len(kept) >= _MOST_RECENT:
                kept.clear()
            row = kept[ref] = self._row("SELECT sealed, state, at FROM changes WHERE ref = ?", ref)
        if row is None:
            return None
        return Pending(unpack(opened(self._path, self._seal, CHANGE, ref, row[0])), KeyState(row[1]), row[2])

    def changes(self) -> dict[str, KeyState]:
        """Every change that is under way, by key reference."""
        with self._reading:
            rows = (
                []
                if self._reader is None
                else _asked(self._path, self._reader, "SELECT ref, state FROM changes ORDER BY ref")
            )
        return {ref: KeyState(state) for ref, state in rows}

    def propose(self, ref: str, keys: MeterKeys) -> Pending:
        """See `keystore.KeyChanges`."""
        with self._locked():
            self._reopen()
            held, change = self.get(ref), self.pending(ref)
            if held is None:
                raise KeyStoreError(f"there are no keys under {ref!r} to be changed; import the meter's keys first")
            if change is not None and change.state not in _OPEN:
                raise KeyStoreError(
                    f"a change of the keys under {ref!r} is {change.state.value}: find out which keys hold before the next"
                )
            made = " ".join(sorted({*held.made.split(), *keys.given}))
            new = replace(keys.over(held), made=made)
            return self._keep(ref, Pending(new, KeyState.PENDING, self._clock.now_ms()))

    def note(self, ref: str, event: KeyEvent, of: Pending | None = None) -> KeyState:
        """See `keystore.KeyChanges`."""
        with self._locked():
            self._reopen()
            change = self._change(ref)
            if of is not None and change.keys != of.keys:
                raise KeyStoreError(f"the change of the keys under {ref!r} is another one by now")
            state = advance(change.state, event)
            if state is KeyState.ACTIVATED:
                self._promote(ref, change)
            else:
                self._keep(ref, Pending(change.keys, state, self._clock.now_ms()))
            return state

    def promote(self, ref: str) -> None:
        """See `keystore.KeyChanges`."""
        with self._locked():
            self._reopen()
            self._promote(ref, self._change(ref))

    def drop(self, ref: str) -> None:
        """See `keystore.KeyChanges`."""
        with self._locked():
            self._reopen()
            self._write([(_DELETE, [(ref,)])])

    def rekey(self, master_key: bytes) -> int:
        """Seal everything under another master key; how many entries there were, changes under way included.

        The new file is written beside the old one, read back entry by entry, and only then takes its place.
        """
        seal = Seal(master_key)
        with self._locked():
            self._reopen()
            beside = self._beside()
            count = 0
            with self._reading, replacing(self._path, beside):
                target = create(beside, seal)
                with closing(target), target:
                    for kind, ref, plain, *rest in plain_rows(self._path, self._reader, self._seal):
                        target.execute(_INSERT[kind], (ref, *rest, seal.sealed(kind, ref, plain)))
                        count += 1
                self._compare(beside, seal)
            self._seal = seal
            self._reopen()
        return count

    def __contains__(self, ref: str) -> bool:
        return self._row("SELECT 1 FROM entries WHERE ref = ?", ref) is not None

    def __len__(self) -> int:
        with self._reading:
            found = [] if self._reader is None else _asked(self._path, self._reader, "SELECT count(*) FROM entries")
        return int(found[0][0]) if found else 0

    def __repr__(self) -> str:
        return f"FileKeyStore({str(self._path)!r})"

    # -- reading ---------------------------------------------------------------------------------------------------------

    def _sealed(self, ref: str) -> bytes | None:
        recent = self._recent  # a file that is read anew meanwhile has another
        known = recent.get(ref)
        if known is None and (row := self._row("SELECT sealed FROM entries WHERE ref = ?", ref)) is not None:
            if len(recent) >= _MOST_RECENT:
                recent.clear()
            known = recent[ref] = row[0]
        return known

    def _row(self, question: str, ref: str) -> Any:
        with self._reading:
            found = [] if self._reader is None else _asked(self._path, self._reader, question, ref)
        return found[0] if found else None

    def _reopen(self) -> None:
        """Read from the file as it is now. What was read from before stays where that fails."""
        stamp = stamp_of(self._path)
        reader = None if stamp is None else connect(self._path, self._seal)
        with self._reading:
            before, self._reader, self._stamp = self._reader, reader, stamp
            self._recent, self._under_way = {}, {}
            if before is not None:
                before.close()

    # -- writing: under the lock -----------------------------------------------------------------------------------------

    def _merged(self, ref: str, value: MeterKeys, left: tuple[str, ...]) -> MeterKeys:
        if not ref:
            raise KeyStoreError("a key reference must not be empty")
        held = self.get(ref)
        if held is None:
            return value
        if held.meter and value.meter and held.meter != value.meter:
            raise KeyStoreError(
                f"the keys under {ref!r} are those of meter {held.meter}, not of {value.meter}: give each meter a key "
                "reference and keys of its own"
            )
        nothing: dict[str, Any] = dict.fromkeys(left)
        value = replace(value, **nothing)
        made = [name for name in held.made.split() if getattr(value, name) in (None, getattr(held, name))]
        return replace(value.over(held), made=" ".join(made))

    def _change(self, ref: str) -> Pending:
        change = self.pending(ref)
        if change is None:
            raise KeyStoreError(f"no change of the keys under {ref!r} is under way")
        return change

    def _keep(self, ref: str, change: Pending) -> Pending:
        sealed = self._seal.sealed(CHANGE, ref, pack(change.keys))
        row = (ref, change.state.value, change.at, sealed)
        self._write([(_INSERT[CHANGE], [row])])
        return change

    def _promote(self, ref: str, change: Pending) -> None:
        sealed = self._seal.sealed(ENTRY, ref, pack(change.keys))
        self._write([(_INSERT[ENTRY], [(ref, sealed)]), (_DELETE, [(ref,)])])

    def _write(self, work: list[tuple[str, list[tuple[Any, ...]]]]) -> None:
        """Do it all or nothing: in place, or in a copy where it is much, or where the file is none of this release's yet."""
        if sum(len(rows) for _, rows in work) <= _FEW and is_database(self._path):
            with translated(self._path), closing(sqlite3.connect(self._path, timeout=BUSY_S)) as writer:
                _do(writer, work)
        else:
            beside = self._beside()
            with self._reading, replacing(self._path, beside):
                target = create(beside, self._seal, self._reader)
                with closing(target):
                    _do(target, work)
        self._reopen()

    def _compare(self, beside: Path, seal: Seal) -> None:
        """Whether a file holds under another key exactly what this one holds. Raises KeyStoreError."""
        with closing(connect(beside, seal)) as written:
            ours, theirs = plain_rows(self._path, self._reader, self._seal), plain_rows(beside, written, seal)
            if any(one != other for one, other in zip_longest(ours, theirs)):
                raise KeyStoreError(f"{beside} was not written as it should be; {self._path} is left as it was")

    def _beside(self) -> Path:
        return self._path.with_name(f".{self._path.name}.{os.getpid()}")

    @contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            lock = os.open(self._path.with_name(f".{self._path.name}.lock"), os.O_WRONLY | os.O_CREAT, 0o600)
        except OSError as error:
            raise KeyStoreError(f"the key store {self._path} cannot be written: {error.strerror}") from None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)


def _do(writer: sqlite3.Connection, work: list[tuple[str, list[tuple[Any, ...]]]]) -> None:
    with writer:
        for statement, rows in work:
            writer.executemany(statement, rows)


def _asked(path: Path, reader: sqlite3.Connection, question: str, *given: str) -> list[Any]:
    with translated(path):
        return reader.execute(question, given).fetchall()
