"""Elliptic curve keys and digital signatures of security suites 1 and 2 (IEC 62056-5-3, 9.2.3.4).

    suite 1   P-256, SHA-256, AES-128        suite 2   P-384, SHA-384, AES-256

Points and signatures travel plain: x || y and r || s, each half as long as the curve's field; a leading 04 is tolerated
in a point. Keys never show in a repr or an error.
"""

from __future__ import annotations

from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils

from connectors.protocols.dlms.errors import CipherError

PrivateKey = ec.EllipticCurvePrivateKey
PublicKey = ec.EllipticCurvePublicKey


@dataclass(frozen=True, slots=True)
class Suite:
    """What a security suite with public keys is made of."""

    number: int
    curve: ec.EllipticCurve
    hash: hashes.HashAlgorithm
    half: int
    """Octets of a coordinate, of half a signature and of a private key."""
    key: int
    """Octets of a symmetric key."""
    algorithm: bytes
    """AlgorithmID of AES-GCM for the key derivation: 2.16.756.5.8.3.0 or .1."""


SUITES = {
    1: Suite(1, ec.SECP256R1(), hashes.SHA256(), 32, 16, bytes.fromhex("60857405080300")),
    2: Suite(2, ec.SECP384R1(), hashes.SHA384(), 48, 32, bytes.fromhex("60857405080301")),
}


@dataclass(frozen=True, slots=True, repr=False)
class Identity:
    """Our key pairs and the meter's public keys, as far as they are known. Signing and key agreement have keys of their own.

    The meter's keys come from certificates that somebody has verified: nothing here trusts what a meter sends of itself.
    """

    signing: PrivateKey | None = None
    agreement: PrivateKey | None = None
    peer_signing: PublicKey | None = None
    peer_agreement: PublicKey | None = None

    def __repr__(self) -> str:
        names = ("signing", "agreement", "peer_signing", "peer_agreement")
        return f"Identity({', '.join(f'{name}=***' for name in names if getattr(self, name) is not None)})"


NOBODY = Identity()
"""No keys at all."""


def suite_of(key: PrivateKey | PublicKey) -> Suite:
    """The suite whose curve the key lies on. Raises CipherError "cipher-suite-unsupported"."""
    for suite in SUITES.values():
        if key.curve.name == suite.curve.name:
            return suite
    detail = f"a key on the curve {key.curve.name}: suites 1 and 2 have P-256 and P-384"
    raise CipherError("cipher-suite-unsupported", detail)


def private_key(octets: bytes, suite: int) -> PrivateKey:
    """A private key from its plain number of 32 (suite 1) or 48 octets; ValueError where it is none."""
    curve = SUITES[suite]
    if len(octets) != curve.half:
        raise ValueError(f"a private key of {len(octets)} octets: suite {suite} has {curve.half}")
    try:
        return ec.derive_private_key(int.from_bytes(octets, "big"), curve.curve)
    except ValueError:
        raise ValueError(f"no private key of suite {suite}") from None


def public_key(octets: bytes, suite: int) -> PublicKey:
    """A public key from x || y. Raises CipherError "cipher-malformed" where that is no point of the curve."""
    curve = SUITES[suite]
    plain = octets[1:] if len(octets) == 2 * curve.half + 1 and octets[0] == 4 else octets
    if len(plain) == 2 * curve.half:
        try:
            return PublicKey.from_encoded_point(curve.curve, b"\x04" + plain)
        except ValueError:
            pass
    raise CipherError("cipher-malformed", f"{len(octets)} octets that are no point of the curve of suite {suite}")


def point(key: PublicKey) -> bytes:
    """The point x || y."""
    numbers, half = key.public_numbers(), suite_of(key).half
    return numbers.x.to_bytes(half, "big") + numbers.y.to_bytes(half, "big")


def sign(key: PrivateKey, data: bytes) -> bytes:
    """The signature r || s over `data`, with the hash of the key's suite. Neither begins with a zero octet: meters by
    gurux take such a one for malformed, and refuse one association in 128.
    """
    suite = suite_of(key)
    while True:
        numbers = utils.decode_dss_signature(key.sign(data, ec.ECDSA(suite.hash)))
        r, s = (number.to_bytes(suite.half, "big") for number in numbers)
        if r[0] and s[0]:
            return r + s


def verify(key: PublicKey, data: bytes, signature: bytes) -> bool:
    """Whether `signature` (r || s) is this key's over `data`."""
    suite = suite_of(key)
    if len(signature) != 2 * suite.half:
        return False
    r, s = (int.from_bytes(part, "big") for part in (signature[: suite.half], signature[suite.half :]))
    try:
        key.verify(utils.encode_dss_signature(r, s), data, ec.ECDSA(suite.hash))
    except InvalidSignature:
        return False
    return True
