"""How hard each network segment may be pressed: sessions at once, sessions begun a second, and a circuit breaker. Pure.

A segment is what a meter shares with its neighbours: a concentrator, a cell, a mesh collector. Its pace is that of its
name where one is set, else of its access network, times the worker's share: workers own meters by partition, so a
segment's meters are spread over all of them, and a worker that owns a quarter of the partitions takes a quarter of
the pace (though one session at least). A meter without a segment shares nothing that could be paced.

A session holds a place of its segment. Where every meter has an address of its own, as in a cell, one that says nothing
uses nothing that its neighbours need: after `Pace.silent_s` it leaves its place to another, and takes it again, beyond the
limit if need be, when it speaks. Its start has been counted, so that not more random accesses are made a second than
before. Behind a concentrator the silent one may hold a socket, or have a mesh look for it: there it keeps its place.

A meter that said nothing when it was last visited is doubted. Of bulk jobs that matter as much, those of the doubted wait
for the others of their segment, but for one start in `DOUBTED_EVERY` and as small a part of the places; and while no
others wait, the doubted leave them nearly all of the starts that can be saved up. So the dead cost the rest little more
than that, however many they are, and each is still tried. Where a breaker closes it was the segment that was away, and
nobody is doubted any more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf

from connectors.gateway.breaker import Breaker, Rules, State
from schemas.records import Meter, Network
from streams.runtime.settings import Gateway, Pace

URGENT, BULK = 0, 1
"""Lanes, in this order."""
DOUBTED = 2
"""Where the doubted wait for the bulk lane: beside the lanes."""
DOUBTED_EVERY = 20
_FREE = Pace(sessions=1_000_000, starts_per_s=1_000_000)

Ready = list[tuple[int, int, str]]
"""A heap of (level, order, meter)."""


@dataclass(slots=True, eq=False)
class Segment:
    """One segment: what is under way, what may begin. `ready` and the rest of a lane's are the scheduler's own."""

    name: str
    network: Network
    pace: Pace
    breaker: Breaker | None
    share: float = 1.0
    active: int = 0
    tokens: float = inf
    filled_at: int = 0
    ready: tuple[Ready, Ready, Ready] = field(default_factory=lambda: ([], [], []))
    """Per lane, and then of the doubted."""
    turn: list[float] = field(default_factory=lambda: [0.0, 0.0])
    queued: list[bool] = field(default_factory=lambda: [False, False])
    blocked: list[float] = field(default_factory=lambda: [0.0, 0.0])
    silent: set[str] = field(default_factory=set)
    """Meters with a session that has left its place."""
    doubted: set[str] = field(default_factory=set)
    """Meters that said nothing when they were last visited."""
    _trials: set[str] = field(default_factory=set)
    """Those of them with a session in its place."""
    _trusted: int = 0
    """Starts since the last of a doubted meter."""

    def wait(self, now: int, lane: int, *, spare: bool = False) -> float:
        """When a session may begin: 0 is now, inf when another ends, else a time in milliseconds. `spare` is one that
        leaves nine tenths of the starts that can be saved up to others (a tenth of a second may pass between two looks).
        """
        reserved = self.pace.reserved if lane == URGENT else 0
        if self.breaker is not None and not self.breaker.begins(now):
            return inf if self.breaker.probing else float(self.breaker.until)
        if self.active >= max(1, round(self.pace.sessions * self.share)) + reserved:
            return inf
        self._fill(now)
        lacking = (max(1.0, 0.9 * self._most) if spare else 1) - reserved - self.tokens
        return 0.0 if lacking <= 1e-9 else now + max(1.0, lacking * 1_000 / (self.pace.starts_per_s * self.share))

    def waiting(self, lane: int) -> Ready:
        """Where the meter waits that is next in a lane; empty where none does."""
        trusted, doubted = self.ready[lane], self.ready[DOUBTED]
        if lane == URGENT or not doubted:
            return trusted
        if not trusted:
            return doubted
        places = max(1, round(self.pace.sessions * self.share / DOUBTED_EVERY))
        due = self._trusted >= DOUBTED_EVERY - 1 and len(self._trials) < places
        return doubted if due or doubted[0][0] < trusted[0][0] else trusted

    def begin(self, meter_id: str) -> bool:
        """A session begins; whether it is the one by which a breaker tries."""
        self.active += 1
        self.tokens -= 1
        if meter_id in self.doubted:
            self._trials.add(meter_id)
            self._trusted = 0
        else:
            self._trusted += 1
        return self.breaker is not None and self.breaker.begin()

    def silence(self, meter_id: str) -> None:
        """A meter's session leaves its place."""
        self.silent.add(meter_id)
        self._trials.discard(meter_id)
        self.active -= 1

    def speech(self, meter_id: str) -> None:
        """A meter's session takes its place again."""
        self.silent.remove(meter_id)
        self.active += 1

    def end(self, meter_id: str) -> None:
        """A meter's session ends, in its place or out of it."""
        self._trials.discard(meter_id)
        if meter_id in self.silent:
            self.silent.remove(meter_id)
            self.doubted.add(meter_id)
        else:
            self.active -= 1

    def told(self, now: int, meter_id: str, *, probe: bool, reached: bool | None) -> bool:
        """What a session tells of the segment, None where it tells nothing; true where the breaker opens or closes."""
        if self.breaker is None:
            return False
        if reached is None:
            self.breaker.untold(probe=probe)
            return False
        if not reached:
            self.doubted.add(meter_id)
            return self.breaker.missed(now, meter_id, probe=probe)
        self.doubted.discard(meter_id)
        closed = self.breaker.reached(meter_id)
        if closed:
            self.doubted.clear()
        return closed

    def unspend(self) -> None:
        """A session that was granted was not begun."""
        self.tokens += 1

    @property
    def shut(self) -> bool:
        """Whether the breaker keeps sessions from being begun."""
        return self.breaker is not None and self.breaker.state is not State.CLOSED

    @property
    def _most(self) -> float:
        """How many starts are saved up at most."""
        return max(1.0, self.pace.starts_per_s * self.share)

    def _fill(self, now: int) -> None:
        rate = self.pace.starts_per_s * self.share
        self.tokens = min(self._most, self.tokens + max(0, now - self.filled_at) / 1_000 * rate)
        self.filled_at = now


