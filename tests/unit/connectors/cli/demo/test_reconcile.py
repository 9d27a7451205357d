from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from connectors.cli.demo.reconcile import Found, Summary, Truth, reconcile
from schemas.records import (
    Alarm,
    AlarmKind,
    DeadLetter,
    OutageEvent,
    OutageKind,
    OutageScope,
    Register,
    RegisterReadings,
    TamperEvent,
)

IMPORT, EXPORT = "1.0.1.8.0.255", "1.0.2.8.0.255"
T = 1_767_226_500_000


def push(what: str, at: int = T, **more: Any) -> dict[str, Any]:
    return {"meter": "M1", "what": what, "meter_time": at, "values": [], "sha256": f"plain-{what}-{at}", "wire": []} | more


def truth() -> Truth:
    return Truth(
        intervals={("M1", IMPORT, T): 10, ("M1", IMPORT, T + 900_000): 11, ("M1", EXPORT, T): 0},
        pushes=[
            push("registers", values=[(IMPORT, 5), ("1.0.32.7.0.255", 2301)]),
            push("outage"),
            push("restoration", T + 1),
            push("tamper"),
            push("voltage"),
            push("clock"),
            push("bad-checksum", meter="", sha256="bad"),
            push("garbage", meter="", sha256="plain", wire=["first", "second"]),
            push("unknown-meter", meter="M9", sha256="unknown"),
        ],
    )


def readings(event_id: str = "r1", value: int = 5, **more: Any) -> RegisterReadings:
    registers = (Register(obis=IMPORT, value=value), Register(obis="1.0.32.7.0.255", value=2301))
    return RegisterReadings(**{"id": event_id, "meter_id": "M1", "captured_at": T, "registers": registers, **more})


ALARMS = {
    "a-out": (AlarmKind.OUTAGE, T),
    "a-back": (AlarmKind.RESTORATION, T + 1),
    "a-tamper": (AlarmKind.TAMPER_COVER, T),
    "a-volt": (AlarmKind.VOLTAGE, T),
    "a-clock": (AlarmKind.CLOCK, T),
}


def alarm(name: str, event_id: str = "") -> Alarm:
    kind, at = ALARMS[name]
    return Alarm(id=event_id or name, meter_id="M1", kind=kind, occurred_at=at)


def found() -> Found:
    ids = {"r1", "i1", *ALARMS}
    return Found(
        event_ids=set(ids),
        routed_ids=set(ids),
        kept_ids=ids - {"i1"},
        stored_ids=set(ids),
        intervals={("M1", IMPORT, T): [10], ("M1", IMPORT, T + 900_000): [11], ("M1", EXPORT, T): [0]},
        registers=[readings()],
        alarms=[alarm(name) for name in ALARMS],
        outages=[
            OutageEvent(id="o1", kind=OutageKind.OUTAGE, alarms=("a-out",)),
            OutageEvent(id="o2", kind=OutageKind.RESTORATION, alarms=("a-back",)),
        ],
        tampers=[TamperEvent(id="t1", kind=AlarmKind.TAMPER_COVER, alarm_id="a-tamper")],
        dead_letter_digests={"bad": {"d1"}, "second": {"d2"}, "unknown": {"d3"}},
    )


def summary(change: Callable[[Found], Any] = lambda _: None) -> Summary:
    what = found()
    change(what)
    return reconcile(truth(), what, meters=1)


def test_nothing_wrong() -> None:
    assert summary() == Summary(
        meters=1,
        intervals_asked=3,
        intervals_stored=3,
        pushes_sent=9,
        events=6,
        dead_letters=3,
        outages_sent=2,
        outages_routed=2,
        lost=0,
        duplicated=0,
        unexpected=0,
        details={},
    )
    assert summary().reconciled


def without(name: str) -> Callable[[Found], None]:
    def change(what: Found) -> None:
        what.alarms = [item for item in what.alarms if item.id != name]
        for ids in (what.event_ids, what.routed_ids, what.kept_ids, what.stored_ids):
            ids.discard(name)

    return change


def twice(name: str) -> Callable[[Found], None]:
    def change(what: Found) -> None:
        what.alarms.append(alarm(name, "again"))
        for ids in (what.event_ids, what.routed_ids, what.kept_ids, what.stored_ids):
            ids.add("again")

    return change


