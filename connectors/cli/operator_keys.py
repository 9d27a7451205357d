"""Operators' private keys: files that only their owner can read, or the system's keyring. Nothing here leaves this machine.

A key is PEM (PKCS#8), as OpenSSL writes it, with a passphrase or without. A file that others can read is refused by name:
whoever read it could have approved in its owner's place.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable
from getpass import getpass
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization as forms
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from connectors.cli.failure import CommandError, usage
from schemas.signatures import KEY_OCTETS, public_key

ROOT = "root"
PASSPHRASE = "HES_KEY_PASSPHRASE"  # noqa: S105 - the name of the environment variable, no passphrase
_SERVICE = "hes-operator-keys"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,99}")
_LARGEST = 65_536


class KeyPlace(Protocol):
    """Where private keys are kept, as PEM."""

    def read(self, name: str) -> bytes:
        """The key of a name; `CommandError` where there is none, or it is not kept well."""

    def write(self, name: str, pem: bytes) -> str:
        """Keep a key that is new; where. `CommandError` where the name has one."""


class KeyFiles:
    """A folder of files NAME.key, mode 0600."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, name: str) -> Path:
        """The file of a name; `CommandError` for what is no name."""
        if not _NAME.fullmatch(name):
            raise usage(f"{name!r} is no name of an operator", "use letters, digits and . _ @ -")
        return self._folder / f"{name}.key"

    def read(self, name: str) -> bytes:
        """See `KeyPlace`."""
        path = self.path(name)
        if not path.exists():
            raise CommandError(
                f"there is no key of {name}: {path} does not exist",
                mend=f"`hes operators new {name} --role …` makes one, or name another with --as or --key",
            )
        return read_key_file(path)

    def write(self, name: str, pem: bytes) -> str:
        """See `KeyPlace`."""
        path = self.path(name)
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            raise CommandError(f"{name} has a key already: {path}", mend="move it away if it is to be replaced") from None
        except OSError as error:
            raise CommandError(
                f"the key of {name} cannot be written to {path}: {error.strerror}",
                mend="set HES_HOME to a folder that is yours",
            ) from error
        with os.fdopen(handle, "wb") as file:
            os.fchmod(file.fileno(), 0o600)  # whatever the umask says
            file.write(pem)
        return str(path)


class SystemKeys:
    """The keyring of the system: needs the package `keyring`."""

    def __init__(self, keyring: Any = None) -> None:
        try:
            self._keyring: Any = keyring or import_module("keyring")
        except ModuleNotFoundError:
            raise CommandError(
                "the system's keyring needs the Python package keyring, which is not installed here",
                mend="install it beside hes, or keep keys in files (HES_OPERATOR_KEYS=files)",
            ) from None

    def read(self, name: str) -> bytes:
        """See `KeyPlace`."""
        found = self._keyring.get_password(_SERVICE, name)
        if not found:
            raise CommandError(f"the keyring has no key of {name}", mend=f"`hes operators new {name} --role …` makes one")
        return str(found).encode()

    def write(self, name: str, pem: bytes) -> str:
        """See `KeyPlace`."""
        if self._keyring.get_password(_SERVICE, name):
            raise CommandError(f"{name} has a key in the keyring already", mend="remove it there if it is to be replaced")
        self._keyring.set_password(_SERVICE, name, pem.decode())
        return f"the system's keyring, {_SERVICE}/{name}"


def key_place(folder: Path) -> KeyPlace:
    """Where this user keeps keys: HES_OPERATOR_KEYS says `files` (the default) or `keyring`."""
    wanted = os.environ.get("HES_OPERATOR_KEYS", "files")
    if wanted not in ("files", "keyring"):
        raise usage(f"HES_OPERATOR_KEYS is {wanted!r}", "set it to files or keyring")
    return KeyFiles(folder) if wanted == "files" else SystemKeys()


def read_key_file(path: Path) -> bytes:
    """A key file; refused where anybody but its owner can read or write it."""
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            if mode & 0o077:
                raise CommandError(
                    f"the key file {path} can be read by others (its mode is {mode:04o})",
                    mend=f"chmod 600 {path}; if others may have read it, revoke the key and make another",
                )
            return file.read(_LARGEST)
    except OSError as error:
        raise CommandError(
            f"the key file {path} cannot be read: {error.strerror}", mend="name another with --key"
        ) from error


def new_key(passphrase: str = "") -> tuple[bytes, bytes]:
    """A new private key as PEM, and its public key, 32 octets."""
    key = Ed25519PrivateKey.generate()
    how: forms.KeySerializationEncryption = forms.NoEncryption()
    if passphrase:
        how = forms.BestAvailableEncryption(passphrase.encode())
    return key.private_bytes(forms.Encoding.PEM, forms.PrivateFormat.PKCS8, how), public_key(key)


def private_key(pem: bytes, whose: str, ask: Callable[[str], str] = getpass) -> Ed25519PrivateKey:
    """The key in a PEM; a passphrase is taken from HES_KEY_PASSPHRASE, else asked for."""
    passphrase = None
    if b"ENCRYPTED" in pem:
        passphrase = (os.environ.get(PASSPHRASE) or ask(f"passphrase of the key of {whose}: ")).encode()
    try:
        key = forms.load_pem_private_key(pem, passphrase)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # The library's words may quote what it was given.
        raise CommandError(
            f"the key of {whose} cannot be read: it is no PEM, or the passphrase is another",
            mend=f"check the file, and {PASSPHRASE}",
        ) from None
    if not isinstance(key, Ed25519PrivateKey):
        raise CommandError(f"the key of {whose} is no Ed25519 key", mend="`hes operators keygen` makes one")
    return key


def public_key_of(text: str) -> bytes:
    """A public key as hex, or in a file as hex or PEM."""
    path = Path(text)
    data = path.read_bytes()[:_LARGEST] if len(text) < 4_096 and path.is_file() else text.encode()
    try:
        if data.lstrip().startswith(b"-----"):
            found = forms.load_pem_public_key(data)
            if isinstance(found, Ed25519PublicKey):
                return found.public_bytes_raw()
        octets = bytes.fromhex(data.decode().strip())
        if len(octets) == KEY_OCTETS:
            return octets
    except (ValueError, UnsupportedAlgorithm):
        pass
    raise usage(
        f"{text[:80]!r} is no Ed25519 public key", f"give {2 * KEY_OCTETS} hex digits, or a file that holds them or PEM"
    )
