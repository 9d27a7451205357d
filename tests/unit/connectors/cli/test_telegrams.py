from __future__ import annotations

import io
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import pytest

from connectors.cli import telegrams
from connectors.cli.failure import USAGE, CommandError
from connectors.cli.telegrams import Capture, read
from tests.unit.connectors.cli.packets import (
    ETHERNET,
    IPV4,
    IPV6,
    LOOP,
    NULL,
    RAW,
    RAW_BSD,
    SLL,
    SLL2,
    SYN,
    Packet,
    capture,
    on_link,
    pcap,
    pcapng,
)

OCTETS = bytes.fromhex("7EA008230313C6E87E")
HEX = "7EA008230313C6E87E"

TEXTS = {
    "plain": HEX,
    "lower case": HEX.lower(),
    "newline at the end": HEX + "\n",
    "wrapped": "7EA008\n230313\nC6E87E\n",
    "CRLF": "7EA008\r\n230313C6\r\nE87E\r\n",
    "spaces": "7E A0 08 23 03 13 C6 E8 7E",
    "tabs": "7E\tA008230313C6E87E",
    "colons": "7E:A0:08:23:03:13:C6:E8:7E",
    "dashes": "7E-A0-08-23-03-13-C6-E8-7E",
    "commas and 0x": "0x7E, 0xA0, 0x08, 0x23, 0x03, 0x13, 0xC6, 0xE8, 0x7E",
    "0X whole": "0X7EA008230313C6E87E",
    "semicolons": "7EA008;230313C6;E87E",
    "hash comment": "# a push of meter 7\n7EA008230313 # its address: 23\nC6E87E",
    "slashes comment": "// from the lab\n7EA008230313C6E87E",
    "comment in another language": "# Zähler im Keller\n7EA008230313C6E87E",
    "BOM": "\ufeff" + HEX,
    "BOM and comment": "\ufeff# x\n" + HEX,
}


def written(folder: Path, data: bytes) -> str:
    path = folder / "telegram"
    path.write_bytes(data)
    return str(path)


def of(folder: Path, data: bytes) -> list[Capture]:
    return list(read(written(folder, data)))


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_hex_text(tmp_path: Path, text: str) -> None:
    (found,) = of(tmp_path, text.encode())
    assert found == Capture(str(tmp_path / "telegram"), "", OCTETS)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_hex_in_utf16(tmp_path: Path, encoding: str) -> None:
    mark = "" if encoding == "utf-16" else "\ufeff"
    assert of(tmp_path, (mark + HEX + "\r\n").encode(encoding))[0].data == OCTETS


BINARIES = {
    "HDLC": OCTETS,
    "wrapper": bytes.fromhex("0001000100010002C001"),
    "M-Bus": bytes.fromhex("680303680800720A16"),
    "P1": b"/ISK5\\2M550T-1012\r\n\r\n1-3:0.2.8(50)\r\n!9F2C\r\n",
    "control octet after much text": b"A" * 10_000 + b"\x00",
    "UTF-16's mark before no text": b"\xff\xfe\x00\xd8\x00",
    "not UTF-8": b"\xff\x41\x41",
}


@pytest.mark.parametrize("octets", BINARIES.values(), ids=BINARIES)
def test_binary_stays_as_it_is(tmp_path: Path, octets: bytes) -> None:
    assert of(tmp_path, octets)[0].data == octets


REFUSED = {
    "empty": (b"", "is empty"),
    "blank": (b" \r\n\t", "is empty"),
    "comments only": (b"# nothing\n// here\n", "is empty"),
    "odd": (b"7EA", "odd number of hex digits (3)"),
    "words": (b"hello", "not hex: 'hello'"),
    "one wrong digit": (b"7EA0G8", "not hex: 'G8'"),
    "pcap header cut": (pcap([])[:20], "damaged packet capture"),
    "pcapng header cut": (pcapng([])[:20], "damaged packet capture"),
    "pcapng without an interface": (pcapng([])[:28], "damaged packet capture"),
}


@pytest.mark.parametrize(("data", "words"), REFUSED.values(), ids=REFUSED)
def test_refused_with_the_reason(tmp_path: Path, data: bytes, words: str) -> None:
    with pytest.raises(CommandError) as caught:
        of(tmp_path, data)
    assert words in str(caught.value)
    assert str(tmp_path / "telegram") in str(caught.value)
    assert caught.value.exit_code == USAGE


