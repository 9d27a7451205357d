"""Octets of a connection, in whatever pieces they come, to APDUs and to what had to be refused.

    feed ─▶ [octets] ── which transport starts here? ─▶ reader ─┬▶ Apdu        checksums right, whole
               ▲                                              ├▶ Refused     a frame, but a wrong one
               │                                              ├▶ wait        octets are missing
               └── the next start that looks like a frame ◀── └▶ DlmsError   no frame: look for the next

Items depend on the octets alone, never on how they were cut into pieces. Nothing is dropped in silence: every octet is in
an item, flags between HDLC frames aside.
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import replace

from connectors.protocols.dlms.apdus import SESSION_APDUS
from connectors.protocols.dlms.errors import DlmsError, FramingError
from connectors.protocols.dlms.framing.bare import BareReader
from connectors.protocols.dlms.framing.hdlc import FLAG, LLC_FROM_SERVER, HdlcReader, parse
from connectors.protocols.dlms.framing.items import (
    HDLC,
    MBUS,
    PUSH_TAGS,
    RAW,
    UNKNOWN,
    WRAPPER,
    Apdu,
    Item,
    Limits,
    Reader,
    Refused,
    Taken,
)
from connectors.protocols.dlms.framing.mbus import MbusReader
from connectors.protocols.dlms.framing.wrapper import WrapperReader

_TAG = b"[" + re.escape(bytes(sorted(PUSH_TAGS))) + b"]"
_STARTS = {
    HDLC: rb"\x7e[\xa0-\xaf]",
    MBUS: rb"\x68(.)\1\x68",
    WRAPPER: rb"\x00\x01.{6}" + _TAG,
}
_PATTERNS = {name: re.compile(pattern, re.DOTALL) for name, pattern in _STARTS.items()} | {
    UNKNOWN: re.compile(b"|".join(_STARTS.values()), re.DOTALL),
    # data-notification without or with a time; general-glo/ded of a system title with a manufacturer's three letters
    RAW: re.compile(rb"\x0f.{4}(?:\x00[\x01\x02]|(?:\x09)?\x0c\x07)|[\xdb\xdc]\x08[A-Z]{3}", re.DOTALL),
}
"""What a frame must look like to be believed after garbage. Bare APDUs are looked for only where the stream has them: inside
a broken frame of another transport they would slip past its checksum."""
_LONGEST_START = 9
"""Octets that decide whether any pattern matches at a place. No frame is shorter."""

_MOST_REPLIES = 64
"""Replies that wait to be taken; older ones are moot, since each acknowledges what came before it."""
_DEFAULT = Limits()


class PushStream:
    """What one meter (or gateway, or file) sends, to `Apdu` and `Refused`, in order. It never raises on what comes in.

    `transport` pins what to expect; without it each frame shows by its first octets what it is: 7E HDLC, 68 M-Bus,
    00 01 wrapper, a push's tag a bare APDU.
    """

    def __init__(self, limits: Limits = _DEFAULT, transport: str | None = None) -> None:
        self._limits = limits
        self._pinned = transport
        self._bare = BareReader(limits)
        everyone: tuple[Reader, ...] = (HdlcReader(limits), WrapperReader(limits), MbusReader(limits), self._bare)
        self._readers = {reader.transport: reader for reader in everyone}
        if transport is not None and transport not in self._readers:
            raise FramingError(
                "frame-malformed", f"no transport is called {transport}: there are {', '.join(self._readers)}"
            )
        self._data = b""
        self._flag = False  # the octet before the buffer is an HDLC flag
        self._looks_for = transport or UNKNOWN  # the transport that spoke last, or UNKNOWN
        self._error: DlmsError | None = None  # set while looking for the next frame
        self._culprit = UNKNOWN
        self._searched = 0
        self._before = 0  # how many items are of segments that came before what is held now
        self._replies: deque[bytes] = deque(maxlen=_MOST_REPLIES)

    def feed(self, data: bytes) -> list[Item]:
        """What is whole, or refused, now that `data` came."""
        self._data += data
        return self._run(final=False)

    def close(self) -> list[Item]:
        """The stream ended: what is left is refused as "frame-truncated", whole frames that lie behind it are read.

        Where no whole frame lies behind it, what looks like the beginning of one is rather octets of the first.
        """
        self._bare.end()
        left, self._before = self._data, 0
        items = self._run(final=True)
        before, items = items[: self._before], items[self._before :]
        if len(items) > 1 and isinstance(items[0], Refused) and not any(isinstance(item, Apdu) for item in items):
            items = [replace(items[0], data=left)]
        items = before + items
        for reader in self._readers.values():
            items += reader.close()
        self._flag = False
        return items

    def take_replies(self) -> bytes:
        """What the link wants back at once (an RR for a segment that is not the last); gives it out once."""
        replies = b"".join(self._replies)
        self._replies.clear()
        return replies

    @property
    def buffered(self) -> int:
        """Octets that wait for more, segments included."""
        return len(self._data) + sum(reader.held for reader in self._readers.values())

    def _run(self, *, final: bool) -> list[Item]:
        items: list[Item] = []
        data, at = self._data, 0
        while at < len(data):
            if self._error is not None:
                cut = self._next_start(data, at, final=final)
                if cut is None:
                    break
                items.append(Refused(self._error.code, self._error.detail, data[at : cut[0]], self._culprit))
                at, self._error = cut
                self._searched, self._flag = 0, False
            elif data[at] == FLAG and self._pinned in (None, HDLC):
                at, self._flag = at + 1, True
            else:
                taken = self._read(items, data, at, final=final)
                if taken is None:
                    break
                at = taken
        self._data = data[at:]
        return items

    def _read(self, items: list[Item], data: bytes, at: int, *, final: bool) -> int | None:
        """One frame at `at`: the index after it, or None where to wait."""
        transport = self._recognise(data[at])
        reader = self._readers.get(transport)
        taken: Taken | None = None
        try:
            if reader is None:
                what = f", though {SESSION_APDUS[data[at]]} of a session does" if data[at] in SESSION_APDUS else ""
                raise FramingError("frame-garbage", f"{data[at]:#04x} begins no frame and no push{what}")
            if transport == HDLC and not self._flag:
                raise FramingError("frame-garbage", "no flag before an HDLC frame")
            taken = reader.read(data, at)
            if taken is None and final and transport == HDLC:
                taken = _without_its_flag(reader, data, at)
            if taken is None and final:
                raise FramingError(
                    "frame-truncated", f"the stream ended inside a {transport} frame, {len(data) - at} octets of it came"
                )
        except DlmsError as error:
            self._error, self._culprit, self._searched = error, transport, 1
            lost = [] if reader is None else reader.lost()
            items += lost
            if at == 0:
                self._before = len(lost)
            return at
        if taken is None:
            return None
        items += taken.items
        if taken.reply:
            self._replies.append(taken.reply)
        if self._pinned is None and any(isinstance(item, Apdu) for item in taken.items):
            self._looks_for = transport
        self._flag = transport == HDLC
        return taken.end

    def _recognise(self, first: int) -> str:
        if self._pinned is not None:
            return self._pinned
        if self._flag and first & 0xF0 == 0xA0:
            return HDLC
        if first in PUSH_TAGS or first == LLC_FROM_SERVER[0]:
            return RAW
        return {0x68: MBUS, 0x00: WRAPPER}.get(first, UNKNOWN)

    def _next_start(self, data: bytes, at: int, *, final: bool) -> tuple[int, DlmsError | None] | None:
        """How far a refusal reaches: to the next start, or as far as one may (with the error that goes on); None: wait."""
        most = at + self._limits.max_garbage
        found = _PATTERNS[self._looks_for].search(data, at + self._searched, most + _LONGEST_START)
        decided = len(data) if final else len(data) - _LONGEST_START + 1  # starts before it will not change any more
        if found and found.start() < decided and found.start() <= most:
            return found.start(), None
        if decided > most:
            return most, FramingError("frame-garbage", "no frame begins in what follows either")
        if final:
            return len(data), None
        self._searched = max(self._searched, decided - at)
        return None


def _without_its_flag(reader: Reader, data: bytes, at: int) -> Taken | None:
    """The last frame where all of it came but the flag that closes it, its checksums being right."""
    flag = bytes((FLAG,))
    try:
        parse(flag + data[at:] + flag)
    except DlmsError:
        return None
    taken = reader.read(data + flag, at)
    return None if taken is None else replace(taken, end=len(data))
