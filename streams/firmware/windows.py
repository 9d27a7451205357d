"""When it is night where a meter is: windows of local time as spans of UTC, also on the days when clocks are changed.

A time that a change of the clock leaves out counts as the moment of the change, one that comes twice as the first of the
two: so a window is as long as the clock on the wall says, and never longer than the network was promised.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from streams.runtime.authority.terms import Window

_MINUTE_MS, _DAY_MINUTES = 60_000, 1_440


@dataclass(frozen=True, slots=True)
class Span:
    """From `start` (included) to `end` (not), milliseconds since the epoch."""

    start: int
    end: int


class Windows:
    """The windows of one time zone; an unknown zone counts as `default`."""

    def __init__(self, zone: str, windows: Sequence[Window], default: str = "UTC") -> None:
        try:
            self._zone = ZoneInfo(zone or default)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            self._zone = ZoneInfo(default)
        self._windows = tuple(windows)
        self._days: dict[date, tuple[Span, ...]] = {}

    def at(self, now_ms: int) -> Span:
        """The window that is open, else the next one."""
        day = datetime.fromtimestamp(now_ms / 1000, UTC).astimezone(self._zone).date() - timedelta(days=1)
        while True:
            for span in self._of(day):
                if span.end > now_ms:
                    return span
            day += timedelta(days=1)

    def _of(self, day: date) -> tuple[Span, ...]:
        """Those that begin on a local day; one that a change of the clock leaves nothing of is not among them."""
        found = self._days.get(day)
        if found is None:
            spans = []
            for window in self._windows:
                over = window.end <= window.start
                start = self._instant(day, window.start)
                end = self._instant(day + timedelta(days=1) if over else day, window.end)
                if end > start:
                    spans.append(Span(start, end))
            found = self._days[day] = tuple(spans)
            if len(self._days) > 1_000:
                del self._days[next(iter(self._days))]
        return found

    def _instant(self, day: date, minute: int) -> int:
        wall = datetime(day.year, day.month, day.day) + timedelta(minutes=minute)
        first, second = (wall.replace(tzinfo=self._zone, fold=fold).astimezone(UTC) for fold in (0, 1))
        if first <= second:
            return _ms(first)
        # The clock leaps over it: the change lies between the two readings.
        low, high = _ms(second), _ms(first)
        before = self._offset(low)
        while high - low > _MINUTE_MS:
            middle = (low + high) // 2 // _MINUTE_MS * _MINUTE_MS
            if self._offset(middle) == before:
                low = middle
            else:
                high = middle
        return high

    def _offset(self, ms: int) -> timedelta | None:
        return datetime.fromtimestamp(ms / 1000, UTC).astimezone(self._zone).utcoffset()


def _ms(at: datetime) -> int:
    return round(at.timestamp() * 1000)
