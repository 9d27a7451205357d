"""`hes bench gateway`: sessions with meters, from connect to close, values compared; jDLMS beside it on the same fleet.

A session is connect, associate, the day's 96 rows by range, release, close. Capture objects and scaler-units are discovered
before, once a meter, as a gateway does once a meter type. Figures are of the reader's process alone.
"""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, timedelta, timezone
from pathlib import Path

import uvloop

from connectors.cli.bench.fleet_reader import Finish, Tally, Visit, read_all
from connectors.cli.bench.gateway_fleet import Truth, jdlms, own_fleet, read_truth
from connectors.cli.failure import CommandError, usage
from connectors.protocols.dlms.association import Association, associate, release
from connectors.protocols.dlms.ciphering import Keys
from connectors.protocols.dlms.client import Span, discover, parse_buffers, read_buffer
from connectors.protocols.dlms.client_apdus import Session, T
from connectors.protocols.dlms.errors import DecodeError
from connectors.protocols.dlms.hls import Hls, Mechanism
from connectors.protocols.dlms.profile import Profile
from connectors.protocols.dlms.profile_shape import ProfileShape, Rules
from connectors.protocols.dlms.security import Channel, MemoryCounter, secured

AUTHS = ("none", "low", "gmac")
_TITLE = b"HESBENCH"
_PASSWORD = b"Passw0rd"
_DAY_MS = 86_400_000
_OWN_DAY = Span(1_772_406_001_000, 1_772_492_400_000)
"""2026-03-02 in UTC+1, the day that the own fleet holds: from the first second to midnight."""
_OWN_RULES = Rules(timezone(timedelta(hours=1)))
_MOST_PORTS = 60_000


@dataclass(frozen=True, slots=True)
class Options:
    """What to read, and how. Without `target` the bench has a fleet of its own, and compares what it reads."""

    sessions: int = 20_000
    concurrency: int = 32
    auth: str = "none"
    meters: int = 200
    block: int = 0
    """Octets of a block of the own fleet's answers; 0 is the whole answer at once."""
    target: str = ""
    """HOST:PORT or HOST:PORT-PORT of a fleet that is not ours."""
    profile: str = "1.0.99.1.0.255"
    client: int = 0
    """0: 16 without authentication, else 1."""
    server: int = 1
    password: bytes | None = field(default=None, repr=False)
    keys: Keys | None = field(default=None, repr=False)
    peer: str = ""
    """"jdlms", or none."""


@dataclass(slots=True, eq=False)
class Target:
    """One meter as the bench knows it."""

    host: str
    port: int
    client: int
    server: int
    config: Callable[[], Association]
    truth: Truth | None
    shape: ProfileShape | None = None


def run(options: Options, say: Callable[[str], None]) -> Iterator[dict[str, object]]:
    """A row for each reader: sessions, rows, rates, CPU. Raises CommandError where the fleet or the peer cannot be had."""
    if options.auth not in AUTHS:
        raise usage(f"no authentication {options.auth!r}", f"one of {', '.join(AUTHS)}")
    if options.peer not in ("", "jdlms"):
        raise usage(f"no peer {options.peer!r}", "jdlms is the one there is")
    if options.target:
        if options.peer:
            raise usage("a peer reads the bench's own fleet only", "leave --peer or --target out")
        yield _ours(options, [*_foreign(options)], say)
        return
    with own_fleet(options.meters, options.block, say) as file:
        yield _ours(options, [_own(options, truth) for truth in read_truth(file)], say)
        if options.peer:
            yield _theirs(options, file, say)


def _ours(options: Options, targets: list[Target], say: Callable[[str], None]) -> dict[str, object]:
    say(f"discovering the load profiles of {len(targets)} meters")
    found = uvloop.run(read_all([_discovery(t, options.profile) for t in targets], len(targets), 8))
    _all_well(found, "discovered")
    own = not options.target
    visits = _readings(targets, _OWN_DAY if own else None, _OWN_RULES if own else Rules(UTC))
    _all_well(uvloop.run(read_all(visits, 2 * len(visits), options.concurrency)), "read")
    gc.collect()
    gc.freeze()
    say(f"reading {options.sessions:,} sessions, {options.concurrency} at a time")
    wall, cpu = time.perf_counter(), time.process_time()
    tally = uvloop.run(read_all(visits, options.sessions, options.concurrency))
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    if tally.failed:
        say(f"{tally.failed} sessions failed, the first: {tally.first_failure}")
    return _row("hes", options, tally.sessions, tally.rows, tally.failed, wall, cpu)


