"""What jobs come to, on its way to Kafka: what was read, then how it ended, then the offset, which waits for frames too.

What Kafka does not take is sent again, as often as it takes, with the same ids. On the event loop.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import count
from typing import Any, Generic, Protocol, TypeVar

import structlog

from connectors.gateway.directory import Directory
from connectors.gateway.drivers.port import Found
from connectors.gateway.emit import Emitter, Outgoing, Statement, TooLargeError
from connectors.gateway.errors import JobError
from connectors.gateway.gathering import Gathering
from connectors.gateway.intake import Ticket
from connectors.gateway.jobs import Task
from connectors.gateway.results import learnt, result_of, tally
from connectors.gateway.visit import Stages
from schemas.codec import CodecError
from schemas.records import Alarm, SessionFrames
from streams.runtime.clock import Clock

_DELIVER_AGAIN_MS = 2_000

T = TypeVar("T")


class Offsets(Protocol):
    """Where finished jobs go."""

    def finish(self, ticket: Ticket) -> None:
        """Kafka has everything that the job caused."""

    def refuse(self, code: str, detail: str, ticket: Ticket) -> None:
        """The job's record is to become a dead letter, and then to be finished."""


@dataclass(slots=True, eq=False)
class Conclusion:
    """How a job ended."""

    task: Task
    error: JobError | None
    found: Found
    stages: Stages
    refuse: bool = False
    """Whether its record becomes a dead letter, too."""


