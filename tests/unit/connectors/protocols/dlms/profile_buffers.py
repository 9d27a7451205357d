"""Buffers of a load profile, written row by row, and what is read out of them."""

from __future__ import annotations

import struct
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from connectors.protocols.dlms import axdr
from connectors.protocols.dlms.get import datetime_octets
from connectors.protocols.dlms.profile import Profile
from connectors.protocols.dlms.profile_shape import Column, ProfileShape

OSLO = ZoneInfo("Europe/Oslo")
QUARTER = 900_000
DAY = 1668121200000  # 2022-11-11T00:00+01:00, a Friday

CLOCK = Column(8, "0.0.1.0.0.255", 2)
STATUS = Column(1, "0.0.96.10.2.255", 2)
IMPORT = Column(3, "1.0.1.8.0.255", 2, 0, -1, "Wh")
EXPORT = Column(3, "1.0.2.8.0.255", 2, 0, 0, "Wh")
SHAPE = ProfileShape("1.0.99.1.0.255", (CLOCK, STATUS, IMPORT, EXPORT), 900)
PAIR = ProfileShape("1.0.99.1.0.255", (CLOCK, IMPORT), 900)


def at(i: int) -> bytes:
    """The clock column's octets of interval i, tag and length first."""
    return b"\x09\x0c" + datetime_octets(DAY + (i + 1) * QUARTER, OSLO)


def row(*columns: bytes) -> bytes:
    return bytes((2, len(columns))) + b"".join(columns)


def buffer(*rows: bytes) -> bytes:
    return b"\x01" + axdr.encode_length(len(rows)) + b"".join(rows)


def u8(n: int) -> bytes:
    return struct.pack(">BB", 0x11, n)


def u32(n: int) -> bytes:
    return struct.pack(">BI", 0x06, n)


def day(rows: int = 96) -> bytes:
    return buffer(*(row(at(i), u8(i % 3), u32(1_000_000 + 250 * i), u32(7 * i)) for i in range(rows)))


def ends(found: Profile) -> list[int]:
    """In quarters since the day began, where they are whole."""
    return [(int(end) - DAY) // QUARTER if (end - DAY) % QUARTER == 0 else int(end) - DAY for end in found.ends]


def values(found: Profile, channel: int = 0) -> list[Any]:
    held = found.channels[channel].values
    return held.tolist() if isinstance(held, np.ndarray) else list(held)


def octets_of(*times: bytes) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.frombuffer(b"".join(times), np.uint8).reshape(len(times), 12)
