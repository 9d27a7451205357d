"""How a meter is associated with: what its template asks for, made of what is held about it, checked before anyone connects.

One place for the gateway and for `hes probe`: they differ in where keys come from and how counters are kept, and in
nothing of the association.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from connectors.protocols.dlms.association import PROPOSED, PROPOSED_SHORT_NAMES, Association
from connectors.protocols.dlms.ciphering import AUTHENTICATED, ENCRYPTED, Keys
from connectors.protocols.dlms.errors import CipherError
from connectors.protocols.dlms.general_ciphering import KeyInfo
from connectors.protocols.dlms.hls import Hls, Mechanism
from connectors.protocols.dlms.meter_keys import MeterKeys, mark
from connectors.protocols.dlms.security import Channel, Counter, Wrapping
from connectors.protocols.dlms.signing import SUITES, Identity, private_key, public_key
from connectors.protocols.dlms.template import PullTemplate, contradiction

MECHANISMS = {
    "hls-md5": Mechanism.MD5, "hls-sha1": Mechanism.SHA1, "hls-gmac": Mechanism.GMAC,
    "hls-sha256": Mechanism.SHA256, "hls-ecdsa": Mechanism.ECDSA,
}  # fmt: skip
POLICIES = {"none": 0, "authenticated": AUTHENTICATED, "encrypted": ENCRYPTED, "both": AUTHENTICATED | ENCRYPTED}
WRAPPINGS = {"service": Wrapping.SERVICE, "general": Wrapping.GENERAL, "general-ciphering": Wrapping.CIPHERING}
KEY_INFOS = {
    "identified": KeyInfo.IDENTIFIED, "wrapped": KeyInfo.WRAPPED, "one-pass": KeyInfo.ONE_PASS, "static": KeyInfo.STATIC,
}  # fmt: skip
WITH_SECRET = ("low", "hls-md5", "hls-sha1", "hls-sha256")
"""Authentications that need a password."""
TITLED = ("hls-gmac", "hls-sha256", "hls-ecdsa")
"""Authentications in which both sides' system titles count."""

WORDS = {
    "password": "password",
    "ek": "encryption key (EK)",
    "ak": "authentication key (AK)",
    "kek": "master key (KEK)",
    "signing": "signing key of ours",
    "agreement": "key agreement key of ours",
    "meter_signing": "public signing key of the meter",
    "meter_agreement": "public key agreement key of the meter",
}
"""What may be needed, by its field of `MeterKeys`, as a person says it."""


class Tally(Counter, Protocol):
    """Counters of one key, and how far the meter's own have been heard."""

    def heard_under(self, mark: str) -> int:
        """The last counter of the meter's that came authenticated under the key of this mark; -1 where none did."""


class AccessError(Exception):
    """The association cannot be made: `code` is "key-missing", "key-unfit", "title-shared" or "template-contradictory",
    `lacking` the fields of `MeterKeys` that are missing. What it says holds no key.
    """

    def __init__(self, code: str, what: str, lacking: tuple[str, ...] = ()) -> None:
        super().__init__(what)
        self.code = code
        self.lacking = lacking


