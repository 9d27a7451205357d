"""One connection's way into what C12.22 meters tell unasked: octets, segments as they come, until they are a message."""

from __future__ import annotations

from collections.abc import Iterable

from connectors.gateway.drivers.c1222_pushes import Pushes
from connectors.gateway.pipeline import Push
from connectors.protocols.c12.c1222_framing import ApduStream, Framed, Item, datagram
from connectors.protocols.c12.c1222_masking import masked
from connectors.protocols.c12.c1222_segments import Limits, Segments, lost_error
from connectors.protocols.c12.errors import C12Error, FramingError
from schemas.ids import event_id
from schemas.records import Direction, Frame, Protocol, SessionFrames, SessionKind, Transport

_LIMITS = Limits(messages=8, octets=1 << 17)
"""Of what is not whole yet on one connection."""


class C1222Conversation:
    """See `port.Conversation`."""

    __slots__ = ("_pushes", "_segments", "_stream", "endpoint", "replay_id")

    def __init__(self, pushes: Pushes, endpoint: str, replay_id: str = "") -> None:
        self._pushes = pushes
        self._stream = ApduStream()
        self._segments = Segments(_LIMITS)
        self.endpoint = endpoint
        self.replay_id = replay_id

    @property
    def pending(self) -> int:
        """See `port.Conversation`."""
        return self._stream.buffered + self._segments.held

    @property
    def blocks(self) -> int:
        """See `port.Conversation`."""
        return self._segments.held

    def feed(self, data: bytes, received_at: int) -> list[Push]:
        """See `port.Conversation`."""
        return self._items(self._stream.feed(data), received_at)

    def datagram(self, data: bytes, received_at: int) -> list[Push]:
        """See `port.Conversation`."""
        return self._items(datagram(data), received_at)

    def take_replies(self) -> bytes:
        """See `port.Conversation`: the link acknowledges nothing."""
        return b""

    def close(self, received_at: int) -> list[Push]:
        """See `port.Conversation`."""
        pushes = self._items(self._stream.close(), received_at)
        for lost in self._segments.close():
            pushes.append(self._pushes.refused(lost_error(lost), self._push(lost.segments, received_at)))
        return pushes

    def _items(self, items: Iterable[Item], received_at: int) -> list[Push]:
        pushes = []
        for item in items:
            if not isinstance(item, Framed):
                push = self._push((item.octets,), received_at)
                pushes.append(self._pushes.refused(FramingError(item.code, item.detail), push))
                continue
            try:
                whole = self._segments.take(item.octets, received_at / 1000)
            except C12Error as error:
                pushes.append(self._pushes.refused(error, self._push((item.octets,), received_at)))
                continue
            if whole is not None:
                pushes.append(self._pushes.take(whole, self._push((whole,), received_at)))
        return pushes

    def _push(self, messages: tuple[bytes, ...], received_at: int) -> Push:
        frames = [masked(message) for message in messages]
        kept = SessionFrames(
            id=event_id("SessionFrames", "PUSH", self.endpoint, received_at, *frames),
            endpoint=self.endpoint,
            protocol=Protocol.C1222,
            transport=Transport.RAW,
            kind=SessionKind.PUSH,
            started_at=received_at,
            ended_at=received_at,
            frames=tuple(Frame(Direction.FROM_METER, received_at, frame) for frame in frames),
        )
        return Push(self.endpoint, received_at, kept, replay_id=self.replay_id)


def message_pushes(pushes: Pushes, message: bytes, endpoint: str, received_at: int, replay_id: str = "") -> list[Push]:
    """What one whole message comes to that came by another way, such as between the answers of a session."""
    conversation = C1222Conversation(pushes, endpoint, replay_id)
    return conversation.datagram(message, received_at) + conversation.close(received_at)
