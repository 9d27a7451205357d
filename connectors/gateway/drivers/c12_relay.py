"""The service disconnect switch of a C12 meter as a command has it: state before, intent, octets once, state after.

look ─▶ as asked already? ─▶ intent in Kafka ─▶ still? + octets ─▶ the meter's result ─▶ look ─▶ as asked?
└─▶ unsettled: nothing is sent; as asked ─▶ done, else outcome unknown
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from connectors.gateway.deeds import unknown
from connectors.gateway.drivers.c12_access import Access
from connectors.gateway.drivers.c12_control import point_status, result_of, set_level, start
from connectors.gateway.drivers.c12_order import C12Order
from connectors.gateway.drivers.port import Deed, Found
from connectors.gateway.errors import JobError
from connectors.gateway.session import Session
from connectors.protocols.c12.errors import PeerError
from connectors.protocols.c12.tables.model import Model
from connectors.protocols.c12.tables.values import Record
from connectors.templates.c12_template import RelayTemplate
from schemas.records import Operation

LEVELS: dict[Operation, Callable[[RelayTemplate], int]] = {
    Operation.DISCONNECT: lambda relay: relay.opens,
    Operation.RECONNECT: lambda relay: relay.closes,
}
"""What is done, to the level that it takes."""

_LOOK_AGAIN_S = (0.0, 1.0, 4.0, 10.0)
"""A switch may take seconds to move: how long to wait before each look after the meter has said that it is done."""

Drive = Callable[[Session[Any]], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Means:
    """What a command is given with."""

    access: Access
    drive: Drive
    drive_once: Drive
    """For what may not be sent twice."""
    rest: Callable[[float], Awaitable[None]]


def relay_of(order: C12Order) -> RelayTemplate:
    """The switch. Raises `JobError` "operation-unsupported", "object-invalid"."""
    relay = order.template.relay
    if relay is None:
        detail = f"the template {order.template.name!r} does not say which control point is the switch, and at which levels"
        raise JobError(
            "operation-unsupported", f"{detail}: add relay: {{point, opens, closes}}; nothing was sent to the meter"
        )
    if order.job.objects:
        raise JobError("object-invalid", "a command to the switch of a C12 meter names no object: its template does")
    return relay


async def act(order: C12Order, means: Means, deed: Deed, found: Found) -> None:
    """See `port.Acts`."""
    relay = relay_of(order)
    level = LEVELS[order.job.operation](relay)

    async def look() -> tuple[Model, bool]:
        model: Model
        entry: Record
        model, entry = await means.drive(point_status(means.access, None, relay.point, order.template.catalog))
        found.after = words(entry, relay)
        return model, _levels(entry) == (level, level)

    model, reached = await look()
    if deed.unsettled:
        found.before = deed.before
        if not reached:
            raise unknown(
                f"it may have been sent, and is not sent again; before it the meter said: {found.before or 'nothing'}; now: "
                f"{found.after}: either it was not obeyed, or somebody has changed it back"
            )
        deed.known()
        found.detail = f"read back after an interruption: {found.after}"
        return
    found.before = found.after
    if reached:
        deed.known()
        found.detail = f"it was so before, nothing was sent: {found.after}"
        return
    found.after = ""
    await deed.intend(found.before)
    await _send(model, relay, level, means, deed, look)
    for pause in _LOOK_AGAIN_S:
        if pause:
            await means.rest(pause)
        if (await look())[1]:
            break
    else:
        raise unknown(f"the meter took it, and says: {found.after}; read it again in a minute, then send somebody")
    deed.known()
    found.detail = found.after


async def _send(
    model: Model, relay: RelayTemplate, level: int, means: Means, deed: Deed, look: Callable[[], Awaitable[Any]]
) -> None:
    """Once. What the meter itself refuses is known not to be done."""
    procedure, sequence = set_level(model, relay.point, level), secrets.randbelow(256)
    try:
        await means.drive_once(start(means.access, model, procedure, sequence, deed.still))
    except PeerError as error:
        if error.code == "psem-response":
            deed.known()
            await look()
        raise
    try:
        await means.drive(result_of(means.access, model, procedure, sequence))
    except PeerError as error:
        if error.code == "procedure-result":
            deed.known()
            await look()
            raise
        # It was taken: what the meter does not say of it, its state does.


def words(entry: Record, relay: RelayTemplate) -> str:
    """A switch's state for results: "disconnected", "connected, sensed 40"."""
    output, sensed = _levels(entry)
    name = {relay.opens: "disconnected", relay.closes: "connected"}.get(output, f"level {output}")
    return name if sensed == output else f"{name}, sensed {sensed}"


def _levels(entry: Record) -> tuple[int, int]:
    """What the switch puts out, and what is sensed behind it."""
    return entry.integer("OUTPUT_LEVEL"), entry.integer("SENSED_LEVEL")
