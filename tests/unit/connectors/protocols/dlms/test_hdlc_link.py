"""The HDLC link: gurux' server and client octets, a station by the standard on a lossy line, every state and event."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import pytest
from gurux_dlms import GXDLMSClient, GXHdlcSettings
from gurux_dlms.enums import Authentication, DataType, InterfaceType
from gurux_dlms.objects import GXDLMSData
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.protocols.dlms.association import Association, associate
from connectors.protocols.dlms.axdr import encode
from connectors.protocols.dlms.client_apdus import Session
from connectors.protocols.dlms.errors import CODES, DlmsError, PeerError
from connectors.protocols.dlms.framing import hdlc
from connectors.protocols.dlms.framing.hdlc import DISC, DM, POLL, SNRM, UA, UI, Frame
from connectors.protocols.dlms.get import Attribute, get
from connectors.protocols.dlms.hdlc_frames import Frames
from connectors.protocols.dlms.hdlc_link import TRANSITIONS, Event, HdlcLink, State
from connectors.protocols.dlms.hdlc_parameters import Parameters, Stations
from connectors.protocols.dlms.link import Link, Timing, WrapperLink
from tests.unit.connectors.protocols.dlms.gurux_meter import GuruxMeter, T, _Reply, code_of, data

STATIONS = Stations(16, 1)
CLIENT, SERVER = STATIONS.client_octets(), STATIONS.server_octets()
TIMING = Timing(answer_s=5, octet_s=1, poll_s=0.5, patience_s=60, retries=3)
LARGE = Parameters(200, 300, 3, 5)


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


# gurux: its client's octets, and its server


def gurux_client(**limits: int) -> GXDLMSClient:
    client = GXDLMSClient(True, 16, 1, Authentication.NONE, None, InterfaceType.HDLC)
    for name, value in limits.items():
        setattr(client.hdlcSettings, name, value)
    return client


@pytest.mark.parametrize(
    ("limits", "parameters"),
    [
        pytest.param({}, Parameters(), id="defaults"),
        pytest.param(
            {"maxInfoTX": 200, "maxInfoRX": 1000, "windowSizeTX": 3, "windowSizeRX": 7},
            Parameters(200, 1000, 3, 7),
            id="all",
        ),
    ],
)
def test_snrm_is_gurux_clients(limits: dict[str, int], parameters: Parameters) -> None:
    assert HdlcLink(STATIONS, parameters).open(0.0) == bytes(gurux_client(**limits).snrmRequest())


@pytest.mark.parametrize(
    ("stations", "server", "size"),
    [
        pytest.param(Stations(16, 1), 1, 1, id="one"),
        pytest.param(Stations(1, 1, 17), 1 << 7 | 17, 2, id="two"),
        pytest.param(Stations(1, 1, 0x1234), 1 << 14 | 0x1234, 4, id="four"),
        pytest.param(Stations(1, 1, 17, server_size=4), 1 << 14 | 17, 4, id="four-though-two-would-do"),
    ],
)
def test_addresses_are_gurux_clients(stations: Stations, server: int, size: int) -> None:
    client = GXDLMSClient(True, stations.client, server, Authentication.NONE, None, InterfaceType.HDLC)
    client.serverAddressSize = size
    assert HdlcLink(stations).open(0.0) == bytes(client.snrmRequest())


@pytest.mark.parametrize("stations", [Stations(16, 0x80), Stations(16, 1, 0x4000), Stations(16, 1, 17, server_size=1)])
def test_addresses_that_do_not_fit(stations: Stations) -> None:
    assert code_of(lambda: HdlcLink(stations)) == "frame-malformed"


def test_first_segment_of_a_request_is_gurux_clients() -> None:
    item = GXDLMSData("0.0.96.1.0.255")
    item.value = bytes(range(250))
    item.setDataType(2, DataType.OCTET_STRING)
    client = gurux_client()
    theirs = bytes(client.write(item, 2)[0])
    apdu = bytes.fromhex("C101C100010000600100FF0200") + encode(item.value)
    ours = opened().send(apdu, 0.0)
    # gurux counts the LLC octets beyond the 128 of the first segment, the standard within
    first = frames_of(ours)[0]
    assert (first.control, first.segmented) == (frames_of(theirs)[0].control, frames_of(theirs)[0].segmented)
    assert frames_of(theirs)[0].information.startswith(first.information[:120])
    assert len(first.information) == 128


class HdlcMeter(GuruxMeter):
    """Gurux' server on HDLC, its parameters put right: it writes their length where a value belongs."""

    def __init__(self, limits: Parameters, objects: Iterable[Any]) -> None:
        super().__init__(objects)
        self.settings.interfaceType = InterfaceType.HDLC
        self.hdlc = GXHdlcSettings()
        self.hdlc.maxInfoTX, self.hdlc.maxInfoRX = limits.max_transmit, limits.max_receive
        self.hdlc.windowSizeTX, self.hdlc.windowSizeRX = limits.window_transmit, limits.window_receive
        self.hdlc.maximumInfoLengthTransmit, self.hdlc.maximumInfoLengthReceive = limits.max_transmit, limits.max_receive
        self.hdlc.windowSizeReceive = self.hdlc.windowSizeTransmit = 1
        self.hdlc.inactivityTimeout = 0
        self.settings.hdlc.update = lambda _: None

    def handleSnrmRequest(self, data: Any) -> None:  # noqa: N802 — gurux' name
        super().handleSnrmRequest(data)
        size = len(self.replyData) - 3
        self.replyData.setUInt8(0, size)
        self.replyData.setUInt8(size, 2)

    def octets(self, request: bytes) -> bytes:
        """One frame and its answer."""
        reply = _Reply(request)
        self.handleRequest(reply)
        return bytes(reply.reply) if reply.reply else b""


