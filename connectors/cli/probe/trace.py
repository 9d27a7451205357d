"""Frames as hex, for `--trace`, without what is secret in them."""

from __future__ import annotations

from collections.abc import Callable

from connectors.protocols.dlms.framing.hdlc import LLC_TO_SERVER
from connectors.protocols.dlms.hdlc_frames import Frames
from connectors.protocols.dlms.masking import masked

_FCS = b"**"  # the checksum of what is starred would tell two octets of it
_TAIL = 3  # octets: checksum and flag


class Trace:
    """Writes each run of octets as a line. The octets of a password are 2A (`*`), in whatever frames they go."""

    def __init__(self, write: Callable[[str], None], *, hdlc: bool) -> None:
        self._write, self._hdlc = write, hdlc
        self._said = self._shown = b""

    def saying(self, apdu: bytes) -> None:
        """The APDU that the frames from now on carry."""
        prefix = LLC_TO_SERVER if self._hdlc else b""
        self._said, self._shown = prefix + apdu, prefix + masked(apdu)

    def sent(self, octets: bytes) -> None:
        """What went to the meter."""
        self._line(">", octets)

    def came(self, octets: bytes) -> None:
        """What the meter sent. A line that echoes what we say is starred as well."""
        self._line("<", octets)

    def _line(self, direction: str, octets: bytes) -> None:
        if octets:
            self._write(f"{direction} {self._hidden(octets).hex(' ').upper()}")

    def _hidden(self, octets: bytes) -> bytes:
        if self._said == self._shown:
            return octets
        if not self._hdlc:
            return octets.replace(self._said, self._shown)
        for frame in Frames(1.0).feed(octets, 0.0):
            starred = self._starred(frame.information)
            if starred != frame.information:
                head = frame.octets[: -_TAIL - len(starred)]
                octets = octets.replace(frame.octets, head + starred + _FCS + frame.octets[-1:])
        return octets

    def _starred(self, information: bytes) -> bytes:
        """A segment: wherever in the APDU it may be from, what is starred there is starred here."""
        out, at = bytearray(information), self._said.find(information) if information else -1
        while at >= 0:
            for i, octet in enumerate(self._shown[at : at + len(information)]):
                if octet != self._said[at + i]:
                    out[i] = octet
            at = self._said.find(information, at + 1)
        return bytes(out)
