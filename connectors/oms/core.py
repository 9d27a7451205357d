"""Alarms in, outages out: pure, with the time given. `take` alarms as they come, `tick` to be told what they make.

Each transformer is looked at a moment (`gather_s`) after something was heard from below it, so that what is said of it at
once is told at once. What is remembered is handed out by `tick` together with what is told, and taken back by `restore`: a
core restored from it goes on as if nothing had happened.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import NamedTuple, Protocol

from connectors.oms.bucket import Bucket
from connectors.oms.feeder import Feeder
from connectors.oms.journal import Journal
from connectors.oms.lanes import Lane
from connectors.oms.marks import Mark, Said, mark_of
from connectors.oms.revisions import TOPIC
from connectors.oms.states import TOPIC as STATES
from connectors.oms.views import Around
from schemas.records import OutageJournal, OutageState, Record
from streams.runtime.settings import Oms

_NOBODY: frozenset[str] = frozenset()
_ROUND_MS = 100
"""From one tick to the next, but for life support. What a tick writes is a transaction, and it costs Kafka 12 to 17 ms of
CPU whatever is in it: it ends with a mark on every partition that it wrote to. A tick therefore takes along whoever has half
a round left to wait, so that on average nobody waits for longer than `gather_s`.
"""


class Where(NamedTuple):
    """Where a meter hangs."""

    transformer: str = ""
    feeder: str = ""
    life_support: bool = False
    lives: bool = True


class Places(Protocol):
    """What is known of the grid."""

    def where(self, meter: str) -> Where | None:
        """Where a meter hangs; None where it is not registered."""

    def premises(self, transformer: str) -> int:
        """How many living meters hang below a transformer; 0 where nobody knows."""

    def transformers(self, feeder: str) -> int:
        """How many transformers with living meters a feeder has; 0 where nobody knows."""


class Out(NamedTuple):
    """A record to write, or to be forgotten."""

    topic: str
    key: str
    record: Record | None
    parent: str = ""


class Core:
    """All outages of a utility."""

    def __init__(self, rules: Oms, places: Places) -> None:
        self._rules = rules
        self._places = places
        self._buckets: dict[str, Bucket] = {}
        self._feeders: dict[str, Feeder] = {}
        self._below: dict[str, set[str]] = defaultdict(set)  # feeder → keys of buckets
        self._home: dict[str, str] = {}  # meter → the bucket of its latest alarm
        self._journal = Journal()
        self._changed: dict[str, Bucket] = {}  # of which not all is written that is to be remembered
        # Keys of buckets that are to be looked at: with the next tick, or after so many milliseconds.
        self._at_once = Lane(0)
        self._supported = Lane(round(rules.life_support_s * 1_000))
        gather_ms = round(rules.gather_s * 1_000)
        self._round_ms = min(_ROUND_MS, gather_ms)
        self._gathering = Lane(gather_ms, self._round_ms // 2)
        self._ticked_at: int | None = None
        self._dirty_feeders: dict[str, str] = {}
        self._again: dict[str, set[str]] = defaultdict(set)
        self._moving: set[str] = set()  # buckets of which meters may be gone
        self._gone_of: dict[str, frozenset[str]] = {}
        self._timers: list[tuple[int, str]] = []
        self._timed: dict[str, int] = {}  # key → the earliest of its timers
        self._arrivals: list[int] = []
        self._unwritten = 0
        self._statuses: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._buckets)

    @property
    def unwritten(self) -> int:
        """How many alarms came in since the last tick."""
        return self._unwritten

    def wait_ms(self, now: int) -> int | None:
        """How long until there is something for a `tick` to do if nothing more comes, and it is time for one; None where
        there is nothing.
        """
        waits = [self._gathering.wait_ms(now), self._at_once.wait_ms(now), self._journal.wait_ms(now)]
        if self._timers:
            waits.append(max(0, self._timers[0][0] - now))
        wait = min((one for one in waits if one is not None), default=None)
        if wait is not None and self._ticked_at is not None and self._ticked_at <= now:
            wait = max(wait, self._ticked_at + self._round_ms - now)
        supported = self._supported.wait_ms(now)
        return wait if supported is None else supported if wait is None else min(wait, supported)

    def take(self, alarm: Said, now: int, *, trace: str = "", replayed: bool = False) -> bool:
        """Take an alarm in; whether it is to be told without delay. One that is there already changes nothing; replayed, it
        has its outage told once more.
        """
        place = self._places.where(alarm.meter_id)
        supported = alarm.life_support or (place is not None and place.life_support)
        mark = mark_of(alarm, life_support=supported, fallback_ms=now)
        if mark is None:
            return False
        bucket = self._bucket_of(alarm, mark, place)
        key = bucket.key
        if not bucket.add(mark):
            if replayed:
                self._again[key].add(mark.alarm)
                self._at_once.add(key, now, trace)
            return False
        if self._home.get(mark.meter) != key:
            self._settle(mark.meter, bucket)
        self._changed[key] = bucket
        self._unwritten += 1
        (self._supported if supported else self._gathering).add(key, now, trace)
        return supported

    def moved(self, meters: Iterable[str]) -> None:
        """Meters that were exchanged, retired or moved: outages that they are part of are looked at again."""
        for meter in meters:
            if (key := self._home.get(meter)) is not None:
                self._at_once.add(key, 0)
                self._moving.add(key)

    def tick(self, now: int) -> list[Out]:
        """What is to be written at `now`, all of it together."""
        self._ticked_at = now
        self._wake(now)
        outs: list[Out] = []
        ready = self._gathering.take(now) | self._supported.take(now) | self._at_once.take(now)
        for lane in (self._gathering, self._supported):
            lane.drop(ready)
        for key, trace in ready.items():
            outs += self._look(self._buckets[key], now, trace)
        feeders, self._dirty_feeders = self._dirty_feeders, {}
        for key, trace in feeders.items():
            outs += self._look_at_feeder(self._feeders[key], now, trace)
        changed, self._changed = self._changed, {}
        written = self._journal.written(changed.values(), self._buckets.get, now)
        self._unwritten = 0
        return outs + [Out(STATES, key, record) for key, record in written]

    def _wake(self, now: int) -> None:
        while self._timers and self._timers[0][0] <= now:
            at, key = heapq.heappop(self._timers)
            if self._timed.get(key) != at:
                continue
            del self._timed[key]
            one = self._buckets.get(key) or self._feeders.get(key)
            if one is not None and one.next_look > now:
                self._set_timer(one, now)
            elif isinstance(one, Bucket):
                self._at_once.add(key, now)
            elif one is not None:
                self._dirty_feeders.setdefault(key, "")

    def _set_timer(self, one: Bucket | Feeder, now: int) -> None:
        at = max(one.next_look, now + 1)
        if one.next_look and at < self._timed.get(one.key, at + 1):
            self._timed[one.key] = at
            heapq.heappush(self._timers, (at, one.key))

    def take_arrivals(self) -> list[int]:
        """When the alarms arrived that were told since the last call."""
        arrivals, self._arrivals = self._arrivals, []
        return arrivals

    @property
    def statuses(self) -> Counter[str]:
        """How many outages are remembered, by status."""
        return self._statuses

    def restore(self, records: Iterable[Record]) -> list[str]:
        """Take over what was remembered; everything is looked at with the next tick. Keys of what makes no sense."""
        wrong = []
        states, entries = [], []
        for record in records:
            if isinstance(record, OutageJournal):
                entries.append(record)
            elif isinstance(record, OutageState):
                states.append(record)
        for state in sorted(states, key=lambda one: (one.key, one.part)):
            if state.key.startswith("feeder/"):
                self._feeder(state.feeder).restore(state, self._rules)
            elif not self._bucket(state.key, state.transformer, state.feeder).restore(state):
                wrong.append(f"{state.key}/{state.part}")
        for entry in self._journal.restore(states, entries):
            if isinstance(entry, str):
                wrong.append(entry)
                continue
            for place, news in entry:
                self._bucket(*place).apply(news)
        for bucket in self._buckets.values():
            self._statuses.update(told.status for told in bucket.outages.values())
            for meter in bucket.meters:
                self._settle(meter, bucket)
            self._at_once.add(bucket.key, 0)
            self._moving.add(bucket.key)
        return wrong

    # below

    def _bucket_of(self, alarm: Said, mark: Mark, place: Where | None) -> Bucket:
        """By the transformer that the alarm names, else by the registry's; where a meter lost supply, its return belongs."""
        home = self._buckets.get(self._home.get(mark.meter, ""))
        if home is not None and ((not mark.lost and home.is_out(mark.meter)) or mark.alarm in home):
            return home
        transformer = alarm.transformer or (place.transformer if place is not None else "")
        feeder = alarm.feeder or (place.feeder if place is not None else "")
        if transformer:
            bucket = self._bucket(f"transformer/{transformer}", transformer, feeder)
            if bucket.holds(mark.meter) or max(self._places.premises(transformer), bucket.size) < self._rules.most_meters:
                return bucket
        return self._bucket(f"meter/{mark.meter}", transformer, feeder)

    def _bucket(self, key: str, transformer: str, feeder: str) -> Bucket:
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = Bucket(key, transformer, feeder)
            if feeder:
                self._below[feeder].add(key)
        elif feeder and feeder != bucket.feeder:
            # The transformer was switched over to another feeder.
            self._below[bucket.feeder].discard(key)
            bucket.feeder = feeder
            self._below[feeder].add(key)
        return bucket

    def _feeder(self, feeder: str) -> Feeder:
        key = f"feeder/{feeder}"
        found = self._feeders.get(key)
        if found is None:
            found = self._feeders[key] = Feeder(key, feeder)
        return found

    def _settle(self, meter: str, bucket: Bucket) -> None:
        """A meter is where it was heard of last; what it said elsewhere before is over."""
        before = self._home.get(meter)
        if before == bucket.key:
            return
        other = self._buckets.get(before or "")
        if other is None or (other.latest(meter), other.key) <= (bucket.latest(meter), bucket.key):
            self._home[meter] = bucket.key
            if other is not None:
                self._at_once.add(other.key, 0)
                self._moving |= {other.key, bucket.key}

    def _look(self, bucket: Bucket, now: int, trace: str) -> list[Out]:
        if bucket.key in self._moving:
            self._gone_of[bucket.key] = gone = frozenset(meter for meter in bucket.meters if self._is_gone(meter, bucket))
            self._moving.discard(bucket.key)
            bucket.begin_anew()
            if not gone:
                del self._gone_of[bucket.key]
        feeder = self._feeders.get(f"feeder/{bucket.feeder}") if bucket.feeder else None
        parents: Mapping[str, str] = feeder.parents if feeder is not None else {}
        known = self._places.premises(bucket.transformer) if bucket.key.startswith("transformer/") else 0
        wide = bucket.wide
        before, meters = len(bucket), bucket.meters if bucket.next_look > now else list(bucket.meters)
        away = self._gone_of.get(bucket.key, _NOBODY)
        again = frozenset(self._again.pop(bucket.key)) if bucket.key in self._again else _NOBODY
        statuses = [told.status for told in bucket.outages.values()]
        events = bucket.look(Around(now, known, self._rules, away, parents), again)
        self._arrivals += bucket.waited
        after = [told.status for told in bucket.outages.values()]
        if after != statuses:
            self._statuses.subtract(statuses)
            self._statuses.update(after)
        if len(bucket) < before:
            for meter in meters:
                if self._home.get(meter) == bucket.key and not bucket.holds(meter):
                    del self._home[meter]
        if bucket.wide != wide and bucket.feeder:
            self._dirty_feeders.setdefault(self._feeder(bucket.feeder).key, trace)
        self._set_timer(bucket, now)
        if not len(bucket):
            del self._buckets[bucket.key]
            self._gone_of.pop(bucket.key, None)
            self._below[bucket.feeder].discard(bucket.key)
        if bucket.changed:
            self._changed[bucket.key] = bucket
        name = bucket.transformer or bucket.key.partition("/")[2]
        return [Out(TOPIC, name, event, trace) for event in events]

    def _is_gone(self, meter: str, bucket: Bucket) -> bool:
        place = self._places.where(meter)
        return self._home.get(meter) != bucket.key or (place is not None and not place.lives)

    def _look_at_feeder(self, feeder: Feeder, now: int, trace: str) -> list[Out]:
        if now < feeder.rests_until:
            feeder.next_look = feeder.rests_until
            self._set_timer(feeder, now)
            return []
        keys = self._below.get(feeder.feeder, set())
        wide = [one for key in keys for one in self._buckets[key].wide]
        before = feeder.state(0)
        events = feeder.look(wide, self._places.transformers(feeder.feeder), now, self._rules)
        self._set_timer(feeder, now)
        outs = [Out(TOPIC, feeder.feeder, event, trace) for event in events]
        if feeder.state(0) != before:
            outs += [Out(STATES, key, record) for key, record in feeder.state(now)]
        if not wide:
            del self._feeders[feeder.key]
        return outs
