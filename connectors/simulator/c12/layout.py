"""The tables that say how a meter's others are made: the same for all meters of a kind (C12.19, decades 0 to 7 and 11).

They are packed here by hand from the standard's layouts, and not with the head-end's own declarations: what the head-end
makes of them is therefore held against other code than its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType

from connectors.simulator.c12.kinds import C12Kind
from connectors.simulator.c12.packing import NI2_FLOAT32, bitset, ltime, ni_format, number, uom

TABLES = (
    *(0, 1, 3, 5, 6, 7, 8), *range(11, 17), *(21, 22, 23, 25, 27, 28), 51, 52, 55, *range(61, 65), *range(71, 77), 111, 112,
)  # fmt: skip
RESET_LIST, UPDATE_LAST_READ, REMOTE_RESET, SET_CLOCK, LOAD_CONTROL = 4, 5, 9, 10, 21
PROCEDURES = (RESET_LIST, UPDATE_LAST_READ, REMOTE_RESET, SET_CLOCK, LOAD_CONTROL)

INTERVALS = 96
"""Of a block of the load profile: a day."""
CHANNELS = 2
PERIOD_MIN = 15
LOG_ENTRIES = 16
ARGUMENT = 2
"""Octets of a log entry's argument."""
EVENTS = 10
"""Octets of the standard's event codes as a set."""

OWN_STATUS = 1
"""Octets of the maker's own status flags."""

IMPORTED, EXPORTED, DEMAND, POWER, VOLTAGE, CURRENT = range(6)
"""Sources, by their index in table 16."""
PRESENT = (POWER, VOLTAGE, CURRENT)

_SIZE = 16  # octets of the standard tables as a set
_PROC_SIZE = 4
_ACTIVE, _VOLTS, _AMPERES = 0, 8, 12  # ID_CODE
_DIAL, _INSTANTANEOUS, _BLOCK = 0, 1, 4  # TIME_BASE
_HUNDREDTHS = 5  # MULTIPLIER 10^-2
_A_TO_NEUTRAL = 5
_PARAMETERS = 40
_ENGINEERING, _UOM, _DEMAND_CONTROL, _DATA_CONTROL, _CONSTANTS, _APPLIED = 0x10, 0x01, 0x02, 0x04, 0x08, 0x20
_GMT, _ZONE_APPLIED = 0x10, 0x20
_INTERVAL_FORMATS = {1: 1, 2: 2, 4: 4}


@lru_cache
def fixed_tables(kind: C12Kind, blocks: int) -> Mapping[int, bytes]:
    """Tables by number. `blocks` is how many days the load profile holds."""
    monitored = bitset(range(77), EVENTS) + bitset(TABLES, _SIZE) + bitset(PROCEDURES, _PROC_SIZE)
    registers = bytes((0b0001_0110, 0, 0, 2, 1, 0, 1, 0, 1, len(PRESENT)))
    formats = _INTERVAL_FORMATS[kind.interval]
    flags = 1 << 4 | kind.extended << 10 | kind.simple << 11
    return MappingProxyType({
        0: _general(kind),
        11: bytes((0b0000_0100, 6, 1, 2, 1, 1, 2, 6)),
        12: uom(_ACTIVE, _DIAL, quadrants=(1, 4)) + uom(_ACTIVE, _DIAL, quadrants=(2, 3))
        + uom(_ACTIVE, _BLOCK, quadrants=(1, 4)) + uom(_ACTIVE, _INSTANTANEOUS, quadrants=(1, 4))
        + uom(_VOLTS, _INSTANTANEOUS, multiplier=_HUNDREDTHS, segment=_A_TO_NEUTRAL)
        + uom(_AMPERES, _INSTANTANEOUS, multiplier=_HUNDREDTHS, segment=_A_TO_NEUTRAL),
        13: number(PERIOD_MIN, 2),
        14: b"\x01\x01",
        15: number(10, kind.number) + number(0, kind.number),  # tenths of a volt, said in hundredths
        16: bytes((
            _ENGINEERING | _UOM | _DATA_CONTROL, _ENGINEERING | _UOM, _ENGINEERING | _UOM | _DEMAND_CONTROL,
            _ENGINEERING | _UOM, _ENGINEERING | _UOM | _CONSTANTS | _APPLIED, _ENGINEERING | _UOM)),
        21: registers,
        22: bytes((IMPORTED, EXPORTED, DEMAND, 1)),
        27: bytes((DEMAND, *PRESENT)),
        51: bytes(9),
        61: number(blocks * block_size(kind), 4) + number(flags, 2) + bytes((formats,)) + number(blocks, 2)
        + number(INTERVALS, 2) + bytes((CHANNELS, PERIOD_MIN)),
        62: bytes((1, IMPORTED, IMPORTED, 1, EXPORTED, EXPORTED, formats)),
        # What the edition of 2008 adds: EXT_LOG_FLAGS, and no program tables.
        71: bytes((0b0000_0110, EVENTS, 0, ARGUMENT, ARGUMENT)) + 2 * number(LOG_ENTRIES, 2) + bytes(3),
        72: bitset(range(77), EVENTS),
        73: monitored,
        75: monitored,
        111: number(0, 2) + b"\x01",
    })  # fmt: skip


def block_size(kind: C12Kind) -> int:
    """Octets of a block of table 64."""
    status = CHANNELS // 2 + 1 if kind.extended else 0
    head = 4 + CHANNELS * kind.number + (INTERVALS // 8 if kind.simple else 0)
    return head + INTERVALS * (status + CHANNELS * kind.interval)


def clock(shown: int, kind: C12Kind) -> bytes:
    """Table 52 of seconds since 1970 by the meter's clock."""
    weekday = (shown // 86_400 + 4) % 7  # 1970 began on a Thursday; 0 is Sunday
    return ltime(shown, kind) + bytes((weekday | (_ZONE_APPLIED if kind.local else _GMT),))


def _general(kind: C12Kind) -> bytes:
    """Table 0: seven-bit texts, read by offset and by index."""
    controls = bytes((1 << 1, (4 if kind.seconds else 3) | 3 << 3, ni_format(kind) | NI2_FLOAT32 << 4))
    sizes = bytes((2, 0, _PARAMETERS, _PARAMETERS, 2, 0, _SIZE, 0, _PROC_SIZE, 0, OWN_STATUS, 0))
    sets = bitset(TABLES, _SIZE) + bitset(PROCEDURES, _PROC_SIZE) + bitset((7,), _SIZE)
    return controls + kind.device_class + sizes + sets
