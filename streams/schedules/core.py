"""What is to be written next: ticks, plans, jobs. Pure: time, schedules, meters and what Kafka has are handed in.

`step` says what to write, all or nothing; only when that is written does `Work.done` change what is known here. So a write
that failed is decided again, and a process that died in between left nothing half done.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from schemas.records import PlanSlice, Record, Schedule, Tick
from streams.runtime import metrics
from streams.runtime.meters import MeterDirectory
from streams.runtime.settings import Schedules
from streams.schedules.due import due, next_due
from streams.schedules.jobs import jobs_of
from streams.schedules.plan import Rate, members, plan, plan_late
from streams.schedules.rules import RANGES
from streams.schedules.sending import Event, Sending, Start

TICKS, PLANS, JOBS = "hes.ticks", "hes.plans", "hes.jobs.bulk"
Output = tuple[str, str, Record | None]
"""Topic, key and record; None is a tombstone."""


@dataclass(frozen=True, slots=True)
class Work:
    """What is to be written at once, or not at all."""

    what: str
    """For the log: tick-planned, late-planned, slice-sent, plan-dropped."""
    records: Callable[[], Iterator[Output]]
    done: Callable[[], None]
    note: dict[str, object] = field(default_factory=dict)


class Core:
    """All schedules of a system. Not for several threads at once."""

    def __init__(self, directory: MeterDirectory, rate: Rate, settings: Schedules) -> None:
        self._directory = directory
        self._rate = rate
        self._settings = settings
        self._schedules: dict[str, Schedule] = {}
        self._last: dict[str, Tick] = {}
        self._next: dict[str, int | None] = {}
        self._open: dict[str, Tick] = {}
        self._planned: dict[str, set[str]] = {}
        self._late_at = 0
        self._late: set[str] = set()
        self._changed = False
        self.sending = Sending()

    def follow(self, schedule_id: str, schedule: Schedule | None) -> None:
        """A schedule as it is now; None where it was removed. Its open windows go on as they were planned, unless it was
        removed or disabled: then what is not sent yet never is.
        """
        self._changed = True
        self._next.pop(schedule_id, None)
        if schedule is None:
            self._schedules.pop(schedule_id, None)
        else:
            self._schedules[schedule_id] = schedule

    def recover_tick(self, tick: Tick) -> None:
        """A tick that was taken before; an older one than is known changes nothing."""
        last = self._last.get(tick.schedule.id)
        if last is None or tick.at > last.at:
            self._last[tick.schedule.id] = tick
            self._next.pop(tick.schedule.id, None)
            self._open[tick.id] = tick

    def recover_slice(self, slice_id: str, piece: PlanSlice | None) -> None:
        """A slice that was planned before; None where it was sent or dropped."""
        if piece is None:
            self.sending.forget(slice_id)
        elif self.sending.happen(Event.PLAN, piece):
            self._planned.setdefault(piece.tick_id, set()).update(piece.meters)

    def step(self, now: int) -> Work | None:
        """What is to be written now; None where nothing is."""
        return self._drop() or self._tick(now) or self._join(now) or self._send(now)

    def next_ticks(self, now: int) -> dict[str, int | None]:
        """When each schedule is due next."""
        return {name: next_due(each, self._last.get(name), now) for name, each in self._schedules.items()}

    def observe(self, now: int) -> None:
        """Set the gauges."""
        metrics.PLANNED.set(sum(len(piece.meters) for piece in self.sending.pending()))
        metrics.PLAN_LAG.set(self.sending.lag_ms(now) / 1_000)

    def _drop(self) -> Work | None:
        """Slices whose schedule is gone or disabled."""
        if not self._changed:
            return None
        gone = [piece for piece in self.sending.pending() if not self._enabled(piece)]
        self._changed = bool(gone)
        return self._dropping(gone, "schedule-ended") if gone else None

    def _dropping(self, pieces: list[PlanSlice], reason: str) -> Work:
        def done() -> None:
            for piece in pieces:
                self.sending.happen(Event.DROP, piece)
            metrics.JOBS_DROPPED.labels(reason).inc(meters)

        meters = sum(len(piece.meters) for piece in pieces)
        note: dict[str, object] = {"schedule": pieces[0].schedule.id, "jobs": meters, "reason": reason}
        return Work("plan-dropped", lambda: iter([(PLANS, piece.id, None) for piece in pieces]), done, note)

    def _tick(self, now: int) -> Work | None:
        for name, schedule in self._schedules.items():
            last = self._last.get(name)
            if name not in self._next:
                # From the last tick on, so that what was missed is seen as due.
                begun = schedule.active_from or schedule.updated_at
                self._next[name] = next_due(schedule, last, max(begun, 0 if last is None else last.at))
            at = self._next[name]
            if at is None or at > now:
                continue
            found = due(schedule, last, now, round(self._settings.catch_up_s * 1_000))
            if found is None:
                self._next[name] = next_due(schedule, last, now)
                continue
            following = next_due(schedule, last, max(now, found.at))
            made = plan(schedule, found, self._directory, self._rate, self._settings, now=now, next_at=following)
            tick = made.tick

            def records(tick: Tick = tick, slices: tuple[PlanSlice, ...] = made.slices) -> Iterator[Output]:
                yield TICKS, tick.schedule.id, tick
                for piece in slices:
                    yield PLANS, piece.id, piece

            def done(tick: Tick = tick, slices: tuple[PlanSlice, ...] = made.slices) -> None:
                self.recover_tick(tick)
                for piece in slices:
                    self.recover_slice(piece.id, piece)
                self._planned.setdefault(tick.id, set())
                metrics.TICKS.labels(tick.schedule.id).inc()
                metrics.TICKS_MISSED.labels(tick.schedule.id).inc(tick.missed)
                metrics.JOBS_DROPPED.labels("segment-full").inc(tick.unplaced)

            note: dict[str, object] = {
                "schedule": name,
                "at": tick.at,
                "since": tick.since,
                "meters": tick.meters,
                "unplaced": tick.unplaced,
                "missed": tick.missed,
                "forgotten": found.forgotten,
                "slices": tick.slices,
            }
            return Work("tick-planned", records, done, note)
        return None

    def _join(self, now: int) -> Work | None:
        """Meters that came in while a window was open, into what is left of it."""
        if now >= self._late_at:
            self._late_at = now + round(self._settings.late_every_s * 1_000)
            self._late |= self._directory.take_changed()
            self._open = {name: tick for name, tick in self._open.items() if tick.closes_at > now}
            self._planned = {name: ids for name, ids in self._planned.items() if name in self._open}
        if not self._late:
            return None
        for tick in self._open.values():
            current = self._schedules.get(tick.schedule.id)
            if current is None or not current.enabled:
                continue
            known = self._planned.setdefault(tick.id, set())
            found = sorted(self._late.intersection(members(self._directory, tick.schedule.target)) - known)
            if found:
                return self._joining(tick, found, now)
        self._late = set()
        return None

    def _joining(self, tick: Tick, found: list[str], now: int) -> Work:
        number = tick.slices + now // 1_000
        slices = plan_late(tick, found, self._directory, self._rate, self._settings, now=now, number=number)

        def done() -> None:
            self._planned[tick.id].update(found)  # also those without a place: they are not looked at again
            for piece in slices:
                self.recover_slice(piece.id, piece)

        records = [(PLANS, piece.id, piece) for piece in slices]
        return Work("late-planned", lambda: iter(records), done, {"schedule": tick.schedule.id, "meters": len(found)})

    def _send(self, now: int) -> Work | None:
        start = self.sending.due(now, round(self._settings.ahead_s * 1_000))
        if start is None:
            return None
        piece = start.piece
        if start.at > piece.closes_at + self._bears_ms(piece):
            late = [each for each in self.sending.pending() if each.tick_id == piece.tick_id]
            return self._dropping(late, "too-late")
        retired = {name for name in piece.meters if not self._lives(name)}

        def records() -> Iterator[Output]:
            for job in jobs_of(piece, starts_at=start.at, haste=start.haste, now=now):
                if job.meter_id not in retired:
                    yield JOBS, job.meter_id, job
            yield PLANS, piece.id, None

        return Work("slice-sent", records, lambda: self._was_sent(start, len(retired)), _sent_note(start))

    def _was_sent(self, start: Start, retired: int) -> None:
        self.sending.sent(start)
        metrics.JOBS_SENT.labels(start.piece.schedule.id).inc(len(start.piece.meters) - retired)
        metrics.JOBS_DROPPED.labels("meter-retired").inc(retired)

    def _bears_ms(self, piece: PlanSlice) -> int:
        """How long behind its window a slice is worth sending: what is read in ranges is still there, a register's value of
        then is not. Segments that need longer than the window were planned behind it.
        """
        if piece.schedule.operation in RANGES:
            return round(self._settings.catch_up_s * 1_000)
        return piece.schedule.window_s * 1_000 + max(0, piece.first_at - piece.closes_at)

    def _enabled(self, piece: PlanSlice) -> bool:
        schedule = self._schedules.get(piece.schedule.id)
        return schedule is not None and schedule.enabled

    def _lives(self, meter_id: str) -> bool:
        known = self._directory.get(meter_id)
        return known is not None and known.lives


def _sent_note(start: Start) -> dict[str, object]:
    piece = start.piece
    late = max(0, start.at - piece.first_at) // 1_000
    return {"schedule": piece.schedule.id, "number": piece.number, "jobs": len(piece.meters), "late_s": late}