def test_too_large_is_refused_before_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telegrams, "MAX_BYTES", 1 << 20)
    path = tmp_path / "huge"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(CommandError, match="larger than 1 MiB"):
        list(read(str(path)))


def test_absent_file(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="No such file") as caught:
        list(read(str(tmp_path / "none")))
    assert caught.value.exit_code == USAGE


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(HEX.encode())))
    assert list(read("-")) == [Capture("standard input", "", OCTETS)]


V4 = Packet(b"abc", 7)
V6 = Packet(b"abc", 7, v6=True)
LINKS = {
    "ethernet": (V4, ETHERNET),
    "ethernet, IPv6": (V6, ETHERNET),
    "Linux cooked": (V4, SLL),
    "Linux cooked, IPv6": (V6, SLL),
    "Linux cooked v2": (V4, SLL2),
    "Linux cooked v2, IPv6": (V6, SLL2),
    "raw": (V4, RAW),
    "raw, IPv6": (V6, RAW),
    "raw of a BSD": (V4, RAW_BSD),
    "IPv4": (V4, IPV4),
    "IPv6": (V6, IPV6),
    "null": (V4, NULL),
    "null, IPv6": (V6, NULL),
    "loop": (V4, LOOP),
    "loop, IPv6": (V6, LOOP),
}


@pytest.mark.parametrize("ng", [False, True], ids=["pcap", "pcapng"])
@pytest.mark.parametrize(("packet", "link"), LINKS.values(), ids=LINKS)
def test_link_types(tmp_path: Path, packet: Packet, link: int, ng: bool) -> None:
    frames = [on_link(packet, link)]
    (found,) = of(tmp_path, pcapng(frames, link) if ng else pcap(frames, link))
    host = "[2001:db8::9]" if packet.v6 else "10.0.0.9"
    assert (found.endpoint, found.data, found.at_ms, found.datagram) == (f"tcp://{host}:51000", b"abc", 1_000_000, False)
    assert found.name.startswith(f"{tmp_path / 'telegram'} {host}:51000 > ")


def test_vlan_tag_and_nanoseconds(tmp_path: Path) -> None:
    assert [item.data for item in of(tmp_path, pcap([on_link(V4, ETHERNET, vlan=12)], nano=True))] == [b"abc"]


def test_padding_of_short_ethernet_frames_is_no_data(tmp_path: Path) -> None:
    frame = on_link(Packet(b"abc", None), ETHERNET).ljust(60, b"\0")
    assert [item.data for item in of(tmp_path, pcap([frame]))] == [b"abc"]


def tcp(sequence: int, data: bytes = b"", *, syn: bool = False, back: bool = False) -> Packet:
    return Packet(data, sequence, SYN if syn else 0x10, back=back)


