"""When the next tick is due: a round after the last, but for life support."""

from __future__ import annotations

import pytest

from streams.runtime.settings import Oms
from tests.unit.connectors.oms.world import T0, Utility, alarm


def dark(utility: Utility, after_ms: int, meter: str, *, life_support: bool = False) -> None:
    """A last gasp that comes in so long after the beginning."""
    utility.now = T0 + after_ms
    utility.core.take(alarm(meter, after_ms / 1_000, life_support=life_support), utility.now)


def test_a_round_takes_along_who_has_half_of_one_left_to_wait_and_the_next_is_a_round_later() -> None:
    utility = Utility()
    for after_ms, meter in ((0, "T1-1"), (50, "T2-1"), (60, "T3-1")):
        dark(utility, after_ms, meter)
    assert utility.core.wait_ms(T0 + 60) == 40
    assert {event.transformer for event in utility.wait(0.04)} == {"T1", "T2"}
    dark(utility, 110, "T4-1")
    assert utility.core.wait_ms(T0 + 110) == 90  # T3 would be due in 50
    assert {event.transformer for event in utility.wait(0.09)} == {"T3", "T4"}
    assert utility.core.wait_ms(T0 + 200) is not None  # the journal's entries get old
    assert (utility.core.wait_ms(T0 + 200) or 0) > 1_000


def test_life_support_does_not_wait_for_the_round() -> None:
    utility = Utility()
    dark(utility, 0, "T1-1")
    utility.wait(0.1)
    dark(utility, 110, "T2-1", life_support=True)
    assert utility.core.wait_ms(T0 + 110) == 20
    assert [event.transformer for event in utility.wait(0.02)] == ["T2"]


@pytest.mark.parametrize(
    ("gather_s", "early_ms", "round_ms"), [(0.01, 5, 10), (0.1, 50, 100), (30.0, 50, 100)], ids=["quick", "usual", "patient"]
)
def test_a_round_is_no_longer_than_alarms_are_gathered_nor_than_a_tenth_of_a_second(
    gather_s: float, early_ms: int, round_ms: int
) -> None:
    utility, gather_ms = Utility(Oms(gather_s=gather_s)), round(gather_s * 1_000)
    for after_ms, meter in ((0, "T1-1"), (early_ms, "T2-1"), (early_ms + 1, "T3-1")):
        dark(utility, after_ms, meter)
    assert utility.core.wait_ms(T0) == gather_ms
    utility.now = T0
    assert {event.transformer for event in utility.wait(gather_s)} == {"T1", "T2"}
    assert utility.core.wait_ms(utility.now) == max(round_ms, early_ms + 1)


def test_a_clock_that_is_set_back_holds_no_round_up() -> None:
    utility = Utility()
    dark(utility, 5_000, "T1-1")
    utility.wait(0.1)
    dark(utility, 1_000, "T2-1")
    assert utility.core.wait_ms(utility.now) == 0
