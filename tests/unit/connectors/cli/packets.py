"""Packet captures for tests, written by dpkt."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from io import BytesIO
from ipaddress import ip_address
from typing import Any

import dpkt

METER, HEAD_END = "10.0.0.9", "10.0.0.1"
METER6, HEAD_END6 = "2001:db8::9", "2001:db8::1"
ETHERNET, NULL, LOOP, SLL, SLL2, RAW_BSD, RAW, IPV4, IPV6 = 1, 0, 108, 113, 276, 12, 101, 228, 229
SYN, ACK = dpkt.tcp.TH_SYN, dpkt.tcp.TH_ACK


@dataclass(frozen=True, slots=True)
class Packet:
    """A TCP segment, or a UDP datagram where `sequence` is None, from the meter unless `back`."""

    data: bytes = b""
    sequence: int | None = None
    flags: int = ACK
    sport: int = 51000
    back: bool = False
    v6: bool = False

    def ip(self) -> Any:
        meter, head_end = (METER6, HEAD_END6) if self.v6 else (METER, HEAD_END)
        ends = [(ip_address(meter).packed, self.sport), (ip_address(head_end).packed, 4059)]
        (source, sport), (target, dport) = reversed(ends) if self.back else ends
        segment: Any
        if self.sequence is None:
            segment = dpkt.udp.UDP(sport=sport, dport=dport, data=self.data)
            segment.ulen = len(segment)
        else:
            segment = dpkt.tcp.TCP(sport=sport, dport=dport, seq=self.sequence % 2**32, flags=self.flags, data=self.data)
        number = dpkt.ip.IP_PROTO_UDP if self.sequence is None else dpkt.ip.IP_PROTO_TCP
        if self.v6:
            packet = dpkt.ip6.IP6(src=source, dst=target, nxt=number, hlim=64, data=segment, plen=len(segment))
            packet.extension_hdrs = {}
            return packet
        return dpkt.ip.IP(src=source, dst=target, p=number, len=20 + len(segment), data=segment)


def on_link(packet: Packet, link: int, vlan: int | None = None) -> bytes:
    """The octets of a packet as a capture of that link type holds them."""
    ip = bytes(packet.ip())
    kind = 0x86DD if packet.v6 else 0x0800
    if link == ETHERNET:
        tag = b"" if vlan is None else b"\x81\x00" + vlan.to_bytes(2)
        return bytes(12) + tag + kind.to_bytes(2) + ip
    if link == SLL:
        return bytes(dpkt.sll.SLL(ethtype=kind, data=ip))
    if link == SLL2:
        return bytes(dpkt.sll2.SLL2(ethtype=kind, data=ip))
    if link == NULL:
        return (30 if packet.v6 else 2).to_bytes(4, "little") + ip
    if link == LOOP:
        return (30 if packet.v6 else 2).to_bytes(4) + ip
    return ip


def pcap(frames: Iterable[bytes], link: int = ETHERNET, *, nano: bool = False) -> bytes:
    """A pcap file of frames, one a second from 1000 s."""
    out = BytesIO()
    writer = dpkt.pcap.Writer(out, linktype=link, nano=nano)
    for number, frame in enumerate(frames):
        writer.writepkt(frame, ts=1000 + number)
    return out.getvalue()


def pcapng(frames: Iterable[bytes], link: int = ETHERNET) -> bytes:
    """The same as pcapng."""
    out = BytesIO()
    interface = dpkt.pcapng.InterfaceDescriptionBlockLE(linktype=link)
    writer = dpkt.pcapng.Writer(out, shb=dpkt.pcapng.SectionHeaderBlockLE(), idb=interface)
    for number, frame in enumerate(frames):
        writer.writepkt(frame, ts=1000 + number)
    return out.getvalue()


def capture(packets: Iterable[Packet], link: int = ETHERNET) -> bytes:
    """A pcap file of packets."""
    return pcap((on_link(packet, link) for packet in packets), link)
