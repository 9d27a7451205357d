"""Requests as they may be kept: with asterisks for the octets of a password, secret or key."""

from __future__ import annotations

import re

from connectors.protocols.dlms.association import AARQ, LOW, MECHANISM
from connectors.protocols.dlms.ber import fields, inner, read_tlv
from connectors.protocols.dlms.errors import DecodeError

SETS_SECRET = {
    0xC1: re.compile(rb"\x00\x0f\x00.\x28..\xff\x07", re.DOTALL),  # 15/0.b.40.d.e.255/7, secret
    # its change; keys of M-Bus devices, 72/…/7; keys of the meter, wrapped, 64/…/2
    0xC3: re.compile(rb"\x00(\x0f\x00.\x28..\xff\x02|\x48\x00.\x18..\xff\x07|\x40\x00.\x2b..\xff\x02)", re.DOTALL),
    0x06: re.compile(rb"\x02\xfa.", re.DOTALL),  # anything of the association by short names
}
"""By the first octet of a request: what of it sets a secret."""


def masked(apdu: bytes) -> bytes:
    """An APDU as it may be kept: the octets of a password, secret or key are asterisks.

    That is the authentication value of an AARQ with low level security, and what a SET, ACTION or write makes the secret of
    an association or the key of an M-Bus device; what follows such in one request is starred with it. Challenges and
    proofs are no secrets.
    """
    if apdu[:1] == bytes((AARQ,)):
        return _masked_aarq(apdu)
    setting = SETS_SECRET.get(apdu[0]) if apdu else None
    found = setting.search(apdu) if setting is not None else None
    return apdu if found is None else apdu[: found.end()] + b"*" * (len(apdu) - found.end())


def _masked_aarq(apdu: bytes) -> bytes:
    """With the authentication value starred, unless the mechanism says that it is a challenge. What cannot be read is
    starred as a whole.
    """
    try:
        body = inner(apdu, AARQ)
        mechanism = fields(body).get(0x8B, b"")
        if mechanism[:-1] == MECHANISM and mechanism[-1] > LOW:
            return apdu
        at = len(apdu) - len(body)
        while at < len(apdu):
            tag, value, at = read_tlv(apdu, at)
            if tag == 0xAC:
                secret = inner(value, 0x80)
                apdu = apdu[: at - len(secret)] + b"*" * len(secret) + apdu[at:]
    except DecodeError:
        return apdu[:1] + b"*" * (len(apdu) - 1)
    return apdu
