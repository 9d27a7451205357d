"""The image transfer of a simulated meter (class 18): blocks, their bitmap, verification, activation with a restart; faults.

    none ─initiate─▶ initiated ─verify─▶ verifying ─▶ verified ─activate─▶ away for a while ─▶ back with the new version
                                             └─▶ failed: a block is missing, or the meter rejects it       └─▶ bricked: never

The version that an image brings is what follows the last hyphen of its identifier. What the meter holds is kept as its
SHA-256 only, once it is verified: fleets hold many images.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from connectors.simulator.lengths import length, read_length

IMAGE_TRANSFER = 18
IMAGE_LN = "0.0.44.0.0.255"
_INITIATE, _BLOCK, _VERIFY, _ACTIVATE = 1, 2, 3, 4
_NONE, _INITIATED, _VERIFYING, _VERIFIED, _FAILED, _ACTIVATED = 0, 1, 2, 3, 4, 6
_OK, _TEMPORARY, _DENIED, _TYPE = 0, 2, 3, 12
_LARGEST = 1 << 24
ATTRIBUTES = (2, 3, 4, 5, 6, 7)


@dataclass(frozen=True, slots=True)
class Faults:
    """What is wrong with a meter."""

    rejects: bool = False
    """It finds every image wrong."""
    bricks: bool = False
    """It does not come back from an activation."""
    loses: int = 0
    """Of so many blocks it says that it has one which it has not, once; 0: of none."""


SOUND = Faults()


class ImageTransfer:
    """One meter's. `now_ms` is the clock; `activated` is called with the version that it has from now on."""

    def __init__(
        self,
        now_ms: Callable[[], int],
        activated: Callable[[str], None] = lambda _version: None,
        *,
        block_size: int = 256,
        verify_ms: int = 1_000,
        restart_ms: int = 5_000,
        faults: Faults = SOUND,
    ) -> None:
        self._now_ms = now_ms
        self._activated = activated
        self._verify_ms, self._restart_ms = verify_ms, restart_ms
        self._faults = faults
        self._identifier, self._size = b"", 0
        self._data = bytearray()
        self._have = bytearray()
        self._lost: set[int] = set()
        self._status = _NONE
        self._verified_at = 0
        self._back_at = 0
        self.block_size = block_size
        self.sha256 = ""
        """Of the image that was verified last."""
        self.initiations = 0
        self.blocks = 0
        """Blocks that came, those that came again included."""

    @property
    def away(self) -> bool:
        """Whether it restarts, or is bricked: it takes no connection, and has closed those that there were."""
        return self._now_ms() < self._back_at

    def invoke(self, method: int, first: object = None, second: object = None) -> int:
        """Do what a method does, with the two elements of its parameter; the action-result."""
        try:
            return {_INITIATE: self._initiate, _BLOCK: self._block, _VERIFY: self._verify, _ACTIVATE: self._activate}[
                method
            ](first, second)
        except KeyError:
            return _DENIED

    def attribute(self, index: int) -> bytes | None:
        """An attribute's value as A-XDR; None where there is no such attribute."""
        count = len(self._have)
        if index == 2:
            return b"\x06" + self.block_size.to_bytes(4, "big")
        if index == 3:
            packed = bytearray(-(-count // 8))
            for number, have in enumerate(self._have):
                packed[number >> 3] |= have << (7 - (number & 7))
            return b"\x04" + length(count) + bytes(packed)
        if index == 4:
            first = self._have.find(0)
            return b"\x06" + (count if first < 0 else first).to_bytes(4, "big")
        if index == 5:
            return b"\x03\x01"
        if index == 6:
            return bytes((0x16, self._settled()))
        return self._to_activate() if index == 7 else None

    def _to_activate(self) -> bytes:
        if self._settled() not in (_VERIFIED, _ACTIVATED):
            return b"\x01\x00"
        digest = bytes.fromhex(self.sha256)
        name = b"\x09" + length(len(self._identifier)) + self._identifier
        return b"\x01\x01\x02\x03\x06" + self._size.to_bytes(4, "big") + name + b"\x09\x20" + digest

    def _settled(self) -> int:
        """The status now."""
        if self._status == _VERIFYING and self._now_ms() >= self._verified_at:
            whole = 0 not in self._have and not self._faults.rejects
            self._status = _VERIFIED if whole else _FAILED
            self.sha256 = hashlib.sha256(self._data).hexdigest()
            self._data = bytearray()
        return self._status

    def _initiate(self, identifier: object, size: object) -> int:
        if not isinstance(identifier, (bytes, bytearray)) or not isinstance(size, int) or not 0 < size <= _LARGEST:
            return _TYPE
        self._identifier, self._size = bytes(identifier), size
        self._data, self._have = bytearray(size), bytearray(-(-size // self.block_size))
        self._lost.clear()
        self._status = _INITIATED
        self.initiations += 1
        return _OK

    def _block(self, number: object, octets: object) -> int:
        if self._status != _INITIATED:
            return _TEMPORARY if self._status == _VERIFYING else _DENIED
        if not isinstance(number, int) or not isinstance(octets, (bytes, bytearray)) or not 0 <= number < len(self._have):
            return _TYPE
        start = number * self.block_size
        if len(octets) != min(self.block_size, self._size - start):
            return _TYPE
        self.blocks += 1
        if self._faults.loses and number % self._faults.loses == 0 and number not in self._lost:
            self._lost.add(number)
            return _OK
        self._data[start : start + len(octets)] = octets
        self._have[number] = 1
        return _OK

    def _verify(self, *_: object) -> int:
        if self._settled() not in (_INITIATED, _VERIFIED):
            return _DENIED
        self._status, self._verified_at = _VERIFYING, self._now_ms() + self._verify_ms
        return _TEMPORARY if self._verify_ms else _OK

    def _activate(self, *_: object) -> int:
        if self._settled() != _VERIFIED:
            return _DENIED
        self._status = _ACTIVATED
        self._back_at = 1 << 62 if self._faults.bricks else self._now_ms() + self._restart_ms
        self._activated(self._identifier.rpartition(b"-")[2].decode("ascii", "replace"))
        return _OK


def parameters(data: bytes) -> tuple[object, object]:
    """The two elements of a method's parameter, A-XDR: numbers and octet-strings of a structure; None where there are none.
    Raises ValueError or IndexError where it is cut short.
    """
    if data[:2] != b"\x02\x02":
        return None, None
    found: list[object] = []
    at = 2
    for _ in range(2):
        if data[at] == 0x06:
            found.append(int.from_bytes(data[at + 1 : at + 5], "big"))
            at += 5
        elif data[at] == 0x09:
            size, start = read_length(data, at + 1)
            at = start + size
            found.append(bytes(data[start:at]))
        else:
            raise ValueError(f"a tag {data[at]:#04x} in the parameter of an image transfer")
    if at != len(data):
        raise ValueError("a parameter that is cut short")
    return found[0], found[1]
