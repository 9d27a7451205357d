"""The times of profile rows: time zones, deviations, the days on which clocks change."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.protocols.dlms.cosem import parse_datetime
from connectors.protocols.dlms.get import datetime_octets
from connectors.protocols.dlms.profile_times import read_times
from tests.unit.connectors.protocols.dlms.profile_buffers import DAY, OSLO, octets_of


def test_spring_and_autumn_with_deviation() -> None:
    start = datetime(2022, 10, 29, 22, tzinfo=UTC)
    wanted = [int((start + timedelta(minutes=15 * i)).timestamp()) * 1000 for i in range(40)]
    found = read_times(octets_of(*(datetime_octets(ms, OSLO) for ms in wanted)), None)
    assert found.utc_ms.tolist() == wanted
    assert set(found.deviations.tolist()) == {-60, -120}
    assert set(found.statuses.tolist()) == {0, 0x80}


@pytest.mark.parametrize("status_given", [True, False], ids=["by-clock-status", "by-order"])
@pytest.mark.parametrize(
    "start", [datetime(2022, 10, 29, 22, tzinfo=UTC), datetime(2022, 3, 26, 23, tzinfo=UTC)], ids=["autumn", "spring"]
)
def test_clock_change_without_deviation(start: datetime, status_given: bool) -> None:
    wanted = [int((start + timedelta(minutes=15 * i)).timestamp()) * 1000 for i in range(40)]
    times = [datetime_octets(ms, OSLO, deviation=False) for ms in wanted]
    if not status_given:
        times = [octets[:11] + b"\xff" for octets in times]
    found = read_times(octets_of(*times), OSLO)
    assert found.utc_ms.tolist() == wanted
    assert set(found.deviations.tolist()) == {-0x8000}


def test_reversed_deviation() -> None:
    octets = datetime_octets(DAY, OSLO, deviation_reversed=True)
    assert read_times(octets_of(octets), None, deviation_reversed=True).utc_ms.tolist() == [DAY]


def test_missing_seconds_and_hundredths_are_zero() -> None:
    whole = datetime_octets(DAY, OSLO)
    found = read_times(octets_of(whole[:7] + b"\xff\xff" + whole[9:], whole), None)
    assert found.utc_ms.tolist() == [DAY, DAY]


@given(
    st.lists(st.integers(172_800, 4_102_444_799).map(lambda s: s * 1000), min_size=1, max_size=20),
    st.sampled_from(["Europe/Oslo", "America/St_Johns", "Asia/Kathmandu", "Australia/Lord_Howe"]),
    st.booleans(),
)
def test_columns_of_times_agree_with_one_time_at_a_time(instants: list[int], name: str, deviation: bool) -> None:
    zone = ZoneInfo(name)
    times = [datetime_octets(ms, zone, deviation=deviation) for ms in instants]
    singles = [parse_datetime(octets) for octets in times]
    assert read_times(octets_of(*times), zone).utc_ms.tolist() == [t.to_utc_ms(zone) for t in singles if t]
