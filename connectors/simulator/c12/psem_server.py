"""A meter's end of C12.18 and C12.21: octets and time in, octets out. What it knows is its tables, as octets.

base ──identify──▶ identified ──logon──▶ session ──security, authenticate──▶ session, secured
 ▲                     ▲──────logoff──────────┘
 └──terminate, silence (channel traffic time-out), a broken link──

server = PsemServer(OctetTables({0: …, 1: …}), Settings(password=b"…"))
reply = server.receive(octets, now)        and `tick` when `deadline` is due
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from enum import Enum

from connectors.protocols.c12 import c1221, responses
from connectors.protocols.c12.errors import C12Error
from connectors.protocols.c12.octets import intact
from connectors.protocols.c12.psem_link import PsemLink
from connectors.protocols.c12.psem_link import State as LinkState
from connectors.protocols.c12.psem_timing import DEFAULTS, TIMING, Timing
from connectors.protocols.c12.requests import (
    PASSWORD_SIZE,
    Authenticate,
    Identify,
    Logoff,
    Logon,
    Negotiate,
    ReadDefault,
    ReadFull,
    ReadIndex,
    ReadOffset,
    Request,
    Security,
    Terminate,
    Timings,
    Wait,
    WriteFull,
    WriteIndex,
    WriteOffset,
)
from connectors.protocols.c12.responses import (
    AUTHENTICATION_TICKET,
    Authenticated,
    Done,
    Feature,
    Identified,
    LoggedOn,
    Negotiated,
    Refused,
    Response,
    TableData,
)
from connectors.protocols.c12.services import decode_request, encode_response
from connectors.simulator.c12.psem_tables import Refusal, Tables


@dataclass(frozen=True, slots=True)
class Settings:
    """What a meter is like."""

    standard: int = 0
    """0 is C12.18, 2 is C12.21."""
    version: int = 2
    revision: int = 0
    packet_size: int = 1024
    """The largest packet, and how many at once, that it grants."""
    packets: int = 254
    password: bytes | None = field(default=None, repr=False)
    """None: everybody may do everything once logged on."""
    open_tables: Collection[int] = (0, 1)
    """What may be read without the password."""
    key: c1221.Key | None = None
    """For authentication by DES; then its identity carries a ticket."""
    default_table: int = 1
    timing: Timing = TIMING
    identity: int = 0


class State(Enum):
    """Where a session is (C12.18, 5.1)."""

    BASE = "base"
    IDENTIFIED = "identified"
    SESSION = "session"


_TABLES = (ReadFull, ReadIndex, ReadOffset, ReadDefault, WriteFull, WriteIndex, WriteOffset)
_ANYWHERE = (Identify, Terminate)

ALLOWED: dict[State, tuple[type[Request], ...]] = {
    State.BASE: _ANYWHERE,
    State.IDENTIFIED: (*_ANYWHERE, Negotiate, Timings, Wait, Logon),
    State.SESSION: (*_ANYWHERE, Wait, Security, Authenticate, Logoff, *_TABLES),
}
"""What may be asked where; anything else is answered isss (C12.18, 5.1). Identify begins again everywhere, as meters do: a
client whose line broke knows no better.
"""


def counting_tickets() -> Iterator[bytes]:
    """Tickets that are never the same in one run, and the same in every run."""
    number = 0x1F2E3D4C5B6A7988
    while True:
        yield number.to_bytes(8, "big")
        number = (number * 6364136223846793005 + 1442695040888963407) & 0xFFFFFFFFFFFFFFFF


class PsemServer:
    """One meter on one line."""

    def __init__(self, tables: Tables, settings: Settings | None = None, tickets: Iterator[bytes] | None = None) -> None:
        self._tables = tables
        self._settings = settings or Settings()
        self._tickets = tickets or counting_tickets()
        self._link = PsemLink(self._settings.timing, asks=False, identity=self._settings.identity)
        self._link.open(0.0)
        self._heard: float | None = None
        self._patience: float | None = None
        self._begin()

    def _begin(self) -> None:
        self.state = State.BASE
        self.secured = False
        """Whether the session has shown its password or key."""
        self._ticket = b""
        self._heard = None

    @property
    def deadline(self) -> float | None:
        """When `tick` has something to do."""
        dues = (self._link.deadline, self._silence())
        return min((due for due in dues if due is not None), default=None)

    def receive(self, data: bytes, now: float) -> bytes:
        """Octets from the line; what the meter says to them."""
        try:
            received = self._link.receive(data, now)
            out = received.replies
            if self._heard is not None and self._link.state is not LinkState.IDLE:
                self._heard = now  # packets and signs of a service under way are traffic, too
            for service in received.apdus:
                self._heard, self._patience = now, None
                if self._link.state is LinkState.IDLE:  # else one is being answered: a client asks one thing at a time
                    out += self._answer(service, now)
        except C12Error:
            self._start_over(now)
            return b""
        return out

    def tick(self, now: float) -> bytes:
        """Time has passed: octets to send again; or the session is given up."""
        silence = self._silence()
        if silence is not None and now >= silence:
            self._start_over(now)
            return b""
        try:
            return self._link.tick(now)
        except C12Error:
            self._start_over(now)
            return b""

    def _silence(self) -> float | None:
        """When the session is given up for want of traffic."""
        if self._heard is None:
            return None
        timing = self._link.agreed.timing or self._settings.timing
        return self._heard + max(timing.traffic_s, self._patience or 0.0)

    def _start_over(self, now: float) -> None:
        self._link.close(now)
        self._link.open(now)
        self._begin()

    def _answer(self, service: bytes, now: float) -> bytes:
        agreed = self._link.agreed
        try:
            request = decode_request(service)
        except C12Error as error:
            code = responses.SNS if error.code == "psem-service-unknown" else responses.ERR
            return self._say(Refused(code), now)
        if not isinstance(request, ALLOWED[self.state]):
            return self._say(Refused(responses.ISSS), now)
        try:
            response = self._handle(request)
        except Refusal as refusal:
            response = Refused(refusal.code)
        out = self._say(response, now)
        match request, response:
            case Negotiate(), Negotiated(size, packets, baud):
                self._link.agree(replace(agreed, packet_size=size, packets=packets, baud=baud))
            case Timings(), Timings():
                timing = Timing(
                    float(response.octet_s), float(response.answer_s), float(response.traffic_s), response.retries
                )
                self._link.agree(replace(agreed, timing=replace(timing, line_octets_s=self._settings.timing.line_octets_s)))
            case (Identify(), _) | (Terminate(), _):
                self._link.agree(DEFAULTS)
        return out

    def _say(self, response: Response, now: float) -> bytes:
        """One answer; onp where it is longer than what was negotiated."""
        octets = encode_response(response)
        if len(octets) > self._link.agreed.capacity:
            octets = encode_response(Refused(responses.ONP))
        return self._link.send(octets, now)

    def _handle(self, request: Request) -> Response:  # noqa: C901, PLR0911, PLR0912 - a case a service
        settings = self._settings
        match request:
            case Identify():
                return self._identify()
            case Terminate():
                self._begin()
                return Done()
            case Negotiate(size, packets, bauds):
                rate = bauds[0] if bauds else (0 if settings.standard else 9600)
                return Negotiated(max(min(size, settings.packet_size), 64), max(min(packets, settings.packets), 1), rate)
            case Timings():
                return request if settings.standard else Refused(responses.SNS)
            case Wait(seconds):
                self._patience = float(seconds)
                return Done()
            case Logon(_, _, idle):
                self.state, self.secured = State.SESSION, settings.password is None and settings.key is None
                return LoggedOn(idle)
            case Logoff():
                self.state, self.secured = State.IDENTIFIED, False
                return Done()
            case Security(password):
                return self._security(password)
            case Authenticate(data):
                return self._authenticate(data)
            case ReadDefault():
                return self._read(ReadFull(settings.default_table))
            case ReadFull() | ReadOffset() | ReadIndex():
                return self._read(request)
            case WriteFull() | WriteOffset() | WriteIndex():
                return self._write(request)
            case _:
                return Refused(responses.SNS)

    def _identify(self) -> Response:
        settings = self._settings
        self._begin_session()
        features: tuple[Feature, ...] = ()
        if settings.key is not None:
            self._ticket = next(self._tickets)
            features = (Feature(AUTHENTICATION_TICKET, bytes((1, c1221.DES, len(self._ticket))) + self._ticket),)
        return Identified(settings.standard, settings.version, settings.revision, features)

    def _begin_session(self) -> None:
        heard = self._heard
        self._begin()
        self._heard, self.state = heard, State.IDENTIFIED

    def _security(self, password: bytes) -> Response:
        ours = self._settings.password
        if ours is not None and password.rstrip(b"\0 ") != ours[:PASSWORD_SIZE].rstrip(b"\0 "):
            return Refused(responses.ERR)
        self.secured = self.secured or ours is not None
        return Done()

    def _authenticate(self, data: bytes) -> Response:
        key = self._settings.key
        if key is None:
            return Refused(responses.SNS)
        number = bytes((key.number,))
        theirs = c1221.encipher(key, self._ticket)
        if data != number + theirs:
            return Refused(responses.ERR)
        self.secured = True
        return Authenticated(number + c1221.encipher(key, theirs))

    def _read(self, request: ReadFull | ReadOffset | ReadIndex) -> Response:
        if not self.secured and request.table not in self._settings.open_tables:
            return Refused(responses.ISC)
        match request:
            case ReadFull(table):
                return TableData(self._tables.read(table))
            case ReadIndex(table, indices, count):
                return TableData(self._tables.read_elements(table, indices, count))
            case ReadOffset(table, offset, count):
                octets = self._tables.read(table)
                if offset >= len(octets):
                    return Refused(responses.IAR)
                return TableData(octets[offset : offset + count])

    def _write(self, request: WriteFull | WriteOffset | WriteIndex) -> Response:
        if not self.secured:
            return Refused(responses.ISC)
        if not intact(request.data, request.sum):
            return Refused(responses.ERR)
        match request:
            case WriteFull(table, data):
                self._tables.write(table, 0, data)
            case WriteOffset(table, offset, data):
                self._tables.write(table, offset, data)
            case WriteIndex(table, indices, data):
                self._tables.write_elements(table, indices, data)
        return Done()
