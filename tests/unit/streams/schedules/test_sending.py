from __future__ import annotations

import pytest

from schemas.records import PlanSlice
from streams.schedules.sending import TABLE, Event, Sending, State
from tests.unit.streams.schedules.world import schedule

PIECE = PlanSlice(id="s1", tick_id="t1", schedule=schedule(), first_at=60_000, meters=("m1",), offsets=(0,))
PATHS: dict[State, tuple[Event, ...]] = {
    State.UNKNOWN: (),
    State.PLANNED: (Event.PLAN,),
    State.SENT: (Event.PLAN, Event.SEND),
    State.DROPPED: (Event.PLAN, Event.DROP),
}


def at(state: State) -> Sending:
    sending = Sending()
    for event in PATHS[state]:
        assert sending.happen(event, PIECE)
    return sending


@pytest.mark.parametrize("event", Event)
@pytest.mark.parametrize("state", State)
def test_every_transition_and_every_illegal_one(state: State, event: Event) -> None:
    """Behind its end a slice is forgotten, so that SENT and DROPPED are as UNKNOWN: nothing of it happens again."""
    sending = at(state)
    before = sending.state("s1")
    taken = sending.happen(event, PIECE)
    known = State.UNKNOWN if state in (State.SENT, State.DROPPED) else state
    assert before is known
    if (known, event) in TABLE:
        assert taken
    else:
        assert not taken
        assert sending.state("s1") is before
        assert len(sending) == (known is State.PLANNED)


def test_every_state_can_be_reached_and_left_as_the_table_says() -> None:
    assert {state for state in State if state is not State.UNKNOWN} == set(TABLE.values())


def test_the_same_plan_twice_is_sent_once() -> None:
    sending = at(State.PLANNED)
    sending.happen(Event.PLAN, PIECE)
    start = sending.due(60_000, 0)
    assert start is not None
    sending.sent(start)
    sending.sent(start)
    assert sending.due(120_000, 0) is None
    assert sending.pending() == []


def test_one_tick_does_not_hold_up_another() -> None:
    sending = Sending()
    sending.happen(Event.PLAN, PlanSlice(id="a", tick_id="t1", first_at=900_000))
    sending.happen(Event.PLAN, PlanSlice(id="b", tick_id="t2", first_at=100_000))
    start = sending.due(100_000, 0)
    assert start is not None
    assert start.piece.id == "b"
    assert start.haste == 1.0