def run(session: Session[T], link: Link, octets: Callable[[bytes], bytes]) -> T:
    """A session over a link to something that answers octets with octets at once."""
    try:
        apdu = next(session)
        while True:
            out = link.send(apdu, 0.0)
            found: tuple[bytes, ...] = ()
            while out:
                found_now, out = link.receive(octets(out), 0.0)
                found += found_now
            apdu = session.send(found[0])
    except StopIteration as ended:
        result: T = ended.value
        return result


@pytest.mark.parametrize("size", [40, 128, 300])
def test_gurux_server(size: int) -> None:
    value = bytes(i % 251 for i in range(3000))
    meter = HdlcMeter(Parameters(size, size, 1, 1), [data("0.0.96.1.0.255", value, DataType.OCTET_STRING)])
    link = HdlcLink(STATIONS, Parameters(300, 300, 7, 7), TIMING)
    assert link.receive(meter.octets(link.open(0.0)), 0.0) == ((), b"")
    assert link.agreed == Parameters(size, size, 1, 1)
    peer = run(associate(Association()), link, meter.octets)
    for _ in range(3):
        assert run(get(peer, Attribute(1, "0.0.96.1.0.255", 2)), link, meter.octets) == encode(value)
    link.receive(meter.octets(link.close(0.0)), 0.0)
    assert link.state is State.CLOSED


# parameters


@pytest.mark.parametrize(
    ("information", "agreed"),
    [
        pytest.param("", Parameters(), id="none"),
        pytest.param("81 80 00", Parameters(), id="empty"),
        pytest.param("81 80 06 05 01 C8 06 01 64", Parameters(100, 200, 1, 1), id="sizes-one-octet"),
        pytest.param(
            "81 80 14 05 02 07 D0 06 02 07 D0 07 04 00 00 00 07 08 04 00 00 00 07", Parameters(200, 300, 3, 5), id="larger"
        ),
        pytest.param("81 80 03 05 01 08 ", Parameters(128, 8, 1, 1), id="smallest"),
        pytest.param("81 80 03 63 01 01", Parameters(), id="unknown-passed-over"),
    ],
)
def test_agreed(information: str, agreed: Parameters) -> None:
    assert LARGE.agreed(bytes.fromhex(information)) == agreed


@pytest.mark.parametrize(
    "information",
    ["81", "82 80 00", "81 80 02 05", "81 80 02 05 00", "81 80 03 05 02 01", "81 80 03 07 01 00", "81 80 03 05 01 07",
     "81 80 08 05 06 00 00 00 00 00 01", "81 80 05 05 01 80"],
)  # fmt: skip
def test_parameters_that_cannot_be(information: str) -> None:
    link = HdlcLink(STATIONS, LARGE)
    link.open(0.0)
    assert code_of(lambda: link.receive(from_meter(UA | POLL, bytes.fromhex(information)), 0.0)) == "frame-malformed"


