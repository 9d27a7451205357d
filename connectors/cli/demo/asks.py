"""What the demo asks of the gateway: every meter's load profile once, and registers on demand, a few a second."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

from schemas.codec import Codec
from schemas.ids import event_id
from schemas.records import Cause, Job, Meter, Operation, Priority
from streams.runtime.clock import Clock
from streams.runtime.kafka import Done, Publisher
from streams.runtime.tracing import headers_of

DAY_MS = 86_400_000
ON_DEMAND_DEADLINE_MS = 90_000


@dataclass(slots=True)
class Asks:
    """Writes jobs, as a scheduler and an operator would."""

    publisher: Publisher
    codec: Codec
    clock: Clock
    meters: Sequence[Meter]
    run: str  # what caused the jobs: this demo
    on_demand: int = 0
    asked: set[str] = field(default_factory=set)
    """Ids of every job that Kafka has."""
    _turn: itertools.cycle[Meter] = field(init=False)

    def __post_init__(self) -> None:
        self._turn = itertools.cycle(self.meters)

    def profiles(self, day_start_ms: int) -> int:
        """Ask every meter for a day's load profile; how many were asked."""
        for meter in self.meters:
            self._send(meter, Operation.READ_PROFILE, "hes.jobs.bulk", (day_start_ms, day_start_ms + DAY_MS))
        self.publisher.flush()
        return len(self.meters)

    def registers(self) -> None:
        """Ask the next meter for its registers, now."""
        self.on_demand += 1
        self._send(next(self._turn), Operation.READ_REGISTERS, "hes.jobs.urgent", None)

    def _send(self, meter: Meter, operation: Operation, topic: str, span: tuple[int, int] | None) -> None:
        urgent = span is None
        now = self.clock.now_ms()
        job = Job(
            id=event_id("Job", self.run, meter.id, operation, self.on_demand if urgent else span),
            meter_id=meter.id,
            operation=operation,
            from_time=span[0] if span else None,
            to_time=span[1] if span else None,
            priority=Priority.ON_DEMAND if urgent else Priority.SCHEDULED,
            issued_at=now,
            deadline=now + ON_DEMAND_DEADLINE_MS if urgent else None,
            cause=Cause.ON_DEMAND if urgent else Cause.SCHEDULED,
            caused_by=self.run,
        )
        headers = headers_of(job, source="demo", at_ms=now)
        # What Kafka did not take, which for a profile `flush` tells, was asked of nobody.
        self.publisher.send(topic, meter.id, self.codec.encode(job), headers, self._noting(job.id) if urgent else None)
        if not urgent:
            self.asked.add(job.id)

    def _noting(self, job_id: str) -> Done:
        def done(error: Exception | None) -> None:
            if error is None:
                self.asked.add(job_id)

        return done
