"""Outages: as the OMS is told of them, and what is remembered in between."""

from __future__ import annotations

from dataclasses import field
from enum import StrEnum

from schemas.records.fields import Millis
from schemas.values import value_class


class OutageKind(StrEnum):
    """Whether supply was lost or came back."""

    UNKNOWN = "UNKNOWN"
    OUTAGE = "OUTAGE"
    RESTORATION = "RESTORATION"


class OutageScope(StrEnum):
    """How much of the grid an outage takes."""

    UNKNOWN = "UNKNOWN"
    PREMISE = "PREMISE"
    SECTION = "SECTION"  # several premises below one transformer, by a cause of their own
    TRANSFORMER = "TRANSFORMER"
    FEEDER = "FEEDER"


class OutageStatus(StrEnum):
    """How an outage stands."""

    UNKNOWN = "UNKNOWN"
    OPEN = "OPEN"
    PARTLY_RESTORED = "PARTLY_RESTORED"
    RESTORED = "RESTORED"
    FLAPPING = "FLAPPING"  # on and off again and again; held back until it is quiet
    MERGED = "MERGED"  # it is part of another outage
    WITHDRAWN = "WITHDRAWN"  # what was heard since says that it is none
    EXPIRED = "EXPIRED"  # nothing was heard for so long that supply is taken to be back
    HISTORIC = "HISTORIC"  # it was over long before it was told, such as in an event log


class OutageDuration(StrEnum):
    """Of an interruption, as IEEE 1366 tells them apart: sustained is longer than five minutes."""

    UNKNOWN = "UNKNOWN"
    MOMENTARY = "MOMENTARY"
    SUSTAINED = "SUSTAINED"


@value_class
class OutageEvent:
    """One revision of an outage as the OMS wants it, on `oms.outages`: the latest of an outage says how it stands.

    Every alarm is named by exactly one revision. Lists hold at most 1,000 entries: more alarms make further revisions, more
    meters are only counted, and an outage of a feeder names transformers and their outages instead of meters and alarms.
    """

    id: str = ""
    kind: OutageKind = OutageKind.UNKNOWN  # what the alarms of this revision say; without any, how the outage stands
    meters: tuple[str, ...] = ()  # all that lost supply in this outage, the first 1,000 by name
    transformer: str = ""
    feeder: str = ""
    first_time: Millis = 0  # supply was lost: the median by the meters' clocks where three or more tell, else the earliest
    last_time: Millis = 0  # of the latest alarm
    confidence: float = 0.0  # 0 to 1: that the scope is right
    life_support: bool = False
    alarms: tuple[str, ...] = ()  # ids of the alarms that this revision tells of for the first time
    outage_id: str = ""  # the same for all revisions of an outage
    revision: int = 0  # from 1
    status: OutageStatus = OutageStatus.UNKNOWN
    scope: OutageScope = OutageScope.UNKNOWN
    duration: OutageDuration = OutageDuration.UNKNOWN
    reason: str = ""  # why it is told: alarms, confidence, sustained, flapping, settled, merged, replay and so on
    premises_known: int = 0  # premises below it; 0 where nobody knows
    premises_affected: int = 0  # that lost supply, as far as they told
    premises_out: int = 0  # of these, not heard to be back
    premises_flapping: int = 0  # of these, on and off again and again
    meters_back: tuple[str, ...] = ()  # of `meters`, those heard to be back, the first 1,000 by name
    life_support_out: tuple[str, ...] = ()  # not heard to be back, where somebody's life depends on supply
    transformers: tuple[str, ...] = ()  # FEEDER: which are out or were, the first 1,000 by name
    transformers_known: int = 0  # FEEDER: on the feeder; 0 where nobody knows
    outages: tuple[str, ...] = ()  # FEEDER: the outages of its transformers
    parent: str = ""  # the feeder's outage that this one is part of
    merged_into: str = ""  # MERGED: the outage that goes on
    told_at: Millis = 0


@value_class
class OutageTold:
    """How an outage was last told to the OMS."""

    outage_id: str = ""
    anchor: str = ""  # the alarm (of a feeder: the outage) that it was named after
    revision: int = 0
    status: OutageStatus = OutageStatus.UNKNOWN
    scope: OutageScope = OutageScope.UNKNOWN
    duration: OutageDuration = OutageDuration.UNKNOWN
    confidence: float = 0.0
    affected: int = 0
    out: int = 0
    flapping: int = 0
    first_time: Millis = 0
    last_time: Millis = 0
    opened_at: Millis = 0
    told_at: Millis = 0


@value_class
class OutageState:
    """What is remembered of the alarms below one transformer, or of one feeder, on `hes.outage-states`; in parts."""

    key: str = ""  # transformer/NAME, meter/ID where the transformer is not known, feeder/NAME
    part: int = 0
    transformer: str = ""
    feeder: str = ""
    outages: tuple[OutageTold, ...] = ()  # of part 0
    meters: bytes = b""  # one an alarm, as are the columns that follow; parted by octets of 0, which costs a tenth of a list
    alarms: bytes = b""  # likewise
    marks: bytes = b""  # an octet each; bit 0: restoration, bit 1: told, bit 2: life support
    times: bytes = b""  # of the alarms: 8 octets each, big endian, milliseconds since the epoch
    arrivals: bytes = b""  # likewise, when the head-end had them
    at: Millis = 0
    journal: int = 0  # of a transformer: the number of the last OutageJournal that is in it


@value_class
class OutageJournal:
    """What one moment changed in what is remembered of alarms, on `hes.outage-states`: added to the states of the
    transformers that it names, whose `journal` is lower than its number.
    """

    sequence: int = 0  # from 1, in the order in which they are added
    keys: bytes = b""  # of the states that it changes, parted by octets of 0
    transformers: bytes = b""  # of each, likewise
    feeders: bytes = b""  # of each, likewise
    told: bytes = b""  # an octet each; 1: all of its alarms, up to those here, are told; 0: as before
    outages: tuple[OutageTold, ...] = ()  # those that were told anew
    outage_of: tuple[int, ...] = ()  # beside `outages`: which of `keys` each belongs to
    mark_of: tuple[int, ...] = ()  # beside the columns that follow, alarms that are new: likewise
    meters: bytes = b""  # as of OutageState, as are the columns that follow
    alarms: bytes = b""
    marks: bytes = b""
    times: bytes = b""
    arrivals: bytes = b""
    at: Millis = 0


@value_class
class OutageLedger:
    """Up to where hes.alarms is in the states, on `hes.outage-states`, written together with what it counts."""

    positions: dict[str, int] = field(default_factory=dict)  # topic/partition: the next offset to read
    at: Millis = 0
