"""Signatures of records: Ed25519 over the exact bytes of a record's value, for one environment only.

    signed = "hes-signature-1" ‖ 0x00 ‖ length of environment (2 bytes, big endian) ‖ environment (UTF-8)
             ‖ the value, schema id included, with its field `signature` empty

The value is the Confluent-framed Avro as it stands on the topic, so no field, no schema and no environment can be exchanged
under a signature. A verifier writes the record again by its writer's schema, and takes only what comes out byte by byte as
it came in: one statement has one form. What is pure stays here; where keys are kept is for whoever signs to know.
"""

from __future__ import annotations

import dataclasses
import hashlib
from typing import Protocol, TypeVar

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from schemas.codec import Codec, CodecError, expect
from schemas.records import (
    AuditEntry,
    CampaignStop,
    CommandDecision,
    CommandRequest,
    Control,
    FirmwareManifest,
    Job,
    Operator,
)

_DOMAIN = b"hes-signature-1\0"
KEY_OCTETS = 32
"""Of a public key."""
Signed = CommandRequest | CommandDecision | Operator | Control | FirmwareManifest | Job | CampaignStop
"""What carries a signature."""
S = TypeVar("S", CommandRequest, CommandDecision, Operator, Control, FirmwareManifest, Job, CampaignStop)

CODES = {
    "unsigned": "the record carries no signature, and what it asks needs one; sign it (`hes sign`)",
    "signature-form": "the record is not written in the one form that is signed, or the key is no Ed25519 key",
    "signature-invalid": "not the signature of this key over these bytes in this environment: altered, or for another",
}
"""Codes of `SignatureError`, with their meaning."""


class SignatureError(Exception):
    """A record is not signed as it must be. `code` is stable; it is the sender's fault, and trying again does not help."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


class Signer(Protocol):
    """Who can sign: a private key in memory, or whatever holds one."""

    def sign(self, data: bytes) -> bytes:
        """The Ed25519 signature, 64 octets."""


def digest(value: bytes) -> bytes:
    """SHA-256 of a value exactly as it stands on its topic, signature included: what a decision names a request by."""
    return hashlib.sha256(value).digest()


def signed(codec: Codec, record: Signed, environment: str, signer: Signer) -> bytes:
    """The value of a record with its signature; one that it may carry already is replaced."""
    bare = codec.encode(dataclasses.replace(record, signature=b""))
    return codec.rewritten(bare, signature=signer.sign(_message(bare, environment)))


def read(codec: Codec, value: bytes | None, cls: type[S]) -> S:
    """The record in a value, not verified. `CodecError` where it is none, `SignatureError` signature-form where there
    would be more than one way to write it.
    """
    record = expect(codec.decode(value), cls)
    if value is None or codec.rewritten(value) != value:
        raise SignatureError(
            "signature-form",
            f"this {cls.__name__} is not written as Avro's plain encoding writes it; write it so, then sign",
        )
    return record


def verify(codec: Codec, value: bytes, environment: str, public_key: bytes) -> None:
    """Return where the value is signed by this key for this environment; `SignatureError` otherwise.

    `value` must have passed `read`.
    """
    try:
        bare = codec.rewritten(value, signature=b"")
    except CodecError as error:
        raise SignatureError("signature-form", str(error)) from error
    signature = getattr(codec.decode(value), "signature", b"")
    if not signature:
        raise SignatureError("unsigned", "it carries no signature; sign it (`hes sign`)")
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, _message(bare, environment))
    except InvalidSignature:
        raise SignatureError(
            "signature-invalid",
            f"its signature is not of this key over these bytes in environment {environment!r}; "
            "it was altered, or signed with another key or for another environment: sign it anew",
        ) from None
    except ValueError as error:
        raise SignatureError("signature-form", f"the public key is no Ed25519 key: {error}") from error


def public_key(private: Ed25519PrivateKey) -> bytes:
    """The public half, 32 octets."""
    return private.public_key().public_bytes_raw()


def entry_hash(entry: AuditEntry) -> bytes:
    """The hash that chains an audit entry: SHA-256 over its fields but for `hash`, whatever schema carries them.

    "hes-audit-1" ‖ 0x00, then id, sequence, at, actor, action, subject, detail, previous_hash, code, digest: each as its
    length (4 bytes, big endian) and its octets; texts in UTF-8, numbers in decimal. An entry of a named chain begins with
    "hes-audit-2" ‖ 0x00 and ends with the chain, so that it is of no other.
    """
    fields = (
        entry.id,
        entry.sequence,
        entry.at,
        entry.actor,
        entry.action,
        entry.subject,
        entry.detail,
        entry.previous_hash,
        entry.code,
        entry.digest,
    )
    found = hashlib.sha256(b"hes-audit-2\0" if entry.chain else b"hes-audit-1\0")
    for value in (*fields, entry.chain) if entry.chain else fields:
        octets = value if isinstance(value, bytes) else str(value).encode()
        found.update(len(octets).to_bytes(4) + octets)
    return found.digest()


def _message(bare: bytes, environment: str) -> bytes:
    name = environment.encode()
    return _DOMAIN + len(name).to_bytes(2) + name + bare
