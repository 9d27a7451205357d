"""How likely each scope is, from how many meters below a transformer told that they lost supply. Pure.

Bayes' rule over three causes. Of the meters that lost supply a share p is heard (last gasps are lost on the way: 30 to 70 %
arrive in practice), so k of n is beta-binomial:

- the transformer: all n are out, and p is around `delivered`, more or less the same for all of its meters;
- a section (a fuse, a phase, a service line for several): an unknown part of the n is out;
- single premises: one is out, and each further one within the same minutes is an accident of 1 in 50.

Shortly after the first alarm most of what will arrive has not arrived yet: p grows with time as 1 - exp(-t / arrive_s).
All is given that at least one was heard.
"""

from __future__ import annotations

from bisect import bisect_right
from functools import lru_cache
from math import exp, lgamma
from operator import itemgetter

from schemas.records import OutageScope
from streams.runtime.settings import Oms

PRIOR = {OutageScope.PREMISE: 0.5, OutageScope.SECTION: 0.1, OutageScope.TRANSFORMER: 0.4}
"""Before anything is known but that somebody lost supply."""
FEEDER_PRIOR = 0.5
_ACCIDENT = 0.02
_ALIKE = 5.0
"""How firm the share is that arrives from one transformer: at 0.5, with a standard deviation of 0.2."""
_SEEN, _SEEN_ALIKE = 0.9, 8.0
"""Share of a dead feeder's transformers that are recognized as out, and how firm that is."""
STEPS_MS = (100, 2_000, 5_000, 10_000, 20_000, 60_000)
"""Times after the first alarm at which the likelihood is looked at; between two of them it is that of the former, so that it
does not depend on who looks when."""


def scopes(heard: int, known: int, since_ms: int, rules: Oms) -> dict[OutageScope, float]:
    """The probability of each scope, with `heard` of `known` meters (0: nobody knows) `since_ms` after the first."""
    known = max(known or rules.typical_meters, heard)
    return dict(zip(PRIOR, _scopes(heard, known, _step(since_ms), rules.delivered, rules.arrive_s), strict=True))


def likeliest(heard: int, known: int, since_ms: int, rules: Oms) -> tuple[OutageScope, float]:
    """The scope that is most probable, and how probable it is."""
    known = max(known or rules.typical_meters, heard)
    return _likeliest(heard, known, _step(since_ms), rules.delivered, rules.arrive_s)


def _step(since_ms: int) -> int:
    return STEPS_MS[max(0, bisect_right(STEPS_MS, since_ms) - 1)]


@lru_cache(maxsize=65_536)
def _likeliest(heard: int, known: int, since_ms: int, delivered: float, arrive_s: float) -> tuple[OutageScope, float]:
    share, scope = max(zip(_scopes(heard, known, since_ms, delivered, arrive_s), PRIOR, strict=True), key=itemgetter(0))
    return scope, round(share, 3)


def _scopes(heard: int, known: int, since_ms: int, delivered: float, arrive_s: float) -> tuple[float, ...]:
    share = delivered * (1.0 - exp(-since_ms / 1_000 / arrive_s))
    likely = (
        _accidents(heard, known),
        # Which part of the meters a section has is open: the share heard is anything up to `share`.
        _given_one(heard, known, 1.0, 2.0 / share - 1.0),
        _given_one(heard, known, share * _ALIKE, (1.0 - share) * _ALIKE),
    )
    weighed = [prior * one for prior, one in zip(PRIOR.values(), likely, strict=True)]
    total = sum(weighed)
    return tuple(one / total for one in weighed)


@lru_cache(maxsize=65_536)
def whole_feeder(out: int, known: int) -> float:
    """The probability that a feeder is out, with `out` of `known` transformers out, rather than some of its branches."""
    whole = FEEDER_PRIOR * _beta_binomial(out, known, _SEEN * _SEEN_ALIKE, (1 - _SEEN) * _SEEN_ALIKE)
    return whole / (whole + (1 - FEEDER_PRIOR) / (known + 1))


def _accidents(heard: int, known: int) -> float:
    """One premise, and each further one by chance; never more than there are."""
    return _ACCIDENT ** (heard - 1) * (1.0 - _ACCIDENT if heard < known else 1.0)


def _given_one(heard: int, known: int, a: float, b: float) -> float:
    return _beta_binomial(heard, known, a, b) / max(1e-12, 1.0 - _beta_binomial(0, known, a, b))


def _beta_binomial(heard: int, known: int, a: float, b: float) -> float:
    choose = lgamma(known + 1) - lgamma(heard + 1) - lgamma(known - heard + 1)
    return exp(choose + _log_beta(heard + a, known - heard + b) - _log_beta(a, b))


def _log_beta(a: float, b: float) -> float:
    return lgamma(a) + lgamma(b) - lgamma(a + b)
