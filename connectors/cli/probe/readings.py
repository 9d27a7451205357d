"""What a probe reads, each as an attempt of its own: what one refuses does not keep the others from being read."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Any

from connectors.cli.probe.advice import advice
from connectors.cli.probe.report import Report
from connectors.cli.probe.visit import Visit
from connectors.protocols.dlms.client import Reading, Span, read_clock, read_profile, read_registers
from connectors.protocols.dlms.client_apdus import Session
from connectors.protocols.dlms.cosem import LOGICAL_DEVICE_NAME, MeterTime
from connectors.protocols.dlms.get import Attribute
from connectors.protocols.dlms.objects.disconnect import RELAY, RelayState, read_relay
from connectors.protocols.dlms.objects.event_log import Event, read_event_log
from connectors.protocols.dlms.objects.object_list import CURRENT, ObjectEntry, read_object_list
from connectors.protocols.dlms.profile import Profile
from connectors.protocols.dlms.profile_shape import Rules
from connectors.protocols.dlms.telegram import scaled
from connectors.protocols.dlms.template import Template

FIRMWARES = ("1.0.0.2.0.255", "1.1.0.2.0.255", "0.0.0.2.0.255")
"""Where a firmware's version may stand: of the electricity meter, of its application part, of the device."""

_NO_DEVIATION = -0x8000


@dataclass(frozen=True, slots=True)
class Reader:
    """A visited meter, and how its type is to be understood."""

    visit: Visit
    report: Report
    template: Template
    zone: tzinfo | None = None
    """Of the meter, for times without a deviation."""
    now: Callable[[], float] = time.time

    def identify(self) -> None:
        """Clock, logical device name, serial number, firmware."""
        self.clock()
        self._names()

    def clock(self) -> None:
        """The meter's time, and how far it is off."""
        attribute = Attribute(8, self.template.pull.clock, 2)
        asked = self.now()
        found = self.visit.attempt(
            "clock",
            f"GET {attribute}",
            lambda link: _told(read_clock(link, attribute, deviation_reversed=self._reversed)),
        )
        if found is None:
            return
        (said,) = found
        if said is None:
            self.report.fact("clock", "not set", note="the meter has no time: set it before its first interval counts")
            return
        self.report.fact("clock", said.iso, status=said.status, **self._drift(said, (asked + self.now()) / 2))

    def _drift(self, said: MeterTime, at: float) -> dict[str, Any]:
        """How far the clock is ahead, in seconds, and what that means."""
        if said.deviation is None and self.zone is None:
            return {"note": "no deviation in it: give --zone for its drift"}
        ms = said.utc_ms if said.deviation is not None else said.to_utc_ms(self.zone or UTC)
        drift = (ms or 0) / 1000 - at
        note = ""
        if abs(drift) > 60:
            note = "a minute or more off: set it before intervals count"
        if abs(drift) > 900 and abs(drift / 900 - round(drift / 900)) < 0.05:
            note = (
                "off by whole quarters of an hour: its time zone, daylight saving or the sign of its deviation, not the time"
            )
        return {"drift_s": round(drift, 1), "note": note}

    def _names(self) -> None:
        groups = {
            "logical device name": (LOGICAL_DEVICE_NAME,),
            "serial": self.template.push.serials,
            "firmware": FIRMWARES,
        }
        asked = [Attribute(1, obis, 2) for names in groups.values() for obis in names]
        tried = "GET " + ", ".join(map(str, asked))
        found = self.visit.attempt("names", tried, lambda link: read_registers(link, asked))
        answers = {reading.attribute.obis: reading for reading in found or ()}
        for what, names in groups.items():
            of_these = [answers[obis] for obis in names if obis in answers]
            told = [reading for reading in of_these if reading.refusal is None and reading.value not in (None, "")]
            for reading in told if what == "firmware" else told[:1]:
                self.report.fact(what, reading.value, obis=reading.attribute.obis)
            if of_these and not told:
                self._refused(what, of_these)

    def _refused(self, what: str, readings: Sequence[Reading]) -> None:
        tried = "GET " + ", ".join(str(reading.attribute) for reading in readings)
        refusals = [reading.refusal for reading in readings if reading.refusal is not None]
        if len(refusals) < len(readings):
            self.report.fact(what, "", note="the meter has the object and nothing in it")
        elif len(readings) > 1 and all("object-undefined" in refusal.detail for refusal in refusals):
            self.report.fact(what, "", note=f"under no usual name; tried {tried}; --objects lists the meter's")
        else:
            self.report.failed(what, tried, refusals[0], advice(refusals[0]))

    def values(self, asked: Sequence[Attribute]) -> None:
        """Attributes, scaled by the scaler and unit beside them where they have such."""
        tried = "GET " + ", ".join(map(str, asked))
        found = self.visit.attempt(
            "values", tried, lambda link: read_registers(link, asked, deviation_reversed=self._reversed)
        )
        read = [reading for reading in found or () if reading.refusal is None]
        if read:
            self.report.rows("value", map(_value_row, read), empty="")
        for reading in found or ():
            if reading.refusal is not None:
                self.report.failed("value", f"GET {reading.attribute}", reading.refusal, advice(reading.refusal))

    def profile(self, obis: str, start_ms: int, end_ms: int) -> None:
        """Rows of a load profile."""
        tried = f"GET 7/{obis}/3, 4, 5 and the rows of 7/{obis}/2 from {_iso(start_ms)} to {_iso(end_ms)}"
        span = Span(start_ms, end_ms, deviation="no-deviation" not in self.template.quirks)
        found = self.visit.attempt(f"profile {obis}", tried, lambda link: read_profile(link, obis, span, self._rules))
        if found is not None:
            profile, shape = found
            self.report.rows("profile", _profile_rows(profile), empty=f"the profile {obis} has no row in this span")
            regular = "evenly" if profile.regular else "unevenly"
            self.report.doing(f"{profile.rows} rows of {len(shape.columns)} columns, {shape.period_s} s apart {regular}")

    def event_log(self, obis: str, start_ms: int | None, end_ms: int) -> None:
        """Events, named where the template knows their codes."""
        tried = f"GET 7/{obis}/3, 4, 5 and the rows of 7/{obis}/2"
        span = None if start_ms is None else Span(start_ms, end_ms, deviation="no-deviation" not in self.template.quirks)
        found = self.visit.attempt(f"event log {obis}", tried, lambda link: read_event_log(link, obis, span, self._rules))
        if found is not None:
            self.report.rows(
                "event", map(self._event_row, found[0].events), empty=f"the log {obis} has no event in this span"
            )

    def objects(self) -> None:
        """Everything that this client sees, and what it may do with it."""
        found = self.visit.attempt("objects", f"GET {CURRENT}", read_object_list)
        if found is not None:
            rows = found.to_json() if self.report.json else map(_object_row, found)
            self.report.rows("object", rows, empty="the meter shows this client no object")
            self.report.doing(f"{len(found)} objects")

    def relay(self) -> None:
        """Where the disconnect control stands. It is not moved."""
        state = self.visit.attempt("relay", f"GET 70/{RELAY}/2, 3, 4", read_relay)
        if state is not None:
            self.report.fact("relay", _relay(state), contact=_contact(state), mode=state.mode, note=_doubt(state))

    @property
    def _reversed(self) -> bool:
        return self.template.push.deviation_reversed

    @property
    def _rules(self) -> Rules:
        return Rules(self.zone, self._reversed, "null-repeats" in self.template.quirks)

    def _event_row(self, event: Event) -> dict[str, Any]:
        table = self.template.push.events.get(event.code_obis)
        known = table.entries.get(event.code) if table is not None and event.code is not None else None
        row: dict[str, Any] = {
            "time": event.time.iso if event.time is not None else None,
            "code": event.code,
            "kind": known.kind if known is not None else None,
            "detail": known.detail if known is not None else None,
        }
        for extra in event.extras:
            row[f"{extra.obis} {extra.unit}".rstrip()] = scaled(extra.value, extra.scaler)
        return row


