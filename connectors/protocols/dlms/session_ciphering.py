"""Ciphered APDUs of a session between client and meter, opened for who looks at a capture of one and has the keys.

An APDU under glo- or ded- names nobody: whose title it was ciphered under follows from the AARQ and AARE before it, and the
dedicated key is in the AARQ's ciphered initiate. A client's APDU is opened with the keys of its title or, where the key
store has none, with those of the meter that it speaks with: both sides use the same.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from connectors.protocols.dlms import general_ciphering
from connectors.protocols.dlms.axdr import read_length
from connectors.protocols.dlms.ciphering import (
    AUTHENTICATED,
    BROADCAST,
    GENERAL_CIPHERING,
    GENERAL_DED,
    GENERAL_GLO,
    GENERAL_SIGNING,
    GLO_INITIATE_REQUEST,
    KEY_OCTETS,
    OPENED_TAGS,
    Deciphered,
    KeyLookup,
    Keys,
    content_of,
    decipher,
)
from connectors.protocols.dlms.errors import CipherError, DecodeError

SEALED = OPENED_TAGS | {GENERAL_CIPHERING, GENERAL_SIGNING}
"""First octets of APDUs that are protected."""

_NAMING = frozenset((GENERAL_GLO, GENERAL_DED))
_OF_CLIENTS = frozenset(
    (GLO_INITIATE_REQUEST, 0x25, 0x26, 0x36, 0x45, 0x46, 0x56, 0xC8, 0xC9, 0xCB, 0xD0, 0xD1, 0xD3)
)  # initiate; read, write, unconfirmed write; get, set, action
_INITIATE_REQUEST = 0x01


@dataclass(slots=True)
class Opener:
    """The keys, and what the association told: who speaks, and the dedicated key."""

    lookup: KeyLookup
    verify: bool = False
    client: bytes | None = None
    """System title, of an AARQ; likewise the meter's, of an AARE."""
    meter: bytes | None = None
    _dedicated: bytes | None = field(default=None, repr=False)
    _asked: bytes = b""
    """The client's initiate, ciphered: it is opened once the meter is known, where not before."""

    def titled(self, title: bytes | None, *, client: bool) -> None:
        """An AARQ or AARE was read: another association begins with the former."""
        if client:
            self.client, self.meter, self._dedicated, self._asked = title, None, None, b""
            return
        self.meter = title
        if self._asked and self._dedicated is None:
            self.initiate(self._asked)

    def open(self, apdu: bytes) -> tuple[Deciphered, bool] | None:
        """What was protected, and whether its tag was verified; None where nobody said whose it is. Raises CipherError."""
        if apdu[0] == GENERAL_SIGNING:
            if self.verify:
                return None
            signed = general_ciphering.content_signed(apdu)
            return Deciphered(signed.plain, signed.parties.originator, 0, 0), False
        if apdu[0] == GENERAL_CIPHERING:
            title = general_ciphering.originator(apdu)
        else:
            known = self.client if apdu[0] in _OF_CLIENTS else self.meter
            if known is None and apdu[0] not in _NAMING:
                return None
            title, _ = content_of(apdu, known)
        keys = self._keys(title)
        if apdu[0] == GENERAL_CIPHERING:
            if keys is None:
                return None
            found = general_ciphering.decipher(apdu, keys)
            security = found.security | BROADCAST * found.broadcast
            opened = Deciphered(found.plain, title, found.invocation_counter or 0, security)
        else:
            opened = decipher(apdu, lambda _: keys, title, verify=self.verify)
        sure = keys is not None and keys.ak is not None and opened.security & (AUTHENTICATED | BROADCAST) == AUTHENTICATED
        return opened, sure

    def initiate(self, octets: bytes) -> bytes:
        """The initiate in an AARQ or AARE, opened where it is ciphered and the keys are there; its dedicated key is kept."""
        if octets[:1] and octets[0] in SEALED:
            if self.meter is None:
                self._asked = octets
            try:
                opened = self.open(octets)
            except CipherError:
                return octets
            octets = octets if opened is None else opened[0].plain
        if octets[:2] == bytes((_INITIATE_REQUEST, 1)):
            try:
                size, at = read_length(octets, 2)
            except DecodeError:
                return octets
            self._dedicated = octets[at : at + size]
        return octets

    def _keys(self, title: bytes) -> Keys | None:
        keys = self.lookup(title)
        if keys is None and title == self.client and self.meter is not None:
            keys = self.lookup(self.meter)
        if keys is not None and self._dedicated is not None and len(self._dedicated) == KEY_OCTETS[keys.suite]:
            return replace(keys, dedicated=self._dedicated)
        return keys
