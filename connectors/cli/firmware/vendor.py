"""The manufacturer's signature over an image's file: Ed25519, ECDSA on P-256 or P-384, RSA."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Callable, Iterator
from functools import partial

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from connectors.cli.failure import CommandError, usage

PublicKey = Ed25519PublicKey | ec.EllipticCurvePublicKey | rsa.RSAPublicKey
_RSA_BITS = 2048
_CURVES = {"secp256r1": ("P-256", 32), "secp384r1": ("P-384", 48)}
_HASHES = (hashes.SHA256(), hashes.SHA384(), hashes.SHA512())
_LONGEST = 65_536
_HEX = re.compile(rb"[0-9A-Fa-f\s]+")


def public_key(pem: bytes) -> PublicKey:
    """The manufacturer's key: a public key in PEM, or that of a certificate, whose own signature is not looked at: whether
    it is the manufacturer's is for whoever names it to know.
    """
    try:
        is_certificate = b"BEGIN CERTIFICATE" in pem
        key: object = (
            x509.load_pem_x509_certificate(pem).public_key() if is_certificate else serialization.load_pem_public_key(pem)
        )
    except (ValueError, UnsupportedAlgorithm) as error:
        raise usage("the vendor's key is no public key in PEM", "give a PUBLIC KEY or a CERTIFICATE in PEM") from error
    if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in _CURVES:
        return key
    if isinstance(key, rsa.RSAPublicKey) and key.key_size >= _RSA_BITS:
        return key
    if isinstance(key, Ed25519PublicKey):
        return key
    raise usage(
        "the vendor's key is of a kind that is not checked here",
        f"Ed25519, ECDSA on P-256 or P-384, and RSA from {_RSA_BITS} bits are; or give --sha256",
    )


def checked(data: bytes, pem: bytes, given: bytes) -> str:
    """How the file is proven to be the manufacturer's, such as `Ed25519 by key 6f1c…`. `CommandError` where it is not.

    The signature may be binary, hex or base64; one of ECDSA in DER or as its two numbers.
    """
    key = public_key(pem)
    for signature in _forms(given):
        for name, verify in _ways(key, signature, data):
            try:
                verify()
            except (InvalidSignature, ValueError):
                continue
            return f"{name} by key {fingerprint(key)[:16]}"
    raise CommandError(
        "the manufacturer's signature is not of this key over this file: it was altered, or is another's",
        mend="do not install it; get file, signature and key from the manufacturer again",
    )


def fingerprint(key: PublicKey) -> str:
    """SHA-256 over the key as X.509 has it (SubjectPublicKeyInfo), hex."""
    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(der).hexdigest()


def _forms(given: bytes) -> Iterator[bytes]:
    """What a signature's file may mean."""
    if not 0 < len(given) <= _LONGEST:
        raise usage("the file of the vendor's signature is empty or too large", "name the signature with --vendor-signature")
    yield given
    text = given.strip()
    try:
        if _HEX.fullmatch(text):
            yield bytes.fromhex(text.decode())
        yield base64.b64decode(b"".join(text.split()), validate=True)
    except (ValueError, binascii.Error):
        return


def _ways(key: PublicKey, signature: bytes, data: bytes) -> Iterator[tuple[str, Callable[[], None]]]:
    """Every way in which a key of this kind may have signed, with its name."""
    if isinstance(key, Ed25519PublicKey):
        yield "Ed25519", partial(key.verify, signature, data)
    elif isinstance(key, ec.EllipticCurvePublicKey):
        curve, octets = _CURVES[key.curve.name]
        numbers = [_der(signature, octets)] if len(signature) == 2 * octets else []
        for used in _HASHES:
            for form in (signature, *numbers):
                yield f"ECDSA {curve} with {used.name.upper()}", partial(key.verify, form, data, ec.ECDSA(used))
    else:
        for used in _HASHES:
            salted = padding.PSS(padding.MGF1(used), padding.PSS.AUTO)
            yield f"RSA with {used.name.upper()}", partial(key.verify, signature, data, padding.PKCS1v15(), used)
            yield f"RSA-PSS with {used.name.upper()}", partial(key.verify, signature, data, salted, used)


def _der(signature: bytes, octets: int) -> bytes:
    """Two numbers, one behind the other, as DER has them."""
    return encode_dss_signature(int.from_bytes(signature[:octets]), int.from_bytes(signature[octets:]))
