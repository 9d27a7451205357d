"""Packets put together by the standard's own words, apart from the code under test: what tests say a meter sent."""

from __future__ import annotations

ACK, NAK = b"\x06", b"\x15"


def crc(data: bytes) -> bytes:
    """CRC-16/X.25 bit by bit: polynomial x^16 + x^12 + x^5 + 1, reflected, inverted at both ends, low octet first."""
    value = 0xFFFF
    for octet in data:
        value ^= octet
        for _ in range(8):
            value = value >> 1 ^ (0x8408 if value & 1 else 0)
    return (value ^ 0xFFFF).to_bytes(2, "little")


def packet(data: bytes | str, control: int = 0x00, sequence: int = 0, identity: int = 0) -> bytes:
    """EE, identity, control, sequence number, length, data, CRC."""
    octets = bytes.fromhex(data) if isinstance(data, str) else data
    head = bytes((0xEE, identity, control, sequence)) + len(octets).to_bytes(2, "big") + octets
    return head + crc(head)


def altered(octets: bytes, place: int = -1) -> bytes:
    """With one bit of one octet turned."""
    out = bytearray(octets)
    out[place] ^= 0x01
    return bytes(out)
