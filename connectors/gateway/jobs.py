"""Jobs in hand: which meter is due next, and in which order its jobs are done. Pure, times are passed in.

    add ─▶ later (not before …) ─▶ waiting, per meter ─▶ take ─▶ under way ─▶ done
              ▲                                                     └─ retry after a pause ─┘

Meters are picked by their best job: the urgent lane before the bulk lane, then by priority, then first come first
served. A meter has one session at a time, and after a failed one it rests.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count

from connectors.gateway.intake import Ticket
from schemas.records import Job, Priority
from streams.runtime.offsets import Partition

_PRIORITIES = {
    Priority.ON_DEMAND: 0,
    Priority.FOLLOW_UP: 1,
    Priority.SCHEDULED: 2,
    Priority.UNKNOWN: 2,
    Priority.FIRMWARE: 3,
}
Rank = tuple[int, int]
"""Lane (0 urgent, 1 bulk) and priority; lower is first."""


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
    """Expired or dropped: not to be started any more."""

    @property
    def job(self) -> Job:
        """The job itself."""
        return self.ticket.job

    @property
    def rank(self) -> Rank:
        """Where it stands among others."""
        return (0 if self.ticket.urgent else 1), _PRIORITIES[self.job.priority]


@dataclass(slots=True, eq=False)
class _Queue:
    """The jobs of one meter."""

    meter_id: str
    waiting: list[tuple[Rank, int, Task]] = field(default_factory=list)
    busy: bool = False
    rests_until: int = 0


class Jobs:
    """All jobs that are not under way."""

    def __init__(self) -> None:
        self._queues: dict[str, _Queue] = {}
        self._ready: list[tuple[Rank, int, str]] = []
        self._later: list[tuple[int, int, Task | None, str]] = []
        self._expiring: list[tuple[int, int, Task]] = []
        self._order = count()

    def add(self, task: Task, now_ms: int, *, not_before: int = 0) -> None:
        """Put a job in its place; again, where it is to be retried."""
        due = max(task.job.not_before or 0, not_before)
        task.under_way = False
        if not task.tries and not task.looks:
            heappush(self._expiring, (task.expires_at, next(self._order), task))
        if due > now_ms:
            heappush(self._later, (due, next(self._order), task, task.job.meter_id))
        else:
            self._wait(task, now_ms)

    def next_meter(self, now_ms: int, *, bulk: bool) -> str | None:
        """The meter whose session is to be opened next, which is busy from now on; `bulk=False` leaves bulk jobs alone."""
        self._wake(now_ms)
        while self._ready:
            rank, _, meter_id = self._ready[0]
            queue = self._queues.get(meter_id)
            best = None if queue is None or queue.busy or queue.rests_until > now_ms else self._best(queue)
            if best == rank and rank[0] and not bulk:
                return None
            heappop(self._ready)
            if queue is None or best is None:
                continue  # it is busy or rests: it is offered again after that
            if best == rank:
                queue.busy = True
                return meter_id
            self._offer(queue, now_ms)  # what it was offered for is done or dropped
        return None

    def take(self, meter_id: str) -> Task | None:
        """The next job of a meter that is busy; None where no more of its jobs are due."""
        queue = self._queues.get(meter_id)
        if queue is None or self._best(queue) is None:
            return None
        task = heappop(queue.waiting)[2]
        task.under_way = True
        return task

    def rest(self, meter_id: str, now_ms: int, until: int = 0) -> None:
        """The meter's session has ended; it is not called again before `until`."""
        queue = self._queues.get(meter_id)
        if queue is None:
            return
        queue.busy = False
        queue.rests_until = until
        self._offer(queue, now_ms)

    def expired(self, now_ms: int) -> list[Task]:
        """Jobs whose time is over and that are not under way; they are out of the queues."""
        gone = []
        while self._expiring and self._expiring[0][0] <= now_ms:
            task = heappop(self._expiring)[2]
            if not task.closed and not task.under_way:
                task.closed = True
                gone.append(task)
        return gone

    def drop(self, partitions: set[Partition]) -> None:
        """Forget what came from partitions that another worker owns now."""
        for queue in self._queues.values():
            for _, _, task in queue.waiting:
                task.closed = task.closed or task.ticket.partition in partitions
        for _, _, later, _ in self._later:
            if later is not None and later.ticket.partition in partitions:
                later.closed = True

    def _wake(self, now_ms: int) -> None:
        while self._later and self._later[0][0] <= now_ms:
            _, _, task, meter_id = heappop(self._later)
            if task is not None and not task.closed:
                self._wait(task, now_ms)
            elif task is None and (queue := self._queues.get(meter_id)) is not None:
                self._offer(queue, now_ms)

    def _wait(self, task: Task, now_ms: int) -> None:
        queue = self._queues.setdefault(task.job.meter_id, _Queue(task.job.meter_id))
        heappush(queue.waiting, (task.rank, next(self._order), task))
        if not queue.busy and queue.waiting[0][2] is task:
            self._offer(queue, now_ms)

    def _offer(self, queue: _Queue, now_ms: int) -> None:
        best = self._best(queue)
        if best is None:
            if not queue.busy and queue.rests_until <= now_ms:
                self._queues.pop(queue.meter_id, None)
            elif not queue.busy:
                heappush(self._later, (queue.rests_until, next(self._order), None, queue.meter_id))
        elif queue.rests_until > now_ms:
            heappush(self._later, (queue.rests_until, next(self._order), None, queue.meter_id))
        else:
            heappush(self._ready, (best, next(self._order), queue.meter_id))

    def _best(self, queue: _Queue) -> Rank | None:
        while queue.waiting and queue.waiting[0][2].closed:
            heappop(queue.waiting)
        return queue.waiting[0][0] if queue.waiting else None
