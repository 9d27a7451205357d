"""A command's jobs: one a meter, with what proves it where it moves a relay or changes the meter."""

from __future__ import annotations

from schemas.records import Cause, Job, Network, Priority
from streams.commands.case import Case
from streams.runtime.authority.kinds import acts
from streams.runtime.authority.targets import LISTED, Proofs
from streams.runtime.settings import Deadlines


class Jobs:
    """Makes the jobs of commands; keeps the hash tree of a long target while it is issued."""

    def __init__(self, deadlines: Deadlines) -> None:
        self._deadlines = deadlines
        self._proofs: tuple[str, Proofs] | None = None

    def job(self, case: Case, index: int, network: Network, now_ms: int, *, urgent: bool) -> Job:
        """The job of the meter at `index`. The same at every issue but for its times."""
        request, meter_id = case.request, case.meters[index]
        proven = acts(case.asked.kind)
        priority = Priority.ON_DEMAND if urgent else Priority.SCHEDULED
        return Job(
            id=case.job_id(meter_id),
            meter_id=meter_id,
            operation=request.operation,
            objects=request.objects,
            from_time=request.from_time,
            to_time=request.to_time,
            parameters=request.parameters,
            priority=priority if request.priority is Priority.UNKNOWN else request.priority,
            issued_at=now_ms,
            deadline=self.deadline(case, network, now_ms, urgent=urgent),
            cause=Cause.ON_DEMAND,
            caused_by=case.id,
            request=case.asked.value if proven else b"",
            decisions=tuple(case.decisions) if proven else (),
            target_proof=self.proof(case, index) if proven else (),
        )

    def deadline(self, case: Case, network: Network, now_ms: int, *, urgent: bool) -> int:
        """When it is too late: what the network allows, and for what is paced the command's own time."""
        if not urgent:
            return case.asked.expires
        seconds: float = getattr(self._deadlines, network.lower())
        return min(case.asked.expires, now_ms + round(seconds * 1000))

    def proof(self, case: Case, index: int) -> tuple[bytes, ...]:
        """The way from a meter to the root that decisions on a long target name."""
        if len(case.meters) <= LISTED:
            return ()
        if self._proofs is None or self._proofs[0] != case.id:
            self._proofs = case.id, Proofs(case.meters)
        return self._proofs[1].of(index)
