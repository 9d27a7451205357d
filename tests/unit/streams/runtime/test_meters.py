from __future__ import annotations

from typing import Any

import pytest

from schemas.records import Meter, MeterState, Network, Target
from streams.runtime.meters import MeterDirectory


def meter(meter_id: str, **more: Any) -> Meter:
    place = {"segment": "S1", "transformer": "T1", "feeder": "F1", "groups": ("homes",), "network": Network.PLC_G3}
    return Meter(**({"id": meter_id, "state": MeterState.NORMAL} | place | more))


@pytest.fixture
def directory() -> MeterDirectory:
    known = MeterDirectory()
    for item in (
        meter("m3"),
        meter("m1"),
        meter("m2", transformer="T2", groups=("homes", "solar")),
        meter("m4", segment="S2", transformer="T3", feeder="F2", groups=()),
        meter("gone", state=MeterState.RETIRED),
        meter("swapped", state=MeterState.EXCHANGED),
        meter("stranger", state=MeterState.DISCOVERED),
    ):
        known.apply(item.id, item, 5)
    return known


@pytest.mark.parametrize(
    ("target", "meant"),
    [
        pytest.param(Target(), (), id="nothing named means nobody"),
        pytest.param(Target(meters=("m3", "m1", "m1", "nobody", "gone")), ("m1", "m3"), id="meters by name, living ones"),
        pytest.param(Target(transformers=("T1",)), ("m1", "m3"), id="a transformer"),
        pytest.param(Target(transformers=("T1", "T2")), ("m1", "m2", "m3"), id="two transformers"),
        pytest.param(Target(feeders=("F2",)), ("m4",), id="a feeder"),
        pytest.param(Target(segments=("S1",)), ("m1", "m2", "m3"), id="a segment"),
        pytest.param(Target(groups=("homes",)), ("m1", "m2", "m3"), id="a group"),
        pytest.param(Target(groups=("solar",), transformers=("T1",)), (), id="and: nobody is in both"),
        pytest.param(Target(groups=("homes",), transformers=("T2",)), ("m2",), id="and"),
        pytest.param(Target(meters=("m1", "m4"), feeders=("F1",)), ("m1",), id="meters and a feeder"),
        pytest.param(Target(groups=("",), segments=("",)), (), id="an empty name is no area"),
        pytest.param(Target(feeders=("T1",)), (), id="a transformer's name is no feeder's"),
    ],
)
def test_a_target_means_living_meters(directory: MeterDirectory, target: Target, meant: tuple[str, ...]) -> None:
    assert directory.resolve(target) == meant


def test_everybody_is_asked_for_by_name_only(directory: MeterDirectory) -> None:
    assert directory.living() == ("m1", "m2", "m3", "m4")
    assert len(directory) == 7


def test_what_is_known_of_a_meter(directory: MeterDirectory) -> None:
    known = directory.get("m2")
    assert known is not None
    assert (known.id, known.transformer, known.groups, known.partition) == ("m2", "T2", ("homes", "solar"), 5)
    assert known.network is Network.PLC_G3
    assert known.lives
    gone = directory.get("gone")
    assert gone is not None
    assert not gone.lives
    assert directory.get("nobody") is None


def test_a_meter_that_moves_is_found_where_it_hangs_now(directory: MeterDirectory) -> None:
    directory.apply("m1", meter("m1", transformer="T9"), 5)
    assert directory.resolve(Target(transformers=("T1",))) == ("m3",)
    assert directory.resolve(Target(transformers=("T9",))) == ("m1",)


def test_changes_are_noted_once_it_has_caught_up() -> None:
    known = MeterDirectory(note_changes=True)
    known.apply("m1", meter("m1"))
    known.mark_caught_up()
    known.apply("m1", meter("m1", firmware="2.0", updated_at=5))  # nothing that is known here
    known.apply("m2", meter("m2"))
    known.apply("m3", None)
    known.apply("m1", None)
    assert known.take_changed() == {"m1", "m2"}
    assert known.take_changed() == set()


def test_a_tombstone_ends_a_meter(directory: MeterDirectory) -> None:
    for name in ("m1", "m3", "never-there"):
        directory.apply(name, None)
    assert directory.get("m1") is None
    assert directory.resolve(Target(transformers=("T1",))) == ()
    assert len(directory) == 5


def test_segments_of_many(directory: MeterDirectory) -> None:
    pairs = directory.segments_of(["m4", "m1", "nobody", "m3"])
    assert pairs == [(Network.PLC_G3, "S2"), (Network.PLC_G3, "S1"), (Network.UNKNOWN, ""), (Network.PLC_G3, "S1")]
    assert pairs[1] is not None


def test_it_says_when_all_are_there() -> None:
    known = MeterDirectory()
    assert not known.caught_up
    known.mark_caught_up()
    assert known.caught_up
