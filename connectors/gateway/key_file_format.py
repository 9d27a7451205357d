"""What a key store's file is: SQLite, with a table of entries and one of changes under way.

The format before, one JSON object, is read as if it were this one, and is this one once it is written.
"""

from __future__ import annotations

import base64
import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

from connectors.gateway.errors import KeyStoreError
from connectors.gateway.key_entries import Seal

_FORMAT = "hes-keys-2"
_FORMAT_BEFORE = "hes-keys-1"
_SQLITE = b"SQLite format 3\0"
ENTRY, CHANGE, _CHECK = "entry", "change", "check"
BUSY_S = 2.0
_SCHEMA = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value BLOB) WITHOUT ROWID;
CREATE TABLE entries (ref TEXT PRIMARY KEY, sealed BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE changes (ref TEXT PRIMARY KEY, state TEXT NOT NULL, at INTEGER NOT NULL, sealed BLOB NOT NULL) WITHOUT ROWID;
"""


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """What SQLite raises as a KeyStoreError."""
    try:
        yield
    except sqlite3.Error as error:
        raise KeyStoreError(f"the key store {path} cannot be used: {error}") from None


@contextmanager
def replacing(path: Path, beside: Path) -> Iterator[None]:
    """`beside` is to be written in the block, and takes the place of `path` after it; gone where the block fails."""
    try:
        with translated(path):
            yield
        beside_file = os.open(beside, os.O_RDONLY)
        try:
            os.fsync(beside_file)
        finally:
            os.close(beside_file)
        beside.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise KeyStoreError(f"the key store {path} cannot be written: {error.strerror}") from None
    finally:
        beside.unlink(missing_ok=True)


def plain_rows(path: Path, reader: sqlite3.Connection | None, seal: Seal) -> Iterator[tuple[Any, ...]]:
    """Everything in a store: its kind, reference, plain text, and what is not sealed. Raises KeyStoreError."""
    if reader is None:
        return
    for kind, question in (
        (ENTRY, "SELECT ref, sealed FROM entries ORDER BY ref"),
        (CHANGE, "SELECT ref, sealed, state, at FROM changes ORDER BY ref"),
    ):
        for ref, sealed, *rest in reader.execute(question):
            yield kind, ref, opened(path, seal, kind, ref, sealed), *rest


def opened(path: Path, seal: Seal, kind: str, ref: str, sealed: bytes) -> bytes:
    """The plain text of an entry. Raises KeyStoreError where it was altered."""
    plain = seal.opened(kind, ref, sealed)
    if plain is None:
        raise KeyStoreError(f"the key store {path} cannot be opened: entry {ref!r} was altered; restore the file")
    return plain


def create(path: Path, seal: Seal, source: sqlite3.Connection | None = None) -> sqlite3.Connection:
    """A new file that only its owner may read: empty, or with all that `source` holds."""
    path.unlink(missing_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    made = sqlite3.connect(path)
    made.execute("PRAGMA synchronous = OFF")  # it is synchronised as a whole before it takes the other's place
    made.execute("PRAGMA journal_mode = OFF")
    if source is not None:
        source.backup(made)
        return made
    made.executescript(_SCHEMA)
    _mark(made, seal)
    return made


def _mark(made: sqlite3.Connection, seal: Seal) -> None:
    made.execute("INSERT INTO meta VALUES ('format', ?)", (_FORMAT,))
    made.execute("INSERT INTO meta VALUES ('check', ?)", (seal.sealed(_CHECK, "", b"\0"),))


def connect(path: Path, seal: Seal) -> sqlite3.Connection:
    """A connection that reads. Raises KeyStoreError where the file is no key store, or of another master key."""
    try:
        with path.open("rb") as file:
            head = file.read(len(_SQLITE))
    except OSError as error:
        raise KeyStoreError(f"the key store {path} cannot be read: {type(error).__name__}") from None
    if head[:1] == b"{":
        return _of_before(path, seal)
    if head != _SQLITE:
        raise _no_store(path)
    name = f"file:{quote(str(path.absolute()))}?mode=ro"
    with translated(path):
        reader = sqlite3.connect(name, uri=True, timeout=BUSY_S, check_same_thread=False, isolation_level=None)
    try:
        with translated(path):
            known = dict(reader.execute("SELECT name, value FROM meta"))
        if known.get("format") != _FORMAT:
            raise _no_store(path)
        if seal.opened(_CHECK, "", known.get("check", b"")) is None:
            raise _another_key(path)
    except KeyStoreError:
        reader.close()
        raise
    return reader


def _of_before(path: Path, seal: Seal) -> sqlite3.Connection:
    """A file of the format before, JSON, as if it were one of this: in memory, until it is next written."""
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise KeyStoreError(f"the key store {path} cannot be read: {type(error).__name__}") from None
    known = content if isinstance(content, dict) and content.get("format") == _FORMAT_BEFORE else {}
    if not isinstance(known.get("entries"), dict):
        raise _no_store(path)
    if _opened_before(seal, "\0check", known.get("check")) is None:
        raise _another_key(path)
    made = sqlite3.connect(":memory:", check_same_thread=False)
    made.executescript(_SCHEMA)
    _mark(made, seal)
    for ref, sealed in known["entries"].items():
        plain = _opened_before(seal, ref, sealed)
        # An altered entry is kept as one that does not open, so that it is told when it is asked for.
        made.execute("INSERT INTO entries VALUES (?, ?)", (ref, b"" if plain is None else seal.sealed(ENTRY, ref, plain)))
    made.commit()
    return made


def _opened_before(seal: Seal, ref: str, sealed: object) -> bytes | None:
    with suppress(ValueError):
        return seal.opened_under(ref.encode(), base64.b64decode(str(sealed), validate=True))
    return None


def is_database(path: Path) -> bool:
    """Whether it is a file of this format, and not of the one before or none yet."""
    try:
        with path.open("rb") as file:
            return file.read(len(_SQLITE)) == _SQLITE
    except OSError:
        return False


def _no_store(path: Path) -> KeyStoreError:
    return KeyStoreError(f"{path} is no key store of this release ({_FORMAT}); restore it, or import the keys anew")


def _another_key(path: Path) -> KeyStoreError:
    return KeyStoreError(f"the key store {path} cannot be opened: the master key is not the one it was written with")


def stamp_of(path: Path) -> tuple[int, int, int] | None:
    """Changes with the file; None where there is none."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size, stat.st_ino
