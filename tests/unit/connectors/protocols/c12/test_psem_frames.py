"""Packets of C12.18 in a stream, whole, altered, cut and hidden."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.protocols.c12.errors import CODES, FramingError
from connectors.protocols.c12.psem_frames import MAX_PACKET, Bad, Frames, Item, Noise, Packet, Sign, crc16_x25, packets_of
from tests.unit.connectors.protocols.c12.psem_octets import ACK, NAK, altered, crc, packet

IDENTIFY = bytes.fromhex("EE 00 00 00 00 01 20 13 10")
"""As the standard prints it."""


def items(*pieces: bytes) -> list[Item]:
    frames = Frames(1.0)
    return [item for piece in pieces for item in frames.feed(piece, 0.0)] + frames.close()


def kinds(found: list[Item]) -> list[str]:
    """What was found: data of packets in hex, names of signs, codes of what is bad, how much noise."""
    names = []
    for item in found:
        match item:
            case Packet(data=data):
                names.append(data.hex())
            case Sign():
                names.append(item.name)
            case Bad(code=code):
                names.append(code)
            case Noise(octets=octets):
                names.append(f"noise {len(octets)}")
    return names


@pytest.mark.parametrize("data", [b"", b"123456789", bytes(300), bytes(range(256))], ids=len)
def test_crc(data: bytes) -> None:
    assert crc16_x25(data) == crc(data)


def test_crc_check_value() -> None:
    assert crc16_x25(b"123456789") == bytes.fromhex("6E 90")


def test_identify_is_the_standards() -> None:
    assert Packet(b"\x20").encode() == IDENTIFY == packet("20")


@pytest.mark.parametrize(
    ("octets", "expected"),
    [
        # What termineter 1.0.6 sent to, and took from, a meter
        ("ee0020000005610200020624dd", Packet(bytes.fromhex("6102000206"), toggle=True)),
        ("ee000000000d5000017573657220202020202016c4", Packet(bytes.fromhex("50000175736572202020202020"))),
        ("ee00200000083f0005000002000431c7", Packet(bytes.fromhex("3f00050000020004"), toggle=True)),
        ("ee0000000003300003472e", Packet(bytes.fromhex("300003"))),
    ],
    ids=["negotiate", "logon", "read by offset", "read"],
)
def test_packets_of_termineter(octets: str, expected: Packet) -> None:
    assert items(bytes.fromhex(octets)) == [expected]
    assert expected.encode() == bytes.fromhex(octets)


@pytest.mark.parametrize("data", ["20", "300003", "500001" + "41" * 10, "40000700020102fd", "00" * 500, "ee" * 300], ids=len)
@pytest.mark.parametrize("toggle", [False, True], ids=["", "toggled"])
def test_termineter_reads_our_packets(data: str, toggle: bool) -> None:
    library = pytest.importorskip("c1218.data", reason="termineter (PyPI, BSD) is not installed")
    octets = Packet(bytes.fromhex(data), toggle).encode()
    read = library.C1218Packet.from_bytes(octets)  # which looks at the CRC
    assert read.data == bytes.fromhex(data)
    assert read.build() == octets


@pytest.mark.parametrize(
    ("control", "sequence", "expected"),
    [
        (0xC0, 2, Packet(b"x", sequence=2, multi=True, first=True)),
        (0xE0, 1, Packet(b"x", toggle=True, sequence=1, multi=True, first=True)),
        (0x80, 0, Packet(b"x", multi=True)),
        (0xA0, 0, Packet(b"x", toggle=True, multi=True)),
        (0x21, 0, Packet(b"x", toggle=True, data_format=1)),
    ],
    ids=["first of three", "first of two, toggled", "last", "last, toggled", "C12.22 data"],
)
def test_control(control: int, sequence: int, expected: Packet) -> None:
    octets = packet(b"x", control, sequence)
    assert items(octets) == [expected]
    assert expected.encode() == octets


LONG = packet(bytes(5000))

STREAMS: list[tuple[str, tuple[bytes, ...], list[str]]] = [
    ("nothing", (b"",), []),
    ("signs", (ACK + NAK + ACK,), ["ACK", "NAK", "ACK"]),
    ("two packets and their signs", (IDENTIFY + ACK + packet("00"), ACK), ["20", "ACK", "00", "ACK"]),
    ("octet by octet", tuple(bytes((octet,)) for octet in IDENTIFY + ACK), ["20", "ACK"]),
    ("a long one", (LONG[:1], LONG[1:4000], LONG[4000:]), [bytes(5000).hex()]),
    ("no data", (packet(b""),), [""]),
    ("signs inside data are data", (packet("061506"),), ["061506"]),
    ("a start inside data is data", (packet("eeee"),), ["eeee"]),
    ("a packet inside data is data", (packet(IDENTIFY),), [IDENTIFY.hex()]),
    ("wake-up before", (b"\x55" + IDENTIFY,), ["noise 1", "20"]),
    ("noise around", (b"\0\1\2" + IDENTIFY + b"\xff", ACK), ["noise 3", "20", "noise 1", "ACK"]),
    ("data altered", (altered(packet("300001"), 7),), ["frame-checksum"]),
    ("CRC altered", (altered(packet("300001")),), ["frame-checksum"]),
    ("altered, then right", (altered(packet("300001")) + NAK + packet("300001"),), ["frame-checksum", "NAK", "300001"]),
    ("length made longer, then right", (altered(packet("20"), 4) + packet("20"),), ["noise 9", "20"]),
    ("length made shorter", (altered(packet("300001"), 5),), ["frame-checksum", "noise 1"]),
    ("length beyond all", (bytes.fromhex("EE000000FFFF") + bytes(20),), ["frame-oversized"]),
    ("length beyond all, then right", (bytes.fromhex("EE000000FFFF") + IDENTIFY,), ["noise 6", "20"]),
    ("start lost", (IDENTIFY[1:] + ACK,), ["noise 8", "ACK"]),
    ("end lost", (packet("300001")[:-1],), ["frame-truncated"]),
    ("end lost, then right", (packet("300001")[:-2] + packet("20"),), ["noise 9", "20"]),
    ("a start, and another", (b"\xee" + IDENTIFY,), ["noise 1", "20"]),
]


@pytest.mark.parametrize(("pieces", "expected"), [row[1:] for row in STREAMS], ids=[row[0] for row in STREAMS])
def test_streams(pieces: tuple[bytes, ...], expected: list[str]) -> None:
    found = items(*pieces)
    assert kinds(found) == expected
    assert b"".join(item.octets for item in found) == b"".join(pieces)


def test_a_packet_that_stops_is_given_up_after_the_time_between_octets() -> None:
    frames = Frames(0.5)
    assert frames.feed(IDENTIFY[:4], 10.0) == []
    due = frames.due
    assert due == 10.5
    assert frames.expire(10.4) is None
    bad = frames.expire(10.5)
    assert bad is not None
    assert (bad.code, bad.octets) == ("frame-truncated", IDENTIFY[:4])
    assert frames.close() == []


def test_octets_that_come_late_belong_to_nothing() -> None:
    frames = Frames(0.5)
    frames.feed(IDENTIFY[:4], 0.0)
    assert kinds(frames.feed(IDENTIFY[4:], 0.6)) == ["frame-truncated", "noise 5"]


def test_a_packet_swallowed_by_one_that_stopped_is_found() -> None:
    frames = Frames(0.5)
    frames.feed(bytes.fromhex("EE0000000100") + IDENTIFY + IDENTIFY[:3], 0.0)
    assert kinds(frames.feed(IDENTIFY[3:], 1.0)) == ["noise 6", "20", "frame-truncated", "noise 6"]


@pytest.mark.parametrize("code", ["frame-truncated", "frame-oversized", "frame-checksum", "psem-packets"])
def test_codes_are_documented(code: str) -> None:
    assert code in CODES


@pytest.mark.parametrize(
    ("size", "packet_size", "packets", "expected"),
    [
        (1, 64, 1, ["00 0 1"]),
        (56, 64, 1, ["00 0 56"]),
        (57, 64, 2, ["C0 1 56", "A0 0 1"]),
        (113, 64, 3, ["C0 2 56", "A0 1 56", "80 0 1"]),
        (8184, 0xFFFF, 1, ["00 0 8184"]),
        (8185, 0xFFFF, 2, ["C0 1 8184", "A0 0 1"]),
    ],
)
def test_a_service_in_packets(size: int, packet_size: int, packets: int, expected: list[str]) -> None:
    made = packets_of(bytes(size), packet_size, packets, toggle=False)
    octets = [one.encode() for one in made]
    assert [f"{o[2]:02X} {o[3]} {int.from_bytes(o[4:6], 'big')}" for o in octets] == expected
    assert all(len(o) <= min(packet_size, MAX_PACKET) for o in octets)


def test_a_service_that_needs_more_packets_than_were_granted() -> None:
    with pytest.raises(FramingError) as raised:
        packets_of(bytes(57), 64, 1, toggle=False)
    assert raised.value.code == "psem-packets"


def test_a_packet_that_cannot_be() -> None:
    with pytest.raises(FramingError) as raised:
        Packet(bytes(MAX_PACKET)).encode()
    assert raised.value.code == "frame-oversized"


@given(st.lists(st.one_of(st.binary(max_size=30), st.sampled_from([IDENTIFY, ACK, NAK, packet("300001")])), max_size=8))
def test_nothing_is_lost_however_it_is_cut(pieces: list[bytes]) -> None:
    found = items(*pieces)
    assert b"".join(item.octets for item in found) == b"".join(pieces)


@given(st.lists(st.sampled_from([IDENTIFY, ACK, NAK, packet("300001", 0x20), LONG]), max_size=6), st.data())
def test_an_unharmed_stream_is_found_however_it_is_cut(sent: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(sent)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=5)))
    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert [item.octets for item in items(*pieces)] == sent
