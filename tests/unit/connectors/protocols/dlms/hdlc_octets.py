"""Frames of a meter on HDLC, a link to it, and what came out of it."""

from __future__ import annotations

from connectors.protocols.dlms.errors import PeerError
from connectors.protocols.dlms.framing import hdlc
from connectors.protocols.dlms.framing.hdlc import POLL, UA, Frame
from connectors.protocols.dlms.hdlc_frames import Frames
from connectors.protocols.dlms.hdlc_link import HdlcLink, State
from connectors.protocols.dlms.hdlc_parameters import Parameters, Stations
from connectors.protocols.dlms.link import Link, Timing

STATIONS = Stations(16, 1)
CLIENT, SERVER = STATIONS.client_octets(), STATIONS.server_octets()
TIMING = Timing(answer_s=5, octet_s=1, poll_s=0.5, patience_s=60, retries=3)


def from_meter(control: int, information: bytes = b"", *, segmented: bool = False) -> bytes:
    return hdlc.frame(CLIENT, SERVER, control, information, segmented=segmented)


def i_frame(ns: int, nr: int, apdu: bytes, *, final: bool = True, segmented: bool = False, llc: bool = True) -> bytes:
    information = (hdlc.LLC_FROM_SERVER if llc else b"") + apdu
    return from_meter(nr << 5 | final << 4 | ns << 1, information, segmented=segmented)


def rr(nr: int, kind: int = 0x01, *, final: bool = True) -> bytes:
    return from_meter(nr << 5 | final << 4 | kind)


def frames_of(octets: bytes) -> list[Frame]:
    return Frames(1.0).feed(octets, 0.0)


def state_of(link: HdlcLink) -> State:
    """The state, which mypy else thinks to be what was asserted last."""
    return link.state


def deadline_of(link: Link) -> float | None:
    """Likewise."""
    return link.deadline


def controls(octets: bytes) -> list[int]:
    return [frame.control for frame in frames_of(octets)]


def mirrored(of: Parameters) -> Parameters:
    """The same, as the other end says it."""
    return Parameters(of.max_receive, of.max_transmit, of.window_receive, of.window_transmit)


def opened(parameters: Parameters | None = None, stations: Stations = STATIONS) -> HdlcLink:
    link = HdlcLink(stations, parameters, TIMING)
    link.open(0.0)
    information = mirrored(parameters).encode() if parameters else b""
    ua = hdlc.frame(stations.client_octets(), stations.server_octets(), UA | POLL, information)
    link.receive(ua, 0.0)
    assert link.opened
    return link


def trickled(link: Link, octets: bytes) -> float:
    """Octets one by one, less than the pause that ends a frame between them: when the link gave up."""
    for n, octet in enumerate(octets, 1):
        try:
            link.receive(bytes((octet,)), n * 0.9)
            link.tick(n * 0.9)
        except PeerError as error:
            assert error.code == "link-timeout"  # noqa: PT017 - when it comes is what is asked
            return n * 0.9
    raise AssertionError("it never gave up")
