"""Interruptions of the meters below one transformer, to outages: the same whatever the order in which alarms came in. Pure.

Taken in order of their arrival, each interruption joins the newest group that it fits, by the first of these that holds:

1. it arrived within `near_s` of the last one that joined: meters that lose supply together tell it within seconds;
2. by its meter's clock it began within the group's time: a last gasp that came in late;
3. its meter was in the group, and lost supply again within `again_s`: one event in the sense of IEEE 1366;
4. only its restoration was heard, within `near_s` of another one of the group: its last gasp was lost;
5. the transformer was out at that time, and not half of its meters were back: nobody can lose supply there, so it is late
   news of the same outage.

A long outage of one premise therefore holds nothing together, nor do a few meters whose restoration was lost.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable, Iterator, Set
from dataclasses import dataclass, field

from connectors.oms.likelihood import likeliest
from connectors.oms.marks import Interruption, Mark, is_history
from schemas.records import OutageScope
from streams.runtime.settings import Oms

Gone = Set[str]
"""Meters that hang here no more: exchanged, retired, or telling from elsewhere."""
_LOOK_BACK = 8
"""Groups of a transformer that an interruption may join; older ones are over."""


@dataclass(slots=True)
class Group:
    """Interruptions that are one outage. Times are of arrival, but for history, where they are the meters' own.

    What can be kept up while interruptions are added is, since in a storm a transformer is looked at with every few alarms.
    """

    history: bool
    parts: list[Interruption] = field(default_factory=list)
    last_of: dict[str, Interruption] = field(default_factory=dict)  # each meter's latest
    began: int = 0
    joined: int = 0  # when the last one joined
    onsets: list[int] = field(default_factory=list)  # by the meters' clocks, in order
    heard: int = 0  # when the latest mark arrived
    last_time: int = 0  # of the latest mark, by its meter's clock
    chained: bool = True  # each came near the one before
    all_out: bool = True  # each is the first of its meter, and none has ended

    def add(self, part: Interruption, at: int, *, near: bool = True) -> None:
        """Take in an interruption."""
        self.began = min(self.began, at) if self.parts else at
        self.joined = max(self.joined, at)
        self.chained = self.chained and (near or not self.parts)
        self.parts.append(part)
        before = self.last_of.get(part.meter)
        if before is None or before.began <= part.began:
            self.last_of[part.meter] = part
        if part.onset is not None:
            insort(self.onsets, part.onset.at)
        for mark in part.marks:
            self.heard = max(self.heard, mark.arrived)
            self.last_time = max(self.last_time, mark.at)
        self.all_out = self.all_out and before is None and part.is_out

    def continues(self, mark: Mark, rules: Oms) -> bool:
        """Whether `groups` would put a meter's first alarm here, were this, empty or not, the only group."""
        near = rules.near_s * 1_000
        return (
            mark.lost
            and not self.history
            and self.chained
            and mark.meter not in self.last_of
            and (not self.parts or self.began - near <= mark.arrived <= self.joined + near)
            and mark.arrived - mark.at <= rules.late_s * 1_000
        )

    def marks(self) -> Iterator[Mark]:
        """All that its meters said."""
        for part in self.parts:
            yield from part.marks

    def back_at(self, gone: Gone) -> int | None:
        """When half of its meters were heard to be back; None where they were not. Who is gone counts as back."""
        if self.all_out and not gone:
            return None
        back = sorted(at for part in self.last_of.values() if (at := self.heard_back(part, gone)) is not None)
        half = (len(self.last_of) + 1) // 2
        return back[half - 1] if len(back) >= half else None

    def heard_back(self, part: Interruption, gone: Gone) -> int | None:
        """When the end of an interruption was heard of; None where it was not."""
        if part.end is not None:
            return part.end.at if self.history else part.end.arrived
        return part.arrived if part.superseded or part.meter in gone else None


def groups(parts: Iterable[Interruption], known: int, rules: Oms, gone: Gone) -> list[Group]:
    """The outages that interruptions below one transformer make; `known` premises hang there (0: nobody knows)."""
    found: list[Group] = []
    timed = []
    for part in parts:
        history = is_history(part, rules)
        timed.append((part.began if history else part.arrived, part.meter, part.marks[0].alarm, history, part))
    timed.sort(key=lambda one: one[:3])
    for at, _, _, history, part in timed:
        recent = (group for group in reversed(found[-_LOOK_BACK:]) if group.history == history)
        group = next((group for group in recent if _fits(group, part, at, known, rules, gone)), None)
        if group is None:
            group = Group(history)
            found.append(group)
        group.add(part, at, near=at - group.joined <= rules.near_s * 1_000)
    return found


def _fits(group: Group, part: Interruption, at: int, known: int, rules: Oms, gone: Gone) -> bool:
    near = rules.near_s * 1_000
    if at - group.joined <= near:
        return True
    onset = part.onset
    if onset is not None and group.onsets and group.onsets[0] - near <= onset.at <= group.onsets[-1] + near:
        return True
    before = group.last_of.get(part.meter)
    if before is not None and _between(*sorted((before, part), key=lambda one: one.began)) <= rules.again_s * 1_000:
        return True
    if onset is None and any(0 <= at - (group.heard_back(one, gone) or 0) <= near for one in group.parts):
        return True
    if not _is_wide(group, at, known, rules):
        return False
    back = group.back_at(gone)
    return back is None or back > at


def _between(early: Interruption, late: Interruption) -> int:
    """How long the meter had supply between two of its interruptions."""
    return late.began - (early.began if early.end is None else early.end.at)


def _is_wide(group: Group, at: int, known: int, rules: Oms) -> bool:
    return likeliest(len(group.last_of), known, at - group.began, rules)[0] is OutageScope.TRANSFORMER
