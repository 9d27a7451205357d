"""A campaign proposed: planned first, so that whoever proposes it sees what it would be, then signed and written."""

from __future__ import annotations

from typing import Any

from connectors.cli.asking import COMMANDS, request_of
from connectors.cli.failure import CommandError
from connectors.cli.firmware.planning import Planned, planned
from connectors.cli.firmware.progress import row, span
from connectors.cli.firmware.standing import campaigns
from connectors.cli.firmware.wish import Wish
from connectors.cli.output import say
from connectors.cli.signing import NOT_ANSWERED, Person, accepted, seal, send_and_hear
from connectors.cli.watching import encoded
from schemas.records import Operation
from streams.firmware.fleet import LEFT_OUT
from streams.runtime.settings import Settings


def propose_campaign(given: Settings, image: str, wish: Wish, reason: str, by: Person) -> dict[str, Any]:
    """Propose it, and wait until streams/firmware has taken it; a row. `CommandError` where it is refused."""
    found = planned(given, image, wish)
    _tell(found)
    if not found.plan.taking_part:
        raise CommandError("nobody can take part, so nothing was proposed", mend="`hes firmware plan` tells why")
    codec = encoded(given)
    request = request_of(
        given, by.name, Operation.FIRMWARE_TRANSFER, found.target, reason=reason, parameters=found.parameters
    )
    value = seal(codec, request, given, by)
    heard = accepted(send_and_hear(given, codec, COMMANDS, request.id, request, value))
    if not heard:
        say(f"[yellow]note[/]: it is written; {NOT_ANSWERED.replace('commands', 'firmware')}")
        return {"campaign": request.id, "heard": False}
    taken = campaigns(given, codec).named(request.id)
    say(f"  next: `hes approve {request.id}` by somebody else who may; until then nothing is sent")
    return (row(taken[0]) if taken else {"campaign": request.id}) | {"heard": True}


def _tell(found: Planned) -> None:
    made = found.plan
    early, middle, late = (span(at - made.begin) for at in made.ends)
    say(
        f"firmware {found.manifest.to_version} for {found.manifest.vendor} {found.manifest.model}: "
        f"{made.taking_part:,} of {made.meters:,} meters, planned to take {middle} ({early} to {late} in 8 of 10 courses)"
    )
    for code, many in made.left_out.items():
        say(f"  {many:,} cannot take part ({code}): {LEFT_OUT.get(code, '')}")
