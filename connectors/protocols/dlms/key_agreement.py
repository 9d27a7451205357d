"""Keys that travel or are agreed on: AES key wrap and elliptic curve Diffie-Hellman (IEC 62056-5-3, 9.2.3.3.8, 9.2.3.4.6).

    C(2e, 0s)   ephemeral unified model   both send an ephemeral point, signed   method key_agreement of a security setup
    C(1e, 1s)   one-pass Diffie-Hellman   the sender's is ephemeral, signed      general-ciphering, key-parameters 01
    C(0e, 2s)   static unified model      both static, the nonce varies          general-ciphering, key-parameters 02

The key is the first octets of the hash of 00000001 || Z || AlgorithmID || originator [|| length and nonce] || recipient
(NIST SP 800-56A, 5.8.1): who sends is the originator, whoever that is. Z is used for nothing else and kept nowhere.
"""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.kdf.concatkdf import ConcatKDFHash
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap

from connectors.protocols.dlms.errors import CipherError
from connectors.protocols.dlms.signing import SUITES, PrivateKey, PublicKey, point, public_key, sign, suite_of, verify


def agree(ours: PrivateKey, theirs: PublicKey, originator: bytes, recipient: bytes, nonce: bytes = b"") -> bytes:
    """The AES key of the two parties, with system titles of 8 octets; `nonce` is C(0e, 2s)'s, the transaction-id."""
    suite = suite_of(ours)
    if theirs.curve.name != ours.curve.name:
        raise CipherError("cipher-suite-unsupported", "the two keys to agree with are of different suites", originator)
    nonced = bytes((len(nonce),)) + nonce if nonce else b""
    return derive(ours.exchange(ec.ECDH(), theirs), suite.number, originator + nonced, recipient)


def derive(secret: bytes, suite: int, party_u: bytes, party_v: bytes) -> bytes:
    """The AES key out of the shared secret Z, for the suite's AES-GCM."""
    made_of = SUITES[suite]
    return ConcatKDFHash(made_of.hash, made_of.key, made_of.algorithm + party_u + party_v).derive(secret)


def ephemeral(signer: PrivateKey, prefix: bytes = b"") -> tuple[PrivateKey, bytes]:
    """A key pair for one message, and its point with the signature that vouches for it.

    `prefix` is signed before the point: nothing in general-ciphering, the key_id in a security setup's key_agreement.
    """
    pair = ec.generate_private_key(suite_of(signer).curve)
    offered = point(pair.public_key())
    return pair, offered + sign(signer, prefix + offered)


def read_ephemeral(octets: bytes, signer: PublicKey, prefix: bytes = b"") -> PublicKey:
    """The point that `ephemeral` made, once its signature is the signer's. Raises CipherError."""
    suite = suite_of(signer)
    if len(octets) != 4 * suite.half:
        detail = f"an ephemeral key with its signature of {len(octets)} octets: suite {suite.number} has {4 * suite.half}"
        raise CipherError("cipher-malformed", detail)
    offered, signature = octets[: 2 * suite.half], octets[2 * suite.half :]
    if not verify(signer, prefix + offered, signature):
        detail = "the ephemeral key's signature does not verify: the signing key is not the meter's, or octets changed"
        raise CipherError("cipher-authentication", detail)
    return public_key(offered, suite.number)


def wrap(kek: bytes, key: bytes) -> bytes:
    """`key` under the key encryption key (RFC 3394), eight octets longer; ValueError for lengths that AES has not."""
    return aes_key_wrap(kek, key)


def unwrap(kek: bytes, wrapped: bytes) -> bytes:
    """The key in `wrapped`. Raises CipherError where it was wrapped under another KEK, altered or is none."""
    if len(wrapped) not in (24, 40):
        raise CipherError("cipher-malformed", f"a wrapped key of {len(wrapped)} octets: 24 or 40 are expected")
    try:
        return aes_key_unwrap(kek, wrapped)
    except InvalidUnwrap:
        detail = "a wrapped key does not open: the master key (KEK) is not the meter's, or octets changed on the way"
        raise CipherError("cipher-authentication", detail) from None
