"""How an outage is told: as numbered revisions of one outage id, each alarm in exactly one of them. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from schemas.ids import event_id
from schemas.records import OutageDuration, OutageEvent, OutageKind, OutageScope, OutageStatus, OutageTold

TOPIC = "oms.outages"
MOST = 1_000
"""Entries of a list in one revision."""
_FIRMER = 0.05
"""A confidence that changed by so much is told."""


class Content(NamedTuple):
    """What a revision states of an outage as it stands, transformer's or feeder's."""

    status: OutageStatus
    scope: OutageScope
    confidence: float
    affected: int
    out: int
    known: int
    first_time: int
    last_time: int
    duration: OutageDuration = OutageDuration.UNKNOWN
    flapping: int = 0
    transformer: str = ""
    feeder: str = ""
    meters: Sequence[str] = ()
    meters_back: Sequence[str] = ()
    life_support: bool = False
    life_support_out: Sequence[str] = ()
    transformers: Sequence[str] = ()
    transformers_known: int = 0
    outages: Sequence[str] = ()
    parent: str = ""
    merged_into: str = ""


def opened(outage_id: str, anchor: str, now: int) -> OutageTold:
    """An outage that was not told yet."""
    return OutageTold(outage_id=outage_id, anchor=anchor, opened_at=now)


def why(told: OutageTold, status: OutageStatus, duration: OutageDuration, numbers: tuple[int, int, int]) -> str:
    """What about an outage has changed since it was last told, alarms and confidence aside; empty where nothing has."""
    if not told.revision:
        return "first"
    if status is not told.status:
        return _STATUS_WORDS.get(status, "status")
    if numbers != (told.affected, told.out, told.flapping):
        return "premises"
    if duration is not told.duration:
        return str(duration).lower()
    return ""


_STATUS_WORDS = {
    OutageStatus.FLAPPING: "flapping",
    OutageStatus.EXPIRED: "expired",
    OutageStatus.MERGED: "merged",
    OutageStatus.WITHDRAWN: "withdrawn",
}


def firmer(told: OutageTold, scope: OutageScope, confidence: float) -> bool:
    """Whether scope or confidence changed by so much that the OMS should know."""
    return scope is not told.scope or abs(confidence - told.confidence) >= _FIRMER


def revise(
    told: OutageTold, content: Content, reason: str, lost: Sequence[str], back: Sequence[str], now: int
) -> tuple[OutageTold, list[OutageEvent]]:
    """The next revisions, at least one: of outages first, then of restorations, no more than `MOST` alarms in each.

    The id of each follows from the outage, its number and what it says, so that it may be written twice.
    """
    stands = OutageKind.OUTAGE if content.out or content.flapping else OutageKind.RESTORATION
    said = [(OutageKind.OUTAGE, tuple(lost[i : i + MOST])) for i in range(0, len(lost), MOST)]
    said += [(OutageKind.RESTORATION, tuple(back[i : i + MOST])) for i in range(0, len(back), MOST)]
    events = []
    for number, (kind, alarms) in enumerate(said or [(stands, ())], told.revision + 1):
        events.append(
            OutageEvent(
                id=event_id(
                    "OutageEvent", f"{told.outage_id}/{number}/{kind}/{content.status}/{content.out}", "/".join(alarms)
                ),
                kind=kind,
                meters=tuple(content.meters[:MOST]),
                transformer=content.transformer,
                feeder=content.feeder,
                first_time=content.first_time,
                last_time=content.last_time,
                confidence=content.confidence,
                life_support=content.life_support,
                alarms=alarms,
                outage_id=told.outage_id,
                revision=number,
                status=content.status,
                scope=content.scope,
                duration=content.duration,
                reason=reason,
                premises_known=content.known,
                premises_affected=content.affected,
                premises_out=content.out + content.flapping,
                premises_flapping=content.flapping,
                meters_back=tuple(content.meters_back[:MOST]),
                life_support_out=tuple(content.life_support_out[:MOST]),
                transformers=tuple(content.transformers[:MOST]),
                transformers_known=content.transformers_known,
                outages=tuple(content.outages[:MOST]),
                parent=content.parent,
                merged_into=content.merged_into,
                told_at=now,
            )
        )
    now_told = OutageTold(
        outage_id=told.outage_id,
        anchor=told.anchor,
        revision=events[-1].revision,
        status=content.status,
        scope=content.scope,
        duration=content.duration,
        confidence=content.confidence,
        affected=content.affected,
        out=content.out,
        flapping=content.flapping,
        first_time=content.first_time,
        last_time=content.last_time,
        opened_at=told.opened_at,
        told_at=now,
    )
    return now_told, events