def trickled(link: Link, octets: bytes) -> float:
    """Octets one by one, less than the pause that ends a frame between them: when the link gave up."""
    for n, octet in enumerate(octets, 1):
        try:
            link.receive(bytes((octet,)), n * 0.9)
            link.tick(n * 0.9)
        except PeerError as error:
            assert error.code == "link-timeout"  # noqa: PT017 — when it comes is what is asked
            return n * 0.9
    raise AssertionError("it never gave up")


# a conversation, frame by frame


def test_windows_both_ways() -> None:
    link = opened(Parameters(8, 8, 3, 5))
    sent = link.send(bytes(range(40)), 0.0)  # 43 octets with LLC: six segments
    assert controls(sent) == [0x00, 0x02, 0x14]
    received = link.receive(rr(3), 1.0)
    assert controls(received.replies) == [0x06, 0x08, 0x1A]
    assert [f.segmented for f in frames_of(sent + received.replies)] == [True] * 5 + [False]
    assert b"".join(f.information for f in frames_of(sent + received.replies)) == hdlc.LLC_TO_SERVER + bytes(range(40))
    first = i_frame(0, 6, b"abcde", final=False, segmented=True) + i_frame(1, 6, b"fgh", llc=False, segmented=True)
    received = link.receive(first, 2.0)
    assert (received.apdus, controls(received.replies)) == ((), [2 << 5 | 0x11])
    assert link.receive(i_frame(2, 6, b"ij", llc=False), 3.0) == ((b"abcdefghij",), b"")
    assert (link.state, link.deadline) == (State.READY, None)
    assert controls(link.send(b"x", 4.0)) == [3 << 5 | POLL | 6 << 1]


def test_a_lost_frame_of_the_request_is_sent_again() -> None:
    link = opened(Parameters(8, 8, 3, 3))
    link.send(bytes(16), 0.0)  # segments 0, 1, 2
    assert controls(link.receive(rr(1), 1.0).replies) == [0x02, 0x14]
    assert controls(link.receive(rr(2, 0x09), 1.0).replies) == [0x14]  # REJ
    assert link.receive(rr(3), 1.0).replies == b""
    assert controls(link.tick(1.5)) == [0x11]


def test_a_lost_frame_of_the_answer_is_asked_for() -> None:
    link = opened(Parameters(8, 8, 1, 3))
    link.send(b"x", 0.0)
    answer = i_frame(0, 1, b"abcde", final=False, segmented=True) + i_frame(2, 1, b"klm", llc=False)
    received = link.receive(answer, 1.0)
    assert (received.apdus, controls(received.replies)) == ((), [1 << 5 | 0x11])
    again = i_frame(1, 1, b"fghij", final=False, segmented=True, llc=False) + i_frame(2, 1, b"klm", llc=False)
    assert link.receive(again, 2.0) == ((b"abcdefghijklm",), b"")


def test_silence_brings_the_frame_again_and_then_the_end() -> None:
    link = opened()
    sent = link.send(b"x", 0.0)
    for attempt in range(1, TIMING.retries + 1):
        assert link.tick(5.0 * attempt - 0.1) == b""
        assert link.tick(5.0 * attempt) == sent
    assert code_of(lambda: link.tick(20.0)) == "link-timeout"
    assert link.state is State.BROKEN
    assert controls(link.close(21.0)) == [DISC | POLL]
    for attempt in range(1, TIMING.retries + 1):
        assert controls(link.tick(21.0 + 5 * attempt)) == [DISC | POLL]
    assert link.tick(100.0) == b""
    assert state_of(link) is State.CLOSED


def test_a_meter_that_needs_time() -> None:
    link = opened()
    link.send(b"x", 0.0)
    for n in range(100):
        assert link.receive(rr(1), n * 0.5) == ((), b"")
        assert controls(link.tick(n * 0.5 + 0.5)) == [0x11]
    assert link.receive(i_frame(0, 1, b"late"), 50.2).apdus == (b"late",)
    assert link.state is State.READY


def test_a_meter_that_needs_too_much_time() -> None:
    link = opened()
    link.send(b"x", 0.0)
    link.receive(rr(1), 1.0)
    with pytest.raises(PeerError, match="nothing to say for 60 s"):
        link.receive(rr(1), 61.0)
    assert link.state is State.BROKEN


