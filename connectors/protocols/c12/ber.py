"""BER as far as C12.22 needs it: definite lengths, tags, object identifiers (ISO/IEC 8825-1; ANSI C12.22, 5.2).

Every length is checked against the octets at hand before anything is taken. Lengths longer than they need be are read, as
BER allows; they are written as short as can be.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from connectors.protocols.c12.errors import DecodeError

_LONGEST_LENGTH = 4
_LONGEST_TAG = 4
_LONGEST_ARC = 16  # octets of one arc: a UUID as an arc (2.25.…) has 19 bits more than 16 times 7, and no meter has one


class Element(NamedTuple):
    """One tag, length, content, and where they stand in the octets they were read from."""

    tag: int
    at: int
    content: bytes
    content_at: int

    @property
    def end(self) -> int:
        """The index after it."""
        return self.content_at + len(self.content)


def length(size: int) -> bytes:
    """A length as short as can be; ValueError beyond four octets."""
    if size < 0x80:
        return bytes((size,))
    octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
    if len(octets) > _LONGEST_LENGTH:
        raise ValueError(f"a length of {len(octets)} octets: at most {_LONGEST_LENGTH}")
    return bytes((0x80 | len(octets),)) + octets


def tlv(tag: int, content: bytes) -> bytes:
    """Tag, length, content. Tags beyond 255 are those of several octets."""
    return tag.to_bytes((tag.bit_length() + 7) // 8 or 1, "big") + length(len(content)) + content


def read_length(octets: bytes, at: int) -> tuple[int, int]:
    """The size that stands at `at` and the index after it; whether that many octets are there is the caller's to check.

    Raises DecodeError "c1222-truncated" where the length itself is cut short, "c1222-ber" where it is none.
    """
    if at >= len(octets):
        raise truncated(f"octets end at {at}, where a length is due")
    first = octets[at]
    if first < 0x80:
        return first, at + 1
    count = first & 0x7F
    if count == 0:
        raise DecodeError(
            "c1222-ber", f"an indefinite length at octet {at}: C12.22 has definite ones only (5.2.2), the sender is in error"
        )
    if count > _LONGEST_LENGTH:
        raise DecodeError("c1222-ber", f"a length of {count} octets at octet {at}: at most {_LONGEST_LENGTH} make sense")
    end = at + 1 + count
    if end > len(octets):
        raise truncated(f"octets end at {len(octets)}, inside the length at {at}")
    return int.from_bytes(octets[at + 1 : end], "big"), end


def read(octets: bytes, at: int) -> Element:
    """The element that stands at `at`, whole. Raises DecodeError."""
    start = at
    tag, at = _tag(octets, at)
    size, content_at = read_length(octets, at)
    if content_at + size > len(octets):
        there = len(octets) - content_at
        raise truncated(f"element {tag:02X} at octet {start} announces {size} octets, {there} are there")
    return Element(tag, start, octets[content_at : content_at + size], content_at)


def elements(octets: bytes, at: int = 0) -> Iterator[Element]:
    """Every element from `at` to the end."""
    while at < len(octets):
        element = read(octets, at)
        yield element
        at = element.end


def only(octets: bytes, tag: int, what: str) -> bytes:
    """The content of the one element that `octets` are. Raises DecodeError "c1222-acse" where it is another, or one more."""
    element = read(octets, 0)
    if element.tag != tag or element.end != len(octets):
        found = f"{element.tag:02X} and {len(octets) - element.end} octets after it"
        raise DecodeError("c1222-acse", f"{what}: {tag:02X} alone belongs here, {found} stand here")
    return element.content


def unsigned(octets: bytes, what: str) -> int:
    """The content of an INTEGER as a number without sign, as the invocation ids of C12.22 are meant."""
    if not 1 <= len(octets) <= 5 or (len(octets) == 5 and octets[0]):
        raise DecodeError("c1222-acse", f"{what}: an integer of {len(octets)} octets, it has one to four")
    return int.from_bytes(octets, "big")


def integer(value: int) -> bytes:
    """The content of an INTEGER that is not negative."""
    return value.to_bytes(value.bit_length() // 8 + 1, "big")


def arcs(octets: bytes) -> tuple[int, ...]:
    """The arcs of a relative object identifier. Raises DecodeError "c1222-title"."""
    found: list[int] = []
    arc, size = 0, 0
    for octet in octets:
        if size == 0 and octet == 0x80:
            raise DecodeError("c1222-title", f"object identifier {octets.hex().upper()}: an arc begins with 80")
        arc, size = arc << 7 | octet & 0x7F, size + 1
        if size > _LONGEST_ARC:
            raise DecodeError("c1222-title", f"object identifier {octets.hex().upper()}: an arc of more than {_LONGEST_ARC}")
        if octet < 0x80:
            found.append(arc)
            arc, size = 0, 0
    if size:
        raise DecodeError("c1222-title", f"object identifier {octets.hex().upper()}: it ends inside an arc")
    return tuple(found)


def absolute_arcs(octets: bytes) -> tuple[int, ...]:
    """The arcs of an absolute object identifier, of which the first two share a number."""
    found = arcs(octets)
    if not found:
        return ()
    first = min(found[0] // 40, 2)
    return (first, found[0] - 40 * first, *found[1:])


def octets_of(numbers: tuple[int, ...]) -> bytes:
    """The octets of a relative object identifier."""
    out = bytearray()
    for number in numbers:
        groups = [number & 0x7F]
        while number := number >> 7:
            groups.append(0x80 | number & 0x7F)
        out += bytes(reversed(groups))
    return bytes(out)


def absolute_octets(numbers: tuple[int, ...]) -> bytes:
    """The octets of an absolute object identifier; ValueError where its first two arcs are none."""
    if not numbers:
        return b""
    if len(numbers) < 2 or numbers[0] > 2 or (numbers[0] < 2 and numbers[1] > 39):
        raise ValueError(f"{'.'.join(map(str, numbers))} is no object identifier: it begins with 0 to 2, then 0 to 39")
    return octets_of((40 * numbers[0] + numbers[1], *numbers[2:]))


def truncated(what: str) -> DecodeError:
    """The error for octets that end too early."""
    return DecodeError("c1222-truncated", f"{what}: the message was cut short on the way, or its lengths are wrong")


def _tag(octets: bytes, at: int) -> tuple[int, int]:
    if at >= len(octets):
        raise truncated(f"octets end at {at}, where a tag is due")
    tag = octets[at]
    at += 1
    if tag & 0x1F != 0x1F:
        return tag, at
    for _ in range(_LONGEST_TAG - 1):
        if at >= len(octets):
            raise truncated(f"octets end at {at}, inside a tag")
        tag, more, at = tag << 8 | octets[at], octets[at] & 0x80, at + 1
        if not more:
            return tag, at
    raise DecodeError("c1222-ber", f"a tag of more than {_LONGEST_TAG} octets before octet {at}")