def _told(session: Session[MeterTime | None]) -> Session[tuple[MeterTime | None]]:
    """The same session, its result in a tuple: None is a clock without a time, not a failure."""
    return ((yield from session),)


def _value_row(reading: Reading) -> dict[str, Any]:
    row: dict[str, Any] = {
        "attribute": str(reading.attribute),
        "value": scaled(reading.value, reading.scaler),
        "unit": reading.unit,
        "raw": reading.value,
        "scaler": reading.scaler,
    }
    if reading.octets is not None and reading.octets.hex().upper() != reading.value:
        row["octets"] = reading.octets
    return row


def _profile_rows(profile: Profile) -> Iterator[dict[str, Any]]:
    columns = [(f"{c.obis} {c.unit}".rstrip(), c.scaler, list(c.values)) for c in profile.channels]
    for i in range(profile.rows):
        row: dict[str, Any] = {"end": _iso(int(profile.ends[i]), int(profile.deviations[i]))}
        if profile.statuses is not None:
            row["status"] = int(profile.statuses[i])
        for name, scaler, values in columns:
            value = values[i]
            row[name] = scaled(value.item() if hasattr(value, "item") else value, scaler)
        yield row


def _object_row(entry: ObjectEntry) -> dict[str, Any]:
    row = {"class": entry.class_id, "version": entry.version, "obis": entry.obis}
    for name, rights in (("read", [r.index for r in entry.attributes if r.readable]),
                         ("write", [r.index for r in entry.attributes if r.writable]),
                         ("call", [r.index for r in entry.methods if r.callable])):  # fmt: skip
        row[name] = " ".join(map(str, rights))
    return row


def _relay(state: RelayState) -> str:
    return "not told" if state.control is None else state.control.name.lower()


def _contact(state: RelayState) -> str:
    return {None: "not told", True: "closed", False: "open"}[state.output]


def _doubt(state: RelayState) -> str:
    return (
        "contact and control state contradict: a welded contact, a bypass, or one that still moves"
        if state.contradictory
        else ""
    )


def _iso(ms: int, deviation: int = _NO_DEVIATION) -> str:
    zone = UTC if deviation == _NO_DEVIATION else timezone(timedelta(minutes=-deviation))
    return datetime.fromtimestamp(ms / 1000, zone).isoformat()
