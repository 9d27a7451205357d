"""The commands of `hes firmware` that are about campaigns: planned, proposed, steered, watched."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from connectors.cli import context
from connectors.cli.failure import DONE_WITH_FAILURES
from connectors.cli.options import AsOption, KeyOption
from connectors.cli.output import Format, FormatOption, chosen, emit, say
from schemas.records import CampaignState, Verdict

if TYPE_CHECKING:  # what a command needs is imported when it runs
    from connectors.cli.firmware.wish import Wish

Image = Annotated[str, typer.Argument(metavar="IMAGE", help="its id, as much of it as no other has, or its version")]
Campaign = Annotated[str, typer.Argument(metavar="CAMPAIGN", help="its id, or as much of it as no other has")]
Reason = Annotated[str, typer.Option(help="why; it is on the audit chain")]
Meter = Annotated[list[str] | None, typer.Option("--meter", help="this meter; several times")]
Group = Annotated[list[str] | None, typer.Option("--group", help="the meters of a group")]
Segment = Annotated[list[str] | None, typer.Option("--segment", help="… of a segment")]
Transformer = Annotated[list[str] | None, typer.Option("--transformer", help="… below a transformer")]
Feeder = Annotated[list[str] | None, typer.Option("--feeder", help="… below a feeder")]
Canary = Annotated[str, typer.Option(help="the first meters: a number, a share, or group:NAME")]
Wave = Annotated[str, typer.Option("--wave", help="shares that each wave opens, such as 1%,5%,25%; the last is all")]
WindowOption = Annotated[str, typer.Option("--window", help="meters' local time in which images are sent: 00:00-04:00")]
Activate = Annotated[str, typer.Option(help="now, verified (bring it only), or a time with its offset")]
Soak = Annotated[str, typer.Option(help="how long a wave is watched before the next one: 18h, 2d")]
From = Annotated[str, typer.Option("--from", help="only meters with one of these versions, by commas")]
Skip = Annotated[str, typer.Option("--skip-group", help="groups that are left out, by commas")]
Downgrade = Annotated[bool, typer.Option("--downgrade", help="an earlier version is meant: the way back")]
Setting = Annotated[list[str] | None, typer.Option("--set", help="any other term, NAME=VALUE: see `hes firmware terms`")]
Plot = Annotated[
    Path | None,
    typer.Option("--plot", help="write a chart: FILE.svg, or FILE.png where rsvg-convert is there", dir_okay=False),
]


def terms(format: FormatOption = None) -> None:  # noqa: A002 - the option's name
    """List what a campaign may be told: every term, its default, its meaning."""
    from connectors.cli.firmware.wish import told

    emit(told(), format)


def plan(
    image: Image,
    meter: Meter = None,
    group: Group = None,
    segment: Segment = None,
    transformer: Transformer = None,
    feeder: Feeder = None,
    canary: Canary = "",
    wave: Wave = "",
    window: WindowOption = "",
    activate: Activate = "",
    soak: Soak = "",
    from_: From = "",
    skip_group: Skip = "",
    downgrade: Downgrade = False,
    setting: Setting = None,
    plot: Plot = None,
    format: FormatOption = None,  # noqa: A002 - the option's name
) -> None:
    """Tell how long a campaign would take, what it would load, and who cannot take part. Nothing is sent or written."""
    from connectors.cli.firmware.planning import planned, print_plan

    terms_ = _terms(canary, wave, window, activate, soak, from_, skip_group, downgrade)
    wish = _wish((meter, group, segment, transformer, feeder), terms_, setting)
    found = planned(context.settings(), image, wish)
    print_plan(found, format)
    if plot is not None:
        from connectors.cli.firmware.picture import plan_picture

        plan_picture(found, plot)


def propose(
    image: Image,
    reason: Reason,
    meter: Meter = None,
    group: Group = None,
    segment: Segment = None,
    transformer: Transformer = None,
    feeder: Feeder = None,
    canary: Canary = "",
    wave: Wave = "",
    window: WindowOption = "",
    activate: Activate = "",
    soak: Soak = "",
    from_: From = "",
    skip_group: Skip = "",
    downgrade: Downgrade = False,
    setting: Setting = None,
    operator: AsOption = "",
    key: KeyOption = None,
    format: FormatOption = None,  # noqa: A002 - the option's name
) -> None:
    """Propose a campaign, with the options of `plan`. Nothing is sent to a meter before somebody else approves it."""
    from connectors.cli.firmware.proposing import propose_campaign
    from connectors.cli.signing import person

    terms_ = _terms(canary, wave, window, activate, soak, from_, skip_group, downgrade)
    wish = _wish((meter, group, segment, transformer, feeder), terms_, setting)
    row = propose_campaign(context.settings(), image, wish, reason, person(operator, key))
    emit([row], format)


def steering(name: str, verdict: Verdict, what: str) -> Callable[..., None]:
    """The command that decides so on a campaign."""

    def command(
        campaign: Campaign,
        reason: Reason,
        operator: AsOption = "",
        key: KeyOption = None,
        format: FormatOption = None,  # noqa: A002 - the option's name
    ) -> None:
        steer(campaign, verdict, reason, operator, key, format)

    command.__name__, command.__doc__ = name, what
    return command


STEERING = (
    steering(
        "pause",
        Verdict.PAUSE,
        "Pause a campaign: what is under way stops after its block until it is resumed; nothing is lost.",
    ),
    steering(
        "resume", Verdict.RESUME, "Let a paused campaign go on where it stopped; somebody who may approve it decides that."
    ),
    steering(
        "halt",
        Verdict.CANCEL,
        "End a campaign for good. Meters keep what they have; the way back is a campaign with the earlier image.",
    ),
)
"""Commands that are a decision each."""


def steer(
    name: str,
    verdict: Verdict,
    reason: str,
    operator: str,
    key: Path | None,
    format: Format | None,  # noqa: A002 - the option's name
) -> None:
    """Sign a decision on a campaign, wait until it is heard, and print where the campaign stands."""
    from connectors.cli.firmware.deciding import decide
    from connectors.cli.firmware.progress import row
    from connectors.cli.firmware.standing import campaigns
    from connectors.cli.signing import person
    from connectors.cli.watching import encoded

    given, by = context.settings(), person(operator, key)
    codec = encoded(given)
    found = campaigns(given, codec).one(name)
    heard = decide(given, codec, found, verdict, reason, by)
    standing = campaigns(given, codec).one(found.campaign.id)
    emit([row(standing) | {"heard": heard}], format)


def status(
    campaign: Annotated[str, typer.Argument(metavar="[CAMPAIGN]", help="without it, every campaign in a row")] = "",
    meters: Annotated[
        bool, typer.Option("--meters", help="each meter in a row: state, code, attempts, share of the image")
    ] = False,
    state: Annotated[str, typer.Option(help="with --meters: only in this state, such as failed")] = "",
    plot: Plot = None,
    format: FormatOption = None,  # noqa: A002 - the option's name
) -> None:
    """Show campaigns; of one, its meters by state and network, and when it is expected to end."""
    from connectors.cli.firmware.progress import row
    from connectors.cli.firmware.standing import campaigns
    from connectors.cli.watching import encoded

    given = context.settings()
    found = campaigns(given, encoded(given))
    if not campaign:
        rows = [row(each) for each in found.all()]
        emit(rows, format, empty="no campaigns; `hes firmware propose IMAGE --group …` proposes one")
        return
    standing = found.one(campaign)
    if meters:
        from connectors.cli.firmware.progress import each_meter

        emit(each_meter(standing, state), format, empty="no such meters")
        return
    from connectors.cli.firmware.view import View

    view = View(given, standing)
    view.show(format)
    if plot is not None:
        view.draw(plot)


def watch(
    campaign: Campaign,
    seconds: Annotated[float | None, typer.Option("--for", help="seconds; else until it has ended", min=0)] = None,
    plot: Plot = None,
    format: FormatOption = None,  # noqa: A002 - the option's name
) -> None:
    """Watch a campaign until it has ended: live on a terminal; with --format json, one object at its end."""
    from connectors.cli.firmware.standing import campaigns
    from connectors.cli.firmware.view import View
    from connectors.cli.watching import encoded

    given = context.settings()
    found = campaigns(given, encoded(given)).one(campaign)
    view = View(given, found)
    if seconds is None and found.campaign.state is CampaignState.DRAFT:
        say(f"nothing is sent before it is approved: `hes approve {found.campaign.id}`; Ctrl-C ends watching")
    last = view.follow(seconds, live=chosen(format) is not Format.JSON)
    view.show(format)
    if plot is not None:
        view.draw(plot)
    if last.state in (CampaignState.HALTED, CampaignState.REJECTED) or view.bad():
        raise typer.Exit(DONE_WITH_FAILURES)


def _wish(who: Sequence[list[str] | None], terms_: Mapping[str, str], setting: list[str] | None) -> Wish:
    from connectors.cli.firmware.wish import Wish

    meters, groups, segments, transformers, feeders = (names or [] for names in who)
    return Wish(meters, groups, segments, transformers, feeders, terms_, setting or [])


def _terms(
    canary: str, wave: str, window: str, activate: str, soak: str, from_: str, skip: str, downgrade: bool
) -> dict[str, str]:
    return {
        "canary": canary,
        "waves": wave,
        "windows": window,
        "activate": activate,
        "soak": soak,
        "from": from_,
        "skip-groups": skip,
        "downgrade": "yes" if downgrade else "",
    }


def register(firmware: typer.Typer) -> None:
    """Put the commands on the group."""
    for command in (terms, plan, propose, *STEERING, status, watch):
        firmware.command()(command)
