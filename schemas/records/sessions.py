"""Sessions: the raw bytes as they were on the wire."""

from __future__ import annotations

from enum import StrEnum

from schemas.records.fields import Millis
from schemas.records.meters import Protocol
from schemas.values import value_class


class Transport(StrEnum):
    """What the bytes on a connection are wrapped in."""

    UNKNOWN = "UNKNOWN"
    WRAPPER = "WRAPPER"  # IEC 62056-47
    HDLC = "HDLC"  # IEC 62056-46
    MBUS = "MBUS"  # EN 13757-2 long frames
    RAW = "RAW"  # bare APDUs


class SessionKind(StrEnum):
    """Who opened the conversation."""

    UNKNOWN = "UNKNOWN"
    PUSH = "PUSH"
    PULL = "PULL"


class Direction(StrEnum):
    """Which way a frame went."""

    UNKNOWN = "UNKNOWN"
    FROM_METER = "FROM_METER"
    TO_METER = "TO_METER"


@value_class
class Frame:
    """One frame as it was on the wire, secrets masked."""

    direction: Direction = Direction.UNKNOWN
    at: Millis = 0
    data: bytes = b""


@value_class
class SessionFrames:
    """The raw bytes of one session or push, in order."""

    id: str = ""
    meter_id: str = ""  # empty while unknown
    endpoint: str = ""
    protocol: Protocol = Protocol.UNKNOWN
    transport: Transport = Transport.UNKNOWN
    kind: SessionKind = SessionKind.UNKNOWN
    job_id: str = ""
    started_at: Millis = 0
    ended_at: Millis = 0
    frames: tuple[Frame, ...] = ()
