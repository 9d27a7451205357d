"""General block transfer on the pull side (IEC 62056-5-3, 9.4.6.13), around any session: long APDUs go and come in blocks.

    gbt_session(secured(get(link, attribute), channel), link.max_send_pdu)

A block is `E0`, control (bit 7 last block, bit 6 streaming, bits 0-5 window), its number, the number up to which the
sender has received everything, and its part. Each party counts its own blocks from 1, empty ones too, for one request and
its answer. We send one block and wait for its acknowledgement; the meter may stream as many as our window says before it
waits for ours. A block that is missing is asked for again by what is acknowledged.

What the link raises as "link-timeout" a driver may throw into the session (`session.throw(error)`): where blocks have been
acknowledged already, they are asked for again; anywhere else it comes out as it went in.
"""

from __future__ import annotations

from dataclasses import dataclass

from connectors.protocols.dlms.axdr import encode_length, read_length
from connectors.protocols.dlms.client_apdus import Session, T
from connectors.protocols.dlms.errors import DecodeError, DlmsError, PeerError
from connectors.protocols.dlms.gbt import TAG
from connectors.protocols.dlms.get import LIMITS, Limits

WINDOW = 8
"""Blocks that the meter may send before it waits."""

_LAST, _STREAMING, _WINDOW = 0x80, 0x40, 0x3F
_HEAD = 6  # octets of a block before its length
_ATTEMPTS = 3
_SUBJECT = "general block transfer"


@dataclass(frozen=True, slots=True)
class GbtBlock:
    """One general-block-transfer APDU."""

    last: bool
    streaming: bool
    window: int
    number: int
    acknowledged: int
    data: bytes

    def encode(self) -> bytes:
        """Its octets."""
        control = self.last * _LAST | self.streaming * _STREAMING | self.window
        head = bytes((TAG, control)) + self.number.to_bytes(2, "big") + self.acknowledged.to_bytes(2, "big")
        return head + encode_length(len(self.data)) + self.data

    @classmethod
    def parse(cls, apdu: bytes) -> GbtBlock:
        """From an APDU that begins with E0. Raises PeerError."""
        try:
            size, at = read_length(apdu, _HEAD)
        except DecodeError:
            raise _broken(f"a block of {len(apdu)} octets has no head") from None
        if size != len(apdu) - at:
            raise _broken(f"a block of {size} octets was announced, {len(apdu) - at} came")
        control = apdu[1]
        number, acknowledged = int.from_bytes(apdu[2:4], "big"), int.from_bytes(apdu[4:6], "big")
        return cls(bool(control & _LAST), bool(control & _STREAMING), control & _WINDOW, number, acknowledged, apdu[at:])


def gbt_session(session: Session[T], max_send: int, *, window: int = WINDOW, limits: Limits = LIMITS) -> Session[T]:
    """`session` with APDUs longer than `max_send` (0: none is) cut into blocks, and answers that come in blocks joined.

    What goes wrong is thrown into `session`, which may know better. ValueError where `window` is not 1 to 63.
    """
    if not 1 <= window <= _WINDOW:
        raise ValueError(f"a window of {window} blocks: 1 to {_WINDOW} are possible")
    try:
        apdu = next(session)
        while True:
            try:
                answer = yield from _Exchange(max_send, window, limits).run(apdu)
            except DlmsError as error:
                apdu = session.throw(error)
            else:
                apdu = session.send(answer)
    except StopIteration as ended:
        result: T = ended.value
        return result


