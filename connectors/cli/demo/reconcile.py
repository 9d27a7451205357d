"""What arrived against what the fleet truly held and sent: by id and by content, never by subtraction.

Pure: `Truth` is the fleet's own file, `Found` what topics and tables hold; `reconcile` compares.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from schemas.records import (
    Alarm,
    AlarmKind,
    DeadLetter,
    OutageEvent,
    OutageScope,
    OutageStatus,
    RegisterReadings,
    TamperEvent,
)

IntervalKey = tuple[str, str, int]
"""Meter, channel (OBIS), interval end in milliseconds."""
PushKey = tuple[str, str, int]
"""Meter, what, the meter's time in milliseconds."""

KINDS = {
    AlarmKind.OUTAGE: "outage",
    AlarmKind.RESTORATION: "restoration",
    AlarmKind.VOLTAGE: "voltage",
    AlarmKind.CLOCK: "clock",
}
OUTAGES = ("outage", "restoration")
_OWN = AlarmKind.SECURITY  # the gateway's own alarms, about bytes that are bad on purpose
REGISTRATION = "registration"
_REGISTERED = "registered"  # the code of the event that the gateway makes of it; it bears the gateway's time
_FOLLOW_UP = "hes-followup"  # what the follow-up service finds by itself, such as a clock that is wrong
BAD = ("bad-", "garbage", "unknown-")


@dataclass(frozen=True, slots=True)
class Truth:
    """What the fleet held and sent."""

    intervals: Mapping[IntervalKey, int]
    pushes: Sequence[Mapping[str, Any]]
    jobs: frozenset[str] = frozenset()  # ids of what was asked

    @classmethod
    def read(cls, path: Path, jobs: Iterable[str] = ()) -> Truth:
        """From the file that the fleet wrote, and the ids of the jobs that it was asked by."""
        intervals: dict[IntervalKey, int] = {}
        pushes = []
        with path.open(encoding="utf-8") as file:
            for line in file:
                try:
                    entry = json.loads(line)
                except json.JSONDecodeError:
                    break  # the fleet was killed while it wrote its last line
                if entry["t"] == "interval":
                    intervals[entry["meter"], entry["channel"], entry["end"]] = entry["raw"]
                else:
                    pushes.append(entry)
        return cls(intervals, pushes, frozenset(jobs))


@dataclass(slots=True)
class Found:
    """What topics and tables hold. Records may be there more than once: delivery is at least once, effects are not."""

    event_ids: set[str] = field(default_factory=set)  # on the lanes of hes.events, readings and alarms
    routed_ids: set[str] = field(default_factory=set)  # on the topics behind split
    kept_ids: set[str] = field(default_factory=set)  # of those, what ClickHouse keeps by id: registers and alarms
    stored_ids: set[str] = field(default_factory=set)  # in ClickHouse
    intervals: dict[IntervalKey, list[int]] = field(default_factory=dict)  # in ClickHouse, one value a row
    registers: list[RegisterReadings] = field(default_factory=list)
    alarms: list[Alarm] = field(default_factory=list)
    acknowledged: set[str] = field(default_factory=set)  # ids of jobs that ended, on hes.command-acks
    acknowledged_stored: set[str] = field(default_factory=set)  # the same in ClickHouse
    outages: list[OutageEvent] = field(default_factory=list)
    tampers: list[TamperEvent] = field(default_factory=list)
    dead_letters: list[DeadLetter] = field(default_factory=list)
    dead_letter_digests: dict[str, set[str]] = field(default_factory=dict)  # SHA-256 of bytes on the wire → dead letters


@dataclass(frozen=True, slots=True)
class Summary:
    """How a run ended. `details` names what `lost`, `duplicated` and `unexpected` (nobody sent or asked it) count."""

    meters: int
    intervals_asked: int
    intervals_stored: int
    pushes_sent: int
    events: int
    dead_letters: int
    outages_sent: int
    outages_routed: int
    lost: int
    duplicated: int
    unexpected: int
    details: Mapping[str, Sequence[str]]

    @property
    def reconciled(self) -> bool:
        """Whether everything that was asked and sent is accounted for, once."""
        balanced = self.intervals_asked == self.intervals_stored and self.pushes_sent == self.events + self.dead_letters
        return (
            balanced
            and not self.lost
            and not self.duplicated
            and not self.unexpected
            and self.outages_sent == self.outages_routed
        )


