"""A meter's end of C12.22: a message in, the answer out. What it knows is its tables, as octets.

message ─▶ whole, out of segments ─▶ for me? ─▶ opened, as protected as it must be, and new ─▶ services, one after the other
until one is refused ─▶ the answer, protected alike, in segments where it is long; none where response control wants none

A meter of a kind with sessions answers only to whom showed the password; one without lets messages prove themselves. A
request that comes again octet for octet, as datagrams do, gets the same answer again; any other replay is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from connectors.protocols.c12 import acse, responses
from connectors.protocols.c12.acse import Apdu
from connectors.protocols.c12.c1222_messages import answer
from connectors.protocols.c12.c1222_replay import Replays
from connectors.protocols.c12.c1222_security import Opened, Policy, Seal, open_, seal
from connectors.protocols.c12.c1222_segments import Segments, cut
from connectors.protocols.c12.c1222_services import (
    Request,
    Resolve,
    Resolved,
    Response,
    Trace,
    Traced,
    decode_request,
    encode_response,
)
from connectors.protocols.c12.epsem import Body, Mode
from connectors.protocols.c12.errors import C12Error, CipherError
from connectors.protocols.c12.octets import intact
from connectors.protocols.c12.requests import (
    Identify,
    Logoff,
    Logon,
    ReadFull,
    ReadIndex,
    ReadOffset,
    Security,
    Terminate,
    Wait,
    WriteFull,
    WriteIndex,
    WriteOffset,
)
from connectors.protocols.c12.responses import (
    DEVICE_CLASS,
    SECURITY_MECHANISM,
    SESSION_CONTROL,
    Done,
    Feature,
    Identified,
    LoggedOn,
    Refused,
    TableData,
)
from connectors.protocols.c12.titles import C1222_BASE, C1222_SECURITY, ApTitle
from connectors.simulator.c12.kinds import C12Kind
from connectors.simulator.c12.psem_tables import Refusal, Tables

_OPEN = (0, 1)
"""Tables that may be read by whom has only logged on."""
_SESSIONS = 0x81  # one session, and services without one
_C1222 = 3
_TABLE_SERVICES = (ReadFull, ReadIndex, ReadOffset, WriteFull, WriteIndex, WriteOffset)


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a meter is in its network."""

    title: ApTitle
    kind: C12Kind
    key: bytes = field(repr=False)
    password: bytes = field(repr=False)
    native_address: bytes = b""
    base: ApTitle = C1222_BASE