def test_a_busy_meter_gets_nothing_until_it_is_ready() -> None:
    link = opened(Parameters(8, 8, 1, 1))
    link.send(bytes(8), 0.0)
    assert link.receive(rr(1, 0x05), 1.0).replies == b""  # RNR: took the first
    assert controls(link.tick(1.5)) == [0x11]
    assert controls(link.receive(rr(1), 2.0).replies) == [0x12]


def test_repeated_and_stale_frames_are_passed_over() -> None:
    link = opened()
    link.send(b"x", 0.0)
    answer = i_frame(0, 1, b"abc")
    assert link.receive(answer + answer, 1.0) == ((b"abc",), b"")
    assert link.receive(answer, 2.0) == ((), b"")
    link.send(b"y", 3.0)
    assert link.receive(answer + rr(0) + from_meter(UA | POLL), 4.0) == ((), b"")
    assert link.receive(i_frame(1, 2, b"def"), 5.0).apdus == (b"def",)


def test_an_acknowledgement_that_was_overtaken_is_not_taken_for_another() -> None:
    """Modulo 8, N(R) 4 after N(R) 6 would acknowledge the six frames that went out in between."""
    link = opened(Parameters(8, 8, 6, 1))
    link.send(bytes(101), 0.0)  # thirteen segments
    assert controls(link.receive(rr(6) + rr(4), 1.0).replies) == [0x0C, 0x0E, 0x00, 0x02, 0x04, 0x16]


def test_the_turn_is_taken_where_the_final_bit_was_lost() -> None:
    link = opened()
    link.send(b"x", 0.0)
    assert link.receive(i_frame(0, 1, b"abc", final=False), 1.0).apdus == (b"abc",)
    assert link.send(b"y", 2.0) == b""  # waits for the turn
    assert controls(link.tick(7.0)) == [1 << 5 | POLL | 1 << 1]


def test_a_notification_and_a_poll_for_more() -> None:
    link = opened()
    assert link.receive(from_meter(UI, hdlc.LLC_FROM_SERVER + b"\xc2event"), 0.0).apdus == (b"\xc2event",)
    assert controls(link.send(b"", 1.0)) == [0x11]
    assert link.receive(i_frame(0, 0, b"more"), 2.0) == ((b"more",), b"")


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(hdlc.frame(hdlc.address(17, 1), SERVER, 0x30, b"x"), id="another-client"),
        pytest.param(hdlc.frame(CLIENT, hdlc.address(2, 1), 0x30, b"x"), id="another-server"),
        pytest.param(hdlc.frame(SERVER, CLIENT, 0x10, b"x"), id="echo"),
        pytest.param(i_frame(0, 1, b"x")[:-4] + b"\0\0\0\x7e", id="checksum"),
        pytest.param(b"\x7e\xa7\xff garbage", id="garbage"),
    ],
)
def test_frames_that_are_not_meant(other: bytes) -> None:
    link = opened()
    link.send(b"x", 0.0)
    found = link.receive(other, 1.0).apdus + link.receive(i_frame(0, 1, b"abc"), 4.0).apdus
    assert found == (b"abc",)


def test_octets_one_by_one() -> None:
    link = opened()
    link.send(b"x", 0.0)
    found: tuple[bytes, ...] = ()
    for n, octet in enumerate(i_frame(0, 1, b"abc")):
        found += link.receive(bytes((octet,)), n * 0.9).apdus  # more than the answer may take, less than an octet may
        if not found:
            assert link.tick(n * 0.9) == b""
    assert found == (b"abc",)


def test_octets_that_trickle_for_ever_are_given_up() -> None:
    link = opened()
    link.send(b"x", 0.0)
    assert trickled(link, b"\x7e\xa7\xff" + b"\xa5" * 2000) < 300


def test_whichever_meter_is_there() -> None:
    link = HdlcLink(Stations(16, 1, 127), None, TIMING)
    link.open(0.0)
    me = hdlc.address(1 << 7 | 42, 2)
    link.receive(hdlc.frame(CLIENT, me, UA | POLL), 0.0)
    assert frames_of(link.send(b"x", 0.0))[0].destination == me


