"""All that is remembered of the meters below one transformer, and what of it the OMS was told. Pure.

A meter whose transformer nobody knows has a bucket of its own. What the OMS is told follows from the alarms that are there,
not from the order in which they came; outages keep their ids by an alarm each that they were named after. Where alarms that
came late show two outages to be one, the one told first goes on and the other is told as merged into it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

from connectors.oms.grouping import Group, groups
from connectors.oms.journal import News
from connectors.oms.marks import Interruption, Mark, by_meter_time, interruptions
from connectors.oms.revisions import MOST, Content, firmer, opened, revise, why
from connectors.oms.standing import OVER, Standing, out_of, standing
from connectors.oms.states import Place, marks_in, states
from connectors.oms.views import Around, Wide
from schemas.ids import event_id
from schemas.records import OutageEvent, OutageScope, OutageState, OutageStatus, OutageTold

_MOST_OF_A_METER = 64
"""Alarms of one meter that are remembered; of more, the oldest that were told are forgotten."""
_NOBODY: frozenset[str] = frozenset()


class Bucket:
    """One transformer. `add` alarms, then `look`."""

    def __init__(self, key: str, transformer: str, feeder: str) -> None:
        self.key = key
        self.transformer = transformer
        self.feeder = feeder
        self.wide: tuple[Wide, ...] = ()
        self.next_look = 0
        self.outages: dict[str, OutageTold] = {}
        self._marks: dict[str, Mark] = {}
        self._told: set[str] = set()
        self._of: dict[str, list[Mark]] = {}
        self._parts: dict[str, list[Interruption]] = {}
        self._untold: dict[str, Mark] = {}
        self._supported: set[str] = set()
        self._wordy: set[str] = set()
        self._fresh: list[Mark] | None = []
        """What came in since the last look; None where a look begins anew."""
        self._found: list[Group] = [Group(history=False)]
        self._written = 0
        """Parts of the state that are on the topic."""
        self.waited: list[int] = []
        """When those alarms came in that the last look told of for the first time."""
        self.changed = False
        """Whether what is remembered differs from what `state` and `news` gave."""
        self._unwritten: list[Mark] = []
        self._retold: dict[str, None] = {}
        """Outages that were told anew since then."""
        self._partly_told = False
        """Whether alarms were told since then; all, unless some are untold."""
        self._whole = False

    def __len__(self) -> int:
        return len(self._marks)

    def __contains__(self, alarm: str) -> bool:
        return alarm in self._marks

    @property
    def meters(self) -> Iterable[str]:
        """Of which there are alarms."""
        return self._of.keys()

    @property
    def size(self) -> int:
        """Meters of which there are alarms."""
        return len(self._of)

    def holds(self, meter: str) -> bool:
        """Whether there are alarms of a meter."""
        return meter in self._of

    def latest(self, meter: str) -> int:
        """When the head-end last heard of a meter here; 0 where it did not."""
        return max((mark.arrived for mark in self._of.get(meter, ())), default=0)

    def is_out(self, meter: str) -> bool:
        """Whether a meter's last word was that it lost supply."""
        parts = self._parts_of(meter)
        return bool(parts) and parts[-1].is_out

    def add(self, mark: Mark) -> bool:
        """Take an alarm in; false where it is there already."""
        if mark.alarm in self._marks:
            return False
        self._marks[mark.alarm] = mark
        of = self._of.setdefault(mark.meter, [])
        of.append(mark)
        if len(of) > _MOST_OF_A_METER:
            self._wordy.add(mark.meter)
        self._untold[mark.alarm] = mark
        self._unwritten.append(mark)
        if mark.life_support:
            self._supported.add(mark.meter)
        self._parts.pop(mark.meter, None)
        if self._fresh is not None:
            self._fresh.append(mark)
        self.changed = True
        return True

    def begin_anew(self) -> None:
        """Forget what the last look found, since the world has changed."""
        self._fresh = None

    def look(self, around: Around, again: frozenset[str] = frozenset()) -> list[OutageEvent]:
        """What is to be told now. Outages of the alarms in `again` are told as they stand, changed or not."""
        found = self._groups(around)
        self.waited = []
        events: list[OutageEvent] = []
        wide: list[Wide] = []
        looks: list[int] = []
        over: list[tuple[Group, OutageTold]] = []
        for group, stands, before, merged in self._named(found, around):
            for other in merged:
                events += self._merge(other, before, group, stands, around)
            told, said = self._tell(group, stands, before, around, again)
            if said:
                self._take(told)
                events += said
            looks.append(stands.next_look)
            if stands.scope is OutageScope.TRANSFORMER and not group.history:
                wide.append(self._as_wide(group, stands, told, around))
            if stands.status in OVER and stands.next_look <= around.now:
                over.append((group, told))
        for group, told in over:
            self._forget(group, told)
        self.wide = tuple(one for one in wide if one.outage_id in self.outages)
        self.next_look = min(looks, default=0)
        if self._wordy:
            self._trim()
        return events

    # what is remembered

    @property
    def place(self) -> Place:
        """Whose state it is."""
        return Place(self.key, self.transformer, self.feeder)

    def news(self) -> News | None:
        """What changed since it was last asked, or the state was; None where only the whole state says so."""
        if self._whole or (self._partly_told and self._untold):
            return None
        told = self._partly_told
        found = News(self._unwritten, told, [self.outages[name] for name in self._retold])
        self._begin_news()
        return found

    def state(self, journal: int, now: int) -> list[tuple[str, OutageState | None]]:
        """Key and record of each part of the state, which has all up to an entry of the journal; None for a part that is no
        more.
        """
        parts = states(self.place, self.outages.values(), list(self._marks.values()), self._told, journal, now)
        out: list[tuple[str, OutageState | None]] = [(f"{self.key}/{part.part}", part) for part in parts]
        out += [(f"{self.key}/{number}", None) for number in range(len(parts), self._written)]
        self._written = len(parts)
        self._begin_news()
        return out

    def restore(self, part: OutageState) -> bool:
        """Take over a part of the state, in order of the parts; false where its columns are not of one length."""
        marks = marks_in(part)
        if marks is None:
            return False
        self._written = max(self._written, part.part + 1)
        self.outages |= {told.outage_id: told for told in part.outages}
        for mark, told in marks:
            self.add(mark)
            if told:
                self._untold.pop(mark.alarm, None)
                self._told.add(mark.alarm)
        self._begin_news()
        return True

    def apply(self, news: News) -> None:
        """Take over what changed after the state was written."""
        for mark in news.marks:
            self.add(mark)
        self.outages |= {told.outage_id: told for told in news.outages}
        if news.told:
            self._told.update(self._untold)
            self._untold.clear()
        self._begin_news()

    def _begin_news(self) -> None:
        self.changed = self._whole = self._partly_told = False
        self._unwritten = []
        self._retold = {}

    # groups and their names

    def _parts_of(self, meter: str) -> list[Interruption]:
        parts = self._parts.get(meter)
        if parts is None and (marks := self._of.get(meter)) is not None:
            parts = self._parts[meter] = interruptions(marks)
        return parts or []

    def _groups(self, around: Around) -> list[Group]:
        fresh, self._fresh = self._fresh, []
        if fresh is not None and len(self._found) == 1 and not around.gone:
            group = self._found[0]
            for mark in fresh:
                if not group.continues(mark, around.rules):
                    break
                group.add(self._parts_of(mark.meter)[0], mark.arrived)
            else:
                return self._found
        self._found = self._regrouped(around)
        return self._found

    def _regrouped(self, around: Around) -> list[Group]:
        parts = [part for meter in self._of for part in self._parts_of(meter)]
        return groups(parts, around.known, around.rules, around.gone)

    def _named(self, found: Sequence[Group], around: Around) -> list[tuple[Group, Standing, OutageTold, list[OutageTold]]]:
        """Each group with the outage that it is, and those that turned out to be part of it."""
        standing_ones = [told for told in self.outages.values() if told.status is not OutageStatus.MERGED]
        anchors = {told.anchor: told for told in standing_ones} if len(found) > 1 else {}
        named = []
        for group in found:
            if len(found) == 1:
                here = standing_ones
            else:
                here = [anchors[mark.alarm] for mark in group.marks() if mark.alarm in anchors]
            if len(here) > 1:
                here.sort(key=lambda told: (told.opened_at, told.outage_id))
            told = here[0] if here else self._new(group, around.now)
            stands = standing(group, around.known, around.now, around.rules, around.gone)
            named.append((group, stands, told, here[1:]))
        return named

    def _new(self, group: Group, now: int) -> OutageTold:
        first = min(group.marks(), key=lambda mark: (mark.arrived, mark.meter, mark.alarm))
        outage_id = event_id("Outage", self.key, first.alarm)
        # Known where it was merged, and late news made two of it again.
        return self.outages.get(outage_id) or opened(outage_id, first.alarm, now)

    # telling

    def _tell(
        self, group: Group, stands: Standing, told: OutageTold, around: Around, again: frozenset[str]
    ) -> tuple[OutageTold, list[OutageEvent]]:
        untold = self._untold
        new = list(untold.values()) if len(self._found) == 1 else [mark for mark in group.marks() if mark.alarm in untold]
        numbers = (stands.affected, stands.out, len(stands.flapping))
        changed = why(told, stands.status, stands.duration, numbers)
        if changed not in ("first", "flapping", "expired"):
            free = any(mark.meter not in stands.flapping for mark in new) if stands.flapping else bool(new)
            if len(stands.flapping) < told.flapping:
                changed = "settled"
            elif free or len(new) >= MOST:
                changed = "alarms"
            elif not changed and again and any(mark.alarm in again for mark in group.marks()):
                changed = "replay"
            elif not changed and not new and (told.first_time, told.last_time) != (stands.first_time, stands.last_time):
                changed = "premises"  # late news gave some of its alarms to another outage, or took them from one
            elif not changed and firmer(told, stands.scope, stands.confidence):
                changed = "confidence"
        if not changed:
            return told, []
        if new:
            new.sort(key=by_meter_time)
            self._partly_told = True
            for mark in new:
                self._told.add(mark.alarm)
                self.waited.append(mark.arrived)
                del untold[mark.alarm]
        lost = [mark.alarm for mark in new if mark.lost]
        back = [mark.alarm for mark in new if not mark.lost]
        return revise(told, self._content(group, stands, told, around), changed, lost, back, around.now)

    def _take(self, told: OutageTold) -> None:
        """An outage as it was told just now."""
        self.outages[told.outage_id] = told
        self._retold[told.outage_id] = None
        self.changed = True

    def _merge(
        self, other: OutageTold, told: OutageTold, group: Group, stands: Standing, around: Around
    ) -> list[OutageEvent]:
        content = self._content(group, stands, told, around)
        content = content._replace(status=OutageStatus.MERGED, merged_into=told.outage_id)
        told, events = revise(other, content, "merged", (), (), around.now)
        self._take(told)
        return events

    def _content(self, group: Group, stands: Standing, told: OutageTold, around: Around) -> Content:
        out = out_of(group, around.gone)
        supported = self._supported & group.last_of.keys() if self._supported else _NOBODY
        return Content(
            status=stands.status,
            scope=stands.scope,
            duration=stands.duration,
            confidence=stands.confidence,
            affected=stands.affected,
            out=stands.out,
            flapping=len(stands.flapping),
            known=stands.known,
            first_time=stands.first_time,
            last_time=stands.last_time,
            transformer=self.transformer,
            feeder=self.feeder,
            meters=sorted(group.last_of),
            meters_back=sorted(group.last_of.keys() - out - stands.flapping) if len(out) < stands.affected else (),
            life_support=bool(supported),
            life_support_out=sorted(supported & (out | stands.flapping)) if supported else (),
            parent=around.parents.get(told.outage_id, ""),
        )

    def _as_wide(self, group: Group, stands: Standing, told: OutageTold, around: Around) -> Wide:
        supported = self._supported & group.last_of.keys() if self._supported else _NOBODY
        return Wide(
            told.outage_id,
            self.transformer,
            group.began,
            group.back_at(around.gone),
            stands.status in OVER,
            stands.affected,
            stands.out + len(stands.flapping),
            stands.known,
            stands.first_time,
            stands.last_time,
            tuple(sorted(supported & (out_of(group, around.gone) | stands.flapping))) if supported else (),
            bool(supported),
        )

    # bounds

    def _trim(self) -> None:
        """Forget the oldest alarms of meters that say too much; an outage that is named after one of them is named after a
        later one, and keeps its id.
        """
        wordy, self._wordy = self._wordy, set()
        for meter in wordy:
            marks = self._of.get(meter, [])
            marks.sort(key=by_meter_time)
            spare = [mark for mark in marks if mark.alarm in self._told][: max(0, len(marks) - _MOST_OF_A_METER)]
            kept = [mark for mark in marks if mark not in spare]
            for told in list(self.outages.values()):
                if any(mark.alarm == told.anchor for mark in spare):
                    self.outages[told.outage_id] = replace(told, anchor=kept[0].alarm)
            if spare:
                self._drop(spare)
                self._of[meter] = kept
            if len(kept) > _MOST_OF_A_METER:
                self._wordy.add(meter)  # again, once they are told

    def _forget(self, group: Group, told: OutageTold) -> None:
        """An outage that is over, and of which nothing late will come any more."""
        self._drop(group.marks())
        del self.outages[told.outage_id]
        for name in [name for name, one in self.outages.items() if one.anchor not in self._marks]:
            del self.outages[name]
        lasting = Counter(mark.meter for mark in self._marks.values())
        for meter in group.last_of:
            if lasting[meter]:
                self._of[meter] = [mark for mark in self._of[meter] if mark.alarm in self._marks]
                self._parts.pop(meter, None)
            else:
                self._of.pop(meter, None)
                self._parts.pop(meter, None)

    def _drop(self, marks: Iterable[Mark]) -> None:
        self.changed = self._whole = True
        self._fresh = None
        for mark in list(marks):
            self._marks.pop(mark.alarm, None)
            self._untold.pop(mark.alarm, None)
            self._told.discard(mark.alarm)
            self._parts.pop(mark.meter, None)
