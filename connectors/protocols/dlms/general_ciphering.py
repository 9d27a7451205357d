"""General protection that names both parties: general-ciphering and general-signing (IEC 62056-5-3, 9.2.7.2.4.8, 9.2.7.2.5).

    DD | transaction-id | originator | recipient | date-time | other-information | key-info | ciphered content
    DF | transaction-id | originator | recipient | date-time | other-information | content  | signature

The five fields after the tag are octet-strings with their lengths. In DD they are authenticated behind SC || AK; in DF the
signature is over them and the content. The key-info says which key: a global one (identified), one that came along wrapped
under the master key, or one that was agreed on for this message.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from enum import IntEnum

from connectors.protocols.dlms import key_agreement
from connectors.protocols.dlms.axdr import encode_length, read_length
from connectors.protocols.dlms.ciphering import (
    BROADCAST,
    GENERAL_CIPHERING,
    GENERAL_SIGNING,
    KEY_OCTETS,
    Keys,
    check_security,
    check_suite,
    missing,
    seal,
    unseal,
)
from connectors.protocols.dlms.errors import CipherError, DecodeError
from connectors.protocols.dlms.signing import Identity, PrivateKey, PublicKey, sign, verify

_TITLE, _HEADER, _FIELD = 8, 5, 64  # octets: a system title, SC and IC, the longest of the five fields


class KeyInfo(IntEnum):
    """Where a general-ciphering APDU has its key from."""

    IDENTIFIED = 0
    """The global unicast encryption key."""
    WRAPPED = 1
    """A random key, wrapped under the master key."""
    ONE_PASS = 2
    """Agreed, C(1e, 1s): an ephemeral key of the sender's, signed."""
    STATIC = 3
    """Agreed, C(0e, 2s): the transaction-id is the nonce and must never come twice."""


_BROADCAST_KEY = -1  # identified, too, but no KeyInfo to choose: everybody has it


@dataclass(frozen=True, slots=True)
class Parties:
    """Who protects for whom, in which transaction."""

    originator: bytes
    recipient: bytes
    transaction: bytes

    def encode(self) -> bytes:
        """The five fields; date-time and other-information empty."""
        given = (self.transaction, self.originator, self.recipient, b"", b"")
        return b"".join(encode_length(len(one)) + one for one in given)


@dataclass(frozen=True, slots=True)
class Opened:
    """What was protected, and by what."""

    plain: bytes = field(repr=False)
    parties: Parties
    security: int = 0
    """The security control octet; 0 where it was signed."""
    invocation_counter: int | None = None
    """None where the key was of this message alone, and the counter says nothing."""
    broadcast: bool = False
    """Whether the key is one that every meter has."""


def encipher(plain: bytes, keys: Keys, parties: Parties, counter: int, how: KeyInfo, *, security: int,
             identity: Identity | None = None) -> bytes:  # fmt: skip
    """`plain` as general-ciphering. `counter` counts where the key is global; else it is the key's first use, and 0.

    Raises CipherError where a key is missing.
    """
    title = parties.originator
    security |= keys.suite
    check_security(security, title)
    key, info = _new_key(keys, identity or Identity(), parties, how)
    context = parties.encode()
    content = seal(plain, key, keys.ak, title, counter if how is KeyInfo.IDENTIFIED else 0, security, context)
    return bytes((GENERAL_CIPHERING,)) + context + b"\x01" + info + encode_length(len(content)) + content


def originator(apdu: bytes) -> bytes:
    """The system title of whoever protected a general-ciphering APDU, so that its keys can be found. Raises CipherError."""
    return _read_parties(apdu, GENERAL_CIPHERING)[0].originator


