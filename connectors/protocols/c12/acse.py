"""The ACSE message that C12.22 is: `Apdu` to octets and back (ANSI C12.22, 5.3.4).

    60 | A1 context | A2 called title | A3 size of the whole | A4 called invocation id | A6 calling title
       | A7 calling AE qualifier | A8 calling invocation id | 8B mechanism | AC authentication value
       | BE { 28 { [02 offset] 81 EPSEM, or a segment of a message } }

They are written in this order and read in any. Each may stand once. What is not known is kept, with its tag. A3 and the
offset are there in segments only (`c1222_segments`).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from connectors.protocols.c12 import ber
from connectors.protocols.c12.errors import DecodeError
from connectors.protocols.c12.titles import ApTitle, of_element

APDU = 0x60
CONTEXT, CALLED, SIZE, CALLED_INVOCATION = 0xA1, 0xA2, 0xA3, 0xA4
CALLING, QUALIFIER, CALLING_INVOCATION, MECHANISM = 0xA6, 0xA7, 0xA8, 0x8B
AUTHENTICATION, INFORMATION = 0xAC, 0xBE
MECHANISM_EXPLICIT = 0xAB
"""How some write the mechanism's name."""

NAMES = {
    CONTEXT: "aSO-context",
    CALLED: "called-AP-title",
    SIZE: "called-AE-qualifier",
    CALLED_INVOCATION: "called-AP-invocation-id",
    CALLING: "calling-AP-title",
    QUALIFIER: "calling-AE-qualifier",
    CALLING_INVOCATION: "calling-AP-invocation-id",
    MECHANISM: "mechanism-name",
    MECHANISM_EXPLICIT: "mechanism-name",
    AUTHENTICATION: "calling-authentication-value",
    INFORMATION: "user-information",
}
"""The elements' names, as the standard writes them."""

TEST, URGENT, NOTIFICATION = 0x01, 0x02, 0x04
"""Bits of the calling AE qualifier."""

_INTEGER, _OID, _EXTERNAL, _OCTETS = 0x02, 0x06, 0x28, 0x81
_SEQUENCE, _ASN1, _C1222, _C1221 = 0xA2, 0xA0, 0xA1, 0xA0
_KEY_ID, _IV = 0x80, 0x81
IV_OCTETS = 4
_MOST_ELEMENTS = 32


@dataclass(frozen=True, slots=True)
class Unknown:
    """An element that the standard does not have here: kept as it came."""

    tag: int
    content: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Authentication:
    """The calling authentication value: key id and IV of C12.22's mechanism, or what another one has."""

    key_id: int | None = None
    """None where it is not there, which means 0."""
    iv: bytes | None = None
    form: str = "c1222"
    """"c1222"; "c1221" (identification, request and response of C12.21); "octets" (of a mechanism by agreement)."""
    others: tuple[Unknown, ...] = ()
    """Whatever else there is: octets of the other forms, and private elements."""


@dataclass(frozen=True, slots=True)
class Apdu:
    """One message. Titles, ids and flags as they were sent, and what it carries."""

    called: ApTitle | None = None
    calling: ApTitle | None = None
    calling_invocation: int | None = None
    called_invocation: int | None = None
    """The id of the request that this answers: None in what answers nothing."""
    qualifier: int | None = None
    information: bytes | None = field(default=None, repr=False)
    """The EPSEM, or the segment's octets. In clear it may hold a password: no repr shows it."""
    authentication: Authentication | None = None
    context: ApTitle | None = None
    mechanism: ApTitle | None = None
    size: int | None = None
    """Of a segment: octets of the whole message."""
    offset: int | None = None
    """Of a segment: where its octets belong in the whole."""
    unknown: tuple[Unknown, ...] = ()
    """In no order, and under no MAC: nothing may depend on them."""

    @property
    def segment(self) -> bool:
        """Whether it is one of several that make a message."""
        return self.size is not None


def decode(octets: bytes) -> Apdu:
    """The message that `octets` are, and nothing after it. Raises DecodeError."""
    return apdu_of(split(octets))


