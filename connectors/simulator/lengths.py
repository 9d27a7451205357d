"""Lengths as A-XDR and BER write them: an octet, or 0x80 + n and n octets, highest first."""

from __future__ import annotations


def read_length(data: bytes, at: int) -> tuple[int, int]:
    """The length that stands at `at`, and where what follows it begins."""
    first = data[at]
    if first < 0x80:
        return first, at + 1
    count = first & 0x7F
    return int.from_bytes(data[at + 1 : at + 1 + count], "big"), at + 1 + count


def length(size: int) -> bytes:
    """The octets of a length below 2**24."""
    if size < 0x80:
        return bytes((size,))
    count = 1 if size < 0x100 else 2 if size < 0x10000 else 3
    return bytes((0x80 | count,)) + size.to_bytes(count, "big")
