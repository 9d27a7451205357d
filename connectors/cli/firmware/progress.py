"""How far a campaign is: meters by state and network, and when it is expected to end, held against its plan. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from connectors.cli.firmware.standing import ENDED, Standing
from schemas.records import Campaign, CampaignProgress, CampaignState
from streams.firmware.states import ASIDE, LETTERS, OF_LETTER
from streams.firmware.states import ENDED as METERS_ENDED
from streams.firmware.states import Meter as State
from streams.runtime.authority.terms import VERIFIED
from streams.runtime.clock import iso

_DAY_MS = 86_400_000
ORDER = tuple(State)
"""Meters' states in the order in which they are told."""
BAD = frozenset({State.FAILED, State.SILENT})


@dataclass(frozen=True, slots=True)
class Expected:
    """When it ends."""

    at_ms: int | None
    """None: nobody can say, since it does not go on."""
    behind_ms: int
    """The plan; negative where it is ahead."""


class Tally:
    """Meters by network and state. Of a slice that did not change nothing is counted again."""

    def __init__(self, networks: Mapping[str, str]) -> None:
        self._networks = networks
        self._names: list[str] = sorted(set(networks.values()) | {"UNKNOWN"})
        self._places: dict[int, np.ndarray[Any, np.dtype[np.int64]]] = {}
        self._counted: dict[int, tuple[CampaignProgress, dict[str, Counter[State]]]] = {}

    def of(self, standing: Standing) -> dict[str, Counter[State]]:
        """Networks that have meters in the campaign, with how many stand where."""
        found: dict[str, Counter[State]] = {}
        for number in standing.progress_of:
            for network, states in self._slice(standing, number).items():
                found.setdefault(network, Counter()).update(states)
        return dict(sorted(found.items()))

    def _slice(self, standing: Standing, number: int) -> dict[str, Counter[State]]:
        record = standing.progress_of[number]
        known = self._counted.get(number)
        if known is not None and known[0] is record:
            return known[1]
        letters = np.frombuffer(record.states, dtype=np.uint8).astype(np.int64)
        places = self._of_meters(standing, number)[: len(letters)]
        pairs = np.bincount(places * 256 + letters[: len(places)], minlength=len(self._names) * 256)
        found: dict[str, Counter[State]] = {}
        for place, name in enumerate(self._names):
            states = Counter({OF_LETTER[letter]: int(pairs[place * 256 + letter]) for letter in OF_LETTER})
            if states.total():
                found[name] = +states
        self._counted[number] = (record, found)
        return found

    def _of_meters(self, standing: Standing, number: int) -> np.ndarray[Any, np.dtype[np.int64]]:
        if number not in self._places:
            meters = standing.meters_of[number].meters if number in standing.meters_of else ()
            at = {name: place for place, name in enumerate(self._names)}
            known = [at[self._networks.get(meter, "UNKNOWN")] for meter in meters]
            self._places[number] = np.array(known, dtype=np.int64)
        return self._places[number]


def states_of(standing: Standing) -> Counter[State]:
    """Meters by state."""
    found: Counter[State] = Counter()
    for record in standing.progress_of.values():
        found.update({state: record.states.count(letter) for state, letter in LETTERS.items()})
    return +found


def ended(campaign: Campaign, states: Mapping[State, int]) -> int:
    """Meters that take part, and for which nothing follows by itself: one that has verified the image, where that is all
    that is asked.
    """
    over = METERS_ENDED | {State.VERIFIED} if campaign.parameters.get("activate") == VERIFIED else METERS_ENDED
    return sum(count for state, count in states.items() if state in over - ASIDE)


def left_out(states: Mapping[State, int]) -> int:
    """Meters that take no part."""
    return sum(count for state, count in states.items() if state in ASIDE)


def times_of(standing: Standing, states: Sequence[State]) -> list[int]:
    """When meters came to be in one of these states, rising, in milliseconds."""
    found: list[np.ndarray[Any, np.dtype[np.int64]]] = []
    wanted = np.array([LETTERS[state] for state in states], dtype=np.uint8)
    for record in standing.progress_of.values():
        letters = np.frombuffer(record.states, dtype=np.uint8)
        seconds = np.frombuffer(record.times[: len(letters) * 4], dtype="<u4").astype(np.int64)
        found.append(seconds[np.isin(letters[: len(seconds)], wanted)] * 1000)
    whole = np.sort(np.concatenate(found)) if found else np.array([], dtype=np.int64)
    return [int(value) for value in whole]


