"""High level security: client and meter prove to each other that they know a secret; IEC 62056-5-3, 9.2.7.4.

    pass 1   AARQ      our challenge, CtoS             pass 3   reply_to_HLS_authentication( f(StoC) )
    pass 2   AARE      the meter's challenge, StoC     pass 4   what that returns: f(CtoS)

    3 MD5, 4 SHA-1   hash(challenge || secret)
    5 GMAC           SC || IC || GMAC(SC || AK || challenge)
    6 SHA-256        hash(secret || title of who proves || title of the other || challenge answered || the other one)
    7 ECDSA          signature over the same without the secret

MD5 and SHA-1 are there because meters are. A meter that has not proved itself is not spoken to.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, field
from enum import IntEnum
from hmac import compare_digest

from connectors.protocols.dlms import axdr
from connectors.protocols.dlms.action import Method, invoke
from connectors.protocols.dlms.association import Associated
from connectors.protocols.dlms.ciphering import missing
from connectors.protocols.dlms.client_apdus import Session
from connectors.protocols.dlms.errors import DecodeError, PeerError
from connectors.protocols.dlms.security import Channel
from connectors.protocols.dlms.short_names import reply_to_hls
from connectors.protocols.dlms.signing import sign, verify

REPLY = Method(15, "0.0.40.0.0.255", 1)
"""reply_to_HLS_authentication of the association that is being opened."""

_SHORTEST, _LONGEST = 8, 64  # octets of a challenge
_SUBJECT = "high level security"


class Mechanism(IntEnum):
    """COSEM authentication mechanisms with four passes that the standard defines."""

    MD5 = 3
    SHA1 = 4
    GMAC = 5
    SHA256 = 6
    ECDSA = 7


_SECRET = (Mechanism.MD5, Mechanism.SHA1, Mechanism.SHA256)


@dataclass(frozen=True, slots=True)
class Hls:
    """How both sides prove themselves. MD5, SHA-1 and SHA-256 need the secret; GMAC takes the channel's keys and counter,
    ECDSA its identity, and these two and SHA-256 its system titles. Raises ValueError where the parts do not fit.
    """

    mechanism: Mechanism
    secret: bytes | None = field(default=None, repr=False)
    challenge_octets: int = 32
    """Of our challenge: 8 to 64, for ECDSA 32 to 64. Some meters take 16 at most."""
    certificate: bytes | None = field(default=None, repr=False)
    """Ours for signatures, sent along for a meter that does not have it (calling-AE-qualifier)."""

    def __post_init__(self) -> None:
        if (self.mechanism in _SECRET) != (self.secret is not None):
            wants = "needs a secret" if self.secret is None else "has no secret"
            raise ValueError(f"authentication with {self.mechanism.name} {wants}")
        least = 32 if self.mechanism is Mechanism.ECDSA else _SHORTEST
        if not least <= self.challenge_octets <= _LONGEST:
            raise ValueError(f"a challenge of {self.challenge_octets} octets: {least} to {_LONGEST} are allowed")

    @property
    def titled(self) -> bool:
        """Whether system titles take part."""
        return self.mechanism >= Mechanism.GMAC

    def challenge(self) -> bytes:
        """CtoS: printable, as some meters want it; 6 bits of chance an octet."""
        return secrets.token_urlsafe(self.challenge_octets)[: self.challenge_octets].encode()

    def prove(self, ours: bytes, theirs: bytes, channel: Channel | None) -> bytes:
        """f(StoC), our proof. CipherError where a key is missing."""
        if channel is None or not self.titled:
            return self._digest(theirs)
        if self.mechanism is Mechanism.GMAC:
            return channel.prove(theirs)
        proved = channel.title + _peer(channel) + theirs + ours
        if self.mechanism is Mechanism.SHA256:
            return hashlib.sha256((self.secret or b"") + proved).digest()
        if channel.identity.signing is None:
            raise missing("no signing key of ours", channel.title)
        return sign(channel.identity.signing, proved)

    def proves(self, reply: bytes, ours: bytes, theirs: bytes, channel: Channel | None) -> bool:
        """Whether `reply` is the meter's f(CtoS). Takes as long for any wrong one of the right length."""
        if channel is None or not self.titled:
            return compare_digest(reply, self._digest(ours))
        if self.mechanism is Mechanism.GMAC:
            return compare_digest(reply, channel.proof_of_peer(ours, int.from_bytes(reply[1:5], "big")))
        proved = _peer(channel) + channel.title + ours + theirs
        if self.mechanism is Mechanism.SHA256:
            return compare_digest(reply, hashlib.sha256((self.secret or b"") + proved).digest())
        if channel.identity.peer_signing is None:
            raise missing("no public signing key of the meter", _peer(channel))
        return verify(channel.identity.peer_signing, proved, reply)

    def authenticate(self, link: Associated, ours: bytes, theirs: bytes, channel: Channel | None) -> Session[None]:
        """Passes 3 and 4. PeerError "peer-authentication" where the meter does not prove itself,
        "peer-association-refused" where it does not take our proof.
        """
        if not _SHORTEST <= len(theirs) <= _LONGEST:
            raise _unproved(f"the meter's challenge has {len(theirs)} octets: {_SHORTEST} to {_LONGEST} are expected")
        if compare_digest(theirs, ours):
            raise _unproved("the meter sent our own challenge back, to have us answer it: somebody mirrors us")
        proof = self.prove(ours, theirs, channel)
        try:
            parameter = bytes((axdr.OCTET_STRING,)) + axdr.encode_length(len(proof)) + proof
            replied = invoke(link, REPLY, parameter) if link.short is None else reply_to_hls(link, parameter)
            returned = yield from replied
        except PeerError as error:
            if error.code not in ("peer-action", "peer-access"):
                raise
            why = "the meter does not take our proof: check secret or keys, and our system title, in the key store"
            raise PeerError("peer-association-refused", f"{_SUBJECT}: {why}; {error.detail}") from None
        if not self.proves(_octets(returned), ours, theirs, channel):
            raise _unproved("the meter's proof is wrong: it does not know the secret or key, or somebody else answers")

    def _digest(self, challenge: bytes) -> bytes:
        # the standard's choice of hash, not ours
        name = "md5" if self.mechanism is Mechanism.MD5 else "sha1"
        return hashlib.new(name, challenge + (self.secret or b""), usedforsecurity=False).digest()


def _peer(channel: Channel) -> bytes:
    if channel.peer is None:
        raise PeerError("peer-title", f"{_SUBJECT}: the meter named no system title: set it in the meter's record")
    return channel.peer


def _octets(returned: bytes | None) -> bytes:
    """The octet-string that the method returned."""
    if returned is None:
        raise _unproved("the meter took our proof and gave none of its own")
    if len(returned) > 2 and returned[0] == axdr.OCTET_STRING and returned[1] == len(returned) - 2 < 0x80:
        return returned[2:]  # nearly always
    try:
        value, after = axdr.decode(returned)
    except DecodeError as error:
        raise _unproved(f"the meter's proof cannot be read: {error.detail}") from None
    if not isinstance(value, bytes) or after != len(returned):
        raise _unproved("the meter's proof is no octet-string")
    return value


def _unproved(what: str) -> PeerError:
    return PeerError("peer-authentication", f"{_SUBJECT}: {what}; raise an alarm if its keys were right before")
