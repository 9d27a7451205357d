"""What happens to a fleet and when: an endless, seeded sequence of happenings, in order of time.

Each kind draws from a generator of its own, so that switching one kind off does not move the others.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from connectors.simulator.config import FleetConfig
from connectors.simulator.plan import MeterPlan
from connectors.simulator.truth import mix


class EventCode(NamedTuple):
    """An event code object and the code, as IDIS and DSMR companion profiles number them."""

    obis: str
    code: int


STANDARD, FRAUD, POWER_QUALITY = "0.0.96.11.0.255", "0.0.96.11.1.255", "0.0.96.11.4.255"
ALARM_REGISTER = "0.0.97.98.0.255"

EVENT_CODES: dict[str, tuple[EventCode, ...]] = {
    "outage": (EventCode(STANDARD, 1),),  # power down
    "restoration": (EventCode(STANDARD, 2),),  # power up
    "tamper": (
        EventCode(FRAUD, 40),  # terminal cover removed
        EventCode(FRAUD, 42),  # strong DC field detected
        EventCode(FRAUD, 44),  # meter cover removed
        EventCode(ALARM_REGISTER, 1 << 13),  # fraud attempt
    ),
    "voltage": (
        EventCode(POWER_QUALITY, 76),  # undervoltage (sag) L1
        EventCode(POWER_QUALITY, 79),  # overvoltage (swell) L1
    ),
    "clock": (
        EventCode(STANDARD, 6),  # clock invalid
        EventCode(ALARM_REGISTER, 1 << 0),  # clock invalid
    ),
}
"""What a meter sends for each kind of happening; where there are several, the scenario draws one."""


def event_code(what: str, choice: int, *, alarm_register: bool) -> EventCode:
    """The event to send; a meter whose type has no alarm register says the first of the kind instead."""
    code = EVENT_CODES[what][choice]
    return EVENT_CODES[what][0] if code.obis == ALARM_REGISTER and not alarm_register else code


STAGGER_MS = 1500  # how far apart the meters of one transformer notice


@dataclass(frozen=True, slots=True)
class Happening:
    """Something a meter does `at_ms` after the fleet started."""

    at_ms: int
    meter: int  # index in the fleet
    what: str  # registers, or a key of EVENT_CODES
    choice: int = 0  # which of its event codes


def happenings(config: FleetConfig, fleet: Sequence[MeterPlan]) -> Iterator[Happening]:
    """Everything that happens, forever, by time. A meter without supply sends nothing but its last gasp."""
    return _Sequence(config, fleet).run()


class _Sequence:
    """A heap of what comes next; each entry puts its successor on the heap."""

    def __init__(self, config: FleetConfig, fleet: Sequence[MeterPlan]) -> None:
        self._config = config
        self._fleet = fleet
        self._heap: list[tuple[int, int, Happening | _Tick]] = []  # time, order of entry, what
        self._order = 0
        self._random = {
            kind: random.Random(mix(config.seed, number))  # noqa: S311 - a bench has to repeat itself from its seed, and nothing secret hangs on it
            for number, kind in enumerate(("outage", "tamper", "voltage", "clock"))
        }
        self._dark: dict[int, int] = {}  # meter → when its supply is back
        self._able = [plan.index for plan in fleet if plan.model.alarms]
        self._wrong_clocks = [plan.index for plan in fleet if plan.model.alarms and plan.drift_ms]

    def run(self) -> Iterator[Happening]:
        self._start()
        while self._heap:
            entry = heapq.heappop(self._heap)[2]
            if isinstance(entry, _Tick):
                self._tick(entry)
                continue
            if entry.what == "registers":
                self._put(entry.at_ms + round(self._config.push_every_s * 1000), entry.meter, "registers")
                if self._dark.get(entry.meter, 0) > entry.at_ms:
                    continue
            yield entry

    def _start(self) -> None:
        period = round(self._config.push_every_s * 1000)
        if period:
            for plan in self._fleet:
                self._put(mix(self._config.seed, plan.index, 99) % period, plan.index, "registers")
        for kind in self._random:
            self._next_tick(kind, 0)

    def _next_tick(self, kind: str, at_ms: int) -> None:
        every = getattr(self._config, f"{kind}_every_s")
        members = self._wrong_clocks if kind == "clock" else self._able
        if every and members:
            self._push(_Tick(at_ms + round(every * 1000 * self._random[kind].uniform(0.5, 1.5)), kind))

    def _tick(self, tick: _Tick) -> None:
        rng = self._random[tick.kind]
        self._next_tick(tick.kind, tick.at_ms)
        meter = rng.choice(self._wrong_clocks if tick.kind == "clock" else self._able)
        if tick.kind == "outage":
            self._outage(rng, tick.at_ms, meter)
        elif self._dark.get(meter, 0) <= tick.at_ms:
            self._put(tick.at_ms, meter, tick.kind, rng.randrange(len(EVENT_CODES[tick.kind])))

    def _outage(self, rng: random.Random, at_ms: int, meter: int) -> None:
        """Four in five take a whole transformer, one a single premise. Supply comes back for all at once."""
        whole = rng.random() < 0.8
        back = at_ms + round(self._config.outage_lasts_s * 1000 * rng.uniform(0.5, 1.5))
        transformer = self._fleet[meter].transformer
        members = [plan for plan in self._fleet if plan.transformer == transformer] if whole else [self._fleet[meter]]
        if any(self._dark.get(plan.index, 0) > at_ms for plan in members):
            return
        for plan in members:
            self._dark[plan.index] = back + STAGGER_MS
            if not plan.model.alarms:
                continue
            if plan.last_gasp or not whole:
                self._put(at_ms + rng.randrange(STAGGER_MS), plan.index, "outage")
            self._put(back + rng.randrange(STAGGER_MS), plan.index, "restoration")

    def _put(self, at_ms: int, meter: int, what: str, choice: int = 0) -> None:
        self._push(Happening(at_ms, meter, what, choice))

    def _push(self, entry: Happening | _Tick) -> None:
        self._order += 1
        heapq.heappush(self._heap, (entry.at_ms, self._order, entry))


class _Tick(NamedTuple):
    """When the next happening of a kind is drawn."""

    at_ms: int
    kind: str
