"""The state machines of a campaign and of each of its meters, as tables. What is not in them changes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from schemas.records import CampaignState as State


class Meter(StrEnum):
    """Where a meter of a campaign stands."""

    WAITING = "waiting"  # its turn has not come
    SENT = "sent"  # a job brings it the image, or goes on where the last one ended
    PARTLY = "partly"  # it has a part of the image
    RETRY = "retry"  # the last job brought nothing; another follows
    VERIFIED = "verified"  # it has the image, and has found it good
    ACTIVATING = "activating"  # a job makes it use the image
    QUIET = "quiet"  # it was told to, and has not come back; it is pinged
    DONE = "done"  # it reports the version that is wanted
    FAILED = "failed"
    SILENT = "silent"  # it has not come back at all
    REFUSED = "refused"  # the image is not for it
    SKIPPED = "skipped"  # left out: it has the version, is out of service, or the terms leave it out


class Event(StrEnum):
    """What happens to a meter."""

    ISSUED = "issued"  # its job is on the lane
    INSTALLED = "installed"  # the version read back is the one that is wanted
    VERIFIED = "verified"  # the image is there and good, and not active yet
    CUT = "cut"  # the night or the connection ended in mid-transfer
    MISSED = "missed"  # the job brought nothing, and another may
    HELD = "held"  # the job was not begun, and the meter is not to blame: a freeze, an hour, a gateway that did not answer
    BARRED = "barred"  # the meter does not take the image, or came back with another version
    UNFIT = "unfit"  # the image is not for it; nothing was sent
    WENT_SILENT = "went-silent"  # it was told to activate and did not come back
    ANSWERED = "answered"  # it was heard again
    GIVEN_UP = "given-up"  # it was tried, or waited for, long enough
    LEFT = "left"  # it is out of service


_M, _E = Meter, Event
_ASKED: Mapping[Event, Meter] = {
    _E.INSTALLED: _M.DONE,
    _E.VERIFIED: _M.VERIFIED,
    _E.CUT: _M.PARTLY,
    _E.MISSED: _M.RETRY,
    _E.BARRED: _M.FAILED,
    _E.UNFIT: _M.REFUSED,
    _E.WENT_SILENT: _M.QUIET,
    _E.GIVEN_UP: _M.FAILED,
}
METERS: Mapping[Meter, Mapping[Event, Meter]] = {
    _M.WAITING: {_E.ISSUED: _M.SENT, _E.UNFIT: _M.REFUSED, _E.LEFT: _M.SKIPPED},
    _M.PARTLY: {_E.ISSUED: _M.SENT, _E.LEFT: _M.SKIPPED, _E.INSTALLED: _M.DONE},
    # A job that was given up as unanswered may still say what came of it.
    _M.RETRY: {_E.ISSUED: _M.SENT, _E.LEFT: _M.SKIPPED, _E.INSTALLED: _M.DONE, _E.WENT_SILENT: _M.QUIET},
    _M.VERIFIED: {_E.ISSUED: _M.ACTIVATING, _E.LEFT: _M.SKIPPED, _E.INSTALLED: _M.DONE, _E.WENT_SILENT: _M.QUIET},
    _M.SENT: {**_ASKED, _E.HELD: _M.RETRY},
    _M.ACTIVATING: {**_ASKED, _E.HELD: _M.VERIFIED},
    _M.QUIET: {_E.ANSWERED: _M.RETRY, _E.GIVEN_UP: _M.SILENT, _E.INSTALLED: _M.DONE},
    # What was given up may turn out well: a result that comes late is the truth, and who is heard again is not bricked.
    _M.SILENT: {_E.ANSWERED: _M.RETRY, _E.INSTALLED: _M.DONE},
    _M.FAILED: {_E.INSTALLED: _M.DONE},
    _M.DONE: {},
    _M.REFUSED: {},
    _M.SKIPPED: {},
}

LETTERS: Mapping[Meter, int] = {
    meter: ord(letter)
    for meter, letter in zip(
        (_M.WAITING, _M.SENT, _M.PARTLY, _M.RETRY, _M.VERIFIED, _M.ACTIVATING,
         _M.QUIET, _M.DONE, _M.FAILED, _M.SILENT, _M.REFUSED, _M.SKIPPED),
        "wsprvaqdfxnk",
        strict=True,
    )
}  # fmt: skip
"""A meter's state in `CampaignProgress.states`."""
OF_LETTER: Mapping[int, Meter] = {letter: meter for meter, letter in LETTERS.items()}
OUT = frozenset({_M.SENT, _M.ACTIVATING})
"""A job is out."""
ENDED = frozenset({_M.DONE, _M.FAILED, _M.SILENT, _M.REFUSED, _M.SKIPPED})
"""No job follows by itself."""
ASIDE = frozenset({_M.REFUSED, _M.SKIPPED})
"""Takes no part, so nothing is concluded from it."""


class Turn(StrEnum):
    """What happens to a campaign."""

    PROPOSED = "proposed"
    REFUSED = "refused"  # somebody said no, took it back, or nobody decided in time
    APPROVED = "approved"
    BEGUN = "begun"  # the canary may be sent
    WENT_ON = "went-on"  # after a pause, with the waves
    PROVEN = "proven"  # the canary tells nothing bad
    ANEW = "anew"  # activation has a time of its own, and it has come: the canary is first again
    PAUSED = "paused"
    RESUMED = "resumed"
    HALTED = "halted"
    FINISHED = "finished"


_STOPS: Mapping[Turn, State] = {Turn.PAUSED: State.PAUSED, Turn.HALTED: State.HALTED, Turn.FINISHED: State.DONE}
CAMPAIGNS: Mapping[State, Mapping[Turn, State]] = {
    State.UNKNOWN: {Turn.PROPOSED: State.DRAFT},
    State.DRAFT: {Turn.APPROVED: State.APPROVED, Turn.REFUSED: State.REJECTED},
    State.APPROVED: {**_STOPS, Turn.BEGUN: State.CANARY, Turn.WENT_ON: State.WAVES},
    State.CANARY: {**_STOPS, Turn.PROVEN: State.WAVES, Turn.ANEW: State.CANARY},
    State.WAVES: {**_STOPS, Turn.ANEW: State.CANARY},
    State.PAUSED: {Turn.RESUMED: State.APPROVED, Turn.HALTED: State.HALTED},
    State.HALTED: {},
    State.DONE: {},
    State.REJECTED: {},
}
SENDS = frozenset({State.CANARY, State.WAVES})
"""Transfers are begun."""
STOPS = frozenset({State.PAUSED, State.HALTED})
"""Nothing more is sent, by gateways that have jobs neither."""
OVER = frozenset(state for state, turns in CAMPAIGNS.items() if not turns)


def step(meter: Meter, event: Event) -> Meter | None:
    """Where an event leads a meter; None where it changes nothing."""
    return METERS[meter].get(event)


def turn(state: State, what: Turn) -> State | None:
    """Where it leads a campaign; None where it changes nothing."""
    return CAMPAIGNS[state].get(what)