def split(octets: bytes) -> tuple[ber.Element, ...]:
    """The elements of a message, each with its place in `octets`."""
    whole = ber.read(octets, 0)
    if whole.tag != APDU:
        raise DecodeError("c1222-garbage", f"a message begins with 60, this one with {octets[:8].hex(' ').upper()}…")
    if whole.end != len(octets):
        raise DecodeError("c1222-acse", f"{len(octets) - whole.end} octets stand behind the message: its length is wrong")
    found: list[ber.Element] = []
    for element in ber.elements(octets, whole.content_at):
        if len(found) == _MOST_ELEMENTS:
            raise DecodeError("c1222-acse", f"more than {_MOST_ELEMENTS} elements in one message")
        found.append(element)
    return tuple(found)


def encode(apdu: Apdu) -> bytes:
    """The octets of a message, elements in the standard's order, unknown ones last but for the user information."""
    parts = [
        _explicit(CONTEXT, apdu.context),
        _explicit(CALLED, apdu.called),
        _number(SIZE, apdu.size),
        _number(CALLED_INVOCATION, apdu.called_invocation),
        _explicit(CALLING, apdu.calling),
        _number(QUALIFIER, apdu.qualifier),
        _number(CALLING_INVOCATION, apdu.calling_invocation),
        b"" if apdu.mechanism is None else ber.tlv(MECHANISM, apdu.mechanism.octets),
        b"" if apdu.authentication is None else ber.tlv(AUTHENTICATION, _authentication_octets(apdu.authentication)),
        *(ber.tlv(element.tag, element.content) for element in apdu.unknown),
        b"" if apdu.information is None else ber.tlv(INFORMATION, _external(apdu.offset, apdu.information)),
    ]
    return ber.tlv(APDU, b"".join(parts))


def apdu_of(parts: tuple[ber.Element, ...]) -> Apdu:
    """The message that these elements make. Raises DecodeError."""
    by_tag: dict[int, bytes] = {}
    unknown: list[Unknown] = []
    for element in parts:
        tag = MECHANISM if element.tag == MECHANISM_EXPLICIT else element.tag
        if tag not in NAMES:
            unknown.append(Unknown(element.tag, element.content))
        elif tag in by_tag:
            raise DecodeError("c1222-acse", f"{NAMES[tag]} ({element.tag:02X}) stands twice, again at octet {element.at}")
        else:
            by_tag[tag] = _mechanism(element.content) if element.tag == MECHANISM_EXPLICIT else element.content
    offset, information = _information(by_tag.get(INFORMATION))
    mechanism = by_tag.get(MECHANISM)
    authentication = by_tag.get(AUTHENTICATION)
    return Apdu(
        called=_title(by_tag, CALLED),
        calling=_title(by_tag, CALLING),
        calling_invocation=_integer(by_tag, CALLING_INVOCATION),
        called_invocation=_integer(by_tag, CALLED_INVOCATION),
        qualifier=_integer(by_tag, QUALIFIER),
        information=information,
        authentication=None if authentication is None else _authentication(authentication),
        context=_title(by_tag, CONTEXT),
        mechanism=None if mechanism is None else of_element(ber.Element(_OID, 0, mechanism, 0)),
        size=_integer(by_tag, SIZE),
        offset=offset,
        unknown=tuple(unknown),
    )


def information_at(element: ber.Element) -> int:
    """Where the EPSEM begins inside the message of which `element` is the user information. Raises DecodeError."""
    external = ber.read(element.content, 0)
    for part in ber.elements(external.content):
        if part.tag == _OCTETS:
            return element.content_at + external.content_at + part.content_at
    raise DecodeError("c1222-acse", "user-information without octets (81)")


def _title(by_tag: dict[int, bytes], tag: int) -> ApTitle | None:
    if tag not in by_tag:
        return None
    element = ber.read(by_tag[tag], 0)
    if element.end != len(by_tag[tag]):
        raise DecodeError("c1222-acse", f"{NAMES[tag]}: {len(by_tag[tag]) - element.end} octets behind the title")
    return of_element(element)


def _integer(by_tag: dict[int, bytes], tag: int) -> int | None:
    if tag not in by_tag:
        return None
    return ber.unsigned(ber.only(by_tag[tag], _INTEGER, NAMES[tag]), NAMES[tag])


