"""Commands among a worker's jobs: admitted once it is known whether they were sent before, told once hes.intents has their
end. On the event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, Protocol

import structlog

from connectors.gateway.deeds import Commands
from connectors.gateway.drivers.port import Found
from connectors.gateway.errors import JobError
from connectors.gateway.jobs import Task
from connectors.gateway.outcomes import Conclusion
from connectors.gateway.results import outcome_of
from connectors.gateway.visit import Stages
from schemas.records import Meter, Outcome
from streams.runtime.clock import Clock
from streams.runtime.offsets import Partition

_AGAIN_MS = 1_000


class Host(Protocol):
    """What the worker does for its commands."""

    stopping: bool
    """Whether nothing new is begun any more."""

    def meter_of(self, task: Task) -> Meter | None:
        """The meter of a job, as far as it is known."""

    def admitted(self, task: Task, now_ms: int) -> None:
        """A command may be carried out."""

    def conclude(self, task: Task, error: JobError, now_ms: int) -> None:
        """A command ends without a visit."""

    def tell(self, ended: Sequence[Conclusion]) -> None:
        """How commands ended may be told."""

    def tell_forged(self, task: Task, error: JobError) -> None:
        """Somebody may have written a job who may not."""

    def let_go(self, task: Task) -> None:
        """Somebody else finds out what came of a command."""


class CommandsInHand:
    """Those that are not admitted yet, and those that have ended and are not settled."""

    def __init__(self, clock: Clock, commands: Commands | None, timeout_s: float, host: Host) -> None:
        self._clock = clock
        self._commands = commands
        self._usual_ms = round(timeout_s * 1000)
        self._host = host
        self._unadmitted: list[tuple[int, Task]] = []
        """Of which it is not known yet whether they were sent before, and when to ask (again)."""
        self._unsettled: list[tuple[int, Conclusion]] = []
        """Of whose end Kafka does not have the record, and when to write it again."""
        self.running: set[asyncio.Task[None]] = set()
        """What is under way, to be cancelled by whoever gives up."""
        self._log = structlog.get_logger("worker")

    @property
    def busy(self) -> bool:
        """Whether something is under way that must not be dropped."""
        return bool(self.running or self._unsettled)

    def take(self, task: Task, now_ms: int) -> None:
        """A command came; `admit_all` begins with it."""
        self._unadmitted.append((now_ms, task))

    def revoked(self, partitions: set[Partition]) -> None:
        """Other workers own these partitions now: what is not admitted yet is theirs."""
        for _, task in self._unadmitted:
            task.closed = task.closed or task.ticket.partition in partitions
        if self._commands is not None:
            self._commands.release({number for _, number in partitions})

    def tick(self, now_ms: int) -> None:
        """What time brings."""
        self.admit_all(now_ms)
        due, self._unsettled = self._unsettled, []
        for at, item in due:
            if at <= now_ms:
                self.settle(item)
            else:
                self._unsettled.append((at, item))

    def admit_all(self, now_ms: int) -> None:
        """Ask of commands whether they were sent before; they wait while nobody can tell."""
        commands = self._commands
        if not self._unadmitted or self._host.stopping or not (commands is None or commands.ready):
            return
        waiting, self._unadmitted = self._unadmitted, []
        for at, task in waiting:
            if task.closed:
                continue
            if commands is None:
                self._host.conclude(task, JobError("operation-unsupported", "this gateway gives no commands"), now_ms)
            elif at > now_ms:
                self._unadmitted.append((at, task))
            else:
                self._spawn(self._admit(commands, task))

    def settle(self, item: Conclusion) -> None:
        """Have hes.intents keep how a command ended, and tell it then; nobody is told what it does not have."""
        self._spawn(self._settle(item))

    def give_time(self, task: Task, now_ms: int) -> None:
        """Whatever deadline a command had: what came of it is to be found out."""
        if not task.looking:
            task.looking, task.tries = True, 0
            until = now_ms + self._usual_ms if task.deed is None else task.deed.time_ms(now_ms, self._usual_ms)
            task.expires_at = max(task.expires_at, until)

    async def _admit(self, commands: Commands, task: Task) -> None:
        """A command takes its place among the jobs, is told again how it ended, or is refused."""
        ticket = task.ticket
        try:
            deed = await commands.admit(task.job, ticket.partition, ticket.offset, ticket.message.value() or b"")
        except JobError as error:
            now = self._clock.now_ms()
            if error.retry:
                self._unadmitted.append((now + _AGAIN_MS, task))
            elif not task.closed:
                self._host.tell_forged(task, error)
                self._host.conclude(task, error, now)
            return
        except Exception:  # noqa: BLE001 - a bug: the command waits, and nobody says that it ended
            self._log.exception("command-not-admitted", job=task.job.id)
            self._unadmitted.append((self._clock.now_ms() + _AGAIN_MS, task))
            return
        if task.closed:
            return
        task.deed = deed
        now = self._clock.now_ms()
        if deed.ended is not None:
            self.settle(Conclusion(task, None, Found(), Stages(now)))
            return
        if deed.unsettled:
            self.give_time(task, now)
        self._host.admitted(task, now)

    async def _settle(self, item: Conclusion) -> None:
        task, deed, found = item.task, item.task.deed, item.found
        if deed is None:
            raise RuntimeError("only commands are settled")
        if item.error is not None:
            item.error = deed.told(item.error, found)
            item.error = deed.unproven(self._host.meter_of(task)) or item.error
        outcome, code, detail = Outcome.DONE, "", found.detail
        if item.error is not None:
            outcome, code, detail = outcome_of(item.error), item.error.code, item.error.detail
        try:
            kept = await deed.settle(outcome, code, detail, found.before, found.after)
        except Exception as error:  # noqa: BLE001 - whatever it is, nobody is told what hes.intents does not have
            self._log.warning("command-not-settled", job=task.job.id, meter=task.job.meter_id, reason=str(error))
            if task.lost or self._host.stopping:
                self._host.let_go(task)  # whoever has the partition now reads back
            else:
                self._unsettled.append((self._clock.now_ms() + _AGAIN_MS, item))
            return
        if kept is not None:
            done = kept.outcome is Outcome.DONE
            item.error = None if done else JobError(kept.code, kept.detail)
            found.before, found.after, found.detail = kept.before, kept.after, kept.detail
        self._host.tell((item,))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self.running.add(task)
        task.add_done_callback(self.running.discard)
