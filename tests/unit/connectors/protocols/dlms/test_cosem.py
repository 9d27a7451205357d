from __future__ import annotations

from datetime import UTC
from zoneinfo import ZoneInfo

import pytest
from gurux_dlms.enums import Unit
from hypothesis import given
from hypothesis import strategies as st

from connectors.protocols.dlms.cosem import UNITS, MeterTime, obis, obis_bytes, parse_datetime, try_datetime, unit_symbol
from connectors.protocols.dlms.errors import DecodeError

OSLO = ZoneInfo("Europe/Oslo")


def at(octets: str, *, reverse: bool = False) -> MeterTime | None:
    return parse_datetime(bytes.fromhex(octets), deviation_reversed=reverse)


ISO = {
    "deviation": ("07E60B0C0610360000FFC400", "2022-11-12T16:54:00+01:00"),
    "summer": ("07E704010615202300FF8880", "2023-04-01T21:32:35+02:00"),
    "deviation not given": ("07E1090F05052128FF800000", "2017-09-15T05:33:40"),
    "deviation zero": ("07E1090F05052128FF000000", "2017-09-15T05:33:40+00:00"),
    "west, half an hour": ("07E1090F0505212800006900", "2017-09-15T05:33:40-01:45"),
    "day of the week unknown": ("07E60B03FF0F2619FFFF4CFF", "2022-11-03T15:38:25+03:00"),
    "hundredths": ("07E60B0C0610360032800000", "2022-11-12T16:54:00.500"),
    "second unknown": ("07E60B0C061036FFFF800000", "2022-11-12T16:54:00"),
    "deviation that is none": ("07E60B0C0610360000012C00", "2022-11-12T16:54:00-05:00"),
    "deviation beyond any zone": ("07E60B0C0610360000270F00", "2022-11-12T16:54:00"),
}


@pytest.mark.parametrize(("octets", "iso"), ISO.values(), ids=ISO)
def test_iso(octets: str, iso: str) -> None:
    time = at(octets)
    assert time is not None
    assert time.iso == iso


@pytest.mark.parametrize(
    "octets",
    [
        "FF" * 12,
        "FFFF0B0C0610360000FFC400",
        "07E6FF0C0610360000FFC400",
        "07E60BFE0610360000FFC400",
        "07E60B0C06FF360000FFC400",
    ],
    ids=["all", "year", "month", "last day of the month", "hour"],
)
def test_unspecified(octets: str) -> None:
    assert at(octets) is None


@pytest.mark.parametrize(
    "octets",
    [
        "07E60D0C0610360000FFC400",
        "07E6021E0610360000FFC400",
        "07E60B0C0618360000FFC400",
        "31383132323030303030303039",
        "07E6",
    ],
    ids=["month 13", "30 February", "hour 24", "text", "short"],
)
def test_no_time(octets: str) -> None:
    with pytest.raises(DecodeError) as caught:
        at(octets)
    assert caught.value.code == "dlms-time"
    assert try_datetime(bytes.fromhex(octets)) is None


UTC_MS = {
    "deviation wins over the zone": ("07E60B0C0610360000FFC400", 1668268440000),
    "zone, winter": ("07E60B0C0610360000800000", 1668268440000),
    "zone, summer": ("07E6060C0610360000800080", 1655045640000),
    # 2022-10-30, 02:30 comes twice: at 00:30Z with the daylight saving bit, at 01:30Z without
    "the repeated hour, first": ("07E60A1E07021E0000800080", 1667089800000),
    "the repeated hour, second": ("07E60A1E07021E0000800000", 1667093400000),
    "the repeated hour, status not given": ("07E60A1E07021E00008000FF", 1667089800000),
}


@pytest.mark.parametrize(("octets", "ms"), UTC_MS.values(), ids=UTC_MS)
def test_utc(octets: str, ms: int) -> None:
    time = at(octets)
    assert time is not None
    assert time.to_utc_ms(OSLO) == ms
    assert time.utc_ms == (None if time.deviation is None else ms)


def test_reversed_deviation() -> None:
    time = at("07E60603050C1E0000003C80", reverse=True)
    assert time is not None
    assert (time.iso, time.deviation, time.status) == ("2022-06-03T12:30:00+01:00", -60, 0x80)


@given(st.binary(min_size=12, max_size=12))
def test_no_octets_break_it(octets: bytes) -> None:
    time = try_datetime(octets)
    if time is not None:
        time.to_utc_ms(OSLO)
        time.to_utc_ms(UTC)


@given(st.binary(min_size=6, max_size=6))
def test_obis_round_trip(octets: bytes) -> None:
    assert obis_bytes(obis(octets)) == octets


@pytest.mark.parametrize("text", ["1-0:1.8.0*255", "1.0.1.8.0.255", "1-0:1.8.0", "1.0.1.8.0"])
def test_obis_notations(text: str) -> None:
    assert obis_bytes(text) == bytes((1, 0, 1, 8, 0, 255))


@pytest.mark.parametrize("text", ["1.8.0", "1.0.1.8.0.256", "1.0.1.8.x.255", "", "-1.0.1.8.0.255"])
def test_no_obis(text: str) -> None:
    with pytest.raises(ValueError, match="OBIS"):
        obis_bytes(text)


def test_units_are_those_that_gurux_knows() -> None:
    assert set(UNITS) == {int(unit) for unit in Unit if 0 < unit < 128 or unit >= 254}
    some = {Unit.ACTIVE_POWER: "W", Unit.REACTIVE_ENERGY: "varh", Unit.VOLTAGE: "V", Unit.FREQUENCY: "Hz", Unit.NO_UNIT: ""}
    assert {unit: UNITS[unit] for unit in some} == some


def test_an_unknown_unit_keeps_its_number() -> None:
    assert unit_symbol(129) == "unit 129"
