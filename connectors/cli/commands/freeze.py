"""`hes freeze`: nothing that moves a relay or changes a meter is done, until the freeze is lifted."""

from __future__ import annotations

from typing import Annotated

import typer

from connectors.cli import context
from connectors.cli.failure import CommandError, usage
from connectors.cli.options import AsOption, KeyOption
from connectors.cli.output import FormatOption, emit, say


def freeze(
    reason: Annotated[str, typer.Option(help="why; it is on the audit chain, and whoever is refused reads it")] = "",
    lift: Annotated[bool, typer.Option("--lift", help="end the freeze; the policy says who may")] = False,
    status: Annotated[bool, typer.Option("--status", help="only show what is frozen, held and authorized")] = False,
    feeder: Annotated[list[str] | None, typer.Option("--feeder", help="freeze only what hangs below these")] = None,
    operator: AsOption = "",
    key: KeyOption = None,
    format: FormatOption = None,  # noqa: A002 - the option's name
) -> None:
    """Stop all commands that move a relay or change a meter: those to come, and those not begun yet. Reading goes on."""
    from connectors.cli.signing import (
        NOT_ANSWERED,
        accepted,
        around,
        now_ms,
        person,
        seal,
        send_and_hear,
    )
    from connectors.cli.watching import encoded
    from schemas.records import Control, ControlKind, Target
    from streams.runtime.clock import iso

    given = context.settings()
    codec = encoded(given)
    if status:
        rows = [
            {
                "control": control.id,
                "kind": control.kind,
                "holds": not control.lifted and (control.expires is None or now_ms() < control.expires),
                "issued_by": control.issued_by,
                "issued_at": iso(control.issued_at),
                "expires": iso(control.expires) if control.expires else "",
                "reason": control.reason,
            }
            for control in around(given, codec).controls.all()
        ]
        emit(rows, format, empty="nothing is frozen, held or authorized")
        return
    if not reason:
        raise usage("no reason is given", "add --reason: whoever is refused wants to know")
    by = person(operator, key)
    target = Target(feeders=tuple(feeder or ()))
    name = "freeze" if not feeder else f"freeze-{'-'.join(sorted(feeder))}"
    before = around(given, codec).controls.get(name)
    if lift and (before is None or before.lifted):
        raise CommandError("nothing is frozen under that name", mend="`hes freeze --status` shows what is")
    control = Control(
        id=name,
        kind=ControlKind.FREEZE,
        lifted=lift,
        target=target,
        issued_by=by.name,
        # Two in a millisecond, or a clock set back: what is newer must say so.
        issued_at=max(now_ms(), before.issued_at + 1 if before is not None else 0),
        reason=reason,
        environment=given.environment,
    )
    heard = accepted(send_and_hear(given, codec, "hes.controls", control.id, control, seal(codec, control, given, by)))
    if not heard:
        say(f"[yellow]note[/]: it is written, and gateways obey it; {NOT_ANSWERED}")
    emit([{"control": name, "frozen": not lift, "reason": reason, "heard": heard}], format)


def register(app: typer.Typer) -> None:
    """Put the command on the tree."""
    app.command()(freeze)