class Numbers:
    """What a meter's messages bear: rising invocation ids, and the time in seconds as IV, which never falls."""

    def __init__(self, now_ms: Callable[[], int], first: int) -> None:
        self._now_ms, self._last, self._iv = now_ms, first, 0

    def invocation(self) -> int:
        """The next id."""
        self._last = (self._last + 1) % (1 << 31)
        return self._last

    def iv(self) -> bytes:
        """The initialisation vector of now."""
        self._iv = max(self._iv, self._now_ms() // 1000)
        return (self._iv & 0xFFFFFFFF).to_bytes(4, "big")


@dataclass(slots=True)
class _Client:
    """Somebody who has logged on."""

    until: float
    idle_s: float
    secured: bool = False


class MessageServer:
    """One meter, whoever asks and by whatever way."""

    def __init__(self, identity: Identity, tables: Tables, numbers: Numbers) -> None:
        self.identity, self.tables, self.numbers = identity, tables, numbers
        self._replays = Replays(base=identity.base)
        self._clients: dict[bytes, _Client] = {}
        self._last: tuple[bytes, tuple[bytes, ...]] = (b"", ())
        self.refused = 0
        """Messages that were not let in."""

    def receive(self, octets: bytes, segments: Segments, now: float) -> tuple[bytes, ...]:
        """A message from a way whose unfinished ones `segments` keeps; the messages that answer it, if any."""
        try:
            segments.expire(now)
            whole = segments.take(octets, now)
            if whole is None:
                return ()
            if whole == self._last[0]:
                return self._last[1]
            replies = self._answer(whole, now)
        except C12Error:
            return ()
        self._last = (whole, replies)
        return replies

    def seal(self) -> Seal | None:
        """What protects the next message of the meter."""
        kind = self.identity.kind
        if kind.mode is Mode.CLEAR:
            return None
        return Seal(kind.mode, self.identity.key, kind.key_id, self.numbers.iv())

    def lookup(self, _title: str, key_id: int) -> bytes | None:
        """The meter's key: a `KeyLookup`."""
        return self.identity.key if key_id == self.identity.kind.key_id else None

    def _answer(self, whole: bytes, now: float) -> tuple[bytes, ...]:
        identity, kind = self.identity, self.identity.kind
        apdu = acse.decode(whole)
        if apdu.called_invocation is not None:
            return ()  # an answer, and nothing of ours waits here
        if apdu.called is not None and apdu.called.absolute(identity.base) != identity.title.absolute(identity.base):
            return (self._refusal(apdu, responses.UAT),)
        try:
            opened = open_(whole, self.lookup, Policy(least=kind.mode, base=identity.base))
            self._replays.check(opened)
        except CipherError:
            return (self._refusal(apdu, responses.SME),)
        said = self._serve(opened, now)
        reply = answer(opened, said, invocation=self.numbers.invocation(), seal_with=self.seal(), base=identity.base)
        return () if reply is None else cut(reply, kind.largest)

    def _refusal(self, asked: Apdu, code: int) -> bytes:
        """In clear, since nobody knows who asks."""
        self.refused += 1
        apdu = Apdu(asked.calling, self.identity.title, self.numbers.invocation(), asked.calling_invocation)
        return seal(apdu, Body((encode_response(Refused(code)),)))

    def _serve(self, opened: Opened, now: float) -> list[Response]:
        """Responses in order, up to the first refusal."""
        title = opened.apdu.calling
        who = b"" if title is None else title.absolute(self.identity.base).octets
        found: list[Response] = []
        for service in opened.services:
            response: Response
            try:
                response = self._do(decode_request(service), who, opened, now)
            except Refusal as refusal:
                response = Refused(refusal.code)
            except C12Error as error:
                response = Refused(responses.SNS if error.code == "psem-service-unknown" else responses.ERR)
            found.append(response)
            if isinstance(response, Refused):
                break
        return found

    def _do(self, request: Request, who: bytes, opened: Opened, now: float) -> Response:  # noqa: PLR0911 - a case a service
        client = self._client(who, now)
        match request:
            case Identify():
                return self._identified()
            case Logon(_, _, idle):
                seconds = min(idle or 60, 3600)
                self._clients[who] = _Client(now + seconds, seconds)
                return LoggedOn(seconds)
            case Security(password):
                return self._security(password, client)
            case Logoff() | Terminate():
                self._clients.pop(who, None)
                return Done()
            case Wait(seconds):
                if client is not None:
                    client.until = max(client.until, now + seconds)
                return Done()
            case Resolve(title) if title.absolute(self.identity.base) == self.identity.title.absolute(self.identity.base):
                return Resolved(self.identity.native_address)
            case Trace(titles):
                return Traced((*titles, self.identity.title))
        if isinstance(request, _TABLE_SERVICES):
            self._permit(request.table, isinstance(request, ReadFull | ReadIndex | ReadOffset), client, opened)
            return self._table(request)
        return Refused(responses.SNS)

    def _client(self, who: bytes, now: float) -> _Client | None:
        client = self._clients.get(who)
        if client is not None and now > client.until:
            del self._clients[who]
            return None
        if client is not None:
            client.until = max(client.until, now + client.idle_s)
        return client

    def _security(self, password: bytes, client: _Client | None) -> Response:
        if client is None:
            return Refused(responses.ISSS)
        if password.rstrip(b"\0 ") != self.identity.password:
            return Refused(responses.ISC)
        client.secured = True
        return Done()

    def _permit(self, table: int, read: bool, client: _Client | None, opened: Opened) -> None:
        """Raises `Refusal`."""
        if self.identity.kind.session:
            if client is None:
                raise Refusal(responses.ISSS)
            if not client.secured and not (read and table in _OPEN):
                raise Refusal(responses.ISC)
        elif opened.mode is Mode.CLEAR and not read:
            raise Refusal(responses.ISC)

    def _table(self, request: ReadFull | ReadIndex | ReadOffset | WriteFull | WriteIndex | WriteOffset) -> Response:
        tables = self.tables
        match request:
            case ReadFull(table):
                return TableData(tables.read(table))
            case ReadOffset(table, offset, count):
                data = tables.read(table)
                if offset + count > len(data):
                    raise Refusal(responses.IAR)
                return TableData(data[offset : offset + count])
            case ReadIndex(table, indices, count):
                return TableData(tables.read_elements(table, indices, count))
        if not intact(request.data, request.sum):
            raise Refusal(responses.ERR)
        match request:
            case WriteFull(table, data):
                tables.write(table, 0, data)
            case WriteOffset(table, offset, data):
                tables.write(table, offset, data)
            case WriteIndex(table, indices, data):
                tables.write_elements(table, indices, data)
        return Done()

    def _identified(self) -> Response:
        features = [Feature(SESSION_CONTROL, bytes((_SESSIONS,)))]
        if self.identity.kind.mode is not Mode.CLEAR:
            features.insert(0, Feature(SECURITY_MECHANISM, C1222_SECURITY.encode()))
        device_class = ApTitle(self.identity.kind.device_class, 0x80)
        features.append(Feature(DEVICE_CLASS, device_class.encode()))
        return Identified(_C1222, 1, 0, tuple(features))
