"""HDLC, frame format type 3 (IEC 62056-46, 6.4): addresses of 1, 2 or 4 octets, HCS and FCS, segmentation, LLC octets.

No octet is stuffed: the length decides where a frame ends, so a 7E inside it, its checksums included, means nothing.
The flag that closes a frame may open the next.

A meter that pushes sends UI frames, which are never answered and carry no sequence number, or (rarely) I-frames, which are:
with a receive-ready (RR), at once for a segment, and for the last one by `Apdu.confirm`.
"""

from __future__ import annotations

from binascii import crc_hqx
from dataclasses import dataclass, field

from connectors.protocols.dlms.errors import FramingError
from connectors.protocols.dlms.framing.items import HDLC, PUSH_TAGS, Apdu, Item, Limits, Refused, Taken

FLAG = 0x7E
UI, SNRM, UA, DISC, DM = 0x03, 0x83, 0x63, 0x43, 0x0F
"""Control octets of unnumbered frames, poll/final bit off."""
POLL = 0x10
LLC_TO_SERVER, LLC_FROM_SERVER = b"\xe6\xe6\x00", b"\xe6\xe7\x00"
MAX_LENGTH = 0x7FF

_NAMES = {SNRM: "SNRM", UA: "UA", DISC: "DISC", DM: "DM", 0x87: "FRMR", 0x01: "RR", 0x05: "RNR"}
_FLAG = bytes((FLAG,))
_MIRRORED = bytes(int(f"{i:08b}"[::-1], 2) for i in range(256))
_GOOD = 0x1D0F


def crc16_x25(data: bytes) -> bytes:
    """CRC-16/X.25 as HDLC (and ANSI C12) sends it, low octet first.

    It is the CRC of `binascii.crc_hqx` on octets with their bits mirrored: both loops run in C.
    """
    crc = crc_hqx(data.translate(_MIRRORED), 0xFFFF) ^ 0xFFFF
    return crc.to_bytes(2, "big").translate(_MIRRORED)


