"""Budgets: no order of transfers, give-backs and overruns brings an hour above its share."""

from __future__ import annotations

from collections import defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.records import Network
from streams.firmware.budgets import HOUR_MS, Budget, Budgets, Limits, limits_of, octets_of, reserve_of
from streams.runtime.authority.terms import terms_of
from streams.runtime.settings import Band, Firmware

TERMS = terms_of({"image": "0" * 64, "version": "1", "share.plc_prime": "10%", "concurrent.rf_mesh": "2"})
BAND = Band(bits_s=20_000, meter_bits_s=4_000, share=0.3, concurrent=4)


@pytest.mark.parametrize(
    ("band", "network", "meters", "octets", "concurrent"),
    [
        (BAND, Network.NB_IOT, 300, 2_700_000, 2),
        (BAND, Network.NB_IOT, 13_000, 1_200_000, 1),
        (BAND, Network.NB_IOT, 20_000, 0, 1),
        (BAND, Network.PLC_PRIME, 300, 900_000, 1),
        (Band(bits_s=100_000, meter_bits_s=10_000, share=0.5, concurrent=8), Network.RF_MESH, 0, 22_500_000, 2),
        (Band(bits_s=100_000, meter_bits_s=10_000, share=0.5, concurrent=8), Network.NB_IOT, 0, 22_500_000, 6),
    ],
    ids=[
        "its share",
        "what reading leaves",
        "reading leaves nothing",
        "the campaign's share",
        "the campaign's count",
        "room",
    ],
)
def test_limits(band: Band, network: Network, meters: int, octets: float, concurrent: int) -> None:
    found = limits_of(band, TERMS, network, meters)
    assert found.octets_an_hour == pytest.approx(octets)
    assert found.concurrent == concurrent
    assert found.possible == (octets > 0)


def test_a_reservation_holds_what_is_lost_and_some_more() -> None:
    assert octets_of(500_000, 0.03) == 515_464
    assert 515_464 < reserve_of(500_000, 0.03) < 1.03 * 515_464
    assert reserve_of(500_000, 0) == octets_of(500_000, 0) == 500_000


transfers = st.lists(
    st.tuples(
        st.integers(0, 20_000_000),  # when it is asked for
        st.integers(1, 3_000_000),  # octets
        st.floats(0, 1.5),  # ends after so much of what was booked
    ),
    max_size=40,
)
limits = st.builds(Limits, st.integers(1, 5_000_000).map(float), st.integers(1, 8), st.floats(0.01, 20))


@settings(max_examples=120, deadline=None)
@given(limits, transfers, st.integers(3_600_000, 30_000_000))
def test_no_hour_is_ever_above_its_limit(found: Limits, wanted: list[tuple[int, int, float]], until: int) -> None:
    """What is booked is at a steady rate from start to end; nothing that fit is ever above, however it lies in the hours."""
    budget = Budget(Network.NB_IOT, "s")
    exact: defaultdict[int, float] = defaultdict(float)
    for at, octets, _ in wanted:
        start = budget.fit(at, until, octets, found)
        if start is None:
            part = budget.stretch(at, until, octets, found)
            if part is None:
                continue
            start, end = part
            assert 0 < (end - start) * found.octets_a_ms <= octets + found.octets_a_ms
        else:
            end = start + -int(-octets // found.octets_a_ms)
        assert at <= start < end <= until
        assert start % 1000 == 0
        budget.book(start, end, found.octets_a_ms)
        for ms in range(start // HOUR_MS, (end - 1) // HOUR_MS + 1):
            exact[ms] += (min(end, (ms + 1) * HOUR_MS) - max(start, ms * HOUR_MS)) * found.octets_a_ms
    for hour, booked in exact.items():
        assert booked <= found.octets_an_hour + 1e-3
        assert booked <= budget.used[hour] + 1e-6


@settings(max_examples=80, deadline=None)
@given(limits, transfers)
def test_what_is_given_back_is_no_more_than_was_booked(found: Limits, wanted: list[tuple[int, int, float]]) -> None:
    budget = Budget(Network.NB_IOT, "s")
    true: defaultdict[int, float] = defaultdict(float)
    for at, octets, share in wanted:
        start = budget.fit(at, 10**9, octets, found)
        if start is None:
            continue
        end = start + -int(-octets // found.octets_a_ms)
        ended = start + round((end - start) * share)
        budget.book(start, end, found.octets_a_ms)
        budget.settle(end, ended, found.octets_a_ms)
        for hour in range(start // HOUR_MS, max(start, ended - 1) // HOUR_MS + 1):
            span = min(ended, (hour + 1) * HOUR_MS) - max(start, hour * HOUR_MS)
            true[hour] += max(0, span) * found.octets_a_ms
    for hour, sent in true.items():
        assert budget.used.get(hour, 0) >= sent - 1e-6


def test_an_hour_is_used_to_its_end_and_the_next_one_gets_the_rest() -> None:
    budget, found = Budget(Network.NB_IOT, "s"), Limits(2_700_000, 4, 1.25)
    starts = []
    for _ in range(12):
        start = budget.fit(0, 4 * HOUR_MS, 515_000, found)
        assert start is not None
        budget.book(start, start + 412_000, found.octets_a_ms)
        starts.append(start)
    assert budget.used[0] == pytest.approx(2_700_000, rel=0.001)
    assert [start // HOUR_MS for start in starts] == [0] * 6 + [1] * 5 + [2]


def test_budgets_come_back_as_they_were_written() -> None:
    budgets = Budgets(Firmware(), lambda _network, _segment: 0)
    one = budgets.of(Network.NB_IOT, "a")
    one.book(10 * HOUR_MS + 5_000, 11 * HOUR_MS + 7_000, 1.2345)
    budgets.touch(one)
    (record,) = budgets.take_touched(10 * HOUR_MS)
    assert budgets.take_touched(10 * HOUR_MS) == []
    again = Budgets(Firmware(), lambda _network, _segment: 0)
    again.restore(record)
    assert again.of(Network.NB_IOT, "a").used == one.used
    again.touch(again.of(Network.NB_IOT, "a"))
    assert again.take_touched(20 * HOUR_MS)[0].hours == ()
