"""Jobs in hand: which meter is visited next, and in which order its jobs are done. Pure, times are passed in.

    add ─▶ later (not before …) ─▶ waiting, per meter ─▶ take ─▶ under way ─▶ done
              ▲                                                     └─ retry after a pause, a level lower ─┘

Meters wait in their segment (`segments`), by their best job: on demand, follow-up, scheduled, firmware, a level lower for
each try that failed; then first come, first served. Segments take turns within a lane, and what is urgent goes first. A
turn costs a segment more the less its job matters, so that each has its share of the sessions, and a segment with ten
thousand jobs, or one that may not be pressed just now, holds up nobody else. A meter has one session at a time, rests
after a failed one, and may be parked until it dials in.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from itertools import count
from math import inf

from connectors.gateway.deeds import Deed
from connectors.gateway.errors import JobError
from connectors.gateway.intake import Ticket
from connectors.gateway.segments import BULK, DOUBTED, URGENT, Ready, Segment
from schemas.records import Job, Priority
from streams.runtime.offsets import Partition

_LEVELS = {
    Priority.ON_DEMAND: 0,
    Priority.FOLLOW_UP: 1,
    Priority.SCHEDULED: 2,
    Priority.UNKNOWN: 2,
    Priority.FIRMWARE: 3,
}
_LOWEST = 3
_COSTS = (1.0, 1.0, 2.0, 8.0)
"""Of a turn, by level."""
_FEW = 1_000
Rank = tuple[int, int]
"""Lane and level; lower is first."""


@dataclass(slots=True, eq=False)
class Task:
    """A job in hand."""

    ticket: Ticket
    taken_at: int
    expires_at: int
    """Milliseconds; the job's deadline, or when job_timeout_s is over."""
    tries: int = 0
    """Connections tried for it."""
    looks: int = 0
    """How often its meter was looked for in vain."""
    under_way: bool = False
    closed: bool = False
    """Done, expired or dropped: not to be started any more."""
    timed: bool = False
    """Among those whose time is watched."""
    why: str = ""
    """What it waited for when it expired, where it was not just its turn that did not come."""
    capped: JobError | None = None
    """Why it was put back last, where a cap held it up: then that is what it ends by, and not that its time is over."""
    lost: bool = False
    """Under way while its partition went to another worker."""
    deed: Deed | None = None
    """Of a job that moves a relay or changes a meter, once it is admitted."""
    looking: bool = False
    """Whether it has been given time of its own to find out what came of a command."""
    unframed: int = 0
    """Tries whose frames Kafka does not have yet: its offset waits for them."""

    @property
    def job(self) -> Job:
        """The job itself."""
        return self.ticket.job

    @property
    def rank(self) -> Rank:
        """Where it stands among others: what was tried in vain is urgent no more, and falls with each try."""
        lane = URGENT if self.ticket.urgent and not self.tries else BULK
        return lane, min(_LEVELS[self.job.priority] + self.tries, _LOWEST)


@dataclass(frozen=True, slots=True)
class Grant:
    """Leave to visit a meter; to be given back with `Jobs.rest` or `Jobs.cancel`."""

    meter_id: str
    segment: Segment
    probe: bool
    """Whether it is the session by which the segment's breaker tries."""
    urgent: bool = False


@dataclass(slots=True, eq=False)
class _Queue:
    """The jobs of one meter."""

    meter_id: str
    segment: Segment
    waiting: list[tuple[Rank, int, Task]] = field(default_factory=list)
    later: int = 0
    """How many of them wait for their time."""
    busy: bool = False
    parked: bool = False
    rests_until: int = 0


_Later = tuple[float, int, Task | _Queue | tuple[Segment, int]]
"""When, order, and what is due then: a job, a meter, a segment's lane."""


