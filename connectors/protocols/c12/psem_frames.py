"""C12.18 packets (ANSI C12.18, 6): EE, identity, control, sequence number, length, data, CRC-16/X.25; ACK and NAK between.

`Frames` finds them in a stream that loses, alters and invents octets. What is intact is found; of the rest one `Bad` says
that a packet was meant, so that its sender can be told.
"""

from __future__ import annotations

import re
from binascii import crc_hqx
from dataclasses import dataclass, field
from enum import Enum

from connectors.protocols.c12.errors import FramingError

START = 0xEE
MULTI, FIRST, TOGGLE, DATA_FORMAT = 0x80, 0x40, 0x20, 0x03
"""Bits of the control octet: one of several packets, the first of them, the toggle; what the data is (0: C12.18, C12.21)."""
OVERHEAD = 8
"""Octets of a packet that are not data. Negotiated packet sizes include them."""
MAX_PACKET = 0x2000

_HEADER = 6
_MIRRORED = bytes(int(f"{i:08b}"[::-1], 2) for i in range(256))
_GOOD = 0x1D0F
_SIGNAL = re.compile(rb"[\x06\x15\xee]")
_RESCUES = 32


class Sign(Enum):
    """The octets between packets."""

    ACK = 0x06
    NAK = 0x15

    @property
    def octets(self) -> bytes:
        """As it is sent."""
        return bytes((self.value,))


@dataclass(frozen=True, slots=True)
class Packet:
    """One packet. `sequence` is how many follow for the same service."""

    data: bytes
    toggle: bool = False
    sequence: int = 0
    multi: bool = False
    first: bool = False
    identity: int = 0
    data_format: int = 0
    octets: bytes = field(default=b"", repr=False, compare=False)
    """The packet on the wire."""

    def encode(self) -> bytes:
        """The packet as it is sent. Raises FramingError "frame-oversized"."""
        if len(self.data) > MAX_PACKET - OVERHEAD:
            detail = f"{len(self.data)} octets for one packet: at most {MAX_PACKET - OVERHEAD}, negotiate more packets"
            raise FramingError("frame-oversized", detail)
        control = self.multi * MULTI | (self.multi and self.first) * FIRST | self.toggle * TOGGLE | self.data_format
        head = bytes((START, self.identity, control, self.sequence)) + len(self.data).to_bytes(2, "big")
        return head + self.data + crc16_x25(head + self.data)


@dataclass(frozen=True, slots=True)
class Bad:
    """Octets that were meant to be a packet, and why they are none: a code of `errors.CODES` and a sentence."""

    code: str
    detail: str
    octets: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Noise:
    """Octets outside of packets that mean nothing."""

    octets: bytes = field(repr=False)


Item = Packet | Sign | Bad | Noise
"""What a line holds. The octets of all items, in their order, are the octets of the line."""


def crc16_x25(data: bytes) -> bytes:
    """CRC-16/X.25 as C12.18 sends it, low octet first.

    It is the CRC of `binascii.crc_hqx` on octets with their bits mirrored: both loops run in C.
    """
    crc = crc_hqx(data.translate(_MIRRORED), 0xFFFF) ^ 0xFFFF
    return crc.to_bytes(2, "big").translate(_MIRRORED)


def packets_of(message: bytes, packet_size: int, packets: int, *, toggle: bool, identity: int = 0) -> tuple[Packet, ...]:
    """The packets of one service, the first with `toggle` and the bit turning with each.

    Raises FramingError "psem-packets" where more are needed than were negotiated.
    """
    size = min(packet_size, MAX_PACKET) - OVERHEAD
    parts = [message[at : at + size] for at in range(0, len(message), size)] or [b""]
    if len(parts) > packets:
        detail = (
            f"{len(message)} octets are {len(parts)} packets of {packet_size}, and {packets} may be sent at once: "
            f"negotiate more, or write the table in parts"
        )
        raise FramingError("psem-packets", detail)
    several, last = len(parts) > 1, len(parts) - 1
    return tuple(
        Packet(part, toggle ^ bool(i & 1), last - i, multi=several, first=several and i == 0, identity=identity)
        for i, part in enumerate(parts)
    )


