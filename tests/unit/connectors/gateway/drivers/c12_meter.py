"""A C12 meter for tests: tables packed by hand, answers to PSEM services, C12.22 messages around them."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from connectors.protocols.c12 import acse, responses
from connectors.protocols.c12.acse import Apdu
from connectors.protocols.c12.c1222_messages import answer, notify
from connectors.protocols.c12.c1222_security import Opened, Policy, Seal, open_
from connectors.protocols.c12.c1222_services import (
    END_DEVICE,
    Deregister,
    Register,
    Request,
    Response,
    decode_request,
)
from connectors.protocols.c12.epsem import Body, Control, Mode, Respond
from connectors.protocols.c12.errors import CipherError
from connectors.protocols.c12.requests import (
    Identify,
    Logoff,
    Logon,
    ReadFull,
    ReadIndex,
    ReadOffset,
    Security,
    WriteFull,
    WriteOffset,
)
from connectors.protocols.c12.responses import Done, Identified, LoggedOn, Refused, TableData
from connectors.protocols.c12.titles import ApTitle, title
from tests.unit.connectors.protocols.c12.tables.meters import Block, Interval, ltime, number, sources, table0, uom

T = TypeVar("T")

START = 1_731_283_200
"""2024-11-11 00:00 UTC, in seconds."""
NOW_S = START + 86_400
HEAD_END = title("2.16.124.113620.1.22.0.1")
TITLE = title("2.16.124.113620.1.22.0.123.8437")
SERIAL = title("1.3.6.1.4.1.33507.88.12345678")
KEY, KEY_ID = bytes.fromhex("0102030405060708") * 2, 2
PASSWORD = b"0123456789ABCDEFGHIJ"
OWN_EVENT = 2048 + 5
LISTED = (0, 11, 12, 15, 16, 21, 22, 23, 27, 28, 51, 52, 61, 62, 63, 64, 71, 74, 76, 111, 112)
PER_BLOCK, BLOCKS, NEWEST, LAST = 4, 30, 11, 2
"""Intervals of a block, blocks of the ring, the newest one's element, and how many intervals it has so far."""
CHANNELS = 2
BLOCK_SIZE = 5 + PER_BLOCK * (2 + 2 * CHANNELS)


def blocks() -> list[Block]:
    """Blocks of hours, in quarters, oldest first; the ring has gone round. Values are the interval times 7, and 3 more."""
    made = []
    for index in range(BLOCKS):
        count = LAST if index == BLOCKS - 1 else PER_BLOCK
        first = index * PER_BLOCK
        rows = tuple(Interval((7 * (first + n), 7 * (first + n) + 3)) for n in range(count))
        made.append(Block(START + 900 * (first + count), rows))
    return made