class Jobs:
    """All jobs that are not under way."""

    def __init__(self) -> None:
        self._queues: dict[str, _Queue] = {}
        self._turns: tuple[list[tuple[float, int, Segment]], list[tuple[float, int, Segment]]] = ([], [])
        self._past = [0.0, 0.0]
        """Per lane, where the turns have come to: who was away starts here, and has saved nothing up."""
        self._later: list[_Later] = []
        self._expiring: list[tuple[int, int, Task]] = []
        self._order = count()
        self._done = 0

    def __len__(self) -> int:
        return len(self._expiring) - self._done

    def add(self, task: Task, now_ms: int, segment: Segment, *, not_before: int = 0) -> None:
        """Put a job in its place; again, where it is to be retried."""
        due = max(task.job.not_before or 0, not_before)
        task.under_way = False
        if not task.timed:
            task.timed = True
            heappush(self._expiring, (task.expires_at, next(self._order), task))
        queue = self._queues.get(task.job.meter_id)
        if queue is None:
            queue = self._queues[task.job.meter_id] = _Queue(task.job.meter_id, segment)
        elif not queue.busy:
            queue.segment = segment
        if due > now_ms:
            queue.later += 1
            heappush(self._later, (due, next(self._order), task))
        else:
            self._wait(queue, task, now_ms)

    def next_grant(self, now_ms: int, *, urgent: bool = True, bulk: bool = True) -> Grant | None:
        """The meter whose session is to be opened next, which is busy from now on; None where none may be visited now."""
        self._wake(now_ms)
        found = self._pick(URGENT, now_ms) if urgent else None
        return found or (self._pick(BULK, now_ms) if bulk else None)

    def waits(self, meter_id: str, above: Rank) -> bool:
        """Whether a meter has a job that goes before `above`."""
        queue = self._queues.get(meter_id)
        best = None if queue is None else self._best(queue)
        return best is not None and best < above

    def take(self, meter_id: str, above: Rank | None = None) -> Task | None:
        """The next job of a meter that is busy; None where no more of its jobs are due, or go before `above`."""
        queue = self._queues.get(meter_id)
        best = None if queue is None else self._best(queue)
        if queue is None or best is None or (above is not None and best >= above):
            return None
        task = heappop(queue.waiting)[2]
        task.under_way = True
        return task

    def rest(self, grant: Grant, now_ms: int, until: int = 0) -> None:
        """The session that was granted has ended; the meter is not called again before `until`. What it tells of the segment
        (`Segment.told`) is told before.
        """
        grant.segment.end(grant.meter_id)
        queue = self._queues.get(grant.meter_id)
        if queue is not None:
            queue.busy = False
            queue.rests_until = until
            self._offer(queue, now_ms)
        self._free(grant.segment)

    def hears(self, grant: Grant, silent_s: float) -> None:
        """Since when the session that was granted has heard nothing from the meter, 0 once it has: see `segments`."""
        segment, patience = grant.segment, grant.segment.pace.silent_s
        if grant.meter_id in segment.silent:
            if not silent_s:
                segment.speech(grant.meter_id)
        elif patience and silent_s >= patience:
            segment.silence(grant.meter_id)
            self._free(segment)

    def park(self, meter_id: str) -> None:
        """Keep a meter's jobs until `unpark`, or until they expire."""
        if (queue := self._queues.get(meter_id)) is not None:
            queue.parked = True

    def unpark(self, meter_id: str, now_ms: int) -> None:
        """The meter can be visited (again)."""
        queue = self._queues.get(meter_id)
        if queue is not None and queue.parked:
            queue.parked = False
            queue.rests_until = 0
            self._offer(queue, now_ms)

    def done(self, task: Task) -> None:
        """A job has come to its end: forget it."""
        if task.closed or not task.timed:
            task.closed = True
            return
        task.closed = True
        self._done += 1
        if self._done > _FEW and self._done * 2 > len(self._expiring):
            self._sweep()

    def expired(self, now_ms: int) -> list[Task]:
        """Jobs whose time is over and that are not under way; they are out of the queues."""
        gone = []
        while self._expiring and self._expiring[0][0] <= now_ms:
            task = heappop(self._expiring)[2]
            task.timed = False
            if task.closed:
                self._done -= 1
            elif task.expires_at > now_ms:  # it was given more time
                task.timed = True
                heappush(self._expiring, (task.expires_at, next(self._order), task))
            elif not task.under_way:
                task.closed = True
                task.why = self._held_up(task)
                gone.append(task)
                self._discard(self._queues.get(task.job.meter_id))
        return gone

    def drop(self, partitions: set[Partition]) -> None:
        """Forget what came from partitions that another worker owns now. What is under way is its visit's."""
        for _, _, task in self._expiring:
            if task.ticket.partition in partitions and not task.under_way:
                task.closed = True
        self._sweep()
        for queue in list(self._queues.values()):
            queue.waiting = [item for item in queue.waiting if not item[2].closed]
            heapify(queue.waiting)
            self._discard(queue)

    def _held_up(self, task: Task) -> str:
        queue = self._queues.get(task.job.meter_id)
        if queue is not None and queue.parked:
            return "its meter did not dial in"
        if queue is not None and queue.segment.shut:
            return f"no meter of its segment {queue.segment.name} can be reached"
        return ""

    def _pick(self, lane: int, now: int) -> Grant | None:
        turns = self._turns[lane]
        while turns:
            turn, _, segment = turns[0]
            first = self._first(segment, lane, now)
            spare = first is not None and first[1] is segment.ready[DOUBTED] and not segment.ready[BULK]
            wait = segment.wait(now, lane, spare=spare) if first is not None else 0.0
            if first is None or wait:
                heappop(turns)
                segment.queued[lane] = False
                if wait:
                    self._block(segment, lane, wait)
                continue
            heappop(turns)
            queue, ready = first
            level = heappop(ready)[0]
            queue.busy = True
            probe = segment.begin(queue.meter_id)
            self._past[lane] = turn
            segment.turn[lane] = turn + _COSTS[level]
            segment.queued[lane] = False
            self._line_up(segment, lane)
            return Grant(queue.meter_id, segment, probe, lane == URGENT)
        return None

    def _first(self, segment: Segment, lane: int, now: int) -> tuple[_Queue, Ready] | None:
        """The meter that is due first in a lane of a segment, and where it waits; entries that do not hold any more are
        put right.
        """
        while ready := segment.waiting(lane):
            level, _, meter_id = ready[0]
            queue = self._queues.get(meter_id)
            best = None if queue is None or queue.busy or queue.parked or queue.rests_until > now else self._best(queue)
            if queue is not None and best == (lane, level) and queue.segment is segment:
                return queue, ready
            heappop(ready)
            if queue is not None and best is not None:
                self._offer(queue, now)  # what it was offered for is done or dropped
        return None

    def _free(self, segment: Segment) -> None:
        """There may be a place."""
        for lane in (URGENT, BULK):
            segment.blocked[lane] = 0.0
            self._line_up(segment, lane)

    def _block(self, segment: Segment, lane: int, until: float) -> None:
        if segment.blocked[lane] != until and until != inf:
            heappush(self._later, (until, next(self._order), (segment, lane)))
        segment.blocked[lane] = until

    def _line_up(self, segment: Segment, lane: int) -> None:
        if segment.waiting(lane) and not segment.queued[lane] and not segment.blocked[lane]:
            segment.turn[lane] = max(segment.turn[lane], self._past[lane])
            segment.queued[lane] = True
            heappush(self._turns[lane], (segment.turn[lane], next(self._order), segment))

    def _wake(self, now: int) -> None:
        while self._later and self._later[0][0] <= now:
            what = heappop(self._later)[2]
            if isinstance(what, Task):
                queue = self._queues[what.job.meter_id]
                queue.later -= 1
                if what.closed:
                    self._discard(queue)
                else:
                    self._wait(queue, what, now)
            elif isinstance(what, _Queue):
                self._offer(what, now)
            else:
                segment, lane = what
                segment.blocked[lane] = 0.0
                self._line_up(segment, lane)

    def _wait(self, queue: _Queue, task: Task, now: int) -> None:
        heappush(queue.waiting, (task.rank, next(self._order), task))
        if not queue.busy and queue.waiting[0][2] is task:
            self._offer(queue, now)

    def _offer(self, queue: _Queue, now: int) -> None:
        if queue.busy or queue.parked:
            return
        best = self._best(queue)
        if queue.rests_until > now:
            heappush(self._later, (queue.rests_until, next(self._order), queue))
        elif best is None:
            self._discard(queue)
        else:
            lane, level = best
            place = DOUBTED if lane == BULK and queue.meter_id in queue.segment.doubted else lane
            heappush(queue.segment.ready[place], (level, next(self._order), queue.meter_id))
            self._line_up(queue.segment, lane)

    def _best(self, queue: _Queue) -> Rank | None:
        while queue.waiting and queue.waiting[0][2].closed:
            heappop(queue.waiting)
        return queue.waiting[0][0] if queue.waiting else None

    def _discard(self, queue: _Queue | None) -> None:
        """Keep nothing of a meter that has no jobs."""
        if queue is not None and not queue.busy and not queue.later and self._best(queue) is None:
            self._queues.pop(queue.meter_id, None)

    def _sweep(self) -> None:
        """Let go of what is done."""
        self._expiring = [item for item in self._expiring if not item[2].closed]
        heapify(self._expiring)
        self._done = 0
        for item in self._later:
            if isinstance(item[2], Task) and item[2].closed:
                self._queues[item[2].job.meter_id].later -= 1
        self._later = [item for item in self._later if not (isinstance(item[2], Task) and item[2].closed)]
        heapify(self._later)
