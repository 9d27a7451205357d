"""Keys and passwords of meters: a port, and an encrypted file behind it.

The file is JSON: `{"format", "check", "entries": {key_ref: sealed}}`. Each entry is sealed by itself with AES-256-GCM
under the master key, its name as associated data, so that entries cannot be exchanged for one another; `check` is one
that tells a wrong master key at once. An entry is opened when it is asked for: a million entries load in seconds, and
only keys in use lie in memory.
"""

from __future__ import annotations

import base64
import binascii
import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from connectors.gateway.errors import KeyStoreError
from streams.runtime.clock import Clock, SystemClock
from streams.runtime.settings import Gateway

_FORMAT = "hes-keys-1"
_NONCE = 12
_CHECK = "\0check"  # no key reference can be called so
_LOOK_EVERY_S = 1.0
_LONGEST = 0xFFFF


@dataclass(frozen=True, slots=True)
class MeterKeys:
    """What is secret about one meter: global unicast encryption key, authentication key, low level security password."""

    ek: bytes | None = field(default=None, repr=False)
    ak: bytes | None = field(default=None, repr=False)
    password: bytes | None = field(default=None, repr=False)


class KeyStore(Protocol):
    """Where keys come from."""

    def get(self, ref: str) -> MeterKeys | None:
        """The keys under a reference: a meter's `key_ref`, or a system title in upper-case hex."""

    def refresh(self) -> bool:
        """Look whether keys changed since they were read; true where they did. What fails to decipher may then be
        tried again.
        """


class NoKeys:
    """A key store without keys, where none is set."""

    def get(self, ref: str) -> MeterKeys | None:  # noqa: ARG002 - the port's signature
        """None."""
        return None

    def refresh(self) -> bool:
        """Never."""
        return False


