"""Security setup (class 64): the policy that a meter keeps, and its keys; and what a change of keys goes through.

              send              accepted            new works
    PENDING ────────▶ SENT ───────────────▶ WRITTEN ─────────▶ ACTIVATED
       ▲               │ lost, or the process died               ▲
       │ refused       ▼                     new works           │
       └────────── (either key may hold) ────────────────────────┤
                       │ old works                               │
                       ▼             send                        │
                   RECOVERED ────────▶ SENT …     LOST ──────────┘ (either works again)

The new key is kept before anything is sent, and the old one until an association with the new one has stood. `MOVES` is the
table; the store that keeps keys and states drives it. A meter that took a new encryption key counts invocations from zero
under it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum, IntEnum

from cryptography.hazmat.primitives.keywrap import aes_key_wrap

from connectors.protocols.dlms import axdr
from connectors.protocols.dlms.association import Associated
from connectors.protocols.dlms.client_apdus import Session
from connectors.protocols.dlms.errors import PeerError
from connectors.protocols.dlms.get import Attribute
from connectors.protocols.dlms.objects.reading import (
    call,
    integer,
    octets,
    pack,
    pack_all,
    read,
    read_fields,
    structure,
    typed,
    unfit,
    written,
)

SECURITY = "0.0.43.0.0.255"
_OWN, _NAME = Attribute(15, "0.0.40.0.0.255", 9), 6
_KEY_LENGTH = {0: 16, 1: 16, 2: 32}
_POLICIES_0 = ("nothing", "authenticated", "encrypted", "authenticated and encrypted")
_POLICY_BITS = {
    0x04: "authenticated request", 0x08: "encrypted request", 0x10: "signed request",
    0x20: "authenticated response", 0x40: "encrypted response", 0x80: "signed response",
}  # fmt: skip
_MOST_KEYS = 4


class KeyKind(IntEnum):
    """key_id of a transferred key."""

    UNICAST = 0
    """Global unicast encryption key (EK, GUEK)."""
    BROADCAST = 1
    """Global broadcast encryption key."""
    AUTHENTICATION = 2
    """Authentication key (AK, GAK)."""
    MASTER = 3
    """Master key (KEK), which wraps the others."""


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key for a meter. Its repr shows no octet of it."""

    kind: KeyKind
    key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Certificate:
    """One entry of the meter's certificate list (version 1)."""

    entity: int
    """0 server, 1 client, 2 certification authority, 3 other."""
    kind: int
    """0 digital signature, 1 key agreement, 2 TLS, 3 other."""
    serial: bytes
    issuer: bytes
    subject: bytes


@dataclass(frozen=True, slots=True)
class SecuritySetup:
    """As the meter has it; None what it does not tell."""

    policy: int | None
    suite: int | None
    client_title: bytes | None
    server_title: bytes | None
    certificates: tuple[Certificate, ...] = ()

    def policy_text(self, version: int) -> str:
        """The policy in words: an enum in version 0 of the class, bits in version 1."""
        if self.policy is None:
            return "not told"
        if version == 0:
            return _POLICIES_0[self.policy] if 0 <= self.policy < len(_POLICIES_0) else str(self.policy)
        return ", ".join(name for bit, name in _POLICY_BITS.items() if self.policy & bit) or "nothing"


class KeyState(Enum):
    """Where a change of keys stands. All but the first two words of the field's own list are in doubt until an association
    has stood.
    """

    PENDING = "pending"
    """The new key is stored, nothing was sent: the old one holds."""
    SENT = "sent"
    """It was sent, and what became of it is not known: either may hold."""
    WRITTEN = "written"
    """The meter said that it took it."""
    ACTIVATED = "activated"
    """An association with the new key has stood: the old one may go."""
    RECOVERED = "recovered"
    """An association with the old key has stood: the new one may be sent again."""
    LOST = "lost"
    """Neither has stood: a person has to look into it. Both are kept."""


class KeyEvent(Enum):
    """What happens to a change of keys."""

    SEND = "send"
    """Is about to be sent: the state is kept before it is."""
    ACCEPTED = "accepted"
    REFUSED = "refused"
    NEW_WORKS = "new-works"
    OLD_WORKS = "old-works"
    NEITHER_WORKS = "neither-works"


