"""The HDLC link: every event in every state, and any octets in any of them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.protocols.dlms.errors import CODES
from connectors.protocols.dlms.framing.hdlc import DM, POLL, UA
from connectors.protocols.dlms.hdlc_link import TRANSITIONS, Event, HdlcLink, State
from tests.unit.connectors.protocols.dlms.gurux_meter import code_of
from tests.unit.connectors.protocols.dlms.hdlc_octets import STATIONS, TIMING, from_meter, i_frame, rr

FROM_METER = {
    Event.I: i_frame(0, 0, b"unasked", final=False),
    Event.RR: rr(0, final=False),
    Event.RNR: rr(0, 0x05, final=False),
    Event.REJ: rr(0, 0x09, final=False),
    Event.UA: from_meter(UA | POLL),
    Event.DM: from_meter(DM | POLL),
    Event.FRMR: from_meter(0x87 | POLL),
}
CALLS: dict[Event, Callable[[HdlcLink], object]] = {
    Event.OPEN: lambda link: link.open(1.0),
    Event.SEND: lambda link: link.send(b"x", 1.0),
    Event.CLOSE: lambda link: link.close(1.0),
}


def in_state(state: State) -> HdlcLink:
    link = HdlcLink(STATIONS, None, TIMING)
    if state is State.CLOSED:
        return link
    link.open(0.0)
    if state is State.OPENING:
        return link
    link.receive(FROM_METER[Event.UA], 0.0)
    if state is State.WAITING:
        link.send(b"x", 0.0)
    elif state is State.CLOSING:
        link.close(0.0)
    elif state is State.BROKEN:
        assert code_of(lambda: link.receive(FROM_METER[Event.FRMR], 0.0)) == "link-refused"
    assert link.state is state
    return link


@pytest.mark.parametrize("event", [*FROM_METER, *CALLS], ids=lambda event: event.value)
@pytest.mark.parametrize("state", State, ids=lambda state: state.value)
def test_every_event_in_every_state(state: State, event: Event) -> None:
    link = in_state(state)
    expected = TRANSITIONS[state].get(event)
    if event in CALLS:
        raised = code_of(lambda: CALLS[event](link))
        assert raised == (None if expected else "link-state")
    else:
        raised = code_of(lambda: link.receive(FROM_METER[event], 1.0))
        assert raised in ((None,) if expected is None or state is State.CLOSING else (None, "link-refused"))
    assert link.state is (expected or state)


def test_the_table_leads_out_of_every_state() -> None:
    for state in State:
        reached, fresh = {state}, [state]
        while fresh:
            fresh = [s for at in fresh for s in TRANSITIONS[at].values() if s not in reached]
            reached.update(fresh)
        assert {State.CLOSED, State.READY} <= reached


@given(
    st.sampled_from([State.OPENING, State.READY, State.WAITING, State.CLOSING]), st.lists(st.binary(max_size=64), max_size=8)
)
def test_no_octets_raise_but_our_own(state: State, pieces: list[bytes]) -> None:
    link = in_state(state)
    for n, piece in enumerate(pieces):
        assert code_of(lambda piece=piece, n=n: link.receive(piece, n / 10)) in {None, *CODES}  # type: ignore[misc]  # a lambda's defaults
        assert len(link._frames._data) <= 4096


@given(
    st.lists(st.builds(from_meter, st.integers(0, 255), st.binary(max_size=12), segmented=st.booleans()), max_size=12).map(
        b"".join
    )
)
def test_no_frames_raise_but_our_own(octets: bytes) -> None:
    for state in (State.OPENING, State.READY, State.WAITING, State.CLOSING, State.BROKEN):
        link = in_state(state)
        assert code_of(lambda link=link: link.receive(octets, 1.0)) in {None, *CODES}  # type: ignore[misc]  # a lambda's default
