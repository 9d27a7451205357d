"""Work for many meters, spread over a window so that no second and no network segment gets more than its share. Pure.

Within its segment each meter has its place by a stable hash of its id, at equal distances from its neighbours; all
segments' places together, in order, are then laid evenly over the window. So a meter is read at much the same time of
every window, and neither the whole nor a segment ever sees a spike. Where that brings two meters of a segment closer than
its pace allows they are moved apart, and whoever then stands in a crowded second moves to the nearest one with room.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

_MS = 1_000
_TOLERANCE = 1.2
"""How much more than an even share one second may get."""
_FAR = 7_200
"""Seconds to either side in which room is looked for."""

Numbers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Spread:
    """Milliseconds from the window's beginning for each key, in the order of the keys; -1 where there was no room."""

    offsets: Numbers
    unplaced: int

    def order(self) -> Numbers:
        """Indexes of the keys that have a place, earliest first."""
        order = np.argsort(self.offsets, kind="stable")
        return order[self.unplaced :]


def spread(
    keys: Sequence[str],
    segments: NDArray[np.int32],
    gaps_ms: NDArray[np.float64],
    *,
    window_ms: int,
    limit_ms: int = 0,
    turn: int = 0,
) -> Spread:
    """A place in the window for every key.

    `segments` is the segment of each key, as an index into `gaps_ms`, the least milliseconds between two starts in it
    (0 where nothing limits it). A segment that needs longer than the window goes on behind it, at its own pace, to
    `limit_ms`; what does not fit there either has no place. Who that is changes with `turn`, so that nobody starves.
    """
    count = len(keys)
    if count == 0:
        return Spread(np.empty(0, np.int64), 0)
    hashes = _hashes(keys)
    by_segment = np.lexsort((hashes, segments))
    group = segments[by_segment]
    starts = np.flatnonzero(np.r_[True, group[1:] != group[:-1]])
    sizes = np.diff(np.r_[starts, count])
    rank = np.arange(count) - np.repeat(starts, sizes)
    size, gap = np.repeat(sizes, sizes), gaps_ms[group]
    crowded = size * gap > window_ms
    # Any number of turns must begin anywhere, also where turns come in steps that the size is a multiple of.
    begin = int(_mixed(np.array([turn], np.uint64))[0] >> np.uint64(1))
    rank = np.where(crowded, (rank + begin % size) % size, rank)
    # Where in its segment's row a key stands, from 0 to 1; segments begin at different places.
    phase = (_mixed(group.astype(np.uint64)) >> np.uint64(11)).astype(np.float64) / 2.0**53
    stands = (rank + phase) / size
    even = np.lexsort((hashes[by_segment], stands))
    times = np.empty(count)
    times[even] = (np.arange(count) + 0.5) * (window_ms / count)
    limit = max(window_ms, limit_ms)
    times = np.where(crowded, rank * gap + phase * np.minimum(gap, limit), times)
    times = _apart(times, gap, group, window_ms)
    placed = times < np.where(crowded, limit, window_ms)
    _level(times, np.where(placed, gap, 0.0), group, placed, window_ms)
    offsets = np.empty(count, np.int64)
    offsets[by_segment] = np.where(placed, times, -1).astype(np.int64)
    return Spread(offsets, count - int(placed.sum()))


