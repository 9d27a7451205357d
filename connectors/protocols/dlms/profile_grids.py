"""Clock columns of irregular days, quickly: the date-times that rows a period apart have are known from meters read before.

Where a day's rows stand on their grid they are compared with what stood there before, all at once; only rows that differ
(out of step, without a time, odd) are read one by one. What stands in no grid yet is filled in as it comes. A date-time is
remembered only with its deviation, so that the same octets always mean the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from connectors.protocols.dlms.profile_times import DATE_TIME, Times, instant_of

_MOST_GRIDS = 64
_MOST_ROWS = 1_500

_Key: TypeAlias = tuple[bytes, int, int, bool]


class Grid:
    """Rows a period apart. `stamps` has None, and `holes` its row, where no meter has written that row's date-time yet."""

    __slots__ = ("deviations", "holes", "octets", "stamps", "statuses", "tails", "utc_ms")

    def __init__(
        self, times: Times, stamps: Sequence[bytes | None], on_grid: NDArray[np.bool_], utc_ms: NDArray[np.int64]
    ) -> None:
        self.stamps: list[bytes | None] = [
            stamp if fits else None for stamp, fits in zip(stamps, on_grid.tolist(), strict=True)
        ]
        self.holes = {row for row, stamp in enumerate(self.stamps) if stamp is None}
        self.octets = np.array([stamp or b"" for stamp in self.stamps], f"S{DATE_TIME}")
        self.utc_ms = utc_ms
        self.deviations, self.statuses = times.deviations.copy(), times.statuses.copy()
        self.tails = list(zip(self.deviations.tolist(), self.statuses.tolist(), strict=True))
        self.deviations.setflags(write=False)  # every profile of the day shares them
        self.statuses.setflags(write=False)

    def fill(self, row: int, stamp: bytes, tail: tuple[int, int]) -> None:
        """A meter has written the date-time of a hole."""
        self.holes.discard(row)
        self.stamps[row], self.octets[row], self.tails[row] = stamp, stamp, tail
        deviations, statuses = self.deviations.copy(), self.statuses.copy()
        deviations[row], statuses[row] = tail
        deviations.setflags(write=False)
        statuses.setflags(write=False)
        self.deviations, self.statuses = deviations, statuses


_grids: dict[_Key, Grid] = {}


def grid_of(first: bytes, count: int, period_s: int, *, reverse: bool) -> Grid | None:
    """The day of `count` rows that begins with the date-time `first`, where a meter has written it before."""
    return _grids.get((first, count, period_s, reverse))


def read_on_grid(
    data: bytes,
    at: int,
    stride: int,
    count: int,
    odd: Mapping[int, bytes | None],
    period_s: int,
    *,
    deviation_reversed: bool = False,
) -> Times | None:
    """The date-times at `at`, `at + stride`, … of `count` rows; those of the rows in `odd` are zeros there and as it says.

    Row 0 has a date-time. Rows without one follow the one before, a period later. None where no grid is known or a
    date-time has no deviation: `read_stamps` reads them then.
    """
    grid = grid_of(odd.get(0) or data[at : at + DATE_TIME], count, period_s, reverse=deviation_reversed)
    if grid is None:
        return None
    column: NDArray[np.bytes_] = np.ndarray((count,), f"S{DATE_TIME}", data, at, (stride,))
    rows: list[int] = (column != grid.octets).nonzero()[0].tolist()
    if grid.holes:
        rows = sorted(grid.holes.union(rows))
    utc, stamps, tails = grid.utc_ms.copy(), grid.stamps, grid.tails
    changed: dict[int, tuple[int, int]] = {}
    for row in rows:
        stamp = odd[row] if row in odd else data[at + row * stride : at + row * stride + DATE_TIME]
        if stamp is None:
            utc[row] = utc[row - 1] + period_s * 1000
            tail = changed.get(row - 1) or tails[row - 1]
        elif stamp == stamps[row]:
            continue
        else:
            instant = instant_of(stamp, deviation_reversed=deviation_reversed)
            if instant is None:
                return None
            tail = (int.from_bytes(stamp[9:11], "big", signed=True), stamp[11])
            if row in grid.holes and instant == grid.utc_ms[row]:
                grid.fill(row, stamp, tail)
            utc[row] = instant
        if tail != tails[row]:
            changed[row] = tail
    deviations, statuses = grid.deviations, grid.statuses
    if changed:
        deviations, statuses = deviations.copy(), statuses.copy()
        for row, tail in changed.items():
            deviations[row], statuses[row] = tail
    return Times(utc, deviations, statuses, self_contained=True)


def keep_grid(times: Times, stamps: Sequence[bytes | None], period_s: int, *, deviation_reversed: bool) -> None:
    """Remember a day whose rows mostly stand a period apart, from the first one on."""
    count, first = len(stamps), stamps[0]
    if not times.self_contained or period_s <= 0 or not 2 <= count <= _MOST_ROWS or first is None:
        return
    utc = times.utc_ms[0] + np.arange(count) * (period_s * 1000)
    on_grid = times.utc_ms == utc
    if 2 * int(on_grid.sum()) < count:
        return
    while len(_grids) >= _MOST_GRIDS:
        del _grids[next(iter(_grids))]
    _grids[first, count, period_s, deviation_reversed] = Grid(times, stamps, on_grid, utc)
