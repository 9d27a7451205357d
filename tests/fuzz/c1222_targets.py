"""Targets of C12.22: messages, streams, segments, services, masks, the tree of `hes decode`, sessions."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

from connectors.protocols.c12 import acse
from connectors.protocols.c12.acse import Apdu
from connectors.protocols.c12.c1222_framing import KEEP_ALIVE, ApduStream, Item, datagram
from connectors.protocols.c12.c1222_masking import masked
from connectors.protocols.c12.c1222_messages import answer, message_of
from connectors.protocols.c12.c1222_replay import Replays
from connectors.protocols.c12.c1222_security import Policy, Seal, keyring, open_, seal
from connectors.protocols.c12.c1222_segments import Limits, Segments
from connectors.protocols.c12.c1222_services import decode_request, decode_response, encode_request, encode_response
from connectors.protocols.c12.c1222_session import Client, Node
from connectors.protocols.c12.decode import View, decode_c1222
from connectors.protocols.c12.epsem import Body, Mode, Respond
from connectors.protocols.c12.errors import CODES, C12Error
from connectors.protocols.c12.requests import Identify, ReadFull, WriteFull
from connectors.protocols.c12.responses import Done, Refused
from connectors.protocols.c12.titles import title
from tests.fuzz.harness import Finding, Pieces, Target, cut, expect

METER, HES = title("1.3.6.1.4.1.33507.1919.7"), title(".5")
KEY, KEY_ID = bytes(range(16)), 2
KEYS = keyring({("*", KEY_ID): KEY})
LIMITS = Limits(messages=4, octets=8192, message_octets=4096, age_s=5.0, pieces=16)
_MOST = 512
_PATIENCE = 64
ASKED = (Identify(), ReadFull(1), WriteFull(64, bytes(40)))


def own(error: C12Error) -> None:
    """An error of ours has a code that is documented, and a detail that can be shown."""
    expect(error.code in CODES, f"{error.code} is no code of errors.CODES")
    expect(bool(error.detail), "an error without a detail")
    expect(KEY.hex() not in error.detail, "a key in an error's detail")


def run_message(data: bytes) -> None:
    """A message: what can be read is written and read the same; masked it is as long, and the tree is made of it."""
    expect(len(masked(data)) == len(data), "masking changes the length")
    nodes = list(decode_c1222(data, View(KEYS)).walk())
    expect(nodes[0][1].name == "C12.22 message", "no message at the top")
    expect(len(nodes) < 64 + 16 * len(data), "more fields than octets explain")
    try:
        apdu = acse.decode(data)
    except C12Error as error:
        own(error)
        return
    expect(acse.decode(acse.encode(apdu)) == apdu, "a message is read otherwise once it was written again")
    expect(masked(masked(data)) == masked(data), "what is masked has something left to mask")


def run_open(data: bytes) -> None:
    """What a message with a right MAC carries: seal, body, qualifier and services from the input, opened and understood."""
    pieces = Pieces(data)
    flags = pieces.octet()
    secured = Seal(Mode.CIPHERED if flags & 2 else Mode.AUTHENTICATED, KEY, KEY_ID, b"\0\0\0\1") if flags & 1 else None
    respond = Respond(flags >> 2 & 1)
    apdu = Apdu(METER, HES, pieces.octet(), pieces.octet() if flags & 8 else None, flags >> 4 & 7)
    services: list[bytes] = []
    while pieces.left and len(services) < 8:
        services.append(pieces.piece() or b"\x20")
    octets = seal(apdu, Body(tuple(services), b"TEMP" if flags & 0x80 else None), secured, respond=respond)
    opened = open_(octets, KEYS)
    expect(opened.services == tuple(services), "services are not what was sealed")
    Replays().check(opened)
    expect(len(masked(octets, tuple(services))) == len(octets), "masking changes the length")
    decode_c1222(octets, View(KEYS, requests=tuple(services)))
    try:
        message = message_of(opened)
    except C12Error as error:
        own(error)
        return
    answer(
        opened,
        [Refused(1) if index else Done() for index, _ in enumerate(message.requests)],
        invocation=9,
        seal_with=secured,
    )


def run_bare(data: bytes) -> None:
    """Octets as a message to be opened, with every policy."""
    pieces = Pieces(data)
    policy = Policy(least=Mode(pieces.octet() % 3))
    try:
        open_(pieces.rest(), KEYS, policy, either=True, held=(KEY_ID, bytes(4)))
    except C12Error as error:
        own(error)


def run_stream(data: bytes) -> None:
    """A connection, in pieces: every octet is in an item, whatever the pieces."""
    pieces = Pieces(data)
    how = pieces.octet()
    octets = pieces.rest()
    found = _streamed(octets, how)
    expect(found == _streamed(octets, 0), "items depend on how the octets are cut")
    kept = sum(len(item.octets) for item in found)
    expect(0 <= len(octets) - kept <= octets.count(KEEP_ALIVE) * len(KEEP_ALIVE), "octets of the stream are lost")
    expect(sum(len(item.octets) for item in datagram(octets, max_apdu=_MOST)) <= len(octets), "a datagram has grown")


def _streamed(octets: bytes, how: int) -> list[Item]:
    stream = ApduStream(max_apdu=_MOST)
    found: list[Item] = []
    for part in cut(octets, how):
        found += stream.feed(part)
        expect(stream.buffered <= _MOST + 8, "the stream keeps more than a message")
    return found + stream.close()


def run_segments(data: bytes) -> None:
    """Segments in any order, of any shape, as time passes."""
    pieces = Pieces(data)
    segments, now = Segments(LIMITS), 0.0
    while pieces.left:
        how = pieces.octet()
        if how & 0x80:
            now += how & 0x0F
            segments.expire(now)
        octets = pieces.piece()
        if how & 1:  # fields from the input, so that the encoding is right
            fields = Pieces(octets)
            size, offset = fields.octet() << 4, fields.octet() << 2
            octets = acse.encode(Apdu(METER, HES, how >> 1 & 3, size=size, offset=offset, information=fields.rest()))
        try:
            whole = segments.take(octets, now)
        except C12Error as error:
            own(error)
            continue
        expect(whole is None or acse.decode(whole).size is None, "what was put together is a segment")
        expect(segments.held <= LIMITS.octets, "more is held than the limits say")
    expect(all(lost.code in CODES for lost in segments.close()), "a code that is none")
    expect(segments.held == 0, "something is held after the end")


def run_services(data: bytes) -> None:
    """Requests and responses: what can be read is written the same."""
    pieces = Pieces(data)
    asked, octets = pieces.octet(), pieces.rest()
    try:
        request = decode_request(octets)
        expect(decode_request(encode_request(request)) == request, "a request is not what it was")
    except C12Error as error:
        own(error)
    try:
        response = decode_response(octets, asked)
        expect(decode_response(encode_response(response), asked) == response, "a response is not what it was")
    except C12Error as error:
        own(error)


def run_session(data: bytes) -> None:
    """A request to a node that answers anything: octets, or services with the right ids and MAC."""
    pieces = Pieces(data)
    flags = pieces.octet()
    mode = Mode(flags % 3)
    ids, ivs = count(1), count(1)
    node = Node(METER, HES, mode, KEY, KEY_ID, largest=_MOST if flags & 4 else 90)
    client = Client(node, lambda: next(ids), lambda: next(ivs).to_bytes(4, "big"), Replays())
    session = client.request(ASKED, Respond.ON_EXCEPTION if flags & 8 else Respond.ALWAYS)
    try:
        next(session)
        for _ in range(_PATIENCE):
            session.send(_answer(pieces, mode) if pieces.left else b"")
    except StopIteration:
        return
    except C12Error as error:
        own(error)
        return
    session.close()
    raise Finding("the session goes on asking a node that has closed the connection")


def _answer(pieces: Pieces, mode: Mode) -> bytes:
    how = pieces.octet()
    if how & 1:
        return pieces.piece()
    services = tuple(pieces.piece() or b"\0" for _ in range(how >> 1 & 3))
    secured = None if mode is Mode.CLEAR or how & 8 else Seal(mode, KEY, KEY_ID, how.to_bytes(4, "big"))
    return seal(Apdu(HES, METER, 77, 1 + (how >> 4 & 1)), Body(services), secured)


_RUNS: tuple[tuple[str, Callable[[bytes], None], int], ...] = (
    ("c1222_message", run_message, 4),
    ("c1222_open", run_open, 2),
    ("c1222_bare", run_bare, 3),
    ("c1222_stream", run_stream, 3),
    ("c1222_segments", run_segments, 3),
    ("c1222_services", run_services, 3),
    ("c1222_session", run_session, 2),
)
TARGETS = tuple(Target(name, run, weight) for name, run, weight in _RUNS)
