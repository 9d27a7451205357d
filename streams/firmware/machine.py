"""The machine: steps campaigns and their meters through their tables, as time goes and results come.

It knows no Kafka. Its state is what the books say plus what it has handled since; where writing fails, it is thrown away
with all that it believes.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import replace

from schemas.records import (
    Campaign,
    CampaignBudget,
    CampaignLedger,
    CampaignMeters,
    CampaignProgress,
    CampaignState,
    CampaignStop,
    Record,
)
from schemas.signatures import digest
from streams.firmware.budgets import Budgets
from streams.firmware.campaign import Case
from streams.firmware.conductor import Conductor, Slot
from streams.firmware.fleet import Fleet
from streams.firmware.gates import Verdict, complete, finished, halting, proven
from streams.firmware.images import Images, sound_manifest
from streams.firmware.output import BULK, CAMPAIGNS, SELF, URGENT, Paper, Why, left_over, ping_job, transfer_job
from streams.firmware.states import OUT, OVER, SENDS, STOPS, Event, Meter, Turn, turn
from streams.runtime.authority.chain import START, Link
from streams.runtime.authority.refusals import Pending, Refusal, RefusedError
from streams.runtime.authority.stops import HALTED, TOPIC
from streams.runtime.authority.terms import terms_of
from streams.runtime.authority.verify import Around, Scope, check_allowed, examine, judge, recall
from streams.runtime.clock import Clock
from streams.runtime.settings import Firmware

_PROVE_MS, _SWEEP_MS, _TELL_MS = 60_000, 3_600_000, 60_000
_REST_MS, _HELD_MS, _CUT_MS = 60_000, 3_600_000, 900_000
_MOST_ATTEMPTS = 250
_FOR_ALL = ("frozen", "outside-hours", "request-expired")
"""Refusals that are not the meter's own."""
TRIED, SILENT = "meter-tried", "meter-silent"