class Frames:
    """What is whole in one direction of a line. It never holds more than one packet's octets between calls."""

    def __init__(self, octet_s: float) -> None:
        self.octet_s = octet_s
        """How long the next octet of a packet may take."""
        self._data = b""
        self._came = 0.0

    @property
    def due(self) -> float | None:
        """When a packet that stopped in the middle is given up; None where none is begun."""
        return self._came + self.octet_s if self._data else None

    def feed(self, data: bytes, now: float) -> list[Item]:
        """What is whole with these octets. Where more than `octet_s` passed inside a packet, that is given up first."""
        late = self.due is not None and now > self.due
        found = self.close() if late else []
        if data:
            self._data += data
            self._came = now
            found += self._scan()
        return found

    def expire(self, now: float) -> Bad | None:
        """A packet whose next octet did not come in time, given up with all that came of it."""
        if self.due is None or now < self.due:
            return None
        bad, self._data = _stopped(self._data), b""
        return bad

    def close(self) -> list[Item]:
        """No more octets will come: what is not whole is given up, but for whole packets that it swallowed."""
        found: list[Item] = []
        while self._data:
            if (at := _rescue(self._data, 1)) is None:
                found.append(_stopped(self._data))
                self._data = b""
            else:
                found.append(Noise(self._data[:at]))
                self._data = self._data[at:]
                found += self._scan()
        return found

    def _scan(self) -> list[Item]:
        found: list[Item] = []
        data, at, self._data = self._data, 0, b""
        while at < len(data):
            signal = _SIGNAL.search(data, at)
            start = signal.start() if signal else len(data)
            if start > at:
                found.append(Noise(data[at:start]))
            if start == len(data):
                break
            if data[start] != START:
                found.append(Sign(data[start]))
                at = start + 1
                continue
            item = _item(data, start)
            if item is None:
                self._data = data[start:]
                break
            found.append(item)
            at = start + len(item.octets)
        return found


def _item(data: bytes, at: int) -> Packet | Bad | Noise | None:
    """What begins at `at`: a packet, what hides the next intact one, something bad; None where it is not all here yet."""
    end = _end(data, at)
    if end is not None and end > len(data):
        return None
    if end is not None and _intact(data[at:end]):
        return _packet(data[at:end])
    inside = _rescue(data, at + 1, end)
    return Noise(data[at:inside]) if inside is not None else _bad(data[at:end])


def _end(data: bytes, at: int) -> int | None:
    """Where the packet at `at` ends (one octet further than all where its length is not here yet); None where it cannot."""
    if len(data) < at + _HEADER:
        return len(data) + 1
    size = data[at + 4] << 8 | data[at + 5]
    return None if size > MAX_PACKET - OVERHEAD else at + _HEADER + size + 2


def _intact(octets: bytes) -> bool:
    return crc_hqx(octets.translate(_MIRRORED), 0xFFFF) == _GOOD


def _rescue(data: bytes, at: int, before: int | None = None) -> int | None:
    """Where the next intact packet begins that is wholly here: the length of the one that holds it was altered."""
    for _ in range(_RESCUES):
        at = data.find(START, at, before)
        if at < 0:
            return None
        end = _end(data, at)
        if end is not None and end <= len(data) and _intact(data[at:end]):
            return at
        at += 1
    return None


def _packet(octets: bytes) -> Packet:
    control = octets[2]
    return Packet(
        octets[_HEADER:-2],
        toggle=bool(control & TOGGLE),
        sequence=octets[3],
        multi=bool(control & MULTI),
        first=bool(control & FIRST),
        identity=octets[1],
        data_format=control & DATA_FORMAT,
        octets=octets,
    )


def _stopped(octets: bytes) -> Bad:
    detail = f"{len(octets)} octets of a packet, and no more came: the line loses octets"
    return Bad("frame-truncated", detail, octets)


def _bad(octets: bytes) -> Bad:
    size = octets[4] << 8 | octets[5]
    if size > MAX_PACKET - OVERHEAD:
        detail = f"a packet of {size} octets of data: at most {MAX_PACKET - OVERHEAD} in one, so the length was altered"
        return Bad("frame-oversized", detail, octets)
    detail = (
        f"a packet of {len(octets)} octets with the CRC {octets[-2:].hex(' ').upper()}, which is not its: it was altered"
    )
    return Bad("frame-checksum", detail, octets)