def decipher(apdu: bytes, keys: Keys, identity: Identity | None = None) -> Opened:
    """Open general-ciphering, whoever is the recipient: that and the originator are the caller's to check.

    Raises CipherError.
    """
    parties, context, at = _read_parties(apdu, GENERAL_CIPHERING)
    title = parties.originator
    try:
        how, ciphered_key, at = _read_key_info(apdu, at, title)
        content, at = _octets(apdu, at)
    except DecodeError as error:
        raise _malformed(f"it is cut short: {error.detail}", title) from None
    if at != len(apdu) or len(content) < _HEADER:
        raise _malformed(f"{len(apdu) - at} octets follow a content of {len(content)}", title)
    security = content[0]
    check_security(security, title)
    check_suite(security, keys, title)
    if security & BROADCAST:
        raise _malformed("the key-set bit of its security control is set, the key-info says which key", title)
    key = _key(keys, identity or Identity(), parties, how, ciphered_key)
    plain = unseal(content, key, keys.ak, title, context)
    counter = int.from_bytes(content[1:_HEADER], "big") if how in (KeyInfo.IDENTIFIED, _BROADCAST_KEY) else None
    return Opened(plain, parties, security, counter, how == _BROADCAST_KEY)


def signed(plain: bytes, signer: PrivateKey, parties: Parties) -> bytes:
    """`plain` as general-signing."""
    covered = parties.encode() + encode_length(len(plain)) + plain
    signature = sign(signer, covered)
    return bytes((GENERAL_SIGNING,)) + covered + encode_length(len(signature)) + signature


def unsigned(apdu: bytes, signer: PublicKey) -> Opened:
    """The content of general-signing once its signature is the signer's. Raises CipherError."""
    opened, end, signature = _signed_parts(apdu)
    title = opened.parties.originator
    if not verify(signer, apdu[1:end], signature):
        why = "the signature does not verify: the signing key is not the meter's, or octets changed on the way"
        raise CipherError("cipher-authentication", f"system title {title.hex().upper()}: {why}", title)
    return opened


def content_signed(apdu: bytes) -> Opened:
    """The content of general-signing, whoever signed it: for looking at captures, never for acting on them. CipherError."""
    return _signed_parts(apdu)[0]


def _signed_parts(apdu: bytes) -> tuple[Opened, int, bytes]:
    """The content, where it ends, and the signature over all before that."""
    parties, _, at = _read_parties(apdu, GENERAL_SIGNING)
    try:
        content, end = _octets(apdu, at)
        signature, after = _octets(apdu, end)
    except DecodeError as error:
        raise _malformed(f"it is cut short: {error.detail}", parties.originator) from None
    if after != len(apdu):
        raise _malformed(f"{len(apdu) - after} octets follow its signature", parties.originator)
    return Opened(content, parties), end, signature


def _new_key(keys: Keys, identity: Identity, parties: Parties, how: KeyInfo) -> tuple[bytes, bytes]:
    """The key to encrypt with and its key-info."""
    title = parties.originator
    if how is KeyInfo.IDENTIFIED:
        return keys.ek, b"\x00\x00"
    if how is KeyInfo.WRAPPED:
        if keys.kek is None:
            raise missing("no master key (KEK)", title)
        key = secrets.token_bytes(KEY_OCTETS[keys.suite])
        wrapped = key_agreement.wrap(keys.kek, key)
        return key, b"\x01\x00" + encode_length(len(wrapped)) + wrapped
    if identity.peer_agreement is None:
        raise missing("no public key agreement key of the meter", parties.recipient)
    if how is KeyInfo.STATIC:
        if identity.agreement is None:
            raise missing("no key agreement key of ours", title)
        key = key_agreement.agree(identity.agreement, identity.peer_agreement, title, parties.recipient, parties.transaction)
        return key, b"\x02\x01\x02\x00"
    if identity.signing is None:
        raise missing("no signing key of ours", title)
    pair, offered = key_agreement.ephemeral(identity.signing)
    key = key_agreement.agree(pair, identity.peer_agreement, title, parties.recipient)
    return key, b"\x02\x01\x01" + encode_length(len(offered)) + offered