@pytest.mark.parametrize(
    ("octets", "code", "state"),
    [
        pytest.param(from_meter(DM | POLL), "link-refused", State.CLOSED, id="DM"),
        pytest.param(from_meter(0x87 | POLL, b"\x10\x00\x01"), "link-refused", State.BROKEN, id="FRMR"),
        pytest.param(
            b"".join(i_frame(n & 7, 1, bytes(64), final=False, segmented=True) for n in range(1100)),
            "frame-oversized",
            State.BROKEN,
            id="endless-segments",
        ),
    ],
)
def test_the_meter_ends_it(octets: bytes, code: str, state: State) -> None:
    link = opened(Parameters(128, 128, 1, 7))
    link.send(b"x", 0.0)
    assert code_of(lambda: link.receive(octets, 1.0)) == code
    assert (link.state, link.deadline) == (state, None)


def test_what_came_whole_before_the_end_is_given_out() -> None:
    link = opened()
    link.send(b"x", 0.0)
    assert link.receive(i_frame(0, 1, b"abc") + from_meter(DM | POLL), 1.0).apdus == (b"abc",)
    assert link.deadline == float("-inf")
    assert code_of(lambda: link.tick(1.0)) == "link-refused"


# the table

FROM_METER = {
    Event.I: i_frame(0, 0, b"unasked", final=False),
    Event.RR: rr(0, final=False),
    Event.RNR: rr(0, 0x05, final=False),
    Event.REJ: rr(0, 0x09, final=False),
    Event.UA: from_meter(UA | POLL),
    Event.DM: from_meter(DM | POLL),
    Event.FRMR: from_meter(0x87 | POLL),
}
CALLS: dict[Event, Callable[[HdlcLink], object]] = {
    Event.OPEN: lambda link: link.open(1.0),
    Event.SEND: lambda link: link.send(b"x", 1.0),
    Event.CLOSE: lambda link: link.close(1.0),
}


def in_state(state: State) -> HdlcLink:
    link = HdlcLink(STATIONS, None, TIMING)
    if state is State.CLOSED:
        return link
    link.open(0.0)
    if state is State.OPENING:
        return link
    link.receive(FROM_METER[Event.UA], 0.0)
    if state is State.WAITING:
        link.send(b"x", 0.0)
    elif state is State.CLOSING:
        link.close(0.0)
    elif state is State.BROKEN:
        assert code_of(lambda: link.receive(FROM_METER[Event.FRMR], 0.0)) == "link-refused"
    assert link.state is state
    return link


@pytest.mark.parametrize("event", [*FROM_METER, *CALLS], ids=lambda event: event.value)
@pytest.mark.parametrize("state", State, ids=lambda state: state.value)
def test_every_event_in_every_state(state: State, event: Event) -> None:
    link = in_state(state)
    expected = TRANSITIONS[state].get(event)
    if event in CALLS:
        raised = code_of(lambda: CALLS[event](link))
        assert raised == (None if expected else "link-state")
    else:
        raised = code_of(lambda: link.receive(FROM_METER[event], 1.0))
        assert raised in ((None,) if expected is None or state is State.CLOSING else (None, "link-refused"))
    assert link.state is (expected or state)


def test_the_table_leads_out_of_every_state() -> None:
    for state in State:
        reached, fresh = {state}, [state]
        while fresh:
            fresh = [s for at in fresh for s in TRANSITIONS[at].values() if s not in reached]
            reached.update(fresh)
        assert {State.CLOSED, State.READY} <= reached


# a station by the standard, on a line that drops, doubles, swaps and alters frames