_S, _E = KeyState, KeyEvent
MOVES: dict[tuple[KeyState, KeyEvent], KeyState] = {
    (_S.PENDING, _E.SEND): _S.SENT,
    (_S.SENT, _E.ACCEPTED): _S.WRITTEN,
    (_S.SENT, _E.REFUSED): _S.PENDING,
    (_S.SENT, _E.NEW_WORKS): _S.ACTIVATED,
    (_S.SENT, _E.OLD_WORKS): _S.RECOVERED,
    (_S.SENT, _E.NEITHER_WORKS): _S.LOST,
    (_S.WRITTEN, _E.NEW_WORKS): _S.ACTIVATED,
    (_S.WRITTEN, _E.OLD_WORKS): _S.RECOVERED,
    (_S.WRITTEN, _E.NEITHER_WORKS): _S.LOST,
    (_S.RECOVERED, _E.SEND): _S.SENT,
    (_S.RECOVERED, _E.NEW_WORKS): _S.ACTIVATED,
    (_S.LOST, _E.NEW_WORKS): _S.ACTIVATED,
    (_S.LOST, _E.OLD_WORKS): _S.RECOVERED,
    (_S.LOST, _E.NEITHER_WORKS): _S.LOST,
}
"""Every move that there is. Nothing leads out of ACTIVATED: the next change begins anew."""

TRIES: dict[KeyState, tuple[str, ...]] = {
    KeyState.PENDING: ("old",),
    KeyState.SENT: ("new", "old"),
    KeyState.WRITTEN: ("new", "old"),
    KeyState.ACTIVATED: ("new",),
    KeyState.RECOVERED: ("old", "new"),
    KeyState.LOST: ("new", "old"),
}
"""Which key to associate with, the likelier first."""


def advance(state: KeyState, event: KeyEvent) -> KeyState:
    """The state after `event`. ValueError where there is no such move: then the store and the driver disagree."""
    after = MOVES.get((state, event))
    if after is None:
        raise ValueError(f"a change of keys that is {state.value} cannot have {event.value}: read the key store anew")
    return after


def read_security_setup(link: Associated, setup: str = SECURITY) -> Session[SecuritySetup]:
    """Policy, suite, system titles, and certificates where the class has them."""
    fields = yield from read_fields(link, 64, setup, (2, 3, 4, 5, 6))
    return SecuritySetup(
        fields.integer(2), fields.integer(3), fields.octets(4), fields.octets(5),
        tuple(_certificate(row, fields.name(6)) for row in fields.items(6)),
    )  # fmt: skip


def own_security_setup(link: Associated) -> Session[str]:
    """OBIS of the security setup of the association that is open, as the association object has it (attribute 9); `SECURITY`
    where it does not tell, as in its first version and with short names.
    """
    if link.short is not None:
        return SECURITY
    try:
        named = yield from read(link, _OWN)
    except PeerError as error:
        if error.code not in ("peer-access", "peer-exception"):
            raise
        return SECURITY
    return ".".join(map(str, named)) if isinstance(named, bytes) and len(named) == _NAME and any(named) else SECURITY


def strengthen_policy(link: Associated, policy: int, setup: str = SECURITY) -> Session[None]:
    """Activate a stronger policy (method 1), in the numbers of the class's version. Meters take no weaker one back."""
    subject = f"64/{setup}/1"
    yield from call(link, 64, setup, 1, written(typed(axdr.ENUM, policy), subject))


def transfer_keys(
    link: Associated, keys: Sequence[NewKey], master: bytes, setup: str = SECURITY, *, suite: int = 0
) -> Session[None]:
    """Give the meter new keys, wrapped with its master key (AES key wrap, RFC 3394). All or none are taken.

    Returns where the meter took them. PeerError "peer-action" and the like: it did not. Anything else, a broken connection
    above all, leaves it open: see `KeyState`. DecodeError "object-value" where keys do not fit the suite, before anything is
    sent.
    """
    subject = f"64/{setup}/2"
    length = _KEY_LENGTH.get(suite)
    if length is None:
        raise unfit(subject, f"security suite {suite} is not known: 0, 1 and 2 are")
    if not 1 <= len(keys) <= _MOST_KEYS or len({key.kind for key in keys}) != len(keys):
        raise unfit(subject, "one to four keys, each of another kind, are transferred at once")
    if len(master) != length or any(len(key.key) != length for key in keys):
        raise unfit(subject, f"keys of suite {suite} have {length} octets, the master key too")
    rows = [pack(typed(axdr.ENUM, key.kind), typed(axdr.OCTET_STRING, aes_key_wrap(master, key.key))) for key in keys]
    yield from call(link, 64, setup, 2, written(pack_all(rows), subject))


def _certificate(row: axdr.Value, subject: str) -> Certificate:
    entity, kind, serial, issuer, name = structure(row, 5, subject)[:5]
    return Certificate(
        integer(entity, subject),
        integer(kind, subject),
        octets(serial, subject),
        octets(issuer, subject),
        octets(name, subject),
    )
