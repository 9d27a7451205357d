"""Plans: the bound by hand, what surrounds it, who is left out, and that no hour is planned above its budget."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from schemas.records import Network
from streams.firmware.fleet import Kind, counted, why_not
from streams.firmware.order import waves_of
from streams.firmware.plan import Plan, plan
from streams.runtime.authority.terms import Terms, UnorderedError, earlier, terms_of
from streams.runtime.settings import Band, Bands, Firmware
from tests.unit.streams.firmware.region import SETTINGS, SIZES, fleet
from tests.unit.streams.firmware.world import DAY, HOUR, IMAGE, START, manifest, meter

OCTETS = 500_000 / 0.97


def terms(**fields: str) -> Terms:
    return terms_of({"image": IMAGE, "version": "2.0"} | {key.replace("_", "-"): text for key, text in fields.items()})


def planned(kinds: Counter[Kind], settings: Firmware = SETTINGS, **fields: str) -> Plan:
    return plan(kinds, manifest(), terms(**fields), settings, START, draws=40)


NIGHTS = {
    Network.PLC_PRIME: 300 * OCTETS / 10.8e6,
    Network.RF_MESH: 2_000 * OCTETS / 36e6,
    Network.NB_IOT: 500 * OCTETS / 10.8e6,
}
"""By hand: 6, 20 and 6 kbit/s for four hours a night; 14.3, 28.6 and 23.9 nights."""


def test_the_bound_is_what_the_arithmetic_says() -> None:
    found = planned(counted(fleet(6_000)))
    needs = {(need.network, need.meters): need.nights for need in found.segments}
    for network, size in SIZES.items():
        assert needs[network, size] == pytest.approx(NIGHTS[network])
    assert found.bound.network is Network.RF_MESH
    assert found.bound.nights == pytest.approx(28.64, abs=0.01)
    first = START - START % DAY + 29 * HOUR
    nights = (found.bound.end - first) / DAY
    assert nights == pytest.approx(28.64 - 0.5, abs=0.6)
    low, middle, high = found.ends
    assert found.bound.end < low <= middle <= high < found.bound.end + 0.25 * (found.bound.end - START)
    assert (found.meters, found.taking_part, found.left_out) == (6_000, 6_000, {})


def test_no_hour_is_planned_above_its_budget_and_all_octets_are_there() -> None:
    found = planned(counted(fleet(1_500)))
    assert all(load.octets <= load.budget * (1 + 1e-9) for load in found.load)
    assert sum(load.octets for load in found.load) == pytest.approx(1_500 * OCTETS, rel=0.02)
    assert {load.at % HOUR for load in found.load} == {0}
    ended = [(point.p10, point.p50, point.p90) for point in found.curve]
    assert ended == sorted(ended)
    assert ended[-1] == (1_500, 1_500, 1_500)


def test_windows_without_a_pause_still_have_a_point_a_day() -> None:
    found = planned(counted(fleet(900)), windows="00:00-24:00")
    gaps = [later.at - sooner.at for sooner, later in zip(found.curve, found.curve[1:], strict=False)]
    assert max(gaps, default=0) <= 25 * HOUR


def test_who_takes_no_part_is_counted_by_why() -> None:
    meters = [
        meter("a"),
        meter("b", model="M9"),
        meter("c", firmware="2.0"),
        meter("d", firmware="2.10"),
        meter("e", network=Network.PLC_G3),
    ]
    nothing = Firmware(bands=Bands(plc_g3=Band(bits_s=100, meter_bits_s=100, share=0.1, concurrent=1, reading=1e9)))
    found = planned(counted(meters), nothing)
    assert found.left_out == {"meter-model": 1, "meter-current": 1, "meter-downgrade": 1, "meter-network": 1}
    assert found.taking_part == 1
    assert planned(counted([meter("b", model="M9")])).ends == (START, START, START)


def test_what_takes_years_is_told_by_its_bound_alone() -> None:
    kinds = Counter({Kind(network=Network.LORAWAN, segment="g", vendor="Acme", model="M1"): 5_000})
    found = planned(kinds, Firmware())
    assert not found.simulated
    assert found.ends == (found.bound.end,) * 3
    assert found.bound.end > START + 365 * DAY


@pytest.mark.parametrize(
    ("kind", "asked", "code"),
    [
        ({}, {}, ""),
        ({"vendor": "ACME"}, {}, ""),
        ({"vendor": "Other"}, {}, "meter-model"),
        ({"firmware": ""}, {}, ""),
        ({"firmware": "1.9"}, {"from": "1.0,1.9"}, ""),
        ({"firmware": "1.8"}, {"from": "1.0,1.9"}, "meter-version"),
        ({"firmware": "2.0"}, {}, "meter-current"),
        ({"firmware": "10.0"}, {}, "meter-downgrade"),
        ({"firmware": "10.0"}, {"downgrade": "yes"}, ""),
        ({"firmware": "blue"}, {}, "meter-unordered"),
        ({"firmware": "blue"}, {"from": "1.0,blue"}, ""),
        ({"firmware": "blue"}, {"downgrade": "yes"}, ""),
        ({"groups": ("all", "x")}, {"skip_groups": "y,x"}, "meter-skipped"),
    ],
)
def test_why_a_meter_takes_no_part(kind: dict[str, Any], asked: dict[str, str], code: str) -> None:
    found = Kind(**({"vendor": "Acme", "model": "M1", "firmware": "1.0"} | kind))
    assert why_not(manifest(), terms(**asked), found) == code


@pytest.mark.parametrize(
    ("hardware", "wanted", "code"),
    [("", ("B",), ""), ("B", ("A", "B"), ""), ("C", ("A", "B"), "meter-hardware"), ("C", (), "")],
    ids=["unknown", "fits", "other", "for-any"],
)
def test_an_image_is_for_the_hardware_that_its_manifest_names(hardware: str, wanted: tuple[str, ...], code: str) -> None:
    found = Kind(vendor="Acme", model="M1", firmware="1.0", hardware=hardware)
    assert why_not(manifest(hardware=wanted), terms(), found) == code
    made = plan(Counter({found: 5}), manifest(hardware=wanted), terms(), Firmware(), START)
    assert made.left_out == ({code: 5} if code else {})


@pytest.mark.parametrize(
    ("one", "other", "is_earlier"),
    [("1.9", "1.10", True), ("1.10", "1.9", False), ("V2.0", "2.0", False), ("2.0", "2.0.1", True), ("a", "a", False)],
)
def test_versions_go_by_their_numbers(one: str, other: str, is_earlier: bool) -> None:
    assert earlier(one, other) is is_earlier


@pytest.mark.parametrize(("one", "other"), [("abc", "1.0"), ("1.0", "abc"), ("a", "b"), ("", "1.0"), ("1.0", "²")])
def test_of_versions_without_a_number_nobody_says_which_is_earlier(one: str, other: str) -> None:
    with pytest.raises(UnorderedError, match=f"which of '{one}' and '{other}' comes first"):
        earlier(one, other)


def test_every_wave_takes_its_share_of_every_segment() -> None:
    meters = fleet(6_000)
    kinds = [Kind(network=found.network, segment=found.segment) for found in meters]
    ids = [found.id for found in meters]
    asked = terms(canary="60", waves="10%,50%,100%")
    found = waves_of("f1", ids, kinds, [True] * len(ids), asked)
    assert Counter(found) == {0: 60, 1: 540, 2: 2_400, 3: 3_000}
    for wave, share in ((0, 0.01), (1, 0.09), (2, 0.4)):
        for kind in set(kinds):
            members = [wave_of for wave_of, one in zip(found, kinds, strict=True) if one == kind]
            assert abs(members.count(wave) - share * len(members)) <= 2
    assert waves_of("f1", ids, kinds, [True] * len(ids), asked) == found
    assert waves_of("f2", ids, kinds, [True] * len(ids), asked) != found


def test_a_canary_may_be_a_group_and_who_takes_no_part_is_in_none() -> None:
    ids = [f"m{number}" for number in range(10)]
    kinds = [Kind(groups=("pilot",) if number < 3 else ()) for number in range(10)]
    found = waves_of("f1", ids, kinds, [number != 0 for number in range(10)], terms(canary="group:pilot", waves="50%,100%"))
    assert [wave == 0 for wave in found] == [False, True, True, *[False] * 7]
