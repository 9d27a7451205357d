"""`hes bench gateway --protocol c1222`: sessions with C12.22 meters, from connect to close, values compared.

A session is connect, logon and password with the state of the load profile, the day's block of table 64 (96 rows), logoff:
three messages. What sizes and explains the block (tables 0, 11 to 16, 52, 61, 62) is read before, once a meter, as a gateway
does. Two rows: in clear, and with every message ciphered and authenticated (EAX'). Figures are of the reader's process.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import numpy as np
import uvloop

from connectors.cli.bench.children import child, first_line
from connectors.cli.bench.fleet_reader import LeanLink, Tally, Visit, read_all
from connectors.cli.failure import CommandError
from connectors.protocols.c12.c1222_framing import ApduStream, Framed
from connectors.protocols.c12.c1222_replay import Replays
from connectors.protocols.c12.c1222_services import Request
from connectors.protocols.c12.c1222_session import Client, Node, Session, all_ok
from connectors.protocols.c12.epsem import Mode
from connectors.protocols.c12.errors import C12Error
from connectors.protocols.c12.requests import Logoff, Logon, ReadFull, ReadOffset, Security
from connectors.protocols.c12.responses import TableData
from connectors.protocols.c12.tables.clock import Clock, clock_of
from connectors.protocols.c12.tables.model import Model
from connectors.protocols.c12.tables.profile import load_profile
from connectors.protocols.c12.tables.profile_layout import block_layout, set_status
from connectors.protocols.c12.titles import title

MODES = (Mode.CLEAR, Mode.CIPHERED)
_OURS = title(".1")
_NEEDED = (0, 11, 12, 13, 14, 15, 16, 52, 61, 62)
_STATUS, _PROFILE = 63, 64


@dataclass(slots=True, eq=False)
class Target:
    """One meter: what the fleet says of it, and what was read of it before."""

    port: int
    client: Client
    password: bytes = field(repr=False)
    ends: bytes
    values: tuple[bytes, ...]
    model: Model | None = None
    clock: Clock = field(default_factory=Clock)


def run(sessions: int, concurrency: int, meters: int, say: Callable[[str], None]) -> Iterator[dict[str, object]]:
    """A row for each mode: sessions, rows, rates, CPU. Raises CommandError where the fleet cannot be had."""
    for mode in MODES:
        with _fleet(meters, mode, say) as truth:
            yield _read(mode, [_target(line, mode) for line in truth.read_text().splitlines()], sessions, concurrency, say)


def _read(
    mode: Mode, targets: list[Target], sessions: int, concurrency: int, say: Callable[[str], None]
) -> dict[str, object]:
    _all_well(uvloop.run(read_all([_visit(t, _discover) for t in targets], len(targets), 8)), "discovered")
    visits = [_visit(target, _day) for target in targets]
    _all_well(uvloop.run(read_all(visits, 2 * len(visits), concurrency)), "read")
    gc.collect()
    gc.freeze()
    say(f"reading {sessions:,} sessions, {concurrency} at a time, {mode.name.lower()}")
    wall, cpu = time.perf_counter(), time.process_time()
    tally = uvloop.run(read_all(visits, sessions, concurrency))
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    if tally.failed:
        say(f"{tally.failed} sessions failed, the first: {tally.first_failure}")
    return {
        "reader": "hes",
        "protocol": "c1222",
        "security": "EAX'" if mode is Mode.CIPHERED else "clear, password",
        "sessions": tally.sessions,
        "failed": tally.failed,
        "sessions_per_s": round(tally.sessions / wall),
        "rows_per_s": round(tally.rows / wall),
        "cpu_s": round(cpu, 3),
        "cpu_ms_a_session": round(1000 * cpu / max(1, tally.sessions), 4),
        "load": round(os.getloadavg()[0], 1),
    }


class AcseLink(LeanLink):
    """The same over C12.22: a message needs nothing before it."""

    __slots__ = ("_stream",)

    def __init__(
        self, client: int, server: int, session: Session[object], ended: Callable[[object, Exception | None], None]
    ) -> None:
        super().__init__(client, server, session, ended)
        self._stream = ApduStream()

    def data_received(self, data: bytes) -> None:
        """Answers, whole."""
        for item in self._stream.feed(data):
            if not isinstance(item, Framed):
                self._end(None, ConnectionError(item.detail))
                return
            self._advance(item.octets)

    def framed(self, out: bytes) -> bytes:
        """See `LeanLink`."""
        return out


def _visit(target: Target, session: Callable[[Target], Session[object]]) -> Visit:
    return Visit("127.0.0.1", target.port, 0, 0, lambda: session(target), _finish, target, AcseLink)


def _logged_on(target: Target, *reads: Request) -> Session[list[bytes]]:
    """Log on, and read in the same message."""
    asked = [Logon(2, b"hes-bench", 60), Security(target.password, 2), *reads]
    found = all_ok((yield from target.client.request(asked)), asked, "logon")
    return [item.data for item in found if isinstance(item, TableData)]


def _discover(target: Target) -> Session[None]:
    first, *others = yield from _logged_on(target, *(ReadFull(table) for table in _NEEDED))
    model = Model.of(first)
    for table, octets in zip(_NEEDED[1:], others, strict=True):
        model = model.with_octets(table, octets)
    target.model, target.clock = model, clock_of(model)
    yield from target.client.request((Logoff(),))


def _day(target: Target) -> Session[tuple[Model, int, bytes]]:
    """The meter with the state of its profile, and the newest block, with its place."""
    if target.model is None:
        raise CommandError(f"the meter at port {target.port} was not discovered")
    (state,) = yield from _logged_on(target, ReadFull(_STATUS))
    model = target.model.with_octets(_STATUS, state)
    layout = block_layout(model, 1)
    newest = set_status(model, 1, layout).newest
    asked = (ReadOffset(_PROFILE, newest * layout.block_size, layout.block_size),)
    (block,) = all_ok((yield from target.client.request(asked)), asked, "the day")
    yield from target.client.request((Logoff(),))
    return model, newest, block.data if isinstance(block, TableData) else b""


def _finish(brought: Sequence[tuple[Visit, object]]) -> Iterator[int | Exception]:
    """Rows, where they are what the meter holds."""
    for visit, found in brought:
        yield 0 if found is None else _checked(visit.note, found)


def _checked(target: Target, found: object) -> int | Exception:
    if not isinstance(found, tuple):
        return TypeError(found)
    model, newest, block = found
    try:
        profile = load_profile(model, 1, [(newest, block)], target.clock)
    except C12Error as error:
        return error
    if profile.ends.tobytes() != target.ends:
        return ValueError("the times read are not the meter's")
    for channel, values in zip(profile.channels, target.values, strict=True):
        if channel.values.tobytes() != values or channel.missing.any() or channel.scaler != 0:
            return ValueError(f"the values of {channel.obis} are not the meter's")
    return profile.rows


def _target(line: str, mode: Mode) -> Target:
    head, *rows = line.split(" | ")
    port, name, key, password = head.split(" ")
    columns = [
        np.array(column, np.int64).tobytes() for column in zip(*(map(int, row.split(",")) for row in rows), strict=True)
    ]
    node = Node(title(name), _OURS, mode, bytes.fromhex(key))
    # Time as vector, as the gateway's: the two together are never used twice under one key.
    invocations = count(int(time.time()))
    client = Client(node, lambda: next(invocations), lambda: int(time.time()).to_bytes(4, "big"), Replays())
    return Target(int(port), client, password.encode(), columns[0], tuple(columns[1:]))


def _all_well(tally: Tally, what: str) -> None:
    if tally.failed:
        raise CommandError(f"{tally.failed} meters could not be {what}, the first is {tally.first_failure}")


@contextmanager
def _fleet(meters: int, mode: Mode, say: Callable[[str], None]) -> Iterator[Path]:
    """A fleet in a process of its own; gives the truth file."""
    say(f"starting {meters:,} C12.22 meters in a process of their own")
    with tempfile.TemporaryDirectory(prefix="hes-bench-") as folder:
        truth = Path(folder) / "truth.txt"
        command = [sys.executable, "-m", "connectors.simulator.c12.load", "--truth", str(truth), "--meters", str(meters)]
        command += ["--mode", mode.name]
        with child(command) as process:
            line = first_line(process)
            if not line.startswith("{") or not json.loads(line).get("ready"):
                raise CommandError("the bench's fleet did not start; its own words are above")
            yield truth