def _key(keys: Keys, identity: Identity, parties: Parties, how: int, ciphered_key: bytes) -> bytes:
    """The key that a key-info speaks of."""
    title = parties.originator
    if how == KeyInfo.IDENTIFIED:
        return keys.ek
    if how == _BROADCAST_KEY:
        if keys.broadcast is None:
            raise missing("no global broadcast key", title)
        return keys.broadcast
    if how == KeyInfo.WRAPPED:
        if keys.kek is None:
            raise missing("no master key (KEK)", title)
        key = key_agreement.unwrap(keys.kek, ciphered_key)
        if len(key) != KEY_OCTETS[keys.suite]:
            raise _malformed(f"a wrapped key of {len(key)} octets in suite {keys.suite}", title)
        return key
    if identity.agreement is None:
        raise missing("no key agreement key of ours", parties.recipient)
    if how == KeyInfo.STATIC:
        if identity.peer_agreement is None:
            raise missing("no public key agreement key of the meter", title)
        return key_agreement.agree(
            identity.agreement, identity.peer_agreement, title, parties.recipient, parties.transaction
        )
    if identity.peer_signing is None:
        raise missing("no public signing key of the meter", title)
    theirs = key_agreement.read_ephemeral(ciphered_key, identity.peer_signing)
    return key_agreement.agree(identity.agreement, theirs, title, parties.recipient)


def _read_parties(apdu: bytes, tag: int) -> tuple[Parties, bytes, int]:
    """The parties, the five fields as they came, and the index after them."""
    if apdu[:1] != bytes((tag,)):
        raise CipherError("cipher-malformed", f"{apdu[:1].hex() or 'nothing'} begins no APDU with general protection")
    found: list[bytes] = []
    at = 1
    try:
        for _ in range(5):
            value, at = _octets(apdu, at)
            if len(value) > _FIELD:
                raise _malformed(f"a field of {len(value)} octets before its content", None)
            found.append(value)
    except DecodeError as error:
        raise _malformed(f"it is cut short: {error.detail}", None) from None
    transaction, originator, recipient = found[:3]
    if len(originator) != _TITLE or len(recipient) != _TITLE:
        detail = f"system titles of {len(originator)} and {len(recipient)} octets: they have {_TITLE}"
        raise _malformed(detail, originator or None)
    return Parties(originator, recipient, transaction), apdu[1:at], at


def _read_key_info(apdu: bytes, at: int, title: bytes) -> tuple[int, bytes, int]:
    """Which key, what came along to make it of, and the index after the key-info."""
    head = apdu[at : at + 3]
    if head[:1] == b"\0":  # not there: both sides know
        return KeyInfo.IDENTIFIED, b"", at + 1
    if len(head) < 3 or head[0] != 1:
        raise _malformed("its key-info is cut short or none", title)
    _, choice, which = head
    if choice == 0 and which in (0, 1):
        return (KeyInfo.IDENTIFIED, _BROADCAST_KEY)[which], b"", at + 3
    if choice == 1 and which == 0:
        ciphered_key, at = _octets(apdu, at + 3)
        return KeyInfo.WRAPPED, ciphered_key, at
    if choice == 2:
        parameters, at = _octets(apdu, at + 2)
        ciphered_key, at = _octets(apdu, at)
        if parameters == b"\x01":
            return KeyInfo.ONE_PASS, ciphered_key, at
        if parameters == b"\x02" and not ciphered_key:
            return KeyInfo.STATIC, b"", at
    raise _malformed("its key-info is of no kind that the standard has", title)


def _octets(apdu: bytes, at: int) -> tuple[bytes, int]:
    """An octet-string and the index after it; DecodeError where it is longer than what is there."""
    size, start = read_length(apdu, at)
    if start + size > len(apdu):
        raise DecodeError("dlms-truncated", f"{size} octets announced, {len(apdu) - start} there")
    return apdu[start : start + size], start + size


def _malformed(what: str, title: bytes | None) -> CipherError:
    return CipherError("cipher-malformed", f"an APDU with general protection cannot be read: {what}", title)
