"""How to associate: what the command line says over what the template says, checked before anyone connects."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from pathlib import Path

from connectors.cli.failure import usage
from connectors.cli.probe.choices import Auth, Security
from connectors.protocols.dlms.association import Association
from connectors.protocols.dlms.ciphering import AUTHENTICATED, ENCRYPTED, KEY_OCTETS, Keys
from connectors.protocols.dlms.hdlc_link import HdlcLink
from connectors.protocols.dlms.hdlc_parameters import Stations
from connectors.protocols.dlms.hls import Hls, Mechanism
from connectors.protocols.dlms.link import Link, Timing, WrapperLink
from connectors.protocols.dlms.security import Channel, Counter
from connectors.protocols.dlms.signing import Identity
from connectors.protocols.dlms.template import PullTemplate

_MECHANISMS = {
    Auth.MD5: Mechanism.MD5, Auth.SHA1: Mechanism.SHA1, Auth.GMAC: Mechanism.GMAC,
    Auth.SHA256: Mechanism.SHA256, Auth.ECDSA: Mechanism.ECDSA,
}  # fmt: skip
_POLICIES = {
    Security.NONE: 0, Security.AUTHENTICATED: AUTHENTICATED, Security.ENCRYPTED: ENCRYPTED,
    Security.BOTH: AUTHENTICATED | ENCRYPTED,
}  # fmt: skip
WITH_SECRET = (Auth.LOW, Auth.MD5, Auth.SHA1, Auth.SHA256)


@dataclass(frozen=True, slots=True)
class Secrets:
    """What is secret on the command line, as text; nothing of it shows."""

    password: str = field(default="", repr=False)
    ek: str = field(default="", repr=False)
    ak: str = field(default="", repr=False)
    signing_key: Path | None = None
    certificate: Path | None = None
    """The meter's, for its signatures."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """Who speaks to whom, and how it is framed."""

    client: int
    server: int
    public_client: int
    hdlc: bool = False
    physical: int | None = None
    octets: int = 0
    """Of the meter's HDLC address; 0 is the shortest that fits."""

    def words(self, client: int) -> str:
        """The link as a person says it."""
        if not self.hdlc:
            return f"the wrapper, client {client}, server {self.server}"
        physical = "" if self.physical is None else f", physical {self.physical}"
        return f"HDLC, client {client}, server {self.server}{physical}"

    def link(self, client: int, timeout_s: float) -> Link:
        """A link of `client` to the meter."""
        timing = Timing(answer_s=timeout_s)
        if self.hdlc:
            return HdlcLink(Stations(client, self.server, self.physical, self.octets), timing=timing)
        return WrapperLink(client, self.server, timing)


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """All but the counter of an association; checked."""

    auth: Auth
    security: Security
    title: bytes
    """Our system title."""
    own_title: bool
    """Whether that was made up for this session: then no counter under it was ever used."""
    keys: Keys | None = None
    secret: bytes | None = field(default=None, repr=False)
    identity: Identity = field(default_factory=Identity)
    dedicated: bool = False

    @property
    def counted(self) -> bool:
        """Whether invocation counters are used."""
        return self.keys is not None

    @property
    def words(self) -> str:
        """As a person says it."""
        suite = f" suite {self.keys.suite}" if self.keys is not None else ""
        return f"authentication {self.auth}, security {self.security}{suite}"

    def association(self, counter: Counter | None) -> Association:
        """The association; with `counter` where counters are used."""
        mechanism = _MECHANISMS.get(self.auth)
        channel = None
        if self.keys is not None or mechanism in (Mechanism.SHA256, Mechanism.ECDSA):
            channel = Channel(
                title=self.title,
                keys=self.keys,
                counter=counter,
                policy=_POLICIES[self.security],
                dedicated=self.dedicated,
                identity=self.identity,
            )
        if mechanism is not None:
            return Association(hls=Hls(mechanism, self.secret), channel=channel)
        return Association(password=self.secret, channel=channel)