class FileKeyStore:
    """The key store in one file, read again when the file changes and something is missing."""

    def __init__(self, path: Path, master_key: bytes, clock: Clock) -> None:
        if len(master_key) != 32:
            raise KeyStoreError(f"the master key has {len(master_key)} octets, 32 are needed: 64 hex digits")
        self._path = path
        self._seal = AESGCM(master_key)
        self._clock = clock
        self._entries: dict[str, str] = {}
        self._stamp: tuple[int, int, int] | None = None
        self._look_at = 0.0

    @classmethod
    def open(cls, path: str | Path, master_key: bytes, clock: Clock | None = None) -> FileKeyStore:
        """The store in `path`; an empty one where there is no file yet. `KeyStoreError` where it cannot be read."""
        store = cls(Path(path), master_key, clock or SystemClock())
        store._read()
        return store

    def get(self, ref: str) -> MeterKeys | None:
        """The keys under a reference. A missing one has the file looked at, at most once a second."""
        sealed = self._entries.get(ref)
        if sealed is None and self.refresh():
            sealed = self._entries.get(ref)
        return None if sealed is None else _unpack(self._opened(ref, sealed))

    def refresh(self) -> bool:
        """Read the file again if it changed; at most once a second. A file that cannot be read leaves what is known."""
        now = self._clock.monotonic()
        if now < self._look_at:
            return False
        self._look_at = now + _LOOK_EVERY_S
        if _stamp_of(self._path) == self._stamp:
            return False
        try:
            self._read()
        except KeyStoreError:
            return False
        return True

    def put_many(self, keys: Mapping[str, MeterKeys]) -> None:
        """Add or replace entries: all of them or, on an error, none. Others that write the same file are waited for."""
        with self._locked():
            self._read()
            entries = dict(self._entries)
            for ref, value in keys.items():
                if not ref or ref == _CHECK:
                    raise KeyStoreError("a key reference must not be empty")
                entries[ref] = self._sealed(ref, _pack(value))
            self._write(entries)
            self._entries, self._stamp = entries, _stamp_of(self._path)

    def __contains__(self, ref: str) -> bool:
        return ref in self._entries

    def __len__(self) -> int:
        return len(self._entries)

    def __repr__(self) -> str:
        return f"FileKeyStore({str(self._path)!r}, {len(self)} entries)"

    def _read(self) -> None:
        stamp = _stamp_of(self._path)
        if stamp is None:
            self._entries, self._stamp = {}, None
            return
        try:
            content = json.loads(self._path.read_bytes())
        except (OSError, ValueError) as error:
            raise KeyStoreError(f"the key store {self._path} cannot be read: {type(error).__name__}") from None
        if not isinstance(content, dict) or content.get("format") != _FORMAT or not isinstance(content.get("entries"), dict):
            raise KeyStoreError(
                f"{self._path} is no key store of this release ({_FORMAT}); restore it, or import the keys anew"
            )
        self._opened(_CHECK, content.get("check"))
        self._entries, self._stamp = content["entries"], stamp

    def _write(self, entries: dict[str, str]) -> None:
        content = {"format": _FORMAT, "check": self._sealed(_CHECK, b"\0" * 6), "entries": entries}
        beside = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        try:
            with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="ascii") as file:
                json.dump(content, file)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(self._path)
            folder = os.open(self._path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as error:
            beside.unlink(missing_ok=True)
            raise KeyStoreError(f"the key store {self._path} cannot be written: {error.strerror}") from None

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

    def _sealed(self, ref: str, plain: bytes) -> str:
        nonce = os.urandom(_NONCE)
        return base64.b64encode(nonce + self._seal.encrypt(nonce, plain, ref.encode())).decode("ascii")

    def _opened(self, ref: str, sealed: object) -> bytes:
        try:
            octets = base64.b64decode(str(sealed), validate=True)
            return self._seal.decrypt(octets[:_NONCE], octets[_NONCE:], ref.encode())
        except (InvalidTag, ValueError, binascii.Error):
            what = "the master key is not the one it was written with" if ref == _CHECK else f"entry {ref!r} was altered"
            raise KeyStoreError(f"the key store {self._path} cannot be opened: {what}") from None


def open_key_store(settings: Gateway, clock: Clock | None = None) -> KeyStore:
    """The key store that the settings name; one without keys where they name none."""
    return FileKeyStore.open(settings.key_file, master_key(settings), clock) if settings.key_file else NoKeys()


def master_key(settings: Gateway) -> bytes:
    """The master key of the settings: `master_key`, else what `master_key_file` holds. 32 octets as hex."""
    text, source = settings.master_key.get_secret_value(), "gateway.master_key"
    if not text:
        if not settings.master_key_file:
            raise KeyStoreError("no master key: set gateway.master_key, or gateway.master_key_file")
        source = settings.master_key_file
        try:
            text = Path(source).read_text(encoding="ascii")
        except (OSError, UnicodeDecodeError) as error:
            raise KeyStoreError(f"the master key file {source} cannot be read: {type(error).__name__}") from None
    try:
        key = bytes.fromhex(text.strip())
    except ValueError:
        raise KeyStoreError(f"the master key in {source} is not hex") from None
    if len(key) != 32:
        raise KeyStoreError(f"the master key in {source} has {len(key)} octets, 32 are needed: 64 hex digits")
    return key


def create_master_key(path: str | Path) -> bytes:
    """A new random master key, written to a file that only its owner may read. `KeyStoreError` where the file exists."""
    key = os.urandom(32)
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
            file.write(key.hex() + "\n")
    except OSError as error:
        raise KeyStoreError(f"the master key file {path} cannot be created: {error.strerror}") from None
    return key


def _stamp_of(path: Path) -> tuple[int, int, int] | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size, stat.st_ino


def _pack(keys: MeterKeys) -> bytes:
    """Each of the three as its length plus one (0: absent) in two octets, then its octets."""
    out = bytearray()
    for value in (keys.ek, keys.ak, keys.password):
        if value is not None and len(value) >= _LONGEST:
            raise KeyStoreError(f"a key or password of {len(value)} octets is too long")
        out += (0 if value is None else len(value) + 1).to_bytes(2) + (value or b"")
    return bytes(out)


def _unpack(octets: bytes) -> MeterKeys:
    values: list[bytes | None] = []
    at = 0
    for _ in range(3):
        size = int.from_bytes(octets[at : at + 2])
        at += 2
        values.append(octets[at : at + size - 1] if size else None)
        at += max(0, size - 1)
    return MeterKeys(*values)
