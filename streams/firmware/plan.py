"""What a campaign will take, told before anything is sent: by the rules that it is then run by, over what cannot be known.

Hour by hour, in many draws at once: each segment begins as many transfers as its hour holds, of the meters that the waves
have let in; some bring nothing and come again; waves open when enough of the last one has ended and the soak is over.
Between draws differ the blocks that are lost and the share of jobs that bring nothing. The bound beside it needs no draws:
no order of transfers can bring the last segment's meters their octets sooner.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from math import ceil

import numpy as np
from numpy.typing import NDArray

from schemas.records import FirmwareManifest, Network
from streams.firmware.budgets import HOUR_MS, Limits, band_of, limits_of, octets_of
from streams.firmware.fleet import Kind, why_not
from streams.firmware.windows import Windows
from streams.runtime.authority.terms import Terms
from streams.runtime.settings import Firmware

DRAWS = 100
_SEED = 20_26
_FURTHEST_MS = 250 * 24 * HOUR_MS
"""Beyond that the bound is told alone."""
_MISSED = (2.0, 98.0)
"""Of the jobs so many bring nothing: a Beta distribution, 2 % on average and mostly below 5 %."""
_LOSS_WEIGHT = 400.0
"""How well the share of lost blocks is known: as if so many blocks had been counted."""

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Load:
    """What a network carries in an hour, on average over the draws, and what firmware may take of it there."""

    network: Network
    at: int
    """The hour's beginning, milliseconds."""
    octets: float
    budget: float


@dataclass(frozen=True, slots=True)
class Point:
    """Meters that have ended by a time."""

    at: int
    p10: int
    p50: int
    p90: int


@dataclass(frozen=True, slots=True)
class Need:
    """A segment's part."""

    network: Network
    segment: str
    meters: int
    octets_a_night: float
    nights: float
    """At least."""


@dataclass(frozen=True, slots=True)
class Bound:
    """The end that no order of transfers can come before, and the segment that decides it."""

    end: int
    nights: float
    network: Network
    segment: str


@dataclass(frozen=True, slots=True)
class Plan:
    """What a campaign will take. Times are milliseconds since the epoch."""

    begin: int
    meters: int
    taking_part: int
    left_out: Mapping[str, int]
    """Meters by code of `LEFT_OUT`."""
    bound: Bound
    ends: tuple[int, int, int]
    """When the last meter has ended: the tenth, fiftieth and ninetieth percentile."""
    load: tuple[Load, ...]
    curve: tuple[Point, ...]
    segments: tuple[Need, ...]
    """Longest first."""
    simulated: bool
    """False where it is so long that only the bound is told; `ends` is the bound then."""


@dataclass(frozen=True, slots=True)
class _Lane:
    network: Network
    segment: str
    zone: str
    meters: int
    canary: int
    limits: Limits
    share: float
    """Of the segment's budget."""


def plan(
    kinds: Mapping[Kind, int],
    manifest: FirmwareManifest,
    terms: Terms,
    settings: Firmware,
    begin: int,
    *,
    zone: str = "UTC",
    meters_in: Callable[[Network, str], int] | None = None,
    draws: int = DRAWS,
) -> Plan:
    """The plan for these meters, counted by kind. `zone` is that of meters that have none; `meters_in` tells how many meters
    hang in a segment, where that is more than take part.
    """
    in_segment: Counter[tuple[Network, str]] = Counter()
    for kind, count in kinds.items():
        in_segment[kind.network, kind.segment] += count
    count_in = meters_in or (lambda network, segment: in_segment[network, segment])
    left: Counter[str] = Counter()
    lanes: Counter[tuple[Network, str, str]] = Counter()
    canary: Counter[tuple[Network, str, str]] = Counter()
    limits: dict[tuple[Network, str], Limits] = {}
    for kind, count in kinds.items():
        place = kind.network, kind.segment
        if place not in limits:
            limits[place] = limits_of(band_of(settings, *place), terms, kind.network, count_in(*place))
        code = why_not(manifest, terms, kind) or ("" if limits[place].possible else "meter-network")
        if code:
            left[code] += count
            continue
        lanes[*place, kind.time_zone] += count
        canary[*place, kind.time_zone] += count * (bool(terms.canary.group) and terms.canary.group in kind.groups)
    taking = Counter[tuple[Network, str]]()
    for (network, segment, _), count in lanes.items():
        taking[network, segment] += count
    rows = [
        _Lane(network, segment, name, count, canary[network, segment, name], limits[network, segment],
              count / taking[network, segment])
        for (network, segment, name), count in sorted(lanes.items())
    ]  # fmt: skip
    total = sum(kinds.values())
    if not rows:
        nothing = Bound(begin, 0.0, Network.UNKNOWN, "")
        return Plan(begin, total, 0, dict(left), nothing, (begin, begin, begin), (), (), (), simulated=True)
    nights = {name: Windows(name, terms.windows, zone) for name in {lane.zone for lane in rows}}
    octets = octets_of(manifest.size, terms.loss)
    needs, bound = _bound(rows, nights, octets, begin)
    taking_part = sum(lane.meters for lane in rows)
    if bound.end - begin > _FURTHEST_MS:
        ends = (bound.end, bound.end, bound.end)
        return Plan(begin, total, taking_part, dict(left), bound, ends, (), (), needs, simulated=False)
    run = _Run(rows, nights, manifest.size, terms, begin, draws)
    run.until_all_have_ended(bound.end)
    first, middle, last = (int(value) for value in np.percentile(run.ends, (10, 50, 90)))
    return Plan(
        begin, total, taking_part, dict(left), bound, (first, middle, last), run.load(), tuple(run.curve), needs,
        simulated=True,
    )  # fmt: skip


