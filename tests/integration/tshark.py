"""Wireshark's dissectors on octets of ours: a capture is made of them, and what `tshark` says of each packet is read."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import dpkt
import pytest

MESSAGE_PORT = 1153
_CLIENT_PORT = 50_000
_V4 = (socket.inet_aton("10.0.0.1"), socket.inet_aton("10.0.0.2"))
_V6 = (socket.inet_pton(socket.AF_INET6, "2001:db8::1"), socket.inet_pton(socket.AF_INET6, "2001:db8::2"))
_RAW = 101
_BAD = ("_ws.expert", "_ws.malformed", "ber.error", "_ws.unreassembled")


def tshark() -> str:
    """The program, or the test skips."""
    found = shutil.which("tshark")
    if found is None:
        pytest.skip("tshark is not installed: apt-get install tshark")
    return found


@dataclass(frozen=True, slots=True)
class Packet:
    """Octets on their way: over TCP they may be any piece of the stream."""

    octets: bytes
    udp: bool = False
    v6: bool = False
    port: int = MESSAGE_PORT


def capture(packets: Sequence[Packet]) -> bytes:
    """A packet capture of raw IP, one conversation for each transport, version and port."""
    out = BytesIO()
    writer = dpkt.pcap.Writer(out, linktype=_RAW, snaplen=65_535)
    sequences: dict[tuple[bool, int], int] = {}
    for number, packet in enumerate(packets):
        stream = packet.v6, packet.port
        at = sequences.get(stream, 1)
        if packet.udp:
            segment: Any = dpkt.udp.UDP(
                sport=_CLIENT_PORT, dport=packet.port, ulen=8 + len(packet.octets), data=packet.octets
            )
        else:
            segment = dpkt.tcp.TCP(sport=_CLIENT_PORT, dport=packet.port, seq=at, ack=1, data=packet.octets,
                                   flags=dpkt.tcp.TH_ACK | dpkt.tcp.TH_PUSH)  # fmt: skip
            sequences[stream] = at + len(packet.octets)
        source, target = _V6 if packet.v6 else _V4
        protocol = dpkt.ip.IP_PROTO_UDP if packet.udp else dpkt.ip.IP_PROTO_TCP
        ip: Any
        if packet.v6:
            ip = dpkt.ip6.IP6(src=source, dst=target, nxt=protocol, hlim=64, plen=len(segment), data=segment)
            ip.extension_hdrs, ip.all_extension_headers = {}, []
        else:
            ip = dpkt.ip.IP(src=source, dst=target, p=protocol, id=number & 0xFFFF, len=20 + len(segment), data=segment)
        writer.writepkt(bytes(ip), ts=1_700_000_000 + number)
    return out.getvalue()


def dissect(packets: Sequence[Packet], protocol: str, preferences: Mapping[str, str]) -> list[list[dict[str, Any]]]:
    """For each packet, the layers of that protocol in it, with all fields below each."""
    options = [part for name, value in preferences.items() for part in ("-o", f"{name}:{value}")]
    command = [tshark(), "-r", "-", "-T", "json", "--no-duplicate-keys", *options]
    done = subprocess.run(command, input=capture(packets), capture_output=True, check=True, timeout=60)
    found = []
    for packet in json.loads(done.stdout):
        layers = packet["_source"]["layers"].get(protocol, [])
        found.append(layers if isinstance(layers, list) else [layers])
    assert len(found) == len(packets)
    return found


def fields(layer: Any, name: str) -> Iterator[Any]:
    """Every value under that name, at any depth."""
    if isinstance(layer, list):
        for each in layer:
            yield from fields(each, name)
    elif isinstance(layer, dict):
        for key, value in layer.items():
            if key == name:
                yield from value if isinstance(value, list) else [value]
            yield from fields(value, name)


def complaints(layer: Any) -> list[str]:
    """What the dissector could not read, or did not believe."""
    found: list[str] = []
    if isinstance(layer, list):
        for each in layer:
            found += complaints(each)
    elif isinstance(layer, dict):
        for key, value in layer.items():
            found += [f"{key}: {value}"] if key.startswith(_BAD) else complaints(value)
    return found
