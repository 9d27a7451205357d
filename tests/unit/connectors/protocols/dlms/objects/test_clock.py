"""Whether a clock is set, and setting it at gurux' server."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from gurux_dlms import GXDateTime
from hypothesis import given
from hypothesis import strategies as st

from connectors.protocols.dlms.association import PROPOSED, Associated
from connectors.protocols.dlms.errors import DecodeError, PeerError
from connectors.protocols.dlms.objects.clock import (
    Act,
    Adjust,
    DriftPolicy,
    TimeForm,
    adjust_clock,
    correct_clock,
    decide,
    form_of,
    preset_clock,
    read_clock_settings,
    set_clock,
    shift_clock,
)
from connectors.protocols.dlms.objects.patterns import DatePattern, DateTimePattern, TimePattern
from tests.unit.connectors.protocols.dlms.gurux_meter import drive
from tests.unit.connectors.protocols.dlms.objects.gurux_objects import Clock, ObjectMeter

OSLO = ZoneInfo("Europe/Oslo")
NOON = 1668250800000  # 2022-11-12T12:00+01:00, the end of an interval
POLICY = DriftPolicy(tolerance_s=3, limit_s=300, period_s=900)
S = 1000


@pytest.mark.parametrize(
    ("meter", "now", "uncertainty", "act", "crosses"),
    [
        pytest.param(NOON + 60 * S, NOON + 61 * S, 0, Act.NONE, None, id="within-tolerance"),
        pytest.param(NOON - S, NOON + S, 0, Act.NONE, None, id="within-tolerance-across-a-boundary"),
        pytest.param(NOON + 60 * S, NOON + 70 * S, 0, Act.SET, None, id="slow"),
        pytest.param(NOON + 70 * S, NOON + 60 * S, 0, Act.SET, None, id="fast"),
        pytest.param(NOON - 5 * S, NOON + 5 * S, 0, Act.NONE, NOON, id="slow-across-a-boundary-waits"),
        pytest.param(NOON + 5 * S, NOON - 5 * S, 0, Act.NONE, NOON, id="fast-across-a-boundary-waits"),
        pytest.param(NOON, NOON + 10 * S, 0, Act.SET, None, id="from-the-boundary"),
        pytest.param(NOON - 10 * S, NOON, 0, Act.NONE, NOON, id="onto-the-boundary"),
        pytest.param(NOON + 60 * S, NOON + 70 * S, 8 * S, Act.NONE, None, id="read-too-slowly-to-tell"),
        pytest.param(NOON + 60 * S, NOON + 400 * S, 0, Act.ALARM, None, id="beyond-the-limit"),
        pytest.param(0, NOON, 0, Act.ALARM, NOON, id="a-clock-that-starts-at-1970"),
    ],
)
def test_decision(meter: int, now: int, uncertainty: int, act: Act, crosses: int | None) -> None:
    decision = decide(meter, now, POLICY, uncertainty)
    assert (decision.act, decision.crosses_ms, decision.drift_ms) == (act, crosses, meter - now)
    assert decision.reason


def test_a_policy_may_let_it_cross_and_says_so() -> None:
    decision = decide(NOON - 5 * S, NOON + 5 * S, DriftPolicy(may_cross=True))
    assert (decision.act, decision.crosses_ms) == (Act.SET, NOON)
    assert "across the end of the interval at 2022-11-12T11:00:00+00:00" in decision.reason


@given(st.integers(0, 2**42), st.integers(-(2**22), 2**22), st.sampled_from([0, 60, 900, 3600]))
def test_never_across_a_boundary_unsaid(now: int, drift: int, period: int) -> None:
    meter = max(0, now + drift)
    decision = decide(meter, now, DriftPolicy(period_s=period))
    crossed = period and meter // (period * S) != now // (period * S)
    assert decision.act is not Act.SET or not crossed


def meter(utc_ms: int) -> tuple[ObjectMeter, Clock]:
    item = Clock("0.0.1.0.0.255")
    item.time = GXDateTime(datetime.fromtimestamp(utc_ms / 1000, UTC))
    return ObjectMeter([item]), item


def test_a_slow_clock_is_put_right() -> None:
    peer, item = meter(NOON + 60 * S)
    ticks = iter(NOON + n for n in (90_000, 90_400, 91_000))
    done = drive(correct_clock(peer.link(), OSLO, lambda: next(ticks), POLICY), peer.exchange)
    assert done.decision.act is Act.SET
    assert done.decision.drift_ms == -30_200
    assert done.before is not None
    assert done.after is not None
    assert done.after.to_utc_ms(OSLO) == NOON + 91_000
    assert item.time.value.astimezone(UTC) == datetime.fromtimestamp((NOON + 91_000) / 1000, UTC)


@pytest.mark.parametrize(
    ("now", "act"),
    [pytest.param(NOON + 61 * S, Act.NONE, id="right"), pytest.param(NOON + 1000 * S, Act.ALARM, id="far-off")],
)
def test_a_clock_is_left_alone(now: int, act: Act) -> None:
    peer, _ = meter(NOON + 60 * S)
    done = drive(correct_clock(peer.link(), OSLO, lambda: now, POLICY), peer.exchange)
    assert (done.decision.act, done.after) == (act, None)
    assert [request[0] for request in peer.requests] == [0x60, 0xC0]


@pytest.mark.parametrize(
    ("form", "octets"),
    [
        pytest.param(TimeForm(), "09 0C 07 E6 0B 0C 06 0C 00 00 00 FF C4 00", id="plain"),
        pytest.param(form_of({"no-deviation"}), "09 0C 07 E6 0B 0C 06 0C 00 00 00 80 00 00", id="no-deviation"),
        pytest.param(form_of({"no-weekday"}), "09 0C 07 E6 0B 0C FF 0C 00 00 00 FF C4 00", id="no-weekday"),
        pytest.param(form_of({"date-time-tag"}), "19 07 E6 0B 0C 06 0C 00 00 00 FF C4 00", id="date-time-tag"),
        pytest.param(form_of((), deviation_reversed=True), "09 0C 07 E6 0B 0C 06 0C 00 00 00 00 3C 00", id="reversed"),
    ],
)
def test_how_a_time_is_written(form: TimeForm, octets: str) -> None:
    asked: list[str] = []

    def exchange(apdu: bytes) -> bytes:
        asked.append(apdu.hex(" ").upper())
        return bytes.fromhex("C5 01 C1 00")

    drive(set_clock(Associated(PROPOSED, 0), NOON, OSLO, form=form), exchange)
    assert asked == ["C1 01 C1 00 08 00 00 01 00 00 FF 02 00 " + octets]


def test_methods() -> None:
    peer, _ = meter(NOON)
    link = peer.link()
    drive(shift_clock(link, -900), peer.exchange)
    drive(adjust_clock(link, Adjust.MINUTE), peer.exchange)
    pattern = DateTimePattern(DatePattern(2022, 11, 12), TimePattern(12, 0, 0, 0))
    drive(preset_clock(link, pattern, pattern, pattern), peer.exchange)
    assert peer.invoked[:2] == [("0.0.1.0.0.255", 6, -900), ("0.0.1.0.0.255", 3, 0)]
    assert [bytes(part) for part in peer.invoked[2][2]] == [pattern.encode()] * 3
    with pytest.raises(DecodeError, match="set the clock instead"):
        drive(shift_clock(link, 901), peer.exchange)


def test_settings() -> None:
    peer, item = meter(NOON)
    item.timeZone, item.deviation, item.enabled = -60, 60, True
    found = drive(read_clock_settings(peer.link()), peer.exchange)
    assert (found.time_zone, found.dst_deviation, found.dst_enabled, found.base) == (-60, 60, True, 0)


def test_daylight_saving_with_open_places() -> None:
    begin, end = "FF FF 03 FE 07 02 00 00 FF 80 00 FF", "FF FF FD FF FF FF FF FF FF 80 00 FF"
    answer = f"00 10 FF C4 00 11 00 00 09 0C {begin} 00 09 0C {end} 00 0F 3C 00 03 01 01 03"
    found = drive(read_clock_settings(Associated(PROPOSED, 0)), lambda _: bytes.fromhex("C4 03 C1 07 " + answer))
    assert str(found.dst_begin) == "*-03-last sun 02:00:00"
    assert str(found.dst_end) == "*-dst-end-* *:*:*"
    assert found.base is None


def test_refused() -> None:
    peer, _ = meter(NOON)
    peer.modes["0.0.1.0.0.255"] = 1
    with pytest.raises(PeerError, match="read-write-denied"):
        drive(correct_clock(peer.link(), OSLO, lambda: NOON + 60 * S, POLICY), peer.exchange)