def access(
    pull: PullTemplate,
    given: Secrets,
    *,
    auth: Auth | None = None,
    security: Security | None = None,
    suite: int | None = None,
    title: str = "",
    dedicated: bool = False,
) -> Access:
    """Where nothing says how to authenticate, what is given decides: a password low, keys GMAC. Raises CommandError."""
    auth = auth or _authentication(Auth(pull.auth), given)
    suite = pull.suite if suite is None else suite
    if suite not in KEY_OCTETS:
        raise usage(
            f"there is no security suite {suite}", "there are 0 (AES-128), 1 (P-256, AES-128) and 2 (P-384, AES-256)"
        )
    if security is None:
        security = Security(pull.security) if pull.security != "none" else Security.BOTH if given.ek else Security.NONE
    if auth in WITH_SECRET and not given.password:
        raise usage(f"authentication {auth} needs a password", "set HES_PASSWORD, or run it on a terminal and type it")
    keys = _keys(given, suite) if security is not Security.NONE or auth is Auth.GMAC else None
    if keys is not None and keys.ak is None and (auth is Auth.GMAC or security in (Security.AUTHENTICATED, Security.BOTH)):
        raise usage("the authentication key is missing", "give it by --ak or HES_AK; --security encrypted needs none")
    dedicated = dedicated or pull.dedicated
    if dedicated and security not in (Security.ENCRYPTED, Security.BOTH):
        raise usage("a dedicated key must travel encrypted", "give --security both, or leave out --dedicated")
    return Access(
        auth=auth,
        security=security,
        title=_title(title),
        own_title=not title,
        keys=keys,
        secret=password_octets(given.password) if auth in WITH_SECRET else None,
        identity=_identity(given) if auth is Auth.ECDSA else Identity(),
        dedicated=dedicated,
    )


def password_octets(text: str) -> bytes:
    """A password as it is typed, or its octets as 0x and hex. Raises CommandError, which does not repeat it."""
    if not text.startswith("0x"):
        return text.encode()
    try:
        return bytes.fromhex(text[2:])
    except ValueError:
        raise usage("the password begins with 0x and is no hex", "write its octets as hex, two digits each") from None


def _authentication(template: Auth, given: Secrets) -> Auth:
    if template is not Auth.NONE:
        return template
    if given.password:
        return Auth.LOW
    return Auth.GMAC if given.ek else Auth.NONE


def _keys(given: Secrets, suite: int) -> Keys:
    if not given.ek:
        raise usage(
            "the encryption key is missing", "give it by --ek or HES_EK, and the authentication key by --ak or HES_AK"
        )
    octets = {"--ek": b"", "--ak": b""}
    for name, text in (("--ek", given.ek), ("--ak", given.ak)):
        try:
            octets[name] = bytes.fromhex(text)
        except ValueError:
            digits = KEY_OCTETS[suite] * 2
            raise usage(f"{name} is no hex", f"a key of suite {suite} is {digits} hex digits") from None
    try:
        return Keys(octets["--ek"], octets["--ak"] or None, suite=suite)
    except ValueError as error:  # names lengths only
        raise usage(str(error), "check --ek, --ak and --suite") from None


def _title(text: str) -> bytes:
    if not text:
        return b"HES" + secrets.token_bytes(5)
    try:
        title = bytes.fromhex(text)
    except ValueError:
        title = b""
    if len(title) != 8:
        raise usage("--system-title is not 16 hex digits", "it is the client's, such as 4845530000000001, not the meter's")
    return title


def _identity(given: Secrets) -> Identity:
    """Our signing key and the meter's public one, out of PEM files. What an error says never comes from them."""
    from cryptography import x509  # noqa: PLC0415 - for this alone
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415

    if given.signing_key is None or given.certificate is None:
        raise usage(
            "authentication hls-ecdsa needs our signing key and the meter's certificate",
            "give --signing-key FILE and --meter-certificate FILE, both PEM",
        )
    ours, theirs = _file(given.signing_key), _file(given.certificate)
    try:
        signing = serialization.load_pem_private_key(ours, None)
        public = (
            x509.load_pem_x509_certificate(theirs).public_key()
            if b"CERTIFICATE" in theirs
            else serialization.load_pem_public_key(theirs)
        )
    except (ValueError, TypeError):
        raise usage(
            f"{given.signing_key} or {given.certificate} cannot be read",
            "a private key in PEM without a passphrase, and a certificate or public key in PEM, are expected",
        ) from None
    if not isinstance(signing, ec.EllipticCurvePrivateKey) or not isinstance(public, ec.EllipticCurvePublicKey):
        raise usage("a key for signatures is on no elliptic curve", "P-256 (suite 1) or P-384 (suite 2) is expected")
    return Identity(signing=signing, peer_signing=public)


def _file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise usage(f"cannot read {path}: {error.strerror}") from error
