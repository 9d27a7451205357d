"""A decision from this side: what is to be decided is verified and shown before it is signed."""

from __future__ import annotations

from collections.abc import Sequence

from connectors.cli.asking import DECISIONS
from connectors.cli.failure import CommandError
from connectors.cli.output import say
from connectors.cli.signing import Person, around, new_id, now_ms, seal
from connectors.cli.watching import Watch
from schemas.codec import Codec
from schemas.records import CommandCase, CommandDecision, CommandStatus, Verdict
from schemas.signatures import digest
from streams.runtime.authority.refusals import RefusedError
from streams.runtime.authority.verify import examine, named
from streams.runtime.settings import Settings


def decide(
    watch: Watch,
    given: Settings,
    codec: Codec,
    standing: tuple[CommandCase, CommandStatus],
    verdict: Verdict,
    reason: str,
    by: Person,
) -> None:
    """Sign and write a decision on a command as the books have it.

    Nobody is led to approve what nobody asked: where the request's own signature does not hold, nothing is signed.
    """
    case, status = standing
    world = around(given, codec)
    try:
        asked = examine(world, case.request, now_ms())
    except RefusedError as error:
        if verdict is Verdict.APPROVE:
            raise CommandError(
                f"the request of command {case.id} does not hold ({error.refusal.code}): {error}", mend="do not approve it"
            ) from error
        say(f"[yellow]note[/]: the request does not hold: {error}")
    else:
        request = asked.request
        shown = ", ".join(case.meters[:5]) + (f" and {len(case.meters) - 5} more" if len(case.meters) > 5 else "")
        say(f"command {case.id} ({status.state}): {asked.kind} of {shown or 'nobody'}")
        say(f"  asked by {request.requested_by}: {request.reason}")
        for name, value in request.parameters.items():
            say(f"  {name} = {value}")
    decision = decision_of(given, case.id, case.request, case.meters, verdict, reason, by.name)
    watch.send(DECISIONS, case.id, decision, seal(codec, decision, given, by))


def decision_of(
    given: Settings, command_id: str, request: bytes, targets: Sequence[str], verdict: Verdict, reason: str, by: str
) -> CommandDecision:
    """A decision made now, on these request bytes and these meters."""
    meters, root = named(targets) if targets else ((), b"")
    return CommandDecision(
        id=new_id("CommandDecision", command_id, by),
        command_id=command_id,
        request_digest=digest(request),
        meters=meters,
        environment=given.environment,
        verdict=verdict,
        decided_by=by,
        decided_at=now_ms(),
        reason=reason,
        target_root=root,
    )
