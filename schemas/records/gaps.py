"""Gaps: what was expected of meters, and what of it arrived."""

from __future__ import annotations

from schemas.records.fields import Millis
from schemas.records.meters import Network
from schemas.values import value_class


@value_class
class GapWatch:
    """What one schedule expects of a meter, and what arrived, day by day. Octets of 0 at the end are not written."""

    schedule_id: str = ""
    slot_s: int = 0  # what a bit stands for
    expected_from: Millis = 0
    first_day: int = 0  # UTC, as days since 1970-01-01
    arrived: bytes = b""  # a bit a slot, the first of a day is the lowest bit of its first octet; days begin with an octet
    asked: bytes = b""  # an octet a day: how often it was asked for; the highest bit is set where it was given up
    asked_at: tuple[int, ...] = ()  # milliseconds since the epoch, one a day; empty where none was asked for


@value_class
class MeterGaps:
    """Which intervals and reads of a meter arrived, on `hes.gaps`: the memory of the service that fills gaps."""

    meter_id: str = ""
    watches: tuple[GapWatch, ...] = ()
    at: Millis = 0


@value_class
class ReadSuccess:
    """What a schedule got of a segment's meters on a day, as far as one partition's meters go; the newest counts."""

    id: str = ""
    day: int = 0  # of the schedule's time zone, as days since 1970-01-01
    schedule_id: str = ""
    segment: str = ""
    network: Network = Network.UNKNOWN
    partition: int = -1
    period_s: int = 0  # what is counted: intervals of this length, or reads where it is 0
    meters: int = 0
    complete: int = 0  # meters of which everything arrived
    expected: int = 0
    arrived: int = 0
    given_up: int = 0
    at: Millis = 0
