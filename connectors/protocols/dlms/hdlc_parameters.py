"""Who the two ends of an HDLC link are, and what they agree on when they open it (IEC 62056-46, 6.4.2 and 6.4.4.4.3.2)."""

from __future__ import annotations

from dataclasses import dataclass

from connectors.protocols.dlms.errors import FramingError
from connectors.protocols.dlms.framing import hdlc

MAX_INFORMATION = 2030
"""Octets of information in the longest frame."""
MAX_WINDOW = 7

_GROUP = b"\x81\x80"  # format identifier, group identifier: user-defined parameters
_ALL_STATIONS = {2: 0x7F, 4: 0x3FFF}  # lower address by the size of the whole
_MAX_TRANSMIT, _MAX_RECEIVE, _WINDOW_TRANSMIT, _WINDOW_RECEIVE = 5, 6, 7, 8


@dataclass(frozen=True, slots=True)
class Stations:
    """Who speaks to whom. Sizes are octets of the address on the wire."""

    client: int
    logical: int
    """The upper HDLC address: the logical device, 1 is the management device."""
    physical: int | None = None
    """The lower HDLC address: the meter on its bus; 127 (size 4: 16383) is whichever is there."""
    server_size: int = 0
    """1, 2 or 4; 0 is the shortest that fits."""
    client_size: int = 1

    def server_octets(self) -> bytes:
        """The meter's address. Raises FramingError where it does not fit."""
        if self.physical is None:
            return hdlc.address(self.logical, self.server_size or 1)
        highest = max(self.logical, self.physical)
        size = self.server_size or (2 if highest < 0x80 else 4)
        half = 7 if size == 2 else 14
        if size == 1 or highest >= 1 << half:
            detail = f"HDLC addresses {self.logical} and {self.physical} do not fit into {size} octets: see the template"
            raise FramingError("frame-malformed", detail)
        return hdlc.address(self.logical << half | self.physical, size)

    def client_octets(self) -> bytes:
        """The client's address."""
        return hdlc.address(self.client, self.client_size)

    def any_server(self) -> bool:
        """Whether the meter answers with an address that is not known yet."""
        return self.physical is not None and self.physical == _ALL_STATIONS[len(self.server_octets())]


@dataclass(frozen=True, slots=True)
class Parameters:
    """Octets of information in one frame, and frames in a row, each way. The defaults are the standard's."""

    max_transmit: int = 128
    max_receive: int = 128
    window_transmit: int = 1
    window_receive: int = 1

    def __post_init__(self) -> None:
        for size in (self.max_transmit, self.max_receive):
            if not 8 <= size <= MAX_INFORMATION:
                raise FramingError("frame-malformed", f"HDLC information of {size} octets: 8 to {MAX_INFORMATION} go")
        for window in (self.window_transmit, self.window_receive):
            if not 1 <= window <= MAX_WINDOW:
                raise FramingError("frame-malformed", f"an HDLC window of {window} frames: 1 to {MAX_WINDOW} go")

    def encode(self) -> bytes:
        """The information of an SNRM; nothing where all is default, which is what meters without negotiation take."""
        if self == Parameters():
            return b""
        fields = b"".join(
            bytes((tag, size)) + value.to_bytes(size, "big")
            for tag, size, value in (
                (_MAX_TRANSMIT, 1 if self.max_transmit < 0x100 else 2, self.max_transmit),
                (_MAX_RECEIVE, 1 if self.max_receive < 0x100 else 2, self.max_receive),
                (_WINDOW_TRANSMIT, 4, self.window_transmit),
                (_WINDOW_RECEIVE, 4, self.window_receive),
            )
        )
        return _GROUP + bytes((len(fields),)) + fields

    def agreed(self, information: bytes) -> Parameters:
        """What holds after a UA with this information, which says what the meter transmits and receives. What it leaves out
        is default; what is more than was proposed is not used. Raises FramingError where it cannot be read.
        """
        theirs = _parse(information)
        return Parameters(
            min(self.max_transmit, theirs.get(_MAX_RECEIVE, 128)),
            min(self.max_receive, theirs.get(_MAX_TRANSMIT, 128)),
            min(self.window_transmit, theirs.get(_WINDOW_RECEIVE, 1)),
            min(self.window_receive, theirs.get(_WINDOW_TRANSMIT, 1)),
        )


def _parse(information: bytes) -> dict[int, int]:
    if not information:
        return {}
    if information[:2] != _GROUP or len(information) < 3 or information[2] != len(information) - 3:
        raise _unreadable(information)
    fields: dict[int, int] = {}
    at = 3
    while at < len(information):
        size = information[at + 1] if at + 1 < len(information) else 0
        value = information[at + 2 : at + 2 + size]
        if not 1 <= size <= 4 or len(value) != size:
            raise _unreadable(information)
        fields[information[at]] = int.from_bytes(value, "big")
        at += 2 + size
    return fields


def _unreadable(information: bytes) -> FramingError:
    head = information[:24].hex(" ").upper()
    return FramingError("frame-malformed", f"the meter's HDLC parameters cannot be read, {head}: open with the defaults")
