"""A small town, its alarms, and an OMS that folds revisions into outages, as docs/outages.md says it may."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from connectors.oms.core import Core, Out, Where
from connectors.oms.states import TOPIC as STATES
from schemas.records import Alarm, AlarmKind, OutageEvent, OutageJournal, OutageKind, OutageState, OutageStatus, Record
from streams.runtime.settings import Oms

T0 = 1_790_000_000_000
S = 1_000


@dataclass
class Town:
    """Transformers T0, T1, … of ten meters each, five transformers a feeder; meter names say where they hang."""

    each: int = 10
    moved: dict[str, Where] = field(default_factory=dict)

    def where(self, meter: str) -> Where | None:
        if meter in self.moved:
            return self.moved[meter]
        transformer, dash, _ = meter.partition("-")
        return Where(transformer, f"F{int(transformer[1:]) // 5}") if dash else None

    def premises(self, transformer: str) -> int:
        return self.each if transformer.startswith("T") else 0

    def transformers(self, feeder: str) -> int:
        return 5 if feeder.startswith("F") else 0


def alarm(meter: str, at_s: float, kind: str = "out", *, late_s: float = 0.5, said: str = "", **more: object) -> Alarm:
    """An alarm of a meter, `at_s` after the town's beginning, that arrives `late_s` later."""
    at = T0 + round(at_s * S)
    made = Alarm(
        id=f"{meter}/{kind}/{at_s}{said}",
        meter_id=meter,
        kind=AlarmKind.OUTAGE if kind == "out" else AlarmKind.RESTORATION,
        occurred_at=at,
        meter_time_given=True,
        received_at=at + round(late_s * S),
    )
    return replace(made, **more)  # type: ignore[arg-type]  # a test's own words


class Utility:
    """A core, its clock, and whoever reads what it tells."""

    def __init__(self, rules: Oms | None = None, town: Town | None = None) -> None:
        self.rules = rules or Oms()
        self.town = town or Town()
        self.core = Core(self.rules, self.town)
        self.now = T0
        self.told: list[OutageEvent] = []
        self.books: dict[str, Record] = {}

    def hear(self, *alarms: Alarm, replayed: bool = False) -> list[OutageEvent]:
        """Alarms that come in together; what is told a moment later."""
        for one in alarms:
            self.now = max(self.now, one.received_at)
            self.core.take(one, self.now, replayed=replayed)
        return self.wait(0.1)

    def wait(self, seconds: float) -> list[OutageEvent]:
        """Let time pass in one step; what is told then."""
        self.now += round(seconds * S)
        return self.write(self.core.tick(self.now))

    def settle(self, seconds: float = 90.0) -> list[OutageEvent]:
        """Let time pass as a service does that looks again and again."""
        told = []
        for _ in range(round(seconds)):
            told += self.wait(1.0)
        return told

    def write(self, outs: Iterable[Out]) -> list[OutageEvent]:
        told = []
        for out in outs:
            if isinstance(out.record, OutageEvent):
                told.append(out.record)
            elif out.topic == STATES:
                if out.record is not None:
                    self.books[out.key] = out.record
                else:
                    self.books.pop(out.key, None)
        self.told += told
        return told

    def restart(self) -> None:
        """End without a word, and begin again with what was written."""
        self.core = Core(self.rules, self.town)
        assert self.core.restore(list(self.books.values())) == []

    @property
    def state(self) -> dict[str, OutageState]:
        """What is remembered as states, without the journal."""
        return {key: record for key, record in self.books.items() if isinstance(record, OutageState)}

    @property
    def journal(self) -> dict[str, OutageJournal]:
        """What is remembered beside them."""
        return {key: record for key, record in self.books.items() if isinstance(record, OutageJournal)}

    @property
    def outages(self) -> dict[str, OutageEvent]:
        """The latest revision of each outage, but for those that turned out to be part of another or none."""
        found: dict[str, OutageEvent] = {}
        for event in self.told:
            assert event.revision == (found[event.outage_id].revision + 1 if event.outage_id in found else 1), event
            found[event.outage_id] = event
        over = (OutageStatus.MERGED, OutageStatus.WITHDRAWN)
        return {name: event for name, event in found.items() if event.status not in over}

    def alarms_of(self) -> dict[str, str]:
        """Each alarm that was told, and the outage it is in; none is told twice. What was merged counts where it went."""
        into = {event.outage_id: event.merged_into for event in self.told if event.status is OutageStatus.MERGED}
        found: dict[str, str] = {}
        for event in self.told:
            name = event.outage_id
            while name in into:
                name = into[name]
            for one in event.alarms:
                assert one not in found, f"{one} was told twice"
                assert (event.kind is OutageKind.OUTAGE) == ("/out/" in one)
                found[one] = name
        return found
