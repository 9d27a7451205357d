"""A conversation on the HDLC link, frame by frame: windows, repetitions, meters that need time, what is not meant."""

from __future__ import annotations

import pytest

from connectors.protocols.dlms.errors import PeerError
from connectors.protocols.dlms.framing import hdlc
from connectors.protocols.dlms.framing.hdlc import DISC, DM, POLL, UA, UI
from connectors.protocols.dlms.hdlc_link import HdlcLink, State
from connectors.protocols.dlms.hdlc_parameters import Parameters, Stations
from tests.unit.connectors.protocols.dlms.gurux_meter import code_of
from tests.unit.connectors.protocols.dlms.hdlc_octets import (
    CLIENT,
    SERVER,
    STATIONS,
    TIMING,
    controls,
    deadline_of,
    frames_of,
    from_meter,
    i_frame,
    opened,
    rr,
    state_of,
    trickled,
)

LARGE = Parameters(200, 300, 3, 5)


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


def test_a_meter_that_shortens_its_address() -> None:
    """gurux' server in C (recorded octets): asked at 00 03 it answers as 03."""
    link = HdlcLink(Stations(16, 1, server_size=2), timing=TIMING)
    assert link.open(0.0) == bytes.fromhex("7E A0 08 00 03 21 93 F0 5E 7E")
    link.receive(bytes.fromhex("7EA01E210373C37A8180120501800601800704000000010804000000 01533B7E"), 0.1)
    assert state_of(link) is State.READY


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


def test_a_frame_out_of_place_that_nobody_asked_for_is_passed_over() -> None:
    link = opened(Parameters(128, 128, 1, 3))
    assert link.receive(i_frame(1, 0, b"\xc4\x01"), 0.0) == ((), b"")
    assert (state_of(link), deadline_of(link)) == (State.READY, None)
