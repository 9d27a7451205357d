"""Who hangs where, as meters come, move and go."""

from __future__ import annotations

from connectors.oms.core import Where
from connectors.oms.grid import Grid
from schemas.records import Meter, MeterState


def meter(name: str, transformer: str = "T1", **more: object) -> Meter:
    return Meter(id=name, transformer=transformer, feeder="F1", **more)  # type: ignore[arg-type]  # a test's own words


def grid(*meters: Meter) -> Grid:
    found = Grid()
    for one in meters:
        found.apply(one.id, one)
    return found


def test_meters_are_counted_below_their_transformers_and_these_on_their_feeders() -> None:
    found = grid(meter("a"), meter("b"), meter("c", "T2", life_support=True), meter("d", ""))
    assert (found.premises("T1"), found.premises("T2"), found.premises("T9"), found.premises("")) == (2, 1, 0, 0)
    assert (found.transformers("F1"), found.transformers("F9")) == (2, 0)
    assert found.where("c") == Where("T2", "F1", life_support=True)
    assert found.where("z") is None
    assert found.take_moved() == set()


def test_who_is_gone_is_not_counted() -> None:
    found = grid(meter("a"), meter("b", state=MeterState.EXCHANGED), meter("c", "T2", state=MeterState.RETIRED))
    assert (found.premises("T1"), found.transformers("F1")) == (1, 1)
    place = found.where("b")
    assert place is not None
    assert not place.lives


def test_what_moves_is_counted_where_it_is_and_told_once() -> None:
    found = grid(meter("a"), meter("b"))
    found.apply("a", meter("a", "T2"))
    found.apply("b", meter("b", model="another"))
    found.apply("c", None)
    assert (found.premises("T1"), found.premises("T2"), found.transformers("F1")) == (1, 1, 2)
    assert found.take_moved() == {"a"}
    found.apply("a", None)
    assert (found.premises("T2"), found.transformers("F1"), len(found)) == (0, 1, 1)
    assert (found.take_moved(), found.take_moved()) == ({"a"}, set())
