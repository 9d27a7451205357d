"""The wrapper of DLMS over TCP and UDP (IEC 62056-47) as a link frames by it."""

from __future__ import annotations

from collections.abc import Sequence

from connectors.gateway.masking import SECRETIVE, masked
from connectors.gateway.session import Heard, Kind
from connectors.protocols.dlms.errors import DlmsError
from connectors.protocols.dlms.framing.wrapper import Deframer, pack
from schemas.records import Transport

_HEADER = 8
_VERSION = b"\x00\x01"
_UNSOLICITED = (0x0F, 0xC2)
_PUSHED = (0xDB, 0xDC, 0xDD, 0xDF, 0xE0)
"""What may be a push where it is for another client than the one that asks."""


class WrapperFraming:
    """One client's frames and a meter's. `client` may be changed between sessions."""

    transport = Transport.WRAPPER
    errors: tuple[type[Exception], ...] = (DlmsError,)

    __slots__ = ("_buffered", "_client", "_deframer", "_sent", "_server", "_wanted")

    def __init__(self, client: int, server: int) -> None:
        self._server = server
        self._deframer = Deframer()
        self._buffered = False
        self.address(client)

    def address(self, client: int) -> None:
        """From now on another client asks."""
        self._client = client
        self._sent = _VERSION + client.to_bytes(2, "big") + self._server.to_bytes(2, "big")
        self._wanted = _VERSION + self._server.to_bytes(2, "big") + client.to_bytes(2, "big")

    def pack(self, message: bytes) -> bytes:
        """See `session.Framing`."""
        size = len(message)
        return (
            self._sent + size.to_bytes(2, "big") + message if size <= 0xFFFF else pack(self._client, self._server, message)
        )

    def feed(self, data: bytes) -> Sequence[Heard]:
        """See `session.Framing`."""
        # One whole answer of the meter that was asked, which is what comes nearly always.
        if (
            not self._buffered
            and len(data) > _HEADER
            and data[:6] == self._wanted
            and len(data) - _HEADER == (data[6] << 8 | data[7])
            and data[8] not in _UNSOLICITED
        ):
            return ((data, data[_HEADER:], Kind.ANSWER),)
        found = self._deframer.feed(data)
        self._buffered = bool(self._deframer.buffered)
        return [self._heard(*frame) for frame in found]

    def datagram(self, data: bytes) -> Sequence[Heard]:
        """See `session.Framing`."""
        deframer = Deframer()
        try:
            frames = deframer.feed(data)
        except DlmsError:
            return ()
        return () if deframer.buffered else [self._heard(*frame) for frame in frames]

    def masked(self, frame: bytes) -> bytes:
        """See `session.Framing`."""
        if len(frame) > _HEADER and frame[_HEADER] not in SECRETIVE:
            return frame
        apdu = frame[_HEADER:]
        kept = masked(apdu)
        return frame if kept is apdu else frame[:_HEADER] + kept

    def _heard(self, source: int, destination: int, apdu: bytes) -> Heard:
        kind = Kind.ANSWER if destination == self._client else Kind.STRAY
        if apdu[0] in _UNSOLICITED or (apdu[0] in _PUSHED and destination != self._client):
            kind = Kind.UNASKED
        return pack(source, destination, apdu), apdu, kind