class _Findings:
    """Collects what is wrong, with a name for each."""

    def __init__(self) -> None:
        self.lost: dict[str, list[str]] = defaultdict(list)
        self.duplicated: dict[str, list[str]] = defaultdict(list)
        self.unexpected: dict[str, list[str]] = defaultdict(list)

    def details(self) -> dict[str, list[str]]:
        kinds = {"lost": self.lost, "duplicated": self.duplicated, "unexpected": self.unexpected}
        return {f"{kind}: {name}": items for kind, named in kinds.items() for name, items in named.items()}


def reconcile(truth: Truth, found: Found, meters: int) -> Summary:
    """Hold what was found against the truth."""
    wrong = _Findings()
    stored = _intervals(truth, found, wrong)
    events, letters, outages_sent, outages_routed = _pushes(truth, found, wrong)
    for name, ids in (
        ("events not behind split", found.event_ids - found.routed_ids),
        ("events not in ClickHouse", found.kept_ids - found.stored_ids),
        ("jobs without an acknowledgement", truth.jobs - found.acknowledged),
        ("acknowledgements not in ClickHouse", found.acknowledged - found.acknowledged_stored),
    ):
        if ids:
            wrong.lost[name] += sorted(ids)
    return Summary(
        meters=meters,
        intervals_asked=len(truth.intervals),
        intervals_stored=stored,
        pushes_sent=len(truth.pushes),
        events=events,
        dead_letters=letters,
        outages_sent=outages_sent,
        outages_routed=outages_routed,
        lost=sum(map(len, wrong.lost.values())),
        duplicated=sum(map(len, wrong.duplicated.values())),
        unexpected=sum(map(len, wrong.unexpected.values())),
        details={name: items[:5] for name, items in wrong.details().items() if items},
    )


def _intervals(truth: Truth, found: Found, wrong: _Findings) -> int:
    stored = 0
    for key, raw in truth.intervals.items():
        rows = found.intervals.get(key)
        name = f"{key[0]} {key[1]} at {key[2]}"
        if not rows:
            wrong.lost["intervals"].append(name)
        elif rows[0] != raw:
            wrong.lost["intervals of another value"].append(f"{name}: {rows[0]} is not {raw}")
        else:
            stored += 1
        if rows and len(rows) > 1:
            wrong.duplicated["intervals"].append(name)
    wrong.unexpected["intervals"] += [
        f"{key[0]} {key[1]} at {key[2]}" for key in found.intervals.keys() - truth.intervals.keys()
    ]
    return stored


def _pushes(truth: Truth, found: Found, wrong: _Findings) -> tuple[int, int, int, int]:
    """Pushes that became events, and dead letters; outages and restorations sent, and routed to the OMS."""
    arrived = _arrived(found)
    registered = _registered(found)
    outages = _by_alarm((event.id, event.alarms) for event in found.outages)
    tampers = _by_alarm((event.id, (event.alarm_id,)) for event in found.tampers)
    _unexpected(truth, found, arrived, wrong)
    events = letters = sent = routed = 0
    for push in truth.pushes:
        key = (push["meter"], push["what"], push["meter_time"])
        name = f"{key[1]} of {key[0]} at {key[2]}"
        if push["what"].startswith(BAD):
            if _dead_lettered(push, found):
                letters += 1
            else:
                wrong.lost["bad pushes without a dead letter"].append(name)
            continue
        sent += push["what"] in OUTAGES
        if push["what"] == REGISTRATION:
            # Each attempt that came through says it once more: its message is another.
            events += bool(registered.get(push["meter"]))
            if not registered.get(push["meter"]):
                wrong.lost["registrations without an event"].append(name)
            elif len(registered[push["meter"]]) > push["attempts"]:
                wrong.duplicated["registrations"].append(name)
            continue
        ids = arrived.get(key, {})
        if not ids:
            wrong.lost["pushes without an event"].append(name)
            continue
        events += 1
        if len(ids) > 1:
            wrong.duplicated["events of one push"].append(name)
        event_id, values = next(iter(ids.items()))
        _compare_values(push, values, name, wrong)
        behind = outages if push["what"] in OUTAGES else tampers if push["what"] == "tamper" else None
        if behind is not None:
            reached = behind.get(event_id, set())
            routed += bool(reached) and push["what"] in OUTAGES
            if not reached:
                wrong.lost[f"{push['what']} not routed"].append(name)
            elif len(reached) > 1:
                wrong.duplicated[f"{push['what']} routed"].append(name)
    return events, letters, sent, routed