WRAP = 2**32
STREAMS = {
    "in order": ([tcp(10, b"ab"), tcp(12, b"cd")], [b"abcd"]),
    "with SYN": ([tcp(9, syn=True), tcp(10, b"ab")], [b"ab"]),
    "SYN twice": ([tcp(9, syn=True), tcp(9, syn=True), tcp(10, b"ab")], [b"ab"]),
    "SYN again after data": ([tcp(9, syn=True), tcp(10, b"ab"), tcp(9, syn=True), tcp(12, b"cd")], [b"abcd"]),
    "retransmitted": ([tcp(10, b"ab"), tcp(10, b"ab"), tcp(12, b"cd")], [b"abcd"]),
    "retransmitted longer": ([tcp(10, b"ab"), tcp(10, b"abcd")], [b"abcd"]),
    "retransmitted shorter": ([tcp(10, b"abcd"), tcp(10, b"ab")], [b"abcd"]),
    "overlap": ([tcp(10, b"abc"), tcp(12, b"cde")], [b"abcde"]),
    "inside": ([tcp(10, b"abcde"), tcp(12, b"c"), tcp(15, b"f")], [b"abcdef"]),
    "reordered": ([tcp(10, b"ab"), tcp(14, b"ef"), tcp(12, b"cd")], [b"abcdef"]),
    "reordered before the first seen": ([tcp(12, b"cd"), tcp(10, b"ab")], [b"abcd"]),
    "hole": ([tcp(10, b"ab"), tcp(20, b"kl"), tcp(22, b"mn")], [b"ab", b"klmn"]),
    "hole after the SYN": ([tcp(9, syn=True), tcp(20, b"kl")], [b"kl"]),
    "wrap": ([tcp(WRAP - 2, b"ab"), tcp(0, b"cd")], [b"abcd"]),
    "wrap within a segment": ([tcp(WRAP - 2, b"abcd"), tcp(2, b"ef")], [b"abcdef"]),
    "wrap, reordered": ([tcp(0, b"cd"), tcp(WRAP - 2, b"ab")], [b"abcd"]),
    "SYN at the end of the number space": ([tcp(WRAP - 1, syn=True), tcp(0, b"ab")], [b"ab"]),
    "two connections on the same ports": (
        [tcp(9, syn=True), tcp(10, b"ab"), tcp(500, syn=True), tcp(501, b"cd")],
        [b"ab", b"cd"],
    ),
    "two directions": ([tcp(10, b"ab"), tcp(70, b"xy", back=True), tcp(12, b"cd")], [b"abcd", b"xy"]),
    "keep-alive with an octet": ([tcp(9, syn=True), tcp(9, b"\0"), tcp(10, b"ab")], [b"ab"]),
    "keep-alive after data": ([tcp(10, b"ab"), tcp(11, b"\0"), tcp(12, b"cd")], [b"abcd"]),
    "nothing but acknowledgements": ([tcp(10), tcp(10)], []),
    "two meters": ([Packet(b"ab", 1, sport=1), Packet(b"cd", 1, sport=2), Packet(b"ef", 3, sport=1)], [b"abef", b"cd"]),
    "UDP": ([Packet(b"ab"), Packet(b"ab"), Packet(b"cd", v6=True)], [b"ab", b"ab", b"cd"]),
}


@pytest.mark.parametrize(("packets", "expected"), STREAMS.values(), ids=STREAMS)
def test_conversations(tmp_path: Path, packets: list[Packet], expected: list[bytes]) -> None:
    found = of(tmp_path, capture(packets))
    assert [item.data for item in found] == expected
    assert {item.datagram for item in found} <= {packets[0].sequence is None}


def test_what_came_before_the_damage_is_read(tmp_path: Path) -> None:
    whole = capture([tcp(10, b"ab"), Packet(b"udp"), tcp(12, b"cd")])
    found: list[bytes] = []
    with pytest.raises(CommandError, match="damaged packet capture"):
        found.extend(item.data for item in read(written(tmp_path, whole + b"half a header")))
    assert found == [b"udp", b"abcd"]


def test_packet_cut_by_the_snap_length_leaves_a_hole(tmp_path: Path) -> None:
    frames = [on_link(packet, ETHERNET) for packet in (tcp(10, b"abcd"), tcp(14, b"ef"))]
    assert [item.data for item in of(tmp_path, pcap([frames[0][:-2], frames[1]]))] == [b"ab", b"ef"]


def test_no_packet_whatever_it_holds_ends_the_reading(tmp_path: Path) -> None:
    links = (ETHERNET, SLL, SLL2, RAW, NULL, LOOP, 147)
    good = [on_link(packet, ETHERNET) for packet in (V4, V6)]
    cut = [frame[:end] for frame in good for end in range(len(frame))]
    changed = [frame[:at] + b"\xff" + frame[at + 1 :] for frame in good for at in range(len(frame))]
    for link in links:
        of(tmp_path, pcap([b"", *cut, *changed], link))


@pytest.mark.parametrize("build", [pcap, pcapng], ids=["pcap", "pcapng"])
def test_no_file_whatever_it_holds_is_a_traceback(tmp_path: Path, build: Callable[[list[bytes]], bytes]) -> None:
    whole = build([on_link(V4, ETHERNET)])
    files = [whole[:end] for end in range(4, len(whole))]
    files += [whole[:at] + octet + whole[at + 1 :] for at in range(4, len(whole)) for octet in (b"\0", b"\xff")]
    for data in files:
        with suppress(CommandError):
            of(tmp_path, data)
