"""The key by which follow-up signs what changes a meter: a file that only its owner can read, never in a message."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from streams.runtime.errors import FatalError
from streams.runtime.settings import Followup

_LARGEST = 16_384


def signing_key(settings: Followup) -> Ed25519PrivateKey | None:
    """The key that the settings name; None where they name none. `FatalError` where it cannot be used."""
    if not settings.key_file:
        return None
    path = Path(settings.key_file)
    try:
        with path.open("rb") as file:
            if (mode := stat.S_IMODE(os.fstat(file.fileno()).st_mode)) & 0o007:
                raise FatalError(f"the key file {path} can be read by everybody (its mode is {mode:04o}); chmod 600 it")
            pem = file.read(_LARGEST)
    except OSError as error:
        raise FatalError(f"the key file {path} cannot be read: {error.strerror}; correct followup.key_file") from error
    secret = settings.key_passphrase.get_secret_value()
    try:
        key = load_pem_private_key(pem, secret.encode() or None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # The library's words may quote what it was given.
        raise FatalError(f"the key file {path} is no PEM, or followup.key_passphrase is another") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise FatalError(f"the key in {path} is no Ed25519 key; `hes operators keygen` makes one")
    return key
