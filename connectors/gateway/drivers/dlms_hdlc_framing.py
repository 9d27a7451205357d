"""HDLC as a link frames by it (IEC 62056-46): the sans-I/O link, and its frames as they may be kept.

A password travels in the information of I-frames, in segments where it is long. What is kept has asterisks there, and a
checksum that fits them, so that it can be decoded. Lines that echo bring our own octets back: those are starred, too.
"""

from __future__ import annotations

from collections.abc import Sequence

from connectors.gateway.masking import masked
from connectors.gateway.session import Heard, Kind
from connectors.protocols.dlms.errors import DlmsError
from connectors.protocols.dlms.framing import hdlc
from connectors.protocols.dlms.framing.wrapper import pack
from connectors.protocols.dlms.hdlc_frames import Frames
from connectors.protocols.dlms.hdlc_link import HdlcLink
from schemas.records import Transport
from streams.runtime.clock import Clock

_UNSOLICITED = (0x0F, 0xC2)
_FLAG = 0x7E
_MOST_PARTIAL = 0x1000
_SHORTEST_PIECE = 3


class HdlcFraming:
    """One client's link to one meter."""

    transport = Transport.HDLC
    errors: tuple[type[Exception], ...] = (DlmsError,)

    def __init__(self, link: HdlcLink, clock: Clock, client: int, server: int) -> None:
        self.link = link
        self.replies = b""
        """What `feed` wants sent at once."""
        self._clock = clock
        self._client, self._server = client, server
        self._partial = b""
        self._clear = self._starred = b""
        """Information octets of the APDU that is being sent, where it holds a secret, and the same starred."""
        self._at: dict[int, int] = {}
        """Where in it the I-frame with an N(S) stands."""
        self._next = 0
        self._pieces: set[bytes] = set()

    def pack(self, message: bytes) -> bytes:
        """See `session.Framing`; b"" asks for one more message, or waits for the turn."""
        if message:
            starred = masked(message)
            self._at, self._next = {}, 0
            self._clear = self._starred = b""
            if starred != message:
                self._clear, self._starred = hdlc.LLC_TO_SERVER + message, hdlc.LLC_TO_SERVER + starred
        return self.link.send(message, self._clock.monotonic())

    def feed(self, data: bytes) -> Sequence[Heard]:
        """See `session.Framing`; the frames are those of what came unasked, else empty: `heard` keeps octets."""
        received = self.link.receive(data, self._clock.monotonic())
        self.replies = received.replies
        told = {id(apdu): octets for octets, apdu in self.link.told}
        found: list[Heard] = []
        for apdu in received.apdus:
            if id(apdu) in told:
                found.append((told[id(apdu)], apdu, Kind.UNASKED))
            elif apdu[0] in _UNSOLICITED:  # in a numbered frame, which the link has acknowledged: as the wrapper has it
                found.append((pack(self._server, self._client, apdu), apdu, Kind.UNASKED))
            else:
                found.append((b"", apdu, Kind.ANSWER))
        return found

    def datagram(self, data: bytes) -> Sequence[Heard]:  # noqa: ARG002 - a Framing's signature
        """See `session.Framing`: HDLC is not carried by datagrams (the driver refuses it)."""
        return ()

    def heard(self, data: bytes) -> bytes:
        """Octets to be kept: whole frames of those that came, or b"" while the last is not whole."""
        data = self._partial + data
        if data[-1] != _FLAG and len(data) < _MOST_PARTIAL:
            self._partial = data
            return b""
        self._partial = b""
        for piece in self._pieces:
            data = data.replace(piece, b"*" * len(piece))
        return data

    def sent(self, octets: bytes) -> bytes:
        """Octets to be kept of those that go out."""
        if not self._clear:
            return octets
        return b"".join(self._star(frame) for frame in Frames(1.0).feed(octets, 0.0))

    def masked(self, frame: bytes) -> bytes:
        """See `session.Framing`: `heard` and `sent` have done it."""
        return frame

    def _star(self, frame: hdlc.Frame) -> bytes:
        """An I-frame of the APDU with the secret, starred. One that is sent again has its number again."""
        if not frame.numbered:
            return frame.octets
        number, information = frame.send_sequence, frame.information
        start = self._at.get(number, -1)
        if start < 0 or self._clear[start : start + len(information)] != information:
            start, self._next = self._next, self._next + len(information)
            self._at[number] = start
        end = start + len(information)
        starred = self._starred[start:end]
        if self._clear[start:end] != information:
            starred = b"*" * len(information)
        self._remember(information, starred)
        return hdlc.frame(frame.destination, frame.source, frame.control, starred, segmented=frame.segmented)

    def _remember(self, clear: bytes, starred: bytes) -> None:
        """What was starred, for when a line echoes it."""
        if clear == starred:
            return
        changed = [at for at, (one, other) in enumerate(zip(clear, starred, strict=True)) if one != other]
        piece = clear[changed[0] : changed[-1] + 1]
        if len(piece) >= _SHORTEST_PIECE:
            self._pieces.add(piece)
