"""A campaign live on the terminal, drawn from its record and its meters' states."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from connectors.cli.firmware.progress import BAD, ORDER, Expected, ended, left_out, minute, span, states_of
from connectors.cli.firmware.standing import Standing
from schemas.records import Campaign, CampaignState
from streams.firmware.states import Meter as State

_COLOURS = {
    CampaignState.PAUSED: "yellow",
    CampaignState.HALTED: "red",
    CampaignState.REJECTED: "red",
    CampaignState.DONE: "green",
}
_WIDTH = 32


def board(standing: Standing, networks: Mapping[str, Mapping[State, int]], expects: Expected) -> RenderableType:
    """What a person sees."""
    campaign, states = standing.campaign, states_of(standing)
    over, aside = ended(campaign, states), left_out(states)
    total = max(campaign.meters - aside, 1)
    head = Text.assemble(
        (f"firmware {campaign.to_version}", "bold"),
        f" for {campaign.vendor} {campaign.model}   campaign {campaign.id}   ",
        (campaign.state, f"bold {_COLOURS.get(campaign.state, 'cyan')}"),
        _where(campaign),
    )
    line = Table.grid(padding=(0, 2))
    bar = ProgressBar(total=total, completed=over, width=_WIDTH, complete_style=_COLOURS.get(campaign.state, "cyan"))
    line.add_row(bar, f"{100 * over / total:.1f} %", f"{over:,} of {campaign.meters - aside:,} meters ended")
    parts: list[RenderableType] = [head, line, _end(campaign, expects)]
    if campaign.code:
        parts.append(Text.assemble((campaign.code, "yellow"), f": {campaign.detail}"))
    parts += [Text(""), _table(networks or {"all": states})]
    return Group(*parts)


def _where(campaign: Campaign) -> str:
    if campaign.state is CampaignState.WAVES:
        return f"   wave {campaign.wave} of {campaign.waves}"
    return ""


def _end(campaign: Campaign, expects: Expected) -> Text:
    if campaign.ended_at:
        return Text(f"ended {minute(campaign.ended_at)}")
    found = Text()
    if len(campaign.ends) == 3:
        early, middle, late = map(minute, campaign.ends)
        found.append(f"planned to end {middle} (8 of 10 courses: {early[:10]} to {late[:10]})")
    if campaign.state is CampaignState.PAUSED:
        found.append("\npaused: nothing is sent", "yellow")
    elif expects.at_ms is not None and campaign.began_at is not None:
        found.append(f"\nnow expected {minute(expects.at_ms)}, ")
        late_ms = expects.behind_ms
        words = (
            f"{span(late_ms)} {'behind' if late_ms > 0 else 'ahead of'} the plan" if abs(late_ms) >= 60_000 else "as planned"
        )
        found.append(words, "yellow" if late_ms > 86_400_000 else "green")
    return found


def _table(networks: Mapping[str, Mapping[State, int]]) -> Table:
    shown = [state for state in ORDER if any(counts.get(state) for counts in networks.values())]
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("network")
    table.add_column("meters", justify="right")
    for state in shown:
        table.add_column(state.value, justify="right", style="red" if state in BAD else "")
    rows = dict(networks)
    if len(rows) > 1:
        rows["all"] = {state: sum(counts.get(state, 0) for counts in networks.values()) for state in shown}
    for name, counts in rows.items():
        cells = [f"{counts.get(state, 0):,}" for state in shown]
        table.add_row(name, f"{sum(counts.values()):,}", *cells, style="bold" if name == "all" and len(rows) > 1 else "")
    return table
