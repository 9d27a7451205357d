"""The target of the HDLC link: a station on the other end that sends anything at any time."""

from __future__ import annotations

from connectors.protocols.dlms.errors import DlmsError
from connectors.protocols.dlms.framing import hdlc
from connectors.protocols.dlms.hdlc_link import HdlcLink
from connectors.protocols.dlms.hdlc_parameters import Parameters, Stations
from tests.fuzz.harness import Pieces, Target, expect, own


def run_hdlc_link(data: bytes) -> None:
    """An HDLC link: frames with right checksums, octets as they come, time that passes, requests, in any order."""
    pieces = Pieces(data)
    kind = pieces.octet()
    stations = Stations(16, 1, (None, 17, 127)[kind % 3])
    sizes = Parameters(64, 64, 1 + (kind >> 2 & 3), 1 + (kind >> 4 & 3)) if kind & 0x80 else None
    link = HdlcLink(stations, sizes, max_apdu=512)
    client_octets, server = stations.client_octets(), stations.server_octets()
    now = 0.0
    try:
        link.open(now)
        if kind & 0x40:
            link.receive(hdlc.frame(client_octets, server, hdlc.UA | hdlc.POLL), now)
        for _ in range(256):
            if not pieces.left:
                break
            now = _step(link, pieces, now, client_octets, server)
    except DlmsError as error:
        own(error)
    _wait_out(link, now)


def _step(link: HdlcLink, pieces: Pieces, now: float, client_octets: bytes, server: bytes) -> float:
    """One thing that happens to the link; the time after it."""
    action = pieces.octet()
    if action & 7 == 0:
        now += (action >> 3) / 2
        link.tick(now)
    elif action & 7 == 1 and link.opened:
        link.send(pieces.piece(), now)
    elif action & 7 == 2:
        apdus = link.receive(pieces.piece(), now).apdus
        expect(all(len(apdu) <= 512 for apdu in apdus), "an APDU beyond the limit")
    else:
        source = server if action & 8 else bytes((pieces.octet() | 1,))
        information = pieces.piece()[:300]
        control = pieces.octet()
        octets = hdlc.frame(client_octets, source, control, information, segmented=bool(action & 16))
        apdus = link.receive(octets, now).apdus
        expect(all(len(apdu) <= 512 for apdu in apdus), "an APDU beyond the limit")
    return now


def _wait_out(link: HdlcLink, now: float) -> None:
    """A meter that says nothing any more is given up, and the link can be closed."""
    for _ in range(64):
        try:
            if link.deadline is None:
                break
            now = max(now, link.deadline) + 0.001
            link.tick(now)
        except DlmsError as error:
            own(error)
    expect(link.deadline is None, "a silent meter is never given up")
    try:
        link.close(now)
        for _ in range(16):
            if link.deadline is None:
                break
            now = max(now, link.deadline) + 0.001
            link.tick(now)
    except DlmsError as error:
        own(error)
    expect(link.deadline is None, "the link never closes")


TARGETS = (Target("hdlc_link", run_hdlc_link, 2),)