def counted(times: Sequence[int], most: int = 300) -> list[tuple[int, int]]:
    """Times as a rising count, so many points at most."""
    if not times:
        return []
    every = -(-len(times) // most)
    points = [(times[index], index + 1) for index in range(0, len(times), every)]
    return [*points, (times[-1], len(times))]


def expected(standing: Standing, curve: Sequence[tuple[int, float]], now_ms: int) -> Expected:
    """When it ends, if from now on it goes as planned.

    `curve`: time and meters that have ended by then, as planned in half of all courses. The campaign is where the plan was
    when as many had ended; what it is later than that, it ends later.
    """
    campaign = standing.campaign
    if campaign.state in ENDED:
        return Expected(campaign.ended_at, 0)
    if not campaign.ends:
        return Expected(None, 0)
    planned = campaign.ends[len(campaign.ends) // 2]
    if campaign.state is CampaignState.PAUSED:
        return Expected(None, 0)
    behind = 0 if campaign.began_at is None else _behind(curve, ended(campaign, states_of(standing)), now_ms)
    return Expected(max(planned + behind, now_ms), behind)


def _behind(curve: Sequence[tuple[int, float]], count: int, now_ms: int) -> int:
    """How much later than planned so many have ended. Between two nights nothing ends in the plan either: on time."""
    since = next((at for at, many in curve if many >= count), now_ms)
    until = next((at for at, many in curve if many > count), now_ms)
    return now_ms - since if now_ms < since else max(0, now_ms - until)


def minute(at_ms: int) -> str:
    """A time as a person reads it, in UTC."""
    return f"{iso(at_ms)[:16].replace('T', ' ')} UTC"


def span(milliseconds: float) -> str:
    """A time span as a person says it: 40 min, 5 h, 3.4 days."""
    size = abs(milliseconds)
    if size < 90 * 60_000:
        return f"{size / 60_000:.0f} min"
    return f"{size / 3_600_000:.0f} h" if size < 2 * _DAY_MS else f"{size / _DAY_MS:.1f} days"


def row(standing: Standing) -> dict[str, Any]:
    """A campaign in one row. Meters are those that take part."""
    campaign, states = standing.campaign, states_of(standing)
    return {
        "campaign": campaign.id,
        "state": campaign.state,
        "code": campaign.code,
        "vendor": campaign.vendor,
        "model": campaign.model,
        "version": campaign.to_version,
        "meters": campaign.meters - left_out(states),
        "left_out": left_out(states),
        "ended": ended(campaign, states),
        "done": states[State.DONE],
        "bad": sum(states[state] for state in BAD),
        "wave": f"{campaign.wave} of {campaign.waves}",
    }


def told(standing: Standing, networks: Mapping[str, Mapping[State, int]], expects: Expected) -> dict[str, Any]:
    """A campaign in full, as one object."""
    campaign, states = standing.campaign, states_of(standing)
    at = {name: iso(value) if value else None for name, value in _times(campaign).items()}
    ends = dict(zip(("p10", "p50", "p90"), map(iso, campaign.ends), strict=False))
    by_network = {
        name: {state.value: counts[state] for state in ORDER if counts.get(state)} for name, counts in networks.items()
    }
    return row(standing) | {
        "detail": campaign.detail,
        "states": {state.value: states[state] for state in ORDER if states[state]},
        "networks": by_network,
        **at,
        "planned_end": ends,
        "expected_end": iso(expects.at_ms) if expects.at_ms else None,
        "behind_s": expects.behind_ms // 1000,
        "parameters": dict(campaign.parameters),
    }


def _times(campaign: Campaign) -> dict[str, int | None]:
    return {
        "received_at": campaign.received_at or None,
        "began_at": campaign.began_at,
        "ended_at": campaign.ended_at,
        "expires": campaign.expires or None,
        "updated_at": campaign.updated_at or None,
    }


def each_meter(standing: Standing, wanted: str = "") -> Iterator[dict[str, Any]]:
    """Every meter in a row, or those in a state."""
    codes = standing.campaign.codes
    for number in sorted(standing.meters_of):
        slice_, record = standing.meters_of[number], standing.progress_of.get(number, CampaignProgress())
        for at, meter in enumerate(slice_.meters):
            state = OF_LETTER.get(_octet(record.states, at), State.WAITING)
            if wanted not in ("", state.value):
                continue
            code = _octet(record.codes, at)
            seconds = int.from_bytes(record.times[4 * at : 4 * at + 4], "little")
            yield {
                "meter": meter,
                "state": state.value,
                "wave": _octet(slice_.waves, at),
                "code": codes[code - 1] if 0 < code <= len(codes) else "",
                "attempts": _octet(record.attempts, at),
                "image_percent": _octet(record.shares, at),
                "since": iso(seconds * 1000) if seconds else None,
            }


def _octet(octets: bytes, at: int) -> int:
    return octets[at] if at < len(octets) else 0
