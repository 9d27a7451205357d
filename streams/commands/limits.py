"""How many meters' supply may be cut in a day, in all and below one of each area, counted as commands are permitted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from schemas.records import Control
from streams.runtime.authority.policy import Policy, areas_of
from streams.runtime.authority.refusals import RefusedError
from streams.runtime.authority.targets import Place

_DAYS_KEPT = 3
_STANDING = "authorization"


class Openings:
    """Counts by day and area. What is counted stays counted, also where a command comes to nothing: the limit is strict."""

    def __init__(self, counts: Mapping[str, int] = {}) -> None:
        self._counts = Counter(counts)

    def take(self, policy: Policy, places: Sequence[Place], now_ms: int, standing: Control | None = None) -> None:
        """Count these meters, against a standing authorization too where one stands for the decision.

        `RefusedError` over-limit, and nothing counted, where that is too much for any of them.
        """
        day = policy.day(now_ms)
        more = Counter(f"{day}/{area}/{name}" for place in places for area, name in areas_of(place).items())
        if standing is not None:
            more[f"{day}/{_STANDING}/{standing.id}"] = len(places)
        for key, meters in more.items():
            _, area, name = key.split("/", 2)
            limit = standing.most_per_day if standing is not None and area == _STANDING else policy.limits[area]
            if self._counts[key] + meters > limit:
                where = f"{area} {name}" if name else "all"
                raise RefusedError(
                    "over-limit",
                    f"{meters} more after {self._counts[key]} today would exceed the daily limit of {limit} for {where}; "
                    "ask tomorrow, or for fewer meters",
                )
        self._counts += more
        days = sorted({key.partition("/")[0] for key in self._counts} | {day})[-_DAYS_KEPT:]
        self._counts = Counter({key: count for key, count in self._counts.items() if key.partition("/")[0] in days})

    def counts(self) -> dict[str, int]:
        """For the books."""
        return dict(self._counts)
