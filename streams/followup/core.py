"""What follows alarms: deduplicated, coalesced, within budgets. Pure: alarms, meters and time are handed in.

    alarm ─▶ fresh? ─▶ rules of its kind ─▶ done in this window? ─▶ now, or in `after` ─▶ within the budgets? ─▶ job

All that is remembered follows from the alarms of the last `Policy.horizon_ms`: a process that starts is shown them again as
`known`, which makes it remember and do nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import blake2b
from heapq import heappop, heappush
from itertools import count
from typing import Protocol

from schemas.records import Alarm, CommandAck, CommandState, Network, Record, Target
from streams.followup.budgets import Area, Budgets
from streams.followup.errors import TABLE
from streams.followup.outputs import EVENTS, JOBS, job_id, job_of, storm_alarm, unanswered_alarm
from streams.followup.policy import Act, Policy, Rule
from streams.runtime.meters import Known

_STORM_MS = 600_000
_SWEEP_MS = 60_000
_MOST_PENDING = 100_000
_LOGS = ("7/", "table/74", "table/76")
"""What alarms are from that somebody read out of a log."""
_ENDED = (CommandState.DONE, CommandState.FAILED, CommandState.EXPIRED)
Output = tuple[str, str, Record]
"""Topic, key and record."""
Key = tuple[str, str, int]
"""Rule, meter or transformer, window."""


class Meters(Protocol):
    """What is asked of the meter directory."""

    def get(self, meter_id: str) -> Known | None:
        """What is known of a meter."""

    def resolve(self, target: Target) -> tuple[str, ...]:
        """The living meters that a target means, sorted."""


@dataclass(slots=True)
class Tally:
    """What became of alarms since the last look: jobs by rule, and reasons why there was none by rule."""

    jobs: Counter[str] = field(default_factory=Counter)
    passed: Counter[tuple[str, str]] = field(default_factory=Counter)


class Core:
    """Not for several threads at once."""

    def __init__(self, policy: Policy, meters: Meters, deadline_ms: Callable[[Network], int]) -> None:
        self._policy = policy
        self._meters = meters
        self._deadline_ms = deadline_ms
        self._budgets = Budgets(policy.budgets)
        self._done: dict[Key, int] = {}
        self._counts: dict[Key, tuple[int, int]] = {}
        self._pending: list[tuple[int, int, Rule, str, Alarm]] = []
        self._order = count()
        self._storms: set[tuple[Area, int]] = set()
        self._asked: dict[str, tuple[Rule, int]] = {}
        """Pings by job id whose answer is waited for, with until when."""
        self._swept_at = 0
        self.tally = Tally()

    def __len__(self) -> int:
        """How many jobs wait for their time."""
        return len(self._pending)

    def take(self, alarm: Alarm, now: int, *, known: bool = False) -> list[Output]:
        """What an alarm causes now; with `known` it was handled before, and is only remembered."""
        if alarm.code_table == TABLE or not alarm.meter_id:
            return []
        outputs: list[Output] = []
        for rule in self._policy.rules:
            if alarm.kind not in rule.alarms:
                continue
            place, why = self._place(alarm, rule, now)
            if place is None:
                self._pass(rule, why, known)
            elif rule.after_ms:
                self._later(rule, place, alarm, known)
            elif rule.act is Act.PING_NEIGHBOURS:
                outputs += self._neighbours(rule, place, alarm, now, known)
            else:
                outputs += self._itself(rule, place, alarm, now, known)
        return outputs

    def due(self, now: int) -> list[Output]:
        """What had to wait, and is due. To be called often."""
        outputs: list[Output] = []
        while self._pending and self._pending[0][0] <= now:
            _, _, rule, meter_id, alarm = heappop(self._pending)
            place = self._meters.get(meter_id)
            if place is None or not place.lives:
                self._pass(rule, "unknown", known=False)
                continue
            for name in self._whom(rule, place, alarm):
                outputs += self._job(rule, name, alarm, now)
        if now - self._swept_at >= _SWEEP_MS:
            self._swept_at = now
            self._done = {key: until for key, until in self._done.items() if until > now}
            self._counts = {key: each for key, each in self._counts.items() if each[1] > now}
            self._asked = {job: each for job, each in self._asked.items() if each[1] > now}
            self._storms = {storm for storm in self._storms if storm[1] >= now // _STORM_MS - 1}
        return outputs

    def acted(self, until: int) -> None:
        """What waited and was due by then was written by whoever was here before."""
        while self._pending and self._pending[0][0] <= until:
            _, _, rule, meter_id, alarm = heappop(self._pending)
            place = self._meters.get(meter_id)
            for name in [] if place is None else self._whom(rule, place, alarm):
                self._ask(rule, name, alarm)

    def told(self, ack: CommandAck) -> list[Output]:
        """What follows what became of a job: an alarm where a ping was not answered and its rule wants one."""
        rule, _ = self._asked.get(ack.job_id, (None, 0))
        if rule is None or rule.unanswered is None or ack.state not in _ENDED:
            return []
        del self._asked[ack.job_id]
        place = self._meters.get(ack.meter_id)
        if place is None or ack.state is CommandState.DONE:
            return []
        return [(EVENTS, ack.meter_id, unanswered_alarm(rule.unanswered, ack, place, rule))]

    @property
    def waits(self) -> bool:
        """Whether what became of some job matters."""
        return bool(self._asked)

    def take_tally(self) -> Tally:
        """What became of alarms since the last call."""
        tally, self.tally = self.tally, Tally()
        return tally

    def _place(self, alarm: Alarm, rule: Rule, now: int) -> tuple[Known | None, str]:
        if now - alarm.received_at > self._policy.fresh_ms + rule.after_ms:
            return None, "stale"
        if alarm.source.startswith(_LOGS):
            if rule.act is Act.READ_EVENT_LOG:
                return None, "from-log"  # it was just read; to read it again for what it says would never end
            if alarm.received_at - alarm.occurred_at > self._policy.fresh_ms:
                return None, "stale"
        place = self._meters.get(alarm.meter_id)
        return (None, "unknown") if place is None or not place.lives else (place, "")

    def _itself(self, rule: Rule, place: Known, alarm: Alarm, now: int, known: bool) -> list[Output]:
        window = alarm.received_at // rule.window_ms
        key, area = (rule.name, place.id, window), (rule.name, f"/{place.transformer}", window)
        if key in self._done or self._full(rule, place, area):
            self._pass(rule, "coalesced", known)
            return []
        outputs = [] if known else self._job(rule, place.id, alarm, now)
        if known:
            self._ask(rule, place.id, alarm)
        if known or any(topic == JOBS for topic, _, _ in outputs):
            self._note(rule, key, area, alarm)
        return outputs

    def _neighbours(self, rule: Rule, place: Known, alarm: Alarm, now: int, known: bool) -> list[Output]:
        area = (rule.name, f"/{place.transformer}", alarm.received_at // rule.window_ms)
        if not place.transformer or area in self._done:
            self._pass(rule, "coalesced" if place.transformer else "no-transformer", known)
            return []
        outputs: list[Output] = []
        for name in self._sample(rule, place, alarm):
            if known:
                self._ask(rule, name, alarm)
            else:
                outputs += self._job(rule, name, alarm, now)
        if known or any(topic == JOBS for topic, _, _ in outputs):
            self._note(rule, area, area, alarm)
        return outputs

    def _later(self, rule: Rule, place: Known, alarm: Alarm, known: bool) -> None:
        window = alarm.received_at // rule.window_ms
        area = (rule.name, f"/{place.transformer}", window)
        key = area if rule.act is Act.PING_NEIGHBOURS else (rule.name, place.id, window)
        if key in self._done or (rule.act is not Act.PING_NEIGHBOURS and self._full(rule, place, area)):
            self._pass(rule, "coalesced", known)
        elif len(self._pending) >= _MOST_PENDING:
            self._pass(rule, "budget", known)
        else:
            self._note(rule, key, area, alarm)
            heappush(self._pending, (alarm.received_at + rule.after_ms, next(self._order), rule, place.id, alarm))

    def _full(self, rule: Rule, place: Known, area: Key) -> bool:
        return bool(rule.most and place.transformer) and self._counts.get(area, (0, 0))[0] >= rule.most

    def _note(self, rule: Rule, key: Key, area: Key, alarm: Alarm) -> None:
        until = (alarm.received_at // rule.window_ms + 1) * rule.window_ms + self._policy.fresh_ms
        self._done[key] = until
        if rule.most:
            self._counts[area] = self._counts.get(area, (0, 0))[0] + 1, until

    def _whom(self, rule: Rule, place: Known, alarm: Alarm) -> list[str]:
        """Who is asked."""
        return self._sample(rule, place, alarm) if rule.act is Act.PING_NEIGHBOURS else [place.id]

    def _ask(self, rule: Rule, meter_id: str, alarm: Alarm) -> None:
        """Remember that a ping was sent, where its answer matters."""
        if rule.unanswered is not None:
            until = alarm.received_at + rule.after_ms + rule.window_ms + rule.answer_ms
            self._asked[job_id(rule, meter_id, alarm)] = rule, until

    def _sample(self, rule: Rule, place: Known, alarm: Alarm) -> list[str]:
        """Neighbours. Who they are hangs on transformer and window only: whoever alarms first, in whatever order alarms come
        again, the same are asked, but for the meter that alarmed.
        """
        window = alarm.received_at // rule.window_ms
        others = self._meters.resolve(Target(transformers=(place.transformer,))) if place.transformer else ()
        ranked = sorted(others, key=lambda name: blake2b(f"{rule.name}/{window}/{name}".encode(), digest_size=8).digest())
        return [name for name in ranked[: rule.most] if name != alarm.meter_id]

    def _job(self, rule: Rule, meter_id: str, alarm: Alarm, now: int) -> list[Output]:
        """The job, or the alarm where a budget is spent, once."""
        place = self._meters.get(meter_id)
        if place is None:
            return []
        spent = self._budgets.spend(place, now)
        if spent is None:
            self.tally.jobs[rule.name] += 1
            self._ask(rule, meter_id, alarm)
            deadline_ms = self._deadline_ms(place.network)
            return [(JOBS, meter_id, job_of(rule, meter_id, alarm, now=now, deadline_ms=deadline_ms))]
        self._pass(rule, "budget", known=False)
        storm = (spent, now // _STORM_MS)
        if storm in self._storms:
            return []
        self._storms.add(storm)
        return [(EVENTS, place.id, storm_alarm(spent, place, storm[1], now))]

    def _pass(self, rule: Rule, why: str, known: bool) -> None:
        if not known:
            self.tally.passed[rule.name, why] += 1
