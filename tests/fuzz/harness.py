"""What targets have in common: how octets become parameters and a meter's answers, and how a session is driven by them."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Any

from connectors.protocols.dlms.association import PROPOSED, Associated, Conformance
from connectors.protocols.dlms.client_apdus import CLOSED, Session
from connectors.protocols.dlms.errors import CODES, DlmsError
from connectors.protocols.dlms.objects.steps import Pause, Steps

MAX_INPUT = 4096
"""Octets of one input: enough for every branch, few enough to try many."""

_AFTER_THE_END = 64  # requests that a session may still make of a meter that has closed the connection
_PATIENCE_OF_STEPS = 4096


class Finding(AssertionError):  # noqa: N818 - what a fuzzer finds is called so
    """What a decoder must not do, other than raising."""


@dataclass(frozen=True, slots=True)
class Target:
    """One decoder, or one driven by answers."""

    name: str
    run: Callable[[bytes], None]
    weight: int = 1
    """Its share of a long run: what is quick and deep gets more inputs."""


class Pieces:
    """Octets as a row of parameters. Past the end everything is zero or empty, so every input means something."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def octet(self) -> int:
        """One octet."""
        piece = self._data[self._at : self._at + 1]
        self._at += 1
        return piece[0] if piece else 0

    def piece(self) -> bytes:
        """A length (one octet, from F0 on with the next one as its lower half) and as many octets as there are of it."""
        size = self.octet()
        if size >= 0xF0:
            size = (size & 0x0F) << 8 | self.octet()
        piece = self._data[self._at : self._at + size]
        self._at += size
        return piece

    def rest(self) -> bytes:
        """All that is left."""
        piece = self._data[self._at :]
        self._at = max(self._at, len(self._data))
        return piece

    @property
    def left(self) -> bool:
        """Whether anything is."""
        return self._at < len(self._data)


def piece(octets: bytes) -> bytes:
    """What `Pieces.piece` reads as `octets`."""
    if len(octets) < 0xF0:
        return bytes((len(octets),)) + octets
    return bytes((0xF0 | len(octets) >> 8, len(octets) & 0xFF)) + octets


def expect(held: bool, what: str) -> None:
    """A property that must hold."""
    if not held:
        raise Finding(what)


def own(error: DlmsError) -> None:
    """An error of ours has a code that is documented, and a detail that can be shown."""
    expect(error.code in CODES, f"{error.code} is no code of errors.CODES")
    expect(bool(error.detail), "an error without a detail")


def cut(data: bytes, how: int) -> Iterator[bytes]:
    """`data` in pieces: how 0 is all at once, else the sizes are made of `how`."""
    at, size = 0, how
    while at < len(data):
        size = len(data) if how == 0 else (size * 5 + 3) % (how % 61 + 1) + 1
        yield data[at : at + size]
        at += size


def associated(conformance: Conformance = PROPOSED, max_send: int = 0) -> Associated:
    """An association as it stands after the AARE."""
    return Associated(conformance, max_send)


Answer = Callable[[bytes], bytes]
"""The APDU that answers a request; `CLOSED` once there is no more."""


def raw(pieces: Pieces) -> Answer:
    """Pieces as whole APDUs; an answer's invoke-id is made the request's where its highest bit is set."""

    def answer(request: bytes) -> bytes:
        apdu = pieces.piece() if pieces.left else CLOSED
        if len(apdu) > 2 and len(request) > 2 and apdu[0] in (0xC4, 0xC5, 0xC7) and apdu[2] & 0x80:
            return apdu[:2] + bytes((apdu[2] & 0xF0 | request[2] & 0x0F,)) + apdu[3:]
        return apdu

    return answer


def enveloped(pieces: Pieces) -> Answer:
    """Pieces as the data of answers that are in order, so that what reads data is reached: GET, SET, ACTION, read, write.

    An empty piece is a refusal of that attribute.
    """

    def result() -> bytes:
        data = pieces.piece()
        return b"\0" + data if data else b"\x01\x04"

    def answer(request: bytes) -> bytes:
        if not pieces.left or len(request) < 4:
            return CLOSED
        service, kind, invoke = request[0], request[1], request[2:3]
        if service == 0xC0 and kind in (1, 3):
            count = 1 if kind == 1 else request[3]
            head = b"\xc4" + bytes((kind,)) + invoke + (bytes((count,)) if kind == 3 else b"")
            return head + b"".join(result() for _ in range(count))
        if service == 0xC1:
            return b"\xc5\x01" + invoke + bytes((pieces.octet(),))
        if service == 0xC3:
            data = pieces.piece()
            code = bytes((data[0],)) if data else b"\0"
            return b"\xc7\x01" + invoke + code + (b"\x01\0" + data[1:] if len(data) > 1 else b"\0")
        if service == 0x05:
            return b"\x0c" + request[1:2] + b"".join(result() for _ in range(min(kind, 16)))
        return b"\x0d\x01\0" if service == 0x06 else pieces.piece()

    return answer


def drive(session: Session[Any], answer: Answer) -> Any:
    """Run a session to its end; its result, or None where it ends with an error of ours.

    After the connection's end a session may not go on asking.
    """
    after = 0
    try:
        request = next(session)
        while after < _AFTER_THE_END:
            expect(isinstance(request, bytes), f"a session yielded {type(request).__name__}")
            reply = answer(request)
            after += not reply
            request = session.send(reply)
    except StopIteration as ended:
        return ended.value
    except DlmsError as error:
        own(error)
        return None
    session.close()
    raise Finding("the session goes on asking a meter that has closed the connection")


def drive_steps(steps: Steps[Any], answer: Answer) -> Any:
    """The same for work in steps. Pauses pass at once."""
    result: Any = None
    failed: DlmsError | None = None
    try:
        for _ in range(_PATIENCE_OF_STEPS):
            step = steps.send(result) if failed is None else steps.throw(failed)
            result, failed = None, None
            if isinstance(step, Pause):
                continue
            result, failed = _result(step, answer)
    except StopIteration as ended:
        return ended.value
    except DlmsError as error:
        own(error)
        return None
    steps.close()
    raise Finding(f"more than {_PATIENCE_OF_STEPS} steps")


def _result(session: Generator[bytes, bytes, Any], answer: Answer) -> tuple[Any, DlmsError | None]:
    """What a session of some steps returns or raises."""
    try:
        request = next(session)
        for _ in range(_PATIENCE_OF_STEPS):
            request = session.send(answer(request))
    except StopIteration as ended:
        return ended.value, None
    except DlmsError as error:
        own(error)
        return None, error
    raise Finding(f"more than {_PATIENCE_OF_STEPS} requests in one step")