class Outcomes:
    """Everything that Kafka is to have of jobs. `gone` is told of each whose offset goes; `patient`: see `Gathering`."""

    def __init__(
        self,
        clock: Clock,
        emitter: Emitter,
        directory: Directory,
        offsets: Offsets,
        gone: Callable[[Task], None],
        patient: Callable[[], bool],
    ) -> None:
        self._clock = clock
        self._emitter = emitter
        self._directory = directory
        self._offsets = offsets
        self._gone = gone
        self._unframed: dict[Task, Conclusion] = {}
        """Jobs of which nothing but frames is missing in Kafka, and how they ended."""
        self._again: list[tuple[int, int, _Parcel[Any], Callable[[Sequence[Any]], None]]] = []
        self._order = count()
        self._log = structlog.get_logger("worker")
        self._spoken = Gathering(self._write_frames, patient)
        self._undelivered = 0
        """Parcels that Kafka does not have."""

    @property
    def busy(self) -> bool:
        """Whether there is something that Kafka does not have."""
        return bool(self._undelivered or self._spoken or self._again)

    def tick(self, now_ms: int) -> None:
        """Write what was gathered, and send again what Kafka did not take."""
        self._spoken.tick()
        while self._again and self._again[0][0] <= now_ms:
            _, _, parcel, then = heappop(self._again)
            self._deliver((parcel,), then)

    def conclude(self, ended: Sequence[Conclusion]) -> None:
        """Write what was read, then how it ended, then let the offset go; of many jobs at once."""
        now = self._clock.now_ms()
        try:
            stated = [self._stated(item, now) for item in ended]
            encoded = self._emitter.encode_all(stated, now)
        except (CodecError, TooLargeError) as failure:
            if len(ended) > 1:
                for item in ended:
                    self.conclude((item,))
                return
            code = failure.code if isinstance(failure, CodecError) else "record-oversized"
            item = ended[0]
            item.error, item.found = JobError(code, str(failure)), Found()
            stated = [self._stated(item, now)]
            encoded = self._emitter.encode_all(stated, now)
        parcels = []
        for item, statement, (result, *readings) in zip(ended, stated, encoded, strict=True):
            tally(statement.records[0])
            parcels.append(_Parcel(readings, _Told(item, result), item.task.ticket.urgent))
        self._deliver(parcels, self._tell)

    def _stated(self, item: Conclusion, now: int) -> Statement:
        """The result, and before it in time what was read."""
        task, found = item.task, item.found
        ticket, meter = task.ticket, self._directory.get(task.job.meter_id)
        result = result_of(task, meter, item.error, found, item.stages, now)
        told = learnt(meter, found, now)
        records = (result, *found.readings) if told is None else (result, *found.readings, told)
        return Statement(records, task.job.meter_id, ticket.trace, ticket.replay_id)

    def _tell(self, read: Sequence[_Told]) -> None:
        """Kafka has what was read."""
        self._deliver([_Parcel((told.result,), told.item, told.item.task.ticket.urgent) for told in read], self._told)

    def _told(self, ended: Sequence[Conclusion]) -> None:
        """Kafka has the results."""
        for item in ended:
            if item.task.unframed:
                self._unframed[item.task] = item
            else:
                self._finish(item)

    def _finish(self, item: Conclusion) -> None:
        task, error = item.task, item.error
        self._gone(task)
        if item.refuse and error is not None:
            self._offsets.refuse(error.code, error.detail, task.ticket)
        else:
            self._offsets.finish(task.ticket)

    def framed(self, task: Task, frames: SessionFrames) -> None:
        """The frames of one of a job's tries."""
        if frames.frames:
            self._spoken.add((frames, task), urgent=task.ticket.urgent)
        else:
            self._framed((task,))

    def keep(self, frames: SessionFrames) -> None:
        """Frames for which no offset waits."""
        if frames.frames:
            self._spoken.add((frames, None))

    def _write_frames(self, spoken: Sequence[tuple[SessionFrames, Task | None]]) -> None:
        statements = [
            Statement((frames,), frames.meter_id)
            if task is None
            else Statement((frames,), frames.meter_id, task.ticket.trace, task.ticket.replay_id)
            for frames, task in spoken
        ]
        encoded = self._emitter.encode_all(statements, self._clock.now_ms())
        parcels = [_Parcel(outgoing, task) for outgoing, (_, task) in zip(encoded, spoken, strict=True)]
        self._deliver(parcels, self._framed)

    def _framed(self, tasks: Sequence[Task | None]) -> None:
        """Kafka has frames of these tries."""
        for task in tasks:
            if task is not None:
                task.unframed -= 1
                if not task.unframed and (item := self._unframed.pop(task, None)) is not None:
                    self._finish(item)

    def alarm(self, alarms: Sequence[Alarm]) -> None:
        """What the gateway itself wants known."""
        for alarm in alarms:
            outgoing = self._emitter.encode((alarm,), alarm.meter_id, self._clock.now_ms())
            self._deliver((_Parcel(outgoing, None, urgent=True),), lambda _: None)

    def _deliver(self, parcels: Sequence[_Parcel[T]], then: Callable[[Sequence[T]], None]) -> None:
        """Send parcels, those of a lane together, until Kafka has them, then go on; after a failure each by itself."""
        for urgent in (True, False):
            if of_lane := [parcel for parcel in parcels if parcel.urgent is urgent]:
                self._deliver_lane(of_lane, then, urgent=urgent)

    def _deliver_lane(self, parcels: Sequence[_Parcel[T]], then: Callable[[Sequence[T]], None], *, urgent: bool) -> None:
        outgoing = [record for parcel in parcels for record in parcel.outgoing]
        if not outgoing:
            then([parcel.about for parcel in parcels])
            return
        self._undelivered += len(parcels)

        def reported(error: Exception | None) -> None:
            self._undelivered -= len(parcels)
            if error is None:
                then([parcel.about for parcel in parcels])
                return
            self._log.warning("result-not-delivered", records=len(outgoing), reason=str(error))
            at = self._clock.now_ms() + _DELIVER_AGAIN_MS
            for parcel in parcels:
                heappush(self._again, (at, next(self._order), parcel, then))

        self._emitter.send(outgoing, reported, len(parcels), urgent=urgent)


@dataclass(frozen=True, slots=True)
class _Parcel(Generic[T]):
    """Records of one job, and what they are about."""

    outgoing: Sequence[Outgoing]
    about: T
    urgent: bool = False


@dataclass(frozen=True, slots=True)
class _Told:
    """A job that is read, and its result."""

    item: Conclusion
    result: Outgoing
