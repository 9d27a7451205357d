"""One feeder: when most of its transformers are out, that is one outage, which refers to theirs. Pure.

Transformers that went out within `near_s` of each other, or while the feeder was out, belong together. Together they are an
outage of the feeder where they are `feeder_share` of its transformers and at least `feeder_least`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field

from connectors.oms.likelihood import whole_feeder
from connectors.oms.revisions import Content, firmer, opened, revise, why
from connectors.oms.standing import OVER
from connectors.oms.states import joined, parted
from connectors.oms.views import Wide
from schemas.ids import event_id
from schemas.records import OutageDuration, OutageEvent, OutageScope, OutageState, OutageStatus, OutageTold
from streams.runtime.settings import Oms


@dataclass(slots=True)
class _Together:
    members: list[Wide] = field(default_factory=list)

    @property
    def transformers(self) -> set[str]:
        return {one.transformer for one in self.members}

    def is_out(self, at: int) -> bool:
        """Whether most of them were out at a time."""
        return 2 * sum(one.back is not None and one.back <= at for one in self.members) < len(self.members)


class Feeder:
    """One feeder; `look` whenever an outage of one of its transformers has changed, or its time has come."""

    def __init__(self, key: str, feeder: str) -> None:
        self.key = key
        self.feeder = feeder
        self.outages: dict[str, OutageTold] = {}
        self.parents: dict[str, str] = {}
        """Outages of transformers, and the outage of the feeder that each is part of."""
        self._seen_in: dict[str, str] = {}
        """Likewise, of all that the feeder's outages were seen in, withdrawn ones too."""
        self.next_look = 0
        self.rests_until = 0
        """It was told a moment ago, and is looked at again at this time."""

    def look(self, wide: Sequence[Wide], known: int, now: int, rules: Oms) -> list[OutageEvent]:
        """What is to be told now, of `known` transformers on the feeder (0: nobody knows)."""
        before, self._seen_in, self.parents = self._seen_in, {}, {}
        self.next_look = 0
        events: list[OutageEvent] = []
        seen: set[str] = set()
        standing = {one.outage_id for one in wide}
        for together in self._together(wide, known, rules):
            here = self._named(together, before, standing, seen)
            whole = self._is_whole(together, known, rules)
            if not here and not whole:
                continue
            told = here[0] if here else self._new(together, now)
            seen |= {told.outage_id, *(other.outage_id for other in here)}
            events += self._tell(told, together, known, now, rules, whole=whole)
            for other in here[1:]:
                content = self._content(together, known, OutageStatus.MERGED, told.outage_id)
                self.outages[other.outage_id], said = revise(other, content, "merged", (), (), now)
                events += said
            members = {one.outage_id: told.outage_id for one in together.members}
            self._seen_in |= members
            if whole:
                self.parents |= members
        for told in [told for name, told in self.outages.items() if name not in seen]:
            if told.status not in OVER:
                events += revise(told, self._nothing(told, known), "withdrawn", (), (), now)[1]
            del self.outages[told.outage_id]
        return events

    def state(self, now: int) -> list[tuple[str, OutageState | None]]:
        """Key and record of the state: outages of transformers in `alarms`, beside them in `meters` the feeder's."""
        record = OutageState(
            key=self.key,
            feeder=self.feeder,
            outages=tuple(self.outages.values()),
            alarms=joined(self._seen_in),
            meters=joined(self._seen_in.values()),
            at=now,
        )
        return [(f"{self.key}/0", record if self.outages else None)]

    def restore(self, state: OutageState, rules: Oms) -> None:
        """Take over the state."""
        self.outages = {told.outage_id: told for told in state.outages}
        self.rests_until = max((told.told_at for told in state.outages), default=0) + round(rules.feeder_every_s * 1_000)
        pairs = zip(parted(state.alarms), parted(state.meters), strict=False)
        self._seen_in = {outage: parent for outage, parent in pairs if parent in self.outages}
        over = {name for name, told in self.outages.items() if told.status is OutageStatus.WITHDRAWN}
        self.parents = {outage: parent for outage, parent in self._seen_in.items() if parent not in over}

    @staticmethod
    def _together(wide: Sequence[Wide], known: int, rules: Oms) -> list[_Together]:
        found: list[_Together] = []
        near = rules.near_s * 1_000
        for one in sorted(wide, key=lambda one: (one.began, one.outage_id)):
            last = found[-1] if found else None
            if last is None or not (
                one.began - last.members[-1].began <= near
                or (last.is_out(one.began) and Feeder._is_whole(last, known, rules))
            ):
                last = _Together()
                found.append(last)
            last.members.append(one)
        return found

    @staticmethod
    def _is_whole(together: _Together, known: int, rules: Oms) -> bool:
        out = len(together.transformers)
        return out >= rules.feeder_least and out >= rules.feeder_share * max(known, out)

    def _named(self, together: _Together, before: Mapping[str, str], standing: Set[str], seen: Set[str]) -> list[OutageTold]:
        """The outages told that these are: those named after one of them; or, where what an outage was named after is no
        transformer's any more, those that one of them was part of.
        """
        members = {one.outage_id for one in together.members}
        found = [
            told
            for name, told in self.outages.items()
            if told.status is not OutageStatus.MERGED
            and name not in seen
            and (
                told.anchor in members
                or (told.anchor not in standing and any(before.get(member) == name for member in members))
            )
        ]
        return sorted(found, key=lambda told: (told.opened_at, told.outage_id))

    def _new(self, together: _Together, now: int) -> OutageTold:
        anchor = together.members[0].outage_id
        outage_id = event_id("Outage", self.key, anchor)
        return self.outages.get(outage_id) or opened(outage_id, anchor, now)

    def _tell(
        self, told: OutageTold, together: _Together, known: int, now: int, rules: Oms, *, whole: bool
    ) -> list[OutageEvent]:
        status = _status(together, whole=whole)
        content = self._content(together, known, status)
        numbers = (content.affected, content.out, content.flapping)
        changed = why(told, content.status, content.duration, numbers)
        if not changed and firmer(told, content.scope, content.confidence):
            changed = "confidence"
        events: list[OutageEvent] = []
        if changed:
            told, events = revise(told, content, changed, (), (), now)
            self.rests_until = now + round(rules.feeder_every_s * 1_000)
        self.outages[told.outage_id] = told
        return events

    def _nothing(self, told: OutageTold, known: int) -> Content:
        """Of an outage that none of its transformers bears out any more."""
        return Content(
            status=OutageStatus.WITHDRAWN,
            scope=OutageScope.FEEDER,
            confidence=0.0,
            affected=0,
            out=0,
            known=0,
            first_time=told.first_time,
            last_time=told.first_time,
            feeder=self.feeder,
            transformers_known=known,
        )

    def _content(self, together: _Together, known: int, status: OutageStatus, merged_into: str = "") -> Content:
        members = together.members
        names = together.transformers
        supported = [meter for one in members for meter in one.life_support_out]
        return Content(
            status=status,
            scope=OutageScope.FEEDER,
            confidence=round(whole_feeder(len(names), max(known, len(names))), 3),
            duration=OutageDuration.UNKNOWN,
            affected=sum(one.affected for one in members),
            out=sum(one.out for one in members),
            known=sum({one.transformer: one.known for one in members}.values()),
            first_time=min(one.first_time for one in members),
            last_time=max(one.last_time for one in members),
            feeder=self.feeder,
            life_support=any(one.life_support for one in members),
            life_support_out=sorted(supported),
            transformers=sorted(names),
            transformers_known=known,
            outages=[one.outage_id for one in members],
            merged_into=merged_into,
        )


def _status(together: _Together, *, whole: bool) -> OutageStatus:
    if not whole:
        return OutageStatus.WITHDRAWN
    if all(one.over for one in together.members):
        return OutageStatus.RESTORED
    if all(one.out == one.affected for one in together.members):
        return OutageStatus.OPEN
    return OutageStatus.PARTLY_RESTORED
