"""How patient a C12.18 link is, and what its two ends have agreed on by services that pass over it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from connectors.protocols.c12.errors import C12Error, DecodeError
from connectors.protocols.c12.psem_frames import OVERHEAD
from connectors.protocols.c12.requests import Identify, Negotiate, Terminate, Timings
from connectors.protocols.c12.responses import Done, Identified, Negotiated
from connectors.protocols.c12.services import decode_request, decode_response


@dataclass(frozen=True, slots=True)
class Timing:
    """How long to wait, in seconds, and how often to send again. The default is C12.18's, for a line of its own."""

    octet_s: float = 0.5
    """Between octets of a packet; where more passes, the packet is given up and refused (NAK)."""
    answer_s: float = 2.0
    """From a packet to its ACK."""
    traffic_s: float = 6.0
    """From the ACK to the first octets of the answer, and between packets of one: the channel traffic time-out."""
    retries: int = 3
    """How often a packet is sent again before the other end is given up."""
    patience_s: float = 60.0
    """How long octets may trickle without anything whole."""
    line_octets_s: float | None = None
    """Octets a second of a slow line: the ACK cannot come before the packet has left. None where that does not matter."""

    def extended(self, deadline: float, now: float, progress: float) -> float:
        """The deadline for an answer of which some octets came just now; `progress` is when something whole last came."""
        return max(deadline, min(now + self.octet_s, progress + self.patience_s))

    def acknowledgement(self, octets: int) -> float:
        """How long the ACK of a packet of so many octets may take."""
        return self.answer_s + (octets / self.line_octets_s if self.line_octets_s else 0.0)


TIMING = Timing()
"""C12.18, 6.3: an optical port or a cable."""
TIMING_C1221 = Timing(octet_s=1.0, answer_s=4.0, traffic_s=30.0)
"""C12.21, 6.3: a telephone modem."""
TIMING_TCP = Timing(octet_s=5.0, answer_s=10.0, traffic_s=30.0, retries=2)
"""A terminal server or cellular modem: packets are late rather than lost, and one too often confuses more than it helps."""


@dataclass(frozen=True, slots=True)
class Agreed:
    """What negotiate and timing setup have settled; these are the defaults that hold from identify on (C12.18, 5.2.2.6)."""

    packet_size: int = 64
    packets: int = 1
    baud: int | None = None
    timing: Timing | None = None
    """None: as the link was made."""

    @property
    def capacity(self) -> int:
        """Octets of the longest service, both ways."""
        return (self.packet_size - OVERHEAD) * self.packets


DEFAULTS = Agreed()


def agreed_by(before: Agreed, request: bytes, response: bytes) -> Agreed:
    """What holds after a request and its answer. What cannot be read changes nothing: whoever asked will say so.

    Raises DecodeError "psem-malformed" for packets too small to carry anything.
    """
    try:
        asked = decode_request(request)
        answer = decode_response(response, asked.code)
    except C12Error:
        return before
    match asked, answer:
        case Negotiate(), Negotiated():
            return _negotiated(before, asked, answer)
        case Timings(), Timings():
            timing = replace(
                before.timing or TIMING_C1221,
                octet_s=float(answer.octet_s),
                answer_s=float(answer.answer_s),
                traffic_s=float(answer.traffic_s),
                retries=min(answer.retries, asked.retries),
            )
            return replace(before, timing=timing)
        case (Identify(), Identified()) | (Terminate(), Done()):
            return DEFAULTS
        case _:
            return before


def _negotiated(before: Agreed, asked: Negotiate, answer: Negotiated) -> Agreed:
    size, packets = min(answer.packet_size, asked.packet_size), min(max(answer.packets, 1), asked.packets)
    if size <= OVERHEAD:
        detail = f"packets of {size} octets carry nothing, {OVERHEAD} are their own: leave negotiate out in the template"
        raise DecodeError("psem-malformed", detail)
    return replace(before, packet_size=size, packets=packets, baud=answer.baud or before.baud)