def _unexpected(truth: Truth, found: Found, arrived: Mapping[PushKey, Any], wrong: _Findings) -> None:
    """What nobody sent: events of no push, what rests on no alarm or turns it round, dead letters of good or of no bytes."""
    good = {(p["meter"], p["what"], p["meter_time"]) for p in truth.pushes if not p["what"].startswith(BAD)}
    wrong.unexpected["events of no push"] += [
        f"{what} of {meter} at {at}" for meter, what, at in arrived.keys() - good if what != _OWN
    ]
    registering = {meter for meter, what, _ in good if what == REGISTRATION}
    wrong.unexpected["registrations of no meter that did"] += sorted(_registered(found).keys() - registering)
    kinds = {alarm.id: str(alarm.kind) for alarm in found.alarms}
    resting = {outage.outage_id or outage.id for outage in found.outages if outage.alarms}
    for outage in found.outages:
        # A revision may say no more than how an outage stands, and a feeder's rests on those of its transformers.
        rests = {outage.outage_id or outage.id} if outage.scope is not OutageScope.FEEDER else set(outage.outages)
        if any(kinds.get(alarm) != outage.kind for alarm in outage.alarms) or not (rests & resting or _is_withdrawn(outage)):
            wrong.unexpected["outages of no such alarm"].append(outage.id)
    for tamper in found.tampers:
        if kinds.get(tamper.alarm_id) != tamper.kind:
            wrong.unexpected["tampers of no such alarm"].append(tamper.id)
    bad = [push for push in truth.pushes if push["what"].startswith(BAD)]
    due: set[str] = set().union(*(found.dead_letter_digests.get(d, ()) for push in bad for d in _digests(push)))
    wrong.unexpected["dead letters of no bad push"] += sorted({letter.id for letter in found.dead_letters} - due)


def _is_withdrawn(outage: OutageEvent) -> bool:
    return outage.scope is OutageScope.FEEDER and outage.status is OutageStatus.WITHDRAWN


def _digests(push: Mapping[str, Any]) -> tuple[str, ...]:
    return (push["sha256"], *push.get("wire", ()))


def _arrived(found: Found) -> dict[PushKey, dict[str, Mapping[str, Any]]]:
    """Events by what they state; each with its id and, for registers, its values."""
    arrived: dict[PushKey, dict[str, Mapping[str, Any]]] = defaultdict(dict)
    for readings in found.registers:
        values = {register.obis: register.value for register in readings.registers}
        arrived[readings.meter_id, "registers", readings.captured_at][readings.id] = values
    for alarm in found.alarms:
        if alarm.code == _REGISTERED or alarm.code_table == _FOLLOW_UP:
            continue
        what = "tamper" if alarm.kind.startswith("TAMPER") else KINDS.get(alarm.kind, alarm.kind)
        arrived[alarm.meter_id, what, alarm.occurred_at][alarm.id] = {}
    return arrived


def _registered(found: Found) -> dict[str, set[str]]:
    """Events of registrations by meter."""
    registered: dict[str, set[str]] = defaultdict(set)
    for alarm in found.alarms:
        if alarm.code == _REGISTERED:
            registered[alarm.meter_id].add(alarm.id)
    return registered


def _compare_values(push: Mapping[str, Any], values: Mapping[str, Any], name: str, wrong: _Findings) -> None:
    if push["what"] != "registers":
        return
    for obis, raw in push["values"]:
        if obis not in values:
            wrong.lost["registers"].append(f"{name}: {obis}")
        elif values[obis] != raw:
            wrong.lost["registers of another value"].append(f"{name}: {obis} {values[obis]!r} is not {raw!r}")


def _dead_lettered(push: Mapping[str, Any], found: Found) -> bool:
    return any(digest in found.dead_letter_digests for digest in _digests(push))


def _by_alarm(events: Iterable[tuple[str, Sequence[str]]]) -> dict[str, set[str]]:
    """Ids of the events that rest on each alarm."""
    resting: dict[str, set[str]] = defaultdict(set)
    for event_id, alarms in events:
        for alarm in alarms:
            resting[alarm].add(event_id)
    return resting
