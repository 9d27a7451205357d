"""How sure one can be of a share that was counted: the bounds of Clopper and Pearson, exact for every number of meters.

A raw share of a small canary says little: one of twenty is 5 %, and may come of 0.3 % or of 22 %. The lower bound at 99 %
is above a limit only where so many failures would come about by chance in less than one case of a hundred.
"""

from __future__ import annotations

from collections.abc import Callable
from math import exp, lgamma, log, log1p

_TINY, _CLOSE, _MOST_TERMS, _HALVINGS = 1e-300, 1e-15, 100_000, 80


def is_above(bad: int, of: int, limit: float, confidence: float) -> bool:
    """Whether the true share is above the limit for sure: its lower bound is. One-sided."""
    return 0 < bad <= of and limit < 1 and tail(bad, of, limit) < 1 - confidence


def is_below(bad: int, of: int, limit: float, confidence: float) -> bool:
    """Whether the true share is below the limit for sure: its upper bound is. One-sided."""
    return bad < of and limit > 0 and 1 - tail(bad + 1, of, limit) < 1 - confidence


def lower(bad: int, of: int, confidence: float) -> float:
    """The share that is reached at least, one-sided."""
    if bad == 0:
        return 0.0
    return _root(lambda share: tail(bad, of, share) - (1 - confidence))


def upper(bad: int, of: int, confidence: float) -> float:
    """The share that is reached at most, one-sided."""
    if bad >= of:
        return 1.0
    return _root(lambda share: tail(bad + 1, of, share) - confidence)


def least_told(meters: int, confidence: float) -> float:
    """The smallest share that so many meters tell apart from none: what it is below for sure where none of them is bad."""
    return 1 - exp(log(1 - confidence) / meters) if meters else 1.0


def tail(least: int, of: int, share: float) -> float:
    """The probability that of so many at least `least` are bad, each with this share: the regularised incomplete beta
    function I_share(least, of - least + 1).
    """
    if least <= 0:
        return 1.0
    if least > of or share <= 0:
        return 0.0
    if share >= 1:
        return 1.0
    a, b = float(least), float(of - least + 1)
    front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(share) + b * log1p(-share))
    # The fraction converges fast on the near side of the mean only.
    if share < (a + 1) / (a + b + 2):
        return front * _fraction(a, b, share) / a
    return 1 - front * _fraction(b, a, 1 - share) / b


def _fraction(a: float, b: float, x: float) -> float:
    """The continued fraction of the incomplete beta function (DLMF 8.17.22), by Lentz's method."""
    c, d = 1.0, 1 - (a + b) * x / (a + 1)
    d = 1 / (d if abs(d) > _TINY else _TINY)
    value = d
    for m in range(1, _MOST_TERMS):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for term in (even, odd):
            d = 1 + term * d
            d = 1 / (d if abs(d) > _TINY else _TINY)
            c = 1 + term / c
            c = c if abs(c) > _TINY else _TINY
            value *= c * d
        if abs(c * d - 1) < _CLOSE:
            break
    return value


def _root(rising: Callable[[float], float]) -> float:
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if rising(middle) < 0:
            low = middle
        else:
            high = middle
    return (low + high) / 2
