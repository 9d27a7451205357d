"""The key by which follow-up signs what changes a meter."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from streams.runtime.settings import Followup
from streams.runtime.signing_key import load_signing_key


def signing_key(settings: Followup) -> Ed25519PrivateKey | None:
    """The key that the settings name; None where they name none. `FatalError` where it cannot be used."""
    return load_signing_key(settings.key_file, settings.key_passphrase.get_secret_value(), "followup.key_file")
