"""BER as far as ACSE needs it: one-octet tags, definite lengths (ISO/IEC 8825-1; IEC 62056-5-3, 8.4).

Every length is checked against the octets at hand. Errors are `DecodeError` "dlms-acse".
"""

from __future__ import annotations

from connectors.protocols.dlms.errors import DecodeError


def tlv(tag: int, content: bytes) -> bytes:
    """Tag, length, content; ValueError beyond 65,535 octets."""
    size = len(content)
    if size < 0x80:
        return bytes((tag, size)) + content
    if size < 0x100:
        return bytes((tag, 0x81, size)) + content
    if size > 0xFFFF:
        raise ValueError(f"{size} octets do not fit an association's field")
    return bytes((tag, 0x82)) + size.to_bytes(2, "big") + content


def read_tlv(octets: bytes, at: int) -> tuple[int, bytes, int]:
    """Tag, content and the index after it."""
    if at + 2 > len(octets):
        raise malformed("it is cut short")
    tag, size = octets[at], octets[at + 1]
    at += 2
    if size >= 0x80:
        count = size & 0x7F
        if not 1 <= count <= 2 or at + count > len(octets):
            raise malformed(f"a length of {count} octets")
        size = int.from_bytes(octets[at : at + count], "big")
        at += count
    if at + size > len(octets):
        raise malformed(f"{size} octets announced, {len(octets) - at} there")
    return tag, octets[at : at + size], at + size


def inner(octets: bytes, tag: int) -> bytes:
    """The content of what `octets` begins with, which must have this tag."""
    if len(octets) >= 2 and octets[0] == tag and octets[1] == len(octets) - 2 < 0x80:
        return octets[2:]  # nearly always
    found, content, _ = read_tlv(octets, 0)
    if found != tag:
        raise malformed(f"tag {found:#04x} where {tag:#04x} belongs")
    return content


def integer(octets: bytes) -> int:
    """A whole INTEGER of up to four octets, as a number without sign."""
    value = inner(octets, 0x02)
    if not 1 <= len(value) <= 4:
        raise malformed(f"an integer of {len(value)} octets")
    return int.from_bytes(value, "big")


def fields(body: bytes) -> dict[int, bytes]:
    """What a sequence holds, by tag; of two with the same tag the first counts."""
    found: dict[int, bytes] = {}
    at, end = 0, len(body)
    while at < end:
        after = at + 2 + body[at + 1] if at + 1 < end else end + 1
        if after <= end and body[at + 1] < 0x80:  # nearly always
            tag, content, at = body[at], body[at + 2 : after], after
        else:
            tag, content, at = read_tlv(body, at)
        if tag not in found:
            found[tag] = content
    return found


def malformed(what: str) -> DecodeError:
    """The error for an association answer that cannot be read."""
    detail = f"association: the meter's answer cannot be read, {what}: keep its bytes and ask the vendor"
    return DecodeError("dlms-acse", detail)
