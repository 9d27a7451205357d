"""Which clocks are set, and which a person looks at."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.records import Register, RegisterReadings
from streams.followup.clock import drift_of
from tests.unit.streams.followup.world import MINUTE, NOW, STANDARD

CLOCK = (Register(obis="0.0.1.0.0.255", value="2026-03-20T10:00:00Z"),)


def reading(drift_ms: int = 0, **fields: Any) -> RegisterReadings:
    whole: dict[str, Any] = {"captured_at": NOW + drift_ms, "meter_time_given": True, "registers": CLOCK, "read_at": NOW}
    return RegisterReadings(meter_id="m00", **(whole | fields))


@pytest.mark.parametrize(
    ("drift_s", "expected"),
    [
        (0, None),
        (60, None),
        (-60, None),
        (61, (True, "clock-drift")),
        (-899, (True, "clock-drift")),
        (900, (True, "clock-drift")),
        (901, (False, "clock-far")),
        (-3_600, (False, "clock-far")),
    ],
)
def test_what_is_done_about_a_drift(drift_s: int, expected: tuple[bool, str] | None) -> None:
    found = drift_of(reading(drift_s * 1_000), STANDARD.clocks, STANDARD.fresh_ms, NOW + 1_000)
    assert (None if found is None else (found.sets, found.code)) == expected


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"meter_time_given": False}, id="no time in it"),
        pytest.param({"registers": (Register(obis="1.0.1.8.0.255", value=1),)}, id="registers of a month ago"),
        pytest.param({"registers": (*CLOCK, *CLOCK)}, id="more than a clock"),
        pytest.param({"registers": (Register(obis="1.0.1.0.0.255", value=1),)}, id="another object"),
        pytest.param({"read_at": NOW - 31 * MINUTE}, id="read long ago"),
        pytest.param({"read_at": NOW + 5_000}, id="read in the future"),
    ],
)
def test_readings_that_say_nothing_of_a_clock(fields: dict[str, Any]) -> None:
    whole = reading(600_000, **fields)
    assert drift_of(whole, STANDARD.clocks, STANDARD.fresh_ms, NOW + 1_000) is None


def test_the_sentence_says_how_far_and_what_to_do() -> None:
    found = drift_of(reading(-3_600_000), STANDARD.clocks, STANDARD.fresh_ms, NOW)
    assert found is not None
    assert "clock of meter m00 is 3600 s slow" in found.why
    assert "signed SET_CLOCK" in found.why
