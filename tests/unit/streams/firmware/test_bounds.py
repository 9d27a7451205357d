"""Bounds of a share: against published intervals, and against sums of binomial probabilities in exact fractions."""

from __future__ import annotations

from fractions import Fraction
from math import comb

import pytest

from streams.firmware.bounds import is_above, is_below, least_told, lower, tail, upper

NEWCOMBE = {
    "81 of 263": (81, 263, 0.2527, 0.3676),
    "15 of 148": (15, 148, 0.0578, 0.1617),
    "0 of 20": (0, 20, 0.0, 0.1684),
    "1 of 29": (1, 29, 0.0009, 0.1776),
}
"""Two-sided 95 % intervals of the exact method (method 5), R. G. Newcombe, Statistics in Medicine 17 (1998), table I."""


@pytest.mark.parametrize(("bad", "of", "low", "high"), NEWCOMBE.values(), ids=NEWCOMBE)
def test_the_published_intervals(bad: int, of: int, low: float, high: float) -> None:
    assert round(lower(bad, of, 0.975), 4) == low
    assert round(upper(bad, of, 0.975), 4) == high


@pytest.mark.parametrize("share", [Fraction(1, 1000), Fraction(1, 100), Fraction(1, 20), Fraction(1, 2), Fraction(9, 10)])
@pytest.mark.parametrize("of", [1, 7, 50, 120])
def test_the_tail_is_the_sum_of_the_binomial_probabilities(of: int, share: Fraction) -> None:
    for least in range(of + 2):
        exact = sum(comb(of, bad) * share**bad * (1 - share) ** (of - bad) for bad in range(least, of + 1))
        assert tail(least, of, float(share)) == pytest.approx(float(exact), rel=1e-9, abs=1e-15)


@pytest.mark.parametrize(("bad", "of"), [(3, 50), (25, 500), (6_000, 500_000), (5, 5)])
@pytest.mark.parametrize("confidence", [0.9, 0.99, 0.9999])
def test_a_limit_is_passed_where_the_bound_passes_it(bad: int, of: int, confidence: float) -> None:
    low, high = lower(bad, of, confidence), upper(bad, of, confidence)
    assert low <= bad / of <= high
    for share in (0.001, 0.009, 0.0121, 0.0125, 0.05, 0.06, 0.5, 0.9):
        assert is_above(bad, of, share, confidence) == (low > share)
        assert is_below(bad, of, share, confidence) == (high < share)


def test_few_meters_tell_little() -> None:
    assert not is_above(1, 20, 0.01, 0.99)
    assert is_above(25, 500, 0.01, 0.99)
    assert not is_below(0, 50, 0.01, 0.99)
    assert is_below(0, 500, 0.01, 0.99)
    assert upper(0, 500, 0.99) == pytest.approx(least_told(500, 0.99))
    assert not is_above(0, 0, 0.01, 0.99)
    assert not is_below(0, 0, 0.01, 0.99)