@dataclass
class Station:
    """A meter's end of the link (IEC 62056-46, secondary, normal response mode). It answers an APDU with its reverse."""

    limits: Parameters
    lazy: int = 0
    """How often it says "not yet" before it answers."""
    taken: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.frames = Frames(1.0)
        self.connected = False
        self.reset()

    def reset(self) -> None:
        self.vs = self.va = self.vr = 0
        self.out: list[tuple[bytes, bool]] = []  # from V(A) on
        self.parts: list[bytes] = []
        self.delay = 0

    def receive(self, octets: bytes, now: float) -> list[bytes]:
        return [answer for frame in self.frames.feed(octets, now) for answer in self.take(frame)]

    def take(self, frame: Frame) -> list[bytes]:
        control = frame.control & ~POLL
        if control == SNRM:
            self.connected = True
            self.reset()
            return [from_meter(UA | POLL, self.limits.encode())]
        if control == DISC:
            was, self.connected = self.connected, False
            return [from_meter((UA if was else DM) | POLL)]
        if not self.connected:
            return [from_meter(DM | POLL)]
        acknowledged = frame.control >> 5
        if (acknowledged - self.va & 7) <= (self.vs - self.va & 7):
            self.out = self.out[acknowledged - self.va & 7 :]
            self.va = acknowledged
        if frame.numbered and frame.send_sequence == self.vr:
            self.vr = self.vr + 1 & 7
            self.parts.append(frame.information)
            if not frame.segmented:
                self.answer(b"".join(self.parts))
        return self.respond() if frame.control & POLL else []

    def answer(self, data: bytes) -> None:
        self.parts = []
        self.taken.append(data[3:])
        reply = hdlc.LLC_FROM_SERVER + data[3:][::-1]
        size = self.limits.max_transmit
        self.out += [(reply[at : at + size], at + size < len(reply)) for at in range(0, len(reply), size)]
        self.delay = self.lazy

    def respond(self) -> list[bytes]:
        if self.delay:
            self.delay -= 1
            return [rr(self.vr)]
        self.vs = self.va
        frames = []
        window = self.out[: self.limits.window_transmit]
        for n, (part, segmented) in enumerate(window):
            control = self.vr << 5 | (POLL if n == len(window) - 1 else 0) | self.vs << 1
            frames.append(from_meter(control, part, segmented=segmented))
            self.vs = self.vs + 1 & 7
        return frames or [rr(self.vr)]


class Line:
    """What happens to each frame, in turn; once used up, nothing does."""

    def __init__(self, fates: Iterable[str]) -> None:
        self.fates = iter(fates)

    def carry(self, frames: list[bytes]) -> list[bytes]:
        out: list[bytes] = []
        for frame in frames:
            fate = next(self.fates, "-")
            if fate == "swap" and out:
                out.insert(len(out) - 1, frame)
            elif fate == "double":
                out += [frame, frame]
            elif fate == "alter":
                at = len(frame) // 2
                out.append(frame[:at] + bytes((frame[at] ^ 0x24,)) + frame[at + 1 :])
            elif fate == "cut":
                out.append(frame[: len(frame) // 2])
            elif fate == "noise":
                out += [b"\x7e\xa0\x30\x7e", frame]
            elif fate != "drop":
                out.append(frame)
        return out


def converse(link: HdlcLink, station: Station, line: Line, apdus: list[bytes], came: list[bytes]) -> None:
    """Send each APDU and wait for its answer, which `came` gets."""
    now, steps = 0.0, 0

    def until(done: Callable[[], bool], out: bytes) -> None:
        nonlocal now, steps
        while not done():
            steps += 1
            assert steps < 20_000, "no end"
            back = [a for f in line.carry([f.octets for f in frames_of(out)]) for a in station.receive(f, now)]
            now += 0.01
            answer = b"".join(line.carry(back))
            received = link.receive(answer, now)
            came.extend(received.apdus)
            out = received.replies
            if not out and not done():
                now = max(now, link.deadline if link.deadline is not None else now)
                out = link.tick(now)

    until(lambda: link.opened, link.open(now))
    for n, apdu in enumerate(apdus):
        until(lambda n=n: len(came) > n, link.send(apdu, now))  # type: ignore[misc]  # a lambda's default
    until(lambda: link.state is State.CLOSED, link.close(now))


def parameters() -> st.SearchStrategy[Parameters]:
    sizes = st.sampled_from([8, 20, 128])
    return st.builds(Parameters, sizes, sizes, st.integers(1, 7), st.integers(1, 7))


APDUS = [bytes(range(1, 90)), b"\xc0", b"\xc1" * 40, bytes(range(120, 250)), b"\xc3\x01"]


@settings(max_examples=50, deadline=None)
@given(parameters(), parameters(), st.integers(0, 3))
def test_a_good_line(ours: Parameters, theirs: Parameters, lazy: int) -> None:
    link, station = HdlcLink(STATIONS, ours, TIMING), Station(theirs, lazy)
    station.limits = Parameters(
        min(ours.max_receive, theirs.max_transmit), min(ours.max_transmit, theirs.max_receive),
        min(ours.window_receive, theirs.window_transmit), min(ours.window_transmit, theirs.window_receive),
    )  # fmt: skip
    came: list[bytes] = []
    converse(link, station, Line([]), APDUS, came)
    assert came == [apdu[::-1] for apdu in APDUS]
    assert station.taken == APDUS
    assert link._frames.refused == 0


@settings(max_examples=150, deadline=None)
@given(
    parameters(),
    st.integers(0, 2),
    st.lists(st.sampled_from(["-", "-", "-", "drop", "double", "swap", "alter", "cut", "noise"]), max_size=120),
)
def test_a_bad_line(limits: Parameters, lazy: int, fates: list[str]) -> None:
    """Each APDU arrives once, whole and in order, both ways; or there is an error of ours. It always ends."""
    link, station = HdlcLink(STATIONS, limits, TIMING), Station(mirrored(limits), lazy)
    came: list[bytes] = []
    try:
        converse(link, station, Line(fates), APDUS, came)
        assert len(came) == len(APDUS)
    except DlmsError as error:
        assert error.code in ("link-timeout", "link-refused")  # noqa: PT017 — both outcomes are right
    assert came == [apdu[::-1] for apdu in APDUS[: len(came)]]
    assert station.taken == APDUS[: len(station.taken)]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sampled_from(["-"] * 8 + ["drop", "double", "alter"]), max_size=200))
