"""What is kept of C12 meters: their own tables for jobs, those of the type for notifications."""

from __future__ import annotations

from dataclasses import replace

from connectors.gateway.drivers.c12_known import Known
from connectors.protocols.c12.tables.model import Model
from connectors.templates.c12_template import C12Template
from schemas.records import Meter
from tests.unit.connectors.gateway.drivers.c12_meter import tables

ONE, OTHER = Meter(id="m1"), Meter(id="m2")
TEMPLATE = C12Template("t")
WEEK = 7 * 86_400_000


def model(*numbers: int, **other: bytes) -> Model:
    octets = {**tables(), **{int(name[1:]): data for name, data in other.items()}}
    found = Model.of(octets[0])
    for number in numbers:
        found = found.with_octets(number, octets[number])
    return found


def test_what_lasts_is_kept_for_a_week() -> None:
    known = Known()
    known.keep(ONE, model(11, 61, 63, 71, 52), 0)
    kept = known.model(ONE, WEEK - 1)
    assert kept is not None
    assert set(kept.known) == {11, 61, 71, 52}
    assert "CLOCK_CALENDAR" not in kept.known[52]  # what it keeps, not what it shows
    known.keep(ONE, model(11), WEEK - 1)
    assert known.model(ONE, WEEK) is None  # reading it does not make it younger


def test_another_firmware_or_a_doubt_asks_again() -> None:
    known = Known()
    known.keep(ONE, model(11), 0)
    assert known.model(replace(ONE, firmware="2"), 0) is None
    known.forget(ONE)
    assert known.model(ONE, 0) is None


def test_meters_share_tables_and_take_none_over() -> None:
    known = Known()
    known.keep(ONE, model(11, 61, 62), 0)
    known.keep(OTHER, model(11, 61), 0)
    first, second = known.model(ONE, 0), known.model(OTHER, 0)
    assert first is not None
    assert second is not None
    assert second.known[11] is first.known[11]
    assert second.config is first.config
    assert not second.has(62)  # which channels it has it did not say


def test_a_notification_is_read_by_the_meters_own_tables_or_the_types_or_the_templates() -> None:
    known = Known()
    assert known.best(ONE, TEMPLATE, 0) is None
    assumed = replace(TEMPLATE, assumed={number: tables()[number] for number in (0, 71)})
    best = known.best(ONE, assumed, 0)
    assert best is not None
    assert best.has(71)
    known.keep(OTHER, model(71), 0)
    known.keep(ONE, model(11), 0)
    best = known.best(ONE, TEMPLATE, 0)
    assert best is not None
    assert best.has(71)
    assert known.best(ONE, replace(TEMPLATE, assumed={0: b"no table"}), 0) is best
