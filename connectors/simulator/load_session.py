"""What a meter of the load fleet answers: associations, gets, blocks, release. Octets in, octets out.

Clients by wPort: 16 needs nothing, 1 the password, anything in a ciphered context high level security with GMAC and suite 0.
What is forged, replayed or out of turn is refused as a meter would: the association, or an exception-response.

    idle ──AARQ accepted──▶ open ──AARQ with HLS──▶ challenged ──reply proven──▶ open ──RLRQ──▶ idle
"""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, field
from hmac import compare_digest

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from connectors.simulator.image_transfer import IMAGE_LN, IMAGE_TRANSFER, ImageTransfer, parameters
from connectors.simulator.lengths import length, read_length

CONFORMANCE = bytes.fromhex("00101D")  # block transfer with get, get, set, selective access, action
_PLAIN_CONTEXT, _CIPHERED_CONTEXT = 1, 3
_LOW, _GMAC = 1, 5
_AUTHENTICATED, _BOTH = 0x10, 0x30
_TAG = 12
_REPLY_TO_HLS = bytes.fromhex("000F0000280000FF01")
_IMAGE = IMAGE_TRANSFER.to_bytes(2, "big") + bytes(map(int, IMAGE_LN.split(".")))
_NOT_ALLOWED, _DECIPHERING, _COUNTER = b"\xd8\x01\x01", b"\xd8\x01\x05", b"\xd8\x01\x06"
_UNDEFINED = 4
_NO_LONG_GET = 16


