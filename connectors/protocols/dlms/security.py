"""What is said in an association, protected: a channel, and the adapter that puts a session behind it; IEC 62056-5-3, 9.2.7.

    session ──plain request──▶ sign ▶ cipher ──▶ meter        secured(session, channel) is a session again
            ◀──plain answer── verify ◀ open ◀────

`secured` goes around every session of the association, that of opening and of closing it included: ACSE passes through,
and `associate` uses the same channel for the part of it that is ciphered. Of what comes back nothing is believed that is
not the meter's, in this association, now: its system title, protection no weaker than the policy, no key that others have
too, an invocation counter above the last. The only answers taken in clear are those by which a meter says that it cannot
answer: exception-response and confirmed-service-error.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Protocol

from connectors.protocols.dlms import general_ciphering as general
from connectors.protocols.dlms.ciphering import (
    AUTHENTICATED,
    BROADCAST,
    DEDICATED_TAG,
    DEDICATED_TAGS,
    ENCRYPTED,
    GENERAL_CIPHERING,
    GENERAL_DED,
    GENERAL_GLO,
    GENERAL_SIGNING,
    GLO_INITIATE_REQUEST,
    GLO_INITIATE_RESPONSE,
    KEY_OCTETS,
    OPENED_TAGS,
    SERVICE_TAG,
    Keys,
    check_security,
    cipher,
    content_of,
    gmac,
    missing,
    open_content,
)
from connectors.protocols.dlms.client_apdus import CONFIRMED_SERVICE_ERROR, EXCEPTION_RESPONSE, Session, T
from connectors.protocols.dlms.errors import CipherError, PeerError
from connectors.protocols.dlms.general_ciphering import KeyInfo, Opened, Parties
from connectors.protocols.dlms.signing import NOBODY, Identity

BOTH = AUTHENTICATED | ENCRYPTED

_ACSE = range(0x60, 0x64)
_IN_CLEAR = (EXCEPTION_RESPONSE, CONFIRMED_SERVICE_ERROR)
_HEADER, _TAG = 5, 12  # octets
_COUNTERS = 1 << 32


class Counter(Protocol):
    """Invocation counters of one encryption key, each given out once, ever: twice the same breaks AES-GCM."""

    def next(self) -> int:
        """The next one, 32 bit. Raises CipherError "cipher-counter" where there is none left."""


@dataclass(slots=True)
class MemoryCounter:
    """A counter that forgets: for a key that is forgotten with it, and for one session by hand."""

    value: int = 0
    heard: int = -1
    """The last of the meter's own, for who opens another association with it."""

    def heard_under(self, mark: str) -> int:  # noqa: ARG002 - there is one key
        """That."""
        return self.heard

    def next(self) -> int:
        """The next one."""
        if not 0 <= self.value < _COUNTERS:
            raise CipherError("cipher-counter", "the invocation counter is used up: give the meter a new key")
        self.value += 1
        return self.value - 1


@dataclass(slots=True)
class _Dedicated:
    """The key of one association, and what was counted under it."""

    keys: Keys
    counter: MemoryCounter = field(default_factory=MemoryCounter)
    heard: int = -1


class Wrapping(Enum):
    """The kind of APDU that carries a protected one."""

    SERVICE = "service"
    """glo- or ded- of the service; what has none (access) goes as general."""
    GENERAL = "general"
    """general-glo or general-ded, with the system title."""
    CIPHERING = "ciphering"
    """general-ciphering, with both system titles and word of the key."""


