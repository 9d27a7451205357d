"""Ciphered APDUs: AES-GCM with a tag of 12 octets, keys of 16 octets (suites 0, 1) or 32 (suite 2); IEC 62056-5-3, 9.2.3.3.

    general-glo   DB | title | length | SC IC ciphertext tag        general-ded  DC, the same with the dedicated key
    of a service  C8-CF (glo), D0-D7 (ded), 21, 28, 2E (glo, association) | length | SC IC ciphertext tag
                  25, 26, 2C, 2D, 36, 38 (glo, short names), 45, 46, 4C-4E, 56, 58 (ded)

general-ciphering (DD) carries word of its key, too: `general_ciphering`.

SC is the security control octet: bits 0-3 suite, 4 authenticated, 5 encrypted, 6 broadcast key, 7 compressed. IC is the
invocation counter, 32 bit. The initialisation vector is title || IC, the additional data SC || AK, and the text too where
it is only authenticated. Keys never show in a repr or an error.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from hmac import compare_digest
from struct import Struct

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from connectors.protocols.dlms.axdr import encode_length, read_length
from connectors.protocols.dlms.errors import CipherError, DecodeError

AUTHENTICATED, ENCRYPTED, BROADCAST, COMPRESSED = 0x10, 0x20, 0x40, 0x80
"""Bits of the security control octet."""

GENERAL_GLO, GENERAL_DED, GENERAL_CIPHERING, GENERAL_SIGNING = 0xDB, 0xDC, 0xDD, 0xDF
GLO_INITIATE_REQUEST, GLO_INITIATE_RESPONSE, GLO_CONFIRMED_SERVICE_ERROR = 0x21, 0x28, 0x2E
_SERVICE_GLO = frozenset(range(0xC8, 0xD0)) | {GLO_INITIATE_REQUEST, GLO_INITIATE_RESPONSE, GLO_CONFIRMED_SERVICE_ERROR}
_SERVICE_DED = frozenset(range(0xD0, 0xD8))
CIPHERED_TAGS = _SERVICE_GLO | _SERVICE_DED | {GENERAL_GLO, GENERAL_DED}
"""First octets of the ciphered APDUs that a push may be."""

SHORT_NAME_SERVICES = frozenset({0x05, 0x06, 0x0C, 0x0D, 0x0E, 0x16, 0x18})
"""Services of short-name referencing: read, write, their answers, confirmed-service-error, unconfirmed write, report."""
_SHORT_NAME_GLO = frozenset(tag + 0x20 for tag in SHORT_NAME_SERVICES)
_SHORT_NAME_DED = frozenset(tag + 0x40 for tag in SHORT_NAME_SERVICES)
DEDICATED_TAGS = _SERVICE_DED | _SHORT_NAME_DED | {GENERAL_DED}
"""First octets of APDUs under the dedicated key."""
OPENED_TAGS = CIPHERED_TAGS | _SHORT_NAME_GLO | _SHORT_NAME_DED
"""First octets of what `decipher` opens."""

SUITE = 0x0F
"""Of the security control octet: the suite."""

KEY_OCTETS = {0: 16, 1: 16, 2: 32}
"""Octets of a key, by security suite."""

SERVICE_TAG = {tag: tag + 0x08 for tag in range(0xC0, 0xC8)} | {tag: tag + 0x20 for tag in SHORT_NAME_SERVICES}
DEDICATED_TAG = {tag: tag + 0x10 for tag in range(0xC0, 0xC8)} | {tag: tag + 0x40 for tag in SHORT_NAME_SERVICES}
"""By the first octet of a service: that of its glo- and its ded- APDU."""

_TITLE, _TAG, _HEADER = 8, 12, 5
_WHOLE_TAG = 16
_CUT = _TAG - _WHOLE_TAG
_HEAD = Struct(">BI")
_CACHED_KEYS = 8192
_KEY_NAMES = ("ek", "ak", "dedicated", "broadcast", "kek")


@dataclass(frozen=True, slots=True, repr=False)
class Keys:
    """The keys of one meter, as long as its suite wants. Raises ValueError for another length."""

    ek: bytes
    """Global unicast encryption key."""
    ak: bytes | None = None
    """Authentication key."""
    dedicated: bytes | None = None
    """The key of one association, for ded- APDUs."""
    broadcast: bytes | None = None
    """Global broadcast encryption key."""
    kek: bytes | None = None
    """Key encryption key, the master key: wraps others."""
    suite: int = field(default=0, kw_only=True)
    any_suite: bool = field(default=False, kw_only=True)
    """They hold for every suite that has keys of this length, as where a person typed them and no key store says more."""
    _checked: dict[int, bytes] = field(default_factory=dict, init=False, repr=False, compare=False)
    """The key by security control octet (and 0x100 where it is the dedicated one), of those that were checked."""

    def __post_init__(self) -> None:
        if self.suite not in KEY_OCTETS:
            raise ValueError(f"security suite {self.suite}: 0, 1 and 2 are supported")
        size = KEY_OCTETS[self.suite]
        for name in _KEY_NAMES:
            key = getattr(self, name)
            if key is not None and len(key) != size:
                raise ValueError(f"{name} has {len(key)} octets: a key of suite {self.suite} has {size}")

    def __repr__(self) -> str:
        shown = [f"{name}=***" for name in _KEY_NAMES if getattr(self, name) is not None]
        return f"Keys({', '.join(shown + [f'suite={self.suite}'] * (self.suite > 0))})"


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
    title, content = content_of(apdu, system_title)
    check_security(content[0], title)
    keys = lookup(title)
    if keys is None:
        raise missing("no key", title)
    plain = open_content(content, keys, title, dedicated=apdu[0] in DEDICATED_TAGS, verify=verify)
    return Deciphered(plain, title, int.from_bytes(content[1:_HEADER], "big"), content[0])


def open_content(content: bytes, keys: Keys, title: bytes, *, dedicated: bool, verify: bool = True) -> bytes:
    """The plain text of what `content_of` found, with the keys of that title."""
    return unseal(content, _key_for(content[0], keys, title, dedicated=dedicated), keys.ak, title, verify=verify)


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
    if tag not in OPENED_TAGS:
        raise CipherError("cipher-malformed", f"{tag:#04x} is no tag of a ciphered APDU", system_title)
    security |= 0 if security & SUITE else keys.suite
    key = _key_for(security, keys, system_title, dedicated=tag in DEDICATED_TAGS)
    content = seal(plain, key, keys.ak, system_title, invocation_counter, security)
    title = bytes((_TITLE,)) + system_title if tag in (GENERAL_GLO, GENERAL_DED) else b""
    return bytes((tag,)) + title + encode_length(len(content)) + content


def seal(
    plain: bytes, key: bytes, ak: bytes | None, title: bytes, counter: int, security: int, context: bytes = b""
) -> bytes:
    """Security control, counter, `plain` under `key`, tag: the ciphered content. `context` is authenticated beside it."""
    if len(title) != _TITLE or not 0 <= counter < 1 << 32:
        detail = f"a system title of {len(title)} octets (8) or the counter {counter} (32 bit) is wrong"
        raise CipherError("cipher-malformed", detail, title)
    engine, head = _engine(key), _HEAD.pack(security, counter)
    additional = b""
    if security & AUTHENTICATED:
        if ak is None:
            raise missing("no authentication key (AK)", title)
        additional = head[:1] + ak + context
    if security & ENCRYPTED:
        # A tag of 12 octets is the beginning of that of 16
        return head + engine.encrypt(title + head[1:], plain, additional)[: _CUT if additional else -_WHOLE_TAG]
    return head + plain + engine.encrypt(title + head[1:], b"", additional + plain)[:_TAG]


def unseal(
    content: bytes, key: bytes, ak: bytes | None, title: bytes, context: bytes = b"", *, verify: bool = True
) -> bytes:
    """The plain text of a ciphered content of which `check_security` thinks well. Raises CipherError."""
    if len(content) < _HEADER:
        raise CipherError("cipher-malformed", f"{len(content)} octets in a ciphered APDU: its header has {_HEADER}", title)
    security, vector, tag = content[0], title + content[1:_HEADER], b""
    engine = _engine(key)
    if security & AUTHENTICATED:
        if len(content) < _HEADER + _TAG:
            detail = f"{len(content) - _HEADER} octets where a tag of {_TAG} is due"
            raise CipherError("cipher-malformed", detail, title)
        body, tag = content[_HEADER:-_TAG], content[-_TAG:]
    else:
        body = content[_HEADER:]
    # Counter mode is its own inverse, so encrypting again gives the text (and a tag of no meaning)
    plain = engine.encrypt(vector, body, None)[:-_WHOLE_TAG] if security & ENCRYPTED else body
    if tag and (ak is not None or verify):
        # and encrypting the text gives the tag: AESGCM.decrypt knows none of 12 octets, Cipher(GCM) takes twice the time
        if ak is None:
            raise missing("no authentication key (AK)", title)
        if not compare_digest(_tag(engine, vector, security, ak + context, plain), tag):
            why = "the tag does not verify: EK or AK is not the meter's, or octets changed on the way"
            raise CipherError("cipher-authentication", f"system title {title.hex().upper()}: {why}", title)
    return plain


def gmac(text: bytes, keys: Keys, title: bytes, counter: int) -> bytes:
    """Security control, counter and tag over `text`, which is not in it: the proof of HLS with GMAC."""
    content = seal(text, keys.ek, keys.ak, title, counter, AUTHENTICATED | keys.suite)
    return content[:_HEADER] + content[-_TAG:]


def service_tag(plain: bytes, *, dedicated: bool = False) -> int:
    """The tag of the glo- (or ded-) APDU for this service: get-request C0 becomes C8 (D0). Raises CipherError."""
    tag = (DEDICATED_TAG if dedicated else SERVICE_TAG).get(plain[0]) if plain else None
    if tag is not None:
        return tag
    detail = "only get, set, action, event-notification, read, write and report have a glo- or ded- APDU"
    raise CipherError("cipher-malformed", detail)


def content_of(apdu: bytes, known: bytes | None) -> tuple[bytes, bytes]:
    """System title (`known`, where the APDU names none) and content of a ciphered APDU: SC, IC and all that follows.
    Raises CipherError.
    """
    first = apdu[0] if apdu else 0
    if first in (GENERAL_CIPHERING, GENERAL_SIGNING):
        detail = f"{first:#04x} (general-ciphering, general-signing) is not supported here: general-glo and general-ded are"
        raise CipherError("cipher-suite-unsupported", detail, known)
    if first not in OPENED_TAGS:
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
    if length < _HEADER:
        raise CipherError("cipher-malformed", f"{length} octets in a ciphered APDU: its header has {_HEADER}", title)
    return title, apdu[at:]


def check_security(security: int, title: bytes) -> None:
    """Refuse by name what a security control octet asks for and nobody here does. Raises CipherError."""
    if security & SUITE not in KEY_OCTETS:
        detail = f"security suite {security & SUITE}: 0, 1 and 2 are supported"
        raise CipherError("cipher-suite-unsupported", detail, title)
    if security & COMPRESSED:
        detail = "a compressed APDU (V.44; bit 7 of security control): not supported, switch compression off"
        raise CipherError("cipher-suite-unsupported", detail, title)
    if not security & (AUTHENTICATED | ENCRYPTED):
        raise CipherError("cipher-malformed", "a ciphered APDU that is neither authenticated nor encrypted", title)


def check_suite(security: int, keys: Keys, title: bytes) -> None:
    """Refuse another suite than the keys are of. Raises CipherError."""
    if keys.any_suite and KEY_OCTETS.get(security & SUITE) == KEY_OCTETS[keys.suite]:
        return
    if security & SUITE != keys.suite:
        detail = f"security suite {security & SUITE}, and the keys are of suite {keys.suite}: correct the key store"
        raise CipherError("cipher-suite-unsupported", detail, title)


def _key_for(security: int, keys: Keys, title: bytes, *, dedicated: bool) -> bytes:
    """The encryption key that a security control octet asks for. Raises CipherError."""
    asked = security | dedicated << 8
    known = keys._checked.get(asked)  # noqa: SLF001 - a cache of this module's
    if known is not None:
        return known
    check_security(security, title)
    check_suite(security, keys, title)
    key: bytes | None = keys.ek
    if dedicated:
        name, key = "dedicated key", keys.dedicated
    elif security & BROADCAST:
        name, key = "global broadcast key", keys.broadcast
    if key is None:
        raise missing(f"no {name}", title)
    keys._checked[asked] = key  # noqa: SLF001 - as above
    return key


def missing(what: str, title: bytes) -> CipherError:
    """The error for a key that is not there: `what` is missing."""
    detail = f"{what} for system title {title.hex().upper()}: import the meter's keys, then send the telegram again"
    return CipherError("key-missing", detail, title)


def _tag(engine: AESGCM, vector: bytes, security: int, ak: bytes, plain: bytes) -> bytes:
    additional = bytes((security,)) + ak
    if security & ENCRYPTED:
        return engine.encrypt(vector, plain, additional)[-_WHOLE_TAG:_CUT]
    return engine.encrypt(vector, b"", additional + plain)[:_TAG]


@lru_cache(maxsize=_CACHED_KEYS)
def _engine(key: bytes) -> AESGCM:
    return AESGCM(key)
