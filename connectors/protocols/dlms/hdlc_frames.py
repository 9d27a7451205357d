"""HDLC frames out of a stream that loses, alters and invents octets: what is intact is found, the rest is passed over."""

from __future__ import annotations

from connectors.protocols.dlms.errors import FramingError
from connectors.protocols.dlms.framing.hdlc import FLAG, MAX_LENGTH, Frame, parse


class Frames:
    """The frames of one link. It never holds more than one frame's octets between calls."""

    def __init__(self, octet_s: float) -> None:
        self._octet_s = octet_s
        self._data = b""
        self._came = 0.0
        self.refused = 0
        """Frames whose checksums or form were wrong."""

    def feed(self, data: bytes, now: float) -> list[Frame]:
        """Intact frames. Octets of a frame after a pause of more than `octet_s` are given up first, for what they hide."""
        late = bool(self._data) and now - self._came > self._octet_s
        found = self._scan(final=True) if late else []
        self._data += data
        self._came = now
        return found + self._scan(final=False)

    @property
    def partial(self) -> bool:
        """Whether a frame waits for more octets; a flag alone is the end of the one before."""
        return len(self._data) > 1

    def _scan(self, *, final: bool) -> list[Frame]:
        """A frame that turns out to be none gives up its flag only: the next may begin inside it."""
        found: list[Frame] = []
        data, at = self._data, 0
        while (at := data.find(FLAG, at)) >= 0:
            end = _end(data, at)
            if end is None:
                at += 1
            elif end < len(data):
                try:
                    found.append(parse(data[at : end + 1]))
                    at = end
                except FramingError:
                    self.refused += 1
                    at += 1
            elif final:
                at += 1
            else:
                break
        self._data = data[at:] if at >= 0 and not final else b""
        return found


def _end(data: bytes, at: int) -> int | None:
    """Where the flag stands (or is due) that ends the frame which starts with the flag at `at`; None where none starts."""
    if len(data) < at + 3:
        return at + MAX_LENGTH if len(data) == at + 1 or data[at + 1] & 0xF0 == 0xA0 else None
    length = (data[at + 1] & 7) << 8 | data[at + 2]
    end = at + 1 + length
    if data[at + 1] & 0xF0 != 0xA0 or length < 7 or (end < len(data) and data[end] != FLAG):
        return None
    return end