@dataclass(slots=True, eq=False)
class LoadMeter:
    """What one meter holds and knows."""

    title: bytes
    ek: bytes = field(repr=False)
    ak: bytes = field(repr=False)
    password: bytes = field(repr=False)
    objects: dict[bytes, bytes] = field(repr=False)
    """A-XDR by attribute descriptor."""
    image: ImageTransfer | None = None
    """Where it takes firmware."""
    block: int = 0
    """Octets of a block where long answers come in blocks, 0 where at once."""
    counter: int = field(default_factory=lambda: time.time_ns() // 1_000_000 % 2**31)
    """Of what it seals. It begins beyond that of the same meter in a fleet before: a meter keeps its own."""
    released: int = 0
    engine: AESGCM = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.engine = AESGCM(self.ek)

    def seal(self, plain: bytes) -> bytes:
        """Length, security control, counter, text and tag, authenticated and encrypted."""
        self.counter += 1
        head = b"\x30" + self.counter.to_bytes(4, "big")
        sealed = self.engine.encrypt(self.title + head[1:], plain, b"\x30" + self.ak)
        return length(len(plain) + 5 + _TAG) + head + sealed[: len(plain) + _TAG]

    def gmac(self, title: bytes, counter: bytes, challenge: bytes) -> bytes:
        """SC || IC || tag over a challenge (IEC 62056-5-3, 9.2.7.4)."""
        tag = self.engine.encrypt(title + counter, b"", b"\x10" + self.ak + challenge)[:_TAG]
        return b"\x10" + counter + tag


class Refused(Exception):  # noqa: N818 - an answer, not a fault
    """The meter answers so instead."""

    def __init__(self, apdu: bytes) -> None:
        super().__init__(apdu.hex())
        self.apdu = apdu


class LoadSession:
    """One client's dealings with a meter: APDU in, APDU out."""

    __slots__ = ("_blocks", "_challenges", "_ciphered", "_counter", "_meter", "_open", "_title")

    def __init__(self, meter: LoadMeter) -> None:
        self._meter = meter
        self._open = False
        self._ciphered = False
        self._title = b""
        self._counter = -1
        self._challenges: tuple[bytes, bytes] | None = None
        self._blocks: list[bytes] = []

    @property
    def away(self) -> bool:
        """Whether the meter restarts after an activation."""
        return self._meter.image is not None and self._meter.image.away

    def answer(self, client: int, apdu: bytes) -> bytes:
        """The answer to an APDU. Raises what Python raises where it is no APDU: a meter hangs up then."""
        tag = apdu[0]
        try:
            if tag == 0x60:
                return self._associate(client, apdu)
            if tag == 0x62:
                self._open = False
                self._meter.released += 1
                return b"\x63\x03\x80\x01\x00"
            if not self._open or (self._ciphered and tag not in (0xC8, 0xCB)):
                return _NOT_ALLOWED
            if not self._ciphered:
                return self._serve(apdu)
            plain = self._serve(self._opened(apdu, 1))
            return bytes((plain[0] + 8,)) + self._meter.seal(plain)
        except Refused as refusal:
            return refusal.apdu

    def _associate(self, client: int, apdu: bytes) -> bytes:
        meter, fields = self._meter, _fields(apdu)
        context, mechanism = fields[0xA1][-1], fields.get(0x8B, b"\0")[-1]
        self._ciphered, self._open, self._challenges = context == _CIPHERED_CONTEXT, False, None
        initiate = fields[0xBE][2:]
        response = b"\x08\x00\x06\x5f\x1f\x04\x00" + CONFORMANCE + b"\xff\xff\x00\x07"
        if not self._ciphered:
            password = fields.get(0xAC, b"\x80\x00")[2:]
            if client == 16 or (mechanism == _LOW and compare_digest(password, meter.password)):
                self._open = True
                return _aare(_PLAIN_CONTEXT, 0, 0, b"", response)
            return _aare(_PLAIN_CONTEXT, 1, 13, b"", b"\x0e\x01\x06\x04")
        if mechanism != _GMAC or initiate[0] != 0x21:
            return _aare(_CIPHERED_CONTEXT, 1, 13, b"", b"\x0e\x01\x06\x04")
        self._title, self._counter = fields[0xA6][2:], -1
        try:
            self._opened(initiate, 1)
        except Refused:
            return _aare(_CIPHERED_CONTEXT, 1, 13, b"", b"\x0e\x01\x06\x04")
        ours = secrets.token_bytes(16)
        self._challenges, self._open = (fields[0xAC][2:], ours), True
        proof = b"\xa4\x0a\x04\x08" + meter.title
        demand = b"\x88\x02\x07\x80\x89\x07\x60\x85\x74\x05\x08\x02\x05\xaa\x12\x80\x10" + ours
        return _aare(_CIPHERED_CONTEXT, 0, 14, proof, b"\x28" + meter.seal(response), demand)

    def _opened(self, apdu: bytes, at: int) -> bytes:
        """The text of a ciphered APDU from the client, whose length is at `at`."""
        size, at = read_length(apdu, at)
        if at + size != len(apdu) or apdu[at] != _BOTH:
            raise Refused(_DECIPHERING)
        meter, counter = self._meter, apdu[at + 1 : at + 5]
        vector, sealed, tag = self._title + counter, apdu[at + 5 : -_TAG], apdu[-_TAG:]
        plain = meter.engine.encrypt(vector, sealed, None)[: len(sealed)]
        if not compare_digest(meter.engine.encrypt(vector, plain, b"\x30" + meter.ak)[-16:-4], tag):
            raise Refused(_DECIPHERING)
        if (number := int.from_bytes(counter, "big")) <= self._counter:
            raise Refused(_COUNTER)
        self._counter = number
        return plain

    def _serve(self, apdu: bytes) -> bytes:
        if self._challenges is not None or apdu[0] != 0xC0:
            return self._act(apdu) if self._challenges is None else self._prove(apdu, *self._challenges)
        kind, invoke = apdu[1], apdu[2:3]
        if kind == 1:
            data = self._meter.objects.get(apdu[3:12])
            if data is None and self._meter.image is not None and apdu[3:11] == _IMAGE:
                data = self._meter.image.attribute(apdu[11])
            if data is None:
                return b"\xc4\x01" + invoke + bytes((1, _UNDEFINED))
            if not self._meter.block or len(data) <= self._meter.block:
                return b"\xc4\x01" + invoke + b"\0" + data
            size = self._meter.block
            self._blocks = [data[at : at + size] for at in range(0, len(data), size)]
            return self._block(invoke, 1)
        if kind == 2 and self._blocks:
            return self._block(invoke, int.from_bytes(apdu[3:7], "big") + 1)
        return b"\xc4\x01" + invoke + bytes((1, _NO_LONG_GET))

    def _act(self, apdu: bytes) -> bytes:
        """A method of the image transfer, of all there are."""
        image = self._meter.image
        if image is None or apdu[:2] != b"\xc3\x01" or apdu[3:11] != _IMAGE:
            raise Refused(_NOT_ALLOWED)
        first, second = parameters(apdu[13:]) if apdu[12:13] == b"\x01" else (None, None)
        return b"\xc7\x01" + apdu[2:3] + bytes((image.invoke(apdu[11], first, second), 0))

    def _block(self, invoke: bytes, number: int) -> bytes:
        if not 1 <= number <= len(self._blocks):
            return b"\xc4\x01" + invoke + bytes((1, _NO_LONG_GET))
        data = self._blocks[number - 1]
        last = bytes((number == len(self._blocks),))
        return b"\xc4\x02" + invoke + last + number.to_bytes(4, "big") + b"\0" + length(len(data)) + data

    def _prove(self, apdu: bytes, theirs: bytes, ours: bytes) -> bytes:
        """The last two passes of HLS: check what they make of our challenge, answer with what we make of theirs."""
        meter = self._meter
        if apdu[:2] != b"\xc3\x01" or apdu[3:12] != _REPLY_TO_HLS or apdu[12:15] != b"\x01\x09\x11":
            raise Refused(_NOT_ALLOWED)
        proof = apdu[15:]
        if not compare_digest(proof, meter.gmac(self._title, proof[1:5], ours)):
            self._open = False
            return b"\xc7\x01" + apdu[2:3] + b"\x03\x00"
        self._challenges = None
        meter.counter += 1
        return (
            b"\xc7\x01" + apdu[2:3] + b"\0\x01\0\x09\x11" + meter.gmac(meter.title, meter.counter.to_bytes(4, "big"), theirs)
        )


def _aare(context: int, result: int, diagnostic: int, title: bytes, initiate: bytes, demand: bytes = b"") -> bytes:
    content = b"\xa1\x09\x06\x07\x60\x85\x74\x05\x08\x01" + bytes((context,)) + b"\xa2\x03\x02\x01" + bytes((result,))
    content += b"\xa3\x05\xa1\x03\x02\x01" + bytes((diagnostic,)) + title + demand
    content += bytes((0xBE, len(initiate) + 2, 0x04, len(initiate))) + initiate
    return bytes((0x61, len(content))) + content


def _fields(apdu: bytes) -> dict[int, bytes]:
    size, at = read_length(apdu, 1)
    fields = {}
    if at + size != len(apdu):
        raise ValueError("cut short")
    while at < len(apdu):
        tag = apdu[at]
        size, start = read_length(apdu, at + 1)
        at = start + size
        fields[tag] = apdu[start:at]
    return fields
