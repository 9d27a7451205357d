"""General block transfer (IEC 62056-5-3, 9.4.2.4.9 and 9.5): APDUs too long for the link, in numbered blocks.

A block is `E0`, block control (bit 7 last block, bit 6 streaming, bits 0-5 window), block number, block number acknowledged
(16 bit each), and its part as an octet-string. Pushes stream their blocks unconfirmed: nothing is sent back, and a block
that did not come cannot be asked for.
"""

from __future__ import annotations

from connectors.protocols.dlms.axdr import read_length
from connectors.protocols.dlms.errors import DecodeError, DlmsError

TAG = 0xE0
_LAST = 0x80


class BlockTransferError(DlmsError):
    """Blocks that make no APDU: `blocks` are theirs, to be kept; `whole` is an APDU that they did not spoil."""

    def __init__(self, detail: str, blocks: tuple[bytes, ...], whole: bytes | None = None) -> None:
        super().__init__("block-transfer", detail)
        self.blocks = blocks
        self.whole = whole


class Blocks:
    """The blocks of one sender (one connection), in the order they came."""

    def __init__(self, max_apdu: int = 262_144, max_blocks: int = 4096) -> None:
        self._max_apdu = max_apdu
        self._max_blocks = max_blocks
        self._blocks: list[bytes] = []
        self._parts: list[bytes] = []
        self._size = 0

    def feed(self, apdu: bytes) -> bytes | None:
        """The APDU that is whole now, or None. What is no block is given back as it is and disturbs nothing.

        A block sent twice is taken once. Raises BlockTransferError where a block is missing or wrong, or there are too many;
        everything held is forgotten then, but a block 1 that came in between begins the next APDU (which is the error's
        `whole` if that block was also its last).
        """
        if apdu[:1] != bytes((TAG,)):
            return apdu
        last, number, part = self._parse(apdu)
        if self._blocks and apdu == self._blocks[-1]:
            return None
        if number == 1 and self._blocks:
            error = self._fail(f"block 1 of another APDU came after block {len(self._blocks)}")
            error.whole = self.feed(apdu)
            raise error
        if number != len(self._blocks) + 1:
            raise self._fail(f"block {number} came where block {len(self._blocks) + 1} is due", apdu)
        self._add(apdu, part)
        if self._size > self._max_apdu or len(self._blocks) > self._max_blocks:
            raise self._fail(f"{len(self._blocks)} blocks of {self._size} octets are beyond the limit of one APDU")
        if not last:
            return None
        if not self._size:
            raise self._fail("the sender ended a block transfer without content")
        whole = b"".join(self._parts)
        self._reset()
        return whole

    def close(self) -> None:
        """Nothing more will come. Raises BlockTransferError where blocks wait for more."""
        if self._blocks:
            raise self._fail(f"the stream ended after block {len(self._blocks)}, the last did not come")

    @property
    def buffered(self) -> int:
        """Octets held."""
        return self._size

    def _parse(self, apdu: bytes) -> tuple[bool, int, bytes]:
        try:
            size, at = read_length(apdu, 6)
        except DecodeError as error:
            raise self._fail(f"a block without a length: {error.detail}", apdu) from None
        if len(apdu) != at + size:
            raise self._fail(f"a block announces {size} octets and has {len(apdu) - at}", apdu)
        return bool(apdu[1] & _LAST), int.from_bytes(apdu[2:4], "big"), apdu[at:]

    def _add(self, apdu: bytes, part: bytes) -> None:
        self._blocks.append(apdu)
        self._parts.append(part)
        self._size += len(part)

    def _fail(self, detail: str, *more: bytes) -> BlockTransferError:
        error = BlockTransferError(detail, (*self._blocks, *more))
        self._reset()
        return error

    def _reset(self) -> None:
        self._blocks, self._parts, self._size = [], [], 0
