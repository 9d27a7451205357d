"""A-XDR by gurux-dlms, behind a small typed face: the only place that knows how gurux writes data."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta, timezone
from enum import Enum
from functools import lru_cache
from zoneinfo import ZoneInfo

from gurux_dlms import GXByteBuffer, GXDateTime
from gurux_dlms.enums import ClockStatus, DataType, DateTimeSkips
from gurux_dlms.internal._GXCommon import _GXCommon  # gurux offers its A-XDR writer under no public name


class Type(Enum):
    """The A-XDR types that the simulated meters use."""

    NULL = DataType.NONE
    OCTETS = DataType.OCTET_STRING
    TEXT = DataType.STRING
    INT8 = DataType.INT8
    UINT8 = DataType.UINT8
    UINT16 = DataType.UINT16
    UINT32 = DataType.UINT32
    ENUM = DataType.ENUM
    BOOLEAN = DataType.BOOLEAN


def data(kind: Type, value: int | str | bytes | None) -> bytes:
    """One A-XDR value with its tag."""
    buffer = GXByteBuffer()
    _GXCommon.setData(None, buffer, kind.value, bytearray(value) if isinstance(value, bytes) else value)
    return bytes(buffer.array())


def _constructed(tag: int, items: Iterable[bytes]) -> bytes:
    parts = list(items)
    buffer = GXByteBuffer()
    buffer.setUInt8(tag)
    _GXCommon.setObjectCount(len(parts), buffer)
    return bytes(buffer.array()) + b"".join(parts)


def structure(*items: bytes) -> bytes:
    """A structure of encoded elements."""
    return _constructed(DataType.STRUCTURE, items)


def array(items: Iterable[bytes]) -> bytes:
    """An array of encoded elements."""
    return _constructed(DataType.ARRAY, items)


def logical_name(obis: str) -> bytes:
    """The six octets of `A.B.C.D.E.F`, without a tag."""
    return bytes(_GXCommon.logicalNameToBytes(obis))


def obis_of(octets: bytes) -> str:
    """`A.B.C.D.E.F` of six octets."""
    return ".".join(str(octet) for octet in octets)


def gurux_time(at_ms: int, zone: ZoneInfo, *, deviation: bool) -> GXDateTime:
    """A COSEM date-time in the meter's local time, to the second; without its deviation where the meter sends none."""
    moment = datetime.fromtimestamp(at_ms // 1000, UTC).astimezone(zone)
    offset = moment.utcoffset() or timedelta()
    value = GXDateTime(moment.replace(tzinfo=timezone(offset)))
    value.status = ClockStatus.DAYLIGHT_SAVE_ACTIVE if moment.dst() else ClockStatus.OK
    if not deviation:
        value.skip |= DateTimeSkips.DEVITATION
    return value


@lru_cache(maxsize=8192)  # the meters of a fleet are asked for the same rows
def date_time(at_ms: int, zone: ZoneInfo, *, deviation: bool) -> bytes:
    """A date-time as an octet-string of 12 octets, tag and length included."""
    buffer = GXByteBuffer()
    _GXCommon.setData(None, buffer, DataType.OCTET_STRING, gurux_time(at_ms, zone, deviation=deviation))
    return bytes(buffer.array())


def parse_date_time(octets: bytes, zone: ZoneInfo) -> int:
    """Milliseconds UTC of 12 octets sent by a client; wildcards count as the start. ValueError where it is no time."""
    if len(octets) != 12:
        raise ValueError(f"a date-time has 12 octets, not {len(octets)}")
    hour, minute, second = (0 if octet == 0xFF else octet for octet in octets[5:8])
    local = datetime(int.from_bytes(octets[:2], "big"), octets[2], octets[3], hour, minute, second)
    minutes = int.from_bytes(octets[9:11], "big", signed=True)
    aware = local.replace(tzinfo=zone if minutes == -0x8000 else timezone(timedelta(minutes=-minutes)))
    return int(aware.timestamp() * 1000)
