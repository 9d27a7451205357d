"""The key store as commands use it: the one that the settings name, made on first use in the local stack's home."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from connectors.cli.failure import CommandError, usage
from connectors.gateway.errors import KeyStoreError
from connectors.gateway.keystore import FileKeyStore, NoKeys, create_master_key, master_key, open_key_store
from streams.runtime.settings import Settings


def key_store(given: Settings) -> FileKeyStore:
    """The key store to write keys to; a master key is made only where its file is named and is not there yet."""
    gateway = given.gateway
    if not gateway.key_file:
        raise usage(
            "no key store is set", "set HES_GATEWAY__KEY_FILE and HES_GATEWAY__MASTER_KEY_FILE, or start `hes local up`"
        )
    if Path(gateway.key_file).is_dir():
        raise usage(
            f"{gateway.key_file} is a folder, whose files somebody else renders",
            "write the keys where they come from (a Secret, a vault), or name a file in HES_GATEWAY__KEY_FILE",
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


def known_owners(given: Settings) -> Callable[[str], str]:
    """Whose a key reference is, as far as the key store knows; nobody's where there is no store yet."""
    if not given.gateway.key_file:
        return lambda _: ""
    try:
        store = open_key_store(given.gateway) if Path(given.gateway.key_file).exists() else NoKeys()
    except KeyStoreError as error:
        raise CommandError(str(error)) from error

    def owner(ref: str) -> str:
        try:
            held = store.get(ref)
        except KeyStoreError as error:
            raise CommandError(str(error)) from error
        return "" if held is None else held.meter

    return owner
