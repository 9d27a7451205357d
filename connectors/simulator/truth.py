"""What a simulated meter measures: a pure function of meter, object and time.

Energy only rises. Nothing is stored, so a fleet of thousands holds no profile in memory and any row, of any day, is the
same whenever it is asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate

QUARTER_MS = 900_000
QUARTERS_A_DAY = 96
EPOCH_MS = 1_704_067_200_000  # 2024-01-01T00:00Z: when every meter showed its start value
MASK = (1 << 64) - 1

IMPORT = "1.0.1.8.0.255"
EXPORT = "1.0.2.8.0.255"
INTERVALS_OF = {"1.0.1.29.0.255": IMPORT, "1.0.2.29.0.255": EXPORT}
"""Energy counted in an interval, to the register that goes on by it."""


def mix(*keys: int) -> int:
    """64 well-mixed bits of some integers (splitmix64's finaliser), the same on every machine."""
    state = 0x9E3779B97F4A7C15
    for key in keys:
        state = (state + (key & MASK) + 0x9E3779B97F4A7C15) & MASK
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & MASK
        state ^= state >> 31
    return state


def _shape(hours: tuple[int, ...]) -> tuple[int, ...]:
    """Cumulative share of a day's energy before each quarter of an hour, in millionths, from 24 hourly weights."""
    total = sum(hours) * 4
    return tuple(part * 1_000_000 // total for part in accumulate((hours[i // 4] for i in range(96)), initial=0))


HOUSEHOLD = _shape((3, 2, 2, 2, 2, 3, 6, 9, 7, 5, 5, 5, 6, 5, 5, 5, 6, 9, 12, 12, 10, 8, 6, 4))
SHOP = _shape((2, 2, 2, 2, 2, 3, 5, 9, 12, 13, 13, 13, 12, 13, 13, 13, 12, 11, 9, 6, 4, 3, 2, 2))
NIGHT_CHARGING = _shape((14, 14, 13, 12, 8, 4, 5, 6, 4, 3, 3, 3, 3, 3, 3, 3, 4, 6, 7, 7, 6, 5, 9, 13))
SOLAR = _shape((0, 0, 0, 0, 0, 0, 1, 4, 8, 13, 17, 20, 21, 20, 17, 13, 8, 4, 1, 0, 0, 0, 0, 0))
SHAPES = (HOUSEHOLD, SHOP, NIGHT_CHARGING)


@dataclass(frozen=True, slots=True)
class Load:
    """What a premise draws and feeds in. Energies are tenths of a watt-hour."""

    seed: int
    shape: int  # index into SHAPES
    import_start: int
    import_daily: int
    export_start: int
    export_daily: int  # 0 without a solar plant
    energy_scaler: int  # of 1.8.0 and 2.8.0: raw * 10**scaler is Wh

    def raw(self, obis: str, at_ms: int) -> int:
        """The register's raw integer at a time. Raises KeyError for a register that the meter does not have."""
        divisor: int = 10 ** (self.energy_scaler + 1)
        if obis == IMPORT:
            return self._energy(1, SHAPES[self.shape], self.import_start, self.import_daily, at_ms) // divisor
        if obis == EXPORT:
            return self._energy(2, SOLAR, self.export_start, self.export_daily, at_ms) // divisor
        return INSTANTANEOUS[obis].raw(mix(self.seed, at_ms // 1000, int(obis.split(".")[2])), self._power(at_ms))

    def status(self, end_ms: int) -> int:
        """The AMR profile status of the interval that ends then: mostly 0, now and then a daylight-saving or clock bit."""
        return (0, 0x08, 0x20)[bits % 3] if (bits := mix(self.seed, end_ms, 77)) % 50 == 0 else 0

    def _energy(self, channel: int, shape: tuple[int, ...], start: int, daily: int, at_ms: int) -> int:
        """Tenths of Wh: exact at each quarter, linear between two; never falls."""
        quarter, rest = divmod(at_ms - EPOCH_MS, QUARTER_MS)
        low = self._at_quarter(channel, shape, start, daily, quarter)
        if not rest:
            return low
        return low + (self._at_quarter(channel, shape, start, daily, quarter + 1) - low) * rest // QUARTER_MS

    def _at_quarter(self, channel: int, shape: tuple[int, ...], start: int, daily: int, quarter: int) -> int:
        day, index = divmod(quarter, QUARTERS_A_DAY)
        base = start + day * daily + daily * shape[index] // 1_000_000
        following = start + day * daily + daily * shape[index + 1] // 1_000_000
        return base + mix(self.seed, channel, quarter) % (following - base + 1)

    def _power(self, at_ms: int) -> int:
        """Watts drawn, averaged over the quarter of an hour."""
        quarter = (at_ms - EPOCH_MS) // QUARTER_MS
        shape = SHAPES[self.shape]
        ends = [self._at_quarter(1, shape, self.import_start, self.import_daily, quarter + step) for step in (0, 1)]
        return (ends[1] - ends[0]) * 4 // 10


@dataclass(frozen=True, slots=True)
class Instantaneous:
    """A register whose value is a draw of its own around a middle, or follows the power drawn."""

    scaler: int
    unit: int  # Blue Book unit enum
    middle: int = 0
    spread: int = 1
    per_kilowatt: int = 0  # raw units for each kW drawn

    def raw(self, bits: int, watts: int) -> int:
        """The raw integer, from random bits and the power drawn."""
        return self.middle + bits % (2 * self.spread + 1) - self.spread + self.per_kilowatt * watts // 1000


INSTANTANEOUS: dict[str, Instantaneous] = {
    "1.0.1.7.0.255": Instantaneous(0, 27, 1, 1, 1000),
    "1.0.2.7.0.255": Instantaneous(0, 27, 1, 1),
    "1.0.3.7.0.255": Instantaneous(0, 29, 20, 15, 120),
    "1.0.4.7.0.255": Instantaneous(0, 29, 1, 1),
    "1.0.32.7.0.255": Instantaneous(-1, 35, 2305, 40),
    "1.0.52.7.0.255": Instantaneous(-1, 35, 2308, 40),
    "1.0.72.7.0.255": Instantaneous(-1, 35, 2302, 40),
    "1.0.31.7.0.255": Instantaneous(-2, 33, 20, 10, 150),
    "1.0.51.7.0.255": Instantaneous(-2, 33, 20, 10, 145),
    "1.0.71.7.0.255": Instantaneous(-2, 33, 20, 10, 140),
}
ENERGY_UNIT = 30  # Wh
