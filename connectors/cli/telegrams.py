"""Telegrams from files: hex text, binary, or a packet capture, told apart by what they hold."""

from __future__ import annotations

import re
import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BytesIO
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from connectors.cli.failure import CommandError, usage
from connectors.cli.hex_text import NotHexError, octets_in

_PCAP = (b"\xd4\xc3\xb2\xa1", b"\xa1\xb2\xc3\xd4", b"\x4d\x3c\xb2\xa1", b"\xa1\xb2\x3c\x4d")
_PCAPNG = b"\x0a\x0d\x0d\x0a"
_COLOUR = re.compile(rb"\x1b\[[0-9;]*m")
_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1f\x7f]")
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_SLL2 = 276
_RAW = (12, 14, 101, 228, 229)  # raw IP, as BSDs and as files number it; IPv4; IPv6
MAX_BYTES = 256 * 1024 * 1024
"""A file beyond this is refused: telegrams are kilobytes, and a capture of this size wants to be split."""


@dataclass(frozen=True, slots=True)
class Capture:
    """Bytes that belong together: a file's, or one direction of one conversation in a packet capture."""

    name: str  # the file, and the conversation in it
    endpoint: str  # who sent it, where a capture says so
    data: bytes
    datagram: bool = False
    at_ms: int | None = None  # when, where a capture says so
    peer: str = field(default="", compare=False)  # to whom, where a capture says so
    order: tuple[tuple[int, int], ...] = field(default=(), compare=False)
    """Which octet came with which packet, as (offset, number of the packet) where either begins; rising."""


def read(source: str) -> Iterator[Capture]:
    """Captures in a file, or in standard input for "-". `CommandError` names the file and what is wrong with it."""
    name = "standard input" if source == "-" else source
    try:
        data = sys.stdin.buffer.read(MAX_BYTES + 1) if source == "-" else _file(Path(source))
    except OSError as error:
        raise usage(f"cannot read {name}: {error.strerror}") from error
    if len(data) > MAX_BYTES:
        raise usage(f"{name} is larger than {MAX_BYTES >> 20} MiB", "split it, or take the part with the telegrams")
    if data.startswith((*_PCAP, _PCAPNG)):
        yield from _conversations(name, data)
        return
    data = text_or_binary(name, data)
    if not data:
        raise usage(f"{name} is empty", "give hex, binary, or a packet capture")
    yield Capture(name, "", data)


def text_or_binary(name: str, data: bytes) -> bytes:
    """The octets that hex text means, or the data itself where it is no text.

    What text may be around hex is `hex_text`'s. The text of a P1 port is its octets.
    """
    if (text := _text(data)) is None:
        return data
    if text.lstrip().startswith("/") and not text.lstrip().startswith("//"):
        return data  # the text of a P1 port: who reads it says so
    try:
        return octets_in(text)
    except NotHexError as error:
        if not error.found:
            raise usage(f"{name} has an odd number of hex digits ({error.digits}): one is missing or too many") from None
        shown = error.found.encode("ascii", "replace").decode()
        why = f"{name} is text but not hex: {shown!r} stands where hex digits should"
        raise usage(why, "give hex digits, or the binary itself") from None


def _text(data: bytes) -> str | None:
    """The text that the data is, without a byte order mark, or None: no telegram is without control characters.

    A terminal's colours are taken out of it.
    """
    encoding = "utf-16" if data.startswith(_UTF16) else "utf-8-sig"
    data = _COLOUR.sub(b"", data) if encoding == "utf-8-sig" else data
    if encoding == "utf-8-sig" and _CONTROL.search(data):
        return None
    try:
        text = data.decode(encoding)
    except UnicodeError:
        return None
    return None if _CONTROL.search(text.encode()) else text


def _file(path: Path) -> bytes:
    with path.open("rb") as handle:
        return handle.read(MAX_BYTES + 1)