@dataclass(slots=True, kw_only=True)
class Channel:
    """Our end of one association with one meter: who both are, the keys, what is to be protected and how. One association
    each: it remembers what came. Without keys, or with `policy` 0, nothing is ciphered.

    Raises ValueError where the parts do not fit.
    """

    title: bytes
    """Our system title, 8 octets."""
    keys: Keys | None = None
    counter: Counter | None = None
    """Invocation counters of our direction under the global encryption key."""
    peer: bytes | None = None
    """The meter's system title; where it is not known, the one under which the keys turn out to be right."""
    heard: int = -1
    """The last invocation counter of the meter's under the global key. Kept from one association to the next, it keeps
    what was recorded in one from being played in the other."""
    policy: int = BOTH
    """AUTHENTICATED, ENCRYPTED or both: of each request, and the least of each answer."""
    wrapping: Wrapping = Wrapping.SERVICE
    key_info: KeyInfo = KeyInfo.IDENTIFIED
    """Of general-ciphering."""
    dedicated: bool = False
    """Whether the association has a key of its own."""
    signed: bool = False
    """Whether requests, and then answers, are signed too (general-signing)."""
    echo: bool = True
    """Whether an answer with a key of its own must bear the request's transaction-id: without that nothing tells it from
    one that was recorded. Only for meters that count transactions themselves."""
    identity: Identity = NOBODY
    _fresh: _Dedicated | None = field(default=None, init=False, repr=False)
    _established: bool = field(default=False, init=False, repr=False)
    _transaction: bytes = field(default=b"", init=False, repr=False)

    def __post_init__(self) -> None:
        if len(self.title) != 8:
            raise ValueError(f"title, a system title, has {len(self.title)} octets: 8 are needed")
        if self.peer is not None and len(self.peer) != 8:
            raise ValueError(f"peer, a system title, has {len(self.peer)} octets: 8 are needed")
        if self.policy & ~BOTH:
            raise ValueError(f"policy {self.policy:#04x}: AUTHENTICATED, ENCRYPTED, both or 0")
        if self.keys is None:
            self.policy = 0
        elif self.counter is None:
            raise ValueError("keys without a counter of their invocations")
        if self.dedicated and not self.policy & ENCRYPTED:
            raise ValueError("a dedicated key travels in the association request, which must be encrypted")
        if self.title == self.peer:
            raise ValueError("meter and client have the same system title")

    @property
    def ciphered(self) -> bool:
        """Whether the application context is one with ciphering."""
        return self.policy != 0

    @property
    def general(self) -> bool:
        """Whether APDUs go under general protection, which the meter must grant."""
        return self.ciphered and (self.signed or self.wrapping is not Wrapping.SERVICE)

    @property
    def overhead(self) -> int:
        """Octets by which a request grows, at most."""
        if not self.policy:
            return 0
        size = 6 + _HEADER + (_TAG if self.policy & AUTHENTICATED else 0)
        half = 48 if self.keys is not None and self.keys.suite == 2 else 32
        if self.wrapping is not Wrapping.SERVICE:
            size += 9
        if self.wrapping is Wrapping.CIPHERING:
            size += 24 + {KeyInfo.WRAPPED: 40, KeyInfo.ONE_PASS: 4 * half}.get(self.key_info, 0)
        return size + (38 + 2 * half if self.signed else 0)

    @property
    def dedicated_key(self) -> bytes:
        """The association's own key, b"" where it has none."""
        return b"" if self._fresh is None or self._fresh.keys.dedicated is None else self._fresh.keys.dedicated

    def begin(self) -> None:
        """A new association is asked for: forget the dedicated key of the last, and make the next where one is wanted."""
        self._fresh, self._established = None, False
        if self.dedicated and self.keys is not None:
            self._fresh = _Dedicated(replace(self.keys, dedicated=secrets.token_bytes(KEY_OCTETS[self.keys.suite])))

    def established(self) -> None:
        """Both sides have proved themselves: from now on requests go under the dedicated key, if there is one."""
        self._established = True

    def meet(self, title: bytes | None) -> None:
        """The meter says who it is. Raises PeerError "peer-title" where it is another, none at all or ourselves."""
        if self.peer is None:
            if title is None or len(title) != 8:
                detail = "the meter names no system title of 8 octets and none is known: set it in the meter's record"
                raise PeerError("peer-title", detail)
            if title == self.title:
                raise PeerError("peer-title", "the meter calls itself by our own system title: somebody mirrors us")
            self.peer = title
        elif title is not None and title != self.peer:
            raise _stranger(title, self.peer)

    def prove(self, challenge: bytes) -> bytes:
        """Our proof by GMAC of who we are."""
        keys, counter = self._global()
        return gmac(challenge, keys, self.title, counter.next())

    def proof_of_peer(self, challenge: bytes, counter: int) -> bytes:
        """What the meter's proof by GMAC must be, with its invocation counter."""
        keys, _ = self._global()
        if self.peer is None:
            raise _nobody()
        return gmac(challenge, keys, self.peer, counter)

    def seal_initiate(self, initiate: bytes) -> bytes:
        """An initiateRequest for an AARQ or RLRQ: ciphered under the global key, or as it is where nothing is ciphered."""
        if not self.policy:
            return initiate
        keys, counter = self._global()
        return cipher(initiate, keys, self.title, counter.next(), self.policy, tag=GLO_INITIATE_REQUEST)

    def open_initiate(self, answer: bytes) -> bytes:
        """The initiateResponse of an AARE. Raises CipherError where it is less protected than the policy wants."""
        if not self.policy or answer[:1] == bytes((CONFIRMED_SERVICE_ERROR,)):
            return answer
        if not answer or answer[0] not in OPENED_TAGS:
            raise _downgraded("the initiateResponse came in clear")
        plain = self._decipher(answer)
        if answer[0] == GLO_INITIATE_RESPONSE and plain[:1] != b"\x08":
            raise CipherError("cipher-malformed", "0x28 holds no initiateResponse", self.peer)
        return plain

    def protect(self, apdu: bytes) -> bytes:
        """A request as it goes out. Raises CipherError where a key or the counter is missing."""
        if not apdu or apdu[0] in _ACSE or not self.policy:
            return apdu
        keys, counter = self._global()
        if self.signed or self.wrapping is Wrapping.CIPHERING:
            if self.peer is None:
                raise _nobody()
            count = counter.next()
            self._transaction = count.to_bytes(8, "big")
            parties = Parties(self.title, self.peer, self._transaction)
            if self.signed:
                if self.identity.signing is None:
                    raise missing("no signing key of ours", self.title)
                apdu = general.signed(apdu, self.identity.signing, parties)
            if self.wrapping is Wrapping.CIPHERING:
                return general.encipher(
                    apdu, keys, parties, count, self.key_info, security=self.policy, identity=self.identity
                )
        tags, tag = SERVICE_TAG, GENERAL_GLO
        if self._fresh is not None and self._established:
            keys, counter = self._fresh.keys, self._fresh.counter
            tags, tag = DEDICATED_TAG, GENERAL_DED
        if self.wrapping is Wrapping.SERVICE:
            tag = tags.get(apdu[0], tag)
        return cipher(apdu, keys, self.title, counter.next(), self.policy, tag=tag)

    def open(self, apdu: bytes) -> bytes:
        """An answer in clear, if it is the meter's and as well protected as the policy wants. CipherError, PeerError."""
        if not apdu or apdu[0] in _ACSE or apdu[0] in _IN_CLEAR:
            return apdu
        if apdu[0] == GENERAL_CIPHERING and self.keys is not None:
            plain = self._general(general.decipher(apdu, self.keys, self.identity))
        elif apdu[0] in OPENED_TAGS and self.keys is not None:
            plain = self._decipher(apdu)
            if apdu[0] not in (GENERAL_GLO, GENERAL_DED):
                _check_service(apdu[0], plain, self.peer)
        elif self.policy:
            raise _downgraded(f"the answer {apdu[:1].hex().upper()}… came in clear")
        else:
            return apdu
        return self._verified(plain) if self.signed else plain

    def _global(self) -> tuple[Keys, Counter]:
        if self.keys is None or self.counter is None:
            raise missing("no keys", self.peer or self.title)
        return self.keys, self.counter

    def _decipher(self, apdu: bytes) -> bytes:
        if self.peer is None:
            raise _nobody()
        fresh = self._fresh
        dedicated = apdu[0] in DEDICATED_TAGS
        keys = self.keys if not dedicated else None if fresh is None else fresh.keys
        title, content = content_of(apdu, self.peer)
        check_security(content[0], title)
        if title != self.peer:
            raise _stranger(title, self.peer)
        if keys is None:
            raise missing("no key", title)
        plain = open_content(content, keys, title, dedicated=dedicated)
        self._check(content[0], broadcast=content[0] & BROADCAST != 0)
        counter = int.from_bytes(content[1:_HEADER], "big")
        if dedicated and fresh is not None:
            fresh.heard = _risen(counter, fresh.heard, self.peer)
        else:
            self.heard = _risen(counter, self.heard, self.peer)
        return plain

    def _general(self, opened: Opened) -> bytes:
        self._check_parties(opened.parties)
        self._check(opened.security, broadcast=opened.broadcast)
        if opened.invocation_counter is not None:
            self.heard = _risen(opened.invocation_counter, self.heard, opened.parties.originator)
        else:
            self._check_echo(opened.parties)
        return opened.plain

    def _verified(self, apdu: bytes) -> bytes:
        if apdu[:1] != bytes((GENERAL_SIGNING,)):
            raise _downgraded("the answer is not signed")
        if self.identity.peer_signing is None:
            raise missing("no public signing key of the meter", self.peer or b"")
        opened = general.unsigned(apdu, self.identity.peer_signing)
        self._check_parties(opened.parties)
        self._check_echo(opened.parties)
        return opened.plain

    def _check(self, security: int, *, broadcast: bool) -> None:
        if broadcast:
            raise _downgraded("the answer is under the broadcast key, which every meter has")
        if self.policy & ~security:
            raise _downgraded(f"the answer's security control {security:#04x} is weaker than {self.policy:#04x}")

    def _check_parties(self, parties: Parties) -> None:
        self.meet(parties.originator)
        if parties.recipient != self.title:
            detail = f"an answer for system title {parties.recipient.hex().upper()}, we are {self.title.hex().upper()}"
            raise PeerError("peer-title", detail)

    def _check_echo(self, parties: Parties) -> None:
        if self.echo and parties.transaction != self._transaction:
            detail = "the answer has another transaction-id than the request: it may be of another day; ask again"
            raise CipherError("cipher-counter", detail, parties.originator)


