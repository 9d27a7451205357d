"""The plan of a campaign: asked of the planner of streams/firmware, and told in rows. Nothing is written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, tzinfo
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from connectors.cli.failure import CommandError
from connectors.cli.firmware.images import one, shelf, sound
from connectors.cli.firmware.progress import span
from connectors.cli.firmware.standing import Standing
from connectors.cli.firmware.wish import Wish, checked_terms, parameters_of
from connectors.cli.output import Format, chosen, dumps, emit, say
from connectors.cli.signing import around, now_ms
from connectors.cli.topics import decoded, read_topic
from connectors.cli.watching import encoded
from schemas.codec import Codec
from schemas.records import FirmwareManifest, Meter, Target
from streams.firmware.fleet import LEFT_OUT, Fleet, Kind
from streams.firmware.plan import Load, Plan, plan
from streams.firmware.states import ASIDE, LETTERS
from streams.runtime.authority.terms import Terms
from streams.runtime.clock import iso
from streams.runtime.settings import Settings

METERS = "hes.meters"
_LISTED = 5


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan, and what it is of."""

    manifest: FirmwareManifest
    parameters: dict[str, str]
    terms: Terms
    target: Target
    plan: Plan
    zone_name: str

    @property
    def zone(self) -> tzinfo:
        """The time zone that most of the meters have."""
        return zone_of(self.zone_name)


@dataclass(frozen=True, slots=True)
class HourLoad:
    """What a network carries in an hour of the day, on its busiest day, and may carry."""

    network: str
    hour: int
    octets: float
    budget: float


def fleet_of(given: Settings) -> Fleet:
    """The meters as streams/firmware knows them."""
    found = Fleet()
    for message, record in decoded(given, read_topic(given, METERS)):
        key = (message.key() or b"").decode("utf-8", "replace")
        if message.value() is None:
            found.apply(key, None)
        elif isinstance(record, Meter):
            found.apply(key, record, message.partition() or 0)
    return found


def planned(given: Settings, image: str, wish: Wish) -> Planned:
    """The plan of what is wished for; `CommandError` where the image, a term or the target is wrong."""
    target = wish.target()
    codec = encoded(given)
    world = around(given, codec)
    found = shelf(given, codec, world)
    manifest = sound(found, one(found, image))
    if fault := found.fault(manifest):
        raise CommandError(
            f"the octets of image {manifest.id[:12]} are not sound ({fault})", mend="`hes firmware add` it again"
        )
    parameters = parameters_of(wish, manifest, found.book.value(manifest.id))
    fleet = fleet_of(given)
    meters = fleet.resolve(target)
    if missing := sorted(set(target.meters) - set(meters)):
        raise CommandError(
            f"{', '.join(missing[:_LISTED])} are not known or not in service", mend="`hes meters list` shows who is there"
        )
    if not meters:
        raise CommandError("nobody known and in service is meant by that", mend="`hes meters list` shows who is there")
    terms = checked_terms(parameters)
    kinds = Counter(map(fleet.kind, meters))
    zone = world.policy.time_zone
    made = plan(kinds, manifest, terms, given.firmware, now_ms(), zone=zone, meters_in=fleet.meters_in)
    return Planned(manifest, parameters, terms, target, made, zone_name(kinds, zone))


def planned_again(given: Settings, codec: Codec, standing: Standing, fleet: Fleet) -> Planned:
    """The plan of a campaign on the books, from when it was begun, for the meters that take part in it.

    What they report meanwhile is left out of account: those that are done would seem to need nothing.
    """
    campaign, world = standing.campaign, around(given, codec)
    found, zone = shelf(given, codec, world), world.policy.time_zone
    manifest = sound(found, campaign.parameters.get("image", ""))
    terms = checked_terms(campaign.parameters)
    aside = {LETTERS[state] for state in ASIDE}
    kinds: Counter[Kind] = Counter()
    for number, slice_ in standing.meters_of.items():
        record = standing.progress_of.get(number)
        states = record.states if record is not None else bytes(len(slice_.meters))
        kinds.update(fleet.kind(meter) for meter, state in zip(slice_.meters, states, strict=False) if state not in aside)
    unknown = Counter[Kind]()
    for kind, count in kinds.items():
        unknown[replace(kind, firmware="")] += count
    begin = campaign.began_at or campaign.received_at
    made = plan(unknown, manifest, terms, given.firmware, begin, zone=zone, meters_in=fleet.meters_in)
    return Planned(manifest, dict(campaign.parameters), terms, campaign.target, made, zone_name(kinds, zone))


def zone_name(kinds: Counter[Kind], otherwise: str) -> str:
    """The time zone that most meters have; a meter that has none has the policy's."""
    zones = Counter({otherwise: 0})
    for kind, count in kinds.items():
        zones[kind.time_zone or otherwise] += count
    return zones.most_common(1)[0][0]


