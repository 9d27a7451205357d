from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import pytest

from connectors.cli.failure import CommandError
from connectors.cli.schedule_files import read_schedules
from schemas.records import Operation, Priority, Schedule, Target
from streams.schedules.rules import problems, warnings
from tests.unit.streams.schedules.world import ms

WHOLE = """
schedules:
- id: mine
  description: what it is for
  cron: "*/30 6-22 * * MON-FRI"
  time_zone: Europe/Vienna
  target: {segments: [dc-1], groups: [homes]}
  operation: READ_PROFILE
  objects: ["7/1.0.99.1.0.255/2"]
  parameters: {profile: load}
  priority: FOLLOW_UP
  window: 20m
  period: 15m
  lookback: 2d
  grace: 90s
  enabled: false
"""
LEAST = """
schedules:
- {id: mine, cron: 0 4 * * *, time_zone: UTC, target: {meters: [m1]}, operation: PING, window: 600}
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "schedules.yaml"
    path.write_text(text)
    return path


def test_all_that_can_be_said(tmp_path: Path) -> None:
    assert read_schedules(written(tmp_path, WHOLE)) == [
        Schedule(
            id="mine",
            cron="*/30 6-22 * * MON-FRI",
            time_zone="Europe/Vienna",
            target=Target(segments=("dc-1",), groups=("homes",)),
            operation=Operation.READ_PROFILE,
            objects=("7/1.0.99.1.0.255/2",),
            parameters={"profile": "load"},
            priority=Priority.FOLLOW_UP,
            window_s=1_200,
            enabled=False,
            description="what it is for",
            lookback_s=172_800,
            period_s=900,
            grace_s=90,
        )
    ]


def test_what_must_be_said(tmp_path: Path) -> None:
    (made,) = read_schedules(written(tmp_path, LEAST))
    assert (made.enabled, made.priority, made.window_s, made.period_s) == (True, Priority.SCHEDULED, 600, 0)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("schedules: []", "at least 1 item", id="none"),
        pytest.param("[", "no YAML", id="no yaml"),
        pytest.param("- a", "valid dictionary", id="a list"),
        pytest.param(LEAST.replace("window", "windw"), "windw: Extra inputs", id="a misspelt key"),
        pytest.param(LEAST.replace("600", "soon"), "90s, 15m, 3h or 2d", id="no duration"),
        pytest.param(LEAST.replace("600", "30s"), "60 to 86400", id="a window too short"),
        pytest.param(LEAST.replace("meters: [m1]", ""), "names nobody", id="nobody is named"),
        pytest.param(LEAST.replace("PING", "DISCONNECT"), "a schedule only reads", id="a schedule moves no relay"),
        pytest.param(LEAST.replace("PING", "SET_CLOCK"), "a schedule only reads", id="and sets no clock"),
        pytest.param(LEAST.replace("UTC", "Vienna"), "no IANA time zone", id="no zone"),
        pytest.param(LEAST.replace("0 4", "0 24"), "bad hour", id="no hour"),
        pytest.param(LEAST.replace("mine", "Mine!"), "1 to 64 of", id="no id"),
        pytest.param(WHOLE.replace("15m", "7m"), "a part of a day", id="no period"),
        pytest.param(
            LEAST.replace("window", "period: 15m, window"), "only the intervals of a profile", id="a ping has none"
        ),
        pytest.param(LEAST + LEAST.splitlines()[-1], "stands twice", id="twice"),
    ],
)
def test_what_cannot_be_meant_is_named(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(CommandError, match=said):
        read_schedules(written(tmp_path, text))


@pytest.mark.parametrize("name", [path.name for path in files("streams.schedules").joinpath("examples").iterdir()])
def test_the_examples_that_ship_can_be_set(tmp_path: Path, name: str) -> None:
    found = read_schedules(written(tmp_path, files("streams.schedules").joinpath("examples", name).read_text()))
    for each in found:
        assert problems(each) == []
        assert warnings(each, ms("2026-03-28T12:00")) == []
        assert each.description


def test_reads_that_will_overlap_are_told(tmp_path: Path) -> None:
    (made,) = read_schedules(written(tmp_path, WHOLE.replace("20m", "2h")))
    assert "reads will overlap" in warnings(made, ms("2026-06-01T00:00"))[0]
