"""The C12.18 link: a conversation packet by packet; what is lost, altered or late; what services settle."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from connectors.protocols.c12.errors import C12Error, FramingError, PeerError
from connectors.protocols.c12.psem_link import PsemLink, State
from connectors.protocols.c12.psem_timing import DEFAULTS, TIMING_C1221, Agreed
from connectors.protocols.c12.requests import Identify, Negotiate, Terminate, Timings
from connectors.protocols.c12.responses import Done, Identified, Negotiated, Refused
from connectors.protocols.c12.services import encode_request, encode_response
from tests.unit.connectors.protocols.c12.psem_links import (
    ANSWER,
    ANSWER_PACKET,
    LONG,
    PARTS,
    READ,
    READ_PACKET,
    TIMING,
    broken,
    opened,
    receiving,
    sending,
    state_of,
    waiting,
)
from tests.unit.connectors.protocols.c12.psem_octets import ACK, NAK, altered, packet


def test_one_service_and_its_answer() -> None:
    link = opened()
    assert link.send(READ, 0.0) == READ_PACKET
    assert link.receive(ACK, 0.1) == ((), b"")
    assert link.receive(ANSWER_PACKET, 0.2) == ((ANSWER,), ACK)
    assert link.deadline is None


def test_the_toggle_turns_with_every_new_packet() -> None:
    link = opened(agreed=Agreed(packet_size=20, packets=4))
    controls = []
    for service in (b"1", b"2", b"x" * 30, b"3"):
        out = link.send(service, 0.0)
        while state_of(link) is State.SENDING:
            controls.append(out[2])
            out = link.receive(ACK, 0.0).replies
        link.receive(packet(b"\0" + service, 0x20 * (len(controls) & 1)), 0.0)
    assert [f"{control:02X}" for control in controls] == ["00", "20", "C0", "A0", "80", "20"]


def test_a_long_service_goes_packet_by_packet_each_after_an_ack() -> None:
    link = opened(agreed=Agreed(packet_size=108, packets=2))
    assert link.send(LONG, 0.0) == packet(LONG[:100], 0xC0, 1)
    assert link.receive(ACK, 0.1).replies == packet(LONG[100:], 0xA0, 0)
    assert link.receive(NAK, 0.2).replies == packet(LONG[100:], 0xA0, 0)
    assert link.receive(ACK, 0.3).replies == b""
    assert link.state is State.WAITING


def test_a_long_answer_is_acknowledged_packet_by_packet() -> None:
    link = waiting()
    assert link.receive(PARTS[0], 0.1) == ((), ACK)
    assert link.receive(PARTS[1], 0.2) == ((LONG,), ACK)


def test_an_answer_in_one_piece_with_its_acks() -> None:
    link = sending()
    assert link.receive(ACK + PARTS[0] + PARTS[1], 0.1) == ((LONG,), ACK + ACK)


# -- what a line does to packets

TROUBLE: list[tuple[str, Callable[[], PsemLink], list[tuple[bytes, bytes]]]] = [
    ("a NAK repeats the packet", sending, [(NAK, READ_PACKET), (ACK + ANSWER_PACKET, ACK)]),
    ("a lost ACK: the answer is one", sending, [(ANSWER_PACKET, ACK)]),
    ("the answer twice: its ACK was lost", waiting, [(ANSWER_PACKET, ACK), (ANSWER_PACKET, ACK)]),
    ("the answer altered, then right", waiting, [(altered(ANSWER_PACKET), NAK), (ANSWER_PACKET, ACK)]),
    ("the answer altered, and right at once", waiting, [(altered(ANSWER_PACKET) + ANSWER_PACKET, ACK)]),
    ("garbage that looks like a packet", waiting, [(bytes.fromhex("EE0000000000FFFF"), NAK), (ANSWER_PACKET, ACK)]),
    ("noise", waiting, [(b"\0\1\xff", b""), (ANSWER_PACKET, ACK)]),
    ("a part twice", waiting, [(PARTS[0], ACK), (PARTS[0], ACK), (PARTS[1], ACK)]),
    ("a part altered, then right", receiving, [(altered(PARTS[1]), NAK), (PARTS[1], ACK)]),
    ("stray ACKs and NAKs", waiting, [(ACK + NAK + ACK, b""), (ANSWER_PACKET, ACK)]),
    ("octet by octet", waiting, [*[(bytes((o,)), b"") for o in ANSWER_PACKET[:-1]], (ANSWER_PACKET[-1:], ACK)]),
    ("an empty packet says nothing", waiting, [(packet(b""), ACK), (ANSWER_PACKET, ACK)]),
    ("the sender begins anew", receiving, [(PARTS[0][:3] + PARTS[0][3:], ACK), (ANSWER_PACKET, ACK)]),
]


@pytest.mark.parametrize(("begin", "exchange"), [row[1:] for row in TROUBLE], ids=[row[0] for row in TROUBLE])
def test_trouble(begin: Callable[[], PsemLink], exchange: list[tuple[bytes, bytes]]) -> None:
    link = begin()
    services: list[bytes] = []
    for came, reply in exchange:
        received = link.receive(came, 0.1)
        services += received.apdus
        assert received.replies == reply
    assert len(services) == 1
    assert link.state is State.IDLE
    assert link.deadline is None


def test_silence_after_a_packet_repeats_it_as_often_as_the_standard_says() -> None:
    link = sending()
    times = []
    for _ in range(3):
        times.append(link.deadline)
        assert link.tick(link.deadline or 0.0) == READ_PACKET
    times.append(link.deadline)
    with pytest.raises(PeerError) as raised:
        link.tick(8.0)
    assert (raised.value.code, raised.value.retry) == ("link-timeout", True)
    assert times == [2, 4, 6, 8]
    assert link.repeated == 3


def test_naks_without_end_are_an_end() -> None:
    link = sending()
    for _ in range(3):
        assert link.receive(NAK, 0.1).replies == READ_PACKET
    with pytest.raises(PeerError) as raised:
        link.receive(NAK, 0.1)
    assert raised.value.code == "link-timeout"


def test_no_answer_after_the_ack_is_not_asked_again() -> None:
    link = waiting()
    assert link.deadline == 6
    assert link.tick(5.9) == b""
    with pytest.raises(PeerError):
        link.tick(6.0)


def test_a_packet_that_stops_in_the_middle_is_refused_and_comes_again() -> None:
    link = waiting()
    assert link.receive(ANSWER_PACKET[:5], 1.0) == ((), b"")
    assert link.deadline == 1.5
    assert link.tick(1.5) == NAK
    assert link.receive(ANSWER_PACKET, 1.6) == ((ANSWER,), ACK)


def test_octets_that_trickle_hold_the_link_for_its_patience_only() -> None:
    link, now = waiting(), 0.0
    while now < TIMING.patience_s - 0.2:
        now += 0.1
        link.tick(now)
        link.receive(b"\x00", now)
    with pytest.raises(PeerError):
        link.tick(TIMING.patience_s)


def test_the_ack_of_a_long_packet_on_a_slow_line_may_take_longer() -> None:
    link = opened(timing=replace(TIMING, line_octets_s=10), agreed=Agreed(packet_size=200))
    link.send(bytes(92), 0.0)
    assert link.deadline == 2 + 100 / 10


@pytest.mark.parametrize(
    "came",
    [PARTS[1], packet(b"x", 0xC0, 2) + packet(b"y", 0x80, 0), packet(b"x", 0x00, 3), packet(b"x", 0x80, 5)],
    ids=["the second without the first", "one missing", "numbered, and single", "the middle first"],
)
def test_packets_out_of_order(came: bytes) -> None:
    link = waiting()
    with pytest.raises(FramingError) as raised:
        link.receive(came, 0.1)
    assert raised.value.code == "frame-segmentation"
    assert not link.opened
    assert link.deadline is None


def test_a_service_without_bounds_is_refused() -> None:
    link = PsemLink(TIMING, max_service=1000)
    link.open(0.0)
    link.send(READ, 0.0)
    link.receive(ACK, 0.0)
    for sequence in range(255, 245, -1):
        link.receive(packet(bytes(100), 0xC0 if sequence == 255 else 0x80, sequence), 0.0)
    with pytest.raises(FramingError) as raised:
        link.receive(packet(b"\0", 0x80, 245), 0.0)
    assert raised.value.code == "frame-oversized"


def test_what_came_whole_before_an_error_is_given_out_first() -> None:
    link = opened(asks=False)
    received = link.receive(READ_PACKET + packet(b"x", 0xA0, 0), 0.0)
    assert received.apdus == (READ,)
    assert link.deadline == float("-inf")
    with pytest.raises(FramingError):
        link.tick(0.0)


def test_a_request_longer_than_what_was_granted_leaves_the_link_as_it_was() -> None:
    link = opened()
    with pytest.raises(FramingError) as raised:
        link.send(bytes(57), 0.0)
    assert raised.value.code == "psem-packets"
    assert link.send(READ, 0.0) == READ_PACKET


# -- the end that is asked


def answered(link: PsemLink) -> None:
    assert link.receive(READ_PACKET, 0.0) == ((READ,), ACK)
    assert link.send(ANSWER, 0.0) == ANSWER_PACKET


def test_a_request_that_comes_twice_is_answered_once() -> None:
    link = opened(asks=False)
    answered(link)
    assert link.receive(READ_PACKET, 0.1) == ((), ACK)
    assert link.receive(ACK, 0.2) == ((), b"")


def test_the_same_request_after_its_answer_was_acknowledged_is_a_new_one() -> None:
    # A client that never turns the toggle, or that begins anew with the same identify
    link = opened(asks=False)
    answered(link)
    link.receive(ACK, 0.1)
    assert link.receive(READ_PACKET, 0.2) == ((READ,), ACK)


def test_an_answer_that_nobody_acknowledges_is_repeated_until_the_next_request() -> None:
    link = opened(asks=False)
    answered(link)
    assert link.tick(2.0) == ANSWER_PACKET
    assert link.receive(packet(b"\x21", 0x20), 2.1) == ((b"\x21",), ACK)


def test_the_end_that_is_asked_waits_without_end() -> None:
    link = opened(asks=False)
    answered(link)
    link.receive(ACK, 0.1)
    assert link.deadline is None


# -- what services settle

GRANTED = encode_response(Negotiated(1024, 4, 9600))


@pytest.mark.parametrize(
    ("request_", "response", "agreed"),
    [
        (encode_request(Negotiate(1024, 8)), GRANTED, Agreed(1024, 4, 9600)),
        (encode_request(Negotiate(512, 2)), GRANTED, Agreed(512, 2, 9600)),
        (encode_request(Negotiate(512, 2)), encode_response(Negotiated(64, 0)), Agreed(64, 1)),
        (encode_request(Negotiate(512, 2)), encode_response(Refused(2)), Agreed(99, 9)),
        (encode_request(Negotiate(512, 2)), b"\0\1", Agreed(99, 9)),
        (encode_request(Identify()), encode_response(Identified(0, 2, 0)), DEFAULTS),
        (encode_request(Identify()), encode_response(Refused(6)), Agreed(99, 9)),
        (encode_request(Terminate()), encode_response(Done()), DEFAULTS),
        (READ, ANSWER, Agreed(99, 9)),
        (encode_request(Timings(10, 2, 3, 4)), encode_response(Timings(60, 2, 5, 1)),
         Agreed(99, 9, timing=replace(TIMING_C1221, traffic_s=60.0, octet_s=2.0, answer_s=5.0, retries=1))),
    ],
    ids=["granted", "never more than asked for", "no packets is one", "refused", "unreadable", "identify",
         "identify refused", "terminate", "a read", "timings"],
)  # fmt: skip
def test_what_holds_after_a_service(request_: bytes, response: bytes, agreed: Agreed) -> None:
    link = opened(agreed=Agreed(99, 9))
    link.send(request_, 0.0)
    link.receive(ACK + packet(response), 0.0)
    assert link.agreed == agreed


def test_packets_that_cannot_carry_anything_are_refused() -> None:
    link = opened()
    link.send(encode_request(Negotiate(512, 2)), 0.0)
    assert len(link.receive(ACK + packet(encode_response(Negotiated(8, 1))), 0.0).apdus) == 1
    with pytest.raises(C12Error) as raised:
        link.send(READ, 0.0)
    assert raised.value.code == "psem-malformed"


def test_opening_again_forgets_everything() -> None:
    link = broken()
    link.open(5.0)
    assert link.agreed == DEFAULTS
    assert link.send(READ, 5.0) == READ_PACKET
