"""Keys and passwords of meters: the port, and the adapter that the settings name.

`gateway.key_file` names a file, which is encrypted under a master key and filled by `hes meters import` (`FileKeyStore`), or
a folder of files that somebody else renders, one a key reference (`FolderKeyStore`).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol, runtime_checkable

from connectors.gateway.errors import KeyStoreError
from connectors.gateway.key_entries import MASTER
from connectors.gateway.key_file import FileKeyStore, Pending
from connectors.gateway.key_folder import FolderKeyStore
from connectors.protocols.dlms.meter_keys import MeterKeys
from connectors.protocols.dlms.objects.security_setup import KeyEvent, KeyState
from streams.runtime.clock import Clock
from streams.runtime.settings import Gateway

__all__ = [
    "FileKeyStore",
    "FolderKeyStore",
    "KeyChanges",
    "KeyStore",
    "MeterKeys",
    "NoKeys",
    "Pending",
    "create_master_key",
    "master_key",
    "open_key_store",
    "read_master_key",
]


class KeyStore(Protocol):
    """Where keys come from."""

    def get(self, ref: str) -> MeterKeys | None:
        """The keys under a reference: a meter's `key_ref`, or a system title in upper-case hex."""

    def refresh(self) -> bool:
        """Look whether keys changed since they were read; true where they did. What fails to decipher may then be
        tried again.
        """


@runtime_checkable
class KeyChanges(Protocol):
    """A key store that also keeps the new keys of a meter beside those that hold, until an association with the new ones
    has stood. All of it blocks: on threads, please. States and moves are `security_setup.MOVES`.
    """

    def pending(self, ref: str) -> Pending | None:
        """The change that is under way."""

    def propose(self, ref: str, keys: MeterKeys) -> Pending:
        """Keep new keys, before anything is sent; what they leave out stays as it is. KeyStoreError where a change is under
        way whose outcome is not known.
        """

    def note(self, ref: str, event: KeyEvent, of: Pending | None = None) -> KeyState:
        """What happened to the change; once the new keys work they are the keys, and the old ones are gone. KeyStoreError
        where none is under way, or another than `of`; ValueError where the change knows no such move.
        """

    def promote(self, ref: str) -> None:
        """The new keys are the keys."""

    def drop(self, ref: str) -> None:
        """Forget the new keys."""


class NoKeys:
    """A key store without keys, where none is set."""

    def get(self, ref: str) -> MeterKeys | None:  # noqa: ARG002 - the port's signature
        """None."""
        return None

    def refresh(self) -> bool:
        """Never."""
        return False


def open_key_store(settings: Gateway, clock: Clock | None = None) -> KeyStore:
    """The key store that the settings name; one without keys where they name none."""
    if not settings.key_file:
        return NoKeys()
    if Path(settings.key_file).is_dir():
        return FolderKeyStore(settings.key_file, clock)
    return FileKeyStore.open(settings.key_file, master_key(settings), clock)


def master_key(settings: Gateway) -> bytes:
    """The master key of the settings: `master_key`, else what `master_key_file` holds. 32 octets as hex."""
    text = settings.master_key.get_secret_value()
    if text:
        return _master_key(text, "gateway.master_key")
    if not settings.master_key_file:
        raise KeyStoreError("no master key: set gateway.master_key, or gateway.master_key_file")
    return read_master_key(settings.master_key_file)


def read_master_key(path: str | Path) -> bytes:
    """The master key in a file. Raises KeyStoreError."""
    try:
        text = Path(path).read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise KeyStoreError(f"the master key file {path} cannot be read: {type(error).__name__}") from None
    return _master_key(text, str(path))


def create_master_key(path: str | Path) -> bytes:
    """A new random master key, written to a file that only its owner may read. `KeyStoreError` where the file exists."""
    key = os.urandom(MASTER)
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
            file.write(key.hex() + "\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise KeyStoreError(f"the master key file {path} cannot be created: {error.strerror}") from None
    return key


def _master_key(text: str, source: str) -> bytes:
    try:
        key = bytes.fromhex(text.strip())
    except ValueError:
        raise KeyStoreError(f"the master key in {source} is not hex") from None
    if len(key) != MASTER:
        raise KeyStoreError(
            f"the master key in {source} has {len(key)} octets, {MASTER} are needed: {2 * MASTER} hex digits"
        )
    return key
