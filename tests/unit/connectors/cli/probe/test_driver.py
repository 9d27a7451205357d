"""Octets, time and an ended connection, as a session and a link see them: on a line that plays a script, without waiting."""

from __future__ import annotations

import socket
from typing import cast

import pytest

from connectors.cli.failure import CANNOT_CONNECT, CommandError
from connectors.cli.probe.address import Target
from connectors.cli.probe.driver import Wire, not_there
from connectors.cli.probe.trace import Trace
from connectors.protocols.dlms.association import release
from connectors.protocols.dlms.client_apdus import Session
from connectors.protocols.dlms.errors import PeerError
from connectors.protocols.dlms.framing import hdlc
from connectors.protocols.dlms.framing.wrapper import pack
from connectors.protocols.dlms.hdlc_link import HdlcLink
from connectors.protocols.dlms.hdlc_parameters import Stations
from connectors.protocols.dlms.link import Timing, WrapperLink

TARGET = Target("127.0.0.1", 4059)
TIMING = Timing(answer_s=5.0)
RLRQ = bytes.fromhex("6203800100")
DM = hdlc.frame(Stations(1, 1).client_octets(), Stations(1, 1).server_octets(), hdlc.DM | hdlc.POLL)
UA = hdlc.frame(Stations(1, 1).client_octets(), Stations(1, 1).server_octets(), hdlc.UA | hdlc.POLL)


class Line:
    """A socket and a clock. Each of `script` comes at one `recv`: octets, b"" the end, None nothing, or an error."""

    def __init__(self, *script: bytes | BaseException | None) -> None:
        self.script = list(script)
        self.sent: list[bytes] = []
        self.now = 0.0
        self.wait: float | None = None
        self.closed = False

    def settimeout(self, wait: float | None) -> None:
        self.wait = wait

    def recv(self, _: int) -> bytes:
        came = self.script.pop(0) if self.script else None
        if isinstance(came, BaseException):
            raise came
        if came is None:
            assert self.wait is not None, "waits for ever"
            self.now += self.wait
            raise TimeoutError
        return came

    def sendall(self, octets: bytes) -> None:
        self.sent.append(octets)

    def close(self) -> None:
        self.closed = True

    def wire(self, *, hdlc_link: bool = False, target: Target = TARGET, trace: Trace | None = None) -> Wire:
        link = HdlcLink(Stations(1, 1), timing=TIMING) if hdlc_link else WrapperLink(1, 1, TIMING)
        return Wire(cast("socket.socket", self), target, link, trace, lambda: self.now)


def ask(request: bytes) -> Session[list[bytes]]:
    return [(yield request)]


def opened(line: Line, *, hdlc_link: bool = False) -> Wire:
    wire = line.wire(hdlc_link=hdlc_link)
    wire.open()
    return wire


@pytest.mark.parametrize(
    ("script", "answers", "unasked"),
    [
        pytest.param([pack(1, 1, b"\xc4A")], [b"\xc4A"], 0, id="an-answer"),
        pytest.param([pack(1, 1, b"\xc4A")[:5], pack(1, 1, b"\xc4A")[5:]], [b"\xc4A"], 0, id="in-pieces"),
        pytest.param([pack(1, 1, b"\x0fP"), pack(1, 1, b"\xc4A")], [b"\xc4A"], 1, id="after-a-notification"),
        pytest.param([pack(1, 1, b"\xc2P") + pack(1, 1, b"\xc4A")], [b"\xc4A"], 1, id="with-a-notification"),
        pytest.param([b""], [b""], 0, id="closed"),
        pytest.param([ConnectionResetError()], [b""], 0, id="reset"),
    ],
)
def test_an_answer(script: list[bytes | BaseException | None], answers: list[bytes], unasked: int) -> None:
    line = Line(*script)
    wire = opened(line)
    assert wire.run(ask(b"\xc0R")) == answers
    assert wire.unasked == unasked
    assert wire.ended == (answers == [b""])
    assert line.sent == [pack(1, 1, b"\xc0R")]


def test_silence_is_thrown_into_the_session() -> None:
    caught: list[str] = []

    def session() -> Session[bytes]:
        try:
            yield b"\xc0R"
        except PeerError as error:
            caught.append(error.code)
        return (yield b"\xc0S")

    line = Line(None, pack(1, 1, b"\xc4A"))
    assert opened(line).run(session()) == b"\xc4A"
    assert (caught, line.now) == (["link-timeout"], 5.0)