class Machine:
    """All campaigns that are not over, and those that ended lately. On one thread."""

    def __init__(
        self, around: Around, fleet: Fleet, images: Images, settings: Firmware, clock: Clock, link: Link = START
    ) -> None:
        self._around = around
        self._fleet = fleet
        self._images = images
        self._settings = settings
        self._clock = clock
        self._cases: dict[str, Case] = {}
        self._going: dict[str, Case] = {}
        self._budgets = Budgets(settings, fleet.meters_in)
        self._conductor = Conductor(fleet, self._budgets, settings, around.policy.time_zone, self._send)
        self._timers: list[tuple[int, str, int, int]] = []
        """When a meter is to be looked at, milliseconds; its campaign, its number, and its attempts then."""
        self._changed: dict[str, Case] = {}
        self._told_at: dict[str, int] = {}
        self._proved_at = self._swept_at = 0
        self.paper = Paper(clock.now_ms, link)

    def __len__(self) -> int:
        return len(self._cases)

    @property
    def going(self) -> list[Case]:
        """Those that are not over."""
        return list(self._going.values())

    @property
    def stirred(self) -> bool:
        """Whether something has changed that is not in the books."""
        return bool(self._changed) or any(case.touched for case in self._cases.values())

    def case(self, name: str) -> Case | None:
        """A campaign, where it is known."""
        return self._cases.get(name)

    def next_at(self) -> int | None:
        """When something is due next, as far as time alone decides, milliseconds."""
        due = [at for at in (self._conductor.next_at(), self._timers[0][0] if self._timers else None) if at is not None]
        return min(due, default=None)

    def restore(self, records: Iterable[Record]) -> None:
        """Take over what the books say: the latest record of each key."""
        campaigns: dict[str, Campaign] = {}
        meters: dict[str, list[CampaignMeters]] = {}
        progress: dict[str, list[CampaignProgress]] = {}
        for record in records:
            if isinstance(record, Campaign):
                campaigns[record.id] = record
            elif isinstance(record, CampaignMeters):
                meters.setdefault(record.id, []).append(record)
            elif isinstance(record, CampaignProgress):
                progress.setdefault(record.id, []).append(record)
            elif isinstance(record, CampaignBudget):
                self._budgets.restore(record)
        now = self._clock.now_ms()
        for name in sorted(campaigns.keys() & meters.keys() & progress.keys()):
            record = campaigns[name]
            asked = replace(recall(self._around, record.request), expires=record.expires)
            slices = sorted(meters[name], key=lambda part: part.number)
            states = sorted(progress[name], key=lambda part: part.number)
            case = Case.restored(asked, terms_of(asked.request.parameters), record, slices, states)
            self._cases[name] = case
            if not case.over:
                self._going[name] = case
                self._conductor.add(case, now)
            self._set_timers(case)

    def tick(self) -> None:
        """What time does. To be called often; most calls do little."""
        now = self._clock.now_ms()
        self._ring(now)
        for case in list(self._going.values()):
            self._look(case, now)
        if now - self._proved_at >= _PROVE_MS:
            self._proved_at = now
            for case in list(self._going.values()):
                self._prove(case, now)
        self._conductor.turn(now)
        if now - self._swept_at >= _SWEEP_MS:
            self._swept_at = now
            self._forget(now)

    def write_books(self, positions: dict[str, int]) -> None:
        """Put everything that was touched on paper, and the ledger. Last, before paper is taken."""
        now = self._clock.now_ms()
        for case in self._cases.values():
            for number in sorted(case.touched):
                self.paper.put(CAMPAIGNS, f"progress/{case.id}/{number}", case.as_progress(number, now))
            case.touched.clear()
        for name, case in list(self._changed.items()):
            self.paper.put(CAMPAIGNS, f"campaign/{name}", case.as_record())
            case.untold = False
            self._told_at[name] = now
        self._changed.clear()
        for budget in self._budgets.take_touched(now):
            self.paper.put(CAMPAIGNS, f"budget/{budget.network}/{budget.segment}", budget)
        link = self.paper.link
        self.paper.put(CAMPAIGNS, "ledger", CampaignLedger(positions, link.sequence, link.hash, now))

    # Steps.

    def _turn(self, case: Case, what: Turn, why: Why) -> bool:
        """Take a campaign's step, say so, and do what follows. False where the table has none: nothing has changed then."""
        after = turn(case.state, what)
        if after is None:
            return False
        # Never back, whatever the clock of a worker that took over: by this time jobs are told from those that were stopped.
        now = self._clock.now_ms()
        at = max(now, case.updated_at + (after in STOPS))
        case.state, case.code, case.detail, case.updated_at = after, why.code, why.detail, at
        if after in OVER:
            case.ended_at = now
            self._going.pop(case.id, None)
            self._conductor.drop(case)
        else:
            self._going[case.id] = case
        self._changed[case.id] = case
        self.paper.stand(case, why)
        if after in SENDS:
            self._conductor.wake(case, now)
        elif after in STOPS:
            stop = CampaignStop(case.id, at, after in OVER, why.code, why.detail, self._around.environment)
            self.paper.put(TOPIC, case.id, stop)
        return True

    def _move(self, case: Case, index: int, event: Event, at: int, code: str = "") -> Meter | None:
        """Take a meter's step; `at` in milliseconds, of what it is due or came to be."""
        names = len(case.code_names)
        after = case.move(index, event, at // 1000, code)
        if len(case.code_names) != names:
            self._changed[case.id] = case
        return after

    def _send(self, case: Case, index: int, slot: Slot) -> int | None:
        """See `conductor.Send`."""
        now = self._clock.now_ms()
        try:
            self._check(case, index, slot.start)
        except RefusedError as error:
            if error.refusal.code not in _FOR_ALL:
                self._move(case, index, Event.LEFT, now, error.refusal.code)
                return 0
            return now + _REST_MS
        case.attempts[index] += 1
        self._move(case, index, Event.ISSUED, slot.start)
        # After the last stop, by which gateways know it from jobs that are void.
        issued = max(now, case.updated_at + 1)
        self.paper.put(BULK, case.meters[index], transfer_job(case, index, slot.start, slot.deadline, issued))
        self._time(case, index, slot.deadline + round(self._settings.answer_grace_s * 1000))
        if case.began_at is None:
            case.began_at = slot.start
            self._changed[case.id] = case
        return None

    def _check(self, case: Case, index: int, at: int) -> None:
        """`RefusedError` where a meter may not be sent the image now, whoever approved it."""
        meter_id = case.meters[index]
        place = self._fleet.get(meter_id)
        if place is None or not place.lives:
            raise RefusedError("target-unknown", f"meter {meter_id} is not in service any more")
        if case.attempts[index] >= _MOST_ATTEMPTS:
            raise RefusedError(TRIED, f"meter {meter_id} had {_MOST_ATTEMPTS} jobs of this campaign")
        check_allowed(self._around, case.asked, (place,), at)
        if case.meter(index) is Meter.WAITING:
            kind = self._fleet.kind(meter_id)
            if kind.firmware and kind.firmware == case.terms.version:
                raise RefusedError("meter-current", f"meter {meter_id} reports the version already")

    def end_job(self, case: Case, index: int, event: Event, at: int, code: str) -> bool:
        """What a job came to; false where that changes nothing. `at` is when the gateway was done with it."""
        now = self._clock.now_ms()
        if event is Event.MISSED:
            case.failures[index] = min(255, case.failures[index] + 1)
            if case.failures[index] > case.terms.retries:
                event, code = Event.GIVEN_UP, code or TRIED
        if event in (Event.MISSED, Event.HELD, Event.CUT) and case.attempts[index] >= _MOST_ATTEMPTS:
            event, code = Event.GIVEN_UP, code or TRIED
        due = {
            Event.MISSED: now + case.terms.retry_after_ms,
            Event.HELD: now + _HELD_MS,
            Event.CUT: now + _CUT_MS,
        }.get(event, now)
        if code == HALTED:
            due = now  # nothing is sent before somebody resumes it
        after = self._move(case, index, event, due, code)
        if after is None:
            return False
        if event in (Event.INSTALLED, Event.VERIFIED):
            case.failures[index], case.shares[index] = 0, 100
        if after is Meter.QUIET:
            self._time(case, index, self._next_ping(case, index))
        self._conductor.ended(case, index, at, now)
        return True

    # Time.

    def _look(self, case: Case, now: int) -> None:
        """What time and counts do to a campaign."""
        if case.state is CampaignState.DRAFT:
            if now >= min(case.asked.request.requested_at + self._around.policy.decide_ms, case.expires):
                lapsed = Why(code="decision-missing", detail="nobody decided in time; ask for it again")
                self._turn(case, Turn.REFUSED, lapsed)
            return
        if now >= case.expires:
            late = f"its time is over: {case.summary()}; ask anew for the rest"
            self._turn(case, Turn.HALTED, Why(code="request-expired", detail=late))
            return
        if case.state is CampaignState.APPROVED and now >= (case.asked.request.not_before or 0):
            self._turn(case, Turn.WENT_ON if case.wave else Turn.BEGUN, Why(detail=case.summary()))
        if case.unjudged or case.wave_done_at is not None:
            case.unjudged = False
            self._weigh(case, now)
        if case.untold and now - self._told_at.get(case.id, 0) >= _TELL_MS:
            self._changed[case.id] = case
        self._activate(case, now)

    def _weigh(self, case: Case, now: int) -> None:
        """Halt it, or let the next wave in."""
        found = halting(case)
        if found is not None:
            self._turn(case, Turn.HALTED, Why(code=found[0], detail=found[1]))
            return
        if case.wave_done_at is None and complete(case):
            case.wave_done_at = now
            self._changed[case.id] = case
        if case.wave_done_at is None or now < case.wave_done_at + case.terms.soak_ms or case.state not in SENDS:
            return
        if case.state is CampaignState.CANARY and proven(case) is Verdict.OPEN:
            open_ = Why(code="canary-undecided", detail=f"{case.summary()}: look at them, then resume or halt it")
            self._turn(case, Turn.PAUSED, open_)
        elif finished(case) and not self._waits(case):
            self._turn(case, Turn.FINISHED, Why(code=left_over(case), detail=case.summary()))
        elif case.wave < case.last_wave:
            self.open_wave(case, now)

    def open_wave(self, case: Case, now: int) -> None:
        """Let the next wave in that has any meters."""
        case.wave, case.wave_done_at, case.unjudged = case.wave + 1, None, True
        while case.wave < case.last_wave and not case.tallies[case.wave].total():
            case.wave += 1
        self._changed[case.id] = case
        why = Why(detail=f"wave {case.wave} of {case.last_wave} opens; so far {case.summary()}")
        if case.state is CampaignState.CANARY:
            self._turn(case, Turn.PROVEN, why)
        else:
            self.paper.note(case, "campaign-wave", why)
        if case.activating:
            self._conductor.add(case, now)
        self._conductor.wake(case, now)

    def _waits(self, case: Case) -> bool:
        """Whether activation has a time that has not come."""
        return case.terms.installs and case.terms.activate_at is not None and not case.activating

    def _activate(self, case: Case, now: int) -> None:
        """The time of activation has come: the canary goes first once more."""
        if case.state not in SENDS or not self._waits(case) or now < (case.terms.activate_at or 0):
            return
        case.activating, case.wave, case.wave_done_at, case.unjudged = True, 0, None, True
        self._turn(case, Turn.ANEW, Why(detail=f"the time of activation has come; so far {case.summary()}"))
        self._conductor.add(case, now)

    def _prove(self, case: Case, now: int) -> None:
        """Pause a campaign that is not proven any more: a key was revoked, the image's manifest was replaced."""
        if case.state not in SENDS:
            return
        try:
            sound_manifest(self._images, case.terms)
        except RefusedError as error:
            refusal: Refusal | None = error.refusal
        else:
            refusal = self._refused(case, now)
        if refusal is not None and refusal.code not in _FOR_ALL:
            self._turn(case, Turn.PAUSED, Why(SELF, refusal.code, refusal.detail, digest(case.asked.value)))

    def _refused(self, case: Case, now: int) -> Refusal | None:
        try:
            asked = examine(self._around, case.asked.value, now)
            found = judge(self._around, asked, case.decisions, self.scope(case), now)
        except RefusedError as error:
            return error.refusal
        if isinstance(found, Pending):
            return Refusal("decision-missing", "the decisions are not enough any more; ask for it again")
        return None

    def scope(self, case: Case) -> Scope:
        """One meter that stands for all of them: that decisions name all is compared with `Case.name`."""
        for index, meter_id in enumerate(case.meters):
            place = self._fleet.get(meter_id)
            if place is not None and place.lives:
                return Scope((place,), whole=False, proof=case.proof(index))
        raise RefusedError("target-empty", "no meter of the campaign is in service any more")

    def _time(self, case: Case, index: int, at: int) -> None:
        heapq.heappush(self._timers, (at, case.id, index, case.attempts[index]))

    def _ring(self, now: int) -> None:
        """Jobs without a result, and meters that are silent."""
        while self._timers and self._timers[0][0] <= now:
            at, name, index, attempts = heapq.heappop(self._timers)
            case = self._cases.get(name)
            if case is None or case.attempts[index] != attempts:
                continue
            if case.meter(index) in OUT:
                self.end_job(case, index, Event.HELD, now, "job-unanswered")
            elif case.meter(index) is Meter.QUIET and at == self._next_ping(case, index):
                self._ping(case, index, now)

    def _ping(self, case: Case, index: int, now: int) -> None:
        since = case.times[index] * 1000
        if now >= since + case.terms.silent_after_ms:
            self._move(case, index, Event.GIVEN_UP, now, SILENT)
            return
        # The number of the ping is that of its time: what was missed meanwhile is not made up for.
        case.reads[index] = min(254, (now - since) // round(self._settings.ping_every_s * 1000))
        case.touch(index)
        self.paper.put(URGENT, case.meters[index], ping_job(case, index, case.reads[index], now))
        self._time(case, index, self._next_ping(case, index))

    def _next_ping(self, case: Case, index: int) -> int:
        every = round(self._settings.ping_every_s * 1000)
        return case.times[index] * 1000 + every * (case.reads[index] + 1)

    def _set_timers(self, case: Case) -> None:
        """Of what is open in the books."""
        grace = round(self._settings.answer_grace_s * 1000)
        for index in range(len(case.meters)):
            meter = case.meter(index)
            if meter in OUT:
                self._time(case, index, self._conductor.window(case, index, case.times[index] * 1000).end + grace)
            elif meter is Meter.QUIET:
                self._time(case, index, self._next_ping(case, index))

    def _forget(self, now: int) -> None:
        keep = max(round(self._settings.keep_s * 1000), self._around.policy.fresh_ms + 2 * self._around.policy.skew_ms)
        for case in list(self._cases.values()):
            if case.over and now - case.updated_at >= keep:
                del self._cases[case.id]
                self._changed.pop(case.id, None)
                self.paper.put(CAMPAIGNS, f"campaign/{case.id}", None)
                for number in range(len(case.firsts)):
                    self.paper.put(CAMPAIGNS, f"meters/{case.id}/{number}", None)
                    self.paper.put(CAMPAIGNS, f"progress/{case.id}/{number}", None)
