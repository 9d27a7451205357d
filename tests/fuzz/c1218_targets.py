"""Targets of C12.18 and C12.21: the line's decoder and mask, services, the link at either end, sessions, the simulator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from connectors.protocols.c12 import c1221
from connectors.protocols.c12.errors import CODES, C12Error
from connectors.protocols.c12.psem_decode import decode_c1218
from connectors.protocols.c12.psem_frames import Frames, Packet
from connectors.protocols.c12.psem_link import PsemLink, State
from connectors.protocols.c12.psem_masking import masked
from connectors.protocols.c12.psem_session import (
    CLOSED,
    Session,
    User,
    close_session,
    open_session,
    read_elements,
    read_table,
    read_whole,
    write_whole,
)
from connectors.protocols.c12.psem_timing import Agreed, Timing
from connectors.protocols.c12.services import decode_request, decode_response, encode_request, encode_response
from connectors.simulator.c12.psem_server import PsemServer, Settings
from connectors.simulator.c12.psem_tables import OctetTables
from tests.fuzz.harness import Finding, Pieces, Target, cut, expect

TIMING = Timing()
KEY = c1221.Key(1, bytes.fromhex("133457799BBCDFF1"))
USER = User(2, "user", b"secret")
LIMIT = 1024
_PATIENCE = 256


def own(error: C12Error) -> None:
    """An error of ours has a code that is documented, and a detail that can be shown."""
    expect(error.code in CODES, f"{error.code} is no code of errors.CODES")
    expect(bool(error.detail), "an error without a detail")


def run_line(data: bytes) -> None:
    """A tap on a line: every octet is somewhere, in the same packets however it is cut."""
    pieces = Pieces(data)
    how = pieces.octet()
    octets = pieces.rest()
    nodes = decode_c1218(octets, secrets=bool(how & 1))
    expect(sum(len(node.octets) for node in nodes) == len(octets), "octets of the line are in no node, or in two")
    expect(len(masked(octets)) == len(octets), "masking changes the length")
    frames = Frames(1.0)
    found = [item for part in cut(octets, how) for item in frames.feed(part, 0.0)] + frames.close()
    expect(b"".join(item.octets for item in found) == octets, "octets of the line are lost")


def run_services(data: bytes) -> None:
    """Requests and responses: what can be read is written the same."""
    pieces = Pieces(data)
    asked, octets = pieces.octet(), pieces.rest()
    try:
        expect(encode_request(decode_request(octets)) == octets, "a request is written otherwise than it was read")
    except C12Error as error:
        own(error)
    try:
        response = decode_response(octets, asked)
        expect(decode_response(encode_response(response), asked) == response, "a response is not what it was")
    except C12Error as error:
        own(error)


def run_link(data: bytes) -> None:
    """Either end of a link: right packets, octets as they come, time that passes, services, in any order."""
    pieces = Pieces(data)
    kind = pieces.octet()
    link, now = PsemLink(TIMING, asks=bool(kind & 1), max_service=LIMIT), 0.0
    link.open(now)
    if kind & 2:
        link.agree(Agreed(packet_size=32, packets=4))
    try:
        for _ in range(_PATIENCE):
            if not pieces.left:
                break
            now = _step(link, pieces, now)
    except C12Error as error:
        own(error)
    _wait_out(link, now)


def _step(link: PsemLink, pieces: Pieces, now: float) -> float:
    """One thing that happens to the link; the time after it."""
    action = pieces.octet()
    if action & 7 == 0:
        now += (action >> 3) / 4
        link.tick(now)
    elif action & 7 == 1 and link.state is State.IDLE:
        link.send(pieces.piece(), now)
    elif action & 7 == 2:
        _bounded(link.receive(pieces.piece(), now).apdus)
    elif action & 7 == 3:
        _bounded(link.receive(b"\x06" if action & 8 else b"\x15", now).apdus)
    else:
        multi, first, toggle = bool(action & 8), bool(action & 16), bool(action & 32)
        packet = Packet(pieces.piece(), toggle, pieces.octet() & 7 if multi else 0, multi, first)
        _bounded(link.receive(packet.encode(), now).apdus)
    return now


def _bounded(services: tuple[bytes, ...]) -> None:
    expect(all(0 < len(service) <= LIMIT for service in services), "a service that is empty or beyond the limit")


def _wait_out(link: PsemLink, now: float) -> None:
    """An end that says nothing any more is given up, and the link can be closed."""
    for _ in range(2 * _PATIENCE):
        try:
            if link.deadline is None:
                break
            now = max(now, link.deadline)
            link.tick(now)
        except C12Error as error:
            own(error)
    expect(link.deadline is None, "a silent end is never given up")
    link.close(now)
    expect(link.deadline is None, "the link never closes")


_SESSIONS: tuple[Callable[[], Session[Any]], ...] = (
    lambda: open_session(USER),
    lambda: c1221.open_session(USER, KEY),
    lambda: read_table(5),
    lambda: read_table(64, 16, 32),
    lambda: read_elements(23, (1, 2), 3),
    lambda: read_whole(64, Agreed(32, 2), 200),
    lambda: write_whole(7, bytes(100), Agreed(32, 2)),
    close_session,
)


def run_session(data: bytes) -> None:
    """A session with a meter that answers anything: a response, its code given, or the octets as they are."""
    pieces = Pieces(data)
    session = _SESSIONS[pieces.octet() & 7]()
    after = 0
    try:
        next(session)
        while after < _PATIENCE:
            answer = pieces.piece() if pieces.left else CLOSED
            after += answer == CLOSED
            session.send(answer)
    except StopIteration:
        return
    except C12Error as error:
        own(error)
        return
    session.close()
    raise Finding("the session goes on asking a meter that has closed the connection")


def run_server(data: bytes) -> None:
    """The simulated meter: whatever was said to it, the next client is served."""
    pieces = Pieces(data)
    kind = pieces.octet()
    tables = OctetTables({1: b"ACME", 64: bytes(200)}, writable={1, 7})
    server = PsemServer(
        tables, Settings(standard=2 * (kind & 1), password=b"x" if kind & 2 else None, key=KEY if kind & 4 else None)
    )
    now = 0.0
    for number in range(_PATIENCE):
        if not pieces.left:
            break
        action = pieces.octet()
        now += (action >> 4) / 4
        if action & 3 == 0:
            server.tick(now)
        elif action & 3 == 1:
            server.receive(pieces.piece(), now)
        else:
            service = pieces.piece()
            out = server.receive(Packet(service, bool(number & 1)).encode(), now)
            server.receive(b"\x06" if out and action & 4 else b"", now)
    expect(len(tables.octets) <= 3 and all(len(table) <= len(data) + 200 for table in tables.octets.values()), "tables grow")
    for _ in range(_PATIENCE):
        if server.deadline is None:
            break
        now = max(now, server.deadline)
        server.tick(now)
    expect(server.deadline is None, "the meter waits for ever")
    answer = server.receive(Packet(b"\x20", toggle=True).encode(), now + 1)
    expect(answer[:2] == b"\x06\xee", "the next client is not answered")


TARGETS = (
    Target("c1218_line", run_line, 2),
    Target("c1218_services", run_services, 3),
    Target("c1218_link", run_link, 2),
    Target("c1218_session", run_session, 2),
    Target("c1218_server", run_server, 1),
)