def zone_of(name: str) -> tzinfo:
    """A time zone by its IANA name; UTC where there is none of this name."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return UTC


def busiest(found: Planned) -> list[HourLoad]:
    """The load by network and local hour, of the night in which each network carries most."""
    nights: dict[str, dict[date, list[Load]]] = {}
    for load in found.plan.load:
        nights.setdefault(load.network, {}).setdefault(_night(found, load.at), []).append(load)
    rows: list[HourLoad] = []
    for network, of_network in nights.items():
        hours: dict[int, HourLoad] = {}
        for load in max(of_network.values(), key=lambda loads: sum(load.octets for load in loads)):
            hour = datetime.fromtimestamp(load.at / 1000, found.zone).hour
            before = hours.get(hour, HourLoad(network, hour, 0.0, 0.0))
            hours[hour] = replace(before, octets=before.octets + load.octets, budget=before.budget + load.budget)
        rows += hours.values()
    return rows


def _night(found: Planned, at_ms: int) -> date:
    """The night that an hour belongs to, also where it is over midnight: nights part in the longest pause."""
    windows = found.terms.windows
    pauses = [
        ((after.start - before.end) % 1_440, before.end)
        for before, after in zip(windows, (*windows[1:], windows[0]), strict=True)
    ]
    return datetime.fromtimestamp(at_ms / 1000 - max(pauses)[1] % 1_440 * 60, found.zone).date()


def as_object(found: Planned) -> dict[str, Any]:
    """A plan as one object."""
    made = found.plan
    early, middle, late = made.ends
    return {
        "image": found.manifest.id,
        "version": found.manifest.to_version,
        "meters": made.meters,
        "taking_part": made.taking_part,
        "left_out": [{"code": code, "meters": many, "why": LEFT_OUT.get(code, "")} for code, many in made.left_out.items()],
        "begin": iso(made.begin),
        "end": {"p10": iso(early), "p50": iso(middle), "p90": iso(late)},
        "duration_s": {name: (at - made.begin) // 1000 for name, at in zip(("p10", "p50", "p90"), made.ends, strict=True)},
        "bound": {
            "end": iso(made.bound.end),
            "nights": round(made.bound.nights, 1),
            "network": made.bound.network,
            "segment": made.bound.segment,
        },
        "load": [
            {"network": load.network, "hour": load.hour, "octets": round(load.octets), "budget": round(load.budget)}
            for load in busiest(found)
        ],
        "time_zone": found.zone_name,
        "segments": [
            {
                "network": need.network,
                "segment": need.segment,
                "meters": need.meters,
                "octets_a_night": round(need.octets_a_night),
                "nights": round(need.nights, 1),
            }
            for need in made.segments[:_LISTED]
        ],
        "parameters": found.parameters,
    }


def print_plan(found: Planned, format: Format | None) -> None:  # noqa: A002 - the option's name
    """Print it: one object, or tables for a person."""
    whole = as_object(found)
    if chosen(format) is Format.JSON:
        print(dumps(whole))
        return
    for title, rows in _tables(found, whole):
        say(f"[bold]{title}[/]")
        emit(rows, format)
        say("")
    if not found.plan.taking_part:
        say("[yellow]note[/]: nobody can take part")
    say("nothing was sent or written; `hes firmware propose` with the same options proposes it")


def _tables(found: Planned, whole: dict[str, Any]) -> Sequence[tuple[str, list[dict[str, Any]]]]:
    made = found.plan
    summary = [
        {
            "meters": f"{made.meters:,}",
            "taking part": f"{made.taking_part:,}",
            "begins": whole["begin"],
            "ends (median)": whole["end"]["p50"],
            "takes": span(made.ends[1] - made.begin),
            "8 of 10 courses": f"{span(made.ends[0] - made.begin)} to {span(made.ends[2] - made.begin)}",
            "no sooner than": whole["bound"]["end"],
        }
    ]
    load = [
        {
            "network": each["network"],
            "hour": f"{each['hour']:02d}:00",
            "MB": round(each["octets"] / 1e6, 1),
            "MB allowed": round(each["budget"] / 1e6, 1),
            "of it": f"{100 * each['octets'] / each['budget']:.0f} %" if each["budget"] else "",
        }
        for each in whole["load"]
    ]
    tables = [(f"firmware {found.manifest.to_version} for {found.manifest.vendor} {found.manifest.model}", summary)]
    if whole["left_out"]:
        tables.append(("meters that cannot take part", whole["left_out"]))
    if load:
        tables.append((f"load by network and hour, in the busiest night, time of {found.zone_name}", load))
    if whole["segments"]:
        tables.append(("the segments that take longest, at least", whole["segments"]))
    return tables