def set_to(name: str, value: Any) -> Callable[[Found], None]:
    return lambda what: setattr(what, name, value)


LOST: dict[str, tuple[Callable[[Found], Any], str]] = {
    "an interval": (lambda what: what.intervals.pop(("M1", IMPORT, T)), "intervals"),
    "an interval without rows": (lambda what: what.intervals.update({("M1", IMPORT, T): []}), "intervals"),
    "an interval's value": (lambda what: what.intervals.update({("M1", IMPORT, T): [12]}), "intervals of another value"),
    "an interval's value, though it is 0": (
        lambda what: what.intervals.update({("M1", EXPORT, T): [1]}),
        "intervals of another value",
    ),
    "registers": (set_to("registers", []), "pushes without an event"),
    "registers, by another time": (set_to("registers", [readings(captured_at=T + 1)]), "pushes without an event"),
    "registers, by another meter": (set_to("registers", [readings(meter_id="M2")]), "pushes without an event"),
    "a register's value": (set_to("registers", [readings(value=6)]), "registers of another value"),
    "every register": (set_to("registers", [readings(registers=())]), "registers"),
    "a voltage alarm": (without("a-volt"), "pushes without an event"),
    "a clock alarm": (without("a-clock"), "pushes without an event"),
    "a tamper alarm": (without("a-tamper"), "pushes without an event"),
    "an outage alarm": (without("a-out"), "pushes without an event"),
    "an outage behind the alarm": (lambda what: what.outages.pop(0), "outage not routed"),
    "a restoration behind the alarm": (lambda what: what.outages.pop(1), "restoration not routed"),
    "a tamper behind the alarm": (set_to("tampers", []), "tamper not routed"),
    "the dead letter of bad bytes": (lambda what: what.dead_letter_digests.pop("bad"), "bad pushes without a dead letter"),
    "the dead letter of garbage": (lambda what: what.dead_letter_digests.pop("second"), "bad pushes without a dead letter"),
    "the dead letter of a stranger": (
        lambda what: what.dead_letter_digests.pop("unknown"),
        "bad pushes without a dead letter",
    ),
    "an event before split": (lambda what: what.event_ids.add("x"), "events not behind split"),
    "an interval event before split": (lambda what: what.routed_ids.discard("i1"), "events not behind split"),
    "an event before ClickHouse": (lambda what: what.stored_ids.discard("r1"), "events not in ClickHouse"),
}


@pytest.mark.parametrize(("change", "name"), LOST.values(), ids=LOST)
def test_lost(change: Callable[[Found], Any], name: str) -> None:
    result = summary(change)
    assert f"lost: {name}" in result.details
    assert result.lost >= 1
    assert not result.reconciled


DUPLICATED: dict[str, tuple[Callable[[Found], Any], str]] = {
    "an interval": (lambda what: what.intervals.update({("M1", IMPORT, T): [10, 10]}), "intervals"),
    "an interval, once of another value": (lambda what: what.intervals.update({("M1", IMPORT, T): [10, 9]}), "intervals"),
    "registers": (lambda what: what.registers.append(readings("r2")), "events of one push"),
    "an alarm": (twice("a-volt"), "events of one push"),
    "an outage's alarm": (twice("a-out"), "events of one push"),
    "an outage": (lambda what: what.outages.append(replace(what.outages[0], id="o3")), "outage routed"),
    "a restoration": (lambda what: what.outages.append(replace(what.outages[1], id="o3")), "restoration routed"),
    "a tamper": (lambda what: what.tampers.append(replace(what.tampers[0], id="t2")), "tamper routed"),
}


@pytest.mark.parametrize(("change", "name"), DUPLICATED.values(), ids=DUPLICATED)
def test_duplicated(change: Callable[[Found], Any], name: str) -> None:
    result = summary(change)
    assert list(result.details) == [f"duplicated: {name}"]
    assert (result.lost, result.duplicated, result.unexpected) == (0, 1, 0)
    assert not result.reconciled


