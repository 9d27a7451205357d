"""No second, and no segment, gets more than its share."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.runtime.spread import Spread, spread

HOUR = 3_600_000


def made(
    sizes: list[int], gap_of: Callable[[int], float], window: int, **more: int
) -> tuple[Spread, np.ndarray, np.ndarray]:
    keys = [f"m{segment}-{number}" for segment, size in enumerate(sizes) for number in range(size)]
    segments = np.repeat(np.arange(len(sizes)), sizes).astype(np.int32)
    gaps = np.array([gap_of(segment) for segment in range(len(sizes))], np.float64)
    return spread(keys, segments, gaps, window_ms=window, **more), segments, gaps


def check(result: Spread, segments: np.ndarray, gaps: np.ndarray, window: int) -> None:
    """By counting: every second within a fifth of its share, every segment within its pace."""
    placed = result.offsets >= 0
    assert int((~placed).sum()) == result.unplaced
    share = placed.sum() * 1_000 / window
    assert np.bincount(result.offsets[placed] // 1_000, minlength=1).max() <= max(
        math.ceil(share), math.floor(1.2 * share), 1
    )
    order = np.lexsort((result.offsets[placed], segments[placed]))
    times, group = result.offsets[placed][order], segments[placed][order]
    apart = np.diff(times)[group[1:] == group[:-1]]
    least = gaps[group[1:]][group[1:] == group[:-1]]
    assert (apart >= least - 1.0).all()


@pytest.mark.parametrize(
    ("sizes", "gap_of", "window"),
    [
        pytest.param([50] * 400, lambda _: 714.0, 3 * HOUR, id="plc, many small"),
        pytest.param([900, 3, 400, 1, 77] * 10, lambda _: 714.0, 3 * HOUR, id="plc, uneven"),
        pytest.param([700] * 20, lambda _: 14_286.0, 3 * HOUR, id="lorawan, nearly full"),
        pytest.param([5_000], lambda _: 0.0, HOUR, id="nobody's pace matters"),
        pytest.param(
            [50] * 200 + [700] * 10 + [4_000],
            lambda at: (714.0, 14_286.0)[200 <= at < 210] * (at < 210),
            3 * HOUR,
            id="mixed",
        ),
        pytest.param([1], lambda _: 1_000.0, 60_000, id="one meter"),
        pytest.param([1] * 3_000, lambda _: 1_000.0, HOUR, id="every meter its own segment"),
        pytest.param([1_000], lambda _: 0.0, 60_000, id="17 a second"),
    ],
)
def test_even_for_the_whole_and_for_each_segment(sizes: list[int], gap_of: Callable[[int], float], window: int) -> None:
    result, segments, gaps = made(sizes, gap_of, window)
    assert result.unplaced == 0
    assert result.offsets.max() < window
    check(result, segments, gaps, window)


def test_what_fits_stays_in_the_window_beside_segments_that_do_not() -> None:
    sizes, pace = [48, 120, 80, *[120] * 16], [60_000.0, 0.0, 60_000.0, *[0.0] * 16]
    result, segments, _ = made(sizes, lambda at: pace[at], 600_000, limit_ms=1_200_000)
    for segment, size in enumerate(sizes):
        if size * pace[segment] <= 600_000:
            assert result.offsets[segments == segment].max() < 600_000


@given(
    sizes=st.lists(st.integers(1, 120), min_size=1, max_size=25),
    pace=st.lists(st.sampled_from([0.0, 200.0, 1_000.0, 10_000.0, 60_000.0]), min_size=25, max_size=25),
    window=st.sampled_from([600_000, HOUR, 3 * HOUR]),
    turn=st.integers(0, 10**9),
)
@settings(max_examples=60, deadline=None)
def test_whatever_the_fleet(sizes: list[int], pace: list[float], window: int, turn: int) -> None:
    result, segments, gaps = made(sizes, lambda at: pace[at], window, limit_ms=2 * window, turn=turn)
    placed = result.offsets >= 0
    assert (result.offsets[placed] < 2 * window).all()
    order = np.lexsort((result.offsets, segments))
    times, group = result.offsets[order], segments[order]
    both = (group[1:] == group[:-1]) & (times[:-1] >= 0)
    assert (np.diff(times)[both] >= gaps[group[1:]][both] - 1.0).all()
    fits = [size for at, size in enumerate(sizes) if size * pace[at] <= window]
    for segment, size in enumerate(sizes):
        mine = result.offsets[segments == segment]
        if size * pace[segment] <= window:
            assert ((mine >= 0) & (mine < window)).all()
    if len(fits) == len(sizes):
        check(result, segments, gaps, window)


def test_the_same_meters_have_the_same_places() -> None:
    first, _, _ = made([40] * 10, lambda _: 500.0, HOUR)
    again, _, _ = made([40] * 10, lambda _: 500.0, HOUR)
    assert (first.offsets == again.offsets).all()


def test_a_meter_more_moves_the_others_little() -> None:
    """A place is a share of the window, so one more of a thousand moves nobody by more than a few shares."""
    first, _, _ = made([1_000], lambda _: 0.0, HOUR)
    keys = [f"m0-{number}" for number in range(1_000)] + ["another"]
    more = spread(keys, np.zeros(1_001, np.int32), np.zeros(1), window_ms=HOUR)
    assert np.abs(first.offsets - more.offsets[:-1]).max() <= 2 * HOUR // 1_000


def test_who_has_no_place_takes_turns() -> None:
    out = [
        set(np.flatnonzero(made([100], lambda _: 60_000.0, HOUR, turn=turn)[0].offsets < 0).tolist())
        for turn in range(0, 6_000, 300)
    ]
    assert all(len(each) in (40, 41) for each in out)
    assert set.intersection(*out) == set()


@pytest.mark.parametrize("gap", [2_000, 60_000, 10_000_000])
def test_where_not_even_two_have_room_one_has(gap: int) -> None:
    for segment in range(20):
        result = spread(["a", "b"], np.full(2, segment, np.int32), np.full(20, gap, np.float64), window_ms=1_000)
        assert result.unplaced == 1
        assert 0 <= result.offsets.max() < 1_000


def test_order_is_earliest_first_without_those_who_have_no_place() -> None:
    result, _, _ = made([100], lambda _: 60_000.0, HOUR)
    ordered = result.offsets[result.order()]
    assert len(ordered) == 100 - result.unplaced
    assert (np.diff(ordered) >= 0).all()
    assert ordered[0] >= 0


def test_nobody_is_nobody() -> None:
    result = spread([], np.empty(0, np.int32), np.empty(0), window_ms=HOUR)
    assert (len(result.offsets), result.unplaced, len(result.order())) == (0, 0, 0)
