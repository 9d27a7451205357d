"""The table, and every transition that it does not have."""

from __future__ import annotations

import pytest

from schemas.records import CommandState
from streams.commands.states import ENDED, LETTERS, OPEN, START, STATES, TABLE, Action, Event, step

EVERY = [(state, event) for state in CommandState for event in Event]
ILLEGAL = [(state, event) for state, event in EVERY if event not in TABLE[state]]


def test_every_state_has_its_row() -> None:
    assert set(TABLE) == set(CommandState)


@pytest.mark.parametrize(("state", "event"), ILLEGAL, ids=[f"{state}-{event}" for state, event in ILLEGAL])
def test_what_is_not_in_the_table_leads_nowhere(state: CommandState, event: Event) -> None:
    assert step(state, event) is None


def test_every_state_can_be_reached_and_left_for_an_end() -> None:
    reached = {START}
    while more := {to for state in reached for to, _ in TABLE[state].values()} - reached:
        reached |= more
    assert reached == set(CommandState)
    assert set(ENDED) == {
        CommandState.REJECTED,
        CommandState.CANCELLED,
        CommandState.EXPIRED,
        CommandState.DONE,
        CommandState.FAILED,
        CommandState.OUTCOME_UNKNOWN,
    }


def test_nothing_comes_back_to_the_lane() -> None:
    """A relay command runs at most once: from SENT on no step leads to a state in which a job may be issued."""
    after = {CommandState.SENT}
    while more := {to for state in after for to, _ in TABLE[state].values()} - after:
        after |= more
    assert CommandState.QUEUED not in after
    assert all(action is not Action.ISSUE for state in after for _, action in TABLE[state].values())


def test_letters_tell_job_states_apart() -> None:
    assert {STATES[letter[0]] for letter in LETTERS.values()} == set(LETTERS)
    assert set(OPEN) == set(LETTERS) - set(ENDED)
