"""The probabilities of docs/outages.md, and what must hold of all of them."""

from __future__ import annotations

from itertools import pairwise
from math import comb
from pathlib import Path

import numpy as np
import pytest

from connectors.oms.likelihood import PRIOR, STEPS_MS, likeliest, scopes, whole_feeder
from schemas.records import OutageScope
from streams.runtime.settings import Oms

RULES = Oms()
PAGE = Path(__file__).parents[4] / "docs" / "outages.md"


@pytest.mark.parametrize("known", [1, 2, 10, 25, 100, 1_000])
@pytest.mark.parametrize("since", STEPS_MS)
def test_the_more_are_heard_the_less_it_is_a_premise(known: int, since: int) -> None:
    found = [scopes(heard, known, since, RULES) for heard in range(1, known + 1)]
    assert all(abs(sum(one.values()) - 1) < 1e-9 for one in found)
    premise = [one[OutageScope.PREMISE] for one in found]
    assert all(later <= earlier + 1e-9 for earlier, later in pairwise(premise))


def test_one_that_stays_alone_is_a_premise_and_all_of_them_are_the_transformer() -> None:
    for known in (5, 25, 100):
        assert likeliest(1, known, 60_000, RULES)[0] is OutageScope.PREMISE
        assert likeliest(known, known, 60_000, RULES) > (OutageScope.TRANSFORMER, 0.9)


def heard_of(heard: int, known: int, a: float, b: float) -> float:
    """The chance of it where the share that arrives has a beta distribution: by summing over shares."""
    shares = (np.arange(200_000) + 0.5) / 200_000
    density = shares ** (a - 1) * (1 - shares) ** (b - 1)
    chance = comb(known, heard) * shares**heard * (1 - shares) ** (known - heard)
    return float((density * chance).sum() / density.sum())


@pytest.mark.parametrize("heard", [1, 3, 12, 25])
def test_bayes_rule_written_out(heard: int) -> None:
    share = RULES.delivered * (1 - float(np.exp(-60 / RULES.arrive_s)))
    transformer, section = (share * 5, (1 - share) * 5), (1.0, 2 / share - 1)
    weights = (
        PRIOR[OutageScope.PREMISE] * 0.02 ** (heard - 1) * (0.98 if heard < 25 else 1),
        PRIOR[OutageScope.SECTION] * heard_of(heard, 25, *section) / (1 - heard_of(0, 25, *section)),
        PRIOR[OutageScope.TRANSFORMER] * heard_of(heard, 25, *transformer) / (1 - heard_of(0, 25, *transformer)),
    )
    assert list(scopes(heard, 25, 60_000, RULES).values()) == pytest.approx([w / sum(weights) for w in weights], abs=1e-4)


def test_a_feeder_is_surer_with_each_transformer() -> None:
    found = [whole_feeder(out, 20) for out in range(3, 21)]
    assert found == sorted(found)
    assert found[0] < 0.05
    assert found[-1] > 0.8


def test_the_page_s_table() -> None:
    rows = [
        line.strip("| ").split(" | ") for line in PAGE.read_text().splitlines() if line[:3] in {"| 1", "| 2", "| 3", "| 5"}
    ]
    assert len(rows) == 6
    for heard, *cells in rows:
        for cell, since in zip(cells, (0, 5_000, 60_000), strict=True):
            scope, share = likeliest(int(heard), 25, since, RULES)
            name, _, number = cell.partition(" ")
            assert name.upper() == scope
            assert float(number) == pytest.approx(share, abs=0.0051)
