"""C12.18 and C12.22 in captures: found by what they are, put in the order in which they were said, taken apart to fields.

Octets are C12.22 where they begin an ACSE message that is not one of DLMS, or came over port 1153; they are C12.18 where
they begin a packet. Of a capture both directions are looked at together, because an answer does not say what it answers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Set
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from connectors.cli.c12_tables import SeenTables
from connectors.cli.telegrams import Capture
from connectors.protocols.c12 import acse, ber
from connectors.protocols.c12.c1222_conversation import Conversation
from connectors.protocols.c12.c1222_framing import ApduStream, Framed, Refused, datagram
from connectors.protocols.c12.c1222_security import KeyLookup, keyring
from connectors.protocols.c12.decode import View
from connectors.protocols.c12.errors import C12Error
from connectors.protocols.c12.psem_decode import decode_c1218
from connectors.protocols.c12.psem_frames import Frames, Noise, Packet, Sign
from connectors.protocols.c12.titles import C1222_BASE, ApTitle, title
from connectors.protocols.c12.tree import Node
from connectors.templates.c12_template import C12Template
from schemas.records import IdentityKind, Meter

PORT = 1153
_DLMS = bytes.fromhex("6085740508")  # 2.16.756.5.8: the contexts of DLMS, whose AARQ begins with 60, too
_LOOK = 4096


class Family(StrEnum):
    """Whose octets they are."""

    DLMS = "DLMS"
    C1218 = "C1218"
    C1222 = "C1222"


def family_of(capture: Capture) -> Family:
    """Whose the octets of a capture are, by themselves."""
    data = capture.data
    if _begins_acse(data):
        return Family.C1222
    if _begins_packet(data):
        return Family.C1218
    return Family.C1222 if _ported(capture) else Family.DLMS


def title_texts(meters: Iterable[Meter]) -> frozenset[str]:
    """The absolute application titles of meters."""
    named = (item.value for meter in meters for item in meter.identities if item.kind is IdentityKind.AP_TITLE)
    found = set()
    for text in named:
        with suppress(C12Error):
            found.add(title(text).absolute(C1222_BASE).text)
    return frozenset(found)


def unasked(capture: Capture, meters: Set[str]) -> list[bytes]:
    """What a capture of C12.22 holds for a head-end to hear: no answers, nothing that is for a meter of these titles.

    Octets that are no message are there, too: what is wrong with them is the decoder's to say.
    """
    return [item.said.octets for item in _messages(capture) if not _asked(item.said.octets, meters)]


def _asked(octets: bytes, meters: Set[str]) -> bool:
    try:
        apdu = acse.decode(octets)
    except C12Error:
        return False
    called = None if apdu.called is None else apdu.called.absolute(C1222_BASE).text
    return apdu.called_invocation is not None or called in meters


@dataclass(frozen=True, slots=True)
class Looks:
    """How C12 is looked at."""

    keys: KeyLookup = field(default_factory=lambda: keyring({}), repr=False)
    template: C12Template = field(default_factory=lambda: C12Template("generic"))
    secrets: bool = False
    """Show passwords, which else are asterisks."""


@dataclass(frozen=True, slots=True)
class Shown:
    """One message of C12.22, or one packet or sign of C12.18."""

    capture: Capture
    family: Family
    node: Node
    at: int
    """Where it begins in the capture's octets; of C12.18, in both directions' together."""

    @property
    def errors(self) -> list[tuple[str, str]]:
        """Code and detail of everything that could not be read."""
        found = (node.value.partition(": ") for _, node in self.node.walk() if node.name == "error")
        return [(code, detail) for code, _, detail in found]

    def to_json(self) -> dict[str, Any]:
        """What `hes decode` prints: an object a telegram, fields as a tree; with what could not be read before them."""
        out: dict[str, Any] = {"protocol": self.family.value, "at": self.at, "octets": len(self.node.octets)}
        if self.family is Family.C1222:
            out |= {word: _value(self.node, name) for word, name in _HEAD if _value(self.node, name)}
            out["services"] = [n.value for _, n in self.node.walk() if n.name in ("request", "response") and n.children]
        if self.errors:
            code, detail = self.errors[0]
            out["error"] = {"code": code, "detail": detail}
        return out | {"fields": _tree(self.node)}

    def lines(self) -> Iterator[str]:
        """A tree with the place and the size of each field, as a protocol analyser shows it."""
        base = self.at if self.family is Family.C1222 else 0
        inner = None
        for depth, node in self.node.walk():
            if node.name == "message in segments":  # whose places count from its own beginning
                inner = depth
            elif inner is not None and depth <= inner:
                inner = None
            size = f"{len(node.octets):>5}" if node.octets else " " * 5
            value = f": {node.value}" if node.value else ""
            yield f"{node.offset + (0 if inner is not None else base):04x} {size}  {'  ' * depth}{node.name}{value}"


_HEAD = (
    ("calling", "calling-AP-title"), ("called", "called-AP-title"), ("invocation", "calling-AP-invocation-id"),
    ("answers", "called-AP-invocation-id"), ("security", "security mode"), ("key_id", "key-id-element"),
    ("mac", "MAC"),
)  # fmt: skip


class C12Captures:
    """Captures of C12, taken apart once all that belongs together is there. What was asked is remembered over files."""

    def __init__(self, looks: Looks) -> None:
        self._looks = looks
        self._held: list[tuple[Capture, Family]] = []
        self._talks: dict[object, Conversation] = {}

    def add(self, capture: Capture, family: Family) -> None:
        """One more, to be shown by the next `take`."""
        self._held.append((capture, family))

    def take(self) -> list[Shown]:
        """What was added, in the order in which it was said."""
        held, self._held = self._held, []
        heard = [item for capture, family in held if family is Family.C1222 for item in _messages(capture)]
        heard.sort(key=lambda item: item.packet)  # stable: within one packet, and without packets, as it stands
        for item in heard:
            if isinstance(item.said, Framed):
                self._talk(item).learn(item.said.octets)
        shown = [Shown(item.capture, Family.C1222, self._node(item), item.at) for item in heard]
        lines: dict[frozenset[str] | str, list[Capture]] = {}
        for capture, family in held:
            if family is Family.C1218:
                key = frozenset((capture.endpoint, capture.peer)) if capture.peer else capture.name
                lines.setdefault(key, []).append(capture)
        for captures in lines.values():
            shown += self._line(captures)
        return shown

    def _node(self, item: _Heard) -> Node:
        if isinstance(item.said, Refused):
            error = Node("error", f"{item.said.code}: {item.said.detail}")
            return Node("octets", "no C12.22", b"*" * len(item.said.octets), (error,))
        return self._talk(item).node(item.said.octets)

    def _talk(self, item: _Heard) -> Conversation:
        """The conversation of two nodes, whichever way a message went: tables are one meter's."""
        key = _ends(item)
        talk = self._talks.get(key)
        if talk is None:
            looks, template = self._looks, self._looks.template
            tables = SeenTables(template.catalog, template.assumed)
            view = View(looks.keys, template.messages.base, tables=tables, secrets=looks.secrets)
            talk = self._talks[key] = Conversation(view)
        return talk

    def _line(self, captures: list[Capture]) -> Iterator[Shown]:
        """Both directions of a C12.18 line, in the order of the packets that they came in."""
        pieces = sorted((piece for capture in captures for piece in _pieces(capture)), key=lambda piece: piece[0])
        template = self._looks.template
        tables = SeenTables(template.catalog, template.assumed)
        octets = b"".join(data for _, data in pieces)
        for node in decode_c1218(octets, tables=tables, secrets=self._looks.secrets):
            yield Shown(captures[0], Family.C1218, node, node.offset)


