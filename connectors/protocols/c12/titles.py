"""Application titles: object identifiers, absolute (06) or relative to a base (80; 0D inside services); ANSI C12.22, 5.2.3.

The text of an absolute one is "1.3.6.1.4.1.33507", of a relative one ".123.8437". What is compared, looked up and
authenticated is the absolute form, so a relative title needs the base that its network was given.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from connectors.protocols.c12 import ber
from connectors.protocols.c12.errors import DecodeError

ABSOLUTE, RELATIVE, RELATIVE_UNIVERSAL = 0x06, 0x80, 0x0D
_LONGEST = 64
_KEPT = 16_384
_TEXT = re.compile(r"\.?(?:[0-9]{1,39}(?:\.[0-9]{1,39}){0,63})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class ApTitle:
    """One title as it was sent. Empty octets are a node that has none yet."""

    octets: bytes
    tag: int = ABSOLUTE

    @property
    def relative(self) -> bool:
        """Whether it wants a base."""
        return self.tag != ABSOLUTE

    @property
    def text(self) -> str:
        """Its arcs, after a dot where it is relative. Raises DecodeError "c1222-title" where they cannot be told."""
        return _text(self.octets, self.tag)

    def absolute(self, base: ApTitle) -> ApTitle:
        """Itself, or what `base` and it make together."""
        return _joined(base.octets, self.octets) if self.tag != ABSOLUTE else self

    def encode(self) -> bytes:
        """Tag, length, octets."""
        return ber.tlv(self.tag, self.octets)

    def __str__(self) -> str:
        return self.text


# Every message names its two nodes, and they are the same again and again.
@lru_cache(maxsize=_KEPT)
def _text(octets: bytes, tag: int) -> str:
    if tag != ABSOLUTE:
        return "".join(f".{arc}" for arc in ber.arcs(octets))
    return ".".join(map(str, ber.absolute_arcs(octets)))


@lru_cache(maxsize=_KEPT)
def _joined(base: bytes, octets: bytes) -> ApTitle:
    return ApTitle(base + octets)


def title(text: str) -> ApTitle:
    """A title from its text; a dot before it makes it relative. Raises DecodeError "c1222-title"."""
    relative = text.startswith(".")
    if _TEXT.fullmatch(text) is None:
        raise _no_title(text)
    numbers = tuple(int(part) for part in text.removeprefix(".").split(".") if part)
    try:
        octets = ber.octets_of(numbers) if relative else ber.absolute_octets(numbers)
    except ValueError:
        raise _no_title(text) from None
    if len(octets) > _LONGEST:
        raise _too_long(octets)
    return ApTitle(octets, RELATIVE if relative else ABSOLUTE)


def of_element(element: ber.Element) -> ApTitle:
    """The title that an element with one of the three tags is. Raises DecodeError "c1222-title"."""
    if element.tag not in (ABSOLUTE, RELATIVE, RELATIVE_UNIVERSAL):
        raise DecodeError("c1222-title", f"tag {element.tag:02X} where a title (06 absolute, 80 relative) belongs")
    if len(element.content) > _LONGEST:
        raise _too_long(element.content)
    found = ApTitle(element.content, element.tag)
    _ = found.text  # arcs that can be told are part of being a title
    return found


def read(octets: bytes, at: int) -> tuple[ApTitle, int]:
    """The title that stands at `at`, and the index after it."""
    element = ber.read(octets, at)
    return of_element(element), element.end


C1222_BASE = title("2.16.124.113620.1.22.0")
"""The base of titles under the registry of C12.22; a utility may use another."""

C1222_CONTEXT = title("2.16.124.113620.1.22")
"""The application context, which is what a message without A1 has."""

C1222_SECURITY = title("2.16.124.113620.1.22.2.1")
"""The mechanism that EAX' has."""


def _too_long(octets: bytes) -> DecodeError:
    return DecodeError("c1222-title", f"an application title of {len(octets)} octets: at most {_LONGEST} are taken")


def _no_title(text: str) -> DecodeError:
    detail = f"{text[:80]!r} is no application title: write 1.3.6.1.4.1.33507, or .123.4 for a relative one"
    return DecodeError("c1222-title", detail)
