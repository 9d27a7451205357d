"""Messages out of a TCP stream, in whatever pieces it comes, or out of one UDP datagram (ANSI C12.22, 5.3.1; RFC 6142).

On TCP nothing stands between messages: tag 60 and a BER length are the frame. Where something else stands there, it is
refused in one piece up to the next place that looks like a message: 60, a length, and the tag of an element. `60 00`, a
message without elements, keeps a connection alive; it is passed over. No octet is dropped in silence.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from connectors.protocols.c12 import acse, ber
from connectors.protocols.c12.errors import DecodeError

_TAGS = b"[" + re.escape(bytes(sorted(acse.NAMES))) + b"]"
_START = re.compile(rb"\x60(?:[\x02-\x7f]" + _TAGS + rb"|\x81." + _TAGS + rb"|\x82.." + _TAGS + rb")", re.DOTALL)
_LONGEST_START = 5
"""Octets that decide whether a message starts at a place."""
_LONGEST_HEADER = 6
"""Octets of a tag and the longest length."""

KEEP_ALIVE = b"\x60\x00"


@dataclass(frozen=True, slots=True)
class Framed:
    """One message, whole, its elements unread."""

    octets: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Refused:
    """Octets that are no message, and why: `code` from `errors.CODES`."""

    code: str
    detail: str
    octets: bytes = field(repr=False)


Item = Framed | Refused


class ApduStream:
    """What one TCP connection sends, to messages and to what had to be refused, in order. It never raises on what comes."""

    def __init__(self, *, max_apdu: int = 65_536) -> None:
        self._most = max_apdu
        self._data = b""
        self._lost: DecodeError | None = None  # set while looking for the next message
        self._searched = 0

    def feed(self, data: bytes) -> list[Item]:
        """What is whole, or refused, now that `data` came."""
        self._data += data
        return self._run(final=False)

    def close(self) -> list[Item]:
        """The stream ended: what is left is refused as "c1222-truncated"."""
        items = self._run(final=True)
        self._data, self._lost, self._searched = b"", None, 0
        return items

    @property
    def buffered(self) -> int:
        """Octets that wait for more: never more than one message."""
        return len(self._data)

    def _run(self, *, final: bool) -> list[Item]:
        items: list[Item] = []
        at = 0
        while at < len(self._data):
            lost = self._lost
            if lost is None:
                end = self._message(at, items, final=final)
            elif (end := self._next_start(at, final=final)) is not None:
                items.append(Refused(lost.code, lost.detail, self._data[at:end]))
            if end is None:
                break
            at = end
        self._data = self._data[at:]
        self._searched = max(0, self._searched - at)
        return items

    def _message(self, at: int, items: list[Item], *, final: bool) -> int | None:
        """Take the message that begins at `at`; where it ends, or None where more of it has to come."""
        try:
            end = _end(self._data, at, self._most)
        except DecodeError as error:
            self._lost, self._searched = error, at + 1
            return at
        if end is None or end > len(self._data):
            if not final:
                return None
            items.append(_cut_short(self._data[at:], None if end is None else end - at))
            return len(self._data)
        if end - at > len(KEEP_ALIVE):
            items.append(Framed(self._data[at:end]))
        return end

    def _next_start(self, at: int, *, final: bool) -> int | None:
        """Where to cut what is lost: at the next likely start, or after a message's length at most. None: wait for more."""
        found = _START.search(self._data, self._searched, at + self._most + _LONGEST_START)
        if found is not None and found.start() - at <= self._most:
            self._lost = None
            return found.start()
        if len(self._data) - at >= self._most + _LONGEST_START:
            self._searched = at + self._most
            return at + self._most
        if final:
            self._lost = None
            return len(self._data)
        self._searched = max(self._searched, len(self._data) - _LONGEST_START + 1)
        return None


def datagram(data: bytes, *, max_apdu: int = 65_536) -> list[Item]:
    """What one datagram holds: a message; octets behind it are refused, for a datagram carries one."""
    try:
        end = _end(data, 0, max_apdu)
    except DecodeError as error:
        return [Refused(error.code, error.detail, data)]
    if end is None or end > len(data):
        return [_cut_short(data, end)] if data else []
    items: list[Item] = [Framed(data[:end])] if end > len(KEEP_ALIVE) else []
    if end < len(data):
        detail = f"{len(data) - end} octets behind the message of a datagram, which carries one"
        items.append(Refused("c1222-garbage", detail, data[end:]))
    return items


def _end(data: bytes, at: int, most: int) -> int | None:
    """Where the message that begins at `at` ends; None where too little of it is there to tell. Raises DecodeError."""
    if at >= len(data):
        return None
    if data[at] != acse.APDU:
        raise DecodeError(
            "c1222-garbage", f"a message begins with 60, here stands {data[at]:02X}: octets were lost, or no C12.22"
        )
    try:
        size, start = ber.read_length(data[at : at + _LONGEST_HEADER], 1)
    except DecodeError as error:
        if error.code == "c1222-truncated":
            return None
        raise
    if start + size > most:
        raise DecodeError("c1222-oversized", f"a message of {size} octets is announced, at most {most} are taken")
    return at + start + size


def _cut_short(data: bytes, size: int | None) -> Refused:
    whole = "its length" if size is None else f"{size} octets"
    return Refused("c1222-truncated", f"the connection ended {len(data)} octets into a message of {whole}", data)