def _conversations(name: str, data: bytes) -> Iterator[Capture]:
    """UDP datagrams one by one; TCP payloads joined by direction, in sequence order, retransmissions once."""
    try:
        import dpkt  # noqa: PLC0415 - an extra that only captures need
    except ModuleNotFoundError as error:
        raise CommandError("packet captures need dpkt", mend="install hes with the extra `local`") from error

    streams: dict[tuple[str, str], _Stream] = {}
    damage: Exception | None = None
    try:
        reader = dpkt.pcapng.Reader(BytesIO(data)) if data.startswith(_PCAPNG) else dpkt.pcap.Reader(BytesIO(data))
        for number, (at, packet) in enumerate(reader):
            for source, target, sequence, octets, opens in _payloads(dpkt, reader.datalink(), packet):
                at_ms = round(at * 1000)
                if sequence is None:
                    words, ends = f"{name} {source} > {target}", (f"udp://{source}", f"udp://{target}")
                    yield Capture(words, ends[0], octets, datagram=True, at_ms=at_ms, peer=ends[1], order=((0, number),))
                    continue
                stream = streams.get((source, target))
                if stream is None or (opens and sequence != stream.first):
                    if stream is not None:
                        yield from stream.captures(name)
                    stream = streams[source, target] = _Stream(source, target, at_ms, sequence, opened=opens)
                stream.add(sequence, octets, number)
    except (dpkt.dpkt.Error, ValueError, struct.error) as error:
        damage = error
    for stream in streams.values():
        yield from stream.captures(name)
    if damage is not None:
        raise usage(f"{name} is a damaged packet capture: {damage}", "what came before the damage was read")


def _payloads(dpkt: Any, link: int, packet: bytes) -> Iterator[tuple[str, str, int | None, bytes, bool]]:
    """Source, target, TCP sequence number (None for UDP), payload and whether it opens a connection."""
    try:
        if link == dpkt.pcap.DLT_LINUX_SLL:
            ip = dpkt.sll.SLL(packet).data
        elif link == _SLL2:
            ip = dpkt.sll2.SLL2(packet).data
        elif link in _RAW:
            ip = dpkt.ip6.IP6(packet) if packet[0] >> 4 == 6 else dpkt.ip.IP(packet)
        elif link in (dpkt.pcap.DLT_NULL, dpkt.pcap.DLT_LOOP):
            ip = dpkt.loopback.Loopback(packet).data
        else:
            ip = dpkt.ethernet.Ethernet(packet).data
    except (dpkt.dpkt.Error, IndexError):
        return
    segment = getattr(ip, "data", None)
    if not isinstance(segment, dpkt.tcp.TCP | dpkt.udp.UDP) or not hasattr(ip, "src"):
        return
    source, target = (f"{_host(host)}:{port}" for host, port in ((ip.src, segment.sport), (ip.dst, segment.dport)))
    if isinstance(segment, dpkt.udp.UDP):
        yield source, target, None, bytes(segment.data), False
        return
    opens = bool(segment.flags & dpkt.tcp.TH_SYN)
    if opens or segment.data:
        yield source, target, segment.seq + opens, bytes(segment.data), opens


class _Stream:
    """One direction of a TCP connection, put in order by sequence number. `opened`: its SYN was captured."""

    def __init__(self, source: str, target: str, at_ms: int, first: int, *, opened: bool) -> None:
        self._name = f"{source} > {target}"
        self._source, self._target = source, target
        self._at_ms = at_ms
        self.first = first
        self._opened = opened
        self._parts: dict[int, bytes] = {}
        self._numbers: dict[int, int] = {}

    def add(self, sequence: int, octets: bytes, number: int) -> None:
        # A difference in the upper half of the number space is a segment from before the first one seen.
        at = (sequence - self.first + 2**31) % 2**32 - 2**31
        if at < 0 and self._opened:
            return  # a keep-alive probe repeats the octet before, which may be anything
        if len(octets) > len(self._parts.get(at, b"")):
            self._parts[at] = octets
            self._numbers.setdefault(at, number)

    def captures(self, name: str) -> Iterator[Capture]:
        """The octets, cut where the capture has a hole."""
        out, end, order = bytearray(), min(self._parts, default=0), list[tuple[int, int]]()
        for at in sorted(self._parts):
            octets = self._parts[at]
            if at > end and out:
                yield self._capture(name, out, order)
                out.clear()
                order.clear()
            if fresh := octets[max(0, end - at) :] if at < end else octets:
                order.append((len(out), self._numbers[at]))
            out += fresh
            end = max(end, at + len(octets))
        if out:
            yield self._capture(name, out, order)

    def _capture(self, name: str, out: bytearray, order: list[tuple[int, int]]) -> Capture:
        ends = (f"tcp://{self._source}", f"tcp://{self._target}")
        words = f"{name} {self._name}"
        return Capture(words, ends[0], bytes(out), at_ms=self._at_ms, peer=ends[1], order=tuple(order))


def _host(address: bytes) -> str:
    host = ip_address(address)
    return f"[{host}]" if host.version == 6 else str(host)