def hour_octets(limits: Limits, span_ms: float) -> float:
    """What an hour holds of which so much lies within a window."""
    return min(limits.octets_an_hour, limits.concurrent * limits.octets_a_ms * span_ms)


def _bound(rows: list[_Lane], nights: Mapping[str, Windows], octets: int, begin: int) -> tuple[tuple[Need, ...], Bound]:
    needs, latest = [], Bound(begin, 0.0, rows[0].network, rows[0].segment)
    ends: dict[tuple[str, Limits, float], int] = {}
    for lane in rows:
        windows, wanted = nights[lane.zone], lane.meters * octets / lane.share
        night = _night(windows, lane.limits, begin)
        key = lane.zone, lane.limits, wanted
        if key not in ends:
            ends[key] = _reached(windows, lane.limits, wanted, begin, night)
        needs.append(Need(lane.network, lane.segment, lane.meters, night * lane.share, wanted / night))
        if ends[key] > latest.end:
            latest = Bound(ends[key], wanted / night, lane.network, lane.segment)
    needs.sort(key=lambda need: (-need.nights, need.network, need.segment))
    return tuple(needs), latest


def _night(windows: Windows, limits: Limits, begin: int) -> float:
    """Octets of an ordinary day: the first whole one, twelve hours from now on and over two days, so that none is cut."""
    span = windows.at(begin + 12 * HOUR_MS)
    found, until = 0.0, begin + 60 * HOUR_MS
    while span.start < until:
        found += sum(hour_octets(limits, end - start) for start, end in _hours(span.start, span.end))
        span = windows.at(span.end)
    return found / 2 if found else 1.0


def _reached(windows: Windows, limits: Limits, wanted: float, begin: int, night: float) -> int:
    """When so many octets have gone, at the earliest."""
    at = begin
    if wanted / night > _FURTHEST_MS / 24 / HOUR_MS * 1.1:
        return begin + ceil(wanted / night * 24 * HOUR_MS)
    while True:
        span = windows.at(at)
        for start, end in _hours(max(at, span.start), span.end):
            room = hour_octets(limits, end - start)
            if wanted <= room:
                return start + ceil((end - start) * wanted / room)
            wanted -= room
        at = span.end


