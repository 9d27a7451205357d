"""The key by which a service signs: a file that only its owner can read, never in a message."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from streams.runtime.errors import FatalError
from streams.runtime.settings import Commands

_LARGEST = 16_384


def load_signing_key(file: str, passphrase: str, setting: str) -> Ed25519PrivateKey | None:
    """The key in a PEM file; None where no file is named. `FatalError`, which names the setting, where it cannot be used."""
    if not file:
        return None
    path = Path(file)
    try:
        with path.open("rb") as opened:
            if (mode := stat.S_IMODE(os.fstat(opened.fileno()).st_mode)) & 0o007:
                raise FatalError(f"the key file {path} can be read by everybody (its mode is {mode:04o}); chmod 600 it")
            pem = opened.read(_LARGEST)
    except OSError as error:
        raise FatalError(f"the key file {path} cannot be read: {error.strerror}; correct {setting}") from error
    try:
        key = load_pem_private_key(pem, passphrase.encode() or None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # The library's words may quote what it was given.
        secret = setting.replace("key_file", "key_passphrase")
        raise FatalError(f"the key file {path} is no PEM, or {secret} is another") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise FatalError(f"the key in {path} is no Ed25519 key; `hes operators keygen` makes one")
    return key


def load_release_key(settings: Commands) -> Ed25519PrivateKey | None:
    """The key by which jobs are released; as `load_signing_key`."""
    secret = settings.release_key_passphrase.get_secret_value()
    return load_signing_key(settings.release_key_file, secret, "commands.release_key_file")
