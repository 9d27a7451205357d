"""A message in segments: cut, and put together again (ANSI C12.22, 5.3.5).

Each segment is a message of its own with the titles, the qualifier and the calling invocation id of the whole, the size of
the whole in A3 and, inside its user information, the offset (02) of the octets that it carries (81). What it carries is a
piece of the whole message, tag 60 and length included. Ids answered, mechanism and authentication are in the whole only:
it is secured before it is cut, and verified after it was put together.

    60 | A1 | A2 | A3 {02 size} | A6 | A7 | A8 | BE { 28 { 02 offset, 81 piece } }

Segments may come in any order and more than once; two that contradict each other end their message.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from connectors.protocols.c12 import acse
from connectors.protocols.c12.acse import Apdu
from connectors.protocols.c12.errors import C12Error, DecodeError, FramingError
from connectors.protocols.c12.titles import C1222_BASE, ApTitle

_SMALLEST_PIECE = 8


@dataclass(frozen=True, slots=True)
class Limits:
    """What is kept of messages that are not whole yet. Beyond it a new one is refused."""

    messages: int = 64
    octets: int = 1 << 20
    """Of all of them together, counted by the size that each announces."""
    message_octets: int = 65_536
    age_s: float = 60.0
    """From a message's first segment on."""
    pieces: int = 1024
    """Of one message."""


@dataclass(frozen=True, slots=True)
class Lost:
    """A message that was given up, with the segments that had come."""

    code: str
    detail: str
    segments: tuple[bytes, ...] = field(repr=False)


@dataclass(slots=True)
class _Whole:
    size: int
    since: float
    octets: bytearray
    have: list[tuple[int, int]] = field(default_factory=list)  # ascending, apart from each other
    segments: list[bytes] = field(default_factory=list)


_Key = tuple[ApTitle | None, ApTitle | None, int | None]


def cut(message: bytes, most: int) -> tuple[bytes, ...]:
    """A message as segments of at most `most` octets; itself, where it fits. ValueError where `most` leaves no room."""
    if len(message) <= most:
        return (message,)
    whole = acse.decode(message)
    frame = Apdu(whole.called, whole.calling, whole.calling_invocation, qualifier=whole.qualifier, context=whole.context,
                 size=len(message), offset=len(message), information=bytes(most))  # fmt: skip
    piece = most - (len(acse.encode(frame)) - most)
    if piece < min(_SMALLEST_PIECE, len(message)):
        raise ValueError(f"segments of {most} octets leave {max(piece, 0)} for the message: at least {_SMALLEST_PIECE}")
    starts = range(0, len(message), piece)
    return tuple(acse.encode(replace(frame, offset=at, information=message[at : at + piece])) for at in starts)


class Segments:
    """The messages of one connection, or of one peer's datagrams, that are not whole yet."""

    def __init__(self, limits: Limits | None = None, *, base: ApTitle = C1222_BASE) -> None:
        self._limits = limits or Limits()
        self._base = base
        self._wholes: OrderedDict[_Key, _Whole] = OrderedDict()

    @property
    def held(self) -> int:
        """Octets that are kept for messages that are not whole."""
        return sum(whole.size for whole in self._wholes.values())

    def take(self, octets: bytes, now: float) -> bytes | None:
        """The message that is whole now: `octets` itself where it is no segment; None while others are missing.

        Raises DecodeError for what is no message, FramingError for a segment that its message does not survive.
        """
        apdu = acse.decode(octets)
        if apdu.size is None:
            return octets
        piece = self._checked(apdu)
        key = self._key(apdu)
        whole = self._wholes.get(key)
        if whole is None:
            whole = self._wholes[key] = self._open(apdu.size, now)
        whole.segments.append(octets)
        try:
            self._add(whole, apdu, piece)
            if whole.have != [(0, whole.size)]:
                return None
            message = bytes(whole.octets)
            self._agree(message, key)
        except FramingError:
            del self._wholes[key]
            raise
        del self._wholes[key]
        return message

    def expire(self, now: float) -> list[Lost]:
        """The messages that waited for longer than they may."""
        late = [key for key, whole in self._wholes.items() if now - whole.since > self._limits.age_s]
        return [self._lose(key, f"after {self._limits.age_s:g} s") for key in late]

    def close(self) -> list[Lost]:
        """Nothing more will come."""
        return [self._lose(key, "when the connection ended") for key in list(self._wholes)]

    def _checked(self, apdu: Apdu) -> bytes:
        size, offset, piece = apdu.size or 0, apdu.offset, apdu.information
        if offset is None or not piece:
            raise FramingError("c1222-segment", f"a segment of a message of {size} octets without offset, or without octets")
        if size > self._limits.message_octets:
            raise FramingError("c1222-oversized", f"{size} octets in segments, at most {self._limits.message_octets}")
        if offset + len(piece) > size:
            raise FramingError("c1222-segment", f"octets {offset} to {offset + len(piece)} of a message of {size}")
        return piece

    def _open(self, size: int, now: float) -> _Whole:
        limits = self._limits
        if len(self._wholes) >= limits.messages or self.held + size > limits.octets:
            detail = f"{len(self._wholes)} messages of {self.held} octets wait for segments, a new one of {size} is refused"
            raise FramingError("c1222-segments-limit", f"{detail}: at most {limits.messages} of {limits.octets} wait")
        return _Whole(size, now, bytearray(size))

    def _add(self, whole: _Whole, apdu: Apdu, piece: bytes) -> None:
        if apdu.size != whole.size:
            raise FramingError("c1222-segment", f"a segment of {apdu.size} octets in all, the one before said {whole.size}")
        if len(whole.segments) > self._limits.pieces:
            raise FramingError("c1222-segments-limit", f"more than {self._limits.pieces} segments of one message")
        start = apdu.offset or 0
        end = start + len(piece)
        for first, last in whole.have:
            low, high = max(first, start), min(last, end)
            if low < high and whole.octets[low:high] != piece[low - start : high - start]:
                raise FramingError("c1222-segment", f"two segments differ in octets {low} to {high} of their message")
        whole.octets[start:end] = piece
        whole.have = list(_joined(sorted([*whole.have, (start, end)])))

    def _agree(self, message: bytes, key: _Key) -> None:
        """What was put together is one whole message of the same sender, or its segments were not of one message."""
        try:
            inner = acse.decode(message)
        except DecodeError as error:
            raise FramingError("c1222-segment", f"segments that make no message: {error.detail}") from error
        if inner.segment or self._key(inner) != key:
            raise FramingError("c1222-segment", "segments make a message of another title or invocation id than their own")

    def _key(self, apdu: Apdu) -> _Key:
        called, calling = (title and title.absolute(self._base) for title in (apdu.called, apdu.calling))
        return called, calling, apdu.calling_invocation

    def _lose(self, key: _Key, when: str) -> Lost:
        whole = self._wholes.pop(key)
        have = sum(last - first for first, last in whole.have)
        calling = "a node without a title" if key[1] is None else key[1].text
        detail = f"a message of {calling}, invocation {key[2]}: {have} of {whole.size} octets had come {when}"
        return Lost("c1222-segments-incomplete", f"{detail}; ask again for less at once", tuple(whole.segments))


def lost_error(lost: Lost) -> C12Error:
    """A message that was given up, as an error."""
    return FramingError(lost.code, lost.detail)


def _joined(spans: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    first, last = spans[0]
    for start, end in spans[1:]:
        if start <= last:
            last = max(last, end)
        else:
            yield first, last
            first, last = start, end
    yield first, last