def _hours(start: int, end: int) -> list[tuple[int, int]]:
    """A span by hours of UTC."""
    cuts = [start, *range((start // HOUR_MS + 1) * HOUR_MS, end, HOUR_MS), end]
    return list(pairwise(cuts))


class _Run:
    """All draws at once: rows are draws, columns lanes."""

    def __init__(
        self, rows: list[_Lane], nights: Mapping[str, Windows], size: int, terms: Terms, begin: int, draws: int
    ) -> None:
        self._rows, self._nights, self._terms = rows, nights, terms
        self._random = np.random.default_rng(_SEED)
        self._begin = begin
        count = len(rows)
        self._meters: Whole = np.array([lane.meters for lane in rows])
        self._zones = sorted(nights)
        self._zone_of: Whole = np.array([self._zones.index(lane.zone) for lane in rows])
        self._networks = sorted({lane.network for lane in rows})
        self._network_of: Whole = np.array([self._networks.index(lane.network) for lane in rows])
        loss = self._random.beta(
            max(terms.loss, 1e-6) * _LOSS_WEIGHT, (1 - max(terms.loss, 1e-6)) * _LOSS_WEIGHT, (draws, count)
        )
        self._octets: Floats = size / (1 - loss)
        self._missed: Floats = self._random.beta(*_MISSED, (draws, 1)) * np.ones((1, count))
        self._quota = self._quotas()
        self._wave: Whole = np.zeros(draws, np.int64)
        self._opens: Floats = np.full(draws, float(begin))
        self._begun: Whole = np.zeros((draws, count), np.int64)
        self._done: Whole = np.zeros((draws, count), np.int64)
        self._again: Whole = np.zeros((draws, count), np.int64)
        self._resting: Whole = np.zeros((draws, count), np.int64)
        self._credit: Floats = np.zeros((draws, count))
        self.ends: Floats = np.full(draws, np.nan)
        self.loads: dict[tuple[int, Network], tuple[float, float]] = {}
        self.curve: list[Point] = []

    def until_all_have_ended(self, bound: int) -> None:
        """Hour by hour. Draws that are not through long after the bound end there."""
        at, last = self._begin, max(bound, self._begin) + 2 * (bound - self._begin) + 120 * 24 * HOUR_MS
        rested_at = noted_at = at
        while np.isnan(self.ends).any() and at < last:
            spans = [self._nights[zone].at(at) for zone in self._zones]
            start = min(max(at, span.start) for span in spans)
            hour = start // HOUR_MS
            if start - at > 2 * HOUR_MS or at == self._begin or start - noted_at >= 24 * HOUR_MS:
                # Between nights: what a night could not begin is lost to it, and who missed comes again.
                self._credit[:] = 0
                if self.loads:
                    self._note(at)
                    noted_at = start
            if start - rested_at >= self._terms.retry_after_ms:
                self._again += self._resting
                self._resting[:] = 0
                rested_at = start
            end = (hour + 1) * HOUR_MS
            within = np.array([max(0, min(end, span.end) - max(start, span.start)) for span in spans], np.float64)
            self._hour(start, end, within)
            at = min(end, max(span.end for span in spans))
        self.ends = np.where(np.isnan(self.ends), float(last), self.ends)
        self._note(at)

    def _hour(self, start: int, end: int, within: Floats) -> None:
        span = within[self._zone_of]
        holds = np.array([hour_octets(lane.limits, ms) * lane.share for lane, ms in zip(self._rows, span, strict=True)])
        open_waves = np.where(self._opens <= start, self._wave, np.maximum(self._wave - 1, 0))
        allowed = self._quota[open_waves]
        carried = self._credit.copy()
        self._credit += holds / self._octets
        fresh = np.maximum(allowed - self._begun, 0)
        wanted = fresh + self._again
        starts = np.minimum(np.floor(self._credit + 1e-9).astype(np.int64), wanted)
        self._credit = np.where(starts == wanted, 0.0, self._credit - starts)
        old = np.minimum(starts, self._again)
        self._again -= old
        self._begun += starts - old
        missed = self._random.binomial(starts, self._missed)
        self._resting += missed
        self._done += starts - missed
        # What began on the last hour's credit began in that hour.
        early = np.minimum(starts, carried) / np.maximum(starts, 1)
        self._tell(start, (starts - missed) * early, (starts - missed) * (1 - early), holds)
        self._open_waves(end)

    def _open_waves(self, end: int) -> None:
        done = self._done.sum(axis=1)
        let_in = self._quota[self._wave].sum(axis=1)
        last = len(self._terms.waves)
        opens = (self._wave < last) & (self._opens <= end) & (done >= self._terms.wave_done * let_in)
        self._wave = np.where(opens, self._wave + 1, self._wave)
        self._opens = np.where(opens, float(end + self._terms.soak_ms), self._opens)
        ended = np.isnan(self.ends) & (done >= self._meters.sum())
        self.ends = np.where(ended, float(end), self.ends)

    def _tell(self, start: int, early: Floats, now: Floats, holds: Floats) -> None:
        hour = start // HOUR_MS * HOUR_MS
        before, octets = ((part * self._octets).mean(axis=0) for part in (early, now))
        for number, network in enumerate(self._networks):
            mine = self._network_of == number
            for at, carries, budget in (
                (hour - HOUR_MS, before[mine].sum(), 0.0),
                (hour, octets[mine].sum(), float(holds[mine].sum())),
            ):
                if carries or budget:
                    known = self.loads.get((at, network), (0.0, 0.0))
                    self.loads[at, network] = known[0] + float(carries), known[1] + budget

    def load(self) -> tuple[Load, ...]:
        """By hour and network."""
        return tuple(Load(network, at, *found) for (at, network), found in sorted(self.loads.items()))

    def _note(self, at: int) -> None:
        low, middle, high = (int(value) for value in np.percentile(self._done.sum(axis=1), (10, 50, 90)))
        self.curve.append(Point(at, low, middle, high))

    def _quotas(self) -> Whole:
        """Meters of each lane that may have been begun with in each wave: rows are waves."""
        total = int(self._meters.sum())
        if self._terms.canary.group:
            canary: Whole = np.array([lane.canary for lane in self._rows])
        else:
            canary = self._part(self._terms.canary.size(total) / total)
        rows = [canary]
        for share in self._terms.waves:
            rows.append(np.maximum(rows[-1], self._meters if share == 1 else self._part(share)))
        return np.array(rows)

    def _part(self, share: float) -> Whole:
        """A share of all meters, evenly over the lanes."""
        exact = self._meters * share
        phases = np.random.default_rng(_SEED).random(len(self._rows))
        return np.minimum(self._meters, np.floor(exact + phases).astype(np.int64))