def test_a_line_that_is_mostly_good_loses_nothing(fates: list[str]) -> None:
    link = HdlcLink(STATIONS, Parameters(20, 20, 4, 4), Timing(5, 1, 0.5, 600, retries=40))
    station = Station(Parameters(20, 20, 4, 4))
    came: list[bytes] = []
    converse(link, station, Line(fates), APDUS, came)
    assert came == [apdu[::-1] for apdu in APDUS]
    assert station.taken == APDUS


@given(
    st.sampled_from([State.OPENING, State.READY, State.WAITING, State.CLOSING]), st.lists(st.binary(max_size=64), max_size=8)
)
def test_no_octets_raise_but_our_own(state: State, pieces: list[bytes]) -> None:
    link = in_state(state)
    for n, piece in enumerate(pieces):
        assert code_of(lambda piece=piece, n=n: link.receive(piece, n / 10)) in {None, *CODES}  # type: ignore[misc]  # a lambda's defaults
        assert len(link._frames._data) <= 4096


@given(
    st.lists(st.builds(from_meter, st.integers(0, 255), st.binary(max_size=12), segmented=st.booleans()), max_size=12).map(
        b"".join
    )
)
def test_no_frames_raise_but_our_own(octets: bytes) -> None:
    for state in (State.OPENING, State.READY, State.WAITING, State.CLOSING, State.BROKEN):
        link = in_state(state)
        assert code_of(lambda link=link: link.receive(octets, 1.0)) in {None, *CODES}  # type: ignore[misc]  # a lambda's default


# the wrapper, in the same shape


def test_wrapper_link() -> None:
    link: Link = WrapperLink(16, 1, TIMING)
    assert code_of(lambda: link.send(b"x", 0.0)) == "link-state"
    assert link.open(0.0) == b""
    assert link.opened
    assert link.send(b"abc", 0.0) == bytes.fromhex("0001 0010 0001 0003") + b"abc"
    assert deadline_of(link) == 5.0
    late = bytes.fromhex("0001 0001 0020 0001 FF")
    answer = bytes.fromhex("0001 0001 0010 0003") + b"def"
    assert link.receive(late + answer[:5], 4.5) == ((), b"")
    assert deadline_of(link) == 5.5
    assert link.receive(answer[5:], 5.0) == ((b"def",), b"")
    assert deadline_of(link) is None
    assert link.send(b"", 6.0) == b""
    assert code_of(lambda: link.tick(11.0)) == "link-timeout"
    assert link.close(12.0) == b""
    assert not link.opened


def test_wrapper_link_octets_that_trickle() -> None:
    link = WrapperLink(16, 1, TIMING)
    link.open(0.0)
    link.send(b"x", 0.0)
    assert trickled(link, bytes.fromhex("0001 0001 0010 FFFF") + bytes(2000)) < 62


def test_a_frame_out_of_place_that_nobody_asked_for_is_passed_over() -> None:
    link = opened(Parameters(128, 128, 1, 3))
    assert link.receive(i_frame(1, 0, b"\xc4\x01"), 0.0) == ((), b"")
    assert (state_of(link), deadline_of(link)) == (State.READY, None)