def _mechanism(content: bytes) -> bytes:
    """Written as an explicit AB by some: the identifier inside."""
    return ber.only(content, _OID, "mechanism-name")


def _information(content: bytes | None) -> tuple[int | None, bytes | None]:
    """Offset and octets of the user information: an EXTERNAL with an indirect reference, or without."""
    if content is None:
        return None, None
    offset: int | None = None
    octets: bytes | None = None
    for element in ber.elements(ber.only(content, _EXTERNAL, "user-information")):
        if octets is not None:
            raise DecodeError("c1222-acse", "user-information: something stands behind its octets (81)")
        if element.tag == _INTEGER and offset is None:
            offset = ber.unsigned(element.content, "user-information, indirect reference")
        elif element.tag == _OCTETS:
            octets = element.content
        else:
            raise DecodeError("c1222-acse", f"user-information: {element.tag:02X} where its octets (81) belong")
    if octets is None:
        raise DecodeError("c1222-acse", "user-information without octets (81)")
    return offset, octets


def _authentication(content: bytes) -> Authentication:
    parts = list(ber.elements(ber.only(content, _SEQUENCE, "calling-authentication-value")))
    if parts and parts[0].tag == _INTEGER:  # the indirect reference, which is 0
        parts.pop(0)
    if len(parts) != 1 or parts[0].tag not in (_ASN1, _OCTETS):
        raise DecodeError("c1222-acse", "calling-authentication-value: one encoding (A0 or 81) belongs in it")
    if parts[0].tag == _OCTETS:
        return Authentication(form="octets", others=(Unknown(_OCTETS, parts[0].content),))
    choice = ber.read(parts[0].content, 0)
    if choice.end != len(parts[0].content):
        raise DecodeError("c1222-acse", "calling-authentication-value: more than one mechanism (A0 C12.21, A1 C12.22)")
    if choice.tag == _C1222:
        return _c1222(choice.content)
    form = "c1221" if choice.tag == _C1221 else f"{choice.tag:02X}"
    return Authentication(form=form, others=tuple(Unknown(part.tag, part.content) for part in ber.elements(choice.content)))


def _c1222(content: bytes) -> Authentication:
    key_id: int | None = None
    iv: bytes | None = None
    others: list[Unknown] = []
    for part in ber.elements(content):
        if part.tag == _KEY_ID and key_id is None and len(part.content) == 1:
            key_id = part.content[0]
        elif part.tag == _IV and iv is None and len(part.content) == IV_OCTETS:
            iv = part.content
        elif part.tag in (_KEY_ID, _IV):
            name, size = ("key id", 1) if part.tag == _KEY_ID else ("IV", IV_OCTETS)
            detail = f"calling-authentication-value: a second {name}, or one of {len(part.content)} octets (it has {size})"
            raise DecodeError("c1222-acse", detail)
        else:
            others.append(Unknown(part.tag, part.content))
    return Authentication(key_id, iv, others=tuple(others))


def _explicit(tag: int, value: ApTitle | None) -> bytes:
    return b"" if value is None else ber.tlv(tag, value.encode())


def _number(tag: int, value: int | None) -> bytes:
    return b"" if value is None else ber.tlv(tag, ber.tlv(_INTEGER, ber.integer(value)))


def _external(offset: int | None, octets: bytes) -> bytes:
    reference = b"" if offset is None else ber.tlv(_INTEGER, ber.integer(offset))
    return ber.tlv(_EXTERNAL, reference + ber.tlv(_OCTETS, octets))


def _authentication_octets(value: Authentication) -> bytes:
    others = b"".join(ber.tlv(other.tag, other.content) for other in value.others)
    if value.form == "octets":
        return ber.tlv(_SEQUENCE, others)
    key = b"" if value.key_id is None else ber.tlv(_KEY_ID, bytes((value.key_id,)))
    iv = b"" if value.iv is None else ber.tlv(_IV, value.iv)
    tag = {"c1222": _C1222, "c1221": _C1221}.get(value.form) or int(value.form, 16)
    return ber.tlv(_SEQUENCE, ber.tlv(_ASN1, ber.tlv(tag, key + iv + others)))
