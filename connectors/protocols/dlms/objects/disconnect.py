"""Disconnect control (class 70): the breaker or valve of a supply. Primitives: who calls them has been authorised.

                 remote disconnect
    connected ──────────────────────▶ disconnected
        ▲ ▲                              │     │ remote reconnect, modes 1, 3, 5, 6
        │ └──────────────────────────────┘     ▼
        │     remote reconnect, modes 2, 4   ready for reconnection
        └──────────────────────────────────────┘ by hand

Every operation reads the state before and after and says which it found. Where the connection breaks in between, nobody
knows whether the meter acted: the outcome is `UNKNOWN`, and the state is to be read before anything else is done.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, IntEnum

from connectors.protocols.dlms.association import Associated
from connectors.protocols.dlms.client_apdus import Session
from connectors.protocols.dlms.errors import DlmsError, PeerError
from connectors.protocols.dlms.objects.reading import call, read_fields, unlike

RELAY = "0.0.96.3.10.255"


class Control(IntEnum):
    """Control state, attribute 3."""

    DISCONNECTED = 0
    CONNECTED = 1
    READY = 2
    """Ready for reconnection: somebody has to press the meter's button."""


@dataclass(frozen=True, slots=True)
class RelayState:
    """What the meter says; None what it does not tell."""

    output: bool | None
    """Attribute 2, the contact itself: True is connected."""
    control: Control | None
    mode: int | None
    """Attribute 4, 0 to 7: who may disconnect and reconnect; 0 is always connected."""

    @property
    def contradictory(self) -> bool:
        """The contact is not where the control state has it: a welded contact, a bypass, or one that still moves."""
        return None not in (self.output, self.control) and self.output != (self.control is Control.CONNECTED)


class Outcome(Enum):
    """What became of an operation."""

    DONE = "done"
    ALREADY = "already"
    """It was so before; nothing was sent."""
    READY = "ready-for-reconnection"
    """Reconnection is released, the customer has to act."""
    REFUSED = "refused"
    """The meter said no, or its mode does; nothing changed."""
    NOT_REACHED = "not-reached"
    """The meter took the order, and is in another state than was ordered (or still on its way)."""
    UNKNOWN = "unknown"
    """The answer, or the state after it, was lost: read the state."""


@dataclass(frozen=True, slots=True)
class RelayResult:
    """An operation with the state before and after; `after` is None where it could not be read."""

    outcome: Outcome
    before: RelayState
    after: RelayState | None
    detail: str
    error: DlmsError | None = None


DISCONNECT, RECONNECT = 1, 2
"""Methods."""
_WANTED: dict[tuple[int, int], Control] = {
    **{(DISCONNECT, mode): Control.DISCONNECTED for mode in range(1, 8)},
    **{(RECONNECT, mode): Control.READY for mode in (1, 3, 5, 6)},
    **{(RECONNECT, mode): Control.CONNECTED for mode in (2, 4, 7)},
}
"""(method, control mode) to the state that the method leads to. Mode 0 knows none (IEC 62056-6-2, disconnect control)."""

REFUSALS = ("peer-action", "peer-access", "peer-exception", "peer-pdu-size")


def read_relay(link: Associated, relay: str = RELAY) -> Session[RelayState]:
    """Output state, control state, control mode."""
    fields = yield from read_fields(link, 70, relay, (2, 3, 4))
    control = fields.integer(3)
    if control is not None and control not in tuple(Control):
        raise unlike(fields.name(3), "a control state of 0 to 2", fields.values[3])
    return RelayState(fields.boolean(2), None if control is None else Control(control), fields.integer(4))


def remote_disconnect(link: Associated, relay: str = RELAY) -> Session[RelayResult]:
    """Disconnect. Raises only where the state before cannot be read: then nothing was ordered."""
    return (yield from _operate(link, relay, DISCONNECT))


def remote_reconnect(link: Associated, relay: str = RELAY) -> Session[RelayResult]:
    """Reconnect, or make ready for it, as the control mode has it. Raises as `remote_disconnect` does."""
    return (yield from _operate(link, relay, RECONNECT))


def judge(method: int, before: RelayState, after: RelayState) -> tuple[Outcome, str]:
    """The outcome of a method (1 disconnect, 2 reconnect) that the meter accepted."""
    aim = wanted(method, before)
    if after.control is None and after.output is None:
        return Outcome.UNKNOWN, "the meter took the order and does not tell its state: look at consumption and voltage"
    reached = after.output == (aim is Control.CONNECTED) if after.control is None else after.control is aim
    if not reached or after.contradictory:
        return Outcome.NOT_REACHED, f"{say(after)}, ordered was {name_of(aim)}: read again in a minute, then send somebody"
    if aim is Control.READY:
        return Outcome.READY, "ready for reconnection: the customer has to press the meter's button"
    return Outcome.DONE, say(after)


def _operate(link: Associated, relay: str, method: int) -> Session[RelayResult]:
    before = yield from read_relay(link, relay)
    if before.mode == 0:
        detail = f"70/{relay}: control mode 0, always connected: the meter takes no such order; set its control mode first"
        return RelayResult(Outcome.REFUSED, before, before, detail, PeerError("peer-state", detail))
    if before.control is wanted(method, before) and not before.contradictory:
        return RelayResult(Outcome.ALREADY, before, before, f"it was {name_of(before.control)} before: nothing was sent")
    try:
        yield from call(link, 70, relay, method)
    except DlmsError as error:
        if error.code in REFUSALS:
            return (yield from _refused(link, relay, before, error))
        return RelayResult(Outcome.UNKNOWN, before, None, _lost(error), error)
    try:
        after = yield from read_relay(link, relay)
    except DlmsError as error:
        return RelayResult(Outcome.UNKNOWN, before, None, f"the meter took the order; {_lost(error)}", error)
    outcome, detail = judge(method, before, after)
    return RelayResult(outcome, before, after, detail)


def _refused(link: Associated, relay: str, before: RelayState, error: DlmsError) -> Session[RelayResult]:
    try:
        after = yield from read_relay(link, relay)
    except DlmsError:
        return RelayResult(Outcome.REFUSED, before, None, error.detail, error)
    return RelayResult(Outcome.REFUSED, before, after, error.detail, error)


def wanted(method: int, state: RelayState) -> Control:
    """Where a method (1 disconnect, 2 reconnect) leads in a control mode; the plain meaning of the order where the mode is
    not told.
    """
    plain = Control.DISCONNECTED if method == DISCONNECT else Control.CONNECTED
    return plain if state.mode is None else _WANTED.get((method, state.mode), plain)


def _lost(error: DlmsError) -> str:
    return f"whether it acted is not known ({error.detail}): read the state before anything else"


def say(state: RelayState) -> str:
    """A state in a sentence."""
    contact = {None: "", True: ", the contact closed", False: ", the contact open"}[state.output]
    return f"the meter is {name_of(state.control)}{contact}"


def name_of(control: Control | None) -> str:
    """A control state in words."""
    return "in a state it does not tell" if control is None else control.name.lower()
