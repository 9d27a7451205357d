"""The key store as commands use it: the one that the settings name, made on first use in the local stack's home."""

from __future__ import annotations

from pathlib import Path

from connectors.cli.failure import CommandError, usage
from connectors.gateway.errors import KeyStoreError
from connectors.gateway.keystore import FileKeyStore, create_master_key, master_key
from streams.runtime.settings import Settings


def key_store(given: Settings) -> FileKeyStore:
    """The key store to write keys to; a master key is made only where its file is named and is not there yet."""
    gateway = given.gateway
    if not gateway.key_file:
        raise usage(
            "no key store is set", "set HES_GATEWAY__KEY_FILE and HES_GATEWAY__MASTER_KEY_FILE, or start `hes local up`"
        )
    try:
        file = Path(gateway.master_key_file)
        if gateway.master_key_file and not gateway.master_key.get_secret_value() and not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            create_master_key(file)
        Path(gateway.key_file).parent.mkdir(parents=True, exist_ok=True)
        return FileKeyStore.open(gateway.key_file, master_key(gateway))
    except KeyStoreError as error:
        raise CommandError(str(error)) from error
