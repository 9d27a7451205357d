"""The C12.18 link: every action in every state."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from connectors.protocols.c12.errors import CODES, C12Error
from connectors.protocols.c12.psem_link import TRANSITIONS, Event, PsemLink, State
from tests.unit.connectors.protocols.c12.psem_links import ANSWER_PACKET, PARTS, READ, STATES, state_of, until_given_up
from tests.unit.connectors.protocols.c12.psem_octets import ACK, NAK, altered

ACTIONS: dict[str, Callable[[PsemLink], object]] = {
    "open": lambda link: link.open(0.0),
    "send": lambda link: link.send(READ, 0.0),
    "wait": lambda link: link.send(b"", 0.0),
    "close": lambda link: link.close(0.0),
    "ACK": lambda link: link.receive(ACK, 0.0),
    "NAK": lambda link: link.receive(NAK, 0.0),
    "answer": lambda link: link.receive(ANSWER_PACKET, 0.0),
    "part": lambda link: link.receive(PARTS[0], 0.0),
    "continuation": lambda link: link.receive(PARTS[1], 0.0),
    "altered": lambda link: link.receive(altered(ANSWER_PACKET), 0.0),
    "noise": lambda link: link.receive(b"\x00\xff", 0.0),
    "silence": until_given_up,
}

C, I, S, W, R, B = State.CLOSED, State.IDLE, State.SENDING, State.WAITING, State.RECEIVING, State.BROKEN  # noqa: E741 - columns

# What each action leads to in each state: the state after it, then what it raises.
MATRIX: dict[str, dict[State, tuple[State, str]]] = {
    "open": {C: (I, ""), I: (I, "link-state"), S: (S, "link-state"), W: (W, "link-state"), R: (R, "link-state"), B: (I, "")},
    "send": {C: (C, "link-state"), I: (S, ""), S: (S, "link-state"), W: (W, "link-state"), R: (R, "link-state"),
             B: (B, "link-state")},
    "wait": {C: (C, "link-state"), I: (W, ""), S: (S, "link-state"), W: (W, "link-state"), R: (R, "link-state"),
             B: (B, "link-state")},
    "close": {C: (C, ""), I: (C, ""), S: (C, ""), W: (C, ""), R: (C, ""), B: (C, "")},
    "ACK": {C: (C, ""), I: (I, ""), S: (W, ""), W: (W, ""), R: (R, ""), B: (B, "")},
    "NAK": {C: (C, ""), I: (I, ""), S: (S, ""), W: (W, ""), R: (R, ""), B: (B, "")},
    "answer": {C: (C, ""), I: (I, ""), S: (I, ""), W: (I, ""), R: (I, ""), B: (B, "")},
    "part": {C: (C, ""), I: (I, ""), S: (R, ""), W: (R, ""), R: (R, ""), B: (B, "")},
    "continuation": {C: (C, ""), I: (I, ""), S: (B, "frame-segmentation"), W: (B, "frame-segmentation"), R: (I, ""),
                     B: (B, "")},
    "altered": {C: (C, ""), I: (I, ""), S: (S, ""), W: (W, ""), R: (R, ""), B: (B, "")},
    "noise": {C: (C, ""), I: (I, ""), S: (S, ""), W: (W, ""), R: (R, ""), B: (B, "")},
    "silence": {C: (C, ""), I: (I, ""), S: (B, "link-timeout"), W: (B, "link-timeout"), R: (B, "link-timeout"), B: (B, "")},
}  # fmt: skip


@pytest.mark.parametrize("action", MATRIX)
@pytest.mark.parametrize("state", State, ids=lambda state: state.value)
def test_every_action_in_every_state(state: State, action: str) -> None:
    link = STATES[state]()
    assert link.state is state
    after, code = MATRIX[action][state]
    if code:
        with pytest.raises(C12Error) as raised:
            ACTIONS[action](link)
        assert raised.value.code == code
        assert code in CODES
    else:
        ACTIONS[action](link)
    assert state_of(link) is after


def test_the_matrix_is_whole() -> None:
    assert set(MATRIX) == set(ACTIONS)
    assert all(set(cells) == set(State) for cells in MATRIX.values())


def test_every_state_can_be_closed_and_every_transition_leads_somewhere() -> None:
    assert set(TRANSITIONS) == set(State)
    assert all(TRANSITIONS[state][Event.CLOSE] is State.CLOSED for state in State)
    reachable = {State.CLOSED}
    for _ in State:
        reachable |= {after for state in reachable for after in TRANSITIONS[state].values()}
    assert reachable == set(State)
