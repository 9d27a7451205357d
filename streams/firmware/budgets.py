"""What a segment's hours still bear: octets an hour and transfers at once, over all campaigns. Pure.

A transfer is a reservation at a steady rate from its start to its end, booked into every hour that it touches. It is begun
where all of these have room, so that no hour ever gets more than its share, whatever part of it the transfer falls into.
What it did not use after all is given back, and what it took longer is booked.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import ceil, sqrt

from schemas.records import CampaignBudget, Network
from streams.runtime.authority.terms import Terms
from streams.runtime.settings import Band, Firmware

HOUR_MS = 3_600_000
_SURE = 4.0
"""Standard deviations that a reservation leaves for blocks that are lost beyond the expected share."""
_BLOCK = 200
"""Octets of a block as far as that spread goes; larger blocks are fewer and spread more, smaller ones less."""
_KEPT_HOURS = 3
_STEPS = 1_000
_SHORTEST_MS = 120_000
"""Of a part of a transfer: for less nobody connects."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What firmware may take of a segment."""

    octets_an_hour: float
    concurrent: int
    octets_a_ms: float
    """At which one meter takes an image."""

    @property
    def possible(self) -> bool:
        """Whether anything can be sent there at all."""
        return self.octets_an_hour >= 1


def limits_of(band: Band, terms: Terms, network: Network, meters: int) -> Limits:
    """Of a segment with so many meters: the share that settings and terms allow, where reading leaves so much."""
    name = network.value.lower()
    hour = band.bits_s / 8 * 3_600
    share = min(band.share, terms.shares.get(name, 1.0))
    octets, rate = max(0.0, min(hour * share, hour - band.reading * meters)), min(band.meter_bits_s, band.bits_s) / 8_000
    # No more at once than fill the budget: else all of an hour's transfers would be begun at its start, in the way of reads.
    enough = int(octets / HOUR_MS / rate) + 1
    return Limits(
        octets_an_hour=octets,
        concurrent=min(band.concurrent, terms.concurrent.get(name, band.concurrent), enough),
        octets_a_ms=rate,
    )


def band_of(settings: Firmware, network: Network, segment: str) -> Band:
    """What a segment carries, as the settings have it."""
    found: Band = settings.segments.get(segment) or getattr(settings.bands, network.value.lower())
    return found


def octets_of(size: int, loss: float) -> int:
    """What bringing an image takes with the blocks that are lost, at the share that is expected."""
    return ceil(size / (1 - loss))


def reserve_of(size: int, loss: float) -> int:
    """The same for sure: what a reservation must be."""
    blocks = max(1.0, size / _BLOCK)
    spread = sqrt(blocks * loss) / (1 - loss)
    return ceil(octets_of(size, loss) + _SURE * spread * _BLOCK)


@dataclass(slots=True)
class Budget:
    """One segment's."""

    network: Network
    segment: str
    used: dict[int, int] = field(default_factory=dict)
    """Octets by hours since 1970."""
    open: int = 0
    """Transfers whose job is out."""

    def fit(self, at: int, until: int, octets: float, limits: Limits) -> int | None:
        """The earliest start, in whole seconds, from which a transfer of so many octets finds room and ends in time."""
        rate = limits.octets_a_ms
        lasts = ceil(octets / rate)
        start = _second(at)
        for _ in range(_STEPS):
            if start + lasts > until:
                return None
            later = self._shortage(start, start + lasts, rate, limits.octets_an_hour)
            if later is None:
                return start
            start = _second(later)
        return None

    def stretch(self, at: int, until: int, octets: float, limits: Limits) -> tuple[int, int] | None:
        """The earliest span in which a part of a transfer finds room, as long as can be: for images that no night holds."""
        rate, start = limits.octets_a_ms, _second(at)
        lasts = ceil(octets / rate)
        least = min(lasts, _SHORTEST_MS)
        while start + least <= until:
            end = start
            while end < min(until, start + lasts):
                hour_ends = (end // HOUR_MS + 1) * HOUR_MS
                room = max(0.0, limits.octets_an_hour - self.used.get(end // HOUR_MS, 0))
                stop = min(hour_ends, until, start + lasts, end + int(room / rate))
                full, end = stop < hour_ends, stop
                if full:
                    break
            if end - start >= least:
                return start, end
            start = (max(start, end) // HOUR_MS + 1) * HOUR_MS
        return None

    def book(self, start: int, end: int, rate: float) -> None:
        """Take a span at a rate; a negative rate gives it back. In whole octets, always to the network's advantage."""
        for hour in range(start // HOUR_MS, (end - 1) // HOUR_MS + 1):
            part = (min(end, (hour + 1) * HOUR_MS) - max(start, hour * HOUR_MS)) * rate
            self.used[hour] = max(0, self.used.get(hour, 0) + ceil(part))

    def settle(self, planned_end: int, ended: int, rate: float) -> None:
        """A transfer that was booked up to `planned_end` ended at another time: the difference is given back, or booked."""
        if ended < planned_end:
            self.book(ended, planned_end, -rate)
        elif ended > planned_end:
            self.book(planned_end, ended, rate)

    def forget(self, now: int) -> None:
        """Hours that are over and done with."""
        oldest = now // HOUR_MS - _KEPT_HOURS
        for hour in [hour for hour in self.used if hour < oldest]:
            del self.used[hour]

    def as_record(self) -> CampaignBudget:
        """For the books."""
        hours = sorted(self.used)
        return CampaignBudget(self.network, self.segment, tuple(hours), tuple(self.used[hour] for hour in hours))

    def _shortage(self, start: int, end: int, rate: float, most: float) -> int | None:
        """A later start to try where an hour between has not the room; None where all have."""
        for hour in range(start // HOUR_MS, (end - 1) // HOUR_MS + 1):
            opens, closes = hour * HOUR_MS, (hour + 1) * HOUR_MS
            part = (min(end, closes) - max(start, opens)) * rate
            room = max(0.0, most - self.used.get(hour, 0))
            if part > room + 1e-6:
                # So late in this hour that what falls into it fits.
                return max(start + 1, closes - int(room / rate))
        return None


class Budgets:
    """All segments'."""

    def __init__(self, settings: Firmware, meters_in: Callable[[Network, str], int]) -> None:
        self._settings = settings
        self._meters_in = meters_in
        self._budgets: dict[tuple[Network, str], Budget] = {}
        self._touched: dict[tuple[Network, str], Budget] = {}

    def of(self, network: Network, segment: str) -> Budget:
        """A segment's; meters whose segment nobody knows share one by network."""
        key = network, segment
        found = self._budgets.get(key)
        if found is None:
            found = self._budgets[key] = Budget(network, segment)
        return found

    def limits(self, network: Network, segment: str, terms: Terms) -> Limits:
        """What a campaign may take there."""
        band = band_of(self._settings, network, segment)
        return limits_of(band, terms, network, self._meters_in(network, segment))

    def touch(self, budget: Budget) -> None:
        """Note that it is to be written."""
        self._touched[budget.network, budget.segment] = budget

    def take_touched(self, now: int) -> list[CampaignBudget]:
        """Those that changed since the last time."""
        touched, self._touched = list(self._touched.values()), {}
        for budget in touched:
            budget.forget(now)
        return [budget.as_record() for budget in touched]

    def restore(self, record: CampaignBudget) -> None:
        """As the books have it."""
        budget = self.of(record.network, record.segment)
        budget.used = dict(zip(record.hours, record.octets, strict=True))


def _second(ms: int) -> int:
    return -(-ms // 1000) * 1000
