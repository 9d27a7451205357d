"""`hes disconnect`, `hes reconnect`, `hes approve`, `hes reject`, `hes cancel`, `hes commands`: commands to meters."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from connectors.cli import context
from connectors.cli.failure import DONE_WITH_FAILURES, CommandError
from connectors.cli.options import AsOption, KeyOption
from connectors.cli.output import Format, FormatOption, dumps, emit, row_of, say
from schemas.records import CampaignState, CommandAck, CommandRequest, CommandState, Operation, Verdict

Ids = Annotated[list[str] | None, typer.Argument(metavar="[ID...]", help="meters, by id")]
Reason = Annotated[str, typer.Option(help="why; it is on the audit chain")]
Group = Annotated[list[str] | None, typer.Option("--group", help="the meters of a group")]
Segment = Annotated[list[str] | None, typer.Option("--segment", help="… of a segment")]
Transformer = Annotated[list[str] | None, typer.Option("--transformer", help="… below a transformer")]
Feeder = Annotated[list[str] | None, typer.Option("--feeder", help="… below a feeder")]
Wait = Annotated[bool, typer.Option("--wait", help="until it has ended; else until it is sent, or waits for a decision")]
Timeout = Annotated[float, typer.Option(min=1, help="seconds to wait at most")]
Command = Annotated[
    str, typer.Argument(metavar="COMMAND", help="its id (a campaign's too), or as much of it as no other has")
]
_SETTLE_S = 1.0
_PAUSES = (CommandState.AWAITING_APPROVAL, CommandState.SENT)
_BAD_ENDS = {CommandState.REJECTED, CommandState.FAILED, CommandState.EXPIRED, CommandState.OUTCOME_UNKNOWN}
_MEANT = {Verdict.REJECT: "decision-rejected", Verdict.CANCEL: "command-cancelled"}
commands = typer.Typer(help="Commands: what was asked of meters, and where it stands.", no_args_is_help=True)


def disconnect(
    reason: Reason,
    ids: Ids = None,
    group: Group = None,
    segment: Segment = None,
    transformer: Transformer = None,
    feeder: Feeder = None,
    operator: AsOption = "",
    key: KeyOption = None,
    wait: Wait = False,
    timeout: Timeout = 120,
    format: FormatOption = None,  # noqa: A002 - the option's name
) -> None:
    """Ask for the supply of meters to be cut off. Another meter operator must approve it; nobody does that alone."""
    who = (ids, group, segment, transformer, feeder)
    ask_for(Operation.DISCONNECT, who, reason, operator, key, wait, timeout, format)


def reconnect(
    reason: Reason,
    ids: Ids = None,
    group: Group = None,
    segment: Segment = None,
    transformer: Transformer = None,
    feeder: Feeder = None,
    arm: Annotated[bool, typer.Option("--arm", help="only make it ready: the customer presses the button")] = False,
    operator: AsOption = "",
    key: KeyOption = None,
    wait: Wait = False,
    timeout: Timeout = 120,
    format: FormatOption = None,  # noqa: A002 - the option's name
) -> None:
    """Bring the supply of meters back, or arm them so that the customer can."""
    who = (ids, group, segment, transformer, feeder)
    ask_for(
        Operation.ARM_FOR_RECONNECTION if arm else Operation.RECONNECT, who, reason, operator, key, wait, timeout, format
    )


def approve(
    command: Command,
    reason: Annotated[str, typer.Option(help="why, where there is something to say")] = "",
    operator: AsOption = "",
    key: KeyOption = None,
    wait: Wait = False,
    timeout: Timeout = 120,
    format: FormatOption = None,  # noqa: A002 - the option's name
) -> None:
    """Approve a command or a firmware campaign that somebody else asked for: exactly this request and these meters, here."""
    _decide(command, Verdict.APPROVE, reason, operator, key, wait, timeout, format)


def reject(
    command: Command,
    reason: Reason,
    operator: AsOption = "",
    key: KeyOption = None,
    timeout: Timeout = 60,
    format: FormatOption = None,  # noqa: A002 - the option's name
) -> None:
    """Reject a command that waits for a decision."""
    _decide(command, Verdict.REJECT, reason, operator, key, False, timeout, format)


def cancel(
    command: Command,
    reason: Reason,
    operator: AsOption = "",
    key: KeyOption = None,
    timeout: Timeout = 60,
    format: FormatOption = None,  # noqa: A002 - the option's name
) -> None:
    """Take a command back, or the rest of one whose jobs are not all issued. What was sent cannot be recalled."""
    _decide(command, Verdict.CANCEL, reason, operator, key, False, timeout, format)


@commands.command("list")
def list_(
    state: Annotated[CommandState | None, typer.Option(help="in this state only")] = None,
    waiting: Annotated[bool, typer.Option("--waiting", help="only those that wait for a decision")] = False,
    format: FormatOption = None,  # noqa: A002 - the option's name
) -> None:
    """List the commands on the books, the latest last."""
    from connectors.cli.asking import standing
    from connectors.cli.firmware.standing import campaigns
    from connectors.cli.watching import encoded
    from streams.runtime.clock import iso

    given = context.settings()
    codec = encoded(given)
    wanted = CommandState.AWAITING_APPROVAL if waiting else state
    rows: list[dict[str, Any]] = []
    known = standing(given, codec)
    for case, status in sorted(known.values(), key=lambda pair: pair[0].received_at):
        request = codec.decode(case.request)
        if isinstance(request, CommandRequest) and wanted in (None, status.state):
            meters = ", ".join(case.meters[:3]) + (f" and {len(case.meters) - 3} more" if len(case.meters) > 3 else "")
            rows.append(
                {
                    "command": case.id,
                    "state": status.state,
                    "operation": request.operation,
                    "meters": meters,
                    "requested_by": request.requested_by,
                    "reason": request.reason,
                    "received": iso(case.received_at),
                    "code": status.code,
                }
            )
    if waiting:
        rows += [
            {
                "command": each.campaign.id,
                "state": CommandState.AWAITING_APPROVAL,
                "operation": Operation.FIRMWARE_TRANSFER,
                "meters": f"{each.campaign.meters} meters: `hes firmware status {each.campaign.id}`",
                "requested_by": each.request(codec).requested_by,
                "reason": each.request(codec).reason,
                "received": iso(each.campaign.received_at),
                "code": each.campaign.code,
            }
            for each in campaigns(given, codec).all()
            if each.campaign.state is CampaignState.DRAFT
        ]
    empty = "no commands on the books; `hes disconnect`, `hes reconnect` and `hes read` ask for some"
    if known:
        empty = f"none of the {len(known):,} commands on the books is so"
    emit(rows, format, empty="nothing waits for a decision" if waiting else empty)


@commands.command()
def show(command: Command) -> None:
    """Show a command: what was asked, who decided, what became of each meter."""
    from connectors.cli.asking import one, standing
    from connectors.cli.watching import encoded
    from schemas.signatures import digest

    given = context.settings()
    codec = encoded(given)
    case, status = one(standing(given, codec), command)
    jobs = dict(zip(case.meters, (_LETTERS.get(letter, "?") for letter in status.outcomes), strict=False))
    print(
        dumps(
            {
                "command": case.id,
                "state": status.state,
                "code": status.code,
                "detail": status.detail,
                "request": row_of(codec.decode(case.request)),
                "digest": digest(case.request),
                "decisions": [row_of(codec.decode(value)) for value in status.decisions],
                "meters": jobs or list(case.meters),
            }
        )
    )


_LETTERS = {
    ord(letter): words
    for letter, words in {
        "q": "queued",
        "s": "sent",
        "d": "done",
        "f": "failed",
        "x": "expired",
        "c": "cancelled",
        "r": "refused",
        "u": "outcome unknown",
    }.items()
}


def ask_for(
    operation: Operation,
    who: tuple[list[str] | None, ...],
    reason: str,
    operator: str,
    key: Path | None,
    wait: bool,
    timeout: float,
    format: Format | None,  # noqa: A002 - the option's name
    parameters: dict[str, str] | None = None,
) -> None:
    """Write a signed request and follow it. `who`: meters, groups, segments, transformers, feeders."""
    from connectors.cli.asking import ACKS, ask, follow, request_of, target_of
    from connectors.cli.signing import person
    from connectors.cli.watching import Watch, encoded
    from streams.runtime.authority.targets import is_empty

    target = target_of(*(names or [] for names in who))
    if is_empty(target):
        raise CommandError(
            "no meter is named", mend="name meters, or --group, --segment, --transformer, --feeder", exit_code=2
        )
    given, by = context.settings(), person(operator, key)
    codec = encoded(given)
    with Watch(given, [ACKS], codec) as watch:
        request = request_of(given, by.name, operation, target, reason=reason, parameters=parameters or {})
        ask(watch, given, codec, request, by)
        _until(follow(watch, request.id, target.meters, timeout, None if wait else _SETTLE_S), wait, format)


def _decide(
    command: str,
    verdict: Verdict,
    reason: str,
    operator: str,
    key: Path | None,
    wait: bool,
    timeout: float,
    format: Format | None,  # noqa: A002 - the option's name
) -> None:
    from connectors.cli.asking import ACKS, follow, one, standing
    from connectors.cli.commands.campaigns import steer
    from connectors.cli.deciding import decide
    from connectors.cli.firmware.standing import campaigns
    from connectors.cli.signing import person
    from connectors.cli.watching import Watch, encoded

    given, by = context.settings(), person(operator, key)
    codec = encoded(given)
    known = standing(given, codec)
    if not any(name.startswith(command) for name in known) and campaigns(given, codec).named(command):
        steer(command, verdict, reason, operator, key, format)
        return
    found = one(known, command)
    case = found[0]
    with Watch(given, [ACKS], codec) as watch:
        decide(watch, given, codec, found, verdict, reason, by)
        acks = follow(watch, case.id, case.meters[:1], timeout, None if wait else _SETTLE_S)
        _until(acks, wait, format, _MEANT.get(verdict, ""))


def _until(acks: Iterator[CommandAck], wait: bool, format: Format | None, meant: str = "") -> None:  # noqa: A002 - the option's name
    """Follow a command as far as it is asked; what came last is what is printed. `meant` is the code that was the aim."""
    from connectors.cli.asking import ENDED, row

    last: CommandAck | None = None
    for ack in acks:
        last = ack
        if ack.state in ENDED or ack.code or (ack.state in _PAUSES and not wait):
            break
    if last is None:
        return
    emit([row(last)], format)
    if last.state is CommandState.QUEUED and not wait:
        say("[yellow]note[/]: its jobs are issued one after the other; `hes commands show` tells later")
    elif last.state not in ENDED and wait:
        say("[yellow]note[/]: it has not ended yet; `hes commands show` tells later")
    if (last.code and last.code != meant) or last.state in _BAD_ENDS - ({CommandState.REJECTED} if meant else set()):
        raise typer.Exit(DONE_WITH_FAILURES)


def register(app: typer.Typer) -> None:
    """Put the commands on the tree."""
    for command in (disconnect, reconnect, approve, reject, cancel):
        app.command()(command)
    app.add_typer(commands, name="commands")
