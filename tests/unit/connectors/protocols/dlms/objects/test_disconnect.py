"""The breaker: each outcome with the state before and after, at gurux' server and at a meter that breaks off."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from gurux_dlms.enums import ErrorCode

from connectors.protocols.dlms.association import PROPOSED, Associated
from connectors.protocols.dlms.client_apdus import Session
from connectors.protocols.dlms.errors import DecodeError, PeerError
from connectors.protocols.dlms.objects.disconnect import (
    Control,
    Outcome,
    RelayResult,
    RelayState,
    judge,
    read_relay,
    remote_disconnect,
    remote_reconnect,
)
from tests.unit.connectors.protocols.dlms.gurux_meter import drive
from tests.unit.connectors.protocols.dlms.objects.gurux_objects import Image, ObjectMeter, Relay

Operation = Callable[[Associated], Session[RelayResult]]


@pytest.mark.parametrize(
    ("mode", "state", "operation", "outcome", "after", "orders"),
    [
        pytest.param(4, 1, remote_disconnect, Outcome.DONE, 0, 1, id="disconnect"),
        pytest.param(4, 0, remote_disconnect, Outcome.ALREADY, 0, 0, id="disconnect-twice"),
        pytest.param(4, 0, remote_reconnect, Outcome.DONE, 1, 1, id="reconnect-at-once"),
        pytest.param(1, 0, remote_reconnect, Outcome.READY, 2, 1, id="reconnect-by-button"),
        pytest.param(3, 2, remote_reconnect, Outcome.ALREADY, 2, 0, id="reconnect-by-button-twice"),
        pytest.param(1, 2, remote_disconnect, Outcome.DONE, 0, 1, id="disconnect-what-is-ready"),
        pytest.param(0, 1, remote_disconnect, Outcome.REFUSED, 1, 0, id="mode-0"),
    ],
)
def test_operations(mode: int, state: int, operation: Operation, outcome: Outcome, after: int, orders: int) -> None:
    relay = Relay(mode=mode, state=state)
    peer = ObjectMeter([relay])
    done = drive(operation(peer.link()), peer.exchange)
    assert done.outcome is outcome
    assert done.before == RelayState(state == 1, Control(state), mode)
    assert done.after == RelayState(after == 1, Control(after), mode)
    assert len(peer.invoked) == orders
    assert int(relay.controlState) == after


def test_a_relay_that_does_not_move() -> None:
    relay = Relay()
    relay.stuck = True
    peer = ObjectMeter([relay])
    done = drive(remote_disconnect(peer.link()), peer.exchange)
    assert done.outcome is Outcome.NOT_REACHED
    assert "the contact closed" in done.detail


def test_a_welded_contact_is_ordered_again_and_told() -> None:
    relay = Relay(state=0)
    relay.outputState = True
    relay.stuck = True
    peer = ObjectMeter([relay])
    done = drive(remote_disconnect(peer.link()), peer.exchange)
    assert done.before.contradictory
    assert (done.outcome, len(peer.invoked)) == (Outcome.NOT_REACHED, 1)


def test_refused_by_the_meter() -> None:
    relay = Relay()
    relay.refused = [ErrorCode.TEMPORARY_FAILURE]
    peer = ObjectMeter([relay])
    done = drive(remote_disconnect(peer.link()), peer.exchange)
    assert done.outcome is Outcome.REFUSED
    assert isinstance(done.error, PeerError)
    assert done.error.retry
    assert done.after == done.before


@pytest.mark.parametrize("answers", [1, 2], ids=["no-answer-to-the-order", "no-state-after-it"])
def test_a_broken_connection_leaves_it_unknown(answers: int) -> None:
    peer = ObjectMeter([Relay()])
    link = peer.link()
    left = list(range(answers))

    def exchange(apdu: bytes) -> bytes:
        return peer.exchange(apdu) if left and left.pop() >= 0 else b""

    done = drive(remote_disconnect(link), exchange)
    assert (done.outcome, done.after) == (Outcome.UNKNOWN, None)
    assert "read the state" in done.detail


def test_without_the_state_before_nothing_is_ordered() -> None:
    peer = ObjectMeter([Image()])
    with pytest.raises(PeerError, match="object-undefined"):
        drive(remote_disconnect(peer.link()), peer.exchange)
    assert not peer.invoked


@pytest.mark.parametrize(
    ("method", "before", "after", "outcome"),
    [
        pytest.param(1, RelayState(None, None, None), RelayState(False, None, None), Outcome.DONE, id="output-alone"),
        pytest.param(2, RelayState(None, None, None), RelayState(False, None, None), Outcome.NOT_REACHED, id="not-closed"),
        pytest.param(1, RelayState(True, None, 4), RelayState(None, None, 4), Outcome.UNKNOWN, id="tells-nothing"),
        pytest.param(
            2,
            RelayState(False, Control.DISCONNECTED, None),
            RelayState(True, Control.CONNECTED, None),
            Outcome.DONE,
            id="no-mode",
        ),
    ],
)
def test_judged(method: int, before: RelayState, after: RelayState, outcome: Outcome) -> None:
    assert judge(method, before, after)[0] is outcome


def test_a_state_that_is_none() -> None:
    answer = bytes.fromhex("C4 03 C1 03 00 03 01 00 16 09 00 16 04")
    with pytest.raises(DecodeError) as raised:
        drive(read_relay(Associated(PROPOSED, 0)), lambda _: answer)
    assert raised.value.code == "object-shape"
