"""Ciphered APDUs of security suite 0: AES-GCM-128 with a tag of 12 octets (IEC 62056-5-3, 9.2.3.3).

    general-glo   DB | title | length | SC IC ciphertext tag        general-ded  DC, the same with the dedicated key
    of a service  C8-CF (glo), D0-D7 (ded), 21, 28, 2E (glo, association) | length | SC IC ciphertext tag

SC is the security control octet: bits 0-3 suite, 4 authenticated, 5 encrypted, 6 broadcast key, 7 compressed. IC is the
invocation counter, 32 bit. The initialisation vector is title || IC, the additional data SC || AK, and the text too where
it is only authenticated. Keys never show in a repr or an error.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from hmac import compare_digest

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from connectors.protocols.dlms.axdr import encode_length, read_length
from connectors.protocols.dlms.errors import CipherError, DecodeError

AUTHENTICATED, ENCRYPTED, BROADCAST, COMPRESSED = 0x10, 0x20, 0x40, 0x80
"""Bits of the security control octet."""

GENERAL_GLO, GENERAL_DED, GENERAL_CIPHERING, GENERAL_SIGNING = 0xDB, 0xDC, 0xDD, 0xDF
GLO_INITIATE_REQUEST, GLO_INITIATE_RESPONSE, GLO_CONFIRMED_SERVICE_ERROR = 0x21, 0x28, 0x2E
_SERVICE_GLO = frozenset(range(0xC8, 0xD0)) | {GLO_INITIATE_REQUEST, GLO_INITIATE_RESPONSE, GLO_CONFIRMED_SERVICE_ERROR}
_SERVICE_DED = frozenset(range(0xD0, 0xD8))
_DEDICATED = _SERVICE_DED | {GENERAL_DED}
CIPHERED_TAGS = _SERVICE_GLO | _DEDICATED | {GENERAL_GLO}
"""First octets of what `decipher` opens."""

_KEY, _TITLE, _TAG, _HEADER = 16, 8, 12, 5
_CACHED_KEYS = 8192


@dataclass(frozen=True, slots=True, repr=False)
class Keys:
    """The keys of one meter, 16 octets each. Raises ValueError for another length."""

    ek: bytes
    """Global unicast encryption key."""
    ak: bytes | None = None
    """Authentication key."""
    dedicated: bytes | None = None
    """The key of one association, for ded- APDUs."""
    broadcast: bytes | None = None
    """Global broadcast encryption key."""

    def __post_init__(self) -> None:
        for name in ("ek", "ak", "dedicated", "broadcast"):
            key = getattr(self, name)
            if key is not None and len(key) != _KEY:
                raise ValueError(f"{name} has {len(key)} octets: a key of suite 0 has {_KEY}")

    def __repr__(self) -> str:
        present = (name for name in ("ek", "ak", "dedicated", "broadcast") if getattr(self, name) is not None)
        return f"Keys({', '.join(f'{name}=***' for name in present)})"


KeyLookup = Callable[[bytes], Keys | None]
"""The keys of the meter with this system title, or None."""


@dataclass(frozen=True, slots=True)
class Deciphered:
    """An opened APDU and what protected it."""

    plain: bytes = field(repr=False)
    system_title: bytes
    invocation_counter: int
    security: int
    """The security control octet. Without AUTHENTICATED in it anybody can have changed `plain`."""


def decipher(apdu: bytes, lookup: KeyLookup, system_title: bytes | None = None, *, verify: bool = True) -> Deciphered:
    """Open `apdu`. `system_title` is for those that carry none: the peer's, known from the association.

    The tag is verified wherever one is there. Only with `verify=False` is it passed over, and only where no authentication
    key is known: for looking at captures, never for acting on them. Raises CipherError.
    """
    title, content = _open(apdu, system_title)
    if len(content) < _HEADER:
        raise CipherError("cipher-malformed", f"{len(content)} octets in a ciphered APDU: its header has {_HEADER}", title)
    security, body = content[0], content[_HEADER:]
    _check_security(security, title)
    keys = lookup(title)
    if keys is None:
        raise _missing("no key", title)
    engine = _engine(_encryption_key(keys, security, title, dedicated=apdu[0] in _DEDICATED))
    vector, tag = title + content[1:_HEADER], b""
    if security & AUTHENTICATED:
        if len(body) < _TAG:
            raise CipherError("cipher-malformed", f"{len(body)} octets where a tag of {_TAG} is due", title)
        body, tag = body[:-_TAG], body[-_TAG:]
    # Counter mode is its own inverse, so encrypting again gives the text (and a tag of no meaning)
    plain = engine.encrypt(vector, body, None)[: len(body)] if security & ENCRYPTED else body
    if tag and (keys.ak is not None or verify):
        # and encrypting the text gives the tag: AESGCM.decrypt knows none of 12 octets, Cipher(GCM) takes twice the time
        if keys.ak is None:
            raise _missing("no authentication key (AK)", title)
        if not compare_digest(_tag(engine, vector, security, keys.ak, plain), tag):
            why = "the tag does not verify: EK or AK is not the meter's, or octets changed on the way"
            raise CipherError("cipher-authentication", f"system title {title.hex().upper()}: {why}", title)
    return Deciphered(plain, title, int.from_bytes(content[1:_HEADER], "big"), security)


def cipher(
    plain: bytes,
    keys: Keys,
    system_title: bytes,
    invocation_counter: int,
    security: int = AUTHENTICATED | ENCRYPTED,
    *,
    tag: int = GENERAL_GLO,
) -> bytes:
    """`plain` as an APDU under `tag`: general-glo, general-ded, or one of a service (`service_tag`), which names no title.

    `system_title` is the sender's own. A counter used twice with the same key gives both texts away: the caller counts.
    Raises CipherError where a key is missing or an argument is none.
    """
    if tag not in CIPHERED_TAGS:
        raise CipherError("cipher-malformed", f"{tag:#04x} is no tag of a ciphered APDU", system_title)
    if len(system_title) != _TITLE or not 0 <= invocation_counter < 1 << 32:
        detail = f"a system title of {len(system_title)} octets (8) or the counter {invocation_counter} (32 bit) is wrong"
        raise CipherError("cipher-malformed", detail, system_title)
    _check_security(security, system_title)
    engine = _engine(_encryption_key(keys, security, system_title, dedicated=tag in _DEDICATED))
    counter = invocation_counter.to_bytes(4, "big")
    vector = system_title + counter
    body = engine.encrypt(vector, plain, None)[: len(plain)] if security & ENCRYPTED else plain
    if security & AUTHENTICATED:
        if keys.ak is None:
            raise _missing("no authentication key (AK)", system_title)
        body += _tag(engine, vector, security, keys.ak, plain)
    title = bytes((_TITLE,)) + system_title if tag in (GENERAL_GLO, GENERAL_DED) else b""
    return bytes((tag,)) + title + encode_length(_HEADER + len(body)) + bytes((security,)) + counter + body


def service_tag(plain: bytes, *, dedicated: bool = False) -> int:
    """The tag of the glo- (or ded-) APDU for this service: get-request C0 becomes C8 (D0). Raises CipherError."""
    if not plain or not 0xC0 <= plain[0] <= 0xC7:
        raise CipherError("cipher-malformed", "only get, set, action and event-notification have a glo- or ded- APDU")
    return plain[0] + (0x10 if dedicated else 0x08)


def _open(apdu: bytes, known: bytes | None) -> tuple[bytes, bytes]:
    """System title and content (from SC on) of a ciphered APDU, every octet of it."""
    first = apdu[0] if apdu else 0
    if first in (GENERAL_CIPHERING, GENERAL_SIGNING):
        detail = f"{first:#04x} (general-ciphering, general-signing) is not supported: general-glo and general-ded are"
        raise CipherError("cipher-suite-unsupported", detail, known)
    if first not in CIPHERED_TAGS:
        raise CipherError("cipher-malformed", f"{apdu[:1].hex() or 'nothing'} begins no ciphered APDU", known)
    title, at = known, 1
    try:
        if first in (GENERAL_GLO, GENERAL_DED):
            size, at = read_length(apdu, at)
            title = apdu[at : at + size] or known
            at += size
        length, at = read_length(apdu, at)
    except DecodeError as error:
        raise CipherError("cipher-malformed", f"a ciphered APDU is cut short: {error.detail}", known) from None
    if title is None:
        raise CipherError("cipher-malformed", "no system title in the APDU, and none known from the association")
    if len(title) != _TITLE:
        raise CipherError("cipher-malformed", f"a system title of {len(title)} octets: it has {_TITLE}", title)
    if at + length != len(apdu):
        detail = f"a ciphered APDU announces {length} octets of content and has {len(apdu) - at}"
        raise CipherError("cipher-malformed", detail, title)
    return title, apdu[at:]


def _check_security(security: int, title: bytes) -> None:
    if security & 0x0F:
        raise CipherError("cipher-suite-unsupported", f"security suite {security & 0x0F}: only suite 0 is supported", title)
    if security & COMPRESSED:
        raise CipherError("cipher-suite-unsupported", "a compressed APDU (bit 7 of security control): not supported", title)
    if not security & (AUTHENTICATED | ENCRYPTED):
        raise CipherError("cipher-malformed", "a ciphered APDU that is neither authenticated nor encrypted", title)


def _encryption_key(keys: Keys, security: int, title: bytes, *, dedicated: bool) -> bytes:
    if dedicated:
        name, key = "dedicated key", keys.dedicated
    elif security & BROADCAST:
        name, key = "global broadcast key", keys.broadcast
    else:
        return keys.ek
    if key is None:
        raise _missing(f"no {name}", title)
    return key


def _missing(what: str, title: bytes) -> CipherError:
    detail = f"{what} for system title {title.hex().upper()}: import the meter's keys, then send the telegram again"
    return CipherError("key-missing", detail, title)


def _tag(engine: AESGCM, vector: bytes, security: int, ak: bytes, plain: bytes) -> bytes:
    additional = bytes((security,)) + ak
    text = plain if security & ENCRYPTED else b""
    sealed = engine.encrypt(vector, text, additional if security & ENCRYPTED else additional + plain)
    return sealed[len(text) : len(text) + _TAG]


@lru_cache(maxsize=_CACHED_KEYS)
def _engine(key: bytes) -> AESGCM:
    return AESGCM(key)
