"""The state machine of a command, and of each of its jobs from QUEUED on, as a table. What is not in it changes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from schemas.records import CommandState as State
from schemas.records import Outcome


class Event(StrEnum):
    """What happens to a command or a job."""

    TAKEN = "taken"  # a request in good form came, whoever may have signed it
    REFUSED = "refused"  # it may not be done: `code` says why
    UNDECIDED = "undecided"  # nothing is wrong, and decisions are missing
    PERMITTED = "permitted"  # everything that the policy asks for is there
    CANCELLED = "cancelled"  # an operator took it back
    LAPSED = "lapsed"  # its time was over before it was begun
    PLANNED = "planned"  # its jobs are in the queue
    ISSUED = "issued"  # its jobs are on their lane
    DONE = "done"
    FAILED = "failed"
    OVERDUE = "overdue"  # the meter was not reached in time, and nothing was done
    STOPPED = "stopped"  # cancelled half way: the rest has ended
    UNANSWERED = "unanswered"  # it may or may not have been done


class Action(StrEnum):
    """What the desk does next."""

    WAIT = "wait"
    JUDGE = "judge"  # hold it against the policy
    PLAN = "plan"  # count it, and queue its jobs
    ISSUE = "issue"  # put jobs on their lane, as the pace allows
    CLOSE = "close"  # it has ended


Step = tuple[State, Action]
START = State.UNKNOWN
"""Of a command that was not taken yet."""
_REFUSED: Step = (State.REJECTED, Action.CLOSE)
_CANCELLED: Step = (State.CANCELLED, Action.CLOSE)
_LAPSED: Step = (State.EXPIRED, Action.CLOSE)

TABLE: Mapping[State, Mapping[Event, Step]] = {
    START: {Event.TAKEN: (State.RECEIVED, Action.JUDGE)},
    State.RECEIVED: {
        Event.REFUSED: _REFUSED,
        Event.UNDECIDED: (State.AWAITING_APPROVAL, Action.WAIT),
        Event.PERMITTED: (State.APPROVED, Action.PLAN),
    },
    State.AWAITING_APPROVAL: {
        Event.REFUSED: _REFUSED,
        Event.PERMITTED: (State.APPROVED, Action.PLAN),
        Event.CANCELLED: _CANCELLED,
        Event.LAPSED: _LAPSED,
    },
    State.APPROVED: {
        Event.REFUSED: _REFUSED,
        Event.PLANNED: (State.QUEUED, Action.ISSUE),
    },
    State.QUEUED: {
        Event.REFUSED: _REFUSED,
        Event.CANCELLED: _CANCELLED,
        Event.LAPSED: _LAPSED,
        Event.ISSUED: (State.SENT, Action.WAIT),
    },
    State.SENT: {
        Event.DONE: (State.DONE, Action.CLOSE),
        Event.FAILED: (State.FAILED, Action.CLOSE),
        Event.OVERDUE: (State.EXPIRED, Action.CLOSE),
        Event.STOPPED: _CANCELLED,
        Event.UNANSWERED: (State.OUTCOME_UNKNOWN, Action.CLOSE),
    },
    # What was unknown may become known: a result that comes late is the truth.
    State.OUTCOME_UNKNOWN: {
        Event.DONE: (State.DONE, Action.CLOSE),
        Event.FAILED: (State.FAILED, Action.CLOSE),
        Event.OVERDUE: (State.EXPIRED, Action.CLOSE),
    },
    State.REJECTED: {},
    State.CANCELLED: {},
    State.EXPIRED: {},
    State.DONE: {},
    State.FAILED: {},
}

ENDED = frozenset(state for state, steps in TABLE.items() if all(action is Action.CLOSE for _, action in steps.values())) - {
    State.SENT
}
"""States that nothing but a late result can change."""
OUTCOMES: Mapping[Outcome, Event] = {
    Outcome.DONE: Event.DONE,
    Outcome.FAILED: Event.FAILED,
    Outcome.EXPIRED: Event.OVERDUE,
    Outcome.CANCELLED: Event.STOPPED,
    Outcome.OUTCOME_UNKNOWN: Event.UNANSWERED,
}
"""What a job's result is to its job."""

LETTERS: Mapping[State, bytes] = {
    State.QUEUED: b"q",
    State.SENT: b"s",
    State.DONE: b"d",
    State.FAILED: b"f",
    State.EXPIRED: b"x",
    State.CANCELLED: b"c",
    State.REJECTED: b"r",
    State.OUTCOME_UNKNOWN: b"u",
}
"""A job's state in `CommandStatus.outcomes`, one a meter."""
STATES = {letter[0]: state for state, letter in LETTERS.items()}
OPEN = (State.QUEUED, State.SENT)
"""Of a job."""


def step(state: State, event: Event) -> Step | None:
    """Where an event leads, and what to do; None where it changes nothing."""
    return TABLE[state].get(event)
