"""What the key store holds for a C12 meter, as its protocol has it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from connectors.gateway.errors import JobError, KeyStoreError
from connectors.gateway.keystore import KeyStore, MeterKeys
from connectors.protocols.c12.c1221 import Key
from connectors.protocols.c12.epsem import Mode
from connectors.protocols.c12.errors import C12Error
from connectors.protocols.c12.psem_session import User
from connectors.protocols.c12.requests import PASSWORD_SIZE, USER_SIZE
from connectors.templates.c12_template import C12Template
from schemas.records import Meter

_HEX = b"hex:"
_RING = 17


@dataclass(frozen=True, slots=True)
class C12Keys:
    """Keys and password of one meter. Nothing of it shows in a repr."""

    user: User = field(repr=False)
    """Who logs on, with the password where there is one to be shown."""
    eax: Mapping[int, bytes] = field(repr=False)
    """Keys of EAX' by key id."""
    des: Key | None = field(default=None, repr=False)


def ring(octets: bytes | None) -> dict[int, bytes]:
    """Keys of EAX' by key id, from the key store's octets."""
    octets = octets or b""
    return {octets[at]: octets[at + 1 : at + _RING] for at in range(0, len(octets), _RING)}


def keys_of(meter: Meter, template: C12Template, store: KeyStore, *, c1222: bool) -> C12Keys:
    """What is needed to speak with a meter, before anyone connects. Raises `JobError` "key-missing", "key-shared"."""
    held = _held(meter, store)
    logon = template.logon
    # Only what will be used is asked for, and only that is told to the meter.
    proves = logon.c1222 != "NONE" if c1222 else True
    password = _password(held) if proves and logon.proof == "PASSWORD" else None
    number, name = logon.user_id, logon.user
    if held.user is not None:
        text, _, name = held.user.decode("utf-8", "replace").partition(":")
        number = int(text) if text.isdecimal() else number
    if len(password or b"") > PASSWORD_SIZE or len(name.encode("latin-1", "replace")) > USER_SIZE:
        what = f"a password of at most {PASSWORD_SIZE} octets and a user of {USER_SIZE}"
        raise _missing(meter, what, "password, logon_user")
    eax = ring(held.eax)
    if c1222 and template.messages.mode is not Mode.CLEAR and template.messages.key_id not in eax:
        raise _missing(meter, f"a key of EAX' with id {template.messages.key_id}", "eax_keys")
    return C12Keys(User(number, name, password), eax, None if c1222 else _des(meter, template, held))


def _held(meter: Meter, store: KeyStore) -> MeterKeys:
    try:
        held = (store.get(meter.key_ref) if meter.key_ref else None) or MeterKeys()
    except KeyStoreError as error:
        raise JobError("key-missing", str(error)) from None
    if held.meter and held.meter != meter.id:
        detail = (
            f"the keys under {meter.key_ref!r} are those of meter {held.meter}, and meter {meter.id} names them, too: "
            "give each meter a key reference and keys of its own, or keep the id where it is the same meter"
        )
        raise JobError("key-shared", detail)
    return held


def _password(held: MeterKeys) -> bytes | None:
    """The security code: as text, or after `hex:` as octets."""
    if held.password is None or not held.password.startswith(_HEX):
        return held.password
    try:
        return bytes.fromhex(held.password.removeprefix(_HEX).decode("ascii"))
    except ValueError:
        return held.password


def _des(meter: Meter, template: C12Template, held: MeterKeys) -> Key | None:
    if template.logon.proof != "DES":
        return None
    try:
        return Key((held.des or b"\0")[0], (held.des or b"")[1:])
    except C12Error:
        raise _missing(meter, "a key of DES", "des_key") from None


def _missing(meter: Meter, what: str, columns: str) -> JobError:
    detail = f"the key store lacks {what} under {meter.key_ref!r} for meter {meter.id}; import it (columns {columns})"
    return JobError("key-missing", detail)