UNEXPECTED: dict[str, tuple[Callable[[Found], Any], str]] = {
    "an interval": (lambda what: what.intervals.update({("M2", IMPORT, T): [1]}), "intervals"),
    "registers": (lambda what: what.registers.append(readings("r9", captured_at=T + 5)), "events of no push"),
    "an alarm": (lambda what: what.alarms.append(replace(alarm("a-volt"), id="x", meter_id="M2")), "events of no push"),
    "an outage": (
        lambda what: what.outages.append(OutageEvent(id="o9", kind=OutageKind.OUTAGE, alarms=("x",))),
        "outages of no such alarm",
    ),
    "an outage of which no revision names an alarm": (
        lambda what: what.outages.append(OutageEvent(id="o9", outage_id="of nothing", revision=2)),
        "outages of no such alarm",
    ),
    "an outage of a feeder of which no transformer is out": (
        lambda what: what.outages.append(OutageEvent(id="o9", scope=OutageScope.FEEDER, outages=("of nothing",))),
        "outages of no such alarm",
    ),
    "an outage of nothing": (lambda what: what.outages.append(OutageEvent(id="o9")), "outages of no such alarm"),
    "an outage turned round": (
        lambda what: what.outages.__setitem__(0, replace(what.outages[0], kind=OutageKind.RESTORATION)),
        "outages of no such alarm",
    ),
    "a tamper of another kind": (
        lambda what: what.tampers.__setitem__(0, replace(what.tampers[0], kind=AlarmKind.TAMPER_MAGNET)),
        "tampers of no such alarm",
    ),
    "a dead letter": (lambda what: what.dead_letters.append(DeadLetter(id="d9")), "dead letters of no bad push"),
}


@pytest.mark.parametrize(("change", "name"), UNEXPECTED.values(), ids=UNEXPECTED)
def test_unexpected(change: Callable[[Found], Any], name: str) -> None:
    result = summary(change)
    assert list(result.details) == [f"unexpected: {name}"]
    assert (result.lost, result.duplicated, result.unexpected) == (0, 0, 1)
    assert not result.reconciled


def test_a_job_without_an_end_is_lost() -> None:
    asked = replace(truth(), jobs=frozenset({"j1", "j2"}))
    what = replace(found(), acknowledged={"j1"})
    result = reconcile(asked, what, meters=1)
    assert result.details == {
        "lost: jobs without an acknowledgement": ["j2"],
        "lost: acknowledgements not in ClickHouse": ["j1"],
    }


HARMLESS: dict[str, Callable[[Found], Any]] = {
    "an outage that is surer now": lambda what: what.outages.extend(
        (replace(what.outages[0], outage_id="o"), replace(what.outages[0], id="o3", outage_id="o", alarms=(), revision=2))
    ),
    "an outage of a feeder": lambda what: what.outages.extend(
        (replace(what.outages[0], outage_id="o"), OutageEvent(id="o3", scope=OutageScope.FEEDER, outages=("o",)))
    ),
    "a record delivered again": lambda what: what.registers.append(readings()),
    "an alarm delivered again": lambda what: what.alarms.append(alarm("a-out")),
    "an outage delivered again": lambda what: what.outages.append(what.outages[0]),
    "a tamper delivered again": lambda what: what.tampers.append(what.tampers[0]),
    "an alarm of the gateway's own": lambda what: what.alarms.append(
        replace(alarm("a-volt"), id="s", kind=AlarmKind.SECURITY)
    ),
}


@pytest.mark.parametrize("change", HARMLESS.values(), ids=HARMLESS)
def test_harmless(change: Callable[[Found], Any]) -> None:
    assert summary(change).reconciled


def test_several_losses_are_all_counted_and_some_named() -> None:
    many = Truth({("M1", IMPORT, T + 900_000 * number): number for number in range(9)}, [])
    result = reconcile(many, Found(), meters=1)
    assert result.lost == 9
    assert len(result.details["lost: intervals"]) == 5
    assert "M1" in result.details["lost: intervals"][0]


def test_truth_is_read_from_the_fleet_s_file(tmp_path: Path) -> None:
    lines = [
        {"t": "interval", "meter": "M1", "channel": IMPORT, "end": T, "raw": 10},
        {"t": "push"} | push("outage"),
    ]
    path = tmp_path / "truth.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert Truth.read(path).intervals == {("M1", IMPORT, T): 10}
    assert [entry["what"] for entry in Truth.read(path).pushes] == ["outage"]