def _intact(data: bytes) -> bool:
    """Whether `data` ends with its own checksum."""
    return crc_hqx(data.translate(_MIRRORED), 0xFFFF) == _GOOD


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame whose checksums are right. Addresses are as on the wire; `address_value` makes numbers of them."""

    destination: bytes
    source: bytes
    control: int
    information: bytes = b""
    segmented: bool = False
    octets: bytes = field(default=b"", repr=False)
    """The frame on the wire, both flags included."""

    @property
    def numbered(self) -> bool:
        """An I-frame: its receiver has to acknowledge it."""
        return not self.control & 1

    @property
    def send_sequence(self) -> int:
        """N(S) of an I-frame."""
        return self.control >> 1 & 7


def address(value: int, size: int) -> bytes:
    """An address of `size` octets, 7 bits each, the last marked: upper HDLC address first where it has two parts."""
    if size not in (1, 2, 4) or not 0 <= value < 1 << 7 * size:
        raise FramingError("frame-malformed", f"{value} is no HDLC address of {size} octets (1, 2 or 4)")
    octets = [(value >> 7 * i & 0x7F) << 1 for i in reversed(range(size))]
    octets[-1] |= 1
    return bytes(octets)


def address_value(octets: bytes) -> int:
    """The number that an address says, 7 bits an octet."""
    value = 0
    for octet in octets:
        value = value << 7 | octet >> 1
    return value


def frame(destination: bytes, source: bytes, control: int, information: bytes = b"", *, segmented: bool = False) -> bytes:
    """A frame with its flags and checksums. LLC octets are the caller's: they begin the first segment's information."""
    head_size = 2 + len(destination) + len(source) + 1
    length = head_size + 2 + (len(information) + 2 if information else 0)
    if length > MAX_LENGTH:
        raise FramingError("frame-oversized", f"an HDLC frame of {length} octets, {MAX_LENGTH} fit: send it in segments")
    head = (0xA000 | segmented << 11 | length).to_bytes(2, "big") + destination + source + bytes((control,))
    body = head + crc16_x25(head) + information if information else head
    return _FLAG + body + crc16_x25(body) + _FLAG


def receive_ready(to: Frame) -> bytes:
    """The RR that acknowledges the I-frame `to`: N(R) is its N(S) + 1, the final bit answers its poll bit."""
    control = 0x01 | to.control & POLL | (to.send_sequence + 1 & 7) << 5
    return frame(to.source, to.destination, control)


def parse(octets: bytes) -> Frame:
    """The frame in `octets`, both flags included and of the length it says. Raises FramingError."""
    body = octets[1:-1]
    middle = _address_end(body, 2)
    end = _address_end(body, middle) + 1  # of the control octet
    if end + 2 > len(body):
        raise FramingError("frame-malformed", f"an HDLC frame of {len(body)} octets has no room for its header")
    information = body[end + 2 : -2]
    if information and not _intact(body[: end + 2]):
        raise FramingError("frame-checksum", "the HDLC header checksum (HCS) does not match: octets changed on the link")
    if not _intact(body):
        raise FramingError("frame-checksum", "the HDLC frame checksum (FCS) does not match: octets changed on the link")
    if end + 2 < len(body) <= end + 4:
        raise FramingError("frame-malformed", "an HDLC frame with a header checksum but no information")
    return Frame(body[2:middle], body[middle : end - 1], body[end - 1], information, bool(body[0] & 8), octets)


def _address_end(body: bytes, at: int) -> int:
    for size in (1, 2, 4):
        if at + size <= len(body) and body[at + size - 1] & 1 and not any(octet & 1 for octet in body[at : at + size - 1]):
            return at + size
    raise FramingError("frame-malformed", f"an HDLC address at {at} does not end after 1, 2 or 4 octets")


class HdlcReader:
    """HDLC frames to APDUs. A frame starts at its format field: the stream has seen the flag before it."""

    transport = HDLC

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._segments: list[Frame] = []
        self._size = 0
        self._orphaned = False
        """A UI segment was lost: those of the same message that follow are refused up to its last one."""

    def read(self, data: bytes, at: int) -> Taken | None:
        """See `items.Reader`."""
        if data[at] & 0xF0 != 0xA0:
            raise FramingError("frame-garbage", f"{data[at]:#04x} begins no HDLC frame of type 3 (A0 to AF)")
        if len(data) - at < 2:
            return None
        length = (data[at] & 7) << 8 | data[at + 1]
        if length < 7:
            raise FramingError("frame-malformed", f"an HDLC frame says it has {length} octets: 7 are the fewest")
        end = at + length
        if end >= len(data):
            return None
        if data[end] != FLAG:
            raise FramingError(
                "frame-malformed", f"no flag after the {length} octets an HDLC frame announces: the link lost some"
            )
        octets = _FLAG + data[at : end + 1]
        try:
            parsed = parse(octets)
        except FramingError as error:
            items = [Refused(error.code, error.detail, octets, HDLC), *self.lost()]
            self._orphaned = bool(data[at] & 8)
            return Taken(end + 1, tuple(items))
        items, reply = self._take(parsed)
        return Taken(end + 1, tuple(items), reply)

    def lost(self) -> list[Item]:
        """UI segments carry no number, so a gap would go unseen: give them up. I-frames will be repeated."""
        return (
            self._give_up("an HDLC segment was lost on the link")
            if self._segments and not self._segments[0].numbered
            else []
        )

    def close(self) -> list[Item]:
        """Give up the segments that wait for more."""
        self._orphaned = False
        return self._give_up("the stream ended before the last HDLC segment", "frame-truncated") if self._segments else []

    @property
    def held(self) -> int:
        """See `items.Reader`."""
        return self._size

    def _take(self, new: Frame) -> tuple[list[Item], bytes]:
        if not new.numbered and new.control & ~POLL != UI:
            return [_refuse(new, f"{_name(new.control)} frame: a meter that pushes sends UI or I-frames")], b""
        reply = receive_ready(new) if new.numbered else b""
        last = self._segments[-1] if self._segments else None
        if last and new.numbered and _same(last, new):
            return [], reply  # repeated, because our RR was lost
        items: list[Item] = []
        if last and not _continues(last, new):
            items = self._give_up("another HDLC sequence began before the last segment")
            last = None
        if not last and not _begins(new, after_loss=self._orphaned):
            self._orphaned = new.segmented
            items.append(_refuse(new, "an HDLC segment whose first one is missing", "frame-segmentation"))
            return items, reply
        self._orphaned = False
        self._segments.append(new)
        self._size += len(new.octets)
        payload = sum(len(segment.information) for segment in self._segments) if not new.segmented else self._size
        if payload > self._limits.max_apdu or len(self._segments) > self._limits.max_frames:
            self._orphaned = new.segmented
            items += self._give_up("HDLC segments beyond the limit of one APDU", "frame-oversized")
        elif not new.segmented:
            items.append(self._whole(reply))
            return items, b"" if isinstance(items[-1], Apdu) else reply
        return items, reply

    def _whole(self, confirm: bytes) -> Item:
        first, frames = self._segments[0], tuple(segment.octets for segment in self._segments)
        data = b"".join(segment.information for segment in self._segments)
        self._segments, self._size = [], 0
        if data.startswith((LLC_FROM_SERVER, LLC_TO_SERVER)):
            data = data[3:]
        if not data:
            return Refused("frame-malformed", "an HDLC frame that holds no APDU", b"".join(frames), HDLC)
        return Apdu(data, frames, HDLC, address_value(first.source), address_value(first.destination), confirm)

    def _give_up(self, why: str, code: str = "frame-segmentation") -> list[Item]:
        count, data = len(self._segments), b"".join(segment.octets for segment in self._segments)
        self._segments, self._size = [], 0
        return [Refused(code, f"{why} ({count} held)", data, HDLC)]


def _name(control: int) -> str:
    kind = control & ~POLL if control & 3 == 3 else control & 0x0F
    return f"an HDLC {_NAMES.get(kind, f'{control:#04x}')}"


def _refuse(new: Frame, detail: str, code: str = "frame-malformed") -> Refused:
    return Refused(code, detail, new.octets, HDLC)


def _begins(new: Frame, *, after_loss: bool) -> bool:
    """Whether a frame starts a message: LLC octets say so; some meters (E450) leave them out, then a push tag does."""
    if new.information.startswith((LLC_FROM_SERVER, LLC_TO_SERVER)):
        return True
    return not after_loss and (not new.information or new.information[0] in PUSH_TAGS)


def _same(last: Frame, new: Frame) -> bool:
    """Whether an I-frame is the one before, sent again."""
    return (new.source, new.send_sequence, new.information) == (last.source, last.send_sequence, last.information)


def _continues(last: Frame, new: Frame) -> bool:
    """Whether `new` is the segment after `last`. UI frames have no number: a new message shows by its LLC octets and tag."""
    if (new.source, new.destination, new.numbered) != (last.source, last.destination, last.numbered):
        return False
    if new.numbered and new.send_sequence != last.send_sequence + 1 & 7:
        return False
    head = new.information[:4]
    return not (head.startswith((LLC_FROM_SERVER, LLC_TO_SERVER)) and head[-1] in PUSH_TAGS)
