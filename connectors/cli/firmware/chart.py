"""Plan and progress of a campaign as a picture: meters over time with the plan's band, each network's load by hour."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from pathlib import Path

from connectors.cli.failure import CommandError, usage
from connectors.cli.firmware.svg import Picture, Scale, round_steps, short_number, short_octets, time_steps

_PLAN, _DONE, _FAILED, _GRID, _INK, _FAINT = "#3b6fb6", "#1a7f37", "#c0392b", "#e6e6e6", "#222222", "#777777"
_WIDTH, _HEIGHT = 960, 640
_LEFT, _RIGHT, _TOP, _MIDDLE = 76.0, 936.0, 96.0, 400.0
_LOAD_TOP, _LOAD_FOOT = 490.0, 590.0
_CONVERTER = "rsvg-convert"


@dataclass(frozen=True, slots=True)
class Band:
    """How many meters are done at a time, as planned: early, expected and late."""

    at_ms: int
    high: float
    middle: float
    low: float


@dataclass(frozen=True, slots=True)
class Load:
    """What a network carries in each hour of the day, and may."""

    hours: Sequence[int]
    """Local hours of the window, in their order."""
    octets: Sequence[float]
    """An hour, all segments together: what is planned for the busiest day."""
    budget: Sequence[float]
    """Likewise: what its budget allows."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """What a picture shows; whatever is empty is left out."""

    title: str
    about: str
    meters: int
    band: Sequence[Band] = ()
    ends: tuple[int, int, int] | None = None
    """When it is planned to end: early, expected and late."""
    done: Sequence[tuple[int, int]] = ()
    failed: Sequence[tuple[int, int]] = ()
    now_ms: int | None = None
    loads: Mapping[str, Load] = field(default_factory=dict)
    zone: tzinfo = UTC
    zone_name: str = "UTC"


def draw(shown: Drawn) -> str:
    """The picture as SVG."""
    picture = Picture(_WIDTH, _HEIGHT if shown.loads else int(_MIDDLE) + 60, shown.title)
    picture.text(_LEFT, 32, shown.title, 20, _INK, font_weight="bold")
    picture.text(_LEFT, 53, shown.about, 13, _FAINT)
    _progress(picture, shown)
    if shown.loads:
        _loads(picture, shown)
    return picture.svg()


def save(shown: Drawn, file: Path) -> None:
    """Write the picture: SVG, or PNG where this machine can make one. `CommandError` where it cannot."""
    text = draw(shown)
    if file.suffix.lower() == ".svg":
        file.write_text(text, encoding="utf-8")
    elif file.suffix.lower() == ".png":
        _png(text, file)
    else:
        raise usage(f"{file} is no picture's name", "end it with .svg or .png")


def _png(text: str, file: Path) -> None:
    converter = shutil.which(_CONVERTER)
    if converter is None:
        raise usage(
            f"a PNG needs {_CONVERTER}, which is not here",
            "write an SVG, which every browser shows, or install it (Debian: librsvg2-bin)",
        )
    done = subprocess.run(  # noqa: S603 - a program of this machine's path, and arguments of ours
        [converter, "--zoom", "2", "--output", str(file)], input=text.encode(), capture_output=True, check=False
    )
    if done.returncode:
        raise CommandError(f"{_CONVERTER} failed: {done.stderr.decode('utf-8', 'replace').strip()}", mend="write an SVG")


def _progress(picture: Picture, shown: Drawn) -> None:
    times = [each.at_ms for each in shown.band] + [at for at, _ in (*shown.done, *shown.failed)]
    times += [shown.now_ms] if shown.now_ms is not None else []
    times += shown.ends or ()
    low, high = (min(times), max(times)) if times else (0, 1)
    high = max(high, low + 3_600_000)
    steps = round_steps(shown.meters, least=1)
    across, up = Scale(low, high, _LEFT, _RIGHT), Scale(0, steps[-1], _MIDDLE, _TOP)
    _end(picture, shown, across)
    for step in steps:
        picture.line([(_LEFT, up.at(step)), (_RIGHT, up.at(step))], _GRID, 1)
        picture.text(_LEFT - 8, up.at(step) + 4, short_number(step), text_anchor="end")
    for at, words in time_steps(low, high, 9, shown.zone):
        picture.line([(across.at(at), _MIDDLE), (across.at(at), _MIDDLE + 5)], _FAINT, 1)
        picture.text(across.at(at), _MIDDLE + 20, words, text_anchor="middle")
    years = "/".join(
        str(year) for year in sorted({datetime.fromtimestamp(at / 1000, shown.zone).year for at in (low, high)})
    )
    picture.text((_LEFT + _RIGHT) / 2, _MIDDLE + 40, f"{years}, time of {shown.zone_name}", 12, _FAINT, text_anchor="middle")
    picture.text(
        22, (_TOP + _MIDDLE) / 2, "meters with the new version", 12, _FAINT,
        text_anchor="middle", transform=f"rotate(-90 22 {(_TOP + _MIDDLE) / 2:.0f})",
    )  # fmt: skip
    if shown.band:
        edge = [(across.at(each.at_ms), up.at(each.high)) for each in shown.band]
        foot = [(across.at(each.at_ms), up.at(each.low)) for each in reversed(shown.band)]
        picture.area([*edge, *foot], _PLAN, 0.18)
        picture.line([(across.at(each.at_ms), up.at(each.middle)) for each in shown.band], _PLAN, 2, "6 4")
    for points, colour in ((shown.failed, _FAILED), (shown.done, _DONE)):
        if points:
            picture.line([(across.at(at), up.at(count)) for at, count in points], colour, 2.5)
    if shown.now_ms is not None:
        picture.line([(across.at(shown.now_ms), _TOP), (across.at(shown.now_ms), _MIDDLE)], _INK, 1)
        near_end = across.at(shown.now_ms) > _RIGHT - 40
        anchor, beside = ("end", -5) if near_end else ("start", 5)
        picture.text(across.at(shown.now_ms) + beside, _MIDDLE - 8, "now", 12, _INK, text_anchor=anchor)
    picture.line([(_LEFT, _MIDDLE), (_RIGHT, _MIDDLE)], _FAINT, 1)
    _legend(picture, shown)


def _end(picture: Picture, shown: Drawn, across: Scale) -> None:
    """Between which times it is planned to end."""
    if not shown.ends:
        return
    early, middle, late = shown.ends
    picture.box(across.at(early), _TOP, max(across.at(late) - across.at(early), 1.5), _MIDDLE - _TOP, "#f3f0e6")
    first, most, last = (_day(at, shown.zone) for at in shown.ends)
    words = f"ends {most}" if first == last else f"ends {most} ({first} to {last})"
    near_end = across.at(middle) + 4 * len(words) > _RIGHT
    picture.text(
        _RIGHT if near_end else across.at(middle), _TOP - 6, words, 12, _INK, text_anchor="end" if near_end else "middle"
    )


def _day(at_ms: int, zone: tzinfo) -> str:
    local = datetime.fromtimestamp(at_ms / 1000, zone)
    return f"{local.day} {local:%b}"


def _legend(picture: Picture, shown: Drawn) -> None:
    x, y = _LEFT + 16, _TOP + 22
    entries: list[tuple[str, str]] = []
    if shown.band:
        entries += [("band", "planned: 10th to 90th percentile"), ("plan", "planned: median")]
    entries += [("done", f"done: {shown.done[-1][1]:,}")] if shown.done else []
    entries += [("failed", f"failed: {shown.failed[-1][1]:,}")] if shown.failed else []
    if entries:
        picture.box(x - 8, y - 16, 44 + 6.6 * max(len(words) for _, words in entries), 19 * len(entries) + 4, "#ffffff")
    for kind, words in entries:
        if kind == "band":
            picture.area([(x, y - 9), (x + 24, y - 9), (x + 24, y + 1), (x, y + 1)], _PLAN, 0.18)
        else:
            colour = {"plan": _PLAN, "done": _DONE, "failed": _FAILED}[kind]
            picture.line([(x, y - 4), (x + 24, y - 4)], colour, 2.5, "6 4" if kind == "plan" else "")
        picture.text(x + 32, y, words, 12, _INK)
        y += 19


def _loads(picture: Picture, shown: Drawn) -> None:
    """One small chart a network, side by side; each has a scale of its own."""
    picture.text(_LEFT, _LOAD_TOP - 22, "load by network and hour, in the busiest night", 13, _INK, font_weight="bold")
    share = (_RIGHT - _LEFT) / len(shown.loads)
    for index, (network, load) in enumerate(shown.loads.items()):
        left = _LEFT + index * share
        right = left + share - 56
        steps = round_steps(max((*load.octets, *load.budget), default=1), 3)
        up = Scale(0, steps[-1], _LOAD_FOOT, _LOAD_TOP + 14)
        picture.text(left, _LOAD_TOP, network, 12, _INK)
        for step in steps:
            picture.line([(left, up.at(step)), (right, up.at(step))], _GRID, 1)
            picture.text(left - 4, up.at(step) + 4, short_octets(step), 9, _FAINT, text_anchor="end")
        wide = (right - left) / max(len(load.hours), 1)
        every = -(-len(load.hours) // max(int((right - left) / 24), 1))
        for place, hour in enumerate(load.hours):
            x = left + place * wide
            picture.box(
                x + wide * 0.12, up.at(load.octets[place]), wide * 0.76, _LOAD_FOOT - up.at(load.octets[place]), _PLAN
            )
            picture.line([(x, up.at(load.budget[place])), (x + wide, up.at(load.budget[place]))], _FAILED, 1.5)
            if place % every == 0:
                picture.text(x + wide / 2, _LOAD_FOOT + 14, f"{hour:02d}", 10, _FAINT, text_anchor="middle")
        picture.line([(left, _LOAD_FOOT), (right, _LOAD_FOOT)], _FAINT, 1)
    y = _LOAD_FOOT + 34
    picture.box(_LEFT, y - 9, 12, 9, _PLAN)
    picture.text(_LEFT + 18, y, "planned, octets an hour", 11, _INK)
    picture.line([(_LEFT + 170, y - 4), (_LEFT + 190, y - 4)], _FAILED, 1.5)
    picture.text(_LEFT + 196, y, "budget", 11, _INK)
    picture.text((_LEFT + _RIGHT) / 2, y, "hour of the day, local time of the meters", 11, _FAINT, text_anchor="middle")
