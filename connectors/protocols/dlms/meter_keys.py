"""Everything secret, or signed for, that a head-end holds about one meter, as plain octets: what key stores keep."""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field, fields

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from connectors.protocols.dlms.errors import CipherError
from connectors.protocols.dlms.signing import SUITES, PrivateKey, PublicKey, point, public_key, suite_of

_MARK = b"which key"
_PEM = b"-----BEGIN"
_USER = 10


@dataclass(frozen=True, slots=True)
class MeterKeys:
    """Keys of 16 (suites 0 and 1) or 32 octets, private keys as their number of 32 (suite 1) or 48, public keys as x || y.

    Under a head-end's own system title a key store may hold what is the same for every meter: `signing`, `agreement`,
    `certificate`.
    """

    ek: bytes | None = field(default=None, repr=False)
    """Global unicast encryption key."""
    ak: bytes | None = field(default=None, repr=False)
    """Authentication key."""
    password: bytes | None = field(default=None, repr=False)
    """Of low level security, and the secret of high level security with MD5, SHA-1 and SHA-256."""
    kek: bytes | None = field(default=None, repr=False)
    """Key encryption key, the meter's master key: wraps others."""
    broadcast: bytes | None = field(default=None, repr=False)
    """Global broadcast encryption key."""
    signing: bytes | None = field(default=None, repr=False)
    """Our private key for signatures."""
    agreement: bytes | None = field(default=None, repr=False)
    """Our private key for key agreement."""
    certificate: bytes | None = field(default=None, repr=False)
    """Ours for signatures, in DER: sent along to a meter that does not have it."""
    meter_signing: bytes | None = field(default=None, repr=False)
    """The meter's public key for signatures."""
    meter_agreement: bytes | None = field(default=None, repr=False)
    """The meter's public key for key agreement."""
    meter: str = field(default="", repr=False)
    """Id of the meter whose keys these are; empty where nobody said."""
    eax: bytes | None = field(default=None, repr=False)
    """ANSI C12.22: keys of EAX', each its key id in one octet and its sixteen."""
    des: bytes | None = field(default=None, repr=False)
    """ANSI C12.21: the key's number in one octet and its eight."""
    user: bytes | None = field(default=None, repr=False)
    """ANSI C12.18: who logs on, as `user id` or `user id:name`; the password is `password`."""
    made: str = field(default="", repr=False, compare=False)
    """Names of those that the head-end itself gave the meter, by a space: nobody else has them."""

    def over(self, other: MeterKeys) -> MeterKeys:
        """These, and of `other` what is not among them."""
        given = {item.name: getattr(self, item.name) for item in fields(self)}
        return MeterKeys(**{name: getattr(other, name) if value in (None, "") else value for name, value in given.items()})

    @property
    def given(self) -> tuple[str, ...]:
        """The names of those that are there."""
        return tuple(item.name for item in fields(self) if isinstance(getattr(self, item.name), bytes))


SECRET_FIELDS = ("ek", "ak", "kek", "broadcast")
"""Symmetric keys."""
PRIVATE_FIELDS = ("signing", "agreement")
PUBLIC_FIELDS = ("meter_signing", "meter_agreement")


def mark(ek: bytes) -> str:
    """Tells keys apart without telling them: four octets as hex. Who holds a frame under a key can tell as much of it."""
    return hmac.new(ek, _MARK, "sha256").hexdigest()[:8]


def read_symmetric(text: str) -> bytes:
    """A key of 16 or 32 octets from hex. ValueError, which does not repeat it."""
    octets = _hex(text)
    if len(octets) not in (16, 32):
        raise ValueError(f"has {len(octets)} octets, 16 or 32 are needed")
    return octets


def read_private(text: str) -> bytes:
    """A private key from PEM (PKCS 8 or SEC 1, no passphrase), DER as hex, or its number as hex. ValueError."""
    octets = text.strip().encode()
    if not octets.startswith(_PEM):
        octets = _hex(text)
        if len(octets) in (suite.half for suite in SUITES.values()):
            return _number(_derived(octets))
    try:
        load = serialization.load_pem_private_key if octets.startswith(_PEM) else serialization.load_der_private_key
        key = load(octets, None)
    except (ValueError, TypeError):
        raise ValueError("is no private key: PEM without a passphrase, or hex, is expected") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError(  # noqa: TRY004 - a wrong file, not a wrong call
            "is a private key on no elliptic curve: P-256 (suite 1) or P-384 (suite 2) is expected"
        )
    return _number(key)


