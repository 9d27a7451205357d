"""One connection's way into the pipeline: octets, frames and blocks as they come, until they are a telegram or refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from connectors.gateway.masking import masked
from connectors.gateway.pipeline import Pipeline, Push, letter_of
from connectors.protocols.dlms.apdus import DATA_NOTIFICATION, data_notification_confirm
from connectors.protocols.dlms.decode import Assembler
from connectors.protocols.dlms.errors import CipherError, DecodeError, DlmsError
from connectors.protocols.dlms.framing import Apdu, PushStream, Refused
from connectors.protocols.dlms.framing.wrapper import pack
from connectors.protocols.dlms.gbt import BlockTransferError
from connectors.protocols.dlms.telegram import Telegram, TelegramError
from connectors.protocols.dlms.template import PushTemplate
from schemas.ids import event_id
from schemas.records import Direction, Frame, Protocol, SessionFrames, SessionKind, Transport

_AARQ, _BLOCK = 0x60, 0xE0
_TRANSPORTS = {item.value: item for item in Transport}


class Conversation:
    """What a connection has to remember: a frame that is not whole yet, blocks that wait for more."""

    __slots__ = (
        "_assembler",
        "_blocks",
        "_guess",
        "_guessed",
        "_held",
        "_outer",
        "_pipeline",
        "_stream",
        "_used",
        "endpoint",
        "replay_id",
    )

    def __init__(self, pipeline: Pipeline, endpoint: str, replay_id: str = "") -> None:
        self._pipeline = pipeline
        self._stream = PushStream(pipeline.limits)
        self._assembler = self._new_assembler()
        self._blocks: list[bytes] = []
        self._held = 0
        self._outer = False
        self._used: PushTemplate | None = None
        self._guess = True
        self._guessed = False
        self.endpoint = endpoint
        self.replay_id = replay_id

    @property
    def pending(self) -> int:
        """Octets that wait for more."""
        return self._stream.buffered + self._held

    @property
    def blocks(self) -> int:
        """Octets of blocks that wait for more."""
        return self._held

    def feed(self, data: bytes, received_at: int) -> list[Push]:
        """What came to an end with these octets."""
        return self.items(self._stream.feed(data), received_at)

    def datagram(self, data: bytes, received_at: int) -> list[Push]:
        """Like `feed`, where no frame goes on in the next octets, but blocks of a long telegram may."""
        return self.feed(data, received_at) + self.items(self._stream.close(), received_at)

    def take_replies(self) -> bytes:
        """What the link wants back at once."""
        return self._stream.take_replies()

    def close(self, received_at: int) -> list[Push]:
        """Nothing more will come: what is not whole is refused."""
        pushes = self.items(self._stream.close(), received_at)
        for error in self._assembler.close():
            if not isinstance(error, TelegramError):
                continue  # closing makes no telegram
            push = self._push(tuple(self._blocks) or (error.data,), error.transport, received_at)
            pushes.append(replace(push, letter=letter_of(push, error.code, error.detail)))
        self._hold(())
        return pushes

    def items(self, items: Sequence[Apdu | Refused], received_at: int) -> list[Push]:
        """What the link delivered, or refused, to what it comes to."""
        pushes: list[Push] = []
        for item in items:
            if isinstance(item, Apdu):
                pushes += self._apdu(item, received_at)
            else:
                push = self._push((item.data,), item.transport, received_at)
                pushes.append(replace(push, letter=letter_of(push, item.code, item.detail)))
        return pushes

    def _apdu(self, apdu: Apdu, received_at: int) -> list[Push]:
        own = (masked(apdu.data),) if apdu.data[0] == _AARQ else apdu.frames
        # Blocks that are not ciphered one by one let other telegrams pass in between.
        between = self._outer and apdu.data[0] != _BLOCK

        def so_far(reply: bytes = apdu.confirm) -> Push:
            # Built only where something comes of it: for each of many blocks it would cost as much as all before.
            frames = own if between else (*self._blocks, *own)
            return self._push(frames, apdu.transport, received_at, reply)

        try:
            telegram = self._take(apdu)
            if telegram is None:
                return self._wait(own, apdu, received_at)
            push = so_far(apdu.confirm + confirmation(telegram, apdu))
            if not between:
                self._hold(())
            return [self._pipeline.telegram(telegram, push, apdu.data, used=self._used)]
        except BlockTransferError as error:
            # A block 1 of the next telegram ends the one before: it is kept, or whole already.
            kept = error.whole is None and error.blocks[-1:] != (apdu.data,)
            push = so_far()
            self._hold(own if kept else (), outer=apdu.data[0] == _BLOCK)
            pushes = [self._pipeline.failed(error, push, self._assembler.system_title)]
            return pushes if error.whole is None else pushes + self._apdu(replace(apdu, data=error.whole), received_at)
        except DlmsError as error:
            push = so_far()
            if not between:
                self._hold(())
            return [self._pipeline.failed(error, push, self._assembler.system_title)]
        except Exception as error:  # noqa: BLE001 - a bug in one telegram must neither stop the worker nor lose the bytes
            push = so_far()
            self._hold(())
            self._assembler = self._new_assembler()
            return [self._pipeline.internal(error, push)]

    def _take(self, apdu: Apdu) -> Telegram | None:
        """The telegram; tried again where keys are missing or wrong and the key store has changed meanwhile, and where the
        template was guessed from the endpoint alone and does not fit.
        """
        try:
            return self._assembler.take(apdu)
        except DecodeError:
            if not self._guessed or apdu.data[0] == _BLOCK:
                raise
            self._guess = False
            try:
                return self._assembler.take(apdu)
            finally:
                self._guess = True
        except CipherError as error:
            keys = error.code in ("key-missing", "cipher-authentication")
            if not keys or apdu.data[0] == _BLOCK or not self._pipeline.keys_changed():
                raise
            return self._assembler.take(apdu)

    def _wait(self, own: tuple[bytes, ...], apdu: Apdu, received_at: int) -> list[Push]:
        """Keep a block until the rest comes, unless a sender repeats itself without end."""
        self._blocks += own
        self._held += sum(map(len, own))
        self._outer = apdu.data[0] == _BLOCK
        if self._held <= 2 * self._pipeline.limits.max_apdu:
            # The link's own acknowledgement: the meter waits for it before it sends the next block.
            waits = self._push(own, apdu.transport, received_at, apdu.confirm)
            return [replace(waits, waits=True)] if apdu.confirm else []
        push = self._push(tuple(self._blocks), apdu.transport, received_at)
        self._hold(())
        self._assembler = self._new_assembler()
        detail = f"blocks of more than {2 * self._pipeline.limits.max_apdu} octets, and the last did not come"
        return [replace(push, letter=letter_of(push, "block-transfer", detail))]

    def _hold(self, frames: tuple[bytes, ...], *, outer: bool = False) -> None:
        self._blocks = list(frames)
        self._held = sum(map(len, frames))
        self._outer = outer

    def _choose(self, system_title: bytes | None) -> PushTemplate | None:
        by_title = system_title is not None
        self._used = self._pipeline.template_for(system_title, self.endpoint) if by_title or self._guess else None
        self._guessed = self._used is not None and not by_title
        return self._used

    def _new_assembler(self) -> Assembler:
        pipeline = self._pipeline
        return Assembler(
            pipeline.keys_of,
            self._choose,
            limits=pipeline.limits,
            others=pipeline.new_keys_of,
            read_plain=pipeline.shapes.read,
        )

    def _push(self, frames: tuple[bytes, ...], transport: str, received_at: int, reply: bytes = b"") -> Push:
        kept = SessionFrames(
            id=event_id("SessionFrames", "PUSH", self.endpoint, received_at, *frames),
            endpoint=self.endpoint,
            protocol=Protocol.DLMS,
            transport=_TRANSPORTS[transport],
            kind=SessionKind.PUSH,
            started_at=received_at,
            ended_at=received_at,
            frames=tuple(Frame(Direction.FROM_METER, received_at, frame) for frame in frames),
        )
        return Push(self.endpoint, received_at, kept, reply=reply, replay_id=self.replay_id)


def confirmation(telegram: Telegram, apdu: Apdu) -> bytes:
    """The data-notification-confirm that a telegram asks for, framed as it came; nothing on links that only push."""
    if not telegram.confirmed or telegram.invoke_id is None or telegram.plain[:1] != bytes((DATA_NOTIFICATION,)):
        return b""
    confirm = data_notification_confirm(telegram.invoke_id)
    if apdu.transport == "WRAPPER" and apdu.source is not None and apdu.destination is not None:
        return pack(apdu.destination, apdu.source, confirm)
    return confirm if apdu.transport == "RAW" else b""


def octets_pushes(pipeline: Pipeline, data: bytes, endpoint: str, received_at: int, replay_id: str = "") -> list[Push]:
    """What a whole stream comes to: a captured file, the frames of a push."""
    conversation = Conversation(pipeline, endpoint, replay_id)
    return conversation.feed(data, received_at) + conversation.close(received_at)


def apdu_pushes(pipeline: Pipeline, apdu: bytes, endpoint: str, received_at: int, replay_id: str = "") -> list[Push]:
    """What one whole APDU comes to that came by another way, such as between the answers of a session."""
    conversation = Conversation(pipeline, endpoint, replay_id)
    return conversation.items([Apdu(apdu, (apdu,), "RAW")], received_at) + conversation.close(received_at)