class _Exchange:
    """One request and its answer."""

    def __init__(self, max_send: int, window: int, limits: Limits) -> None:
        self._max_send, self._window, self._limits = max_send, window, limits
        self._sent = 0  # the number of our last block
        self._received = 0  # the meter's last block up to which all came
        self._fresh = True  # nothing of the answer came yet
        self._attempts = self._seen = 0
        self._streamed = 0  # blocks that came since we last acknowledged

    def run(self, apdu: bytes) -> Session[bytes]:
        long = self._max_send and len(apdu) > self._max_send
        return (yield from self._receive((yield from self._send(apdu)) if long else (yield apdu)))

    def _send(self, apdu: bytes) -> Session[bytes]:
        """Each block as soon as the one before is acknowledged; what came in reply to the last."""
        size = self._max_send - _HEAD - 3
        if size < 1 or len(apdu) > size * 0xFFFE:
            detail = f"{_SUBJECT}: {len(apdu)} octets, the meter takes {self._max_send} at once: send less at once"
            raise PeerError("peer-pdu-size", detail)
        parts = [apdu[at : at + size] for at in range(0, len(apdu), size)]
        done = 0
        while True:
            last = done == len(parts) - 1
            block = GbtBlock(last, False, self._window, done + 1, self._received, parts[done])
            self._sent = max(self._sent, done + 1)
            try:
                answer = yield block.encode()
            except PeerError as error:
                self._again(error)
                continue
            if last or answer[:1] != bytes((TAG,)):
                return answer  # of another kind: a refusal
            reply = GbtBlock.parse(answer)
            if reply.data or reply.acknowledged > done + 1:
                raise _broken(f"block {done + 1} was sent, the meter answers as if there had been more")
            self._received = max(self._received, reply.number)
            if reply.acknowledged <= done:
                self._again(_broken(f"the meter keeps asking for block {reply.acknowledged + 1}"))
            else:
                self._attempts = 0
            done = reply.acknowledged

    def _receive(self, answer: bytes) -> Session[bytes]:
        """The answer as it is where it comes in no blocks, else joined. b"", the end of the connection, ends it too."""
        parts: list[bytes] = []
        total = 0
        while answer[:1] == bytes((TAG,)):
            block = GbtBlock.parse(answer)
            self._check(total + len(block.data))
            taken = self._take(block)
            if taken:
                parts.append(block.data)
                total += len(block.data)
                if block.last and total:
                    return b"".join(parts)
            answer = yield from self._next(block, taken=taken)
        return answer

    def _take(self, block: GbtBlock) -> bool:
        """Whether it is the next one; it is noted as received then.

        An answer that follows acknowledgements of the meter's may begin again at 1: some do not count those.
        """
        restarted = self._fresh and block.number == 1 and bool(block.data)
        if block.number != self._received + 1 and not restarted:
            return False
        self._received, self._attempts = block.number, 0
        if block.data:
            self._fresh = False
        return True

    def _next(self, block: GbtBlock, *, taken: bool) -> Session[bytes]:
        """Wait for more of the window, or acknowledge what came, as often as needed.

        The window is one block until we have said another. Some meters leave the streaming bit set on its last block.
        """
        self._streamed += 1
        if block.streaming and self._streamed < (self._window if self._sent else 1):
            try:
                return (yield b"")
            except PeerError as error:
                self._again(error)
        elif not taken:
            self._again(_broken(f"block {self._received + 1} does not come, block {block.number} does"))
        self._sent, self._streamed = self._sent + 1, 0
        while True:
            acknowledgement = GbtBlock(True, False, self._window, self._sent, self._received, b"")
            try:
                return (yield acknowledgement.encode())
            except PeerError as error:
                self._again(error)

    def _check(self, total: int) -> None:
        self._seen += 1
        if total > self._limits.octets or self._seen > self._limits.blocks or self._received == 0xFFFF:
            what = f"{_SUBJECT}: more than {self._limits.octets} octets or {self._limits.blocks} blocks"
            raise PeerError("peer-block", f"{what}: ask for a shorter range")

    def _again(self, error: PeerError) -> None:
        """Raises `error` unless asking once more may help."""
        self._attempts += 1
        silent = error.code == "link-timeout"
        if self._attempts > _ATTEMPTS or not (error.code == "peer-block" or (silent and self._received)):
            raise error


def _broken(what: str) -> PeerError:
    return PeerError("peer-block", f"{_SUBJECT}: {what}: ask for the whole again, or for less", retry=True)
