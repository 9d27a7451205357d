"""Commands to DLMS meters: what each changes, how its state is told, and when it is as asked. One way for all of them.

look ─▶ allowed? ─▶ as asked already? ─▶ intent in Kafka ─▶ still? + octets ─▶ look ─▶ as asked?
  └─▶ unsettled: nothing is sent; as asked ─▶ done, else outcome unknown
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol

from connectors.gateway.deeds import unknown
from connectors.gateway.drivers.dlms_calendar import SetCalendar
from connectors.gateway.drivers.dlms_clock import SetClock
from connectors.gateway.drivers.dlms_order import DlmsOrder
from connectors.gateway.drivers.dlms_parameters import Limit, SetParameters
from connectors.gateway.drivers.dlms_relay import Relay
from connectors.gateway.drivers.port import Deed, Found
from connectors.gateway.drivers.stepping import Drive, Rest
from connectors.protocols.dlms.association import Associated
from connectors.protocols.dlms.client_apdus import Session, T
from connectors.protocols.dlms.errors import DlmsError
from connectors.protocols.dlms.objects.disconnect import REFUSALS
from schemas.records import Operation

_LOOK_AGAIN_S = (1.0, 4.0, 10.0)
"""A relay may take seconds to move, and a meter minutes to say so: how long to wait before each further look."""


class Command(Protocol):
    """One command to one meter: it keeps what it saw last."""

    def reached(self) -> bool:
        """Whether the state that was seen last is as asked."""

    def look(self, link: Associated) -> Session[str]:
        """The state, in words."""

    def wait(self, found: Found) -> float:
        """Seconds to let pass before it is looked at again and sent then; 0 is now. Raises `JobError` where the state
        forbids it.
        """

    def send(self, link: Associated) -> Session[None]:
        """The octets that change the meter, from the first on."""

    def say(self) -> str:
        """What is to be said of a state that is as asked."""


@dataclass(frozen=True, slots=True)
class Means:
    """What a command is given with."""

    link: Associated
    drive: Drive
    drive_once: Callable[[Session[Any]], Awaitable[Any]]
    rest: Rest


def command_of(order: DlmsOrder) -> Command:
    """What a job asks. Raises `JobError` "object-invalid" where it cannot be asked so."""
    return COMMANDS[order.job.operation](order)


COMMANDS: dict[Operation, Callable[[DlmsOrder], Command]] = {
    Operation.DISCONNECT: Relay,
    Operation.RECONNECT: Relay,
    Operation.ARM_FOR_RECONNECTION: Relay,
    Operation.LIMIT: Limit,
    Operation.SET_CLOCK: SetClock,
    Operation.SET_CALENDAR: SetCalendar,
    Operation.SET_PARAMETER: SetParameters,
}


async def act(command: Command, means: Means, deed: Deed, found: Found) -> None:
    """See `port.Acts`."""
    state: str = await means.drive(command.look(means.link))
    if deed.unsettled:
        found.before, found.after = deed.before, state
        _judge_unsettled(command, deed, found)
        return
    while seconds := command.wait(found):
        await means.rest(seconds)
        state = await means.drive(command.look(means.link))
    found.before = state
    if command.reached():
        deed.known()
        found.after, found.detail = state, f"it was so before, nothing was sent: {command.say()}"
        return
    await deed.intend(state)
    try:
        await means.drive_once(_at_last(deed, command.send(means.link)))
    except DlmsError as error:
        if error.code in REFUSALS:
            deed.known()
            found.after = await means.drive(command.look(means.link))
        raise
    found.after = await means.drive(command.look(means.link))
    for pause in _LOOK_AGAIN_S:
        if command.reached():
            break
        await means.rest(pause)
        found.after = await means.drive(command.look(means.link))
    if not command.reached():
        raise unknown(f"the meter took it, and says: {found.after}; read it again in a minute, then send somebody")
    deed.known()
    found.detail = command.say()


def _at_last(deed: Deed, session: Session[T]) -> Session[T]:
    """The session, if it may still be sent when its first octets go."""
    deed.still()
    return (yield from session)


def _judge_unsettled(command: Command, deed: Deed, found: Found) -> None:
    if not command.reached():
        raise unknown(
            f"it may have been sent, and is not sent again; before it the meter said: {found.before or 'nothing'}; "
            f"now: {found.after}: either it was not obeyed, or somebody has changed it back"
        )
    deed.known()
    found.detail = f"read back after an interruption: {command.say()}"
