"""Frames as hex, and no password among them."""

from __future__ import annotations

import pytest

from connectors.cli.probe.trace import Trace
from connectors.protocols.dlms.association import Association, aarq
from connectors.protocols.dlms.framing import hdlc
from connectors.protocols.dlms.framing.wrapper import pack
from connectors.protocols.dlms.hdlc_link import HdlcLink
from connectors.protocols.dlms.hdlc_parameters import Parameters, Stations
from connectors.protocols.dlms.hls import Hls, Mechanism

PASSWORD = b"Geheim1!x"
AARQ = aarq(Association(password=PASSWORD))


def traced(apdu: bytes, octets: bytes, *, by_hdlc: bool = False, came: bool = False) -> str:
    lines: list[str] = []
    trace = Trace(lines.append, hdlc=by_hdlc)
    trace.saying(apdu)
    (trace.came if came else trace.sent)(octets)
    (line,) = lines
    return line


def test_wrapper() -> None:
    line = traced(AARQ, pack(1, 1, AARQ))
    assert line == "> " + pack(1, 1, AARQ.replace(PASSWORD, b"*" * 9)).hex(" ").upper()


def test_an_echo_is_starred_too() -> None:
    line = traced(AARQ, pack(1, 1, AARQ), came=True)
    assert line.startswith("< 00 01")
    assert PASSWORD.hex(" ").upper() not in line


def test_a_challenge_is_no_secret() -> None:
    hls = aarq(Association(hls=Hls(Mechanism.MD5, b"secret")), b"challenge")
    assert traced(hls, pack(1, 1, hls)) == "> " + pack(1, 1, hls).hex(" ").upper()


def hdlc_frames(size: int) -> list[bytes]:
    """An AARQ by HDLC in segments of `size` octets, as they go out where each is acknowledged."""
    link = HdlcLink(Stations(16, 1), Parameters(size, 128))
    link.open(0.0)
    to, own = Stations(16, 1).client_octets(), Stations(16, 1).server_octets()
    mine = Parameters(128, size).encode()
    link.receive(hdlc.frame(to, own, hdlc.UA | hdlc.POLL, mine), 0.0)
    out = [link.send(AARQ, 0.0)]
    while out[-1]:
        ready = hdlc.frame(to, own, 0x11 | (len(out) & 7) << 5)
        out.append(link.receive(ready, 0.0).replies)
    return out[:-1]


@pytest.mark.parametrize("size", [8, 16, 40, 64, 128])
def test_hdlc_in_segments(size: int) -> None:
    frames = hdlc_frames(size)
    assert (len(frames) > 1) == (size < len(AARQ) + 3)
    split = not any(PASSWORD in frame for frame in frames)
    assert split == (size in (8, 40))
    shown = [bytes.fromhex(traced(AARQ, frame, by_hdlc=True)[2:]) for frame in frames]
    assert [len(each) for each in shown] == [len(frame) for frame in frames]
    starred = 0
    for frame, other in zip(frames, shown, strict=True):
        differs = [i for i, (a, b) in enumerate(zip(frame, other, strict=True)) if a != b]
        assert all(other[i] == 0x2A for i in differs)
        within = [i for i in differs if i < len(frame) - 3]
        starred += len(within)
        if within:
            assert other[-3:-1] == b"**"
    assert starred == len(PASSWORD)


def test_other_frames_are_as_they_are() -> None:
    link = HdlcLink(Stations(16, 1))
    snrm = link.open(0.0)
    assert traced(b"", snrm, by_hdlc=True) == "> " + snrm.hex(" ").upper()
