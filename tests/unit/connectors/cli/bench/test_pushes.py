"""What the benches' meters push is, octet for octet, what gurux-dlms makes of the same for the demo's meters."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from connectors.cli.bench import pushes
from connectors.simulator.config import FleetConfig
from connectors.simulator.cosem import DATA, DEVICE_NAME_LN
from connectors.simulator.encoding import Type
from connectors.simulator.models import Layout
from connectors.simulator.plan import MeterPlan, plan_fleet
from connectors.simulator.scenario import EVENT_CODES
from connectors.simulator.telegrams import Telegram, Value, apdu, event_values, secret_of, wrapper

NUMBER, AT = 1_000_100_042, 1_790_000_000_000


@pytest.fixture(scope="module")
def plan() -> MeterPlan:
    """A meter of the demo under a bench's name and keys."""
    found = next(plan for plan in plan_fleet(FleetConfig(Path("unused"), meters=50)) if plan.model.layout is Layout.TAGGED)
    model = replace(found.model, flag="BEN", time_zone="UTC", ciphered=True)
    return replace(found, model=model, serial=str(NUMBER), encryption_key=pushes.EK, authentication_key=pushes.AK)


def telegram(*values: Value) -> Telegram:
    return Telegram(AT, NUMBER & 0xFFFFFF, values, confirmed=True)


def test_a_last_gasp_is_the_demos(plan: MeterPlan) -> None:
    (event,) = EVENT_CODES["outage"]
    theirs = telegram(*event_values(plan, event.obis, event.code))
    ours = pushes.last_gasp(NUMBER, pushes.second_of(AT))
    assert ours == apdu(plan, theirs, None)
    assert pushes.framed(ours) == wrapper(ours)
    assert pushes.sealed(NUMBER, ours, 77) == apdu(plan, theirs, secret_of(plan), 77)


def test_a_reading_is_a_name_and_an_energy(plan: MeterPlan) -> None:
    name = Value(DATA, DEVICE_NAME_LN, Type.OCTETS, plan.logical_device_name)
    energy = Value(3, "1.0.1.8.0.255", Type.UINT32, 123_456, (0, 30))
    assert pushes.reading(NUMBER, 123_456, pushes.second_of(AT)) == apdu(plan, telegram(name, energy), None)


def test_the_registry_knows_the_meter_by_what_it_says(plan: MeterPlan) -> None:
    meter = pushes.meter_of(NUMBER, "storm-1", "TR-1", "FD-1")
    assert [one.value for one in meter.identities] == [plan.system_title.hex().upper(), plan.logical_device_name]
    assert (meter.id, meter.transformer, meter.feeder) == ("storm-1", "TR-1", "FD-1")


@pytest.mark.parametrize(
    ("octets", "answers", "rest"),
    [(0, 0, 0), (7, 0, 7), (8, 0, 8), (9, 0, 9), (14, 1, 0), (30, 2, 2)],
    ids=["nothing", "not a header", "a header", "cut short", "one", "two and a bit"],
)
def test_acknowledgements_are_counted_as_they_come(octets: int, answers: int, rest: int) -> None:
    stream = (pushes.framed(bytes(6)) * 3)[:octets]
    assert pushes.acknowledged(stream) == (answers, stream[octets - rest :])
