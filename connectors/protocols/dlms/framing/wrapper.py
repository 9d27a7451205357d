"""The wrapper of DLMS over TCP and UDP (IEC 62056-47, 7.3): version 1, source and destination wPort, length; 16 bit each."""

from __future__ import annotations

import struct

from connectors.protocols.dlms.errors import FramingError
from connectors.protocols.dlms.framing.items import WRAPPER, Apdu, Item, Limits, Taken

_HEADER = struct.Struct(">HHHH")
_VERSION = 1


def pack(source: int, destination: int, apdu: bytes) -> bytes:
    """`apdu` with its wrapper. Raises FramingError where it is longer than the 16-bit length can say."""
    if len(apdu) > 0xFFFF:
        raise FramingError(
            "frame-oversized", f"an APDU of {len(apdu)} octets: the wrapper carries 65,535; use block transfer"
        )
    return _HEADER.pack(_VERSION, source, destination, len(apdu)) + apdu


def measure(data: bytes, at: int, max_apdu: int) -> tuple[int, int, int] | None:
    """Source, destination and the frame's end; None where the header is not whole yet.

    The length is checked before anyone waits for it. Raises FramingError.
    """
    if data[at : at + 2] != b"\x00\x01"[: len(data) - at]:
        raise FramingError("frame-garbage", "no wrapper begins here: its version, 0001, is expected")
    if len(data) - at < _HEADER.size:
        return None
    _, source, destination, length = _HEADER.unpack_from(data, at)
    if not length:
        raise FramingError("frame-malformed", f"a wrapper from wPort {source} to {destination} holds no APDU")
    if length > max_apdu:
        raise FramingError("frame-oversized", f"a wrapper announces {length} octets, the limit is {max_apdu}")
    return source, destination, at + _HEADER.size + length


class WrapperReader:
    """Wrapper frames to APDUs: one holds one."""

    transport = WRAPPER
    held = 0

    def __init__(self, limits: Limits) -> None:
        self._limits = limits

    def read(self, data: bytes, at: int) -> Taken | None:
        """See `items.Reader`."""
        head = measure(data, at, self._limits.max_apdu)
        if head is None or head[2] > len(data):
            return None
        source, destination, end = head
        frame = data[at:end]
        return Taken(end, (Apdu(frame[_HEADER.size :], (frame,), WRAPPER, source, destination),))

    def lost(self) -> list[Item]:
        """Nothing is held between frames."""
        return []

    def close(self) -> list[Item]:
        """Nothing is held between frames."""
        return []


class Deframer:
    """The pull side: a meter's answers out of a TCP stream."""

    def __init__(self, max_apdu: int = 0xFFFF) -> None:
        self._max_apdu = max_apdu
        self._data = b""

    def feed(self, data: bytes) -> list[tuple[int, int, bytes]]:
        """`(source, destination, apdu)` for each frame that is whole now.

        Raises FramingError where the stream holds something else: the session is over then, since TCP loses nothing.
        """
        self._data += data
        found, at = [], 0
        while at < len(self._data):
            head = measure(self._data, at, self._max_apdu)
            if head is None or head[2] > len(self._data):
                break
            source, destination, end = head
            found.append((source, destination, self._data[at + _HEADER.size : end]))
            at = end
        self._data = self._data[at:]
        return found

    @property
    def buffered(self) -> int:
        """Octets of a frame that is not whole yet."""
        return len(self._data)
