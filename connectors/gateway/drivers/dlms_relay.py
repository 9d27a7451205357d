"""The relay as a command has it: disconnect, reconnect, and arm for reconnection, by the meter's own control mode."""

from __future__ import annotations

from connectors.gateway.drivers.dlms_order import DlmsOrder
from connectors.gateway.drivers.port import Found
from connectors.gateway.errors import JobError
from connectors.protocols.dlms.association import Associated
from connectors.protocols.dlms.client_apdus import Session
from connectors.protocols.dlms.get import Attribute
from connectors.protocols.dlms.objects.disconnect import (
    DISCONNECT,
    RECONNECT,
    Control,
    RelayState,
    name_of,
    read_relay,
    say,
    wanted,
)
from connectors.protocols.dlms.objects.reading import call
from schemas.records import Operation

_CLASS = 70


class Relay:
    """See `dlms_commands.Command`."""

    def __init__(self, order: DlmsOrder) -> None:
        self._operation = order.job.operation
        self._method = DISCONNECT if self._operation is Operation.DISCONNECT else RECONNECT
        self._relay = _relay_of(order)
        self._state = RelayState(None, None, None)
        self._reached = False

    def reached(self) -> bool:
        """See `dlms_commands.Command`."""
        return self._reached

    def look(self, link: Associated) -> Session[str]:
        """See `dlms_commands.Command`."""
        state = self._state = yield from read_relay(link, self._relay)
        aim = self._aim(state)
        if state.control is None:
            self._reached = state.output is not None and state.output == (aim is Control.CONNECTED)
        else:
            self._reached = state.control is aim and not state.contradictory
        return words(state)

    def wait(self, found: Found) -> float:  # noqa: ARG002 - the port's signature
        """See `dlms_commands.Command`: what the control mode does not know is not sent."""
        mode, subject = self._state.mode, f"{_CLASS}/{self._relay}"
        if mode == 0:
            raise _refused(f"{subject} is in control mode 0, always connected: set its control mode first")
        arms = self._operation is Operation.ARM_FOR_RECONNECTION
        if arms and not self._reached and mode is not None and wanted(RECONNECT, self._state) is Control.CONNECTED:
            detail = f"{subject} is in control mode {mode}, in which a remote reconnection closes the relay at once"
            raise _refused(f"{detail}: arming it would reconnect it; ask for a reconnection, or change the mode")
        return 0.0

    def send(self, link: Associated) -> Session[None]:
        """See `dlms_commands.Command`."""
        yield from call(link, _CLASS, self._relay, self._method)

    def say(self) -> str:
        """See `dlms_commands.Command`."""
        if self._state.control is Control.READY:
            return "ready for reconnection: the customer has to press the meter's button"
        return say(self._state)

    def _aim(self, state: RelayState) -> Control:
        if self._operation is Operation.ARM_FOR_RECONNECTION:
            return Control.READY
        aim = wanted(self._method, state)
        # Where the mode only releases the reconnection, the customer may have pressed the button already.
        return Control.CONNECTED if aim is Control.READY and state.control is Control.CONNECTED else aim


def words(state: RelayState) -> str:
    """A relay's state for results: "disconnected, contact open, mode 4"."""
    contact = {None: "", True: ", contact closed", False: ", contact open"}[state.output]
    mode = "" if state.mode is None else f", mode {state.mode}"
    return f"{name_of(state.control)}{contact}{mode}"


def _relay_of(order: DlmsOrder) -> str:
    """The relay that the job names, as 70/OBIS/attribute, or the template's."""
    if not order.job.objects:
        return order.template.pull.relay
    try:
        (named,) = (Attribute.parse(text) for text in order.job.objects)
    except ValueError:
        raise JobError("object-invalid", "a command to a relay names one object, 70/OBIS/attribute, or none") from None
    if named.class_id != _CLASS:
        raise JobError("object-invalid", f"{named} is no relay: 70/OBIS/attribute is expected")
    return named.obis


def _refused(why: str) -> JobError:
    return JobError("command-mode", f"{why}; nothing was sent", harmless=True)