@dataclass(frozen=True, slots=True)
class Access:
    """All but the counters of an association with one meter; checked."""

    pull: PullTemplate
    title: bytes
    """Our system title."""
    keys: Keys | None = None
    password: bytes | None = field(default=None, repr=False)
    peer: bytes | None = None
    """The meter's system title, where it is known."""
    identity: Identity = field(default_factory=Identity)
    certificate: bytes | None = field(default=None, repr=False)
    """Ours, sent along with ECDSA."""

    @property
    def counted(self) -> bool:
        """Whether invocation counters are used."""
        return self.keys is not None

    @property
    def tells_secret(self) -> bool:
        """Whether whoever answers is told the password."""
        return self.pull.auth == "low"

    @property
    def words(self) -> str:
        """As a person says it."""
        pull = self.pull
        said = [f"authentication {pull.auth}", f"security {pull.security}"]
        if self.keys is not None or pull.auth == "hls-ecdsa":
            said[-1] += f" suite {pull.suite}"
        if pull.ciphering != "service":
            said.append(pull.ciphering + (f" ({pull.key_info} key)" if pull.ciphering == "general-ciphering" else ""))
        named = (("dedicated key", pull.dedicated), ("signed", pull.signed), ("short names", pull.referencing == "sn"))
        return ", ".join(said + [name for name, applies in named if applies])

    @property
    def public(self) -> Association:
        """The association of the public client: without authentication, by the names that this meter has."""
        short = self.pull.referencing == "sn"
        return Association(conformance=PROPOSED_SHORT_NAMES, short_names=True) if short else Association()

    def association(self, counter: Tally | None) -> Association:
        """The association; with `counter` where counters are used."""
        pull, mechanism = self.pull, MECHANISMS.get(self.pull.auth)
        channel = None
        if self.keys is not None or (mechanism is not None and mechanism >= Mechanism.GMAC):
            heard = -1 if counter is None or self.keys is None else counter.heard_under(mark(self.keys.ek))
            channel = Channel(
                title=self.title,
                keys=self.keys,
                counter=counter,
                peer=self.peer,
                heard=heard,
                policy=POLICIES[pull.security],
                wrapping=WRAPPINGS[pull.ciphering],
                key_info=KEY_INFOS[pull.key_info],
                dedicated=pull.dedicated,
                signed=pull.signed,
                identity=self.identity,
            )
        short = pull.referencing == "sn"
        return Association(
            password=self.password if mechanism is None else None,
            conformance=PROPOSED_SHORT_NAMES if short else PROPOSED,
            hls=None if mechanism is None else Hls(mechanism, self.password, self._challenge(mechanism), self.certificate),
            channel=channel,
            short_names=short,
            gbt_window=pull.gbt_window,
        )

    def _challenge(self, mechanism: Mechanism) -> int:
        """Octets of our challenge. gurux' server in C answers one of 32 with a wrong proof; ECDSA has 32 at least."""
        return self.pull.challenge_octets or (32 if mechanism is Mechanism.ECDSA else 16)


def needs(pull: PullTemplate) -> tuple[str, ...]:
    """The fields of `MeterKeys` that a template asks for."""
    gmac, signs = pull.auth == "hls-gmac", pull.auth == "hls-ecdsa" or pull.signed
    one_pass, static = pull.key_info == "one-pass", pull.key_info == "static"
    wanted = {
        "password": pull.auth in WITH_SECRET,
        "ek": gmac or pull.security != "none",
        "ak": gmac or pull.security in ("authenticated", "both"),
        "kek": pull.key_info == "wrapped",
        "signing": signs or one_pass,
        "agreement": one_pass or static,
        "meter_signing": signs or one_pass,
        "meter_agreement": one_pass or static,
    }
    return tuple(name for name, applies in wanted.items() if applies)


def access(pull: PullTemplate, held: MeterKeys, title: bytes, peer: bytes | None = None) -> Access:
    """What is needed to associate, as `pull` asks. Only what it asks for is looked at. Raises AccessError."""
    if wrong := contradiction(pull):
        raise AccessError("template-contradictory", wrong)
    if peer == title and (pull.security != "none" or pull.auth in TITLED):
        what = f"its system title {title.hex().upper()} is the one that we use: the two would encrypt under the same nonces"
        raise AccessError("title-shared", what)
    wanted = needs(pull)
    lacking = tuple(name for name in wanted if getattr(held, name) is None)
    if lacking:
        raise AccessError("key-missing", "no " + " and no ".join(WORDS[name] for name in lacking), lacking)
    try:
        keys = None
        if held.ek is not None and "ek" in wanted:
            kek = held.kek if "kek" in wanted else None
            keys = Keys(held.ek, held.ak if "ak" in wanted else None, kek=kek, suite=pull.suite)
        identity = _identity(held, pull, wanted)
    except ValueError as error:  # names lengths only
        raise AccessError("key-unfit", str(error)) from None
    password = held.password if "password" in wanted else None
    certificate = held.certificate if pull.auth == "hls-ecdsa" else None
    return Access(pull, title, keys, password, peer, identity, certificate)


def _identity(held: MeterKeys, pull: PullTemplate, wanted: tuple[str, ...]) -> Identity:
    """The key pairs that are wanted. ValueError where one is of another suite or none."""
    if pull.suite not in SUITES:
        return Identity()
    made = {}
    for name in ("signing", "agreement"):
        octets = getattr(held, name)
        if name in wanted and octets is not None:
            made[name] = private_key(octets, pull.suite)
    peers = {}
    for name in ("meter_signing", "meter_agreement"):
        octets = getattr(held, name)
        if name in wanted and octets is not None:
            try:
                peers[name] = public_key(octets, pull.suite)
            except CipherError as error:
                raise ValueError(f"the {WORDS[name]} does not fit suite {pull.suite}: {error.detail}") from None
    return Identity(made.get("signing"), made.get("agreement"), peers.get("meter_signing"), peers.get("meter_agreement"))
