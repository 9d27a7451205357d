"""Entries of a key store as octets, sealed one by one under the master key.

Each is AES-256-GCM with what it is and whose as associated data, so that entries cannot be exchanged for one another. Fields
are written by length, in their order, to the last that is there: who knows fewer of them reads those that it knows.
"""

from __future__ import annotations

import os
from dataclasses import fields

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from connectors.gateway.errors import KeyStoreError
from connectors.protocols.dlms.meter_keys import MeterKeys

MASTER = 32
"""Octets of a master key."""
_NONCE = 12
_LONGEST = 0xFFFF
_NAMES = tuple(item.name for item in fields(MeterKeys))


class Seal:
    """Seals and opens under one master key. Its repr shows nothing of it."""

    def __init__(self, master_key: bytes) -> None:
        if len(master_key) != MASTER:
            raise KeyStoreError(f"the master key has {len(master_key)} octets, {MASTER} are needed: {2 * MASTER} hex digits")
        self._engine = AESGCM(master_key)

    def __repr__(self) -> str:
        return "Seal(***)"

    def sealed(self, kind: str, ref: str, plain: bytes) -> bytes:
        """Nonce, text and tag. `kind` and `ref` must be said again to open it."""
        nonce = os.urandom(_NONCE)
        return nonce + self._engine.encrypt(nonce, plain, _bound(kind, ref))

    def opened(self, kind: str, ref: str, sealed: bytes) -> bytes | None:
        """The text; None where it was altered, is another's, or was sealed under another key."""
        return self.opened_under(_bound(kind, ref), sealed)

    def opened_under(self, bound: bytes, sealed: bytes) -> bytes | None:
        """The same with the associated data as octets."""
        try:
            return self._engine.decrypt(sealed[:_NONCE], sealed[_NONCE:], bound)
        except (InvalidTag, ValueError):
            return None


def _bound(kind: str, ref: str) -> bytes:
    return f"{kind}\0{ref}".encode()


def pack(keys: MeterKeys) -> bytes:
    """Each field as its length plus one (0: absent) in two octets, then its octets."""
    out = bytearray()
    for name in _NAMES:
        value = getattr(keys, name)
        octets = value.encode() if isinstance(value, str) else value
        if octets is not None and len(octets) >= _LONGEST:
            raise KeyStoreError(f"{name} of {len(octets)} octets is too long")
        out += (0 if octets is None else len(octets) + 1).to_bytes(2) + (octets or b"")
    return bytes(out)


def unpack(octets: bytes) -> MeterKeys:
    """From `pack`, of this release or one before."""
    found: dict[str, bytes] = {}
    at = 0
    for name in _NAMES:
        size = int.from_bytes(octets[at : at + 2])
        at += 2
        if size:
            found[name] = octets[at : at + size - 1]
            at += size - 1
    meter, made = (found.pop(name, b"").decode() for name in ("meter", "made"))
    return MeterKeys(**found, meter=meter, made=made)
