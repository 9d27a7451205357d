"""Secrets out of frames before they are kept: passwords in an AARQ, and what a request makes a secret or a key."""

from __future__ import annotations

from connectors.protocols.dlms import masking

_AARQ, _AUTHENTICATION_VALUE = 0x60, 0xAC
SECRETIVE = frozenset((_AARQ, *masking.SETS_SECRET))
"""First octets of what may have to be masked; all else is kept as it is."""


def masked(apdu: bytes) -> bytes:
    """An APDU as it may be kept: in an AARQ, each octet of the calling-authentication-value is an asterisk; for other APDUs
    see `dlms.masking`. What a meter sends is masked, too: a line that echoes brings our own requests back.

    BER is walked as far as it can be trusted (IEC 62056-5-3, 8.4); where it cannot, all that follows is masked.
    """
    if apdu[:1] != bytes((_AARQ,)):
        return masking.masked(apdu)
    out, at = bytearray(apdu), _after_length(apdu, 1)
    while at is not None and at < len(apdu):
        tag, start = apdu[at], _after_length(apdu, at + 1)
        if start is None:
            break
        end = start + _size(apdu, at + 1)
        if end > len(apdu):
            break
        if tag == _AUTHENTICATION_VALUE:
            inner = _after_length(apdu, start + 1) or start
            out[inner:end] = b"*" * (end - inner)
        at = end
    if at is None or at < len(apdu):
        at = 1 if at is None else at
        out[at:] = b"*" * (len(apdu) - at)
    return bytes(out)


def _size(octets: bytes, at: int) -> int:
    first = octets[at]
    return first if first < 0x80 else int.from_bytes(octets[at + 1 : at + 1 + (first & 0x7F)])


def _after_length(octets: bytes, at: int) -> int | None:
    """The index after a BER length of up to four octets, None where there is none."""
    if at >= len(octets):
        return None
    more = octets[at] & 0x7F if octets[at] >= 0x80 else 0
    end = at + 1 + more
    return None if more > 4 or end > len(octets) else end
