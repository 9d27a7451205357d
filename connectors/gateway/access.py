"""How a meter is associated with: what its template asks for, made of what the key store holds and the registry says."""

from __future__ import annotations

from dataclasses import dataclass, field

from connectors.gateway.errors import JobError, KeyStoreError
from connectors.gateway.keystore import KeyStore, MeterKeys
from connectors.gateway.reservations import Counting
from connectors.protocols.dlms.association import Association
from connectors.protocols.dlms.ciphering import AUTHENTICATED, ENCRYPTED, Keys
from connectors.protocols.dlms.hls import Hls, Mechanism
from connectors.protocols.dlms.security import Channel
from connectors.protocols.dlms.template import PullTemplate
from schemas.records import IdentityKind, Meter

_MECHANISMS = {
    "hls-md5": Mechanism.MD5,
    "hls-sha1": Mechanism.SHA1,
    "hls-gmac": Mechanism.GMAC,
    "hls-sha256": Mechanism.SHA256,
}
_POLICIES = {"none": 0, "authenticated": AUTHENTICATED, "encrypted": ENCRYPTED, "both": AUTHENTICATED | ENCRYPTED}
_WITH_SECRET = ("low", "hls-md5", "hls-sha1", "hls-sha256")


@dataclass(frozen=True, slots=True)
class Access:
    """All but the counters of an association with one meter; checked."""

    pull: PullTemplate
    title: bytes
    """Our system title."""
    keys: Keys | None
    password: bytes | None = field(repr=False)
    peer: bytes | None
    """The meter's system title, where it is registered."""

    @property
    def counted(self) -> bool:
        """Whether invocation counters are used."""
        return self.keys is not None

    @property
    def tells_secret(self) -> bool:
        """Whether whoever answers is told the password."""
        return self.pull.auth == "low"

    def association(self, counting: Counting | None) -> Association:
        """The association; with `counting` where counters are used."""
        mechanism = _MECHANISMS.get(self.pull.auth)
        channel = None
        if self.keys is not None or (mechanism is not None and mechanism >= Mechanism.GMAC):
            channel = Channel(
                title=self.title,
                keys=self.keys,
                counter=counting,
                peer=self.peer,
                heard=-1 if counting is None else counting.heard,
                policy=_POLICIES[self.pull.security],
                dedicated=self.pull.dedicated,
            )
        if mechanism is not None:
            return Association(hls=Hls(mechanism, self.password), channel=channel)
        return Association(password=self.password, channel=channel)


def access_of(meter: Meter, pull: PullTemplate, store: KeyStore, title: bytes) -> Access:
    """What is needed to associate with a meter, before anyone connects. Raises `JobError`."""
    needs_secret = pull.auth in _WITH_SECRET
    needs_keys = pull.security != "none" or pull.auth == "hls-gmac"
    known = _keys_of(meter, store) if needs_secret or needs_keys else MeterKeys()
    if needs_secret and known.password is None:
        detail = f"no password under {meter.key_ref!r} for meter {meter.id}; import the meter's keys"
        raise JobError("key-missing", detail)
    if needs_keys and (known.ek is None or known.ak is None):
        detail = (
            f"no encryption and authentication key under {meter.key_ref!r} for meter {meter.id}; import the meter's keys"
        )
        raise JobError("key-missing", detail)
    try:
        keys = Keys(known.ek, known.ak, suite=pull.suite) if needs_keys and known.ek is not None else None
    except ValueError as error:
        raise JobError("key-missing", f"the keys under {meter.key_ref!r} of meter {meter.id} do not fit: {error}") from None
    return Access(pull, title, keys, known.password if needs_secret else None, _peer_of(meter))


def _keys_of(meter: Meter, store: KeyStore) -> MeterKeys:
    try:
        return (store.get(meter.key_ref) if meter.key_ref else None) or MeterKeys()
    except KeyStoreError as error:
        raise JobError("key-missing", str(error)) from None


def _peer_of(meter: Meter) -> bytes | None:
    for identity in meter.identities:
        if identity.kind is IdentityKind.SYSTEM_TITLE:
            try:
                title = bytes.fromhex(identity.value)
            except ValueError:
                return None
            return title if len(title) == 8 else None
    return None
