"""What framing gives out, its limits, and what the readers of the four transports have in common."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

HDLC, WRAPPER, MBUS, RAW, UNKNOWN = "HDLC", "WRAPPER", "MBUS", "RAW", "UNKNOWN"

SERVICE_CIPHERED = frozenset(range(0xC8, 0xD8))
"""glo- (0xC8-0xCF) and ded- (0xD0-0xD7) APDUs of one service: ciphered, without a system title."""

PUSH_TAGS = frozenset({0x0F, 0xC2, 0xDB, 0xDC, 0xDD, 0xDF, 0xE0}) | SERVICE_CIPHERED
"""First octets of what a meter sends unasked, plain, ciphered, signed or cut in blocks (IEC 62056-5-3, 9.5)."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one connection may hold. All are octets but `max_frames`."""

    max_apdu: int = 262_144
    """The longest APDU, reassembled."""
    max_frames: int = 512
    """The most link frames one APDU may be cut into."""
    max_garbage: int = 4096
    """The most octets refused as one item while looking for the next frame."""


@dataclass(frozen=True, slots=True)
class Apdu:
    """One APDU that the link delivered whole, its checksums right."""

    data: bytes
    frames: tuple[bytes, ...] = field(repr=False)
    """The exact octets on the wire. A flag that closes one HDLC frame and opens the next is in both."""
    transport: str
    source: int | None = None
    """HDLC address, wPort, or M-Bus STSAP, as it arrived."""
    destination: int | None = None
    confirm: bytes = b""
    """What the link wants back once the APDU is safe (an HDLC RR, an M-Bus acknowledgement); mostly nothing."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Octets that are no APDU, with a code of `errors.CODES`."""

    code: str
    detail: str
    data: bytes = field(repr=False)
    transport: str = UNKNOWN


Item = Apdu | Refused


@dataclass(frozen=True, slots=True)
class Taken:
    """A reader's progress: it used everything before `end`."""

    end: int
    items: tuple[Item, ...] = ()
    reply: bytes = b""
    """What the link wants back at once, because the APDU is not whole yet."""


class Reader(Protocol):
    """One transport. It remembers segments, never the stream's octets."""

    transport: str

    def read(self, data: bytes, at: int) -> Taken | None:
        """Read the frame that starts at `at`; None where octets are missing.

        What it decides with some octets it decides with more. Raises `DlmsError` where no frame starts at `at`, or where
        its length cannot be trusted: the stream then looks for the next frame itself.
        """

    def lost(self) -> list[Item]:
        """Octets were lost on the link: give up what cannot be trusted any more."""

    def close(self) -> list[Item]:
        """Nothing more will come: give up everything."""

    @property
    def held(self) -> int:
        """Octets of segments that wait for more."""