def _apart(
    times: NDArray[np.float64], gap: NDArray[np.float64], group: NDArray[np.int32], window: int
) -> NDArray[np.float64]:
    """Times no closer within a segment than its gap, moved as little as that takes; not behind the window where they fit.

    All arguments are grouped by segment; within one the times may be in any order, which is kept.
    """
    order = np.lexsort((times, group))
    sorted_times, sorted_group = times[order], group[order].astype(np.float64)
    first = np.flatnonzero(np.r_[True, np.diff(sorted_group) != 0])
    sizes = np.diff(np.r_[first, len(times)])
    rank = np.arange(len(times)) - np.repeat(first, sizes)
    # Far enough from each other that a running maximum never carries over from one segment to the next.
    lift = np.cumsum(np.r_[0, np.ones(len(sizes) - 1)]) * (
        4.0 * (window + float(np.max(times)) + float(np.max(gap * (rank + 1))))
    )
    lift = np.repeat(lift, sizes)
    stride = gap[order] * rank
    pushed = np.maximum.accumulate(sorted_times - stride + lift) - lift + stride
    left = np.repeat(sizes, sizes) - 1 - rank
    fits = np.repeat(sizes, sizes) * gap[order] <= window
    latest = window - 1 - left * gap[order]
    pushed = np.where(fits, np.minimum(pushed, latest), pushed)
    result = np.empty_like(times)
    result[order] = pushed
    return result


def _level(
    times: NDArray[np.float64], gap: NDArray[np.float64], group: NDArray[np.int32], placed: NDArray[np.bool_], window: int
) -> None:
    """Move keys out of seconds that have more than their share, in place; a segment's gap is kept."""
    share = float(placed.sum()) * _MS / window
    most = max(int(np.ceil(share)), int(share * _TOLERANCE), 1)
    seconds = (times // _MS).astype(np.int64)
    last = int(seconds[placed].max(initial=0))
    load = np.bincount(seconds[placed], minlength=last + 1)
    crowded = np.flatnonzero(load > most)
    if not len(crowded):
        return
    # Nearest neighbours in the same segment: earliest and latest that a key may go.
    order = np.lexsort((times, group))
    where = np.empty(len(times), np.int64)
    where[order] = np.arange(len(times))
    by_second = np.argsort(np.where(placed, seconds, -1), kind="stable")
    sorted_seconds = np.where(placed, seconds, -1)[by_second]
    for second in crowded:
        low, high = np.searchsorted(sorted_seconds, (second, second + 1))
        for key in by_second[low:high]:
            if load[second] <= most:
                break
            # What is within the window stays there, also where crowded segments go on behind it.
            behind = window if times[key] < window else len(load) * _MS
            at = _room(int(key), int(second), times, gap, group, (order, where), (load, most, behind))
            if at is not None:
                times[key] = at
                load[second] -= 1
                load[int(at // _MS)] += 1


def _room(
    key: int,
    second: int,
    times: NDArray[np.float64],
    gap: NDArray[np.float64],
    group: NDArray[np.int32],
    rows: tuple[Numbers, Numbers],
    seconds: tuple[Numbers, int, int],
) -> float | None:
    """The nearest time for a key in a second that has room; None where its neighbours leave none. `seconds` are what each
    second has, the most it may have, and the time before which the key must stay.
    """
    load, most, behind = seconds
    order, where = rows
    at = int(where[key])
    earliest, latest = 0.0, float(behind - 1)
    if gap[key] > 0:
        before = order[at - 1] if at else key
        after = order[at + 1] if at + 1 < len(order) else key
        if before != key and group[before] == group[key]:
            earliest = max(earliest, float(times[before] + gap[key]))
        if after != key and group[after] == group[key]:
            latest = min(latest, float(times[after] - gap[key]))
    for away in range(1, _FAR):
        later, sooner = second + away, second - away
        if later * _MS > latest and (sooner + 1) * _MS <= earliest:
            return None
        for other in (later, sooner):
            start, end = max(earliest, float(other * _MS)), min(latest, float(other * _MS + _MS - 1))
            if start <= end and 0 <= other < len(load) and load[other] < most:
                return (start + end) / 2
    return None


def _hashes(keys: Sequence[str]) -> NDArray[np.uint64]:
    """64 bits of each key that are the same on every machine and in every release."""
    return np.frombuffer(b"".join(blake2b(key.encode(), digest_size=8).digest() for key in keys), np.uint64)


def _mixed(numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Neighbouring numbers as unlike numbers: the finisher of splitmix64."""
    with np.errstate(over="ignore"):
        mixed = (numbers + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return mixed ^ (mixed >> np.uint64(31))
