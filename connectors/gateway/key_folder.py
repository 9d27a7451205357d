"""The key store as a folder, one file a key reference: as Kubernetes mounts a Secret and a Vault agent renders one.

    /etc/hes/keys/4B414D1122334455    {"ek": "…32 hex digits…", "ak": "…", "meter": "m1"}

A file is a JSON object of the fields of `MeterKeys`: symmetric keys as hex, private and public keys and certificates as PEM
or hex, `password` as text, `meter` the meter's id. Whoever renders the files protects them: they are not encrypted here, and
nothing is written. A file is read when its keys are asked for, so a key that was changed in the vault holds from then on.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from connectors.gateway.errors import KeyStoreError
from connectors.protocols.dlms.meter_keys import READERS, MeterKeys
from streams.runtime.clock import Clock, SystemClock

_NAME = re.compile(r"[0-9A-Za-z_-][0-9A-Za-z._-]{0,252}")
"""What Kubernetes allows as a key of a Secret, and no hidden file: those are its own."""
_LONGEST = 65_536
_LOOK_EVERY_S = 1.0
_TEXTS = ("password", "meter")


class FolderKeyStore:
    """See `keystore.KeyStore`. Entries are few octets each, read from memory in either setting."""

    def __init__(self, folder: str | Path, clock: Clock | None = None) -> None:
        self._folder = Path(folder)
        self._clock = clock or SystemClock()
        self._look_at = 0.0
        self._stamp = self._now()

    def get(self, ref: str) -> MeterKeys | None:
        """The keys under a reference; None where there is no file, or the reference can be none. KeyStoreError where
        the file is not right.
        """
        if not _NAME.fullmatch(ref):
            return None
        path = self._folder / ref
        try:
            with path.open("rb") as file:
                content = file.read(_LONGEST + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise KeyStoreError(f"the keys in {path} cannot be read: {error.strerror}") from None
        return _keys(path, content)

    def refresh(self) -> bool:
        """Whether a file came, went or was put in another's place; looked at once a second at most."""
        now = self._clock.monotonic()
        if now < self._look_at:
            return False
        self._look_at = now + _LOOK_EVERY_S
        before, self._stamp = self._stamp, self._now()
        return before != self._stamp

    def __repr__(self) -> str:
        return f"FolderKeyStore({str(self._folder)!r})"

    def _now(self) -> tuple[int, ...]:
        """Changes with the folder. Kubernetes changes no file: it turns the link `..data` to another folder."""
        found = []
        for path in (self._folder, self._folder / "..data"):
            try:
                stat = path.stat()
            except OSError:
                continue
            found += [stat.st_mtime_ns, stat.st_ino]
        return tuple(found)


def _keys(path: Path, content: bytes) -> MeterKeys:
    """What an error says never comes from the file."""
    if len(content) > _LONGEST:
        raise KeyStoreError(f"the keys in {path} have more than {_LONGEST} octets")
    try:
        entry: Any = json.loads(content)
    except (ValueError, RecursionError):
        entry = None
    if not isinstance(entry, dict):
        raise KeyStoreError(f'{path} is no JSON object of keys: render one such as {{"ek": HEX, "ak": HEX}}')
    found: dict[str, Any] = {}
    for name, value in entry.items():
        if name not in READERS and name not in _TEXTS:
            raise KeyStoreError(f"{path} has a field that is none: there are {', '.join([*_TEXTS, *READERS])}")
        if not isinstance(value, str):
            raise KeyStoreError(f"{path}: {name} must be text")
        try:
            found[name] = READERS[name](value) if name in READERS else value.encode() if name == "password" else value
        except ValueError as error:
            raise KeyStoreError(f"{path}: {name} {error}") from None
    return MeterKeys(**found)