def test_silence_ends_who_does_not_expect_it() -> None:
    with pytest.raises(PeerError) as raised:
        opened(Line()).run(ask(b"\xc0R"))
    assert raised.value.code == "link-timeout"


def test_a_meter_that_only_talks_is_given_up() -> None:
    line = Line(*[pack(1, 1, b"\x0fP")] * 200)
    with pytest.raises(PeerError, match="101 notifications and no answer"):
        opened(line).run(ask(b"\xc0R"))


def test_after_silence_upon_a_notification() -> None:
    line = Line(pack(1, 1, b"\x0fP"))
    with pytest.raises(PeerError) as raised:
        opened(line).run(ask(b"\xc0R"))
    assert raised.value.code == "link-timeout"


@pytest.mark.parametrize(
    ("script", "code"),
    [
        pytest.param([DM], "link-refused", id="refused"),
        pytest.param([b""], "peer-closed", id="closed"),
        pytest.param([], "link-timeout", id="silent"),
    ],
)
def test_hdlc_does_not_open(script: list[bytes | BaseException | None], code: str) -> None:
    line = Line(*script)
    wire = line.wire(hdlc_link=True)
    with pytest.raises(PeerError) as raised:
        wire.open()
    assert raised.value.code == code
    wire.part(None, 3.0)
    assert line.closed


@pytest.mark.parametrize(
    "script", [[pack(1, 1, b"\x63\0")], [b""], [], [pack(1, 1, b"\xd8\1\1")], [b"rubbish."]],
    ids=["in-order", "closes", "silent", "refuses", "rubbish"],
)  # fmt: skip
def test_parting(script: list[bytes | BaseException | None]) -> None:
    line = Line(*script)
    wire = opened(line)
    wire.part(release(), 3.0)
    assert line.sent == [pack(1, 1, RLRQ)]
    assert line.closed
    assert line.now <= 3.0


def test_parting_by_hdlc() -> None:
    line = Line(UA, None, None, UA)
    wire = opened(line, hdlc_link=True)
    wire.part(None, 30.0)
    disc = hdlc.frame(Stations(1, 1).server_octets(), Stations(1, 1).client_octets(), hdlc.DISC | hdlc.POLL)
    assert line.sent[1:] == [disc] * 3  # said again for as long as nobody answers
    assert line.closed


def test_parting_interrupted_closes_the_socket_all_the_same() -> None:
    line = Line(KeyboardInterrupt())
    wire = opened(line)
    with pytest.raises(KeyboardInterrupt):
        wire.part(release(), 3.0)
    assert line.closed


def test_parting_from_a_meter_that_is_gone() -> None:
    line = Line(b"")
    wire = opened(line)
    wire.run(ask(b"\xc0R"))
    wire.part(release(), 3.0)
    assert line.sent == [pack(1, 1, b"\xc0R")]
    assert line.closed


def test_udp() -> None:
    target = Target("127.0.0.1", 4059, datagram=True)
    line = Line(b"", pack(1, 1, b"\xc4A"), ConnectionRefusedError())
    wire = line.wire(target=target)
    wire.open()
    assert wire.run(ask(b"\xc0R")) == [b"\xc4A"]  # an empty datagram ends nothing
    with pytest.raises(CommandError, match="refuses the connection") as raised:
        wire.run(ask(b"\xc0R"))
    assert raised.value.exit_code == CANNOT_CONNECT


@pytest.mark.parametrize(
    ("error", "says", "mend"),
    [
        pytest.param(socket.gaierror(-2, "x"), "the name 127.0.0.1 is not known", "spelling", id="name"),
        pytest.param(TimeoutError(), "nothing answered at 127.0.0.1:4059 (TCP)", "coverage", id="timeout"),
        pytest.param(ConnectionRefusedError(111, "x"), "refuses the connection", "4059", id="refused"),
        pytest.param(OSError(101, "Network is unreachable"), "network is unreachable", "routes", id="network"),
    ],
)
def test_not_there(error: OSError, says: str, mend: str) -> None:
    found = not_there(TARGET, error)
    assert says in str(found)
    assert mend in found.mend
    assert found.exit_code == CANNOT_CONNECT


def test_trace() -> None:
    lines: list[str] = []
    line = Line(pack(1, 1, b"\xc4A"))
    wire = line.wire(trace=Trace(lines.append, hdlc=False))
    wire.open()
    wire.run(ask(b"\xc0R"))
    assert lines == ["> 00 01 00 01 00 01 00 02 C0 52", "< 00 01 00 01 00 01 00 02 C4 41"]
