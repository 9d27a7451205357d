"""EAX' (ANSI C12.22, annex; Moise, Beroset, Phinney, Burns 2011): AES-128, an authenticated header, a tag of four octets.

It is EAX with three changes: one key-dependent constant less, a little-endian doubling, and a counter whose bits 31 and 15
are cleared. With E for AES under the key, L = E(0), D = 2L, Q = 4L:

    N = CBC-MAC from D over the header             T = N                                  nothing to encipher
    C = text ⊕ CTR from N                          T = N ⊕ CBC-MAC from Q over C          otherwise

Each CBC-MAC has its last block whitened as CMAC does: by D where it is whole, by Q where it was padded with 80 00…. The tag
is the last four octets of T. AES, CBC and CTR are those of `cryptography`.

A header and a text of one block each can be forged (Minematsu, Lucks, Morita, Iwata 2013); longer headers are proven to
hold. `SHORT` is where that ends: who opens a message keeps to it (`c1222_security`).
"""

from __future__ import annotations

from functools import lru_cache
from hmac import compare_digest

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC, CTR, ECB

KEY, TAG, SHORT = 16, 4, 16
"""Octets of a key, of a tag, and of what is too short to be protected."""

_BLOCK = 16
_CACHED_KEYS = 8192


def encipher(key: bytes, header: bytes, text: bytes) -> tuple[bytes, bytes]:
    """Ciphertext and tag. The header must never repeat under one key: it is the nonce, too."""
    whole, padded = _constants(key)
    nonce = _mac(key, whole, header, whole, padded)
    if not text:
        return b"", nonce[-TAG:]
    enciphered = _counter(key, nonce, text)
    return enciphered, _xor(nonce, _mac(key, padded, enciphered, whole, padded))[-TAG:]


def decipher(key: bytes, header: bytes, enciphered: bytes, tag: bytes) -> bytes | None:
    """The text, or None where the tag does not verify."""
    whole, padded = _constants(key)
    nonce = _mac(key, whole, header, whole, padded)
    expected = _xor(nonce, _mac(key, padded, enciphered, whole, padded)) if enciphered else nonce
    if not compare_digest(expected[-TAG:], tag):
        return None
    return _counter(key, nonce, enciphered) if enciphered else b""


def authenticate(key: bytes, header: bytes) -> bytes:
    """The tag of a header with nothing to encipher: of a message in clear, its services are the header's end."""
    return encipher(key, header, b"")[1]


@lru_cache(maxsize=_CACHED_KEYS)
def _constants(key: bytes) -> tuple[bytes, bytes]:
    """D, which whitens whole blocks, and Q, which whitens padded ones."""
    if len(key) != KEY:
        raise ValueError(f"an EAX' key has {KEY} octets, not {len(key)}")
    encryptor = Cipher(AES(key), ECB()).encryptor()  # noqa: S305 - one block, of zeros: L of the mode
    whole = _double(encryptor.update(bytes(_BLOCK)))
    return whole, _double(whole)


def _double(block: bytes) -> bytes:
    """Times x in the field, the first octet being the lowest."""
    number = int.from_bytes(block, "little") << 1
    if number >> 128:
        number ^= 1 << 128 | 0x87
    return number.to_bytes(_BLOCK, "little")


def _mac(key: bytes, start: bytes, data: bytes, whole: bytes, padded: bytes) -> bytes:
    short = len(data) % _BLOCK
    if short or not data:
        data += b"\x80" + bytes(_BLOCK - short - 1)
        data = data[:-_BLOCK] + _xor(data[-_BLOCK:], padded)
    else:
        data = data[:-_BLOCK] + _xor(data[-_BLOCK:], whole)
    return Cipher(AES(key), CBC(start)).encryptor().update(data)[-_BLOCK:]


def _counter(key: bytes, nonce: bytes, data: bytes) -> bytes:
    first = bytearray(nonce)
    first[12] &= 0x7F
    first[14] &= 0x7F
    return Cipher(AES(key), CTR(bytes(first))).encryptor().update(data)


def _xor(left: bytes, right: bytes) -> bytes:
    return (int.from_bytes(left, "big") ^ int.from_bytes(right, "big")).to_bytes(_BLOCK, "big")