def secured(session: Session[T], channel: Channel) -> Session[T]:
    """The session with everything that it says protected, and everything that it hears checked.

    What the channel refuses ends it: CipherError, or PeerError "peer-title".
    """
    try:
        request = next(session)
        while True:
            request = session.send(channel.open((yield channel.protect(request))))
    except StopIteration as ended:
        result: T = ended.value
        return result
    finally:
        session.close()


def _check_service(tag: int, plain: bytes, title: bytes | None) -> None:
    """A service may only be in the APDU that is named after it."""
    if not plain or tag != (DEDICATED_TAG if tag in DEDICATED_TAGS else SERVICE_TAG).get(plain[0]):
        raise CipherError("cipher-malformed", f"{tag:#04x} holds another service than its tag says", title)


def _risen(counter: int, heard: int, title: bytes) -> int:
    if counter <= heard:
        detail = (
            f"system title {title.hex().upper()}: invocation counter {counter} came after {heard}: an answer was recorded"
            " and played again, or the meter lost its counter; raise an alarm, and change its keys if it was the meter"
        )
        raise CipherError("cipher-counter", detail, title)
    return counter


def _downgraded(what: str) -> CipherError:
    detail = f"{what}: not what the security policy asks for; compare the template with the meter's security setup"
    return CipherError("cipher-policy", detail)


def _stranger(title: bytes, peer: bytes) -> PeerError:
    detail = (
        f"an answer of system title {title.hex().upper()}, the meter's is {peer.hex().upper()}: raise an alarm;"
        " where the meter was exchanged, correct the system title in its record"
    )
    return PeerError("peer-title", detail)


def _nobody() -> PeerError:
    return PeerError("peer-title", "the meter's system title is not known: associate first, or set it in its record")
