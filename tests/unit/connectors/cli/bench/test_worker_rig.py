"""What the worker's benches hold readings against: a reading of a load fleet's meter, and what may be wrong with it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from connectors.cli.bench.gateway_fleet import Truth, read_truth
from connectors.cli.bench.worker_rig import DAY, difference
from connectors.simulator.load import PERIOD_MS, LoadFleet
from schemas.records import Channel, IntervalReadings


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> Truth:
    return truth_of(tmp_path_factory.mktemp("fleet"), 0)


def truth_of(folder: Path, first: int) -> Truth:
    fleet = LoadFleet(1, first=first)
    fleet.ports = [4059]
    fleet.write_truth(folder / "truth")
    return read_truth(folder / "truth")[0]


def reading(truth: Truth) -> IntervalReadings:
    """What a gateway writes where it read right."""
    line = [(row.end_ms, row.status, row.values) for row in LoadFleet(1).meters[0][2]]
    columns = list(zip(*(values for _, _, values in line), strict=True))
    channels = tuple(
        Channel(f"1.0.{number}.8.0.255", scaler=scaler, nullable_longs=column)
        if None in column
        else Channel(f"1.0.{number}.8.0.255", scaler=scaler, longs=tuple(value for value in column if value is not None))
        for number, (scaler, column) in enumerate(zip(truth.scalers, columns, strict=True), 1)
    )
    return IntervalReadings(
        first_end=line[0][0],
        period_s=PERIOD_MS // 1000,
        ends=tuple(end for end, _, _ in line),
        rows=len(line),
        channels=channels,
        statuses=tuple(status for _, status, _ in line),
    )


def test_a_reading_that_is_right_differs_in_nothing(truth: Truth) -> None:
    assert difference(reading(truth), truth) is None


def test_the_day_that_is_asked_for_is_the_day_that_meters_hold(truth: Truth) -> None:
    ends = reading(truth).ends
    assert DAY[0] <= ends[0] <= ends[-1] < DAY[1]


def of_channel(readings: IntervalReadings, channel: Channel) -> IntervalReadings:
    return replace(readings, channels=(channel, *readings.channels[1:]))


def one_value_off(readings: IntervalReadings) -> IntervalReadings:
    first = readings.channels[0]
    if first.longs:
        return of_channel(readings, replace(first, longs=(*first.longs[:-1], first.longs[-1] + 1)))
    return of_channel(readings, replace(first, nullable_longs=(*first.nullable_longs[:-1], None)))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        pytest.param(one_value_off, "values or the scaler of 1.0.1.8.0.255", id="value"),
        pytest.param(
            lambda it: of_channel(it, replace(it.channels[0], scaler=it.channels[0].scaler + 1)), "scaler", id="scaler"
        ),
        pytest.param(lambda it: replace(it, channels=it.channels[1:]), "channels", id="channel-missing"),
        pytest.param(lambda it: replace(it, ends=(it.ends[0] + 1, *it.ends[1:])), "times", id="time"),
        pytest.param(lambda it: replace(it, ends=()), "times", id="taken-as-regular"),
        pytest.param(lambda it: replace(it, statuses=(0,)), "statuses", id="status"),
    ],
)
def test_whatever_is_not_the_meters_is_named(
    spoil: Callable[[IntervalReadings], IntervalReadings], words: str, truth: Truth
) -> None:
    assert words in (difference(spoil(reading(truth)), truth) or "")


def test_another_meters_day_is_not_this_ones(truth: Truth, tmp_path: Path) -> None:
    assert difference(reading(truth), truth_of(tmp_path, 1)) is not None
