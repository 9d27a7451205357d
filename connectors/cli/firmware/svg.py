"""Shapes of a chart as SVG text, and the scales of its axes. Nothing here knows what is drawn."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from xml.sax.saxutils import escape

FONT = "Helvetica, Arial, 'DejaVu Sans', sans-serif"
_STEPS_H = (1, 2, 3, 6, 12, 24, 48, 24 * 7, 24 * 14, 24 * 28, 24 * 56, 24 * 112)
_HOUR_MS = 3_600_000
Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Scale:
    """A line from values to places on the picture."""

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        """Where a value is."""
        if self.high <= self.low:
            return self.start
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


@dataclass(slots=True)
class Picture:
    """What was drawn, in order."""

    width: int
    height: int
    title: str
    shapes: list[str] = field(default_factory=list)

    def line(self, points: Iterable[Point], colour: str, width: float = 2, dash: str = "") -> None:
        """A line from point to point."""
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        dashed = f' stroke-dasharray="{dash}"' if dash else ""
        style = f'fill="none" stroke="{colour}" stroke-width="{width}" stroke-linejoin="round"{dashed}'
        self.shapes.append(f'<polyline points="{path}" {style}/>')

    def area(self, points: Iterable[Point], colour: str, opacity: float) -> None:
        """A filled shape."""
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        self.shapes.append(f'<polygon points="{path}" fill="{colour}" fill-opacity="{opacity}"/>')

    def box(self, x: float, y: float, width: float, height: float, colour: str) -> None:
        """A filled rectangle."""
        self.shapes.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 0):.1f}" height="{max(height, 0):.1f}" fill="{colour}"/>'
        )

    def text(self, x: float, y: float, words: str, size: int = 12, colour: str = "#444", **style: str) -> None:
        """Words. `style`: SVG attributes with _ for -, such as text_anchor."""
        more = "".join(f' {name.replace("_", "-")}="{value}"' for name, value in style.items())
        self.shapes.append(f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{colour}"{more}>{escape(words)}</text>')

    def svg(self) -> str:
        """The picture."""
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{self.width}" height="{self.height}" '
            f'viewBox="0 0 {self.width} {self.height}" font-family="{FONT}" role="img">'
        )
        ground = f'<rect width="{self.width}" height="{self.height}" fill="#ffffff"/>'
        return "\n".join([head, f"<title>{escape(self.title)}</title>", ground, *self.shapes, "</svg>", ""])


def round_steps(high: float, most: int = 6, least: float = 0.0) -> list[float]:
    """Round values from 0 to at least `high`, so many at most and one more; `least` apart, where they are counts."""
    if high <= 0 or not math.isfinite(high):
        return [0.0, 1.0]
    rough = high / most
    power = 10 ** math.floor(math.log10(rough))
    step = max(least, next(power * each for each in (1, 2, 2.5, 5, 10) if power * each >= rough * 0.999))
    return [step * index for index in range(math.ceil(high / step - 1e-9) + 1)]


def time_steps(low_ms: float, high_ms: float, most: int, zone: tzinfo = UTC) -> list[tuple[float, str]]:
    """Times within the span with their words: full hours, midnights or Mondays of the zone, so many at most."""
    hours = (high_ms - low_ms) / _HOUR_MS
    step_h = next((each for each in _STEPS_H if hours / each <= most), _STEPS_H[-1])
    first = datetime.fromtimestamp(low_ms / 1000, zone).replace(minute=0, second=0, microsecond=0)
    found: list[tuple[float, str]] = []
    at = first.timestamp() * 1000
    while at <= high_ms and len(found) <= 10 * most:
        local = datetime.fromtimestamp(at / 1000, zone)
        if at >= low_ms and _is_step(local, step_h):
            words = f"{local.day} {local:%b}" if local.hour == 0 or step_h >= 24 else f"{local:%H:%M}"
            found.append((at, words))
        at += _HOUR_MS
        if step_h >= 24:  # days differ in length where the clocks change
            at = _next_midnight(at, zone)
    return found


def _next_midnight(at_ms: float, zone: tzinfo) -> float:
    local = datetime.fromtimestamp(at_ms / 1000, zone)
    if local.hour == 0:
        return at_ms
    midnight = local.replace(hour=0, minute=0)
    day = datetime.fromtimestamp(midnight.timestamp() + 30 * 3600, zone)
    return day.replace(hour=0, minute=0).timestamp() * 1000


def _is_step(local: datetime, step_h: int) -> bool:
    if step_h < 24:
        return local.hour % step_h == 0
    days = step_h // 24
    if local.hour:
        return False
    # Weeks begin on Mondays; 1 January of the year 1 was one.
    return (local.date().toordinal() - 1) % days == 0


def short_number(value: float) -> str:
    """A count as a label has it: 500, 12.5 k, 1.2 M."""
    for limit, unit in ((1e9, " G"), (1e6, " M"), (1e4, " k")):
        if value >= limit:
            return f"{value / (1e3 if unit == ' k' else limit):.4g}{unit}"
    return f"{value:.4g}"


def short_octets(value: float) -> str:
    """Octets as a label has them, in decimal units."""
    for limit, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if value >= limit:
            return f"{value / limit:.3g} {unit}"
    return f"{value:.0f} B"
