"""Alarms as columns of what is remembered on `hes.outage-states`: in states, whole, and in the journal, as they come. Pure.

Columns of octets cost a tenth of a list of records, to write and to read.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set
from struct import pack, unpack
from typing import NamedTuple

from connectors.oms.marks import Mark
from schemas.records import OutageJournal, OutageState, OutageTold

TOPIC = "hes.outage-states"
PART = 2_000
"""Alarms in one record."""
_RESTORATION, _TOLD, _LIFE_SUPPORT = 1, 2, 4
_NOBODY: frozenset[str] = frozenset()


class Place(NamedTuple):
    """Whose state it is."""

    key: str  # transformer/NAME, meter/ID where the transformer is not known
    transformer: str
    feeder: str


class Columns(NamedTuple):
    """One entry an alarm in each, as the fields of the records have them."""

    meters: bytes
    alarms: bytes
    marks: bytes
    times: bytes
    arrivals: bytes


def columns(marks: Sequence[Mark], told: Set[str] = _NOBODY) -> Columns:
    """The columns of alarms, of which some are told."""
    flags = [
        (0 if mark.lost else _RESTORATION)
        | (_TOLD if mark.alarm in told else 0)
        | (_LIFE_SUPPORT if mark.life_support else 0)
        for mark in marks
    ]
    return Columns(
        joined([mark.meter for mark in marks]),
        joined([mark.alarm for mark in marks]),
        bytes(flags),
        pack(f">{len(marks)}q", *[mark.at for mark in marks]),
        pack(f">{len(marks)}q", *[mark.arrived for mark in marks]),
    )


def marks_in(record: OutageState | OutageJournal) -> list[tuple[Mark, bool]] | None:
    """Its alarms, and whether each is told; None where its columns are not of one length."""
    meters, alarms, count = parted(record.meters), parted(record.alarms), len(record.marks)
    if {len(meters), len(alarms), len(record.times) / 8, len(record.arrivals) / 8} - {count}:
        return None
    instants = (unpack(f">{count}q", octets) for octets in (record.times, record.arrivals))
    rows = zip(meters, alarms, record.marks, *instants, strict=True)
    return [
        (Mark(alarm, meter, not flags & _RESTORATION, at, arrived, bool(flags & _LIFE_SUPPORT)), bool(flags & _TOLD))
        for meter, alarm, flags, at, arrived in rows
    ]


def states(
    place: Place, outages: Iterable[OutageTold], marks: Sequence[Mark], told: Set[str], journal: int, now: int
) -> list[OutageState]:
    """All of it, in parts of `PART` alarms; none where there are none. `journal` is the last entry that is in it."""
    found = []
    for number, start in enumerate(range(0, len(marks), PART)):
        some = columns(marks[start : start + PART], told)
        found.append(
            OutageState(
                key=place.key,
                part=number,
                transformer=place.transformer,
                feeder=place.feeder,
                outages=tuple(outages) if number == 0 else (),
                meters=some.meters,
                alarms=some.alarms,
                marks=some.marks,
                times=some.times,
                arrivals=some.arrivals,
                at=now,
                journal=journal,
            )
        )
    return found


def joined(names: Iterable[str]) -> bytes:
    """Names as one column."""
    return "\0".join(names).encode()


def parted(column: bytes) -> list[str]:
    """And back."""
    return column.decode("utf-8", "replace").split("\0") if column else []
