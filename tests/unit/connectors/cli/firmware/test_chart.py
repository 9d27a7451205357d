"""The chart: what is drawn is where the numbers say, and is sound SVG whatever names are in it."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree as ET
from zoneinfo import ZoneInfo

import pytest

from connectors.cli.failure import CommandError
from connectors.cli.firmware import chart
from connectors.cli.firmware.chart import Band, Drawn, Load, draw, save
from connectors.cli.firmware.svg import Scale, round_steps, short_number, short_octets, time_steps

DAY, HOUR = 86_400_000, 3_600_000
BEGIN = 1_795_651_200_000  # 2026-11-26T00:00Z
SVG = "{http://www.w3.org/2000/svg}"
WHOLE = Drawn(
    title="Firmware <2.1> & more",
    about="10 meters",
    meters=10,
    band=[Band(BEGIN, 0, 0, 0), Band(BEGIN + 5 * DAY, 10, 8, 5), Band(BEGIN + 10 * DAY, 10, 10, 10)],
    ends=(BEGIN + 8 * DAY, BEGIN + 9 * DAY, BEGIN + 10 * DAY),
    done=[(BEGIN, 0), (BEGIN + 2 * DAY, 3)],
    failed=[(BEGIN, 0), (BEGIN + 2 * DAY, 1)],
    now_ms=BEGIN + 2 * DAY,
    loads={"PLC_PRIME": Load([0, 1], [1e6, 5e5], [2e6, 2e6])},
)


def parsed(svg: str) -> ET.Element:
    return ET.fromstring(svg)  # noqa: S314 - what was drawn here


def texts(svg: str) -> list[str]:
    return [str(each.text) for each in parsed(svg).iter(f"{SVG}text")]


def test_what_a_person_reads_is_there() -> None:
    words = texts(draw(WHOLE))
    for wanted in (
        "Firmware <2.1> & more", "meters with the new version", "2026, time of UTC", "now",
        "ends 5 Dec (4 Dec to 6 Dec)", "PLC_PRIME",
        "planned: 10th to 90th percentile", "planned: median", "done: 3", "failed: 1", "budget", "0", "10", "2 MB", "01",
    ):  # fmt: skip
        assert wanted in words


def test_lines_are_where_the_numbers_say() -> None:
    root = parsed(draw(WHOLE))
    across, up = Scale(0, 10, chart._LEFT, chart._RIGHT), Scale(0, 10, chart._MIDDLE, chart._TOP)
    curve = [line.get("points", "") for line in root.iter(f"{SVG}polyline") if line.get("stroke") == chart._DONE]
    wanted = f"{across.at(0):.1f},{up.at(0):.1f} {across.at(2):.1f},{up.at(3):.1f}"
    assert wanted in curve


@pytest.mark.parametrize(
    "shown",
    [
        Drawn("t", "a", 0),
        Drawn("t", "a", 1, done=[(BEGIN, 0), (BEGIN, 1)], now_ms=BEGIN),
        Drawn("t", "a", 5, band=[Band(BEGIN, 0, 0, 0)], loads={"X": Load([], [], [])}),
        Drawn("t", "a", 5, band=[Band(BEGIN, 0, 0, 0)], loads={"X": Load([3], [0], [0])}),
    ],
    ids=["nothing", "one-instant", "no-hours", "no-load"],
)
def test_little_is_drawn_as_well(shown: Drawn) -> None:
    assert "NaN" not in draw(shown)
    assert texts(draw(shown))


@pytest.mark.parametrize(
    ("high", "steps"),
    [
        (0, [0, 1]),
        (1, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (12, [0, 2, 4, 6, 8, 10, 12]),
        (500_000, [0, 1e5, 2e5, 3e5, 4e5, 5e5]),
        (7, [0, 2, 4, 6, 8]),
    ],
)
def test_steps_are_round(high: float, steps: list[float]) -> None:
    assert round_steps(high) == pytest.approx(steps)


def test_meters_are_whole() -> None:
    assert round_steps(2, least=1) == [0, 1, 2]


def test_hours_and_days_and_weeks_in_the_meters_time() -> None:
    night = [words for _, words in time_steps(BEGIN, BEGIN + 4 * HOUR, 9)]
    assert night == ["26 Nov", "01:00", "02:00", "03:00", "04:00"]
    madrid = ZoneInfo("Europe/Madrid")
    weeks = time_steps(BEGIN, BEGIN + 42 * DAY, 9, madrid)
    assert [words for _, words in weeks] == ["30 Nov", "7 Dec", "14 Dec", "21 Dec", "28 Dec", "4 Jan"]
    assert all(datetime.fromtimestamp(at / 1000, madrid).weekday() == 0 for at, _ in weeks)
    # The clocks change on 25 October 2026: midnight stays midnight.
    change = datetime(2026, 10, 23, 22, tzinfo=UTC).timestamp() * 1000
    days = time_steps(change, change + 4 * DAY, 9, madrid)
    hours = [datetime.fromtimestamp(at / 1000, madrid).hour for at, words in days if " " in words]
    assert set(hours) == {0}


@pytest.mark.parametrize(
    ("value", "words"),
    [(0, "0"), (950, "950"), (9_500, "9500"), (12_500, "12.5 k"), (500_000, "500 k"), (1_200_000, "1.2 M")],
)
def test_numbers_are_short(value: float, words: str) -> None:
    assert short_number(value) == words


@pytest.mark.parametrize(("value", "words"), [(0, "0 B"), (1500, "1.5 kB"), (2.5e6, "2.5 MB"), (1e9, "1 GB")])
def test_octets_are_short(value: float, words: str) -> None:
    assert short_octets(value) == words


def test_a_picture_is_written_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(WHOLE, tmp_path / "plan.svg")
    assert (tmp_path / "plan.svg").read_text() == draw(WHOLE)
    with pytest.raises(CommandError, match="no picture's name"):
        save(WHOLE, tmp_path / "plan.gif")
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(CommandError, match="a PNG needs rsvg-convert"):
        save(WHOLE, tmp_path / "plan.png")


@pytest.mark.skipif(shutil.which("rsvg-convert") is None, reason="rsvg-convert, which makes PNGs of SVGs, is not here")
def test_a_png(tmp_path: Path) -> None:
    save(WHOLE, tmp_path / "plan.png")
    assert (tmp_path / "plan.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
