"""A C12.18 line as a protocol analyser shows it: packets, signs and what is neither, services and their fields.

Who speaks does not show on the line, but what is said does: codes below 20 are answers. So both directions may stand in one
stream, as a tap on a serial line or a TCP capture gives them. `decode_c1218` never raises: what cannot be read is an "error"
field that says why.
"""

from __future__ import annotations

from collections.abc import Sequence

from connectors.protocols.c12.decode_services import TableReader, service_node
from connectors.protocols.c12.psem_frames import DATA_FORMAT, FIRST, MULTI, TOGGLE, Bad, Frames, Item, Noise, Packet, Sign
from connectors.protocols.c12.psem_masking import Mask
from connectors.protocols.c12.tree import Node

_HEADER = 6
_FORMATS = ("C12.18 or C12.21", "C12.22", "invalid", "the manufacturer's")
_FLAGS = ((MULTI, "one of several"), (FIRST, "the first"), (TOGGLE, "toggle"))


def decode_c1218(octets: bytes, *, tables: TableReader | None = None, secrets: bool = False) -> tuple[Node, ...]:
    """What `octets` of a line are, in their order; the octets of all nodes are the octets of the line.

    The service of a packet, or of several, is below its last packet; of several, places count as if their data stood
    together from the first on. `secrets` shows passwords and keys, which else are asterisks. `tables` gives fields.
    """
    frames = Frames(float("inf"))
    reader = _Reader(tables, secrets=secrets)
    found, at = [], 0
    for item in (*frames.feed(octets, 0.0), *frames.close()):
        found.append(reader.node(item, at))
        at += len(item.octets)
    return tuple(found)


class _Reader:
    """What has to be remembered from packet to packet."""

    def __init__(self, tables: TableReader | None, *, secrets: bool) -> None:
        self._tables, self._secrets = tables, secrets
        self._mask = Mask()
        self._last, self._last_shown = b"", b""
        self._request, self._asked = b"", ""
        self._service, self._shown = b"", b""
        self._begins = 0
        self._expected: int | None = None

    def node(self, item: Item, at: int) -> Node:
        match item:
            case Packet():
                return self._packet(item, at)
            case Sign():
                return Node(item.name, "", item.octets, offset=at)
            case Bad(code, detail):
                shown = item.octets if self._secrets else self._mask.item(item)
                return Node("packet", "bad", shown, (Node("error", f"{code}: {detail}", offset=at),), at)
            case Noise():
                shown = item.octets if self._secrets else self._mask.item(item)
                return Node("octets", f"{len(shown)} outside of packets", shown, offset=at)

    def _packet(self, packet: Packet, at: int) -> Node:
        repeated = packet.octets == self._last
        if not repeated:
            self._last_shown = packet.octets if self._secrets else self._mask.packet(packet)
            self._last = packet.octets
        shown = self._last_shown
        fields = _fields(packet, shown, at)
        if repeated:
            return Node("packet", "repeated", shown, fields, at)
        value, more = self._take(packet, shown[_HEADER:-2], at + _HEADER)
        return Node("packet", value, shown, (*fields, *more), at)

    def _take(self, packet: Packet, shown: bytes, at: int) -> tuple[str, Sequence[Node]]:
        """What a packet adds to the service under way: its summary, and the service where it is whole now."""
        if not packet.multi or packet.first:
            self._service, self._shown, self._begins, self._expected = b"", b"", at, packet.sequence
        if packet.sequence != self._expected:
            wanted = "the first of several" if self._expected is None else f"packet {self._expected}"
            self._expected = None
            detail = f"frame-segmentation: packet {packet.sequence} where {wanted} was due"
            return "out of order", (Node("error", detail, offset=at),)
        self._expected = packet.sequence - 1 if packet.sequence else None
        self._service += packet.data
        self._shown += shown
        if packet.sequence:
            return f"{packet.sequence} to follow", ()
        service, self._service = self._service, b""
        answers = bool(service) and service[0] < 0x20
        request = self._request if answers and self._request else None
        node = service_node(service, self._begins, request, tables=self._tables, shown=self._shown)
        asked = f" to {self._asked}" if answers and self._asked else ""
        if not answers:
            self._request, self._asked = service, node.value
        return f"{node.name}{asked}: {node.value}", (node,)


def _fields(packet: Packet, shown: bytes, at: int) -> tuple[Node, ...]:
    control = packet.octets[2]
    flags = [name for bit, name in _FLAGS if control & bit] + [_FORMATS[control & DATA_FORMAT]]
    size = len(packet.data)
    places = (
        ("start", 0, 1, ""),
        ("identity", 1, 2, str(packet.identity)),
        ("control", 2, 3, ", ".join(flags)),
        ("sequence", 3, 4, str(packet.sequence)),
        ("length", 4, 6, str(size)),
        ("data", 6, 6 + size, f"{size} octets"),
        ("CRC", 6 + size, 8 + size, shown[-2:].hex(" ") if shown[-2:] == packet.octets[-2:] else "**"),
    )
    return tuple(Node(name, value, shown[start:end], offset=at + start) for name, start, end, value in places)
