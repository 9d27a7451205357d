"""A command in memory: what it asks, where it stands, and what became of each of its meters."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field

from schemas.ids import event_id
from schemas.records import CommandCase, CommandRequest, CommandState, CommandStatus
from streams.commands.states import ENDED, LETTERS, OPEN, START, STATES, Event
from streams.runtime.authority.verify import Asked

_WORST = (
    (CommandState.OUTCOME_UNKNOWN, Event.UNANSWERED),
    (CommandState.CANCELLED, Event.STOPPED),
    (CommandState.FAILED, Event.FAILED),
    (CommandState.REJECTED, Event.FAILED),
    (CommandState.EXPIRED, Event.OVERDUE),
)
"""How a command ends whose jobs ended differently: as the first of these that occurs, else as done."""


def job_id(command_id: str, request_digest: bytes, meter_id: str, attempt: int = 1) -> str:
    """The id of a meter's job of a command: whoever has the request's bytes knows it."""
    return event_id("Job", command_id, request_digest, meter_id, attempt)


@dataclass(slots=True, eq=False)
class Case:
    """One command. `asked` is what its signed bytes say."""

    asked: Asked
    meters: tuple[str, ...]
    received_at: int
    state: CommandState = START
    code: str = ""
    detail: str = ""
    decisions: list[bytes] = field(default_factory=list)
    sent: int = 0
    outcomes: bytearray = field(default_factory=bytearray)
    stopped: bool = False
    answer_by: int | None = None
    updated_at: int = 0

    @property
    def id(self) -> str:
        """The command's id."""
        return self.asked.request.id

    @property
    def request(self) -> CommandRequest:
        """What is asked."""
        return self.asked.request

    @property
    def ended(self) -> bool:
        """Whether nothing but a late result can change it."""
        return self.state in ENDED

    @property
    def meter_id(self) -> str:
        """Its meter where it has one, else empty."""
        return self.meters[0] if len(self.meters) == 1 else ""

    def index(self, meter_id: str) -> int | None:
        """Where a meter stands among its meters."""
        at = bisect_left(self.meters, meter_id)
        return at if at < len(self.meters) and self.meters[at] == meter_id else None

    def job_id(self, meter_id: str, attempt: int = 1) -> str:
        """The id of a meter's job: the same, however often it is issued."""
        return job_id(self.id, self.asked.digest, meter_id, attempt)

    def job(self, index: int) -> CommandState:
        """Where the job of a meter stands."""
        return STATES[self.outcomes[index]]

    def set_job(self, index: int, state: CommandState) -> None:
        """Note where it stands now."""
        self.outcomes[index] = LETTERS[state][0]

    def counts(self) -> Counter[CommandState]:
        """How many jobs are in each state."""
        return Counter({STATES[letter]: count for letter, count in Counter(self.outcomes).items()})

    def summary(self) -> str:
        """The same as a person reads it, such as "97 done, 2 failed, 1 expired"."""
        counts = self.counts()
        return ", ".join(f"{counts[state]} {state.lower().replace('_', ' ')}" for state in LETTERS if counts[state])

    def result(self) -> Event | None:
        """How it has ended; None while jobs are open."""
        counts = self.counts()
        if any(counts[state] for state in OPEN):
            return None
        return next((event for state, event in _WORST if counts[state]), Event.DONE)

    def as_case(self) -> CommandCase:
        """For the books: what does not change."""
        return CommandCase(self.id, self.asked.value, self.meters, self.received_at, self.asked.expires)

    def as_status(self) -> CommandStatus:
        """For the books: what does."""
        return CommandStatus(
            id=self.id,
            state=self.state,
            code=self.code,
            detail=self.detail,
            decisions=tuple(self.decisions),
            sent=self.sent,
            outcomes=bytes(self.outcomes),
            stopped=self.stopped,
            answer_by=self.answer_by,
            updated_at=self.updated_at,
        )

    @classmethod
    def restored(cls, asked: Asked, case: CommandCase, status: CommandStatus) -> Case:
        """As the books have it."""
        return cls(
            asked=asked,
            meters=case.meters,
            received_at=case.received_at,
            state=status.state,
            code=status.code,
            detail=status.detail,
            decisions=list(status.decisions),
            sent=status.sent,
            outcomes=bytearray(status.outcomes),
            stopped=status.stopped,
            answer_by=status.answer_by,
            updated_at=status.updated_at,
        )