def read_public(text: str) -> bytes:
    """A public key from a certificate or key in PEM, DER as hex, or its point x || y as hex (04 before it or not)."""
    octets = text.strip().encode()
    if not octets.startswith(_PEM):
        octets = _hex(text)
        for suite in SUITES.values():
            if len(octets) in (2 * suite.half, 2 * suite.half + 1):
                return point(_pointed(octets, suite.number))
    key = _public(octets)
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise ValueError(  # noqa: TRY004 - a wrong file, not a wrong call
            "is a public key on no elliptic curve: P-256 (suite 1) or P-384 (suite 2) is expected"
        )
    return _point(key)


def read_certificate(text: str) -> bytes:
    """A certificate as DER, from PEM or DER as hex. ValueError."""
    octets = text.strip().encode()
    try:
        if octets.startswith(_PEM):
            return x509.load_pem_x509_certificate(octets).public_bytes(serialization.Encoding.DER)
        return x509.load_der_x509_certificate(_hex(text)).public_bytes(serialization.Encoding.DER)
    except ValueError:
        raise ValueError("is no certificate: PEM, or DER as hex, is expected") from None


def read_eax(text: str) -> bytes:
    """Keys by key id, as `0=HEX 1=HEX`; one key alone has the id 0. ValueError, which does not repeat them."""
    parts = text.split()
    found = b"".join(_numbered(part, 16) for part in parts)
    if not parts or len({found[at] for at in range(0, len(found), 17)}) != len(parts):
        raise ValueError("needs keys of 16 octets, each with its own id: 0=HEX 1=HEX")
    return found


def read_des(text: str) -> bytes:
    """A key of eight octets with its number, as `0=HEX`; without a number it is 0. ValueError."""
    return _numbered(text.strip(), 8)


def read_user(text: str) -> bytes:
    """Who logs on, as `2` or `2:NAME`. ValueError."""
    number, _, name = text.strip().partition(":")
    if not (number.isdecimal() and number.isascii() and int(number) <= 0xFFFF) or len(name.encode()) > _USER:
        raise ValueError(f"is no user: a number up to 65535, or number:name with a name of at most {_USER} characters")
    return text.strip().encode()


READERS = (
    dict.fromkeys(SECRET_FIELDS, read_symmetric)
    | dict.fromkeys(PRIVATE_FIELDS, read_private)
    | dict.fromkeys(PUBLIC_FIELDS, read_public)
    | {"certificate": read_certificate, "eax": read_eax, "des": read_des, "user": read_user}
)
"""How each field is read from text. What an error says never comes from the text."""


def _hex(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise ValueError("is not hex") from None


def _numbered(text: str, size: int) -> bytes:
    number, _, digits = text.rpartition("=")
    octets = _hex(digits)
    if len(octets) != size or not (number or "0").isdecimal() or not (number or "0").isascii() or int(number or 0) > 255:
        raise ValueError(f"has no key of {size} octets with an id from 0 to 255: 0=HEX is expected")
    return bytes((int(number or 0),)) + octets


def _derived(octets: bytes) -> PrivateKey:
    curve = next(suite.curve for suite in SUITES.values() if suite.half == len(octets))
    try:
        return ec.derive_private_key(int.from_bytes(octets, "big"), curve)
    except ValueError:
        raise ValueError("is no private key of its curve") from None


def _number(key: PrivateKey) -> bytes:
    try:
        half = suite_of(key).half
    except CipherError as error:
        raise ValueError(f"is {error.detail}") from None
    return key.private_numbers().private_value.to_bytes(half, "big")


def _pointed(octets: bytes, suite: int) -> PublicKey:
    try:
        return public_key(octets, suite)
    except CipherError as error:
        raise ValueError(f"has {error.detail}") from None


def _point(key: PublicKey) -> bytes:
    try:
        return point(key)
    except CipherError as error:
        raise ValueError(f"is {error.detail}") from None


def _public(octets: bytes) -> object:
    try:
        if octets.startswith(_PEM):
            if b"CERTIFICATE" in octets:
                return x509.load_pem_x509_certificate(octets).public_key()
            return serialization.load_pem_public_key(octets)
        try:
            return x509.load_der_x509_certificate(octets).public_key()
        except ValueError:
            return serialization.load_der_public_key(octets)
    except (ValueError, TypeError):
        raise ValueError("is no certificate and no public key: PEM, or hex, is expected") from None
