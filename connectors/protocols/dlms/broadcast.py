"""Requests to many meters at once, which none of them answers: ACTION, service class unconfirmed, under the broadcast key.

    C3 01 | invoke-id-and-priority, bit 6 clear | class OBIS method | 01 parameter    (IEC 62056-5-3, 9.3.5, 9.5)
    DB | our title | length | SC IC ciphertext tag               (9.2.7.2.4; bit 6 of SC: under the broadcast key)

They go to whoever listens, in a pre-established association or in none. Every meter of the group holds the key, so that it
proves only that somebody of the group sent them; and the authentication key must be the same in all of them.
"""

from __future__ import annotations

from connectors.protocols.dlms.action import ACTION, Method
from connectors.protocols.dlms.ciphering import AUTHENTICATED, BROADCAST, ENCRYPTED, Keys, cipher
from connectors.protocols.dlms.confirmed import NORMAL
from connectors.protocols.dlms.objects.image_transfer import Image, block_of

_UNCONFIRMED = 0x00
"""Of invoke-id-and-priority: service class unconfirmed, priority normal."""
_INVOKE_IDS = 0x0F
_BLOCK = 2
SECURITY = AUTHENTICATED | ENCRYPTED | BROADCAST


def unconfirmed_action(method: Method, parameter: bytes | None = None, *, invoke_id: int = 0) -> bytes:
    """An ACTION request that is not to be answered. `parameter` is A-XDR, `invoke_id` of four bits."""
    joint = b"\0" if parameter is None else b"\x01" + parameter
    return bytes((ACTION.request, NORMAL, _UNCONFIRMED | invoke_id & _INVOKE_IDS)) + method.encode() + joint


def block_to_all(image: Image, number: int, block_size: int, transfer: str) -> bytes:
    """A block of an image, counted from 0, for every meter to which this image was initiated. It does not say of which
    image it is: a meter to which another one was initiated takes it for one of that. DecodeError beyond the image's end.
    """
    method = Method(18, transfer, _BLOCK)
    return unconfirmed_action(method, block_of(image, number, block_size, transfer), invoke_id=number)


def group_keys(broadcast: bytes, ak: bytes, suite: int) -> Keys:
    """What a group has in common; no meter's own key is among them. ValueError where a length is not the suite's."""
    return Keys(broadcast, ak, broadcast=broadcast, suite=suite)


def protected(apdu: bytes, keys: Keys, title: bytes, counter: int) -> bytes:
    """A request as general-glo under the broadcast key, authenticated and encrypted. `title` is our own; `counter` is of
    that key, whichever group it is for, and never used twice. CipherError where a key is missing.
    """
    return cipher(apdu, keys, title, counter, SECURITY)
