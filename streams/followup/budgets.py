"""Storm protection: how many jobs a minute an area bears. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from streams.runtime.meters import Known

_MINUTE_MS = 60_000
Area = tuple[str, str]
"""What it is, and its name."""


class Budgets:
    """The jobs of the present minute. Not for several threads at once."""

    def __init__(self, most: Mapping[str, int]) -> None:
        self._most = most
        self._minute = 0
        self._spent: Counter[Area] = Counter()

    def spend(self, place: Known, now: int) -> Area | None:
        """Take one job's worth for a meter; the area that has none left, where there is one, and nothing is taken then."""
        if now // _MINUTE_MS != self._minute:
            self._minute = now // _MINUTE_MS
            self._spent.clear()
        areas = [("all", "")]
        areas += [(name, value) for name in ("feeder", "transformer", "segment") if (value := getattr(place, name))]
        for area in areas:
            if self._spent[area] >= self._most[area[0]]:
                return area
        self._spent.update(areas)
        return None
