"""Wired M-Bus long frames with DLMS inside (EN 13757-2, 5.5; EN 13757-3, CI 00-1F: segmented DLMS application layer).

`68 L L 68 C A CI STSAP DTSAP … checksum 16`: the checksum is the sum of the L octets from C on, modulo 256. The low four
bits of CI number the segments of one APDU from 0, bit 4 marks the last. A frame to address FF is a broadcast and is not
acknowledged; one to a single address is, with E5.

Sagemcom's T210-D puts up to 258 octets into a frame, which L cannot say: it has them modulo 256, so 0 to 2 are 256 to 258.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from connectors.protocols.dlms.errors import FramingError
from connectors.protocols.dlms.framing.items import MBUS, Apdu, Item, Limits, Refused, Taken

START, STOP = 0x68, 0x16
ACKNOWLEDGE = b"\xe5"
_BROADCAST = 0xFF
_SEND_USER_DATA = 0x43
_LAST, _NUMBER = 0x10, 0x0F
_HEADER = 5  # C, A, CI, STSAP, DTSAP
_FEWEST = 3  # C, A, CI
_MODULUS = 0x100


@dataclass(frozen=True, slots=True)
class LongFrame:
    """One long frame whose checksum is right."""

    control: int
    address: int
    control_information: int
    source: int
    destination: int
    payload: bytes
    octets: bytes = field(default=b"", repr=False)

    @property
    def number(self) -> int:
        """The segment's number, modulo 16."""
        return self.control_information & _NUMBER

    @property
    def last(self) -> bool:
        """The FIN bit."""
        return bool(self.control_information & _LAST)

    @property
    def acknowledgement(self) -> bytes:
        """What the sender waits for: E5 where it sent user data to one address, else nothing."""
        return ACKNOWLEDGE if self.control & 0x4F == _SEND_USER_DATA and self.address != _BROADCAST else b""


def measure(data: bytes, at: int) -> int | None:
    """The index after the long frame that starts at `at`; None where its header is not whole. Raises FramingError."""
    head = data[at : at + 4]
    if head[0] != START or head[3:4] not in (b"", b"\x68") or (len(head) > 2 and head[1] != head[2]):
        raise FramingError("frame-garbage", "no M-Bus long frame (68 L L 68) begins here")
    if len(head) < 4:
        return None
    return at + head[1] + (_MODULUS if head[1] < _FEWEST else 0) + 6


def parse(octets: bytes) -> LongFrame:
    """The frame in `octets`, start and stop included. Raises FramingError."""
    body = octets[4:-2]
    if sum(body) & 0xFF != octets[-2]:
        raise FramingError("frame-checksum", "the M-Bus checksum does not match: octets changed on the link")
    if body[2] > 0x1F:
        raise FramingError("frame-malformed", f"M-Bus CI {body[2]:#04x} carries no DLMS (00 to 1F do)")
    if len(body) <= _HEADER:
        raise FramingError("frame-malformed", "an M-Bus long frame that holds no APDU")
    return LongFrame(body[0], body[1], body[2], body[3], body[4], body[_HEADER:], octets)


def long_frame(
    apdu_part: bytes, *, number: int, last: bool, source: int, destination: int, address: int = _BROADCAST
) -> bytes:
    """One long frame, as a meter pushes it. Raises FramingError where it is more than 250 octets of an APDU."""
    control_information = number & _NUMBER | (_LAST if last else 0)
    body = bytes((0x53, address, control_information, source, destination)) + apdu_part
    if len(body) > 0xFF:
        raise FramingError("frame-oversized", f"{len(apdu_part)} octets in one M-Bus frame: 250 fit, send segments")
    return bytes((START, len(body), len(body), START)) + body + bytes((sum(body) & 0xFF, STOP))


class MbusReader:
    """Long frames to APDUs."""

    transport = MBUS

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._segments: list[LongFrame] = []
        self._size = 0

    def read(self, data: bytes, at: int) -> Taken | None:
        """See `items.Reader`."""
        end = measure(data, at)
        if end is None or end > len(data):
            return None
        if data[end - 1] != STOP:
            raise FramingError(
                "frame-malformed", f"no 16 after the {end - at} octets an M-Bus frame announces: the link lost some"
            )
        octets = data[at:end]
        try:
            new = parse(octets)
        except FramingError as error:
            return Taken(end, (Refused(error.code, error.detail, octets, MBUS),))
        items = self._take(new)
        if items and isinstance(items[-1], Apdu):
            return Taken(end, tuple(items))
        return Taken(end, tuple(items), new.acknowledgement)

    def lost(self) -> list[Item]:
        """Segments are numbered, so a gap will show."""
        return []

    def close(self) -> list[Item]:
        """Give up the segments that wait for more."""
        return self._give_up("the stream ended before the last M-Bus segment", "frame-truncated") if self._segments else []

    @property
    def held(self) -> int:
        """See `items.Reader`."""
        return self._size

    def _take(self, new: LongFrame) -> list[Item]:
        items: list[Item] = []
        last = self._segments[-1] if self._segments else None
        if last and _stream(new) == _stream(last) and new.octets == last.octets:
            return []  # repeated, because the acknowledgement was lost
        if last and (_stream(new) != _stream(last) or new.number != last.number + 1 & _NUMBER):
            items = self._give_up("an M-Bus segment is missing, or another message began")
            last = None
        if not last and new.number != 0:
            items.append(
                Refused("frame-segmentation", f"M-Bus segment {new.number} without those before it", new.octets, MBUS)
            )
            return items
        self._segments.append(new)
        self._size += len(new.octets)
        if self._size > self._limits.max_apdu or len(self._segments) > self._limits.max_frames:
            items += self._give_up("M-Bus segments beyond the limit of one APDU", "frame-oversized")
        elif new.last:
            frames, payload = tuple(s.octets for s in self._segments), b"".join(s.payload for s in self._segments)
            items.append(Apdu(payload, frames, MBUS, new.source, new.destination, new.acknowledgement))
            self._segments, self._size = [], 0
        return items

    def _give_up(self, why: str, code: str = "frame-segmentation") -> list[Item]:
        count, data = len(self._segments), b"".join(segment.octets for segment in self._segments)
        self._segments, self._size = [], 0
        return [Refused(code, f"{why} ({count} held)", data, MBUS)]


def _stream(frame: LongFrame) -> tuple[int, int, int]:
    return frame.address, frame.source, frame.destination