def _theirs(options: Options, truth: Path, say: Callable[[str], None]) -> dict[str, object]:
    sessions = max(1000, options.sessions // 4)
    found = jdlms(truth, options.auth, options.concurrency, max(4000, sessions), sessions, say)
    if found["failed"]:
        say(f"{found['failed']} sessions of jDLMS failed, the first: {found['first_failure']}")
    return _row("jdlms", options, found["sessions"], found["rows"], found["failed"], found["seconds"], found["cpu_s"])


def _row(reader: str, options: Options, sessions: int, rows: int, failed: int, wall: float, cpu: float) -> dict[str, object]:
    return {
        "reader": reader,
        "association": options.auth,
        "block": options.block or None,
        "sessions": sessions,
        "failed": failed,
        "sessions_per_s": round(sessions / wall),
        "rows_per_s": round(rows / wall),
        "cpu_s": round(cpu, 3),
        "cpu_ms_a_session": round(1000 * cpu / max(1, sessions), 4),
        "load": round(os.getloadavg()[0], 1),
    }


def _all_well(tally: Tally, what: str) -> None:
    if tally.failed:
        raise CommandError(f"{tally.failed} meters could not be {what}, the first is {tally.first_failure}")


def _discovery(target: Target, profile: str) -> Visit:
    def begin() -> Session[ProfileShape]:
        config = target.config()
        return _protected(_discover(profile, config), config)

    return Visit(target.host, target.port, target.client, target.server, begin, _discovered, target)


def _discovered(brought: Sequence[tuple[Visit, ProfileShape]]) -> Iterator[int]:
    for visit, shape in brought:
        visit.note.shape = shape
        yield 0


def _discover(profile: str, config: Association) -> Session[ProfileShape]:
    link = yield from associate(config)
    shape = yield from discover(link, profile)
    yield from release(config)
    return shape


def _readings(targets: Sequence[Target], span: Span | None, rules: Rules) -> list[Visit]:
    """A visit to each, all finished alike."""

    def finish(brought: Sequence[tuple[Visit, bytes]]) -> Iterator[int | Exception]:
        buffers = [(data, visit.note.shape) for visit, data in brought]
        for (visit, _), profile in zip(brought, parse_buffers(buffers, span, rules), strict=True):
            yield _checked(profile, visit.note.truth)

    return [_reading(target, span, rules, finish) for target in targets]


def _reading(target: Target, span: Span | None, rules: Rules, finish: Finish) -> Visit:
    shape = target.shape
    if shape is None:
        raise CommandError(f"the profile of {target.host}:{target.port} was not discovered")

    def begin() -> Session[bytes]:
        config = target.config()
        return _protected(_read(shape, span, rules, config), config)

    return Visit(target.host, target.port, target.client, target.server, begin, finish, target)


def _checked(profile: Profile | DecodeError, truth: Truth | None) -> int | Exception:
    """Its rows, if it is what the meter holds."""
    if isinstance(profile, DecodeError):
        return profile
    if truth is not None:
        try:
            truth.check(profile)
        except ValueError as error:
            return error
    return profile.rows


def _read(shape: ProfileShape, span: Span | None, rules: Rules, config: Association) -> Session[bytes]:
    link = yield from associate(config)
    data = yield from read_buffer(link, shape, span, rules)
    yield from release(config)
    return data


def _protected(session: Session[T], config: Association) -> Session[T]:
    return session if config.channel is None else secured(session, config.channel)


def _own(options: Options, truth: Truth) -> Target:
    if options.auth == "gmac":
        config = _gmac(Keys(truth.ek, truth.ak), truth.title)
    else:
        config = _fixed(Association(_PASSWORD if options.auth == "low" else None))
    return Target("127.0.0.1", truth.port, 16 if options.auth == "none" else 1, 1, config, truth)


def _foreign(options: Options) -> Iterator[Target]:
    if options.auth == "gmac" and options.keys is None:
        raise usage("HLS-GMAC needs keys", "give the meters' encryption and authentication key")
    host, _, ports = options.target.rpartition(":")
    first, _, last = ports.partition("-")
    if not host or not first.isdigit() or not (last or first).isdigit():
        raise usage(f"{options.target!r} is no target", "write HOST:PORT or HOST:PORT-PORT, such as 127.0.0.1:4059-4158")
    span = range(int(first), int(last or first) + 1)
    if not 1 <= len(span) <= _MOST_PORTS or span[-1] > 65_535:
        raise usage(f"{options.target!r} names no ports", "write HOST:PORT or HOST:PORT-PORT, such as 127.0.0.1:4059-4158")
    client = options.client or (16 if options.auth == "none" else 1)
    for port in span:
        if options.keys is not None and options.auth == "gmac":
            config = _gmac(options.keys, None)
        else:
            config = _fixed(Association(options.password if options.auth == "low" else None))
        yield Target(host.strip("[]"), port, client, options.server, config, None)


def _fixed(config: Association) -> Callable[[], Association]:
    return lambda: config


def _gmac(keys: Keys, peer: bytes | None) -> Callable[[], Association]:
    counter, hls = MemoryCounter(int(time.time())), Hls(Mechanism.GMAC, challenge_octets=16)
    return lambda: Association(hls=hls, channel=Channel(title=_TITLE, keys=keys, counter=counter, peer=peer))
