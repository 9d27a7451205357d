"""A fleet is a pure function of its seed; energy only rises."""

from __future__ import annotations

from collections import Counter
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import pytest

from connectors.simulator.config import Address, FleetConfig
from connectors.simulator.models import MODELS
from connectors.simulator.plan import plan_fleet
from connectors.simulator.scenario import EVENT_CODES, happenings
from connectors.simulator.truth import EXPORT, IMPORT, QUARTER_MS

DAY = 1_789_948_800_000  # 2026-09-21T00:00Z


def config(**changes: object) -> FleetConfig:
    given: dict[str, Any] = {"meters": 60, "udp_to": Address("127.0.0.1", 1)}
    return FleetConfig(Path("unused"), **(given | changes))


def test_the_same_seed_is_the_same_fleet_and_another_is_not() -> None:
    assert plan_fleet(config()) == plan_fleet(config())
    assert plan_fleet(config()) != plan_fleet(config(seed=8))


def test_a_larger_fleet_contains_the_smaller() -> None:
    assert plan_fleet(config(meters=90))[:60] == plan_fleet(config())


@pytest.mark.parametrize("channel", [IMPORT, EXPORT])
@pytest.mark.parametrize("step_ms", [QUARTER_MS, 61_000], ids=["quarters", "between"])
def test_energy_never_falls(channel: str, step_ms: int) -> None:
    for plan in plan_fleet(config()):
        values = [plan.truth(channel, DAY + step * step_ms) for step in range(400)]
        assert all(later >= earlier for earlier, later in pairwise(values))
        assert values[0] >= 0
        assert values[-1] < 1 << 32


def test_every_meter_consumes_and_some_feed_in() -> None:
    fleet = plan_fleet(config())
    days = [
        (plan.truth(IMPORT, DAY + 96 * QUARTER_MS) - plan.truth(IMPORT, DAY)) * 10**plan.load.energy_scaler for plan in fleet
    ]
    assert all(2_000 <= wh <= 27_000 for wh in days)
    feeding = [plan for plan in fleet if plan.truth(EXPORT, DAY + 96 * QUARTER_MS) > plan.truth(EXPORT, DAY)]
    assert 0 < len(feeding) < len(fleet)


def test_identities_are_unique_and_keys_are_hidden() -> None:
    fleet = plan_fleet(config(meters=300))
    assert len({plan.id for plan in fleet}) == len({plan.system_title for plan in fleet}) == 300
    assert len({plan.encryption_key for plan in fleet}) == 300
    assert all(len(plan.logical_device_name) == 16 and len(plan.system_title) == 8 for plan in fleet)
    assert fleet[0].encryption_key.hex() not in repr(fleet[0])
    assert fleet[0].password not in repr(fleet[0])


def test_ten_meters_a_transformer_five_transformers_a_feeder() -> None:
    fleet = plan_fleet(config(meters=100))
    assert set(Counter(plan.transformer for plan in fleet).values()) == {10}
    assert set(Counter(plan.feeder for plan in fleet).values()) == {50}


def test_the_mix_follows_the_unconfirmed_share() -> None:
    assert all(plan.model.confirmed for plan in plan_fleet(config(unconfirmed_share=0)))
    assert {plan.model for plan in plan_fleet(config(meters=400, unconfirmed_share=0.5))} == set(MODELS)
    assert not any(plan.model.udp for plan in plan_fleet(config(meters=400, unconfirmed_share=0.5, udp_to=None)))


def test_the_scenario_is_repeatable_ordered_and_complete() -> None:
    busy = config(drift_share=0.3)
    fleet = plan_fleet(busy)
    first = list(islice(happenings(busy, fleet), 3000))
    assert first == list(islice(happenings(busy, fleet), 3000))
    assert all(later.at_ms >= earlier.at_ms for earlier, later in pairwise(first))
    assert {happening.what for happening in first} == {"registers", *EVENT_CODES}


def test_a_dark_meter_is_silent_until_its_supply_is_back() -> None:
    busy = config(outage_every_s=5)
    fleet = plan_fleet(busy)
    dark: set[int] = set()
    for happening in islice(happenings(busy, fleet), 5000):
        if happening.what == "outage":
            assert happening.meter not in dark
            dark.add(happening.meter)
        elif happening.what == "restoration":
            dark.discard(happening.meter)
        elif happening.what == "registers":
            assert happening.meter not in dark


@pytest.mark.parametrize(
    ("field", "value"),
    [("meters", 0), ("meters", 1_000_000), ("noise_share", 1.5), ("drift_share", -0.1)],
)
def test_a_senseless_configuration_is_refused_by_name(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=field if field != "meters" else "meters"):
        config(**{field: value})


@pytest.mark.parametrize("text", ["", "4059", "host:", "host:0", "host:99999", ":1", "host:x"])
def test_an_address_that_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="HOST:PORT"):
        Address.parse(text)
