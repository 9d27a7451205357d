"""What a chart shows of a plan, and of a campaign that is under way."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from connectors.cli.firmware.chart import Band, Drawn, Load, save
from connectors.cli.firmware.planning import Planned, busiest
from connectors.cli.firmware.progress import counted, times_of
from connectors.cli.firmware.standing import Standing
from connectors.cli.output import say
from streams.firmware.plan import Plan
from streams.firmware.states import Meter as State


def plan_picture(found: Planned, file: Path) -> None:
    """Write a plan as a chart."""
    save(_drawn(found, found.plan.taking_part), file)
    say(f"chart: {file}")


def campaign_picture(found: Planned, standing: Standing, now_ms: int, file: Path) -> None:
    """Write a campaign's plan and what came of it so far as a chart."""
    campaign = standing.campaign
    done = counted(times_of(standing, (State.DONE,)))
    failed = counted(times_of(standing, (State.FAILED, State.SILENT)))
    start = campaign.began_at or campaign.received_at
    until = campaign.ended_at or now_ms
    drawn = _drawn(
        found,
        max(found.plan.taking_part, done[-1][1] if done else 0),
        done=[(start, 0), *done, (until, done[-1][1])] if done else [],
        failed=[(start, 0), *failed, (until, failed[-1][1])] if failed else [],
        now_ms=None if campaign.ended_at else now_ms,
    )
    save(drawn, file)
    say(f"chart: {file}")


def _drawn(
    found: Planned,
    meters: int,
    done: Sequence[tuple[int, int]] = (),
    failed: Sequence[tuple[int, int]] = (),
    now_ms: int | None = None,
) -> Drawn:
    made, manifest, terms = found.plan, found.manifest, found.parameters
    loads: dict[str, Load] = {}
    for network in dict.fromkeys(each.network for each in made.load):
        hours = [each for each in busiest(found) if each.network == network]
        loads[network] = Load(
            [each.hour for each in hours], [each.octets for each in hours], [each.budget for each in hours]
        )
    about = (
        f"{meters:,} meters · {manifest.size / 1000:,.0f} kB an image · canary {terms['canary']}, waves {terms['waves']}"
        f" · transfers {terms['windows']}"
    )
    return Drawn(
        title=f"Firmware {manifest.to_version} for {manifest.vendor} {manifest.model}",
        about=about,
        meters=meters,
        band=_band(made),
        ends=made.ends,
        done=done,
        failed=failed,
        now_ms=now_ms,
        loads=loads,
        zone=found.zone,
        zone_name=found.zone_name,
    )


def _band(made: Plan) -> list[Band]:
    """The plan's course, until it has most probably ended."""
    points = [Band(made.begin, 0, 0, 0)]
    for point in made.curve:
        # Points are a night or a day apart, so the one at which all have ended is behind the end.
        points.append(Band(min(point.at, max(made.ends[2], points[-1].at_ms)), point.p90, point.p50, point.p10))
        if point.at >= made.ends[2]:
            break
    return points
