"""Secrets out of C12.18 octets before they are kept: passwords, proofs, tables of passwords and keys.

Masked octets have the size and structure of what came. Where a packet held a secret its CRC is masked as well: a short
password could be searched for with it. What is no intact packet is masked but for its header: nobody knows what it held.
"""

from __future__ import annotations

from connectors.protocols.c12.c1222_masking import masked_service
from connectors.protocols.c12.psem_frames import Bad, Frames, Item, Noise, Packet

_HEADER, _CRC = 6, 2
_BEGINNING = 32
_WAKE_UP = 2


class Mask:
    """The memory of one line, both directions in the order of what was said: a secret answer is known by its request."""

    def __init__(self) -> None:
        self._request = b""
        self._before = b""

    def packet(self, packet: Packet) -> bytes:
        """The packet's octets as they may be kept."""
        if not packet.multi or packet.first:
            self._before = b""
        before, service = len(self._before), self._before + packet.data  # what is secret begins in the first octets
        answers = bool(service) and service[0] < 0x20
        data = masked_service(service, self._request if answers else b"")[before:]
        self._before = service[:_BEGINNING] if packet.sequence else b""
        if not answers:
            self._request = service[:_BEGINNING]
        if data == packet.data:
            return packet.octets
        return packet.octets[:_HEADER] + data + b"*" * _CRC

    def item(self, item: Item) -> bytes:
        """An item's octets as they may be kept."""
        match item:
            case Packet():
                return self.packet(item)
            case Bad(octets=octets):
                return octets[:_HEADER] + b"*" * len(octets[_HEADER:])
            case Noise(octets=octets):
                return octets if len(octets) <= _WAKE_UP else b"*" * len(octets)
            case _:
                return item.octets


def masked(octets: bytes) -> bytes:
    """Octets of a line, of one direction or both, as they may be kept."""
    mask = Mask()
    frames = Frames(float("inf"))
    return b"".join(mask.item(item) for item in (*frames.feed(octets, 0.0), *frames.close()))


class LineMask:
    """A line of which writes and reads are kept as they come: a packet is kept when it is whole."""

    def __init__(self) -> None:
        self._mask = Mask()
        self._sent, self._heard = Frames(float("inf")), Frames(float("inf"))

    def sent(self, octets: bytes) -> bytes:
        """What has become whole of our own octets."""
        return b"".join(self._mask.item(item) for item in self._sent.feed(octets, 0.0))

    def heard(self, octets: bytes) -> bytes:
        """What has become whole of the other end's."""
        return b"".join(self._mask.item(item) for item in self._heard.feed(octets, 0.0))

    def rest(self) -> bytes:
        """What never became whole of the other end's."""
        return b"".join(self._mask.item(item) for item in self._heard.close())