@dataclass(frozen=True, slots=True)
class _Heard:
    capture: Capture
    at: int
    packet: int
    said: Framed | Refused


def _messages(capture: Capture) -> list[_Heard]:
    if capture.datagram:
        items = datagram(capture.data)
    else:
        stream = ApduStream()
        items = [*stream.feed(capture.data), *stream.close()]
    found, at = [], 0
    for item in items:
        begins = capture.data.index(item.octets, at)  # what keeps a connection alive was passed over
        at = begins + len(item.octets)
        found.append(_Heard(capture, begins, _packet(capture, at - 1), item))
    return found


def _packet(capture: Capture, at: int) -> int:
    """The number of the packet that brought an octet."""
    return max((number for start, number in capture.order if start <= at), default=0)


def _pieces(capture: Capture) -> list[tuple[int, bytes]]:
    """The octets by the packets that brought them."""
    order = capture.order or ((0, 0),)
    ends = [start for start, _ in order[1:]] + [len(capture.data)]
    return [(number, capture.data[start:end]) for (start, number), end in zip(order, ends, strict=True)]


def _ends(item: _Heard) -> object:
    """Whom a message is between: titles, or addresses where it names none."""
    try:
        apdu = acse.decode(item.said.octets)
    except C12Error:
        apdu = None
    titles: list[ApTitle] = [] if apdu is None else [t for t in (apdu.called, apdu.calling) if t is not None]
    if len(titles) == 2:
        return frozenset(each.octets for each in titles)
    return frozenset((item.capture.endpoint, item.capture.peer)) if item.capture.peer else item.capture.name


def _begins_acse(data: bytes) -> bool:
    """Whether an ACSE message begins here that names no context of DLMS."""
    if data[:1] != b"\x60":
        return False
    try:
        _, start = ber.read_length(data, 1)
    except C12Error:
        return False
    return data[start : start + 1] != b"" and data[start] in acse.NAMES and _DLMS not in data[start : start + 16]


def _begins_packet(data: bytes) -> bool:
    """Whether a line begins here: a packet, perhaps after signs and what a line is woken with."""
    if data[:1] == b"\xee":
        return True
    frames = Frames(float("inf"))
    for item in (*frames.feed(data[:_LOOK], 0.0), *frames.close()):
        if isinstance(item, Packet):
            return True
        if not isinstance(item, Sign) and not (isinstance(item, Noise) and set(item.octets) == {0x55}):
            return False
    return False


def _ported(capture: Capture) -> bool:
    return any(end.rpartition(":")[2] == str(PORT) for end in (capture.endpoint, capture.peer))


def _value(node: Node, name: str) -> str:
    found = node.find(name)
    return found.value if found is not None else ""


def _tree(node: Node) -> list[dict[str, Any]]:
    """The fields below one."""
    return [
        {"name": child.name, "value": child.value, "offset": child.offset}
        | ({"octets": child.octets.hex().upper()} if child.octets else {})
        | ({"fields": _tree(child)} if child.children else {})
        for child in node.children
    ]
