"""A C12.22 message as a protocol analyser shows it: every field with its name, its meaning and its place.

`decode_c1222` never raises on what the message holds: what cannot be read is an "error" field that says why, beside what
could. The services of a ciphered message are shown where its key is known, at the places where they stand enciphered.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from connectors.protocols.c12 import acse, ber, epsem
from connectors.protocols.c12.c1222_masking import masked, masked_service
from connectors.protocols.c12.c1222_security import KeyLookup, Policy, open_
from connectors.protocols.c12.c1222_services import answered
from connectors.protocols.c12.decode_services import TableReader, service_node
from connectors.protocols.c12.epsem import Control, Mode, Respond
from connectors.protocols.c12.errors import C12Error
from connectors.protocols.c12.titles import C1222_BASE, ApTitle, of_element
from connectors.protocols.c12.tree import Node

_MODES = {Mode.CLEAR: "cleartext", Mode.AUTHENTICATED: "authenticated", Mode.CIPHERED: "ciphered and authenticated"}
_RESPOND = {Respond.ALWAYS: "always", Respond.ON_EXCEPTION: "on exception", Respond.NEVER: "never"}
_QUALIFIERS = ((acse.TEST, "test"), (acse.URGENT, "urgent"), (acse.NOTIFICATION, "notification"))
_TITLES = (acse.CONTEXT, acse.CALLED, acse.CALLING)


def _no_keys(_title: str, _key_id: int) -> None:
    return None


@dataclass(frozen=True, slots=True)
class View:
    """How a message is looked at."""

    keys: KeyLookup = _no_keys
    base: ApTitle = C1222_BASE
    requests: tuple[bytes, ...] = ()
    """The services that the message answers, where they are known."""
    tables: TableReader | None = None
    secrets: bool = False
    """Show passwords and keys, which else are asterisks."""


def decode_c1222(octets: bytes, view: View | None = None) -> Node:
    """The message that `octets` are."""
    view = view or View()
    try:
        parts = acse.split(octets)
    except C12Error as error:
        return Node("C12.22 message", "cannot be read", masked(octets), (_error(error, 0),))
    shown = octets if view.secrets else masked(octets, view.requests)
    children: list[Node] = []
    try:
        acse.apdu_of(parts)
    except C12Error as error:
        children.append(_error(error, len(octets)))
    for part in parts:
        try:
            children.append(_element(part, octets, shown, view))
        except C12Error as error:
            children.append(_plain(part, shown, "", (_error(error, part.at),)))
    children.sort(key=lambda node: node.offset)
    return Node("C12.22 message", f"{len(octets)} octets", shown, tuple(children))


def services_of(octets: bytes, view: View | None = None) -> tuple[bytes, ...]:
    """The services of a message, for a later `View.requests`; none where they cannot be read."""
    view = view or View()
    try:
        return open_(octets, view.keys, Policy(base=view.base), either=True).services
    except C12Error:
        return ()


def _element(part: ber.Element, octets: bytes, shown: bytes, view: View) -> Node:
    if part.tag == acse.INFORMATION:
        return _plain(part, shown, "", tuple(_information(part, octets, shown, view)))
    if part.tag == acse.AUTHENTICATION:
        return _plain(part, shown, "", tuple(_authentication(part, shown)))
    if part.tag in acse.NAMES:
        return _plain(part, shown, _meaning(part, view.base))
    return _plain(part, shown, shown[part.content_at : part.end].hex(" "))


def _meaning(part: ber.Element, base: ApTitle) -> str:
    """The value of a title, a number or an identifier. Raises DecodeError."""
    if part.tag in _TITLES:
        title = of_element(ber.read(part.content, 0))
        text = f"{title.text} (absolute {title.absolute(base).text})" if title.relative else title.text
        return text or "(none)"
    if part.tag in (acse.MECHANISM, acse.MECHANISM_EXPLICIT):
        content = part.content if part.tag == acse.MECHANISM else ber.only(part.content, 0x06, "mechanism-name")
        return of_element(ber.Element(0x06, 0, content, 0)).text
    name = acse.NAMES[part.tag]
    number = ber.unsigned(ber.only(part.content, 0x02, name), name)
    if part.tag == acse.QUALIFIER:
        flags = ", ".join(word for bit, word in _QUALIFIERS if number & bit)
        return f"{number:#04x}" + (f" ({flags})" if flags else "")
    return f"{number}: a segment of a message of {number} octets" if part.tag == acse.SIZE else str(number)


def _authentication(part: ber.Element, shown: bytes) -> list[Node]:
    """Leaves of the authentication value, by the tags that lead to them."""
    names = {(0xA2, 0xA0, 0xA1, 0x80): "key-id-element", (0xA2, 0xA0, 0xA1, 0x81): "iv-element",
             (0xA2, 0xA0, 0xA0, 0x80): "c1221-auth-identification", (0xA2, 0xA0, 0xA0, 0x81): "c1221-auth-request",
             (0xA2, 0xA0, 0xA0, 0x82): "c1221-auth-response", (0xA2, 0x81): "octet-aligned",
             (0xA2, 0x02): "indirect-reference"}  # fmt: skip
    found: list[Node] = []

    def walk(content: bytes, at: int, path: tuple[int, ...]) -> None:
        for element in ber.elements(content):
            here = (*path, element.tag)
            start = at + element.content_at
            if element.tag & 0x20 and len(here) < 4:
                walk(element.content, start, here)
                continue
            value = shown[start : start + len(element.content)]
            text = str(value[0]) if names.get(here) == "key-id-element" and len(value) == 1 else value.hex(" ")
            name = names.get(here, f"element {element.tag:02X}")
            found.append(Node(name, text, value, offset=start))

    walk(part.content, part.content_at, ())
    return found


def _information(part: ber.Element, octets: bytes, shown: bytes, view: View) -> list[Node]:
    apdu = acse.apdu_of(acse.split(octets))
    start, information = acse.information_at(part), apdu.information or b""
    if apdu.size is not None:
        end = (apdu.offset or 0) + len(information)
        text = f"octets {apdu.offset} to {end} of {apdu.size}"
        return [Node("segment", text, shown[start : start + len(information)], offset=start)]
    control, body, tag = epsem.split(information)
    nodes = [_control(control, information[:1], start)]
    plain: bytes | None = body if control.mode is not Mode.CIPHERED else None
    verdict = ""
    if control.mode is not Mode.CLEAR:
        try:
            opened = open_(octets, view.keys, Policy(base=view.base), either=True)
            plain = opened.plain
            verdict = "verifies" + (", but EAX' does not protect so short a message" if opened.short else "")
        except C12Error as error:
            verdict = f"not verified: {error.code}"
            nodes.append(_error(error, start + len(information) - len(tag)))
    if plain is None:
        nodes.append(Node("EPSEM ciphered", f"{len(body)} octets", body, offset=start + 1))
    else:
        nodes += _services(control, plain, start + 1, view)
    if tag:
        nodes.append(Node("MAC", f"{tag.hex(' ')} ({verdict})", tag, offset=start + len(information) - len(tag)))
    return nodes


def _control(control: Control, octet: bytes, at: int) -> Node:
    fields = (
        ("recovery session", str(control.recovery).lower()),
        ("proxy service used", str(control.proxy).lower()),
        ("end-device class included", str(control.classed).lower()),
        ("security mode", _MODES[control.mode]),
        ("respond", _RESPOND[control.respond]),
    )
    children = tuple(Node(name, value, octet, offset=at) for name, value in fields)
    return Node("EPSEM control", f"{octet[0]:#04x}", octet, children, at)


def _services(control: Control, plain: bytes, at: int, view: View) -> list[Node]:
    nodes: list[Node] = []
    try:
        body = epsem.body_of(control, plain)
    except C12Error as error:
        return [Node("EPSEM", f"{len(plain)} octets", b"*" * len(plain), (_error(error, at),), at)]
    place = 0
    if body.ed_class is not None:
        text = (
            body.ed_class.decode("ascii") if body.ed_class.isalnum() and body.ed_class.isascii() else body.ed_class.hex(" ")
        )
        nodes.append(Node("end-device class", text, body.ed_class, offset=at))
        place = len(body.ed_class)
    asked = answered(view.requests, body.services)
    for number, service in enumerate(body.services):
        _, place = ber.read_length(plain, place)
        request = asked[number] if number < len(asked) and service[0] < 0x20 else None
        shown = service if view.secrets else masked_service(service, request or b"")
        nodes.append(service_node(service, at + place, request, tables=view.tables, shown=shown))
        place += len(service)
    if body.padding:
        nodes.append(Node("padding", body.padding.hex(" "), body.padding, offset=at + place))
    return nodes


def _plain(part: ber.Element, shown: bytes, value: str, children: Sequence[Node] = ()) -> Node:
    name = acse.NAMES.get(part.tag, f"unknown element {part.tag:02X}")
    return Node(name, value, shown[part.at : part.end], tuple(children), part.at)


def _error(error: C12Error, at: int) -> Node:
    return Node("error", f"{error.code}: {error.detail}", offset=at)