def packed(block: Block) -> bytes:
    """A block: BLK_END_TIME, then intervals with a status octet for each channel pair and two octets a channel."""
    out = _stime(block.end)
    for item in block.intervals:
        out += bytes(CHANNELS // 2 + 1) + b"".join(number(value, 2, "little") for value in item.values)
    return out.ljust(BLOCK_SIZE, b"\xee")


def _stime(at: int) -> bytes:
    return ltime(at, 2)[:5]


def event(at: int | None, code: int, argument: int = 0, *, sequence: int = 1, own: bool = False) -> bytes:
    """An entry of table 76 (with event numbers, two octets of argument)."""
    time = b"\xff" * 6 if at is None else ltime(at, 2)
    whole = (7, sequence, 0, code | own << 11, argument)
    return time + b"".join(number(item, 2, "little") for item in whole)


def history(at: int, code: int) -> bytes:
    """An entry of table 74 (with times, event numbers and sequence numbers, one octet of argument)."""
    return ltime(at, 2) + b"".join(number(item, 2, "little") for item in (7, 1, 2, code)) + b"\0"


def log(entries: Sequence[bytes], total: int) -> bytes:
    """A log as a list, of which these entries are valid, oldest first."""
    filled = b"".join(entries).ljust(total * len(entries[0]), b"\xff")
    head = (len(entries), max(len(entries) - 1, 0))
    return b"\0" + b"".join(number(item, 2, "little") for item in head) + bytes(4) + number(1, 2, "little") + filled


EVENTS = (event(START + 60, 1), event(START + 120, 2), event(START + 180, 21), event(START + 240, 5, own=True))
HISTORY = (history(START + 60, 1), history(START + 300, 7))


def tables(*, access: int = 1, now: int = NOW_S) -> dict[int, bytes]:
    """All tables, little endian, times as single octets in UTC."""
    head = bytearray(table0(tables=LISTED, manufacturer=(), procedures=(10, 21)))
    head[1] = head[1] & ~0x18 | access << 3
    words = [uom(0, 0), uom(0, 0, quadrants=(2, 3)), uom(0, 4, multiplier=1), uom(33, 1, quadrants=())]
    status = bytes((0x24,)) + b"".join(number(item, 2, "little") for item in (BLOCKS, NEWEST))
    ring = [b""] * BLOCKS
    for age, block in enumerate(reversed(blocks())):
        ring[(NEWEST - age) % BLOCKS] = packed(block)
    made = sources(4, words, [0x11] * 4)
    dimensions = (number(BLOCKS, 2, "little"), number(PER_BLOCK, 2, "little"), bytes((CHANNELS, 15)))
    return {
        0: bytes(head),
        **{int(name[1:]): octets for name, octets in made.items()},
        15: b"",
        21: bytes((2, 0, 0, 2, 1, 0, 1, 0, 1, 1)),  # two sums, one maximum with its time; one demand and one value now
        22: bytes((0, 1, 2, 1)),
        23: number(1000, 4, "little") + number(2000, 4, "little") + _stime(START + 3600) + number(33, 4, "little"),
        27: bytes((2, 3)),
        28: number(44, 4, "little") + number(50, 4, "little"),
        51: bytes((0, 0, 0, 0, 0, 0, 0, 0)),
        52: ltime(now, 2) + bytes((0x10,)),
        61: number(9999, 4, "little") + number(1 << 10, 2, "little") + b"\xff" + b"".join(dimensions),
        62: bytes((1, 0, 0, 1, 1, 1, 2)),
        63: status + number(77, 4, "little") + number(BLOCKS, 2, "little") + number(LAST, 2, "little"),
        64: b"".join(ring),
        71: bytes((7, 10, 0, 1, 2)) + number(3, 2, "little") + number(6, 2, "little"),
        74: log(HISTORY, 3),
        76: log(EVENTS, 6),
        111: bytes((0, 0, 1)),
        112: b"SWITCH".ljust(20) + bytes((0, 0, 0, 1)),
    }


def rows() -> list[tuple[int, int, int]]:
    """What the load profile holds: end in milliseconds and the two values, oldest first."""
    return [
        (1000 * (block.end - 900 * (len(block.intervals) - 1 - at)), *item.values)  # type: ignore[misc]  # two channels
        for block in blocks()
        for at, item in enumerate(block.intervals)
    ]


@dataclass
class Services:
    """Answers to services, as a meter that holds these tables gives them; `asked` is what it was asked."""

    octets: dict[int, bytes] = field(default_factory=tables)
    largest: int = 4_096
    """Octets of one answer."""
    asked: list[Request] = field(default_factory=list)
    refuse: dict[int, int] = field(default_factory=dict)
    """Tables that are refused, with the response."""
    written: Callable[[int, bytes], None] = lambda table, data: None  # noqa: ARG005 - a hook's signature
    password: bytes | None = None

    def handle(self, request: Request) -> Response:  # noqa: PLR0911 - a case a service
        """The answer to one."""
        self.asked.append(request)
        match request:
            case Identify():
                return Identified(3, 1, 0)
            case Logon(_, _, idle):
                return LoggedOn(idle)
            case Security(password):
                known = self.password is None or password.rstrip(b"\0") == self.password
                return Done() if known else Refused(responses.ISC)
            case Logoff():
                return Done()
            case ReadFull(table):
                return self._read(table, 0, None)
            case ReadOffset(table, offset, count):
                return self._read(table, offset, count)
            case ReadIndex(64, (0, block), count):
                return self._read(64, block * BLOCK_SIZE, count * BLOCK_SIZE)
            case ReadIndex(64, (0, block, 0), 1):
                return self._read(64, block * BLOCK_SIZE, 5)
            case WriteFull(table, data):
                self.octets[table] = data
                self.written(table, data)
                return Done()
            case _:
                return Refused(responses.SNS)

    def _read(self, table: int, offset: int, count: int | None) -> Response:
        if table in self.refuse:
            return Refused(self.refuse[table])
        if table not in self.octets:
            return Refused(responses.IAR)
        octets = self.octets[table][offset:] if count is None else self.octets[table][offset : offset + count]
        return TableData(octets) if len(octets) <= self.largest else Refused(responses.RSTL)

    def parts(self, table: int) -> list[tuple[int, int]]:
        """Offset and count of the parts of a table that were read."""
        return [(one.offset, one.count) for one in self.asked if isinstance(one, ReadOffset) and one.table == table]


@dataclass
class MessageMeter:
    """A C12.22 meter: messages in, messages out."""

    services: Services = field(default_factory=Services)
    mode: Mode = Mode.CLEAR
    key: bytes = KEY
    key_id: int = KEY_ID
    own: ApTitle = TITLE
    sent: int = 500
    iv: int = START
    spoil: Callable[[bytes], Iterable[bytes]] = lambda message: (message,)
    """What becomes of an answer on its way."""
    stuck: bool = False
    """Whether it says every message under the number and vector of the first."""
    heard: list[Opened] = field(default_factory=list)

    def exchange(self, message: bytes) -> list[bytes]:
        """The answer to one message."""
        try:
            opened = open_(message, lambda _title, key_id: self.key if key_id == self.key_id else None, Policy(self.mode))
        except CipherError:  # as meters do: in clear, a refusal
            asked = open_(message, lambda _title, _key_id: None, Policy()) if self.mode is Mode.CLEAR else _unopened(message)
            return [answer(asked, [Refused(responses.SME)], invocation=self._next()) or b""]
        self.heard.append(opened)
        found: list[Response] = []
        for service in opened.services:
            found.append(self.services.handle(decode_request(service)))
            if isinstance(found[-1], Refused):
                break
        out = answer(opened, found, invocation=self._next(), seal_with=self.seal(opened.mode))
        return [] if out is None else list(self.spoil(out))

    def notify(
        self, requests: Sequence[Request], mode: Mode | None = None, *, respond: Respond = Respond.NEVER, qualifier: int = 4
    ) -> bytes:
        """A message that nobody asked for."""
        apdu = Apdu(HEAD_END, self.own, self._next(), qualifier=qualifier)
        return notify(apdu, requests, self.seal(self.mode if mode is None else mode), respond=respond)

    def register(self, period_s: int = 600) -> bytes:
        """A registration."""
        node = Register(END_DEVICE, 0, b"TEST", self.own, SERIAL, b"\x7f\0\0\1", period_s)
        return self.notify([node], respond=Respond.ALWAYS, qualifier=0)

    def deregister(self) -> bytes:
        """The end of it."""
        return self.notify([Deregister(self.own)], respond=Respond.ALWAYS, qualifier=0)

    def seal(self, mode: Mode) -> Seal | None:
        """What secures its next message."""
        self.iv += not self.stuck
        return None if mode is Mode.CLEAR else Seal(mode, self.key, self.key_id, self.iv.to_bytes(4, "big"))

    def _next(self) -> int:
        self.sent += not self.stuck
        return self.sent


def _unopened(message: bytes) -> Opened:
    """Whose message it is, though it cannot be read."""
    return Opened(acse.decode(message), Control(), Body(()), Mode.CLEAR, None, None, False, False)


def drive(session: Generator[bytes, bytes, T], exchange: Callable[[bytes], Sequence[bytes]]) -> T:
    """Run a session against something that answers messages."""
    waiting: list[bytes] = []
    try:
        out = next(session)
        while True:
            if out:
                waiting += exchange(out)
            out = session.send(waiting.pop(0) if waiting else b"")
    except StopIteration as ended:
        found: T = ended.value
        return found


def overlaid(base: Mapping[int, bytes], **tables: bytes) -> dict[int, bytes]:
    """Tables with others in place of some, given as t76=octets."""
    return {**base, **{int(name[1:]): octets for name, octets in tables.items()}}


def whole(table: int, data: bytes) -> WriteFull:
    """A write of a whole table."""
    return WriteFull(table, data)


def part(table: int, offset: int, data: bytes) -> WriteOffset:
    """A write of a part of one."""
    return WriteOffset(table, offset, data)