class Segments:
    """All segments that meters with jobs are in."""

    def __init__(self, settings: Gateway) -> None:
        self._networks: Mapping[str, Pace] = {network.value: _pace(settings, network) for network in Network}
        self._own = settings.segments
        rules = settings.breaker
        self._rules = Rules(rules.failures, round(rules.open_s * 1_000), round(rules.longest_s * 1_000))
        self._share = 1.0
        self._alone = Segment("", Network.UNKNOWN, _FREE, None)
        self._known: dict[tuple[Network, str], Segment] = {}

    def of(self, meter: Meter | None) -> Segment:
        """The segment of a meter."""
        if meter is None or not meter.segment:
            return self._alone
        segment = self._known.get((meter.network, meter.segment))
        if segment is None:
            pace = self._own.get(meter.segment) or self._networks[meter.network.value]
            segment = Segment(meter.segment, meter.network, pace, Breaker(self._rules), self._share)
            self._known[meter.network, meter.segment] = segment
        return segment

    def share(self, share: float) -> None:
        """Take this much of every pace: more than 0, 1 at most."""
        self._share = share
        for segment in self._known.values():
            segment.share = share

    @property
    def shut(self) -> int:
        """How many a breaker keeps from being visited."""
        return sum(segment.shut for segment in self._known.values())


def _pace(settings: Gateway, network: Network) -> Pace:
    pace: Pace = getattr(settings.pace, network.value.lower())
    return pace
